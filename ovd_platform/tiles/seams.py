"""Merging boxes at tile seams. Belongs here: duplicates between tiles; duplicates inside one tile are the proposer's affair."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovd_platform.errors import InputError, ShapeError
from ovd_platform.geometry.boxes import boxes_n4 as as_boxes
from ovd_platform.records.mask import Mask


@dataclass(frozen=True, slots=True)
class SeamRules:
    """When two answers of different tiles are one object.

    Two views of one object agree in overlap and in place. Neighbours rafted at 45 degrees agree in overlap of their upright boxes too,
    but not in place: their centres lie a beam apart. Hence the rule of place, which oriented boxes and masks do not need.

    Attributes:
        iou: Intersection over union above which they may be one, (0, 1].
        tiny_px: Side (root of the larger area) below which a box is tiny.
        tiny_iou: The same as ``iou`` for tiny boxes, whose overlap a shift of one pixel ruins.
        exact_iou: The same for oriented boxes and masks, which neighbours hardly share.
        near_px: Their centres are at most ``near_px + near_fraction side`` apart.
        near_fraction: See there.
        ios: Intersection over the smaller area above which the smaller is a part of the larger, where an edge may have cut one.
        alike: Where nobody knows what was cut: areas in a ratio above this are two whole objects.
    """

    iou: float = 0.5
    tiny_px: float = 12.0
    tiny_iou: float = 0.25
    exact_iou: float = 0.3
    near_px: float = 1.5
    near_fraction: float = 0.07
    ios: float = 0.7
    alike: float = 0.8

    def __post_init__(self) -> None:
        shares = (self.iou, self.tiny_iou, self.exact_iou, self.ios, self.alike)
        if not all(0 < share <= 1 for share in shares) or min(self.tiny_px, self.near_px, self.near_fraction) < 0:
            raise InputError(
                f"Cannot merge seams: expected shares in (0, 1] and lengths of at least 0, got {self}. Correct them."
            )


def merge_seams(
    boxes_n4: ArrayLike,
    scores_n: ArrayLike,
    tile_index_n: ArrayLike,
    rules: SeamRules | None = None,
    *,
    corners_n42: ArrayLike | None = None,
    masks: Sequence[Mask] | None = None,
    cut_n: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """Indices of the boxes that stay when duplicates between different tiles are removed.

    Boxes are visited by falling score; each removes lower boxes of *other* tiles that cover the same object. Two boxes of one
    tile never remove each other, so real neighbours that one tile saw side by side are kept. Merging again changes nothing, and
    the answer does not depend on the order of the input.

    Args:
        boxes_n4: Shape (N, 4), x0, y0, x1, y1 in scene pixels.
        scores_n: Shape (N,), objectness.
        tile_index_n: Shape (N,), integer: what answered (a tile, or several read at once).
        rules: What one object is; None for the defaults.
        corners_n42: Corners of oriented boxes in turn, shape (N, 4, 2), convex: overlap is theirs.
        masks: N masks: overlap is theirs.
        cut_n: Shape (N,), True where the edge of what was seen may have cut the object; None where nobody knows.

    Returns:
        Kept indices by falling score, shape (K,), int64.

    Raises:
        ShapeError: If the arguments disagree about N.
        InputError: If a box is not finite, or oriented boxes and masks are both given.
    """
    rules = rules or SeamRules()
    boxes = np.ascontiguousarray(as_boxes(boxes_n4))
    scores = np.asarray(scores_n).reshape(-1)
    sources = np.asarray(tile_index_n).reshape(-1).astype(np.int32, copy=False)
    others = [one for one in (corners_n42, masks, cut_n) if one is not None]
    lengths = [len(scores), len(sources), *(len(one) for one in others)]  # type: ignore[arg-type]
    if any(length != len(boxes) for length in lengths):
        raise ShapeError(f"Cannot merge seams: expected equal lengths, got {len(boxes)} boxes and {lengths}.")
    if corners_n42 is not None and masks is not None:
        raise InputError("Cannot merge seams: expected oriented boxes or masks, got both. Pass one of them.")
    if len(boxes) == 0:
        return np.zeros(0, dtype=np.int64)
    if not np.isfinite(boxes.sum()) and not np.isfinite(boxes).all():
        raise InputError("Cannot merge seams: expected finite boxes, got some that are not. Drop them first.")
    from ovd_platform.tiles.seam_kernel import surviving

    order = _ranking(boxes, scores, sources)
    rank_n = np.empty(len(order), dtype=np.int64)
    rank_n[order] = np.arange(len(order))
    cut = np.full(len(boxes), 2, np.uint8) if cut_n is None else np.asarray(cut_n, dtype=np.bool_).astype(np.uint8)
    exact = corners_n42 is not None or masks is not None
    iou, tiny_iou = (rules.exact_iou, rules.exact_iou) if exact else (rules.iou, rules.tiny_iou)
    numbers = (iou, tiny_iou, rules.ios, rules.near_px, rules.near_fraction, rules.tiny_px, rules.alike)
    quads, areas = None, (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    if corners_n42 is not None:
        quads = np.ascontiguousarray(corners_n42, dtype=np.float64)
        areas = _quad_areas(quads).astype(boxes.dtype)
    flat = None
    if masks is not None:
        flat, areas = _flattened(masks), np.array([mask.area_px for mask in masks], dtype=boxes.dtype)
    alive = surviving(boxes, areas, sources, cut, rank_n, tuple(float(number) for number in numbers), quads, flat)
    return np.asarray(order[alive[order]], dtype=np.int64)


def _ranking(boxes: NDArray[Any], scores: NDArray[Any], sources: NDArray[np.int32]) -> NDArray[np.int64]:
    """Indices by falling score; ties are broken by the box itself, never by input order."""
    order = _falling(scores)
    sorted_scores = scores[order]
    tied = np.zeros(len(order), np.bool_)
    same = sorted_scores[1:] == sorted_scores[:-1]
    tied[1:] |= same
    tied[:-1] |= same
    places = np.flatnonzero(tied)
    if len(places):
        members = order[places]
        left, score = boxes[members, 0], -scores[members]
        turn = np.lexsort((left, score))
        if ((left[turn][1:] == left[turn][:-1]) & (score[turn][1:] == score[turn][:-1])).any():
            turn = np.lexsort((sources[members], *(boxes[members, axis] for axis in (3, 2, 1)), left, score))
        order[places] = members[turn]
    return order


def _falling(scores: NDArray[Any]) -> NDArray[np.int64]:
    """Indices by falling score. Bits of floats that are not negative rise with them: score and index are sorted as one integer."""
    if scores.dtype != np.float32 or not (scores >= 0).all():
        return np.argsort(-scores)
    bits = (scores + np.float32(0)).view(np.uint32)  # -0 becomes 0
    keys = ((~bits).astype(np.uint64) << np.uint64(32)) | np.arange(len(scores), dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _quad_areas(quads_n42: NDArray[np.float64]) -> NDArray[np.float64]:
    after = np.roll(quads_n42, -1, axis=1)
    return np.asarray(0.5 * np.abs((quads_n42[..., 0] * after[..., 1] - after[..., 0] * quads_n42[..., 1]).sum(axis=1)))


def _flattened(masks: Sequence[Mask]) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Bits of all masks behind each other, places (left, top, width, height), and the first bit of each."""
    places = np.array([(m.left_px, m.top_px, m.bits_hw.shape[1], m.bits_hw.shape[0]) for m in masks], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(places[:, 2] * places[:, 3])[:-1]]).astype(np.int64)
    bits = np.concatenate([mask.bits_hw.reshape(-1) for mask in masks])
    return bits, places, starts
