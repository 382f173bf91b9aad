"""One object answered twice because it lies on a seam.

Belongs here: counting pairs that survived seam merging. Does not belong here: merging.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.evaluate.overlaps import pair_overlap, touching_pairs
from ovd_platform.evaluate.scene_boxes import BoolArray


def seam_duplicates(
    boxes_n4: NDArray[Any], tile_n: Sequence[Any] | NDArray[Any], class_n: Sequence[Any] | NDArray[Any], iou: float = 0.5
) -> BoolArray:
    """Which answers repeat an earlier one of the same class from another tile.

    Args:
        boxes_n4: Boxes after merging, shape (N, 4), scene pixels, best first.
        tile_n: Tile that answered for each box.
        class_n: Class of each box; a constant for proposals.
        iou: Overlap from which two boxes are taken as one object.

    Returns:
        New array, shape (N,), bool.
    """
    boxes = np.asarray(boxes_n4, dtype=np.float64).reshape(-1, 4)
    repeated_n = np.zeros(len(boxes), dtype=np.bool_)
    if len(boxes) < 2:
        return repeated_n
    _, tile = np.unique(np.asarray(tile_n), return_inverse=True)
    _, kind = np.unique(np.asarray(class_n), return_inverse=True)
    a, b = touching_pairs(boxes, boxes)
    wanted = (a < b) & (tile[a] != tile[b]) & (kind[a] == kind[b])
    a, b = a[wanted], b[wanted]
    overlap, _ = pair_overlap(boxes[a], boxes[b])
    repeated_n[b[overlap >= iou]] = True
    return repeated_n


def per_thousand(repeated: int, total: int) -> float:
    """Duplicates in 1,000 answers; NaN without answers."""
    return 1000.0 * repeated / total if total else float("nan")
