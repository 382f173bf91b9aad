"""Which boxes touch, without comparing all with all.

Belongs here: the spatial look-up and the overlap of given pairs. Does not belong here: what an overlap means.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def touching_pairs(boxes_n4: NDArray[Any], others_m4: NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Every pair of boxes that share at least a border.

    Args:
        boxes_n4: Shape (N, 4), x0, y0, x1, y1.
        others_m4: Shape (M, 4), in the same pixels.

    Returns:
        Indices into ``boxes_n4`` and into ``others_m4``, shapes (P,), ordered by the second, then the
        first; new arrays, memory grows with P.
    """
    if not len(boxes_n4) or not len(others_m4):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    from ovd_platform.evaluate.overlap_kernel import touching

    return touching(np.ascontiguousarray(boxes_n4, dtype=np.float64), np.ascontiguousarray(others_m4, dtype=np.float64))


def pair_overlap(a_p4: NDArray[Any], b_p4: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """Intersection over union, and intersection over the area of ``b``, of pairs of boxes; shapes (P,), new arrays."""
    sides = np.clip(np.minimum(a_p4[:, 2:], b_p4[:, 2:]) - np.maximum(a_p4[:, :2], b_p4[:, :2]), 0.0, None)
    shared = sides[:, 0] * sides[:, 1]
    area_a = (a_p4[:, 2] - a_p4[:, 0]) * (a_p4[:, 3] - a_p4[:, 1])
    area_b = (b_p4[:, 2] - b_p4[:, 0]) * (b_p4[:, 3] - b_p4[:, 1])
    union = area_a + area_b - shared
    return shared / np.where(union > 0, union, 1.0), shared / np.where(area_b > 0, area_b, 1.0)
