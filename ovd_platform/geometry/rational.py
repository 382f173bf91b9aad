"""RPC scenes: ground to image by the rational polynomials, image to ground by Newton's method.

Belongs here: the mathematics of `RationalModel`. Does not belong here: reading RPC files (raster), other georeferences (`place`).
Reference: NGA STDI-0002 Appendix E, RPC00B.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovd_platform.geometry.affine import points_n2
from ovd_platform.records.ground_control import GroundControl, RationalModel, Terrain

Floats = NDArray[np.float64]

_ITERATIONS = 20
_CONVERGED = 1e-12  # In normalised coordinates: below a micrometre on the ground.
_STEP = 1e-6


def _terms(lon: Floats, lat: Floats, height: Floats) -> Floats:
    """The twenty RPC00B monomials of normalised coordinates, shape (20, N)."""
    one = np.ones_like(lon)
    return np.stack([
        one, lon, lat, height, lon * lat, lon * height, lat * height, lon * lon, lat * lat, height * height,
        lat * lon * height, lon**3, lon * lat * lat, lon * height * height, lon * lon * lat, lat**3,
        lat * height * height, lon * lon * height, lat * lat * height, height**3,
    ])  # fmt: skip


def _image(model: RationalModel, lon: Floats, lat: Floats, height: Floats) -> Floats:
    """Normalised ground to normalised (sample, line), shape (N, 2)."""
    terms = _terms(lon, lat, height)
    sample = (np.asarray(model.samp_num) @ terms) / (np.asarray(model.samp_den) @ terms)
    line = (np.asarray(model.line_num) @ terms) / (np.asarray(model.line_den) @ terms)
    return np.stack([sample, line], axis=1)


def heights_at(control: GroundControl, lonlat_n2: ArrayLike) -> Floats:
    """Heights used under points: terrain, else the given constant, else the model's offset.

    Args:
        control: Ground control with a rational model.
        lonlat_n2: Shape (N, 2), degrees.

    Returns:
        New array, shape (N,), metres above the ellipsoid.
    """
    points = points_n2(lonlat_n2)
    if control.terrain is not None:
        return _sampled(control.terrain, points)
    model_height = control.rational.height_m if control.rational is not None else 0.0
    return np.full(len(points), model_height if control.height_m is None else control.height_m)


def _sampled(terrain: Terrain, lonlat_n2: Floats) -> Floats:
    """Bilinear heights; beyond the samples the nearest edge counts."""
    heights_hw = np.asarray(terrain.heights_m, dtype=np.float64)
    rows, cols = heights_hw.shape
    turn = 360.0 * np.round((lonlat_n2[:, 0] - terrain.west_deg) / 360.0)
    col = np.clip((lonlat_n2[:, 0] - turn - terrain.west_deg) / terrain.step_lon_deg, 0, cols - 1)
    row = np.clip((lonlat_n2[:, 1] - terrain.south_deg) / terrain.step_lat_deg, 0, rows - 1)
    left, low = np.minimum(col.astype(int), max(cols - 2, 0)), np.minimum(row.astype(int), max(rows - 2, 0))
    right, high = np.minimum(left + 1, cols - 1), np.minimum(low + 1, rows - 1)
    u, v = col - left, row - low
    bottom = heights_hw[low, left] * (1 - u) + heights_hw[low, right] * u
    top = heights_hw[high, left] * (1 - u) + heights_hw[high, right] * u
    return np.asarray(bottom * (1 - v) + top * v)


def ground_to_pixel(control: GroundControl, lonlat_n2: ArrayLike, height_n: ArrayLike | None = None) -> Floats:
    """Pixel coordinates of points on the ground.

    Args:
        control: Ground control with a rational model.
        lonlat_n2: Shape (N, 2), degrees.
        height_n: Heights in metres above the ellipsoid, shape (N,); by default `heights_at`.

    Returns:
        New array, shape (N, 2), (x, y) pixels; (0, 0) is the outer corner of the top-left pixel.
    """
    model = control.rational
    assert model is not None
    points = points_n2(lonlat_n2)
    height = heights_at(control, points) if height_n is None else np.broadcast_to(np.asarray(height_n, float), len(points))
    lon, lat, level = _normalised(model, points, np.asarray(height, dtype=np.float64))
    image = _image(model, lon, lat, level)
    return image * [model.scales[1], model.scales[0]] + [model.offsets[1] + 0.5, model.offsets[0] + 0.5]


def _normalised(model: RationalModel, lonlat_n2: Floats, height: Floats) -> tuple[Floats, Floats, Floats]:
    lon = lonlat_n2[:, 0] - model.offsets[3]
    lon = lon - 360.0 * np.round(lon / 360.0)  # A model beside the antimeridian counts through it.
    return (
        lon / model.scales[3],
        (lonlat_n2[:, 1] - model.offsets[2]) / model.scales[2],
        (height - model.offsets[4]) / model.scales[4],
    )


def pixel_to_ground(control: GroundControl, xy_n2: ArrayLike, height_n: ArrayLike | None = None) -> Floats:
    """Where the rays of pixels meet the given heights.

    Args:
        control: Ground control with a rational model.
        xy_n2: Shape (N, 2), pixels.
        height_n: Heights in metres above the ellipsoid, shape (N,); by default those of the ground (`heights_at`), found by
            repeated intersection.

    Returns:
        New array, shape (N, 2), (lon, lat) degrees; longitudes continue through 180. NaN where the model has no answer.
    """
    model = control.rational
    assert model is not None
    xy = points_n2(xy_n2)
    target = (xy - [model.offsets[1] + 0.5, model.offsets[0] + 0.5]) / [model.scales[1], model.scales[0]]
    if height_n is not None or control.terrain is None:
        fixed = heights_at(control, np.zeros_like(xy)) if height_n is None else np.asarray(height_n, dtype=np.float64)
        return _solve(model, target, np.broadcast_to(fixed, len(xy)))
    height = np.full(len(xy), float(np.mean(control.terrain.heights_m)))
    lonlat = _solve(model, target, height)
    for _ in range(_ITERATIONS):
        found = heights_at(control, lonlat)
        change = float(np.nanmax(np.abs(found - height), initial=0.0))
        # Half steps: steep terrain seen obliquely would swing between two answers.
        height = found if change < 0.01 else (found + height) / 2
        lonlat = _solve(model, target, height)
        if change < 0.01:
            break
    return lonlat


def _solve(model: RationalModel, target_n2: Floats, height: Floats) -> Floats:
    level = (height - model.offsets[4]) / model.scales[4]
    lon, lat = np.zeros(len(target_n2)), np.zeros(len(target_n2))
    for _ in range(_ITERATIONS):
        missing = target_n2 - _image(model, lon, lat, level)
        by_lon = (_image(model, lon + _STEP, lat, level) - _image(model, lon - _STEP, lat, level)) / (2 * _STEP)
        by_lat = (_image(model, lon, lat + _STEP, level) - _image(model, lon, lat - _STEP, level)) / (2 * _STEP)
        determinant = by_lon[:, 0] * by_lat[:, 1] - by_lon[:, 1] * by_lat[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            step_lon = (missing[:, 0] * by_lat[:, 1] - missing[:, 1] * by_lat[:, 0]) / determinant
            step_lat = (missing[:, 1] * by_lon[:, 0] - missing[:, 0] * by_lon[:, 1]) / determinant
        lon, lat = lon + np.clip(step_lon, -2, 2), lat + np.clip(step_lat, -2, 2)
        if np.nanmax(np.abs([step_lon, step_lat]), initial=0.0) < _CONVERGED:
            break
    return np.stack([lon * model.scales[3] + model.offsets[3], lat * model.scales[2] + model.offsets[2]], axis=1)


def height_sensitivity(control: GroundControl, xy: tuple[float, float]) -> float:
    """Horizontal shift of a pixel's place for one metre of height error (the tangent of the view angle), m/m."""
    from pyproj import Geod

    model = control.rational
    assert model is not None
    low, high = model.height_m - 10.0, model.height_m + 10.0
    first, second = (pixel_to_ground(control, [xy], [height])[0] for height in (low, high))
    if not np.isfinite([*first, *second]).all():
        return float("nan")
    return float(Geod(ellps="WGS84").inv(first[0], first[1], second[0], second[1])[2]) / (high - low)
