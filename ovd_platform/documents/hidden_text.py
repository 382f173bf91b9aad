"""The words behind a scanned page. Belongs here: lines from a hidden text layer, whose words stand one by one where they are seen.

Does not belong here: printed text (page_text), words read from pixels (recognition).
"""

from itertools import pairwise
from typing import Any

import numpy as np

from ovd_platform.documents.page_boxes import Box, centre, union_box
from ovd_platform.documents.page_text import HIDDEN, TextLine, starts_panel
from ovd_platform.documents.recognition import as_printed
from ovd_platform.documents.skew import Skew

_WORD_GAP, _WORD_STEP = (
    (0.03, 0.15),
    (0.03, 0.3),
)  # of the font size, least and most: letters of a word follow each other more closely
_LOOSENESS = 4.0  # times what is usual between two letters of the page
_LINE_STEP = 0.45
_LINE_GAP, _LINE_LAP = 1.6, 4.0

Word = tuple[str, Box]


def hidden_lines(page: Any, skew: Skew) -> list[TextLine]:
    """Lines of the text layer of a scan.

    Makers of such layers place every word where it is seen, too wide or too narrow and on a skewed page each a little lower than the one before:
    taken as print, words run together and lines fall apart. So letters are gathered into words, and words into lines of the straight page.

    Args:
        page: An open PyMuPDF page without rotation.
        skew: How the page lies.
    """
    placed = sorted(((text, _straight(box, skew), box) for text, box in _words(page)), key=lambda item: centre(item[1])[1])
    rows: list[list[tuple[str, Box, Box]]] = []
    for item in placed:
        row = next((row for row in reversed(rows[-6:]) if _same_height(row[-1][1], item[1])), None)
        if row is None:
            rows.append([item])
        else:
            row.append(item)
    found: list[tuple[str, Box, Box]] = []
    for row in rows:
        row.sort(key=lambda item: item[1][0])
        pieces = [[row[0]]]
        for item in row[1:]:
            last, text = pieces[-1][-1], " ".join(word for word, _, _ in pieces[-1])
            size = last[1][3] - last[1][1]
            gap = item[1][0] - last[1][2]
            if -_LINE_LAP * size <= gap <= _LINE_GAP * size and not starts_panel(text, item[0]):
                pieces[-1].append(item)
            else:
                pieces.append([item])
        found.extend(_line(piece) for piece in pieces)
    return as_printed(sorted(found, key=lambda item: (item[1][1], item[1][0])), HIDDEN)


def _words(page: Any) -> list[Word]:
    import pymupdf

    found: list[Word] = []
    letters = [
        (char["c"], char["bbox"], char["origin"], float(span["size"]))
        for block in page.get_text("rawdict", flags=pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP)["blocks"]
        for line in block.get("lines", ())
        for span in line["spans"]
        for char in span["chars"]
    ]
    gaps, steps = _usual(letters)
    word: list[Any] = []
    for letter in [*letters, (" ", None, None, 0.0)]:
        space = letter[0].isspace()
        if word and (space or _parts(word[-1], letter, gaps, steps)):
            found.append(("".join(item[0] for item in word), union_box(item[1] for item in word)))
            word = []
        if not space:
            word.append(letter)
    return found


def _usual(letters: list[Any]) -> tuple[float, float]:
    """How far a letter may stand from where the next letter of a word would, along and across the line, in font sizes."""
    pairs = [(a, b) for a, b in pairwise(letters) if not a[0].isspace() and not b[0].isspace() and a[3] > 0]
    if not pairs:
        return _WORD_GAP[1], _WORD_STEP[1]
    gap = float(np.median([abs(b[1][0] - a[1][2]) / a[3] for a, b in pairs]))
    step = float(np.median([abs(b[2][1] - a[2][1]) / a[3] for a, b in pairs]))
    return float(np.clip(_LOOSENESS * gap, *_WORD_GAP)), float(np.clip(_LOOSENESS * step, *_WORD_STEP))


def _parts(last: Any, letter: Any, gap: float, step: float) -> bool:
    """Whether a letter does not stand where the next letter of a word would."""
    size = last[3]
    return bool(abs(letter[1][0] - last[1][2]) > gap * size or abs(letter[2][1] - last[2][1]) > step * size)


def _straight(box: Box, skew: Skew) -> Box:
    x, y = skew.straight(centre(box))
    width, height = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
    return (x - width, y - height, x + width, y + height)


def _same_height(first: Box, second: Box) -> bool:
    return abs(centre(first)[1] - centre(second)[1]) < _LINE_STEP * min(first[3] - first[1], second[3] - second[1])


def _line(words: list[tuple[str, Box, Box]]) -> tuple[str, Box, Box]:
    """Words of a line as one, as high as most of them: their fonts are guesses."""
    across = union_box(box for _, box, _ in words)
    middle = float(np.median([centre(box)[1] for _, box, _ in words]))
    half = float(np.median([box[3] - box[1] for _, box, _ in words])) / 2
    straight = (across[0], middle - half, across[2], middle + half)
    return " ".join(text for text, _, _ in words), straight, union_box(box for _, _, box in words)
