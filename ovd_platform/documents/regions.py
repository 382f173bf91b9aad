"""Drawings of a page gathered into drawn figures. Belongs here: clusters, text frames, parting a cluster into panels.

Does not belong here: the shape of one drawing (drawings), images (rasters), whose words are whose (matching).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ovd_platform.documents.page_boxes import (
    Box,
    box_area,
    centre,
    clipped,
    covered_fraction,
    grown,
    intersection_area,
    union_box,
    y_overlap,
)
from ovd_platform.documents.page_text import TextLine

Piece = tuple[Box, int]
_CELL_PT = 4.0
_MIN_WIDTH_PT, _MIN_HEIGHT_PT = 40.0, 30.0
_MIN_PANEL_PT = 10.0
_UNDER_PT = 30.0
_RUNNING_WORDS = 7
_VALLEY_PT = 3.0
_CROSSING_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class VectorRegion:
    """A cluster of drawings that may be a figure.

    Attributes:
        box: Page box in points, with the labels that belong to it.
        pieces: Number of drawings and small images in it.
        certain: False if it may as well be a table or a text frame: kept only with a caption.
    """

    box: Box
    pieces: int
    certain: bool


def vector_regions(
    pieces: Sequence[Piece], lines: Sequence[TextLine], bounds: Box, anchors: Sequence[Box] = ()
) -> list[VectorRegion]:
    """Clusters of drawings large enough to be a figure.

    Args:
        pieces: Page boxes of drawings and images, each with how much it speaks for a figure: 0 a straight line or frame,
            1 a slanted or curved one or a small image, 8 images that overlap each other.
        lines: Text of the page that may label the figures (no captions).
        bounds: The page.
        anchors: Words that stand under one figure or panel each (captions, "(a) ..."): a cluster over several of them is
            parted, and a small cluster right over one is kept.

    Returns:
        New list in reading order.
    """
    usable = [(clipped(box, bounds), weight) for box, weight in pieces if box_area(box) < 0.5 * box_area(bounds)]
    usable = [(box, weight) for box, weight in usable if box[2] >= box[0] and box[3] >= box[1]]
    regions = []
    for members in _clusters(usable, bounds):
        for untexted in _without_text_frames(members, lines, bounds):
            for panel in part_by_anchors(untexted, anchors):
                region = _region(panel, lines, anchors)
                if region is not None:
                    regions.append(region)
    return sorted(regions, key=lambda region: (region.box[1], region.box[0]))


def _clusters(pieces: Sequence[Piece], bounds: Box) -> list[list[Piece]]:
    if not pieces:
        return []
    groups: dict[int, list[Piece]] = {}
    for piece, label in zip(pieces, _cluster_labels([box for box, _ in pieces], bounds), strict=True):
        groups.setdefault(label, []).append(piece)
    return [groups[label] for label in sorted(groups)]


def _cluster_labels(boxes: Sequence[Box], bounds: Box) -> list[int]:
    """Connected components on a grid of 4 pt cells, so that the cost does not grow with the square of the drawings."""
    from scipy import ndimage

    columns = int((bounds[2] - bounds[0]) / _CELL_PT) + 2
    rows = int((bounds[3] - bounds[1]) / _CELL_PT) + 2
    grid_hw = np.zeros((rows, columns), dtype=bool)
    cells = []
    for x0, y0, x1, y1 in boxes:
        left, top = int((x0 - bounds[0]) / _CELL_PT), int((y0 - bounds[1]) / _CELL_PT)
        cells.append((top, left))
        grid_hw[top : int((y1 - bounds[1]) / _CELL_PT) + 1, left : int((x1 - bounds[0]) / _CELL_PT) + 1] = True
    spread_hw = ndimage.binary_dilation(grid_hw, structure=np.ones((3, 3), dtype=bool))
    labels_hw, _ = ndimage.label(spread_hw, structure=np.ones((3, 3), dtype=int))
    return [int(labels_hw[row, column]) for row, column in cells]


def _without_text_frames(members: Sequence[Piece], lines: Sequence[TextLine], bounds: Box) -> list[list[Piece]]:
    """A cluster without the frame of a text beside its drawing; the cluster itself where text and drawing are mixed."""
    heavy = [box for box, weight in members if weight]
    box = union_box(member for member, _ in members)
    running = [line.box for line in lines if len(line.text.split()) >= _RUNNING_WORDS and covered_fraction(line.box, box) > 0.5]
    if not heavy or len(running) < 2:
        return [list(members)]
    text = grown(union_box(running), 2.0)
    if intersection_area(text, union_box(heavy)) > 0:
        return [list(members)]
    framing = grown(text, 15.0)
    kept = [piece for piece in members if piece[1] or intersection_area(grown(piece[0], 0.25), framing) == 0]
    return _clusters(kept, bounds)


def part_by_anchors(members: Sequence[Piece], anchors: Sequence[Box]) -> list[list[Piece]]:
    """Part a cluster into the panels that have words of their own under them.

    Args:
        members: Pieces of one cluster.
        anchors: Boxes of words that stand under one panel each.

    Returns:
        The pieces of each panel; all in one where there are fewer than two such words or no gap between panels.
    """
    box = union_box(member for member, _ in members)
    mine = [
        anchor
        for anchor in anchors
        if box[0] - 5 <= centre(anchor)[0] <= box[2] + 5 and box[1] + _MIN_PANEL_PT < anchor[1] < box[3] + _UNDER_PT
    ]
    if len(mine) < 2:
        return [list(members)]
    groups: dict[tuple[int, int], list[Piece]] = {}
    rows = _rows(mine)
    of_row: dict[int, list[Piece]] = {}
    for piece in members:
        middle = (piece[0][1] + piece[0][3]) / 2
        number = next((index for index, row in enumerate(rows) if middle <= row[0][1] + 2), len(rows) - 1)
        of_row.setdefault(number, []).append(piece)
    for number, pieces in of_row.items():
        edges = _boundaries(pieces, rows[number])
        for (x0, y0, x1, y1), weight in pieces:
            column = int(np.searchsorted(edges, (x0 + x1) / 2))
            left, right = [-np.inf, *edges][column], [*edges, np.inf][column]
            groups.setdefault((number, column), []).append(((max(x0, left), y0, min(x1, right), y1), weight))
    return [groups[key] for key in sorted(groups)]


def _rows(anchors: Sequence[Box]) -> list[list[Box]]:
    rows: list[list[Box]] = []
    for anchor in sorted(anchors, key=lambda box: (box[1], box[0])):
        row = next((row for row in rows if y_overlap(row[0], anchor) > 0.4), None)
        if row is None:
            rows.append([anchor])
        else:
            row.append(anchor)
    return [sorted(row, key=lambda box: box[0]) for row in rows]


def _boundaries(pieces: Sequence[Piece], row: Sequence[Box]) -> list[float]:
    """Where the pieces over a row of words part: where fewest of them cross between each two neighbours.

    A gap parts them; so does a place that a twentieth of many pieces cross, because masked images are larger than they look.
    """
    edges = []
    starts, ends = np.sort([box[0] for box, _ in pieces]), np.sort([box[2] for box, _ in pieces])
    for first, second in pairwise(row):
        left, right = centre(first)[0], centre(second)[0]
        cuts = np.unique(np.r_[left, ends[(ends > left) & (ends < right)], starts[(starts > left) & (starts < right)], right])
        middles, widths = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
        crossing = np.searchsorted(starts, middles, "left") - np.searchsorted(ends, middles, "right")
        if not len(crossing):
            continue
        best = int(np.lexsort((-widths, crossing))[0])
        clear = crossing[best] == 0 and widths[best] >= _VALLEY_PT
        if clear or (0 < crossing[best] <= _CROSSING_SHARE * len(pieces)):
            edges.append(float(middles[best]))
    return edges


def _region(members: Sequence[Piece], lines: Sequence[TextLine], anchors: Sequence[Box]) -> VectorRegion | None:
    box = union_box(member for member, _ in members)
    width, height = box[2] - box[0], box[3] - box[1]
    named = any(box[0] - 2 <= centre(anchor)[0] <= box[2] + 2 and -4 <= anchor[1] - box[3] <= _UNDER_PT for anchor in anchors)
    if width < _MIN_WIDTH_PT or height < _MIN_HEIGHT_PT:
        small = min(width, height) >= _MIN_PANEL_PT and sum(weight for _, weight in members) >= 1
        if not (named and small):
            return None
    near = [line.box for line in lines if len(line.text) <= 40 and intersection_area(line.box, grown(box, 6)) > 0]
    near = [place for place in near if not any(covered_fraction(place, anchor) > 0.8 for anchor in anchors)]
    inside = sum(intersection_area(line.box, box) for line in lines)
    weight = sum(of_member for _, of_member in members)
    wordy = inside > 0.3 * box_area(box)
    certain = weight >= 8 or (weight >= 4 and len(members) >= 6 and not wordy)
    text = sum(covered_fraction(line.box, box) > 0.5 and len(line.text.split()) > 8 for line in lines)
    running = sum(covered_fraction(line.box, box) > 0.5 and len(line.text.split()) >= _RUNNING_WORDS for line in lines)
    if (text > 4 and weight < 4) or (running >= 2 and weight == 0):
        return None
    return VectorRegion(union_box([box, *near]), len(members), certain)
