"""Affine maps between pixels of a scene and its CRS.

Belongs here: six-number arithmetic. Does not belong here: degrees and projections (`footprint`), reading transforms (raster).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovd_platform.errors import InputError, ShapeError

Transform = tuple[float, float, float, float, float, float]


def points_n2(points: ArrayLike) -> NDArray[np.float64]:
    """Points as float64 of shape (N, 2).

    Args:
        points: Anything NumPy reads as (N, 2); a single (2,) point becomes (1, 2).

    Returns:
        New array or view, shape (N, 2), float64.

    Raises:
        ShapeError: If the last axis is not two.
    """
    array = np.asarray(points, dtype=np.float64)
    if array.size == 0:
        return array.reshape(0, 2)
    array = np.atleast_2d(array)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ShapeError(f"Cannot transform points: expected shape (N, 2), got {array.shape}. Pass one x, y pair a row.")
    return array


def pixel_to_crs(transform: Transform, xy_n2: ArrayLike) -> NDArray[np.float64]:
    """Map pixel coordinates to CRS coordinates.

    Args:
        transform: (a, b, c, d, e, f): x = a col + b row + c, y = d col + e row + f.
        xy_n2: Pixel coordinates (col, row), shape (N, 2); (0, 0) is the outer corner of the top-left pixel.

    Returns:
        New array, shape (N, 2), float64, in units of the CRS.
    """
    a, b, c, d, e, f = transform
    xy = points_n2(xy_n2)
    return np.stack([a * xy[:, 0] + b * xy[:, 1] + c, d * xy[:, 0] + e * xy[:, 1] + f], axis=1)


def crs_to_pixel(transform: Transform, crs_n2: ArrayLike) -> NDArray[np.float64]:
    """Inverse of `pixel_to_crs`.

    Args:
        transform: As for `pixel_to_crs`.
        crs_n2: Coordinates in the CRS, shape (N, 2).

    Returns:
        New array, shape (N, 2), float64, pixel coordinates.

    Raises:
        InputError: If the transform has no inverse.
    """
    a, b, c, d, e, f = transform
    determinant = a * e - b * d
    if determinant == 0.0:
        raise InputError(f"Cannot invert transform {transform}: expected a non-zero determinant, got 0. Correct it.")
    xy = points_n2(crs_n2) - np.array([c, f])
    return np.stack([(e * xy[:, 0] - b * xy[:, 1]) / determinant, (a * xy[:, 1] - d * xy[:, 0]) / determinant], axis=1)


def fit_affine(xy_n2: ArrayLike, crs_n2: ArrayLike) -> tuple[Transform, float]:
    """Least-squares affine pixel -> CRS through point pairs.

    Args:
        xy_n2: Pixel coordinates, shape (N, 2), at least three not on one line.
        crs_n2: The same points in the CRS, shape (N, 2).

    Returns:
        The transform, and the root mean square residual in pixels of the scene.

    Raises:
        InputError: If fewer than three points are given or they lie on one line.
    """
    xy, target = points_n2(xy_n2), points_n2(crs_n2)
    centre = xy.mean(axis=0) if len(xy) else np.zeros(2)
    origin = target.mean(axis=0) if len(target) else np.zeros(2)
    design = np.concatenate([xy - centre, np.ones((len(xy), 1))], axis=1)
    if len(xy) < 3 or len(xy) != len(target) or np.linalg.matrix_rank(design) < 3:
        raise InputError(f"Cannot fit an affine: expected at least three point pairs not on a line, got {len(xy)} points.")
    solution = np.linalg.lstsq(design, target - origin, rcond=None)[0]
    (a, d), (b, e) = solution[0], solution[1]
    c, f = solution[2] + origin - np.array([a * centre[0] + b * centre[1], d * centre[0] + e * centre[1]])
    transform = (float(a), float(b), float(c), float(d), float(e), float(f))
    residual_px = crs_to_pixel(transform, target) - xy
    return transform, float(np.sqrt((residual_px**2).sum(axis=1).mean()))
