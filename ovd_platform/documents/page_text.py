"""Words of a page with their places. Belongs here: lines, paragraphs, joining of lines; what a line means is captions'."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ovd_platform.documents.page_boxes import Box, union_box

_SAME_LINE_GAP = 1.5  # of the font size: justified text comes in pieces, column gutters are wider
_HYPHENS = ("-", "\u2010", "\u00ad")
RECOGNISED = "recognised"
"""Font name of lines that were read from pixels."""
HIDDEN = "hidden"
"""Font name of lines of the text layer of a scan."""
_PANEL = re.compile(r"^\([a-h]\)(?:\s|$)")


@dataclass(frozen=True, slots=True)
class TextLine:
    """One printed line.

    Attributes:
        text: Words, ligatures expanded, single spaces.
        box: Page box in points.
        size_pt: Font size of its longest span.
        bold: Whether its longest span is bold.
        italic: Whether its longest span is italic.
        font: Name of the font of its longest span.
        block: Number of the text block on the page (a block never crosses a column gutter).
        seen: On a skewed scan, where it is seen; `box` is where it would stand on the straight page.
    """

    text: str
    box: Box
    size_pt: float
    bold: bool
    italic: bool
    font: str
    block: int
    seen: Box | None = None

    @property
    def place(self) -> Box:
        """Where its ink is, also on a skewed scan."""
        return self.seen or self.box


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A block of lines of one page.

    Attributes:
        page: 0-based page.
        text: Joined lines, end-of-line hyphens removed.
        box: Page box in points.
    """

    page: int
    text: str
    box: Box


def page_lines(page: Any, textpage: Any | None = None) -> list[TextLine]:
    """Printed lines of a page in reading order of the file.

    Args:
        page: An open PyMuPDF page without rotation.
        textpage: Its text page (`open_text`), where the caller has one and it holds no image: images would be copied.

    Returns:
        New list; lines of white space are left out.
    """
    if textpage is None:
        textpage = page.get_textpage(flags=_text_flags())
    lines: list[TextLine] = []
    for number, block in enumerate(textpage.extractDICT()["blocks"]):
        if block["type"] == 0:
            lines.extend(_merge_pieces([line for raw in block["lines"] if (line := _line(raw, number)) is not None]))
    return lines


def _text_flags() -> int:
    import pymupdf

    return int(pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP)


def open_text(page: Any) -> Any:
    """The text page of a page: its words and where its images lie, before any of it is turned into Python objects.

    Args:
        page: An open PyMuPDF page without rotation.
    """
    import pymupdf

    return page.get_textpage(flags=_text_flags() | pymupdf.TEXT_PRESERVE_IMAGES)


def plain_paragraphs(blocks: Sequence[tuple[float, float, float, float, str, int, int]], page: int) -> list[Paragraph]:
    """Paragraphs without their lines and fonts: all that a page without figures and captions needs, in a fraction of the time.

    Args:
        blocks: Of the text page, as PyMuPDF gives them.
        page: 0-based.
    """
    found = []
    for x0, y0, x1, y1, text, _, kind in blocks:
        lines = [words for line in text.splitlines() if (words := " ".join(line.split()))] if kind == 0 else []
        if lines:
            found.append(Paragraph(page, join_lines(lines), (x0, y0, x1, y1)))
    return found


def _line(raw: dict[str, Any], block: int) -> TextLine | None:
    spans = raw["spans"]
    text = " ".join("".join(span["text"] for span in spans).split())
    if not text:
        return None
    longest, bbox = spans[0], spans[0]["bbox"]
    if len(spans) > 1:
        inked = [span for span in spans if span["text"].strip()]
        longest, bbox = max(inked, key=lambda span: len(span["text"].strip())), union_box(span["bbox"] for span in inked)
    box = (float(bbox[0]), float(bbox[1]), float(bbox[2]), float(bbox[3]))
    name = str(longest["font"])
    lowered = name.lower()
    bold = bool(longest["flags"] & 16) or "bold" in lowered
    italic = bool(longest["flags"] & 2) or "italic" in lowered or "oblique" in lowered
    return TextLine(text, box, float(longest["size"]), bold, italic, name, block)


def _merge_pieces(pieces: list[TextLine]) -> list[TextLine]:
    """Join pieces of one block that stand on one baseline next to each other."""
    merged: list[TextLine] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if last is not None and abs(last.box[3] - piece.box[3]) < 0.3 * piece.size_pt:
            gap = piece.box[0] - last.box[2]
            if -1.0 <= gap <= _SAME_LINE_GAP * piece.size_pt and not starts_panel(last.text, piece.text):
                keep = last if len(last.text) >= len(piece.text) else piece
                box = union_box([last.box, piece.box])
                text = f"{last.text} {piece.text}"
                merged[-1] = TextLine(text, box, keep.size_pt, keep.bold, keep.italic, keep.font, last.block)
                continue
        merged.append(piece)
    return merged


def starts_panel(before: str, text: str) -> bool:
    """Whether "(b) ..." follows "(a) ..." on one baseline: two panels' words, not one line."""
    return bool(_PANEL.match(text) and _PANEL.match(before) and len(before) > 3)


def join_lines(texts: list[str]) -> str:
    """One running text from lines: end-of-line hyphens before a lower-case letter are removed."""
    joined = ""
    for text in texts:
        if joined.endswith(_HYPHENS) and len(joined) > 1 and joined[-2].isalpha() and text[:1].islower():
            joined = joined[:-1] + text
        else:
            joined = f"{joined} {text}" if joined else text
    return joined.replace("\u00ad", "")


def paragraphs(lines: list[TextLine], page: int) -> list[Paragraph]:
    """Lines grouped by text block."""
    groups: dict[int, list[TextLine]] = {}
    for line in lines:
        groups.setdefault(line.block, []).append(line)
    return [
        Paragraph(page, join_lines([line.text for line in group]), union_box(line.box for line in group))
        for group in groups.values()
    ]
