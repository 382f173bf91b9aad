"""GCP scenes: pixels to the CRS of the points and back.

Belongs here: the maps fitted to `GroundControl.points`. Does not belong here: reading GCPs (raster), projections (`footprint`).

Ten points and more (Sentinel-1 and other grids) are met exactly by thin plate splines; fewer by a least-squares polynomial, of
second order from six points on. Both are the maps GDAL makes of the same points: its splines go from the ground to the image, its
polynomials from the image to the ground, and the other direction is the inverse of that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovd_platform.errors import InputError
from ovd_platform.geometry.affine import points_n2
from ovd_platform.records.ground_control import GroundControl

Floats = NDArray[np.float64]
Map = Callable[[Floats], Floats]

SPLINE_POINTS = 10
_SECOND_ORDER_POINTS = 6
_LEFT_OUT = 24
_ITERATIONS = 12
_X, _Y = np.array([1.0, 0.0]), np.array([0.0, 1.0])
_FULL_TURN = np.array([360.0, 0.0])
_STEP = 1e-5
_CONVERGED = 1e-4
"""In steps: a hundredth of a millionth of the extent of the points."""


@dataclass(frozen=True, slots=True)
class PointMaps:
    """Two maps fitted to the same points; only one of them decides, the other starts its inversion.

    Attributes:
        forward: Pixels (N, 2) to CRS (N, 2).
        inverse: CRS to pixels.
        inverse_decides: True for splines, which are fitted from the ground to the image, as GDAL does.
        pixel_step: Small step in pixels to take slopes with, shape (2,).
        crs_step: The same in CRS units.
    """

    forward: Map
    inverse: Map
    inverse_decides: bool
    pixel_step: Floats
    crs_step: Floats


def pixel_to_points_crs(control: GroundControl, xy_n2: ArrayLike) -> Floats:
    """Pixel coordinates to the CRS of the points.

    Args:
        control: Ground control with at least three points not on a line.
        xy_n2: Shape (N, 2).

    Returns:
        New array, shape (N, 2), CRS units.
    """
    maps, xy = _maps(control.points, _wraps(control)), points_n2(xy_n2)
    start = maps.forward(xy)
    return _inverted(maps.inverse, start, xy, maps.crs_step) if maps.inverse_decides else start


def points_crs_to_pixel(control: GroundControl, crs_n2: ArrayLike) -> Floats:
    """Inverse of `pixel_to_points_crs`, exact.

    Args:
        control: Ground control.
        crs_n2: Shape (N, 2), CRS units.

    Returns:
        New array, shape (N, 2), pixels.
    """
    maps, target = _maps(control.points, _wraps(control)), points_n2(crs_n2)
    if _wraps(control) and len(target):
        # A geographic grid may count 175 .. 185: take the turn of its points.
        target = target - _FULL_TURN * np.round((target[:, :1] - control.points[0][2]) / 360.0)
    start = maps.inverse(target)
    return start if maps.inverse_decides else _inverted(maps.forward, start, target, maps.pixel_step)


def _inverted(deciding: Map, start_n2: Floats, target_n2: Floats, step: Floats) -> Floats:
    """Points a map takes to the targets, by Newton's method."""
    found, across, down = start_n2, step * _X, step * _Y
    for _ in range(_ITERATIONS):
        missing = target_n2 - deciding(found)
        by_x = (deciding(found + across) - deciding(found - across)) / (2 * step[0])
        by_y = (deciding(found + down) - deciding(found - down)) / (2 * step[1])
        determinant = by_x[:, 0] * by_y[:, 1] - by_x[:, 1] * by_y[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            change = np.stack([
                (missing[:, 0] * by_y[:, 1] - missing[:, 1] * by_y[:, 0]) / determinant,
                (missing[:, 1] * by_x[:, 0] - missing[:, 0] * by_x[:, 1]) / determinant,
            ], axis=1)  # fmt: skip
        found = found + change
        if np.nanmax(np.abs(change / step), initial=0.0) < _CONVERGED:
            break
    return np.asarray(found)


def left_out_error(control: GroundControl) -> float:
    """Root mean square distance by which points are missed when they are left out of the fit, in CRS units; infinite for three."""
    pixels, ground = _table(control.points, _wraps(control))
    return _left_out(_fit_for(len(pixels)), pixels, ground)


@lru_cache(maxsize=64)
def _is_geographic(crs: str) -> bool:
    from pyproj import CRS

    return bool(CRS.from_user_input(crs).is_geographic)


def _wraps(control: GroundControl) -> bool:
    return control.points_crs is not None and _is_geographic(control.points_crs)


@lru_cache(maxsize=32)
def _maps(points: tuple[tuple[float, float, float, float], ...], wraps: bool) -> PointMaps:
    pixels, ground = _table(points, wraps)
    fit = _fit_for(len(pixels))
    pixel_step, crs_step = (np.maximum(np.ptp(side, axis=0), 1e-12) * _STEP for side in (pixels, ground))
    return PointMaps(fit(pixels, ground), fit(ground, pixels), len(pixels) >= SPLINE_POINTS, pixel_step, crs_step)


def _table(points: tuple[tuple[float, float, float, float], ...], wraps: bool) -> tuple[Floats, Floats]:
    table = np.array(points, dtype=np.float64).reshape(-1, 4)
    pixels, ground = table[:, :2], table[:, 2:].copy()
    if wraps and len(table):
        ground[:, 0] -= 360.0 * np.round((ground[:, 0] - ground[0, 0]) / 360.0)
    flat = [len(side) < 3 or np.linalg.matrix_rank(side - side.mean(axis=0)) < 2 for side in (pixels, ground)]
    if any(flat):
        raise InputError(
            f"Cannot place pixels by ground control points: expected three not on a line, got {len(pixels)} points."
        )
    return pixels, ground


def _fit_for(count: int) -> Callable[[Floats, Floats], Map]:
    return _spline if count >= SPLINE_POINTS else _polynomial


def _spline(source: Floats, target: Floats) -> Map:
    from scipy.interpolate import RBFInterpolator

    source, rows = np.unique(source, axis=0, return_index=True)
    fitted = RBFInterpolator(source, target[rows], kernel="thin_plate_spline", degree=1)
    return lambda points: np.asarray(fitted(points)) if len(points) else points.copy()


def _polynomial(source: Floats, target: Floats) -> Map:
    second = len(source) >= _SECOND_ORDER_POINTS
    centre, spread = source.mean(axis=0), np.maximum(np.ptp(source, axis=0), 1e-12)
    origin = target.mean(axis=0)

    def design(points: Floats) -> Floats:
        x, y = ((points - centre) / spread).T
        columns = [np.ones_like(x), x, y]
        return np.stack([*columns, x * x, x * y, y * y] if second else columns, axis=1)

    solution = np.linalg.lstsq(design(source), target - origin, rcond=None)[0]
    return lambda points: np.asarray(design(points) @ solution + origin)


def _left_out(fit: Callable[[Floats, Floats], Map], pixels: Floats, ground: Floats) -> float:
    """Leave-one-out distance over an even sample of the points; infinite where none can be spared."""
    if len(pixels) < 4:
        return float("inf")
    misses = []
    for index in np.unique(np.linspace(0, len(pixels) - 1, min(_LEFT_OUT, len(pixels))).astype(int)):
        others = np.arange(len(pixels)) != index
        try:
            misses.append(np.hypot(*(fit(pixels[others], ground[others])(pixels[index : index + 1])[0] - ground[index])))
        except np.linalg.LinAlgError:
            continue
    return float(np.sqrt(np.mean(np.square(misses)))) if misses else float("inf")
