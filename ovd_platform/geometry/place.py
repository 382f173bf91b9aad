"""Where one pixel lies on Earth, and which pixel lies at a place: affine, ground control points, RPC.

Belongs here: points of a `SceneRecord`. Does not belong here: rings and areas (`footprint`), the maps themselves (`affine`,
`control_points`, `rational`), reading georeferences (raster).

Output is always (lon, lat) in degrees on OGC:CRS84, longitudes in [-180, 180]. Pixels are never resampled.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError, ProjError

from ovd_platform.errors import InputError
from ovd_platform.geometry import control_points, rational
from ovd_platform.geometry.affine import crs_to_pixel, pixel_to_crs, points_n2
from ovd_platform.records.ground_control import GroundControl
from ovd_platform.records.scene import SceneRecord

GEOD = Geod(ellps="WGS84")
_EARTH_RADIUS_M = (6.3e6, 6.4e6)
_ROUNDING_DEG = 1e-9
_TERRAIN_ERROR_M = 10.0
"""Height error of a global elevation model, 1 sigma."""


@lru_cache(maxsize=64)
def _transformers(crs: str) -> tuple[Transformer, Transformer]:
    source, target = CRS.from_user_input(crs), CRS.from_user_input("OGC:CRS84")
    return Transformer.from_crs(source, target, always_xy=True), Transformer.from_crs(target, source, always_xy=True)


@lru_cache(maxsize=64)
def is_geographic(crs: str) -> bool:
    """Whether coordinates of a CRS are degrees."""
    return bool(CRS.from_user_input(crs).is_geographic)


@lru_cache(maxsize=64)
def is_terrestrial(crs: str) -> bool:
    """Whether a CRS is tied to the Earth: local and engineering systems and other planets are not.

    Args:
        crs: Authority string or WKT.
    """
    try:
        parsed = CRS.from_user_input(crs)
        ellipsoid = parsed.ellipsoid
        if ellipsoid is None or not _EARTH_RADIUS_M[0] < ellipsoid.semi_major_metre < _EARTH_RADIUS_M[1]:
            return False
        _transformers(crs)
    except (CRSError, ProjError):
        return False
    return True


def has_lonlat(record: SceneRecord) -> bool:
    """Whether pixels of the scene have a place on Earth."""
    return record.crs is not None and record.transform is not None and is_terrestrial(record.crs)


def _placed_crs(record: SceneRecord) -> str:
    if record.crs is None or record.transform is None or not is_terrestrial(record.crs):
        raise InputError(
            f"Cannot place pixels of {record.scene_id} on Earth: expected a terrestrial CRS and a transform, got crs "
            f"{record.crs!r} and transform {record.transform}. Work in pixels, or add a georeference and ingest again."
        )
    return record.crs


def _control(record: SceneRecord) -> GroundControl | None:
    """Ground control that decides places; None where the affine does."""
    return record.ground_control if record.georeference in ("gcp", "rpc") else None


def _wrapped(lon: NDArray[np.float64]) -> NDArray[np.float64]:
    outside = np.isfinite(lon) & (np.abs(lon) > 180.0 + _ROUNDING_DEG)
    lon[outside] = (lon[outside] + 180.0) % 360.0 - 180.0
    return np.where(np.isfinite(lon), np.clip(lon, -180.0, 180.0), lon)


def crs_to_lonlat(crs: str, crs_n2: ArrayLike) -> NDArray[np.float64]:
    """Coordinates of a CRS as lon, lat.

    Args:
        crs: Authority string or WKT.
        crs_n2: Shape (N, 2), x (east or lon) first.

    Returns:
        New array, shape (N, 2), degrees, longitudes in [-180, 180]; inf where the projection is undefined.
    """
    points = points_n2(crs_n2)
    lon, lat = _transformers(crs)[0].transform(points[:, 0], points[:, 1])
    return np.stack([_wrapped(np.array(lon, dtype=np.float64)), np.asarray(lat, dtype=np.float64)], axis=1)


def pixel_to_lonlat(record: SceneRecord, xy_n2: ArrayLike) -> NDArray[np.float64]:
    """Pixel coordinates to degrees.

    Args:
        record: Scene with a terrestrial CRS; ``position_error_m`` says how far places may be off.
        xy_n2: Shape (N, 2), (col, row); (0, 0) is the outer corner of the top-left pixel.

    Returns:
        New array, shape (N, 2), (lon, lat) degrees; not finite where a pixel does not look at the Earth.

    Raises:
        InputError: If the scene has no georeference.
    """
    crs, control = _placed_crs(record), _control(record)
    if control is not None and control.rational is not None:
        lonlat = rational.pixel_to_ground(control, xy_n2)
        return np.stack([_wrapped(lonlat[:, 0]), lonlat[:, 1]], axis=1)
    if control is not None:
        return crs_to_lonlat(crs, control_points.pixel_to_points_crs(control, xy_n2))
    assert record.transform is not None
    return crs_to_lonlat(crs, pixel_to_crs(record.transform, xy_n2))


def lonlat_to_pixel(record: SceneRecord, lonlat_n2: ArrayLike) -> NDArray[np.float64]:
    """Inverse of `pixel_to_lonlat`.

    Args:
        record: Scene with a terrestrial CRS.
        lonlat_n2: Shape (N, 2), (lon, lat) degrees.

    Returns:
        New array, shape (N, 2), pixel coordinates; may lie outside of the scene.

    Raises:
        InputError: If the scene has no georeference.
    """
    crs, control = _placed_crs(record), _control(record)
    points = points_n2(lonlat_n2)
    if control is not None and control.rational is not None:
        return rational.ground_to_pixel(control, points)
    x, y = _transformers(crs)[1].transform(points[:, 0], points[:, 1])
    ground = np.stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)], axis=1)
    if control is not None:
        return control_points.points_crs_to_pixel(control, ground)
    assert record.transform is not None
    if is_geographic(crs):
        # A geographic scene may count 175 .. 185 or -185 .. -175: take the turn nearest to its middle.
        middle = pixel_to_crs(record.transform, [[record.width_px / 2, record.height_px / 2]])[0, 0]
        ground[:, 0] += 360.0 * np.round((middle - ground[:, 0]) / 360.0)
    return crs_to_pixel(record.transform, ground)


def gsd_m(record: SceneRecord) -> float | None:
    """Ground sample distance at the scene's centre, measured on the ellipsoid.

    Returns:
        Geometric mean of the column and row steps in metres; None without georeference. A Mercator scene gets its true step,
        not the stretched one of the CRS.
    """
    if not has_lonlat(record):
        return None
    x, y = record.width_px / 2, record.height_px / 2
    lonlat = pixel_to_lonlat(record, [[x - 0.5, y], [x + 0.5, y], [x, y - 0.5], [x, y + 0.5]])
    if not np.isfinite(lonlat).all():
        return None
    steps_m = GEOD.inv(lonlat[::2, 0], lonlat[::2, 1], lonlat[1::2, 0], lonlat[1::2, 1])[2]
    return float(np.sqrt(steps_m[0] * steps_m[1]))


def position_error_m(record: SceneRecord) -> float | None:
    """Estimated error of places, 1 sigma in metres, beyond what the producer's own georeference is worth.

    Returns:
        0 for an affine. GCP: how far points are missed that were left out of the fit. RPC: the published error and the shift by
        unknown terrain (view angle times height error: the model's height range over the square root of 3 for a constant height,
        10 m for an elevation model). None without georeference, or where nothing can be said.
    """
    if not has_lonlat(record):
        return None
    control = _control(record)
    if control is None:
        return 0.0
    centre = (record.width_px / 2, record.height_px / 2)
    if control.rational is not None:
        height_error = _TERRAIN_ERROR_M if control.terrain is not None else abs(control.rational.scales[4]) / np.sqrt(3.0)
        shift = rational.height_sensitivity(control, centre) * height_error
        error = float(np.hypot(shift, control.rational.error_m or 0.0))
        return error if np.isfinite(error) else None
    assert record.crs is not None
    error = control_points.left_out_error(control)
    if not np.isfinite(error):
        return None
    return error * (111_320.0 if is_geographic(record.crs) else 1.0)
