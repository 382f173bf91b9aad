"""Compiled search for touching boxes. Belongs here: the loop over a grid; imported only when pairs are wanted."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ovd_platform.geometry.grid_kernel import fill

_CELLS_A_SIDE = 512.0


@njit(cache=True)
def _pairs(boxes, others, low, high, origin, cell, cols, rows, starts, members, first, second):  # type: ignore[no-untyped-def]  # numba compiles it
    """Count pairs, and write them where ``first`` has room; each pair is met in the cell of its common corner only."""
    found = 0
    room = first.shape[0]
    for n in range(others.shape[0]):
        begin = found
        for row in range(low[n, 1], high[n, 1] + 1):
            for col in range(low[n, 0], high[n, 0] + 1):
                bucket = row * cols + col
                for position in range(starts[bucket], starts[bucket + 1]):
                    k = members[position]
                    left = max(boxes[k, 0], others[n, 0])
                    top = max(boxes[k, 1], others[n, 1])
                    if min(boxes[k, 2], others[n, 2]) < left or min(boxes[k, 3], others[n, 3]) < top:
                        continue
                    home_col = min(max(int(np.floor((left - origin[0]) / cell)), 0), cols - 1)
                    home_row = min(max(int(np.floor((top - origin[1]) / cell)), 0), rows - 1)
                    if home_col != col or home_row != row:
                        continue
                    if room:
                        place = found
                        while place > begin and first[place - 1] > k:
                            first[place] = first[place - 1]
                            place -= 1
                        first[place] = k
                        second[found] = n
                    found += 1
    return found


def touching(boxes_n4: NDArray[np.float64], others_m4: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every pair of boxes that share at least a border, ordered by the second index, then the first.

    Args:
        boxes_n4: Shape (N, 4), N >= 1, finite; these lie in the grid.
        others_m4: Shape (M, 4), M >= 1, finite; these are looked up.

    Returns:
        Indices into both, shapes (P,), int64; new arrays. Memory grows with N + P.
    """
    origin = boxes_n4[:, :2].min(axis=0)
    extent = float(max((boxes_n4[:, 2:].max(axis=0) - origin).max(), 1e-6))
    cell = max(2.0 * float(np.median(boxes_n4[:, 2:] - boxes_n4[:, :2])), extent / _CELLS_A_SIDE)
    while True:
        side = int(extent / cell) + 1
        low, high = _cells(boxes_n4, origin, cell, side)
        covered = int(np.prod(high - low + 1, axis=1).sum())
        if covered <= 16 * len(boxes_n4) + 65_536 or side == 1:
            break
        cell *= 2.0  # a few huge boxes would fill the grid
    starts, members = fill(low, high, side, side * side)
    reach_low, reach_high = _cells(others_m4, origin, cell, side)
    outside = (others_m4[:, 2:] < origin).any(axis=1) | (others_m4[:, :2] > origin + extent).any(axis=1)
    reach_high[outside] = reach_low[outside] - 1
    nothing = np.empty(0, dtype=np.int64)
    grid: tuple[Any, ...] = (boxes_n4, others_m4, reach_low, reach_high, origin, cell, side, side, starts, members)
    count = _pairs(*grid, nothing, nothing)
    first, second = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    if count:
        _pairs(*grid, first, second)
    return first, second


def _cells(boxes: NDArray[np.float64], origin: NDArray[np.float64], cell: float, side: int) -> Any:
    """First and last cell of each box, shapes (N, 2), clipped to the grid."""
    low = np.clip(np.floor((boxes[:, :2] - origin) / cell), 0, side - 1).astype(np.int64)
    high = np.clip(np.floor((boxes[:, 2:] - origin) / cell), 0, side - 1).astype(np.int64)
    return low, high
