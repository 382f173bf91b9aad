"""Files of synthetic tiles: GeoTIFF at native depth, marked. Belongs here: writing and reading one tile; labels are COCO's."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import DataError

TAGS = "OVD"


def write_tile(path: Path, pixels_chw: NDArray[Any], tags: dict[str, str]) -> None:
    """Write one tile losslessly, tagged ``synthetic=true`` in the namespace OVD; it has no georeference, for it shows no place.

    Args:
        path: Ends in ``.tif``.
        pixels_chw: Shape (C, H, W), uint8, uint16 or float32.
        tags: Further tags.
    """
    import rasterio

    count, height, width = pixels_chw.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    predictor = 3 if pixels_chw.dtype.kind == "f" else 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=count,
            dtype=pixels_chw.dtype.name,
            compress="deflate",
            predictor=predictor,
        ) as file:
            file.write(pixels_chw)
            file.update_tags(ns=TAGS, synthetic="true", **tags)


def read_tile(path: Path) -> tuple[NDArray[Any], dict[str, str]]:
    """Pixels (C, H, W) and tags of a tile that `write_tile` wrote.

    Raises:
        DataError: If the file is missing, unreadable, or not marked synthetic.
    """
    import rasterio

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                pixels_chw, tags = file.read(), file.tags(ns=TAGS)
    except rasterio.errors.RasterioIOError as error:
        raise DataError(f"Cannot read synthetic tile {path}: expected a GeoTIFF, got {error}. Build the set again.") from error
    if tags.get("synthetic") != "true":
        raise DataError(f"Cannot read synthetic tile {path}: expected the tag synthetic=true, got none. It is not one of ours.")
    return np.asarray(pixels_chw), dict(tags)
