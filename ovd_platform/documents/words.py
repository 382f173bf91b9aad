"""The words of each figure. Belongs here: caption, part, context, call-outs put together; geometry is matching's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ovd_platform.documents.captions import Caption, PartCaption, part_captions, split_parts
from ovd_platform.documents.document_text import DocumentText
from ovd_platform.documents.matching import Match, match_captions, own_part, reading_order, text_columns
from ovd_platform.documents.page_boxes import Box, box_area, covered_fraction, grown, intersection_area, union_box
from ovd_platform.documents.page_layout import Figure, PageLayout

_PIECE_GAP_PT = 8.0
_OWN_WORDS = 4  # a panel with as many words of its own does not need those it shares


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
        run: Where the words are a heading, the number of images it introduces; else 0.
    """

    caption: str
    label: str
    context: str
    mentioned: bool
    callouts: tuple[str, ...]
    match: Match
    strength: float
    shared: bool
    run: int = 0


def page_words(
    layout: PageLayout,
    figures: Sequence[Figure],
    text: DocumentText,
    habit: float,
    columns: Sequence[tuple[float, float]],
) -> list[FigureWords]:
    """Words of all figures of a page.

    Args:
        layout: The page.
        figures: Its figures.
        text: Of the whole document.
        habit: Where captions of this document stand, [-1, 1].
        columns: Text columns of the document, for pages that have no running text.

    Returns:
        One result a figure, in order.
    """
    captioned = {line for caption in layout.captions for line in caption.lines}
    over = {line for figure in figures for line in figure.callouts}
    loose = [line for line in layout.lines if line not in captioned]
    parts = part_captions(loose)
    body = [
        line for line in loose if line not in over and not any(covered_fraction(line.box, part.box) > 0.9 for part in parts)
    ]
    boxes = [figure.box for figure in figures]
    own = [own_part(box, parts, boxes) for box in boxes]
    matches = match_captions(
        _with_parts(boxes, parts),
        layout.captions,
        body,
        habit=habit,
        columns=[*text_columns(layout.paragraphs), *columns],
        lettered=[part is not None and part.bracketed for part in own],
    )
    return [_words(figure, match, layout, parts, boxes, text) for figure, match in zip(figures, matches, strict=True)]


def joined_fragments(figures: Sequence[Figure], words: Sequence[FigureWords]) -> list[Figure]:
    """Drawn figures that share one caption and have no words of their own are pieces of one drawing: join them.

    Args:
        figures: Of one page.
        words: Their words, in the same order.

    Returns:
        New list; the same figures if there is nothing to join.
    """
    groups: dict[tuple[int, str], list[Figure]] = {}
    result: list[Figure] = []
    for figure, of_figure in zip(figures, words, strict=True):
        caption = of_figure.match.caption
        if caption is None or not (of_figure.shared or of_figure.label.endswith(")")):
            result.append(figure)
        else:
            groups.setdefault((caption, of_figure.label), []).append(figure)
    for members in groups.values():
        result.extend(_joined(members))
    return [result[index] for index in reading_order([figure.box for figure in result])]


def _joined(members: Sequence[Figure]) -> list[Figure]:
    """Figures with the same words: all drawings, and the images that drawings lie on, become one drawn figure."""
    drawn = [member for member in members if member.placement is None]
    images = [member for member in members if member.placement is not None]
    changed = True
    while changed:
        part = [image for image in images if any(_layered(image, other) for other in drawn)]
        drawn, images = drawn + part, [image for image in images if image not in part]
        changed = bool(part)
    low = [image for image in images if _is_fragment(image, images)]  # pieces of one shaded drawing
    if not drawn and len(low) > 1:
        drawn, images = low, [image for image in images if image not in low]
    pieces = [image for image in images if image.cut and not image.solid and _is_scanned_piece(image, images)]
    if len(pieces) > 1 and not drawn:
        whole = replace(pieces[0], box=union_box(piece.box for piece in pieces))
        whole.callouts = [line for piece in pieces for line in piece.callouts]
        return [*(image for image in images if image not in pieces), whole]
    if len(drawn) < 2:
        return list(members)
    whole = Figure(members[0].page, union_box(member.box for member in drawn), None)
    whole.callouts = [line for member in drawn for line in member.callouts]
    whole.marks = [mark for member in drawn for mark in member.marks]
    return [*images, whole]


def _layered(image: Figure, other: Figure) -> bool:
    return intersection_area(image.box, other.box) > 0.3 * min(box_area(image.box), box_area(other.box))


def _is_scanned_piece(image: Figure, images: Sequence[Figure]) -> bool:
    """Ink of a scan right beside other ink of another size: bars and axes of one chart; panels have one size."""
    height = image.box[3] - image.box[1]
    for other in images:
        near = intersection_area(grown(image.box, _PIECE_GAP_PT), other.box) > 0
        if other is not image and near and abs(other.box[3] - other.box[1] - height) > 0.1 * height:
            return True
    return False


def _is_fragment(image: Figure, images: Sequence[Figure]) -> bool:
    """A small coarse image that overlaps or touches another one with the same letter."""
    assert image.placement is not None
    coarse = image.placement.width_px < 1.5 * (image.box[2] - image.box[0]) and box_area(image.box) < 10_000
    return coarse and any(other is not image and intersection_area(grown(image.box, 1), other.box) > 0 for other in images)


def spoken_boxes(layout: PageLayout, figures: Sequence[Figure]) -> list[Box]:
    """Boxes of the figures of a page, each with the "(a) ..." line at it."""
    return _with_parts([figure.box for figure in figures], part_captions(layout.lines))


def _with_parts(boxes: Sequence[Box], parts: Sequence[PartCaption]) -> list[Box]:
    """Figures together with the "(a) ..." lines at them: a caption's distance is measured from there."""
    own = [own_part(box, parts, boxes) for box in boxes]
    return [box if part is None else union_box([box, part.box]) for box, part in zip(boxes, own, strict=True)]


def _words(
    figure: Figure,
    match: Match,
    layout: PageLayout,
    parts: Sequence[PartCaption],
    boxes: Sequence[Box],
    text: DocumentText,
) -> FigureWords:
    callouts = tuple(line.text for line in figure.callouts)
    caption = layout.captions[match.caption] if match.caption is not None else None
    if caption is None:
        own = own_part(figure.box, parts, boxes)
        series = len({part.letter for part in parts if part.bracketed}) >= 2
        lone = own is not None and own.bracketed and own.box[1] > figure.box[1]
        lone = lone and own is not None and (series or len(own.text.split()) >= _OWN_WORDS)
        spoken = own.text if own is not None and lone else ""
        return FigureWords(
            spoken, "", text.above(figure.box, figure.page), False, callouts, match, 0.5 if spoken else 0.0, False
        )
    words, letter, shared = _panel_words(figure, match, caption, parts, boxes)
    label = f"{caption.label}({letter})" if letter else caption.label
    context = text.mention(caption, figure.page)
    return FigureWords(
        words,
        label,
        context or text.above(figure.box, figure.page, caption),
        bool(context),
        callouts,
        match,
        caption.strength,
        shared,
    )


def _panel_words(
    figure: Figure,
    match: Match,
    caption: Caption,
    parts: Sequence[PartCaption],
    boxes: Sequence[Box],
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
    if common and len(specific.split()) < _OWN_WORDS:
        return f"{common.rstrip('.:')}: {specific}", letter, False
    return specific, letter, False
