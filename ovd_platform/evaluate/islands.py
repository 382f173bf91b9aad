"""Splits a scene's boxes into independent sheets, so that an evaluator with dense matrices stays small on gigapixel scenes.

Belongs here: the split only. Two boxes that do not touch never match, so truth and answers that hang together by overlap
form an island, and islands can be evaluated apart without changing any figure.
"""

import numpy as np

from ovd_platform.evaluate.overlaps import touching_pairs
from ovd_platform.evaluate.scene_boxes import FloatArray, IntArray


def island_sheets(truth_k4: FloatArray, boxes_n4: FloatArray, boxes_per_sheet: int = 800) -> tuple[IntArray, IntArray]:
    """Sheet of each true box and each answer; boxes that overlap share a sheet.

    Args:
        truth_k4: True boxes, shape (K, 4).
        boxes_n4: Answers, shape (N, 4).
        boxes_per_sheet: Islands are packed up to about this many boxes; a larger island keeps a sheet of its own.

    Returns:
        Two new arrays, shapes (K,) and (N,), int64: sheet numbers from 0.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    k, n = len(truth_k4), len(boxes_n4)
    if k + n <= boxes_per_sheet or not k or not n:
        return np.zeros(k, dtype=np.int64), np.zeros(n, dtype=np.int64)
    truth_p, box_p = touching_pairs(truth_k4, boxes_n4)
    links = coo_array((np.ones(len(truth_p), dtype=np.int8), (truth_p, box_p + k)), shape=(k + n, k + n))
    count, island_of = connected_components(links, directed=False)
    before = np.concatenate([[0], np.cumsum(np.bincount(island_of, minlength=count))[:-1]])
    sheet_of = (before // boxes_per_sheet)[island_of].astype(np.int64)
    return sheet_of[:k], sheet_of[k:]
