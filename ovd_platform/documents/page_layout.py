"""What lies where on a page. Belongs here: text, images, drawings sorted into figures, marks, decoration; never meaning."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ovd_platform.documents.captions import Caption, find_captions, may_hold_caption, part_captions
from ovd_platform.documents.drawings import Drawing, page_drawings
from ovd_platform.documents.matching import reading_order
from ovd_platform.documents.page_boxes import Box, box_area, centre, clipped, covered_fraction, grown, intersection_area
from ovd_platform.documents.page_text import Paragraph, TextLine, open_text, page_lines, paragraphs, plain_paragraphs
from ovd_platform.documents.placement import Placement
from ovd_platform.documents.rasters import find_placements
from ovd_platform.documents.regions import vector_regions
from ovd_platform.documents.scans import ScannedPicture
from ovd_platform.documents.skew import Skew

_MIN_SIDE_PX = 24
_MIN_SIDE_PT = 30.0
_MAX_ASPECT = 8.0
_MARGIN_BAND = 0.09
_HEAP_WEIGHT = 8


@dataclass(slots=True)
class PageLayout:
    """Everything found on one page.

    Attributes:
        page: 0-based.
        bounds: The page in points.
        lines: Printed lines.
        captions: Captions among them.
        placements: Embedded images.
        drawings: Painted paths and annotations.
        paragraphs: Text blocks without captions.
        scanned: The image that is the whole page with its print, or None.
        pictures: The pictures in that image, on the straight page.
        skew: How that page lies; None where it is no scan.
        plain: True for a page of nothing but running text, whose lines were not read; `with_lines` reads them.
    """

    page: int
    bounds: Box
    lines: list[TextLine]
    captions: list[Caption]
    placements: list[Placement]
    drawings: list[Drawing]
    paragraphs: list[Paragraph]
    scanned: Placement | None = None
    pictures: list[ScannedPicture] = field(default_factory=list)
    skew: Skew | None = None
    plain: bool = False


@dataclass(slots=True)
class Figure:
    """A figure before its pixels are read.

    Attributes:
        page: 0-based.
        box: Page box in points.
        placement: The embedded image, or None for a drawn figure.
        certain: False for clusters that are kept only with a caption.
        callouts: Lines over the image.
        marks: Drawings over the image.
        part: Number of the figure among those of its page with the same box (0 but for odd files).
        scan: True if the image is the whole page.
        cut: True if the figure is a part of its placement: a picture in a scanned page; `box` is then on the straight page.
        solid: True for a cut picture, False for a cut drawing.
        skew: How a scanned page lies.
    """

    page: int
    box: Box
    placement: Placement | None
    certain: bool = True
    callouts: list[TextLine] = field(default_factory=list)
    marks: list[Drawing] = field(default_factory=list)
    part: int = 0
    scan: bool = False
    cut: bool = False
    solid: bool = False
    skew: Skew | None = None

    @property
    def place(self) -> Box:
        """The box around the figure where it is seen, also on a skewed scan."""
        return self.box if self.skew is None else self.skew.seen(self.box)


def read_layout(page: Any) -> PageLayout:
    """Collect a page's text, images and drawings.

    Args:
        page: An open PyMuPDF page; its rotation is taken out first, so boxes are as people see them.
    """
    if page.rotation:
        page.remove_rotation()
    rect, number = page.rect, int(page.number)
    bounds = (float(rect.x0), float(rect.y0), float(rect.x1), float(rect.y1))
    textpage = open_text(page)
    layout = PageLayout(number, bounds, [], [], find_placements(page, textpage), page_drawings(page), [])
    if not layout.placements and not layout.drawings:
        blocks = textpage.extractBLOCKS()
        if not any(may_hold_caption(block[4]) for block in blocks):
            return replace(layout, paragraphs=plain_paragraphs(blocks, number), plain=True)
    return with_lines(layout, page_lines(page, None if layout.placements else textpage))


def with_lines(layout: PageLayout, lines: list[TextLine]) -> PageLayout:
    """The layout with other words: captions and paragraphs are made from them.

    Args:
        layout: Of the same page.
        lines: Its lines, printed or recognised, in page points.
    """
    captions = find_captions(lines)
    captioned = {line for caption in captions for line in caption.lines}
    text = paragraphs([line for line in lines if line not in captioned], layout.page)
    return replace(layout, lines=lines, captions=captions, paragraphs=text, plain=False)


def repeated_images(layouts: Sequence[PageLayout]) -> set[str]:
    """Digests of images that decorate a document: on three pages, or on two in the margins, or five times on one page."""
    pages: dict[str, set[int]] = {}
    most: Counter[str] = Counter()
    marginal: set[str] = set()
    for layout in layouts:
        on_page = Counter(placement.digest for placement in layout.placements)
        most |= on_page
        for placement in layout.placements:
            pages.setdefault(placement.digest, set()).add(layout.page)
            if _in_margin(placement.box, layout.bounds):
                marginal.add(placement.digest)
    return {
        digest
        for digest, where in pages.items()
        if len(where) >= 3 or (len(where) == 2 and digest in marginal) or most[digest] >= 5
    }


def _in_margin(box: Box, bounds: Box) -> bool:
    height = bounds[3] - bounds[1]
    return box[3] < bounds[1] + _MARGIN_BAND * height or box[1] > bounds[3] - _MARGIN_BAND * height


def page_figures(layout: PageLayout, repeated: set[str]) -> tuple[list[Figure], Counter[str]]:
    """Sort a page's images and drawings into figures, with what was left out and why.

    Args:
        layout: The page.
        repeated: Digests of decorations (`repeated_images`).

    Returns:
        Figures in reading order, and counts by reason of what is no figure.
    """
    figures, small, dropped = _standalone(layout, repeated)
    pieces: list[tuple[Box, int]] = [(box, 1) for box in small]
    figures, heaps = _overlapping(figures)
    pieces.extend((box, _HEAP_WEIGHT) for box in heaps)
    for drawing in layout.drawings:
        owner = next((figure for figure in figures if not figure.scan and _marks(drawing, figure.box)), None)
        if owner is None:
            pieces.append((drawing.box, int(drawing.slanted)))
        elif covered_fraction(owner.box, grown(drawing.box, 1.5)) < 0.98:  # a frame around the image marks nothing in it
            owner.marks.append(drawing)
    captioned = {line for caption in layout.captions for line in caption.lines}
    free = [line for line in layout.lines if line not in captioned]
    anchors = [part.box for part in part_captions(free) if part.bracketed] + [caption.box for caption in layout.captions]
    for region in vector_regions(pieces, free, layout.bounds, anchors):
        box = clipped(region.box, layout.bounds)
        if not any(covered_fraction(figure.box, box) > 0.9 or covered_fraction(box, figure.box) > 0.6 for figure in figures):
            figures.append(Figure(layout.page, box, None, region.certain))
    figures = [figures[index] for index in reading_order([figure.box for figure in figures])]
    _collect_callouts(figures, free)
    _number_parts(figures)
    return figures, dropped


def _standalone(layout: PageLayout, repeated: set[str]) -> tuple[list[Figure], list[Box], Counter[str]]:
    figures: list[Figure] = []
    small: list[Box] = []
    dropped: Counter[str] = Counter()
    if layout.scanned is not None:
        dropped["scanned page"] += 1
        figures = [
            Figure(layout.page, item.box, layout.scanned, item.certain, cut=True, solid=item.solid, skew=layout.skew)
            for item in layout.pictures
        ]
    for placement in layout.placements:
        box = clipped(placement.box, layout.bounds)
        if placement is layout.scanned:
            continue
        reason = _no_figure(placement, box, layout, repeated)
        if reason == "small":
            small.append(box)
        elif reason:
            dropped[reason] += 1
        elif any(placement.digest == other.placement.digest and box == other.box for other in figures if other.placement):
            dropped["drawn twice"] += 1
        else:
            scan = box_area(box) > 0.7 * box_area(layout.bounds)
            figures.append(Figure(layout.page, box, placement, scan=scan))
    if small:
        dropped["small image"] += len(small)
    return figures, small, dropped


def _overlapping(figures: Sequence[Figure]) -> tuple[list[Figure], list[Box]]:
    """Part images that stand free from those that lie on each other: the latter are layers of one drawing."""
    layers: set[int] = set()
    for i, first in enumerate(figures):
        for j in range(i + 1, len(figures)):
            second = figures[j].box
            if intersection_area(first.box, second) > 0.3 * min(box_area(first.box), box_area(second)):
                layers.update((i, j))
    free = [figure for index, figure in enumerate(figures) if index not in layers]
    return free, [figures[index].box for index in sorted(layers)]


def _no_figure(placement: Placement, box: Box, layout: PageLayout, repeated: set[str]) -> str:
    """Why an image is no figure of its own; "" if it is one."""
    width, height = box[2] - box[0], box[3] - box[1]
    rows = placement.height_px + sum(strip.height_px for strip in placement.strips)
    if width <= 0 or height <= 0:
        return "off the page"
    if placement.stencil:
        return "stencil"
    whole = width * height > 0.7 * box_area(layout.bounds)
    if min(placement.width_px, rows) < _MIN_SIDE_PX or (min(width, height) < _MIN_SIDE_PT and not whole):
        return "small"
    if placement.digest in repeated:
        return "repeated decoration"
    if max(width / height, height / width) > _MAX_ASPECT:
        return "banner or rule"
    if _in_margin(placement.box, layout.bounds):
        return "in the page margin"
    letters = sum(len(line.text) for line in layout.lines if covered_fraction(line.box, box) > 0.5)
    if whole and letters > 400:
        return "page background"
    return ""


def _marks(drawing: Drawing, box: Box) -> bool:
    """Whether a drawing lies over an image, or is an arrow or line with one end in it."""
    if covered_fraction(drawing.box, box) >= 0.4:
        return True
    return drawing.shape in ("arrow", "line") and any(_inside(end, box) for end in drawing.ends)


def _inside(point: tuple[float, float], box: Box) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _at_arrow_tail(line: TextLine, figure: Figure) -> bool:
    """Whether a short line stands where an arrow or leader line that points into the figure begins."""
    if len(line.text.split()) > 6:
        return False
    tails = [
        end for mark in figure.marks if mark.shape in ("arrow", "line") for end in mark.ends if not _inside(end, figure.box)
    ]
    return any(_inside(tail, grown(line.box, 8.0)) for tail in tails)


def _collect_callouts(figures: Sequence[Figure], lines: Sequence[TextLine]) -> None:
    """A line belongs to the smallest figure its middle lies in, or that an arrow leads to from it."""
    for line in lines:
        middle = centre(line.place)
        inside = [figure for figure in figures if _inside(middle, figure.place) or _at_arrow_tail(line, figure)]
        if inside:
            min(inside, key=lambda figure: box_area(figure.box)).callouts.append(line)


def _number_parts(figures: Sequence[Figure]) -> None:
    seen: Counter[tuple[int, ...]] = Counter()
    for figure in figures:
        key = tuple(round(value) for value in figure.box)
        figure.part = seen[key]
        seen[key] += 1
