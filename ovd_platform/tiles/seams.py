"""Merging boxes at tile seams. Belongs here: duplicates between tiles; duplicates inside one tile are the proposer's affair."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovd_platform.errors import InputError, ShapeError
from ovd_platform.geometry.boxes import boxes_n4 as as_boxes


def merge_seams(
    boxes_n4: ArrayLike, scores_n: ArrayLike, tile_index_n: ArrayLike, iou: float = 0.5, ios: float = 0.7
) -> NDArray[np.int64]:
    """Indices of the boxes that stay when duplicates between different tiles are removed.

    Boxes are visited by falling score; each removes lower boxes of *other* tiles that cover the same object. Two boxes of one
    tile never remove each other, so real neighbours that one tile saw side by side are kept. Merging again changes nothing, and
    the answer does not depend on the order of the input.

    Args:
        boxes_n4: Shape (N, 4), x0, y0, x1, y1 in scene pixels.
        scores_n: Shape (N,), objectness.
        tile_index_n: Shape (N,), integer: the tile that answered.
        iou: Intersection over union above which boxes are one object, (0, 1].
        ios: Intersection over the smaller area above which they are (an object cut by a tile's edge), (0, 1].

    Returns:
        Kept indices by falling score, shape (K,), int64.

    Raises:
        ShapeError: If the arguments disagree about N.
        InputError: If a threshold is out of range or a box is not finite.
    """
    boxes = as_boxes(boxes_n4).astype(np.float64)
    scores = np.asarray(scores_n, dtype=np.float64).reshape(-1)
    tiles = np.asarray(tile_index_n, dtype=np.int64).reshape(-1)
    if not len(boxes) == len(scores) == len(tiles):
        raise ShapeError(
            f"Cannot merge seams: expected equal lengths, got {len(boxes)} boxes, {len(scores)} scores and {len(tiles)} tiles."
        )
    if not (0.0 < iou <= 1.0 and 0.0 < ios <= 1.0) or not np.isfinite(boxes).all():
        raise InputError(f"Cannot merge seams: expected thresholds in (0, 1] and finite boxes, got iou {iou} and ios {ios}.")
    if len(boxes) == 0:
        return np.zeros(0, dtype=np.int64)
    from ovd_platform.tiles.seam_kernel import surviving

    # Ties are broken by the box itself, never by input order.
    order = np.lexsort((tiles, boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -scores))
    kept = order[surviving(np.ascontiguousarray(boxes[order]), np.ascontiguousarray(tiles[order]), iou, ios)]
    return np.asarray(kept, dtype=np.int64)
