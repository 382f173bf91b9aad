"""Labels and data sets: formats, canonical labels, splits, audits, COCO and merging. Pixels are raster's, networks learn's."""
