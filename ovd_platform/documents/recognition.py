"""Words in pixels. Belongs here: the shape of a recogniser, and its use on pages and on figures; the shipped one is rapid's.

A recogniser is any callable from an image to lines.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.captions import may_hold_caption
from ovd_platform.documents.page_boxes import Box, centre, x_overlap
from ovd_platform.documents.page_text import RECOGNISED, TextLine
from ovd_platform.documents.rasters import render_box
from ovd_platform.documents.skew import Skew

_PAGE_SCALE = 160 / 72
_LOOK_SCALE = 0.5
_INK = 0.15
_MIN_INK_SHARE = 2e-4
_MIN_CERTAINTY = 0.5
_SAME_SIZE = 0.35
_FIRST_BLOCK = 10_000
_BLOCK_PITCH = 1.22  # of the usual distance of two lines: those of one paragraph stand closer
_PANEL_MARK = re.compile(r"\([a-h]\)(?=\s|$)")
_LONG_LINE, _MAX_SKEW_DEG = 20, 8.0


@dataclass(frozen=True, slots=True)
class RecognisedLine:
    """A line a recogniser read.

    Attributes:
        text: The words.
        box_image_xyxy: Pixels of the image it was given.
        certainty: The recogniser's own, [0, 1].
        turn_deg: Angle of the baseline, clockwise.
        height_px: Height of the letters' box across the baseline; 0 where the recogniser does not say.
    """

    text: str
    box_image_xyxy: tuple[float, float, float, float]
    certainty: float
    turn_deg: float = 0.0
    height_px: float = 0.0


Recogniser = Callable[[NDArray[np.uint8]], list[RecognisedLine]]
"""Image, shape (H, W, 3), uint8 -> lines."""


def has_ink_beside(page: Any, images: Sequence[Box]) -> bool:
    """Whether a page shows anything beside its images, at low resolution: words to be read, perhaps.

    Args:
        page: An open PyMuPDF page.
        images: Page boxes of its images; one that fills most of the page may hold the words itself and counts as ink.
    """
    rect = page.rect
    look = render_box(page, (float(rect.x0), float(rect.y0), float(rect.x1), float(rect.y1)), scale=_LOOK_SCALE).min(axis=-1)
    height, width = look.shape
    across, down = width / max(float(rect.width), 1e-6), height / max(float(rect.height), 1e-6)
    ink_hw = look < 255 * (1 - _INK)
    for x0, y0, x1, y1 in images:
        if (x1 - x0) * (y1 - y0) > 0.5 * float(rect.width) * float(rect.height):
            return True
        rows = slice(max(0, int((y0 - rect.y0) * down) - 1), max(0, int((y1 - rect.y0) * down) + 2))
        ink_hw[rows, max(0, int((x0 - rect.x0) * across) - 1) : max(0, int((x1 - rect.x0) * across) + 2)] = False
    return float(ink_hw.mean()) > _MIN_INK_SHARE


def recognised_page(page: Any, recogniser: Recogniser, minimum_certainty: float = _MIN_CERTAINTY) -> list[TextLine]:
    """Lines of a page without text, in page points.

    Args:
        page: An open PyMuPDF page.
        recogniser: Given the page at 160 dpi.
        minimum_certainty: Lines below are left out, [0, 1].
    """
    rect = page.rect
    box = (float(rect.x0), float(rect.y0), float(rect.x1), float(rect.y1))
    image_hwc = render_box(page, box, scale=_PAGE_SCALE, max_side_px=2000)
    scale = (box[2] - box[0]) / image_hwc.shape[1]
    read = [line for line in recogniser(image_hwc) if line.certainty >= minimum_certainty and line.text.strip()]
    turns = [line.turn_deg for line in read if len(line.text) >= _LONG_LINE and abs(line.turn_deg) < _MAX_SKEW_DEG]
    slope = float(np.tan(np.radians(np.median(turns)))) if turns else 0.0
    straight = [_straightened(line, box, scale, slope) for line in read]
    return as_printed(sorted(straight, key=lambda item: (item[1][1], item[1][0])))


def _straightened(line: RecognisedLine, page: Box, scale: float, slope: float) -> tuple[str, Box, Box]:
    """Text, box on the straight page, and box as seen on the skewed one."""
    x0, y0, x1, y1 = (value * scale for value in line.box_image_xyxy)
    seen = (page[0] + x0, page[1] + y0, page[0] + x1, page[1] + y1)
    middle = (seen[1] + seen[3]) / 2 - slope * ((seen[0] + seen[2]) / 2 - (page[0] + page[2]) / 2)
    half = (line.height_px * scale or seen[3] - seen[1]) / 2
    return " ".join(line.text.split()), (seen[0], middle - half, seen[2], middle + half), seen


def as_printed(found: Sequence[tuple[str, Box, Box]], font: str = RECOGNISED) -> list[TextLine]:
    """Lines with the font sizes and blocks of print: read heights scatter, and every line comes alone.

    Args:
        found: Text, box on the straight page and box as seen, from the top.
        font: Name for the lines' font.
    """
    if not found:
        return []
    usual = float(np.median([box[3] - box[1] for _, box, _ in found]))
    lines: list[TextLine] = []
    above: list[TextLine | None] = []
    for text, box, seen in [part for item in found for part in _panels(*item)]:
        height = box[3] - box[1]
        size = usual if abs(height - usual) < _SAME_SIZE * usual else height
        over = [line for line in lines if x_overlap(line.box, box) > 0.5 and abs(line.size_pt - size) < 0.1]
        above.append(max(over, key=lambda line: line.box[1], default=None))
        lines.append(TextLine(text, box, size, False, False, font, _FIRST_BLOCK + len(lines), seen))
    pitches = [_pitch(line, last) for line, last in zip(lines, above, strict=True) if last is not None]
    near = [pitch for pitch in pitches if 0.5 * usual < pitch < 2 * usual]
    pitch = float(np.median(near)) if near else usual
    numbered: dict[TextLine, TextLine] = {}
    for line, last in zip(lines, above, strict=True):
        before = numbered.get(last) if last is not None else None
        joins = last is not None and before is not None and _pitch(line, last) < _BLOCK_PITCH * pitch
        joins = joins and not (last is not None and _starts_anew(line, last))
        numbered[line] = replace(line, block=before.block) if joins and before is not None else line
    return [numbered[line] for line in lines]


def _panels(text: str, box: Box, seen: Box) -> list[tuple[str, Box, Box]]:
    """The words of panels side by side, read as one line: "(c) before the storm (d) after it"."""
    marks = [match.start() for match in _PANEL_MARK.finditer(text)]
    if len(marks) < 2 or marks[0] != 0:
        return [(text, box, seen)]
    found = []
    for start, end in pairwise([*marks, len(text)]):
        words = text[start:end].strip()
        first, last = start / len(text), (start + len(words)) / len(text)
        parts = [(x0 + first * (x1 - x0), y0, x0 + last * (x1 - x0), y1) for x0, y0, x1, y1 in (box, seen)]
        found.append((words, parts[0], parts[1]))
    return found


def _starts_anew(line: TextLine, above: TextLine) -> bool:
    """Whether a line is the words of a panel, or a caption under something narrow: a letter, a number at an axis."""
    if _PANEL_MARK.match(line.text):
        return True
    narrow = above.box[2] - above.box[0] < 0.5 * (line.box[2] - line.box[0])
    return may_hold_caption(line.text) and (narrow or _PANEL_MARK.match(above.text) is not None)


def _pitch(line: TextLine, above: TextLine) -> float:
    return centre(line.box)[1] - centre(above.box)[1]


def straightened(lines: Sequence[TextLine], skew: Skew) -> list[TextLine]:
    """Recognised lines where they would stand on the straight page.

    Args:
        lines: Of `recognised_page`.
        skew: How the page lies.
    """
    result = []
    for line in lines:
        x, y = skew.straight(centre(line.place))
        width, height = (line.place[2] - line.place[0]) / 2, (line.box[3] - line.box[1]) / 2
        result.append(replace(line, box=(x - width, y - height, x + width, y + height)))
    return result


def recognised_words(
    image_hwc: NDArray[np.uint8], recogniser: Recogniser, box: Box, minimum_certainty: float = _MIN_CERTAINTY
) -> list[tuple[str, Box]]:
    """Words inside an image, each with its page box.

    Args:
        image_hwc: Shape (H, W, 3), uint8.
        recogniser: What reads it.
        box: Where the image lies on the page, points.
        minimum_certainty: Lines below are left out, [0, 1].
    """
    across, down = (box[2] - box[0]) / image_hwc.shape[1], (box[3] - box[1]) / image_hwc.shape[0]
    found: list[tuple[str, Box]] = []
    for line in recogniser(image_hwc):
        text = " ".join(line.text.split())
        if line.certainty >= minimum_certainty and text:
            x0, y0, x1, y1 = line.box_image_xyxy
            found.append((text, (box[0] + x0 * across, box[1] + y0 * down, box[0] + x1 * across, box[1] + y1 * down)))
    return found
