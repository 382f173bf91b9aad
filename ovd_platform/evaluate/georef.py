"""Whether the longitude and latitude written beside a box are those of the box.

Belongs here: corner errors in pixels, by a route other than the exporter's. Does not belong here: projecting for use.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError
from ovd_platform.evaluate.scene_boxes import Box, FloatArray
from ovd_platform.records.scene import SceneRecord


def corners_scene_xy(box: Box) -> FloatArray:
    """Four corners of a box from the top left, clockwise on screen, shape (4, 2), px. New array."""
    x0, y0, x1, y1 = box
    return np.asarray([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=np.float64)


def affine_lonlat(record: SceneRecord, points_xy: NDArray[Any]) -> FloatArray:
    """Longitude and latitude of scene pixels from the affine transform and the CRS alone.

    Args:
        record: A scene with an affine georeference.
        points_xy: Shape (N, 2), scene pixels.

    Returns:
        New array, shape (N, 2), degrees.

    Raises:
        InputError: If the scene has no affine georeference.
    """
    if record.georeference != "affine" or record.transform is None or record.crs is None:
        raise InputError(
            f"Cannot place pixels of {record.scene_id}: expected an affine georeference with a CRS, got "
            f"{record.georeference!r}. Leave the scene out of the georeference check."
        )
    from pyproj import Transformer

    a, b, c, d, e, f = record.transform
    x, y = np.asarray(points_xy, dtype=np.float64).T
    lon, lat = Transformer.from_crs(record.crs, "OGC:CRS84", always_xy=True).transform(a * x + b * y + c, d * x + e * y + f)
    return np.stack([lon, lat], axis=1)


def corner_errors_px(
    true_lonlat_n2: NDArray[Any], ring_lonlat: Sequence[tuple[float, float]] | NDArray[Any], gsd_m: float
) -> FloatArray:
    """Ground distance from each true corner to the nearest corner of a ring, in pixels of the scene.

    Geodesic, so a ring across the antimeridian is no special case, and neither is where a ring starts or which way it turns.

    Args:
        true_lonlat_n2: True corners, shape (N, 2), degrees.
        ring_lonlat: Corners as exported, closed or not.
        gsd_m: Metres a pixel.

    Returns:
        New array, shape (N,), float64, px.
    """
    from ovd_platform.geometry.place import GEOD

    true, ring = np.asarray(true_lonlat_n2, dtype=np.float64), np.asarray(ring_lonlat, dtype=np.float64)
    a = np.repeat(true, len(ring), axis=0)
    b = np.tile(ring, (len(true), 1))
    _, _, metres = GEOD.inv(a[:, 0], a[:, 1], b[:, 0], b[:, 1])
    distances = np.asarray(metres, dtype=np.float64).reshape(len(true), len(ring))
    return np.asarray(distances.min(axis=1) / gsd_m, dtype=np.float64)


def footprint_errors_px(
    record: SceneRecord, boxes: Sequence[Box], rings: Sequence[Sequence[tuple[float, float]]]
) -> FloatArray:
    """Largest corner error of each exported ring against the given boxes, shape (N,), px.

    With the detection's own box this is the projection error; with the box of the object it found, the localisation error on
    the ground.
    """
    if record.gsd_m is None:
        raise InputError(
            f"Cannot state errors of {record.scene_id} in pixels: expected a ground sample distance, got none. Leave it out."
        )
    if not boxes:
        return np.zeros(0)
    true = affine_lonlat(record, np.concatenate([corners_scene_xy(box) for box in boxes]))
    return np.asarray(
        [corner_errors_px(true[4 * n : 4 * n + 4], ring, record.gsd_m).max() for n, ring in enumerate(rings)], dtype=np.float64
    )
