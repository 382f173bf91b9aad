"""Network definitions only: stems, backbone, decoders, towers. Training is learn's, pixels are raster's."""
