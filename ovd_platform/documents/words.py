"""The words of each figure. Belongs here: caption, part, context and call-outs put together; geometry of the match is matching's."""

from collections.abc import Sequence
from dataclasses import dataclass

from ovd_platform.documents.captions import Caption, PartCaption, mention_pattern, part_captions, split_parts
from ovd_platform.documents.matching import Match, match_captions, own_part
from ovd_platform.documents.page_boxes import x_overlap
from ovd_platform.documents.page_layout import Figure, PageLayout
from ovd_platform.documents.page_text import Paragraph

_CONTEXT_LETTERS = 600
_MIN_CONTEXT_LETTERS = 12


@dataclass(frozen=True, slots=True)
class FigureWords:
    """What is printed about a figure.

    Attributes:
        caption: Shared caption and the panel's own words, without the number.
        label: "Figure 3", with the panel's letter where there is one.
        context: Text that mentions it, or the nearest text above.
        mentioned: True if the context names the figure.
        callouts: Text over the image.
        match: Geometry of the match.
        strength: Strength of the caption, [0, 1]; 0 without one.
        shared: True if other panels have the same words.
    """

    caption: str
    label: str
    context: str
    mentioned: bool
    callouts: tuple[str, ...]
    match: Match
    strength: float
    shared: bool


def page_words(layout: PageLayout, figures: Sequence[Figure], text: Sequence[Paragraph], habit: float) -> list[FigureWords]:
    """Words of all figures of a page.

    Args:
        layout: The page.
        figures: Its figures.
        text: Paragraphs of the whole document.
        habit: Where captions of this document stand, [-1, 1].

    Returns:
        One result a figure, in order.
    """
    captioned = {line for caption in layout.captions for line in caption.lines}
    over = {line for figure in figures for line in figure.callouts}
    loose = [line for line in layout.lines if line not in captioned]
    parts = part_captions(loose)
    part_boxes = {part.box for part in parts}
    body = [line for line in loose if line not in over and line.box not in part_boxes]
    boxes = [figure.box for figure in figures]
    matches = match_captions(boxes, layout.captions, body, habit=habit)
    return [_words(figure, match, layout, parts, boxes, text) for figure, match in zip(figures, matches, strict=True)]


def _words(
    figure: Figure,
    match: Match,
    layout: PageLayout,
    parts: Sequence[PartCaption],
    boxes: Sequence[tuple[float, float, float, float]],
    text: Sequence[Paragraph],
) -> FigureWords:
    callouts = tuple(line.text for line in figure.callouts)
    caption = layout.captions[match.caption] if match.caption is not None else None
    if caption is None:
        return FigureWords("", "", _text_above(figure, text), False, callouts, match, 0.0, False)
    words, letter, shared = _panel_words(figure, match, caption, parts, boxes)
    label = f"{caption.label}({letter})" if letter else caption.label
    context = _mention(caption, figure.page, text)
    return FigureWords(
        words, label, context or _text_above(figure, text, caption), bool(context), callouts, match, caption.strength, shared
    )


def _panel_words(
    figure: Figure, match: Match, caption: Caption, parts: Sequence[PartCaption], boxes: Sequence[tuple[float, float, float, float]]
) -> tuple[str, str, bool]:
    """Caption of one panel, its letter, and whether other panels have the same words."""
    common, inline = split_parts(caption.text)
    own = own_part(figure.box, parts, boxes)
    if match.panels == 1:
        if own is not None and own.text and own.text not in caption.text:
            return ": ".join(part for part in (caption.text, own.text) if part), own.letter, False
        return caption.text, "", False
    letter = own.letter if own is not None else ""
    if not letter and len(inline) == match.panels:
        letter = chr(ord("a") + match.panel)
    specific = (own.text if own is not None else "") or inline.get(letter, "")
    if not specific:
        return caption.text, letter, True
    return (f"{common.rstrip('.:')}: {specific}" if common else specific), letter, False


def _mention(caption: Caption, page: int, text: Sequence[Paragraph]) -> str:
    """The nearest paragraph that names the figure, the caption itself excepted; "" if there is none."""
    pattern = mention_pattern(caption.label)
    if pattern is None:
        return ""
    for paragraph in sorted(text, key=lambda item: (abs(item.page - page), item.page < page)):
        own = paragraph.page == page and paragraph.text.startswith(caption.label.split()[0]) and _overlaps(paragraph, caption)
        hit = None if own else pattern.search(paragraph.text)
        if hit is not None:
            return _excerpt(paragraph.text, hit.start())
    return ""


def _overlaps(paragraph: Paragraph, caption: Caption) -> bool:
    return paragraph.box[1] <= caption.box[3] and paragraph.box[3] >= caption.box[1] and x_overlap(paragraph.box, caption.box) > 0.3


def _excerpt(text: str, position: int) -> str:
    """At most 600 letters around a position, cut between words."""
    if len(text) <= _CONTEXT_LETTERS:
        return text
    start = max(0, min(position - _CONTEXT_LETTERS // 2, len(text) - _CONTEXT_LETTERS))
    cut = text[start : start + _CONTEXT_LETTERS]
    return cut.partition(" ")[2].rpartition(" ")[0] if start else cut.rpartition(" ")[0]


def _text_above(figure: Figure, text: Sequence[Paragraph], caption: Caption | None = None) -> str:
    """The nearest words above a figure on its page, or the last words before it; headings count."""
    usable = [item for item in text if len(item.text) >= _MIN_CONTEXT_LETTERS and not (caption and caption.text and caption.text in item.text)]
    same = [item for item in usable if item.page == figure.page and item.box[3] <= figure.box[1] + 6 and x_overlap(item.box, figure.box) > 0]
    if same:
        return _excerpt(max(same, key=lambda item: item.box[3]).text, 0)
    earlier = [item for item in usable if item.page < figure.page]
    return _excerpt(max(earlier, key=lambda item: (item.page, item.box[3])).text, 0) if earlier else ""
