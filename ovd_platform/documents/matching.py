"""Which caption names which figure. Belongs here: geometry of captions and figures on one page, panels; words are captions'."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ovd_platform.documents.captions import Caption, PartCaption
from ovd_platform.documents.page_boxes import Box, centre, gap_x, gap_y, union_box, x_overlap, y_overlap
from ovd_platform.documents.page_text import Paragraph, TextLine

_FAR = 1e4
_REACH_PT = 72.0
_PANEL_GAP_PT = 60.0
_PART_REACH_PT = 32.0
_ROW_GAP_PT = 14.0
_COLUMN_LETTERS = 90
_SUNK_PT, _SUNK_SHARE = 8.0, 0.04


@dataclass(frozen=True, slots=True)
class Match:
    """A figure's caption.

    Attributes:
        caption: Index of the caption, or None.
        side: Where the caption stands: ``below``, ``above``, ``beside``, or "" without one.
        gap_pt: Distance between figure and caption.
        panel: Position of the figure among the panels that share the caption, 0-based in reading order.
        panels: Number of figures that share it.
        rival: Cost of the next best caption minus cost of this one, points; large is unambiguous.
    """

    caption: int | None = None
    side: str = ""
    gap_pt: float = 0.0
    panel: int = 0
    panels: int = 1
    rival: float = _FAR


def side_votes(boxes: Sequence[Box], captions: Sequence[Caption]) -> tuple[float, float]:
    """How many captions of a page clearly stand below and above their figure, for a document-wide habit."""
    below = above = 0.0
    for caption in captions:
        near = [(gap_y(box, caption.box), box[1] < caption.box[1]) for box in boxes if x_overlap(box, caption.box) > 0.5]
        near = [item for item in near if -6 <= item[0] <= _REACH_PT]
        if near:
            gap, under = min(near)
            tied = any(other != under and abs(value - gap) < 6 for value, other in near)
            below, above = below + (under and not tied), above + (not under and not tied)
    return below, above


def match_captions(
    boxes: Sequence[Box],
    captions: Sequence[Caption],
    body: Sequence[TextLine],
    *,
    habit: float = 0.0,
    columns: Sequence[tuple[float, float]] = (),
    lettered: Sequence[bool] = (),
) -> list[Match]:
    """Assign captions to figures: each caption to its cheapest figure, leftover panels to their neighbour's caption.

    Args:
        boxes: Figures on the page, points.
        captions: Captions of the page.
        body: Lines that are neither captions nor call-outs; a long one between figure and caption parts them.
        columns: Left and right of the text columns; a caption may stand anywhere in the column of its figure.
        habit: In [-1, 1]: captions of this document stand below (1), above (-1), or either (0).
        lettered: Which figures have an "(a) ..." of their own; two such share a caption whatever their sizes.

    Returns:
        One match a figure, in the order of the boxes.
    """
    matches = [Match() for _ in boxes]
    if not boxes or not captions:
        return matches
    cost_nk = np.full((len(boxes), len(captions)), _FAR)
    side_nk: dict[tuple[int, int], tuple[str, float]] = {}
    for n, box in enumerate(boxes):
        for k, caption in enumerate(captions):
            cost, side, gap = _cost(box, caption, habit, columns)
            if cost < _FAR and not _parted(box, caption, body, side):
                cost_nk[n, k], side_nk[n, k] = cost, (side, gap)
    for n, k in _assign(cost_nk):
        others = np.delete(cost_nk[n], k)
        rival = float(others.min() - cost_nk[n, k]) if len(others) else _FAR
        matches[n] = Match(k, *side_nk[n, k], rival=rival)
    return _share_with_panels(boxes, captions, matches, cost_nk, lettered or [False] * len(boxes))


def _assign(cost_nk: np.ndarray) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost_nk)
    return [(int(n), int(k)) for n, k in zip(rows, columns, strict=True) if cost_nk[n, k] < _FAR]


def _cost(box: Box, caption: Caption, habit: float, columns: Sequence[tuple[float, float]]) -> tuple[float, str, float]:
    """Cost in points, side and gap; `_FAR` when the two cannot belong together."""
    words = caption.box
    aside = min(20.0, 0.15 * abs(centre(box)[0] - centre(words)[0]))
    doubt = 20 * (1 - caption.strength)
    over = x_overlap(box, words) >= 0.35
    if over or _same_column(box, words, columns):
        aside += 0 if over else 8
        gap = gap_y(box, words)
        under = centre(words)[1] > centre(box)[1]
        if -_SUNK_PT - _SUNK_SHARE * (box[3] - box[1]) <= gap <= _REACH_PT:  # a clipped image reaches under its caption
            penalty = 25 * max(0.0, -habit) if under else 6 + 25 * max(0.0, habit)
            return max(gap, 0) + aside + doubt + penalty, "below" if under else "above", gap
    if y_overlap(box, words) >= 0.5 and -4 <= gap_x(box, words) <= _REACH_PT / 2:
        gap = gap_x(box, words)
        return max(gap, 0) + 15 + doubt + 0.05 * abs(centre(box)[1] - centre(words)[1]), "beside", gap
    return _FAR, "", 0.0


def _same_column(box: Box, words: Box, columns: Sequence[tuple[float, float]]) -> bool:
    """Whether the first column (that of most letters) that holds the words also holds the middle of the figure."""
    holding = [column for column in columns if column[0] - 4 <= words[0] and words[2] <= column[1] + 4]
    if not holding:
        return False
    left, right = holding[0]
    return left <= centre(box)[0] <= right


def text_columns(text: Sequence[Paragraph]) -> list[tuple[float, float]]:
    """Left and right of the columns that paragraphs stand in, those with most letters first.

    Args:
        text: Paragraphs of one page, or of several of one layout.
    """
    columns: list[tuple[float, float, int]] = []
    for paragraph in text:
        left, right, letters = paragraph.box[0], paragraph.box[2], len(paragraph.text)
        if letters < _COLUMN_LETTERS:
            continue
        for index, (low, high, count) in enumerate(columns):
            if abs(left - low) < 8 and abs(right - high) < 0.15 * (high - low):
                columns[index] = (min(low, left), max(high, right), count + letters)
                break
        else:
            columns.append((left, right, letters))
    return [(low, high) for low, high, _ in sorted(columns, key=lambda column: -column[2])]


def _parted(box: Box, caption: Caption, body: Sequence[TextLine], side: str) -> bool:
    """Whether running text stands between the two."""
    if side == "beside":
        return False
    top, bottom = (box[3], caption.box[1]) if side == "below" else (caption.box[3], box[1])
    for line in body:
        middle = centre(line.box)[1]
        if top < middle < bottom and x_overlap(line.box, box) > 0.5 and len(line.text.split()) > 6:
            return True
    return False


def _share_with_panels(
    boxes: Sequence[Box], captions: Sequence[Caption], matches: list[Match], cost_nk: np.ndarray, lettered: Sequence[bool]
) -> list[Match]:
    """Figures left without a caption join the caption of a neighbouring panel; then panels are counted in reading order."""
    owners = {match.caption: n for n, match in enumerate(matches) if match.caption is not None}
    changed = True
    while changed:
        changed = False
        for n, match in enumerate(matches):
            if match.caption is not None:
                continue
            options = [
                (max(gap_x(boxes[n], boxes[m]), gap_y(boxes[n], boxes[m])), m)
                for m, other in enumerate(matches)
                if other.caption is not None
                and _are_panels(boxes[n], boxes[m], lettered[n] and lettered[m])
                and _reaches(boxes, n, captions[other.caption], matches, m, lettered[n] and lettered[m])
            ]
            if options:
                gap, m = min(options)
                matches[n] = replace(matches[m], gap_pt=max(gap, matches[m].gap_pt), rival=float(np.sort(cost_nk[n])[0]))
                changed = True
    for caption in owners:
        members = [n for n, match in enumerate(matches) if match.caption == caption]
        for position, n in enumerate(reading_order([boxes[member] for member in members])):
            matches[members[n]] = replace(matches[members[n]], panel=position, panels=len(members))
    return matches


def _are_panels(first: Box, second: Box, lettered: bool) -> bool:
    row = y_overlap(first, second) > 0.6 and gap_x(first, second) < _PANEL_GAP_PT
    column = x_overlap(first, second) > 0.6 and gap_y(first, second) < _PANEL_GAP_PT
    sizes = sorted([first[3] - first[1], second[3] - second[1]])
    return (row or column) and (lettered or sizes[0] > 0.4 * sizes[1])


def _reaches(boxes: Sequence[Box], n: int, caption: Caption, matches: list[Match], m: int, lettered: bool) -> bool:
    """Whether a leftover by the owner may share its caption: lettered, in a row, under a centred or wide caption, or stacked."""
    side = matches[m].side
    if side == "beside":
        return True
    group = union_box([boxes[n], *(boxes[i] for i, match in enumerate(matches) if match.caption == matches[m].caption)])
    outside = boxes[n][1] > caption.box[1] if side == "below" else boxes[n][3] < caption.box[3]
    if outside:
        return False
    nearer_to_group = abs(centre(caption.box)[0] - centre(group)[0]) < abs(centre(caption.box)[0] - centre(boxes[m])[0]) + 2
    wide = caption.box[2] - caption.box[0] > 1.2 * (boxes[m][2] - boxes[m][0])
    stacked = x_overlap(boxes[n], boxes[m]) > 0.6
    heights = (boxes[n][3] - boxes[n][1], boxes[m][3] - boxes[m][1])
    row = abs(boxes[n][1] - boxes[m][1]) < 3 and abs(heights[0] - heights[1]) < 3 and gap_x(boxes[n], boxes[m]) < _ROW_GAP_PT
    return lettered or row or nearer_to_group or wide or stacked


def reading_order(boxes: Sequence[Box]) -> list[int]:
    """Indices by rows from the top, each from the left; boxes whose heights overlap by half stand in one row."""
    rows: list[list[int]] = []
    for index in sorted(range(len(boxes)), key=lambda i: (boxes[i][1], boxes[i][0])):
        row = next((row for row in rows if y_overlap(boxes[row[0]], boxes[index]) > 0.5), None)
        if row is None:
            rows.append([index])
        else:
            row.append(index)
    return [index for row in rows for index in sorted(row, key=lambda i: boxes[i][0])]


def own_part(box: Box, parts: Sequence[PartCaption], others: Sequence[Box]) -> PartCaption | None:
    """The "(a) ..." line that stands right under, over or inside a panel, and is nearer to it than to any other panel."""
    best: tuple[float, PartCaption] | None = None
    for part in parts:
        if x_overlap(box, part.box) < 0.5:
            continue
        gap = (
            part.box[1] - box[3]
            if part.box[1] >= box[3] - 4
            else (0.0 if part.box[1] >= box[1] - 2 else box[1] - part.box[3] + 4)
        )
        nearer = any(other != box and _below_gap(other, part.box) < gap for other in others)
        if (
            0 <= max(gap, 0) <= (_PART_REACH_PT if part.bracketed else _PART_REACH_PT / 2)
            and not nearer
            and (best is None or gap < best[0])
        ):
            best = (gap, part)
    return best[1] if best else None


def _below_gap(box: Box, words: Box) -> float:
    """Distance of words standing below a box of the same column; large otherwise."""
    return words[1] - box[3] if x_overlap(box, words) >= 0.5 and words[1] >= box[3] - 4 else _FAR
