"""All reading and writing of our own artifacts: workspace layout, models, vector tables. Sources outside are raster's and documents'."""
