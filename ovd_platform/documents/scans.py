"""Figures inside a scanned page. Belongs here: telling pictures from print in the pixels of a page; reading words is recognition's."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.page_boxes import Box, box_area, covered_fraction, grown, intersection_area, union_box
from ovd_platform.documents.page_text import TextLine

_GRID_PT = 1.5  # cells the page is looked at in
_CLOSE_CELLS = 3
_MIN_WIDTH_PT, _MIN_HEIGHT_PT = 36.0, 28.0
_INK = 0.12  # darker than the paper by this share is ink
_SOLID = 0.45
_LOOSE_PT = 8.0
_PRINTED = 0.02


def is_printed(page_hw: NDArray[np.float32], lines: Sequence[TextLine], bounds: Box) -> bool:
    """Whether the page image shows ink where the page's text layer stands: a scan with hidden words, not a background.

    Args:
        page_hw: Brightness of the page image, [0, 1].
        lines: Text of the page.
        bounds: The page in points.
    """
    ink_hw = _ink(page_hw)
    shares = []
    for line in lines[:200]:
        rows, columns = _pixels(line.box, bounds, page_hw.shape)
        if rows.stop > rows.start and columns.stop > columns.start:
            shares.append(float(ink_hw[rows, columns].mean()))
    return bool(shares) and float(np.median(shares)) > _PRINTED


def pictures_of_scan(page_hw: NDArray[np.float32], lines: Sequence[TextLine], bounds: Box) -> list[tuple[Box, bool]]:
    """Page boxes of the pictures and drawings of a scanned page.

    Ink that is not print is gathered into connected areas. Skewed pictures get the box around them.

    Args:
        page_hw: Brightness of the page image, [0, 1].
        lines: Words read on the page; short ones inside a picture stay part of it.
        bounds: The page in points.

    Returns:
        Boxes in points, each with whether it is surely a figure (a frame around text or a table is not).
    """
    import cv2

    ink_hw = _ink(page_hw)
    rows, columns = int((bounds[3] - bounds[1]) / _GRID_PT), int((bounds[2] - bounds[0]) / _GRID_PT)
    share_hw = cv2.resize(ink_hw.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    solid_hw = share_hw > 0.15
    plain_hw = solid_hw.copy()
    for line in lines:
        of_line = _pixels(grown(line.box, 1.0), bounds, plain_hw.shape)
        if share_hw[of_line].size and float(share_hw[of_line].mean()) < _SOLID:  # words on paper, not words on a picture
            plain_hw[of_line] = False
    closed = cv2.morphologyEx(plain_hw.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((_CLOSE_CELLS, _CLOSE_CELLS), np.uint8))
    count, _, statistics, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    found: list[tuple[Box, float]] = []
    for x, y, width, height, area in statistics[1:count].tolist():
        box = (
            bounds[0] + x * _GRID_PT,
            bounds[1] + y * _GRID_PT,
            bounds[0] + (x + width) * _GRID_PT,
            bounds[1] + (y + height) * _GRID_PT,
        )
        found.append((box, area / max(width * height, 1)))
    return _figures(_joined([item for item in found if _is_large(item[0], 6.0)]), lines, bounds)


def _figures(found: Sequence[tuple[Box, float]], lines: Sequence[TextLine], bounds: Box) -> list[tuple[Box, bool]]:
    result = []
    for box, fill in found:
        if not _is_large(box, 0.0) or box_area(box) > 0.9 * box_area(bounds):
            continue
        inside = [line for line in lines if covered_fraction(line.box, box) > 0.6]
        running = sum(len(line.text.split()) >= 7 for line in inside)
        wordy = sum(intersection_area(line.box, box) for line in inside) > 0.3 * box_area(box)
        if running >= 3 and fill < _SOLID:
            continue
        result.append((box, fill >= 0.3 or not (wordy or len(inside) > 8)))
    return result


def _is_large(box: Box, slack_pt: float) -> bool:
    if slack_pt:
        return max(box[2] - box[0], box[3] - box[1]) >= slack_pt
    return box[2] - box[0] >= _MIN_WIDTH_PT and box[3] - box[1] >= _MIN_HEIGHT_PT


def _joined(found: Sequence[tuple[Box, float]]) -> list[tuple[Box, float]]:
    """Areas that lie in each other's box are one: a drawing's loose strokes belong to it."""
    items = sorted(found, key=lambda item: -box_area(item[0]))
    changed = True
    while changed:
        changed = False
        kept: list[tuple[Box, float]] = []
        for box, fill in items:
            host = next((index for index, other in enumerate(kept) if _belongs((box, fill), other)), None)
            if host is None:
                kept.append((box, fill))
            else:
                kept[host] = (union_box([kept[host][0], box]), max(kept[host][1], fill))
                changed = True
        items = kept
    return items


def _belongs(item: tuple[Box, float], host: tuple[Box, float]) -> bool:
    """Whether an area lies in another's box, or both are loose strokes close to each other: parts of one drawing."""
    if intersection_area(item[0], grown(host[0], 1.0)) > 0.3 * box_area(item[0]):
        return True
    return (
        max(item[1], host[1]) < _SOLID and intersection_area(grown(item[0], _LOOSE_PT / 2), grown(host[0], _LOOSE_PT / 2)) > 0
    )


def _ink(page_hw: NDArray[np.float32]) -> NDArray[np.bool_]:
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
