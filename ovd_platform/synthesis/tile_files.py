"""Files of synthetic tiles: GeoTIFF at native depth, marked. Belongs here: writing and reading one tile; labels are COCO's."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import DataError
from ovd_platform.records.scene import SceneRecord

SCENE_TAGS = "OVD"
MARKS = "OVD_SYNTHETIC"


def write_tile(path: Path, pixels_chw: NDArray[Any], ground: SceneRecord, marks: Mapping[str, str]) -> None:
    """Write one tile losslessly, so that it opens as a scene of its ground's instrument and carries its mark.

    Scene facts go to the tag namespace ``OVD``, the mark ``synthetic=true`` and further ones to ``OVD_SYNTHETIC``. It has no
    georeference, for it shows no place.

    Args:
        path: Ends in ``.tif``.
        pixels_chw: Shape (C, H, W), uint8, uint16 or float32.
        ground: The scene the ground comes from.
        marks: Further marks.
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
            file.update_tags(ns=SCENE_TAGS, **_facts(ground))
            file.update_tags(ns=MARKS, synthetic="true", **marks)


def _facts(ground: SceneRecord) -> dict[str, str]:
    """Facts of the ground's scene that hold for the tile as well, as JSON texts."""
    facts = {
        "modality": ground.modality,
        "instrument": ground.instrument,
        "gsd_m": ground.gsd_m,
        "bits_effective": ground.bits_effective,
        "nodata": ground.nodata,
        "rendered": ground.rendered,
        "bands": [{"name": band.name, "wavelength_um": band.wavelength_um} for band in ground.bands],
    }
    return {key: json.dumps(value) for key, value in facts.items() if value is not None}


def read_tile(path: Path) -> tuple[NDArray[Any], dict[str, str]]:
    """Pixels (C, H, W) and marks of a tile that `write_tile` wrote.

    Raises:
        DataError: If the file is missing, unreadable, or not marked synthetic.
    """
    import rasterio

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                pixels_chw, tags = file.read(), file.tags(ns=MARKS)
    except rasterio.errors.RasterioIOError as error:
        raise DataError(f"Cannot read synthetic tile {path}: expected a GeoTIFF, got {error}. Build the set again.") from error
    if tags.get("synthetic") != "true":
        raise DataError(f"Cannot read synthetic tile {path}: expected the tag synthetic=true, got none. It is not one of ours.")
    return np.asarray(pixels_chw), dict(tags)
