"""Which part of an image a call-out points to. Belongs here: words, marks and the region they lead to; finding marks is drawings'.

Words are linked to at most one mark each: a line or arrow that begins at the words leads to its other end, and from there to the
circle or box it ends at; a circle or box next to the words is itself the region.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ovd_platform.documents.drawings import Drawing
from ovd_platform.documents.page_boxes import Box, box_area, centre, covered_fraction, gap_x, gap_y, grown

_FAR = 1e4
_TAIL_PT = 12.0
_ASIDE_PT = 12.0
_TIP_SIDE_PT = 18.0
_MIN_REGION_PT = 5.0
_MAX_REGION_SHARE = 0.6
_LABEL_FRAME = 3.0  # a box around words up to so many times their area is their background


@dataclass(frozen=True, slots=True)
class Callout:
    """Words about a part of an image.

    Attributes:
        pair_id: The image.
        text: As printed or read.
        region_image_xyxy: What they point to, fractions of the image's width and height.
        shape: The mark that carries them: ``circle``, ``ellipse``, ``rectangle``, ``polygon``, ``path``, ``arrow`` or ``line``.
        source: ``vector`` for words of the page, ``recognised`` for words in the pixels.
    """

    pair_id: str
    text: str
    region_image_xyxy: tuple[float, float, float, float]
    shape: str
    source: str = "vector"


@dataclass(frozen=True, slots=True)
class Link:
    """Words and the page box they point to."""

    text: str
    region: Box
    shape: str


def linked(words: Sequence[tuple[str, Box]], marks: Sequence[Drawing], image: Box) -> list[Link]:
    """Link words to what they point to.

    Args:
        words: Lines over or beside an image with their page boxes.
        marks: Drawings over the image.
        image: Page box of the image.

    Returns:
        New list; words that point to nothing are left out.
    """
    regions = [mark for mark in marks if _may_enclose(mark, image, words)]
    pointers = [mark for mark in marks if mark.shape in ("line", "arrow") and _length(mark) >= 6]
    if not words or not (regions or pointers):
        return []
    cost_nk = np.full((len(words), len(pointers) + len(regions)), _FAR)
    for n, (_, box) in enumerate(words):
        for k, pointer in enumerate(pointers):
            cost_nk[n, k] = _tail_cost(box, pointer)
        for k, region in enumerate(regions, start=len(pointers)):
            gap = max(gap_x(box, region.box), gap_y(box, region.box), 0.0)
            cost_nk[n, k] = gap + 2 if gap <= _ASIDE_PT else _FAR
    links = []
    for n, k in _assigned(cost_nk):
        text, box = words[n]
        if k >= len(pointers):
            links.append(Link(text, regions[k - len(pointers)].box, regions[k - len(pointers)].shape))
            continue
        tail, tip = _directed(box, pointers[k])
        links.append(Link(text, _region_at(tail, tip, regions, image), pointers[k].shape))
    return links


def callout_records(links: Sequence[Link], image: Box, pair_id: str, source: str) -> list[Callout]:
    """Links in fractions of the image, clipped to it; those wholly outside are left out."""
    records = []
    for link in links:
        place = fractions(link.region, image)
        if place[2] - place[0] > 0 and place[3] - place[1] > 0:
            records.append(Callout(pair_id, link.text, place, link.shape, source))
    return records


def fractions(box: Box, image: Box) -> tuple[float, float, float, float]:
    """A page box as fractions of an image, clipped to [0, 1]."""
    width, height = max(image[2] - image[0], 1e-6), max(image[3] - image[1], 1e-6)
    place = (
        (box[0] - image[0]) / width,
        (box[1] - image[1]) / height,
        (box[2] - image[0]) / width,
        (box[3] - image[1]) / height,
    )
    inside = [round(min(1.0, max(0.0, value)), 4) for value in place]
    return (inside[0], inside[1], inside[2], inside[3])


def callout_from_dict(values: dict[str, Any]) -> Callout:
    """A call-out from its plain mapping."""
    return Callout(**{**values, "region_image_xyxy": tuple(values["region_image_xyxy"])})


def _may_enclose(mark: Drawing, image: Box, words: Sequence[tuple[str, Box]]) -> bool:
    width, height = mark.box[2] - mark.box[0], mark.box[3] - mark.box[1]
    if mark.shape in ("line", "arrow") or min(width, height) < _MIN_REGION_PT:
        return False
    if box_area(mark.box) > _MAX_REGION_SHARE * box_area(image):
        return False
    area = box_area(mark.box)
    return not any(covered_fraction(box, mark.box) > 0.8 and area < _LABEL_FRAME * box_area(box) for _, box in words)


def _length(mark: Drawing) -> float:
    (x0, y0), (x1, y1) = mark.ends
    return float(np.hypot(x1 - x0, y1 - y0))


def _distance(point: tuple[float, float], box: Box) -> float:
    dx = max(box[0] - point[0], 0.0, point[0] - box[2])
    dy = max(box[1] - point[1], 0.0, point[1] - box[3])
    return float(np.hypot(dx, dy))


def _tail_cost(words: Box, pointer: Drawing) -> float:
    near = min(_distance(end, words) for end in pointer.ends)
    far = max(_distance(end, words) for end in pointer.ends)
    return near if near <= _TAIL_PT and far > near + 4 else _FAR


def _directed(words: Box, pointer: Drawing) -> tuple[tuple[float, float], tuple[float, float]]:
    first, last = pointer.ends
    return (first, last) if _distance(first, words) <= _distance(last, words) else (last, first)


def _region_at(tail: tuple[float, float], tip: tuple[float, float], regions: Sequence[Drawing], image: Box) -> Box:
    """The circle or box a pointer ends at, else a small square a little beyond its tip."""
    at = [region for region in regions if _distance(tip, region.box) <= 4]
    if at:
        return min((region.box for region in at), key=box_area)
    side = min(_TIP_SIDE_PT, 0.25 * min(image[2] - image[0], image[3] - image[1]))
    length = max(float(np.hypot(tip[0] - tail[0], tip[1] - tail[1])), 1e-6)
    x = tip[0] + 0.3 * side * (tip[0] - tail[0]) / length
    y = tip[1] + 0.3 * side * (tip[1] - tail[1]) / length
    return grown((x, y, x, y), side / 2)


def _assigned(cost_nk: np.ndarray) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost_nk)
    return [(int(n), int(k)) for n, k in zip(rows, columns, strict=True) if cost_nk[n, k] < _FAR]


def crop_box_px(
    region: Sequence[float], shape_hw: tuple[int, int], minimum_px: int, margin: float = 0.5
) -> tuple[int, int, int, int]:
    """Pixels of a crop around a region: the region with a margin, at least square, inside the image.

    Args:
        region: Fractions (x0, y0, x1, y1) of the image.
        shape_hw: Rows and columns of the image.
        minimum_px: Shorter sides are widened to this where the image allows.
        margin: Of the region's longer side, on each side.
    """
    height, width = shape_hw
    box = (region[0] * width, region[1] * height, region[2] * width, region[3] * height)
    x, y = centre(box)
    half = max((0.5 + margin) * max(box[2] - box[0], box[3] - box[1]), minimum_px / 2)
    left, top = max(0, round(x - half)), max(0, round(y - half))
    return left, top, min(width, round(x + half)), min(height, round(y + half))
