"""Vector drawings of a page: marks over images, and drawn figures. Belongs here: shapes and clusters; never captions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ovd_platform.documents.page_boxes import Box, box_area, clipped, covered_fraction, grown, intersection_area, union_box
from ovd_platform.documents.page_text import TextLine

Shape = Literal["rectangle", "circle", "ellipse", "arrow", "line", "polygon", "path"]
_MAX_DRAWINGS = 20_000
_CELL_PT = 4.0
_MAX_ARROW_SEARCH = 1500
_MAX_HEAD_PT = 14.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """One painted path.

    Attributes:
        box: Page box in points.
        shape: What it looks like.
        slanted: True if any part is curved or neither horizontal nor vertical.
        filled: True if its inside is painted.
        color: Stroke, or fill where there is no stroke, as "#rrggbb"; "" if unknown.
        ends: First and last point, for lines.
    """

    box: Box
    shape: Shape
    slanted: bool
    filled: bool
    color: str
    ends: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class VectorRegion:
    """A cluster of drawings that may be a figure.

    Attributes:
        box: Page box in points, with the labels that belong to it.
        pieces: Number of drawings and small images in it.
        certain: False if it may as well be a table or a text frame: kept only with a caption.
    """

    box: Box
    pieces: int
    certain: bool


def page_drawings(page: Any) -> list[Drawing]:
    """Painted paths and drawn annotations of a page; at most 20,000.

    Args:
        page: An open PyMuPDF page without rotation.
    """
    found: list[Drawing] = []
    for path in page.get_cdrawings()[:_MAX_DRAWINGS]:
        drawing = _drawing(path) if path.get("type") in ("s", "f", "fs") else None
        if drawing is not None:
            found.append(drawing)
    return _join_arrows(found + _annotations(page))


def _drawing(path: dict[str, Any]) -> Drawing | None:
    items = path.get("items", [])
    rect = path.get("rect")
    if not items or rect is None:
        return None
    box = (float(rect[0]), float(rect[1]), float(rect[2]), float(rect[3]))
    white = path.get("fill") == (1.0, 1.0, 1.0) and path.get("color") in (None, (1.0, 1.0, 1.0))
    if white:
        return None
    points = _points(items)
    curves = sum(item[0] == "c" for item in items)
    slanted = curves > 0 or any(_is_slanted(item) for item in items)
    shape = _shape(items, box, curves, points)
    return Drawing(box, shape, slanted, "f" in str(path.get("type")), _color(path), (points[0], points[-1]))


def _points(items: Sequence[Any]) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for item in items:
        if item[0] in ("l", "c"):
            points.extend((float(point[0]), float(point[1])) for point in (item[1], item[-1]))
        elif item[0] == "re":
            points.extend([(float(item[1][0]), float(item[1][1])), (float(item[1][2]), float(item[1][3]))])
        else:
            points.extend((float(point[0]), float(point[1])) for point in item[1])
    return points


def _is_slanted(item: Any) -> bool:
    if item[0] != "l":
        return False
    return bool(abs(item[1][0] - item[2][0]) > 0.6 and abs(item[1][1] - item[2][1]) > 0.6)


def _color(path: dict[str, Any]) -> str:
    color = path.get("color") or path.get("fill")
    if not color or len(color) != 3:
        return ""
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in color)


def _shape(items: Sequence[Any], box: Box, curves: int, points: list[tuple[float, float]]) -> Shape:
    width, height = box[2] - box[0], box[3] - box[1]
    closed = abs(points[0][0] - points[-1][0]) < 0.6 and abs(points[0][1] - points[-1][1]) < 0.6
    if len(items) == 1 and items[0][0] in ("re", "qu"):
        return "line" if min(width, height) < 1.0 else "rectangle"
    if curves >= 4 and curves == len(items) and closed and min(width, height) > 0:
        return "circle" if 0.8 <= width / height <= 1.25 else "ellipse"
    lines = [item for item in items if item[0] == "l"]
    if len(lines) == len(items):
        return _line_shape(lines, closed)
    return "path"


def _line_shape(lines: Sequence[Any], closed: bool) -> Shape:
    if len(lines) == 1:
        return "line"
    if len(lines) in (2, 3, 4) and not closed and _share_tip(lines):
        return "arrow"
    if len(lines) in (3, 4) and closed:
        return "rectangle" if len(lines) == 4 and not any(_is_slanted(line) for line in lines) else "polygon"
    return "polygon" if closed else "path"


def _share_tip(lines: Sequence[Any]) -> bool:
    """Shaft and two barbs of a stroked arrow meet in one point, and the shaft is the longest by far."""
    lengths = sorted((float(np.hypot(line[1][0] - line[2][0], line[1][1] - line[2][1])) for line in lines), reverse=True)
    shaft = max(lines, key=lambda line: np.hypot(line[1][0] - line[2][0], line[1][1] - line[2][1]))
    barbs = [line for line in lines if line is not shaft]
    if len(barbs) < 2 or lengths[1] > 0.6 * lengths[0]:
        return False
    return any(
        all(min(np.hypot(tip[0] - p[0], tip[1] - p[1]) for p in (line[1], line[2])) < 1.0 for line in barbs)
        for tip in shaft[1:3]
    )


def _join_arrows(drawings: list[Drawing]) -> list[Drawing]:
    """A line and what makes a head at one of its ends (a small triangle, or short lines) become one arrow."""
    if len(drawings) > _MAX_ARROW_SEARCH:
        return drawings
    heads = [drawing for drawing in drawings if _may_be_head(drawing)]
    used: set[int] = set()
    result: list[Drawing] = []
    for drawing in drawings:
        mine = (
            [head for head in heads if id(head) not in used and _is_head_of(head, drawing)] if drawing.shape == "line" else []
        )
        if not any(head.shape != "line" for head in mine) and len(mine) < 2:
            result.append(drawing)
            continue
        used.update(id(head) for head in mine)
        box = union_box([drawing.box, *(head.box for head in mine)])
        result.append(Drawing(box, "arrow", True, any(head.filled for head in mine), drawing.color, drawing.ends))
    return [drawing for drawing in result if id(drawing) not in used]


def _length(drawing: Drawing) -> float:
    (x0, y0), (x1, y1) = drawing.ends
    return float(np.hypot(x1 - x0, y1 - y0))


def _may_be_head(drawing: Drawing) -> bool:
    size = max(drawing.box[2] - drawing.box[0], drawing.box[3] - drawing.box[1])
    return drawing.shape in ("polygon", "path", "line") and size <= _MAX_HEAD_PT


def _is_head_of(head: Drawing, line: Drawing) -> bool:
    """Whether a small drawing sits at an end of a line; a short line must begin just there and be much shorter."""
    if head is line or _length(line) < 8:
        return False
    if head.shape != "line":
        return _touches_end(line, head)
    meets = any(np.hypot(p[0] - q[0], p[1] - q[1]) < 1.0 for p in head.ends for q in line.ends)
    return bool(meets and _length(head) < 0.6 * _length(line) and head.color == line.color)


def _touches_end(line: Drawing, head: Drawing) -> bool:
    x0, y0, x1, y1 = grown(head.box, 2.0)
    return any(x0 <= x <= x1 and y0 <= y <= y1 for x, y in line.ends)


_ANNOTATION_SHAPES: dict[str, Shape] = {
    "Square": "rectangle", "Circle": "ellipse", "Line": "line", "Polygon": "polygon", "PolyLine": "path", "Ink": "path",
}  # fmt: skip


def _annotations(page: Any) -> list[Drawing]:
    found = []
    for annotation in page.annots() or ():
        shape = _ANNOTATION_SHAPES.get(annotation.type[1])
        if shape is None:
            continue
        box = tuple(map(float, annotation.rect))
        if shape == "ellipse" and 0.8 <= (box[2] - box[0]) / max(box[3] - box[1], 1e-6) <= 1.25:
            shape = "circle"
        if shape == "line" and any(int(end) > 0 for end in annotation.line_ends or ()):
            shape = "arrow"
        color = _color({"color": tuple(annotation.colors.get("stroke") or ()) or None})
        found.append(Drawing((box[0], box[1], box[2], box[3]), shape, True, False, color, ((box[0], box[1]), (box[2], box[3]))))
    return found


def vector_regions(pieces: Sequence[tuple[Box, int]], lines: Sequence[TextLine], bounds: Box) -> list[VectorRegion]:
    """Clusters of drawings large enough to be a figure.

    Args:
        pieces: Page boxes of drawings and images, each with how much it speaks for a figure: 0 a straight line or frame,
            1 a slanted or curved one or a small image, 8 images that overlap each other.
        lines: Text of the page that may label the figures (no captions).
        bounds: The page.

    Returns:
        New list in reading order.
    """
    usable = [(clipped(box, bounds), weight) for box, weight in pieces if box_area(box) < 0.5 * box_area(bounds)]
    usable = [(box, weight) for box, weight in usable if box[2] >= box[0] and box[3] >= box[1]]
    if not usable:
        return []
    labels = _cluster_labels([box for box, _ in usable], bounds)
    regions = []
    for label in sorted(set(labels)):
        members = [piece for piece, of in zip(usable, labels, strict=True) if of == label]
        region = _region(members, lines)
        if region is not None:
            regions.append(region)
    return sorted(regions, key=lambda region: (region.box[1], region.box[0]))


def _cluster_labels(boxes: Sequence[Box], bounds: Box) -> list[int]:
    """Connected components on a grid of 4 pt cells, so that the cost does not grow with the square of the drawings."""
    from scipy import ndimage

    columns = int((bounds[2] - bounds[0]) / _CELL_PT) + 2
    rows = int((bounds[3] - bounds[1]) / _CELL_PT) + 2
    grid_hw = np.zeros((rows, columns), dtype=bool)
    cells = []
    for x0, y0, x1, y1 in boxes:
        left, top = int((x0 - bounds[0]) / _CELL_PT), int((y0 - bounds[1]) / _CELL_PT)
        cells.append((top, left))
        grid_hw[top : int((y1 - bounds[1]) / _CELL_PT) + 1, left : int((x1 - bounds[0]) / _CELL_PT) + 1] = True
    spread_hw = ndimage.binary_dilation(grid_hw, structure=np.ones((3, 3), dtype=bool))
    labels_hw, _ = ndimage.label(spread_hw, structure=np.ones((3, 3), dtype=int))
    return [int(labels_hw[row, column]) for row, column in cells]


def _region(members: Sequence[tuple[Box, int]], lines: Sequence[TextLine]) -> VectorRegion | None:
    box = union_box(member for member, _ in members)
    if box[2] - box[0] < 40 or box[3] - box[1] < 30:
        return None
    near = [line.box for line in lines if len(line.text) <= 40 and intersection_area(line.box, grown(box, 6)) > 0]
    inside = sum(intersection_area(line.box, box) for line in lines)
    weight = sum(of_member for _, of_member in members)
    wordy = inside > 0.3 * box_area(box)
    certain = weight >= 8 or (weight >= 4 and len(members) >= 6 and not wordy)
    text = sum(covered_fraction(line.box, box) > 0.5 and len(line.text.split()) > 8 for line in lines)
    if text > 4 and weight < 4:
        return None
    return VectorRegion(union_box([box, *near]), len(members), certain)
