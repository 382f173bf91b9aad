"""Vector drawings of a page: marks over images, and parts of drawn figures. Belongs here: shapes; clusters are regions'."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ovd_platform.documents.page_boxes import Box, clipped, grown, union_box

Shape = Literal["rectangle", "circle", "ellipse", "arrow", "line", "polygon", "path"]
_MAX_DRAWINGS = 20_000
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


def page_drawings(page: Any) -> list[Drawing]:
    """Painted paths and drawn annotations of a page; at most 20,000.

    Args:
        page: An open PyMuPDF page without rotation.
    """
    found: list[Drawing] = []
    clips: list[Box | None] = []
    for path in page.get_cdrawings(extended=True)[:_MAX_DRAWINGS]:
        level = int(path.get("level", 0))
        if path.get("type") in ("s", "f", "fs"):
            drawing = _drawing(path, clips[min(level, len(clips)) - 1] if level and clips else None)
            if drawing is not None:
                found.append(drawing)
        else:  # a clip holds for what is deeper, and is within those above it already; a group clips nothing
            above = clips[min(level, len(clips)) - 1] if level and clips else None
            clips[level:] = [tuple(map(float, path["scissor"])) if path.get("scissor") else above]  # type: ignore[list-item]
    return _join_arrows(found + _annotations(page))


def _drawing(path: dict[str, Any], clip: Box | None = None) -> Drawing | None:
    items = path.get("items", [])
    rect = path.get("rect")
    if not items or rect is None:
        return None
    box = (float(rect[0]), float(rect[1]), float(rect[2]), float(rect[3]))
    white = path.get("fill") == (1.0, 1.0, 1.0) and path.get("color") in (None, (1.0, 1.0, 1.0))
    if white:
        return None
    if clip is not None:
        box = clipped(box, grown(clip, 0.5))
        if box[2] < box[0] or box[3] < box[1]:
            return None
    ends = _corners(items[0])[0], _corners(items[-1])[-1]
    curves = sum(item[0] == "c" for item in items)
    slanted = curves > 0 or any(_is_slanted(item) for item in items)
    shape = _shape(items, box, curves, ends)
    return Drawing(box, shape, slanted, "f" in str(path.get("type")), _color(path), ends)


def _corners(item: Any) -> list[tuple[float, float]]:
    """Corners of one piece of a path in the order they are drawn."""
    if item[0] in ("l", "c"):
        return [(float(item[1][0]), float(item[1][1])), (float(item[-1][0]), float(item[-1][1]))]
    if item[0] == "re":
        return [(float(item[1][0]), float(item[1][1])), (float(item[1][2]), float(item[1][3]))]
    return [(float(point[0]), float(point[1])) for point in item[1]]


def _is_slanted(item: Any) -> bool:
    if item[0] != "l":
        return False
    return bool(abs(item[1][0] - item[2][0]) > 0.6 and abs(item[1][1] - item[2][1]) > 0.6)


def _color(path: dict[str, Any]) -> str:
    color = path.get("color") or path.get("fill")
    if not color or len(color) != 3:
        return ""
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in color)


def _shape(items: Sequence[Any], box: Box, curves: int, ends: tuple[tuple[float, float], tuple[float, float]]) -> Shape:
    width, height = box[2] - box[0], box[3] - box[1]
    closed = abs(ends[0][0] - ends[1][0]) < 0.6 and abs(ends[0][1] - ends[1][1]) < 0.6
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
