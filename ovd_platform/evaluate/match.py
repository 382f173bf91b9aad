"""Which answer found which object: greedy, best score first.

Belongs here: candidate pairs, the greedy sweep, what counts as found. Does not belong here: any figure made from it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError
from ovd_platform.evaluate.overlaps import pair_overlap, touching_pairs
from ovd_platform.evaluate.scene_boxes import (
    ANY_CLASS,
    POINT_MARGIN_PX,
    BoolArray,
    FloatArray,
    IntArray,
    SceneBoxes,
    box_sizes_px,
)

FOUND, FALSE, IGNORED = 1, 0, -1


@dataclass(frozen=True, slots=True)
class MatchRules:
    """When an answer counts as the object.

    Attributes:
        iou: Least intersection over union.
        centre_below_px: Objects smaller than this (square root of the box area) may also be found by centre distance, because
            one pixel of error halves the IoU of a 6 px box; 0 switches it off.
        centre_min_px: The allowed centre distance is half the object's size, but at least this.
        size_ratio: A centre-distance pair may differ in size by at most this factor.
        ignore_share: An answer that lies by this share of its own area in an ignored object is neither true nor false.
    """

    iou: float = 0.5
    centre_below_px: float = 12.0
    centre_min_px: float = 3.0
    size_ratio: float = 3.0
    ignore_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 < self.iou <= 1.0:
            raise InputError(
                f"Cannot match boxes: expected an IoU threshold in (0, 1], got {self.iou}. Use 0.5 for headline figures."
            )


IOU_ONLY = MatchRules(centre_below_px=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Answers and objects of one class that touch or lie close.

    Attributes:
        box_p: Index of the answer, shape (P,), int64.
        truth_p: Index of the true object, shape (P,), int64.
        iou_p: Intersection over union, shape (P,), float64.
        share_p: Intersection over the answer's own area, shape (P,), float64.
        centre_p: Nearness of the centres, shape (P,), float64: 1 together, 0.5 at the limit, 0 where the rule does not hold.
    """

    box_p: IntArray
    truth_p: IntArray
    iou_p: FloatArray
    share_p: FloatArray
    centre_p: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Outcome for one scene.

    Attributes:
        state_n: 1 found an object, 0 false alarm, -1 ignored; shape (N,), int8.
        truth_of_n: Index of the object found, or -1; shape (N,), int64.
        answer_of_k: Index of the answer that found the object, or -1; shape (K,), int64.
    """

    state_n: NDArray[np.int8]
    truth_of_n: IntArray
    answer_of_k: IntArray


def candidate_pairs(scene: SceneBoxes, rules: MatchRules) -> Pairs:
    """Every pair of one class that overlaps, or lies within the centre distance of a small object.

    Memory grows with the pairs that touch, never with N times K.
    """
    truth, boxes = scene.truth_scene_xyxy, scene.boxes_scene_xyxy
    if not len(truth) or not len(boxes):
        nothing, none = np.zeros(0, dtype=np.int64), np.zeros(0)
        return Pairs(nothing, nothing, none, none, none)
    size_k, size_n = box_sizes_px(truth), box_sizes_px(boxes)
    reach_k = centre_reach_px(size_k, rules)
    # A box within reach of the centre contains or nears it: growing by the reach finds every candidate.
    truth_p, box_p = touching_pairs(truth + reach_k[:, None] * np.array([-1.0, -1.0, 1.0, 1.0]), boxes)
    wanted_p = (scene.truth_class_k[truth_p] == scene.class_n[box_p]) | (scene.truth_class_k[truth_p] == ANY_CLASS)
    truth_p, box_p = truth_p[wanted_p], box_p[wanted_p]
    a, b = truth[truth_p], boxes[box_p]
    iou_p, share_p = pair_overlap(a, b)
    distance = np.hypot(*((a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2).T)
    reach = reach_k[truth_p]
    ratio = size_n[box_p] / np.where(size_k[truth_p] > 0, size_k[truth_p], 1.0)
    alike = (size_k[truth_p] == 0) | ((ratio <= rules.size_ratio) & (ratio >= 1 / rules.size_ratio))
    near = (reach > 0) & (distance <= reach) & alike
    centre_p = np.where(near, 1.0 - 0.5 * distance / np.where(reach > 0, reach, 1.0), 0.0)
    keep = (iou_p > 0) | (centre_p > 0)
    return Pairs(box_p[keep], truth_p[keep], iou_p[keep], share_p[keep], centre_p[keep])


def centre_reach_px(size_k: FloatArray, rules: MatchRules) -> FloatArray:
    """Allowed centre distance of each object, shape (K,), px; 0 where only IoU counts. A point gets a fixed margin."""
    if rules.centre_below_px <= 0:
        return np.zeros_like(size_k)
    reach = np.where(size_k < rules.centre_below_px, np.maximum(rules.centre_min_px, size_k / 2), 0.0)
    return np.where(size_k == 0, POINT_MARGIN_PX, reach)


def match_scene(scene: SceneBoxes, rules: MatchRules | None = None, pairs: Pairs | None = None) -> Matches:
    """Assign answers to objects, best score first, each object at most once.

    Args:
        scene: Truth and answers; classes never mix.
        rules: What counts as found; IoU 0.5 or centre distance below 12 px by default.
        pairs: `candidate_pairs` made before, to match again under another IoU.

    Returns:
        New arrays. A prefix of the ranking is matched the same way as the whole, so cutting by score later is exact.
    """
    rules = rules or MatchRules()
    pairs = pairs or candidate_pairs(scene, rules)
    n, k = len(scene.scores_n), len(scene.truth_class_k)
    place_n = np.empty(n, dtype=np.int64)
    place_n[np.argsort(-scene.scores_n, kind="stable")] = np.arange(n)
    affinity_p = np.maximum(np.where(pairs.iou_p >= rules.iou, pairs.iou_p, 0.0), pairs.centre_p)
    ignored_p: BoolArray = scene.truth_ignored_k[pairs.truth_p]
    true_p = np.flatnonzero((affinity_p > 0) & ~ignored_p)
    true_p = true_p[np.lexsort((pairs.truth_p[true_p], -affinity_p[true_p], place_n[pairs.box_p[true_p]]))]
    truth_of_n, answer_of_k = np.full(n, -1, dtype=np.int64), np.full(k, -1, dtype=np.int64)
    for box, truth in zip(pairs.box_p[true_p].tolist(), pairs.truth_p[true_p].tolist(), strict=True):
        if truth_of_n[box] < 0 and answer_of_k[truth] < 0:
            truth_of_n[box], answer_of_k[truth] = truth, box
    state_n = np.where(truth_of_n >= 0, FOUND, FALSE).astype(np.int8)
    swallowed = pairs.box_p[ignored_p & ((affinity_p > 0) | (pairs.share_p >= rules.ignore_share))]
    state_n[swallowed[truth_of_n[swallowed] < 0]] = IGNORED
    return Matches(state_n, truth_of_n, answer_of_k)
