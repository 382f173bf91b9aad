"""The tile plan of a scene, screening in one pass over its pixels, and merging of boxes at tile seams."""
