"""Headings that introduce a run of images: "b) Samples of the test set." over a gallery. Belongs here: finding them and their reach.

Does not belong here: numbered captions (captions), which always come first.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ovd_platform.documents.captions import usual_size
from ovd_platform.documents.page_boxes import Box, x_overlap
from ovd_platform.documents.page_layout import Figure, PageLayout
from ovd_platform.documents.page_text import TextLine

_ENUMERATED = re.compile(
    r"^(?:\(?(?:\d{1,2}(?:\.\d{1,2}){0,3}|[a-zA-Z]|[ivx]{1,4})[.)]|\d{1,2}(?:\.\d{1,2}){1,3}|[§•▪])\s+(?=\S)"
)
_MAX_WORDS, _MAX_LETTERS, _MIN_LETTERS = 14, 110, 6
_INTRODUCTION_LINES = 10
_MARGIN_SHARE = 0.09
_FULL_WIDTH = 0.85


@dataclass(frozen=True, slots=True)
class Heading:
    """Words that introduce a run of images.

    Attributes:
        text: Without its number.
        figures: How many images without a caption it introduces.
    """

    text: str
    figures: int


def set_headings(found: Sequence[tuple[PageLayout, Sequence[tuple[Figure, bool]]]]) -> dict[tuple[int, Box, int], Heading]:
    """The heading of every image without a caption that a heading introduces.

    Read downwards, page by page: a heading, at most ten lines of text, then images; images run on over pages until other text
    stands between them.

    Args:
        found: Pages in order, each with its figures and whether the figure still lacks words.

    Returns:
        Headings by (page, box, part) of the figure.
    """
    furniture = _furniture([layout for layout, _ in found])
    current, lines_since, begun = "", 0, False
    runs: list[tuple[str, list[tuple[int, Box, int]]]] = []
    for layout, figures in found:
        headings = _headings(layout, furniture)
        over = {line for figure, _ in figures for line in figure.callouts}
        captioned = {line for caption in layout.captions for line in caption.lines}
        items: list[tuple[float, float, TextLine | tuple[Figure, bool]]] = [
            (line.box[1], line.box[0], line) for line in layout.lines if line not in over and line not in captioned
        ]
        items += [(figure.box[1], figure.box[0], (figure, bare)) for figure, bare in figures]
        for _, _, item in sorted(items, key=lambda entry: entry[:2]):
            if isinstance(item, TextLine):
                if _is_furniture(item, layout, furniture):
                    continue
                if item in headings:
                    current, lines_since, begun = headings[item], 0, False
                else:
                    lines_since += 1
                    if begun or lines_since > _INTRODUCTION_LINES:
                        current = ""
            elif current and item[1]:
                if not begun:
                    runs.append((current, []))
                runs[-1][1].append((item[0].page, item[0].box, item[0].part))
                begun = True
            else:
                current = ""
    return {key: Heading(text, len(keys)) for text, keys in runs for key in keys}


def _headings(layout: PageLayout, furniture: set[str]) -> dict[TextLine, str]:
    """Lines of a page that are headings, with their words."""
    usual = usual_size(layout.lines)
    widest = max((line.box[2] - line.box[0] for line in layout.lines), default=0.0)
    found: dict[TextLine, str] = {}
    lines = sorted(layout.lines, key=lambda line: (line.box[1], line.box[0]))
    for index, line in enumerate(lines):
        if len(line.text) > _MAX_LETTERS + 12:
            continue
        text = _ENUMERATED.sub("", line.text)
        before = next((other for other in reversed(lines[:index]) if x_overlap(other.box, line.box) > 0.3), None)
        if _may_be_heading(line, text, before, usual, widest) and not _is_furniture(line, layout, furniture):
            found[line] = text.strip(" :")
    return found


def _may_be_heading(line: TextLine, text: str, before: TextLine | None, usual_pt: float, widest_pt: float) -> bool:
    if len(text) > _MAX_LETTERS or len(text.split()) > _MAX_WORDS or sum(map(str.isalpha, text)) < _MIN_LETTERS:
        return False
    if text != line.text:  # numbered
        return text[:1].isupper() or text[:1] in "\"'“„«"
    wide = line.box[2] - line.box[0] > _FULL_WIDTH * widest_pt
    joined = before is not None and 0 <= line.box[1] - before.box[1] < 1.9 * line.size_pt and before.size_pt == line.size_pt
    if joined and before is not None and before.bold == line.bold and before.italic == line.italic:
        return False
    return not wide and (line.size_pt > usual_pt + 0.8 or line.bold or text.rstrip().endswith(":"))


def _furniture(layouts: Sequence[PageLayout]) -> set[str]:
    """Running titles: texts, numbers aside, that stand in the margins of two pages or more."""
    counts: Counter[str] = Counter()
    for layout in layouts:
        counts.update({_without_numbers(line.text) for line in layout.lines if _in_margin(line.box, layout.bounds)})
    return {text for text, count in counts.items() if count > 1}


def _is_furniture(line: TextLine, layout: PageLayout, furniture: set[str]) -> bool:
    if not _in_margin(line.box, layout.bounds):
        return False
    return _without_numbers(line.text) in furniture or not any(letter.isalpha() for letter in line.text)


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def _in_margin(box: Box, bounds: Box) -> bool:
    height = bounds[3] - bounds[1]
    return box[3] < bounds[1] + _MARGIN_SHARE * height or box[1] > bounds[3] - _MARGIN_SHARE * height
