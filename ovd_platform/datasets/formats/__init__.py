"""Label formats, one module each; `load_annotations` recognises them all."""

from ovd_platform.datasets.formats.load import load_annotations

__all__ = ["load_annotations"]
