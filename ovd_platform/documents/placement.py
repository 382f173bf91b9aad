"""The record of an image drawn on a page. Belongs here: the record only; finding and decoding are rasters'."""

from dataclasses import dataclass

from ovd_platform.documents.page_boxes import Box


@dataclass(frozen=True, slots=True)
class Placement:
    """One drawing of an embedded image on a page.

    Attributes:
        box: Where on the page, points.
        xref: Object number of the image; 0 for an image inlined into the page.
        smask: Object number of its transparency, or 0.
        digest: Hash of the stored stream (of the pixels for an inlined image) as hex; copies of an image have equal digests.
        width_px: Native columns.
        height_px: Native rows.
        bits: Bits per component.
        transform: (a, b, c, d) of unit square -> page.
        stencil: A 1-bit paint mask, not an image.
        strips: Further placements below this one that continue the same image.
        beside: Further placements to the right of this one that continue it; `width_px` counts them.
    """

    box: Box
    xref: int
    smask: int
    digest: str
    width_px: int
    height_px: int
    bits: int
    transform: tuple[float, float, float, float]
    stencil: bool = False
    strips: tuple["Placement", ...] = ()
    beside: tuple["Placement", ...] = ()
