"""Pixels, metres and degrees: affine transforms, footprints, geohashes, boxes. No pixels are read here."""
