"""Marks that are part of the pixels: coloured rings, boxes, arrows and leader lines. Belongs here: finding them; words are callouts'.

Only strokes of a strong colour are found: a yellow ring on a grey or green image. White or black strokes look like the image.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.drawings import Drawing
from ovd_platform.documents.page_boxes import Box, intersection_area

_SATURATED, _BRIGHT = 0.45, 0.35
_HUES = 12
_MAX_SHARE = 0.06  # a hue that covers more of the image is the image
_MIN_SIDE_PX = 8
_MAX_FILL = 0.4
_THIN = 5.0


def pixel_marks(image: NDArray[Any], box: Box, words: list[Box]) -> list[Drawing]:
    """Strokes drawn into an image, in page points.

    Args:
        image: Shape (H, W, 3), uint8; other images have no marks of this kind.
        box: Where the image lies on the page.
        words: Page boxes of words in the image, whose letters are no marks.

    Returns:
        New list: lines with their ends, and closed strokes as ``path``.
    """
    if image.ndim != 3 or image.dtype != np.uint8 or not words:
        return []
    import cv2

    unit = image.astype(np.float32) / 255
    hue, saturation, value = cv2.split(cv2.cvtColor(unit, cv2.COLOR_RGB2HSV))
    strong = (saturation > _SATURATED) & (value > _BRIGHT)
    scale = ((box[2] - box[0]) / image.shape[1], (box[3] - box[1]) / image.shape[0])
    marks: list[Drawing] = []
    for number in range(_HUES):
        near = np.abs((hue - (number + 0.5) * 360 / _HUES + 180) % 360 - 180) <= 360 / _HUES
        mask = strong & near
        if not 20 <= int(mask.sum()) <= _MAX_SHARE * mask.size:
            continue
        closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        count, labels, statistics, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
        for label in range(1, count):
            x, y, width, height, area = statistics[label].tolist()
            if max(width, height) < _MIN_SIDE_PX:
                continue
            place = (
                box[0] + x * scale[0],
                box[1] + y * scale[1],
                box[0] + (x + width) * scale[0],
                box[1] + (y + height) * scale[1],
            )
            if any(intersection_area(place, other) > 0.6 * (place[2] - place[0]) * (place[3] - place[1]) for other in words):
                continue
            rows, columns = np.nonzero(labels[y : y + height, x : x + width] == label)
            mark = _mark(columns + x, rows + y, area / (width * height), place, box, scale)
            if mark is not None:
                marks.append(mark)
    return _distinct(marks)


def _mark(
    x_n: NDArray[Any], y_n: NDArray[Any], fill: float, place: Box, box: Box, scale: tuple[float, float]
) -> Drawing | None:
    points = np.stack([x_n, y_n], axis=1).astype(np.float32)
    centred = points - points.mean(axis=0)
    spread, axes = np.linalg.eigh(np.cov(centred.T) + 1e-6 * np.eye(2))
    along = centred @ axes[:, 1]
    if np.sqrt(spread[1] / spread[0]) >= _THIN:
        ends = points[[int(along.argmin()), int(along.argmax())]]
        first, last = ((box[0] + float(x) * scale[0], box[1] + float(y) * scale[1]) for x, y in ends)
        return Drawing(place, "line", True, False, "", (first, last))
    if fill > _MAX_FILL or min(place[2] - place[0], place[3] - place[1]) < 5:
        return None
    return Drawing(place, "path", True, False, "", ((place[0], place[1]), (place[2], place[3])))


def _distinct(marks: list[Drawing]) -> list[Drawing]:
    """Neighbouring hues see the same stroke: the larger of two alike stays."""
    kept: list[Drawing] = []
    for mark in sorted(marks, key=lambda item: -(item.box[2] - item.box[0]) * (item.box[3] - item.box[1])):
        area = max((mark.box[2] - mark.box[0]) * (mark.box[3] - mark.box[1]), 1e-6)
        if not any(intersection_area(mark.box, other.box) > 0.7 * area and mark.shape == other.shape for other in kept):
            kept.append(mark)
    return kept
