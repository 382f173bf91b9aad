"""Figures inside a scanned page. Belongs here: telling pictures from print in the pixels of a page; reading words is recognition's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.captions import may_hold_caption
from ovd_platform.documents.page_boxes import Box, box_area, covered_fraction, grown, intersection_area, union_box
from ovd_platform.documents.page_text import RECOGNISED, TextLine
from ovd_platform.documents.skew import turned_back

_GRID_PT = 1.5  # cells the page is looked at in
_CLOSE_CELLS = 3
_MIN_WIDTH_PT, _MIN_HEIGHT_PT = 36.0, 28.0
_INK = 0.12  # darker than the paper by this share is ink
_SOLID, _FULL = 0.45, 0.85
_ONE_TONE = 0.02  # of full brightness: a scanner's noise on one colour stays below
_LOOSE_PT = 8.0
_FINE = 2  # times the grid, to find lanes of paper between pictures
_PAPER_SHARE = 0.3  # of a fine cell; less ink is noise of the scanner, or the edge of a picture
_LANE_INK = 0.02
_LANE_CELLS = 3
_LEAST_PART = 24
_LABEL_LETTERS, _LABEL_PT = 24, 5.0
_MANY_LABELS = 3  # an area with more words and no caption is a table or a frame rather than a drawing
_PRINTED = 0.02
_LONG_WORD, _ODD_SHARE = 14, 0.09  # one word in fifty is odd in print, German and formulas included
_RUN_TOGETHER = re.compile(r"[^\W\d_]{2}[A-ZÄÖÜ][a-zäöü]|[^\W\d_],[^\W\d_]|[^\W\d_]\.[^\W\d_]{2}")


def is_printed(page_hw: NDArray[np.float32], lines: Sequence[TextLine], bounds: Box) -> bool:
    """Whether the page image shows ink where the page's text layer stands: a scan with hidden words, not a background.

    Args:
        page_hw: Brightness of the page image, [0, 1].
        lines: Text of the page.
        bounds: The page in points.
    """
    ink_hw = ink_of(page_hw)
    shares = []
    for line in lines[:200]:
        rows, columns = _pixels(line.place, bounds, page_hw.shape)
        if rows.stop > rows.start and columns.stop > columns.start:
            shares.append(float(ink_hw[rows, columns].mean()))
    return bool(shares) and float(np.median(shares)) > _PRINTED


def is_poor_text(lines: Sequence[TextLine]) -> bool:
    """Whether the words of a hidden text layer run together, as badly made ones do; words that were read here never are."""
    words = [word for line in lines if line.font != RECOGNISED for word in line.text.split() if any(map(str.isalpha, word))]
    odd = sum(len(word) >= _LONG_WORD or _RUN_TOGETHER.search(word) is not None for word in words)
    return bool(words) and odd > _ODD_SHARE * len(words)


@dataclass(frozen=True, slots=True)
class ScannedPicture:
    """A picture or drawing in a scanned page.

    Attributes:
        box: On the straight page, points.
        certain: False for what may as well be a table or a frame around text.
        solid: True for a picture, whose area is mostly ink; False for a drawing.
    """

    box: Box
    certain: bool
    solid: bool


@dataclass(frozen=True, slots=True)
class Area:
    """Connected ink on the straight page.

    Attributes:
        box: Around it, points.
        picture: True if it is a picture and not a stroke or a bar of a drawing.
    """

    box: Box
    picture: bool


Cells = tuple[int, int, int, int]


def pictures_of_scan(
    page_hw: NDArray[np.float32], lines: Sequence[TextLine], bounds: Box, skew_deg: float = 0.0
) -> list[ScannedPicture]:
    """Pictures and drawings of a scanned page.

    Ink that is not print is gathered into connected areas on the page turned straight; pictures side by side are parted at the paper
    between them.

    Args:
        page_hw: Brightness of the page image, [0, 1].
        lines: Words read on the page, boxes on the straight page; short ones inside a picture stay part of it.
        bounds: The page in points.
        skew_deg: By how much the page is turned clockwise.
    """
    import cv2

    ink_hw = ink_of(page_hw)
    rows, columns = int((bounds[3] - bounds[1]) / _GRID_PT), int((bounds[2] - bounds[0]) / _GRID_PT)
    fine_size = (_FINE * columns, _FINE * rows)
    fine_hw = turned_back(cv2.resize(ink_hw.astype(np.float32), fine_size, interpolation=cv2.INTER_AREA), skew_deg, 0.0)
    light_hw = turned_back(cv2.resize(page_hw, fine_size, interpolation=cv2.INTER_AREA), skew_deg, 1.0)
    share_hw = cv2.resize(fine_hw, (columns, rows), interpolation=cv2.INTER_AREA)
    plain_hw = share_hw > 0.15
    for line in lines:
        of_line = _pixels(grown(line.box, 1.0), bounds, plain_hw.shape)
        if share_hw[of_line].size and float(share_hw[of_line].mean()) < _SOLID:  # words on paper, not words on a picture
            plain_hw[of_line] = False
    closed = cv2.morphologyEx(plain_hw.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((_CLOSE_CELLS, _CLOSE_CELLS), np.uint8))
    count, _, statistics, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    found: list[Area] = []
    for x, y, width, height, area in statistics[1:count].tolist():
        cells = (_FINE * x, _FINE * y, _FINE * (x + width), _FINE * (y + height))
        picture = _is_picture(area / (width * height), min(width, height) * _GRID_PT, fine_hw, light_hw, cells)
        for x0, y0, x1, y1 in _parted(fine_hw > _PAPER_SHARE, cells) if picture else [cells]:
            step = _GRID_PT / _FINE
            box = (bounds[0] + x0 * step, bounds[1] + y0 * step, bounds[0] + x1 * step, bounds[1] + y1 * step)
            found.append(Area(box, picture))
    return _figures(_joined([area for area in found if _is_large(area.box, 6.0)]), lines, bounds)


def _is_picture(fill: float, side_pt: float, ink_hw: NDArray[np.float32], light_hw: NDArray[np.float32], cells: Cells) -> bool:
    """Whether connected ink is a picture: mostly ink, and not of one tone as the bars of a chart are."""
    if fill < _SOLID or side_pt < _MIN_WIDTH_PT:
        return False
    x0, y0, x1, y1 = cells
    tones = light_hw[y0:y1, x0:x1][ink_hw[y0:y1, x0:x1] > 0.9]
    if fill >= _FULL or not tones.size:
        return True
    return float(np.median(np.abs(tones - np.median(tones)))) >= _ONE_TONE


def _parted(ink_hw: NDArray[np.bool_], cells: Cells) -> list[Cells]:
    """A solid area cut at straight lanes of paper that cross it whole: pictures of one row or column that ran together."""
    x0, y0, x1, y1 = cells
    inside = ink_hw[y0:y1, x0:x1]
    for axis, first, last in ((0, x0, x1), (1, y0, y1)):
        empty = inside.mean(axis=axis) < _LANE_INK
        edges = np.flatnonzero(np.diff(np.r_[False, empty, False].astype(np.int8)))
        lanes = [
            (int(start), int(end))
            for start, end in zip(edges[::2], edges[1::2], strict=True)
            if end - start >= _LANE_CELLS and start >= _LEAST_PART and last - first - end >= _LEAST_PART
        ]
        if lanes:
            start, end = lanes[0]
            if axis == 0:
                halves = ((x0, y0, x0 + start, y1), (x0 + end, y0, x1, y1))
            else:
                halves = ((x0, y0, x1, y0 + start), (x0, y0 + end, x1, y1))
            return [part for half in halves for part in _parted(ink_hw, _trimmed(ink_hw, half))]
    return [cells]


def _trimmed(ink_hw: NDArray[np.bool_], cells: Cells) -> Cells:
    """Without the paper at its edges."""
    x0, y0, x1, y1 = cells
    rows = np.flatnonzero(ink_hw[y0:y1, x0:x1].mean(axis=1) >= _LANE_INK)
    columns = np.flatnonzero(ink_hw[y0:y1, x0:x1].mean(axis=0) >= _LANE_INK)
    if not len(rows) or not len(columns):
        return cells
    return (x0 + int(columns[0]), y0 + int(rows[0]), x0 + int(columns[-1]) + 1, y0 + int(rows[-1]) + 1)


def _figures(found: Sequence[Area], lines: Sequence[TextLine], bounds: Box) -> list[ScannedPicture]:
    result = []
    for area in _with_labels(found, lines):
        if not _is_large(area.box, 0.0) or box_area(area.box) > 0.9 * box_area(bounds):
            continue
        inside = [line for line in lines if covered_fraction(line.box, area.box) > 0.6]
        running = sum(len(line.text.split()) >= 7 for line in inside)
        wordy = sum(intersection_area(line.box, area.box) for line in inside) > 0.3 * box_area(area.box)
        if running >= 3 and not area.picture:
            continue
        certain = area.picture or not (wordy or len(inside) > _MANY_LABELS)
        result.append(ScannedPicture(area.box, certain, area.picture))
    return result


def _with_labels(found: Sequence[Area], lines: Sequence[TextLine]) -> list[Area]:
    """Drawings with the words at their axes; those that overlap then are one."""
    pictures = [area for area in found if area.picture]
    drawings: list[Area] = []
    for area in (area for area in found if not area.picture):
        near = [line.box for line in lines if len(line.text) <= _LABEL_LETTERS and _is_label(line, area.box)]
        merged = Area(union_box([area.box, *near]), False)
        while hosts := [other for other in drawings if _overlap(merged.box, other.box)]:
            drawings = [other for other in drawings if other not in hosts]
            merged = Area(union_box([merged.box, *(host.box for host in hosts)]), False)
        drawings.append(merged)
    return [*pictures, *drawings]


def _overlap(first: Box, second: Box) -> bool:
    return intersection_area(first, second) > 0.1 * min(box_area(first), box_area(second))


def _is_label(line: TextLine, box: Box) -> bool:
    return intersection_area(line.box, grown(box, _LABEL_PT)) > 0 and not may_hold_caption(line.text)


def _is_large(box: Box, slack_pt: float) -> bool:
    if slack_pt:
        return max(box[2] - box[0], box[3] - box[1]) >= slack_pt
    return box[2] - box[0] >= _MIN_WIDTH_PT and box[3] - box[1] >= _MIN_HEIGHT_PT


def _joined(found: Sequence[Area]) -> list[Area]:
    """Areas that lie in each other's box are one: a drawing's loose strokes belong to it."""
    items = sorted(found, key=lambda area: -box_area(area.box))
    changed = True
    while changed:
        changed = False
        kept: list[Area] = []
        for area in items:
            host = next((index for index, other in enumerate(kept) if _belongs(area, other)), None)
            if host is None:
                kept.append(area)
            else:
                kept[host] = Area(union_box([kept[host].box, area.box]), kept[host].picture or area.picture)
                changed = True
        items = kept
    return items


def _belongs(area: Area, host: Area) -> bool:
    """Whether an area lies in another's box, or both are loose strokes close to each other: parts of one drawing."""
    if intersection_area(area.box, grown(host.box, 1.0)) > 0.3 * box_area(area.box):
        return True
    near = intersection_area(grown(area.box, _LOOSE_PT / 2), grown(host.box, _LOOSE_PT / 2)) > 0
    return near and not area.picture and not host.picture


def ink_of(page_hw: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a page image, brightness in [0, 1], is darker than its paper."""
    paper = float(np.percentile(page_hw[::4, ::4], 95))
    return page_hw < paper - _INK


def _pixels(box: Box, bounds: Box, shape: tuple[int, ...]) -> tuple[slice, slice]:
    height, width = shape[0] / max(bounds[3] - bounds[1], 1e-6), shape[1] / max(bounds[2] - bounds[0], 1e-6)
    top, bottom = (box[1] - bounds[1]) * height, (box[3] - bounds[1]) * height
    left, right = (box[0] - bounds[0]) * width, (box[2] - bounds[0]) * width
    return slice(max(0, int(top)), max(0, int(bottom) + 1)), slice(max(0, int(left)), max(0, int(right) + 1))


def cut(page: NDArray[Any], box: Box, whole: Box) -> NDArray[Any]:
    """The native pixels of a part of a page image.

    Args:
        page: Pixels of the page image, shape (H, W) or (H, W, 3).
        box: The part, points.
        whole: Where the page image lies, points.
    """
    rows, columns = _pixels(box, whole, page.shape)
    return np.ascontiguousarray(page[rows, columns])
