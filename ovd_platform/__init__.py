"""Open-vocabulary detection and search in gigapixel satellite imagery.

Everything that computes lives in this package; it knows nothing of Dagster. The folders are the stages of the flow, in the
order of ``docs/architecture.md``: raster -> tiles -> learn -> propose -> embed -> search/detect -> evaluate -> archive.
"""

__version__ = "0.1.0"
