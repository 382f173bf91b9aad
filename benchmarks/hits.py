"""Ranked boxes against truth without classes: which of them are right, and their average precision."""

import numpy as np
from numpy.typing import NDArray

from ovd_platform.geometry.boxes import iou_matrix


def hits_by_rank(
    boxes_n4: NDArray[np.float32], score_n: NDArray[np.floating], truth_m4: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Which boxes of a scene are right: by falling score, each takes the free object it overlaps most, with an IoU of at least 0.5."""
    hit = np.zeros(len(boxes_n4), np.bool_)
    if not len(truth_m4) or not len(boxes_n4):
        return hit
    overlap, free = iou_matrix(boxes_n4, truth_m4), np.ones(len(truth_m4), np.bool_)
    for index in np.argsort(-score_n, kind="stable"):
        reach = np.where(free, overlap[index], 0.0)
        if reach.max() >= 0.5:
            hit[index], free[int(reach.argmax())] = True, False
    return hit


def average_precision(score_n: NDArray[np.floating], right_n: NDArray[np.bool_], total: int) -> float:
    """Area under the precision envelope over every point of the curve.

    Args:
        score_n: Scores of all scenes' answers, shape (N,).
        right_n: Which are right, shape (N,).
        total: Objects there are.
    """
    ordered = right_n[np.argsort(-score_n, kind="stable")]
    precision = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[ordered].sum() / max(total, 1))
