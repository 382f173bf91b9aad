"""Rectangles on a page in PDF points, origin top left. Belongs here: arithmetic of page boxes; scene pixels are geometry's."""

from collections.abc import Iterable

Box = tuple[float, float, float, float]


def box_area(box: Box) -> float:
    """Area in square points; 0 for an empty or inverted box."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def intersection_area(first: Box, second: Box) -> float:
    """Common area of two boxes in square points."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, width) * max(0.0, height)


def covered_fraction(inner: Box, outer: Box) -> float:
    """Part of ``inner`` that lies in ``outer``, [0, 1]; thin boxes are widened to half a point so that lines count."""
    thick = grown(inner, 0.25)
    return min(1.0, intersection_area(thick, outer) / max(box_area(thick), 1e-9))


def union_box(boxes: Iterable[Box]) -> Box:
    """Smallest box around at least one box."""
    items = list(boxes)
    return (min(b[0] for b in items), min(b[1] for b in items), max(b[2] for b in items), max(b[3] for b in items))


def grown(box: Box, margin_pt: float) -> Box:
    """The box with a margin on each side, in points."""
    return (box[0] - margin_pt, box[1] - margin_pt, box[2] + margin_pt, box[3] + margin_pt)


def clipped(box: Box, bounds: Box) -> Box:
    """The part of a box inside of bounds; may be empty."""
    return (max(box[0], bounds[0]), max(box[1], bounds[1]), min(box[2], bounds[2]), min(box[3], bounds[3]))


def centre(box: Box) -> tuple[float, float]:
    """Centre point (x, y)."""
    return ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def x_overlap(first: Box, second: Box) -> float:
    """Common horizontal extent over the narrower width, [0, 1]."""
    common = min(first[2], second[2]) - max(first[0], second[0])
    return max(0.0, common) / max(min(first[2] - first[0], second[2] - second[0]), 1e-6)


def y_overlap(first: Box, second: Box) -> float:
    """Common vertical extent over the lower height, [0, 1]."""
    common = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, common) / max(min(first[3] - first[1], second[3] - second[1]), 1e-6)


def gap_x(first: Box, second: Box) -> float:
    """Horizontal distance in points; negative where they overlap."""
    return max(first[0], second[0]) - min(first[2], second[2])


def gap_y(first: Box, second: Box) -> float:
    """Vertical distance in points; negative where they overlap."""
    return max(first[1], second[1]) - min(first[3], second[3])
