"""All reading and writing of our own artifacts: workspace layout, models, vector tables.

Does not belong here: sources from outside (raster's and documents' affair).
"""
