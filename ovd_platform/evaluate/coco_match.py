"""COCO's greedy matching over whole scenes, any number of answers, kept so that every figure can be drawn from it.

Belongs here: the areas objects are sorted into, and the outcome of the matching. Does not belong here: figures (`coco`), or the
platform's own rules for small objects (`match`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovd_platform.evaluate.overlaps import touching_pairs
from ovd_platform.evaluate.ranking import Ranking
from ovd_platform.evaluate.scene_boxes import (
    ANY_CLASS,
    POINT_MARGIN_PX,
    SIZE_BINS_PX,
    BoolArray,
    FloatArray,
    IntArray,
    SceneBoxes,
)

COCO_IOUS: FloatArray = np.linspace(0.5, 0.95, 10)
IOUS: FloatArray = np.concatenate([[0.3], COCO_IOUS])
FIRST_COCO = 1
SIZE_BINS_M: tuple[tuple[str, float, float], ...] = (
    ("<5", 0.0, 5.0),
    ("5-10", 5.0, 10.0),
    ("10-25", 10.0, 25.0),
    ("25-50", 25.0, 50.0),
    (">50", 50.0, float("inf")),
)
_LARGEST = 1e10


@dataclass(frozen=True, slots=True)
class Area:
    """A range of object areas.

    Attributes:
        label: ``all``, ``small``, ``px_8-16``, ``m_<5`` ...
        low: Least area, inside.
        high: Largest area, inside, as COCO has it; own bins end one float below their edge, so that none shares it.
        metres: Areas are square metres; scenes without ground sample distance have no object in it.
    """

    label: str
    low: float
    high: float
    metres: bool = False


def _below(edge: float) -> float:
    return float(np.nextafter(edge**2, 0.0)) if np.isfinite(edge) else _LARGEST


AREAS: tuple[Area, ...] = (
    Area("all", 0.0, _LARGEST),
    Area("small", 0.0, 32.0**2),
    Area("medium", 32.0**2, 96.0**2),
    Area("large", 96.0**2, _LARGEST),
    *(Area(f"px_{name}", low**2, _below(high)) for name, low, high in SIZE_BINS_PX),
    *(Area(f"m_{name}", low**2, _below(high), metres=True) for name, low, high in SIZE_BINS_M),
)
AREA_OF = {area.label: index for index, area in enumerate(AREAS)}

Overlap = Callable[[SceneBoxes, FloatArray, BoolArray, IntArray, IntArray], FloatArray]


def box_overlap(scene: SceneBoxes, truth_k4: FloatArray, crowd_k: BoolArray, truth_p: IntArray, box_p: IntArray) -> FloatArray:
    """Overlap of axis-aligned boxes as COCO computes it: over the union, or over the answer's own area for ignored truth."""
    a_p4, b_p4 = truth_k4[truth_p], scene.boxes_scene_xyxy[box_p]
    sides = np.clip(np.minimum(a_p4[:, 2:], b_p4[:, 2:]) - np.maximum(a_p4[:, :2], b_p4[:, :2]), 0.0, None)
    shared = sides[:, 0] * sides[:, 1]
    size_a, size_b = a_p4[:, 2:] - a_p4[:, :2], b_p4[:, 2:] - b_p4[:, :2]
    area_a, area_b = size_a[:, 0] * size_a[:, 1], size_b[:, 0] * size_b[:, 1]
    whole = np.where(crowd_k[truth_p], area_b, area_b + area_a - shared)
    return np.asarray(shared / np.where(whole > 0, whole, 1.0), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class CocoMatch:
    """Verdict on every answer of several scenes at every IoU and for every range of sizes.

    Attributes:
        state_nat: 1 true, 0 false, -1 ignored; shape (N, A, T), int8, by `AREAS` and `IOUS`.
        scene_n: Index of the scene, shape (N,), int64.
        class_n: Index of the class, shape (N,), int64.
        scores_n: Rank values, shape (N,), float64.
        place_n: Place inside its scene and class by score, from 0, shape (N,), int64.
        objects_ska: Objects that count in each scene, class and range, shape (S, K, A), int64.
    """

    state_nat: NDArray[np.int8]
    scene_n: IntArray
    class_n: IntArray
    scores_n: FloatArray
    place_n: IntArray
    objects_ska: IntArray

    def order(self, class_index: int, cap: int | None = None) -> IntArray:
        """Answers of a class, best score first, ties in the order of the scenes; at most ``cap`` a scene."""
        mine = self.class_n == class_index
        if cap is not None:
            mine &= self.place_n < cap
        members = np.flatnonzero(mine)
        members = members[np.lexsort((self.place_n[members], self.scene_n[members]))]
        return members[np.argsort(-self.scores_n[members], kind="stable")]

    def ranking(self, class_index: int, iou_index: int, area: str = "all") -> Ranking:
        """Ranking of one class at one IoU, for figures under scene weights."""
        a = AREA_OF[area]
        order = self.order(class_index)
        state = self.state_nat[order, a, iou_index]
        order, state = order[state >= 0], state[state >= 0]
        return Ranking(self.scene_n[order], self.scores_n[order], state == 1, self.objects_ska[:, class_index, a])

    def rankings(self, class_index: int) -> list[Ranking]:
        """`ranking` at every IoU of `IOUS`."""
        return [self.ranking(class_index, t) for t in range(len(IOUS))]


def match_coco(
    scenes: Sequence[SceneBoxes],
    classes: int,
    *,
    cap: int | None = None,
    gsd_m_s: Sequence[float | None] | None = None,
    overlap: Overlap = box_overlap,
) -> CocoMatch:
    """Match every scene. Memory grows with answers, objects and pairs that touch, never with their product.

    Args:
        scenes: Truth and answers.
        classes: Number of classes.
        cap: Answers let in a scene and class; None lets every answer in.
        gsd_m_s: Metres a pixel of each scene, for sizes in metres.
        overlap: Overlap of pairs; `oriented.oriented_overlap` compares rotated boxes.
    """
    from ovd_platform.evaluate.ranking_kernel import match_ranked

    metres_s = [None] * len(scenes) if gsd_m_s is None else list(gsd_m_s)
    states, places, objects = [], [], np.zeros((len(scenes), classes, len(AREAS)), dtype=np.int64)
    for s, scene in enumerate(scenes):
        order, place_n = _order(scene)
        if cap is not None:
            order = order[place_n[order] < cap]
        truth_k4, point_k = _with_margins(scene)
        crowd_k = scene.truth_ignored_k | point_k
        outside_ka = _outside(scene.truth_areas_k, metres_s[s])
        sides = scene.boxes_scene_xyxy[:, 2:] - scene.boxes_scene_xyxy[:, :2]
        answer_outside_na = _outside(sides[:, 0] * sides[:, 1], metres_s[s])
        truth_p, box_p = touching_pairs(truth_k4, scene.boxes_scene_xyxy)
        same_p = (scene.truth_class_k[truth_p] == scene.class_n[box_p]) | (scene.truth_class_k[truth_p] == ANY_CLASS)
        truth_p, box_p = truth_p[same_p], box_p[same_p]
        starts = np.concatenate([[0], np.cumsum(np.bincount(box_p, minlength=len(scene.scores_n)))]).astype(np.int64)
        ious_p = overlap(scene, truth_k4, crowd_k, truth_p, box_p)
        states.append(match_ranked(order, starts, truth_p, ious_p, crowd_k, outside_ka, answer_outside_na, IOUS))
        places.append(place_n)
        counted_k = np.flatnonzero(~crowd_k & (scene.truth_class_k >= 0))
        np.add.at(objects[s], scene.truth_class_k[counted_k], ~outside_ka[counted_k])
    return CocoMatch(
        np.concatenate(states),
        np.repeat(np.arange(len(scenes), dtype=np.int64), [len(scene.scores_n) for scene in scenes]),
        np.concatenate([scene.class_n for scene in scenes]),
        np.concatenate([scene.scores_n for scene in scenes]),
        np.concatenate(places),
        objects,
    )


def _order(scene: SceneBoxes) -> tuple[IntArray, IntArray]:
    """Answers by falling score (stable), and the place of each inside its class."""
    order = np.argsort(-scene.scores_n, kind="stable").astype(np.int64)
    by_class = order[np.argsort(scene.class_n[order], kind="stable")]
    class_n = scene.class_n[by_class]
    first = np.searchsorted(class_n, class_n, side="left")
    place_n = np.empty(len(order), dtype=np.int64)
    place_n[by_class] = np.arange(len(order)) - first
    return order, place_n


def _with_margins(scene: SceneBoxes) -> tuple[FloatArray, BoolArray]:
    """True boxes with a margin around points, and which are points."""
    truth_k4 = scene.truth_scene_xyxy.copy()
    point_k = (truth_k4[:, 2] <= truth_k4[:, 0]) | (truth_k4[:, 3] <= truth_k4[:, 1])
    truth_k4[point_k] += np.array([-1.0, -1.0, 1.0, 1.0]) * POINT_MARGIN_PX
    return truth_k4, point_k


def _outside(areas_px2: FloatArray, gsd_m: float | None) -> BoolArray:
    """Which areas lie outside of each range, shape (K, A)."""
    columns = []
    for area in AREAS:
        if area.metres and gsd_m is None:
            columns.append(np.ones(len(areas_px2), dtype=np.bool_))
            continue
        values = areas_px2 * gsd_m**2 if area.metres and gsd_m is not None else areas_px2
        columns.append((values < area.low) | (values > area.high))
    return np.ascontiguousarray(np.stack(columns, axis=1))
