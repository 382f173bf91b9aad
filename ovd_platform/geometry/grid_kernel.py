"""Compiled filling of a grid with boxes. Belongs here: the buckets every loop over neighbouring boxes shares; imported only there."""

import numpy as np
from numba import njit


@njit(cache=True)
def fill(low, high, cols, buckets):  # type: ignore[no-untyped-def]  # numba compiles it
    """Which boxes touch each cell: ``members[starts[cell]:starts[cell + 1]]``, rising.

    ``low`` and ``high`` are the first and last column and row of each box, shapes (N, 2), int64.
    """
    starts = np.zeros(buckets + 1, dtype=np.int64)
    for index in range(low.shape[0]):
        for row in range(low[index, 1], high[index, 1] + 1):
            for col in range(low[index, 0], high[index, 0] + 1):
                starts[row * cols + col + 1] += 1
    for bucket in range(buckets):
        starts[bucket + 1] += starts[bucket]
    cursor = starts[:-1].copy()
    members = np.empty(starts[-1], dtype=np.int32)  # half the memory traffic
    for index in range(low.shape[0]):
        for row in range(low[index, 1], high[index, 1] + 1):
            for col in range(low[index, 0], high[index, 0] + 1):
                members[cursor[row * cols + col]] = index
                cursor[row * cols + col] += 1
    return starts, members
