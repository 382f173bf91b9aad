"""Geolocation arrays as ground control points: a longitude and a latitude for every few pixels, as swath products state them.

Belongs here: reading GDAL's GEOLOCATION domain (netCDF, HDF, VRT). Does not belong here: evaluating points (geometry.control_points).
"""

import logging
import warnings
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError

logger = logging.getLogger(__name__)

Points = tuple[tuple[float, float, float, float], ...]

_PER_SIDE = 21
_FEWEST = 10


def geolocation_points(dataset: Any) -> tuple[Points, Any] | None:
    """Up to 21 x 21 points of a dataset's geolocation arrays, spread over the whole of them.

    Args:
        dataset: Open rasterio dataset.

    Returns:
        Points (col, row, x, y) and their CRS; None where the dataset states no arrays, or they cannot be read (which is logged).
    """
    stated = dataset.tags(ns="GEOLOCATION")
    if not {"X_DATASET", "Y_DATASET"} <= set(stated):
        return None
    try:
        x_hw = _array(stated["X_DATASET"], int(stated.get("X_BAND", 1)))
        y_hw = _array(stated["Y_DATASET"], int(stated.get("Y_BAND", 1)))
        crs = CRS.from_user_input(stated.get("SRS") or "OGC:CRS84")
        points = _points(x_hw, y_hw, stated)
    except (RasterioError, CPLE_BaseError, OSError, ValueError) as error:
        logger.warning("%s: its geolocation arrays cannot be read (%s): only pixel coordinates are known", dataset.name, error)
        return None
    if len(points) < _FEWEST:
        logger.warning("%s: its geolocation arrays hold %d usable points: too few for a place", dataset.name, len(points))
        return None
    return points, crs


def _array(uri: str, band: int) -> NDArray[np.float64]:
    """One array; what is missing is NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(uri) as arrays:
            values_hw = np.asarray(arrays.read(band, masked=True).astype(np.float64).filled(np.nan))
    return values_hw


def _points(x_hw: NDArray[np.float64], y_hw: NDArray[np.float64], stated: dict[str, str]) -> Points:
    if x_hw.shape[0] == 1 and y_hw.shape[0] == 1:  # One dimension each: a grid that is regular in rows and columns.
        x_hw, y_hw = np.meshgrid(x_hw[0], y_hw[0])
    if x_hw.shape != y_hw.shape:
        raise ValueError(f"x is {x_hw.shape}, y is {y_hw.shape}")
    rows = np.unique(np.linspace(0, x_hw.shape[0] - 1, _PER_SIDE).round().astype(int))
    cols = np.unique(np.linspace(0, x_hw.shape[1] - 1, _PER_SIDE).round().astype(int))
    shift = 0.5 if stated.get("GEOREFERENCING_CONVENTION") == "PIXEL_CENTER" else 0.0
    first_px, step_px = float(stated.get("PIXEL_OFFSET", 0)) + shift, float(stated.get("PIXEL_STEP", 1))
    first_line, step_line = float(stated.get("LINE_OFFSET", 0)) + shift, float(stated.get("LINE_STEP", 1))
    return tuple(
        (first_px + step_px * float(col), first_line + step_line * float(row), float(x_hw[row, col]), float(y_hw[row, col]))
        for row in rows
        for col in cols
        if np.isfinite([x_hw[row, col], y_hw[row, col]]).all()
    )
