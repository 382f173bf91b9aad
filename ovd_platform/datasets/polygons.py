"""Polygons of labels in pixels: boxes as corners, clipping, exact outlines of masks, reproducible ids.

Belongs here: pixel geometry of one label. Does not belong here: ground coordinates (geometry's) and file formats.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ovd_platform.records.annotation import Annotation

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

Corners = tuple[tuple[float, float], ...]


def box_corners(x0: float, y0: float, x1: float, y1: float) -> Corners:
    """Four corners of an axis-aligned box, clockwise on the screen from the top left, pixels."""
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def open_ring(corners: Sequence[Sequence[float]]) -> Corners:
    """Corners without the repeated last one of a closed ring and without consecutive duplicates."""
    ring: list[tuple[float, float]] = []
    for corner in corners:
        point = (float(corner[0]), float(corner[1]))
        if not ring or ring[-1] != point:
            ring.append(point)
    if len(ring) > 1 and ring[0] == ring[-1]:
        ring.pop()
    return tuple(ring)


def polygon_area(corners: Corners) -> float:
    """Area by the shoelace formula in square pixels, never negative; 0 for fewer than three corners."""
    if len(corners) < 3:
        return 0.0
    points_n2 = np.asarray(corners, dtype=np.float64)
    x_n, y_n = points_n2[:, 0] - points_n2[0, 0], points_n2[:, 1] - points_n2[0, 1]
    return float(abs(np.dot(x_n, np.roll(y_n, -1)) - np.dot(y_n, np.roll(x_n, -1))) / 2)


def is_axis_aligned(corners: Corners) -> bool:
    """Whether the corners are the four corners of an axis-aligned box."""
    if len(corners) != 4:
        return False
    xs, ys = {corner[0] for corner in corners}, {corner[1] for corner in corners}
    return len(xs) == 2 and len(ys) == 2 and len(set(corners)) == 4


def clip_corners(corners: Corners, width_px: float, height_px: float) -> Corners:
    """The part of a polygon inside an image.

    Args:
        corners: Ring in pixels; one corner is a point.
        width_px: Columns of the image.
        height_px: Rows of the image.

    Returns:
        The same tuple if everything is inside, the clipped ring (the largest part if several remain), or () if nothing is left.
    """
    if all(0 <= x <= width_px and 0 <= y <= height_px for x, y in corners):
        return corners
    if len(corners) < 3:
        return ()
    if is_axis_aligned(corners):
        ring = open_ring([(min(max(x, 0.0), width_px), min(max(y, 0.0), height_px)) for x, y in corners])
        return ring if polygon_area(ring) > 0 else ()
    from shapely.geometry import Polygon, box

    clipped = Polygon(corners).buffer(0).intersection(box(0, 0, width_px, height_px))
    parts = [part for part in getattr(clipped, "geoms", [clipped]) if part.geom_type == "Polygon" and part.area > 0]
    if not parts:
        return ()
    return exterior(max(parts, key=lambda part: part.area))


def exterior(shape: "BaseGeometry") -> Corners:
    """Exterior ring of a polygon, without the repeated last corner; () for anything else."""
    ring = getattr(shape, "exterior", None)
    return open_ring(list(ring.coords)) if ring is not None else ()


def four_corners(corners: Corners) -> Corners:
    """The corners if there are four, else the smallest rotated rectangle around them (for formats that hold only four)."""
    if len(corners) == 4:
        return corners
    from shapely.geometry import MultiPoint

    rectangle = MultiPoint(corners).minimum_rotated_rectangle
    if rectangle.geom_type != "Polygon":
        xs, ys = [corner[0] for corner in corners], [corner[1] for corner in corners]
        return box_corners(min(xs), min(ys), max(xs), max(ys))
    return exterior(rectangle)


def mask_outline(mask_hw: NDArray[np.bool_], *, col_px: float = 0.0, row_px: float = 0.0) -> tuple[Corners, int]:
    """Exact outline of a mask along pixel borders.

    Args:
        mask_hw: True on the object, shape (H, W), bool.
        col_px: Added to every x.
        row_px: Added to every y.

    Returns:
        The exterior ring (of the convex hull if the mask falls apart into several pieces) and the number of pieces; holes are
        not kept. Rings of an empty mask are ().
    """
    from shapely import unary_union
    from shapely.geometry import box

    runs = []
    for row in np.flatnonzero(mask_hw.any(axis=1)):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], mask_hw[row].astype(np.int8), [0]))))
        ends = edges.tolist()
        runs += [box(start, int(row), stop, int(row) + 1) for start, stop in zip(ends[::2], ends[1::2], strict=True)]
    if not runs:
        return (), 0
    union = unary_union(runs)
    pieces = len(getattr(union, "geoms", [union]))
    outline = union if pieces == 1 else union.convex_hull
    ring = exterior(outline.simplify(0))
    return tuple((x + col_px, y + row_px) for x, y in ring), pieces


def rasterise(corners: Corners, height_px: int, width_px: int) -> NDArray[np.bool_]:
    """Mask of the pixels whose centre lies inside a ring, shape (H, W), bool, new array; corners in pixels of that array."""
    inside_hw = np.zeros((height_px, width_px), dtype=bool)
    if len(corners) < 3:
        return inside_hw
    x_w = np.arange(width_px) + 0.5
    points = list(corners)
    for row in range(height_px):
        y = row + 0.5
        crossings_w = np.zeros(width_px, dtype=np.int64)
        for (xa, ya), (xb, yb) in zip(points, points[1:] + points[:1], strict=True):
            if (ya <= y) != (yb <= y):
                crossings_w += x_w > xa + (y - ya) * (xb - xa) / (yb - ya)
        inside_hw[row] = crossings_w % 2 == 1
    return inside_hw


def annotation_id(scene_id: str, class_name: str, corners: Corners) -> str:
    """Reproducible id of a label: 16 hex digits of the hash of scene, class and geometry (rounded to 1/1000 px)."""
    text = f"{scene_id}|{class_name}|" + ";".join(f"{x:.3f},{y:.3f}" for x, y in corners)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_annotation(
    scene_id: str, class_name: str, corners: Corners, *, source: str = "human", difficult: bool = False
) -> Annotation:
    """An annotation with its reproducible id.

    Raises:
        InputError: If there are no corners.
    """
    identity = annotation_id(scene_id, class_name, corners)
    return Annotation(identity, scene_id, class_name, corners, source=source, difficult=difficult)  # type: ignore[arg-type]
