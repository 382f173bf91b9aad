"""Captions that stand in the next column or on the next page. Belongs here: which bare figure a left-over caption is about.

Does not belong here: captions beside their figure (matching), headings (headings).
"""

from collections.abc import Sequence
from dataclasses import replace

from ovd_platform.documents.captions import Caption
from ovd_platform.documents.document_text import DocumentText
from ovd_platform.documents.matching import Match
from ovd_platform.documents.page_boxes import Box, box_area, x_overlap
from ovd_platform.documents.page_layout import Figure, PageLayout
from ovd_platform.documents.words import FigureWords

_MARGIN_SHARE = 0.09
_MIN_SHARE = 0.01  # of the page: a smaller image is not what a caption was put on another page for
_DOUBT = 0.8  # of the caption's strength: the reader has to turn the page as well

Worded = tuple[PageLayout, list[Figure], list[FigureWords]]


def with_carried_captions(pages: Sequence[Worded], text: DocumentText) -> list[Worded]:
    """Give figures that end a column the caption that opens the next column or page, and the other way round.

    Only a caption that no figure of its page took, and a figure without any words, are joined; nothing may stand between them but
    running titles and page numbers.

    Args:
        pages: Pages that may hold figures, in order, with the words found beside the figures.
        text: Of the whole document.

    Returns:
        New list; pages without such a figure are the same objects.
    """
    result = list(pages)
    for index, (layout, _, _) in enumerate(result):
        for caption in _left_over(result[index]):
            opens = _opens(caption.box, result[index])
            closes = _closes(caption.box, result[index])
            places = [place for place in (index, index - 1) if opens and place >= 0]
            if closes and index + 1 < len(result):
                places.append(index + 1)
            for place in places:
                other = result[place][0]
                if abs(other.page - layout.page) > 1:
                    continue
                chosen = _figure_for(caption, layout, result[place], before=place != index + 1)
                if chosen is not None:
                    where = "in the next column" if place == index else "on another page"
                    result[place] = _told(result[place], chosen, caption, text, where)
                    break
    return result


def _left_over(page: Worded) -> list[Caption]:
    layout, _, words = page
    taken = {of_figure.match.caption for of_figure in words}
    return [caption for number, caption in enumerate(layout.captions) if number not in taken]


def _figure_for(caption: Caption, layout: PageLayout, page: Worded, *, before: bool) -> int | None:
    """The one figure without words that the caption follows (or, for a caption at the end of a page, precedes)."""
    other, figures, words = page
    same_page = other.page == layout.page
    found = [
        index
        for index, (figure, of_figure) in enumerate(zip(figures, words, strict=True))
        if not of_figure.caption
        and not of_figure.label
        and figure.certain
        and box_area(figure.box) >= _MIN_SHARE * box_area(other.bounds)
        and (_closes(figure.box, page) if before else _opens(figure.box, page))
        and (not same_page or figure.box[2] <= caption.box[0] + 2)
    ]
    return found[0] if len(found) == 1 else None


def _opens(box: Box, page: Worded) -> bool:
    """Whether nothing stands over a box in its column."""
    return not any(other[3] < box[1] + 2 and x_overlap(other, box) > 0.3 for other in _content(box, page))


def _closes(box: Box, page: Worded) -> bool:
    """Whether nothing stands under a box in its column."""
    return not any(other[1] > box[3] - 2 and x_overlap(other, box) > 0.3 for other in _content(box, page))


def _content(box: Box, page: Worded) -> list[Box]:
    """Everything on a page but the box itself, its call-outs and what stands in the margins."""
    layout, figures, _ = page
    height = layout.bounds[3] - layout.bounds[1]
    top, bottom = layout.bounds[1] + _MARGIN_SHARE * height, layout.bounds[3] - _MARGIN_SHARE * height
    over = {line for figure in figures for line in figure.callouts}
    own = {line for caption in layout.captions if caption.box == box for line in caption.lines}
    lines = [
        line.box for line in layout.lines if line not in over and line not in own and line.box[3] > top and line.box[1] < bottom
    ]
    return [*lines, *(figure.box for figure in figures if figure.box != box)]


def _told(page: Worded, index: int, caption: Caption, text: DocumentText, where: str) -> Worded:
    layout, figures, words = page
    context = text.mention(caption, layout.page)
    told = replace(
        words[index],
        caption=caption.text,
        label=caption.label,
        context=context or words[index].context,
        mentioned=bool(context),
        match=Match(side=where),
        strength=_DOUBT * caption.strength,
    )
    return layout, figures, [*words[:index], told, *words[index + 1 :]]
