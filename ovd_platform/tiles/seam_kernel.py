"""Compiled kernel of seam merging. Belongs here: the loop over boxes in grid buckets; imported only when merging."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ovd_platform.geometry.grid_kernel import fill


@njit(cache=True)
def _suppress(boxes, tiles, iou, ios, cols, starts, members, low, high):  # type: ignore[no-untyped-def]  # numba compiles it
    count = boxes.shape[0]
    alive = np.ones(count, dtype=np.bool_)
    for first in range(count):
        if not alive[first]:
            continue
        area = (boxes[first, 2] - boxes[first, 0]) * (boxes[first, 3] - boxes[first, 1])
        for row in range(low[first, 1], high[first, 1] + 1):
            for col in range(low[first, 0], high[first, 0] + 1):
                bucket = row * cols + col
                for position in range(starts[bucket], starts[bucket + 1]):
                    second = members[position]
                    if second <= first or not alive[second] or tiles[second] == tiles[first]:
                        continue
                    width = min(boxes[first, 2], boxes[second, 2]) - max(boxes[first, 0], boxes[second, 0])
                    height = min(boxes[first, 3], boxes[second, 3]) - max(boxes[first, 1], boxes[second, 1])
                    if width <= 0.0 or height <= 0.0:
                        continue
                    shared = width * height
                    other = (boxes[second, 2] - boxes[second, 0]) * (boxes[second, 3] - boxes[second, 1])
                    if shared > iou * (area + other - shared) or shared > ios * min(area, other):
                        alive[second] = False
    return alive


def surviving(boxes_n4: NDArray[np.float64], tile_index_n: NDArray[np.int64], iou: float, ios: float) -> NDArray[Any]:
    """Which boxes survive greedy merging across tiles.

    Args:
        boxes_n4: Shape (N, 4), N >= 1, by falling rank.
        tile_index_n: Shape (N,).
        iou: Intersection over union above which two boxes of different tiles are one object.
        ios: Intersection over the smaller area above which they are.

    Returns:
        Shape (N,), bool.
    """
    sides = np.maximum(boxes_n4[:, 2] - boxes_n4[:, 0], boxes_n4[:, 3] - boxes_n4[:, 1])
    origin = boxes_n4[:, :2].min(axis=0)
    extent = np.maximum(boxes_n4[:, 2:].max(axis=0) - origin, 1.0)
    # Cells of about one object, but never more than four million of them.
    cell = max(float(np.quantile(sides, 0.9)), float(np.sqrt(extent[0] * extent[1] / 4e6)), float(extent.max()) / 1e5, 1.0)
    low = ((boxes_n4[:, :2] - origin) // cell).astype(np.int64)
    high = np.maximum(((boxes_n4[:, 2:] - origin) // cell).astype(np.int64), low)
    cols, rows = (int(value) + 1 for value in high.max(axis=0))
    starts, members = fill(low, high, cols, rows * cols)
    alive: NDArray[Any] = _suppress(boxes_n4, tile_index_n, iou, ios, cols, starts, members, low, high)
    return alive
