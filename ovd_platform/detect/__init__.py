"""Detection: proposals and a vocabulary become calibrated detections. No pixels are read; vectors come from the tables."""
