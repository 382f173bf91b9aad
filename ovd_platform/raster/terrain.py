"""Heights under an RPC scene from an elevation model. Belongs here: sampling the model once, when the scene is registered.

The samples travel in the scene's record, so that places need no second file afterwards.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import UnreadableRasterError
from ovd_platform.geometry import rational
from ovd_platform.raster.georeference import Place
from ovd_platform.records.ground_control import GroundControl, Terrain

_SAMPLES = 65


def terrain_under(place: Place, size_px: tuple[int, int], dem: str, uri: str) -> Terrain | None:
    """Heights under a scene.

    Args:
        place: Place of the scene.
        size_px: Width and height of the scene.
        dem: Elevation model GDAL can read; a relative path starts at the scene's folder. Heights above the ellipsoid are meant:
            a geoid model is off by the undulation (up to 100 m).
        uri: The scene.

    Returns:
        65 x 65 samples, bilinear between them; None where the scene has no RPC.

    Raises:
        UnreadableRasterError: If the model cannot be read or does not cover the scene.
    """
    control = place.control
    if place.kind != "rpc" or control is None or control.rational is None:
        return None
    path = dem if dem.startswith("/vsi") else str(Path(uri.split("|")[0]).parent / dem)
    west, south, east, north = _reach(control, size_px)
    step_lon, step_lat = (east - west) / (_SAMPLES - 1), (north - south) / (_SAMPLES - 1)
    lon, lat = np.meshgrid(west + step_lon * np.arange(_SAMPLES), south + step_lat * np.arange(_SAMPLES))
    heights = _heights(path, np.stack([lon.ravel(), lat.ravel()], axis=1)).reshape(_SAMPLES, _SAMPLES)
    rows = tuple(tuple(float(round(value, 2)) for value in row) for row in heights)
    return Terrain(west, south, step_lon, step_lat, rows, path)


def _reach(control: GroundControl, size_px: tuple[int, int]) -> tuple[float, float, float, float]:
    """Degrees a scene may cover at any height its model knows."""
    model = control.rational
    assert model is not None
    corners = np.array([[0, 0], [size_px[0], 0], [size_px[0], size_px[1]], [0, size_px[1]]], dtype=float)
    reach = [
        rational.pixel_to_ground(control, corners, np.full(4, model.height_m + side * model.scales[4])) for side in (-1, 0, 1)
    ]
    lonlat = np.concatenate(reach)
    (west, south), (east, north) = np.nanmin(lonlat, axis=0), np.nanmax(lonlat, axis=0)
    return float(west), float(south), float(east), float(north)


def _heights(path: str, lonlat_n2: NDArray[np.float64]) -> NDArray[np.float64]:
    import rasterio
    from pyproj import Transformer
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path) as dataset:
            convert = Transformer.from_crs("OGC:CRS84", dataset.crs.to_wkt(), always_xy=True)
            points: list[Any] = list(zip(*convert.transform(lonlat_n2[:, 0], lonlat_n2[:, 1]), strict=True))
            found = np.ma.stack([sample[0] for sample in dataset.sample(points, indexes=[1], masked=True)])
    except (RasterioError, AttributeError) as error:
        raise UnreadableRasterError(f"Cannot read heights of {path}: expected an elevation model, got {error}.") from error
    known = np.ma.filled(found.astype(np.float64), np.nan)
    if np.isnan(known).all():
        raise UnreadableRasterError(f"Cannot use heights of {path}: expected it to cover the scene, got no data there.")
    return np.where(np.isnan(known), np.nanmean(known), known)
