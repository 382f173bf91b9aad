"""Compiled loops of seam merging: pairs that are one object, of boxes, oriented boxes or masks; imported only when merging.

Belongs here: finding the pairs in grid buckets, and the greedy choice among them. Does not belong here: what the rules mean
(`seams`).

Boxes are first put in spatial order, so that neighbours in the plane are neighbours in memory: a loop in order of score would
miss the cache at every step, and time would grow faster than the number of boxes.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ovd_platform.geometry.grid_kernel import fill


@njit(cache=True)
def _spatial_order(boxes, left, top, cell, cols, rows):  # type: ignore[no-untyped-def]  # numba compiles it
    """Indices of boxes by the cell of their first corner, by counting."""
    count = boxes.shape[0]
    cell_n = np.empty(count, dtype=np.int32)
    starts = np.zeros(cols * rows + 1, dtype=np.int32)
    for index in range(count):
        bucket = int((boxes[index, 1] - top) / cell) * cols + int((boxes[index, 0] - left) / cell)
        cell_n[index] = bucket
        starts[bucket + 1] += 1
    for bucket in range(cols * rows):
        starts[bucket + 1] += starts[bucket]
    order = np.empty(count, dtype=np.int32)
    for index in range(count):
        order[starts[cell_n[index]]] = index
        starts[cell_n[index]] += 1
    return order


@njit(cache=True)
def _extent(boxes):  # type: ignore[no-untyped-def]
    """Left, top, right and bottom of all boxes in one pass."""
    left, top, right, bottom = boxes[0, 0], boxes[0, 1], boxes[0, 2], boxes[0, 3]
    for index in range(1, boxes.shape[0]):
        left, top = min(left, boxes[index, 0]), min(top, boxes[index, 1])
        right, bottom = max(right, boxes[index, 2]), max(bottom, boxes[index, 3])
    return float(left), float(top), float(right), float(bottom)


@njit(cache=True)
def _cells(boxes, left, top, cell):  # type: ignore[no-untyped-def]
    """First and last column and row of every box."""
    low = np.empty((boxes.shape[0], 2), dtype=np.int32)
    high = np.empty((boxes.shape[0], 2), dtype=np.int32)
    for index in range(boxes.shape[0]):
        low[index, 0] = int((boxes[index, 0] - left) / cell)
        low[index, 1] = int((boxes[index, 1] - top) / cell)
        high[index, 0] = int((boxes[index, 2] - left) / cell)
        high[index, 1] = int((boxes[index, 3] - top) / cell)
    return low, high


@njit(cache=True)
def _signed_area(points, count):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(count):
        n = (k + 1) % count
        total += points[k, 0] * points[n, 1] - points[n, 0] * points[k, 1]
    return 0.5 * total


@njit(cache=True)
def _quad_intersection(first, second):  # type: ignore[no-untyped-def]
    """Shared area of two convex quadrilaterals, corners in any turn; clipping edge by edge (Sutherland and Hodgman 1974)."""
    points, clipped = np.empty((16, 2)), np.empty((16, 2))
    for k in range(4):
        points[k, 0], points[k, 1] = first[k, 0], first[k, 1]
    count = 4
    turn = 1.0 if _signed_area(second, 4) >= 0 else -1.0
    for k in range(4):
        ax, ay = second[k, 0], second[k, 1]
        bx, by = second[(k + 1) % 4, 0], second[(k + 1) % 4, 1]
        kept = 0
        for p in range(count):
            q = (p + 1) % count
            here = turn * ((bx - ax) * (points[p, 1] - ay) - (by - ay) * (points[p, 0] - ax))
            there = turn * ((bx - ax) * (points[q, 1] - ay) - (by - ay) * (points[q, 0] - ax))
            if here >= 0:
                clipped[kept, 0], clipped[kept, 1] = points[p, 0], points[p, 1]
                kept += 1
            if (here > 0 and there < 0) or (here < 0 and there > 0):
                share = here / (here - there)
                clipped[kept, 0] = points[p, 0] + share * (points[q, 0] - points[p, 0])
                clipped[kept, 1] = points[p, 1] + share * (points[q, 1] - points[p, 1])
                kept += 1
        count = kept
        if count < 3:
            return 0.0
        points, clipped = clipped, points
    return abs(_signed_area(points, count))


@njit(cache=True)
def _mask_intersection(bits, places, starts, first, second):  # type: ignore[no-untyped-def]
    """Pixels two masks share; ``places`` are left, top, width, height."""
    x0, y0 = max(places[first, 0], places[second, 0]), max(places[first, 1], places[second, 1])
    x1 = min(places[first, 0] + places[first, 2], places[second, 0] + places[second, 2])
    y1 = min(places[first, 1] + places[first, 3], places[second, 1] + places[second, 3])
    shared = 0
    for y in range(y0, y1):
        a = starts[first] + (y - places[first, 1]) * places[first, 2] - places[first, 0]
        b = starts[second] + (y - places[second, 1]) * places[second, 2] - places[second, 0]
        for x in range(x0, x1):
            if bits[a + x] and bits[b + x]:
                shared += 1
    return float(shared)


@njit(cache=True)
def _shared(kind, boxes, quads, bits, places, bit_starts, first, second, boxes_shared):  # type: ignore[no-untyped-def]
    if kind == 1:
        return _quad_intersection(quads[first], quads[second])
    if kind == 2:
        return _mask_intersection(bits, places, bit_starts, first, second)
    return boxes_shared


@njit(cache=True, inline="always")
def _one_object(shared, area, other, apart, kind, cut, other_cut, rules):  # type: ignore[no-untyped-def]
    """Whether two overlapping boxes are one object; see `seams.SeamRules`."""
    iou, tiny_iou, ios, near_px, near_fraction, tiny_px, alike = rules
    smaller, larger = min(area, other), max(area, other)
    side = np.sqrt(larger)
    wanted = tiny_iou if side < tiny_px else iou
    if shared > wanted * (smaller + larger - shared) and (kind != 0 or apart <= near_px + near_fraction * side):
        return True
    if shared > ios * smaller:
        return smaller < alike * larger if cut == 2 or other_cut == 2 else cut + other_cut > 0
    return False


@njit(cache=True)
def _several(sources, members):  # type: ignore[no-untyped-def]
    """Whether the members of a cell come from more than one source."""
    for position in range(1, len(members)):  # noqa: SIM110  # numba knows no any()
        if sources[members[position]] != sources[members[0]]:
            return True
    return False


@njit(cache=True)
def _twice(pairs):  # type: ignore[no-untyped-def]
    """The pairs with room for as many again; assigning a slice would take 3 s to compile for its error messages."""
    grown = np.empty((2 * pairs.shape[0], 2), dtype=np.int32)
    for row in range(pairs.shape[0]):
        grown[row, 0], grown[row, 1] = pairs[row, 0], pairs[row, 1]
    return grown


@njit(cache=True)
def _pairs(boxes, sources, areas, cut, kind, quads, bits, places, bit_starts, rules, left, top, cell, cols, starts, members):  # type: ignore[no-untyped-def]
    """Pairs of different sources that are one object, each once.

    ``rules`` are IoU, IoU of tiny boxes, intersection over smaller, near px, near fraction, tiny px, alike fraction. ``cut`` is 1
    for boxes an edge may have cut, 0 for whole ones, 2 where nobody knows.
    """
    pairs = np.empty((1024, 2), dtype=np.int32)
    found = 0
    for bucket in range(starts.shape[0] - 1):
        # Most cells lie inside of one reading, and boxes of one source never meet.
        if not _several(sources, members[starts[bucket] : starts[bucket + 1]]):
            continue
        for position in range(starts[bucket], starts[bucket + 1]):
            first = members[position]
            for other in range(position + 1, starts[bucket + 1]):
                second = members[other]
                if sources[first] == sources[second]:
                    continue
                x0, y0 = max(boxes[first, 0], boxes[second, 0]), max(boxes[first, 1], boxes[second, 1])
                width = min(boxes[first, 2], boxes[second, 2]) - x0
                height = min(boxes[first, 3], boxes[second, 3]) - y0
                if width <= 0.0 or height <= 0.0:
                    continue
                # Of all cells both boxes touch, the one with the corner of their intersection answers.
                if int((y0 - top) / cell) * cols + int((x0 - left) / cell) != bucket:
                    continue
                shared = _shared(kind, boxes, quads, bits, places, bit_starts, first, second, float(width) * float(height))
                apart = 0.5 * np.hypot(
                    boxes[first, 0] + boxes[first, 2] - boxes[second, 0] - boxes[second, 2],
                    boxes[first, 1] + boxes[first, 3] - boxes[second, 1] - boxes[second, 3],
                )
                one = _one_object(shared, areas[first], areas[second], apart, kind, cut[first], cut[second], rules)
                if one:
                    if found == pairs.shape[0]:
                        pairs = _twice(pairs)
                    pairs[found, 0], pairs[found, 1] = first, second
                    found += 1
    return pairs[:found]


@njit(cache=True)
def _greedy(better, worse, count):  # type: ignore[no-untyped-def]
    alive = np.ones(count, dtype=np.bool_)
    for k in range(better.shape[0]):
        if alive[better[k]]:
            alive[worse[k]] = False
    return alive


def surviving(
    boxes_n4: NDArray[Any],
    areas_n: NDArray[Any],
    source_n: NDArray[np.int32],
    cut_n: NDArray[np.uint8],
    rank_n: NDArray[np.int64],
    rules: tuple[float, ...],
    quads_n42: NDArray[np.float64] | None = None,
    masks: tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> NDArray[np.bool_]:
    """Which boxes survive greedy merging across sources.

    Args:
        boxes_n4: Shape (N, 4), N >= 1, floating.
        areas_n: Area of the box, oriented box or mask.
        source_n: What answered; boxes of one source never remove each other.
        cut_n: 1 where an edge may have cut the object, 0 where not, 2 unknown.
        rank_n: 0 for the best box.
        rules: See `_pairs`.
        quads_n42: Corners of oriented boxes, shape (N, 4, 2).
        masks: Flat bits, places (left, top, width, height) of shape (N, 4), and first bit of each mask.

    Returns:
        Shape (N,), bool.
    """
    some_n4 = boxes_n4[:: max(1, len(boxes_n4) // 4096)]
    usual = float(np.quantile(np.maximum(some_n4[:, 2] - some_n4[:, 0], some_n4[:, 3] - some_n4[:, 1]), 0.9))
    left, top, right, bottom = _extent(boxes_n4)
    extent = max(right - left, bottom - top, 1.0)
    # Cells of about one object, but never more than four a box or 10^5 along a side.
    cell = max(usual, extent / max(2.0 * len(boxes_n4) ** 0.5, 16.0), extent / 1e5, 1.0)
    cols, rows = int((right - left) / cell) + 1, int((bottom - top) / cell) + 1
    order = _spatial_order(boxes_n4, left, top, cell, cols, rows)
    boxes = boxes_n4[order]
    low, high = _cells(boxes, left, top, cell)
    starts, members = fill(low, high, cols, rows * cols)
    quads = quads_n42[order] if quads_n42 is not None else np.zeros((1, 4, 2))
    bits, places, bit_starts = (
        masks if masks is not None else (np.zeros(1, np.bool_), np.zeros((1, 4), np.int64), np.zeros(1, np.int64))
    )
    if masks is not None:
        places, bit_starts = places[order], bit_starts[order]
    kind = 2 if masks is not None else 1 if quads_n42 is not None else 0
    pairs = order[
        _pairs(
            boxes, source_n[order], areas_n[order], cut_n[order], kind, quads, bits, places, bit_starts, rules, left, top, cell, cols,
            starts, members,
        )
    ]  # fmt: skip
    first, second = rank_n[pairs[:, 0]], rank_n[pairs[:, 1]]
    better, worse = np.minimum(first, second), np.maximum(first, second)
    by_better = np.argsort(better, kind="stable")
    alive: NDArray[np.bool_] = _greedy(better[by_better], worse[by_better], len(boxes_n4))[rank_n]
    return alive
