"""Truth and answers of one scene as plain arrays: the form every metric here computes on.

Belongs here: the structure, and making it from records. Does not belong here: matching or any metric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import ShapeError
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.detection import Detection
from ovd_platform.records.proposal import ProposalSet

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Box = tuple[float, float, float, float]

ANY_CLASS = -1
POINT_MARGIN_PX = 6.0
SIZE_BINS_PX: tuple[tuple[str, float, float], ...] = (
    ("<8", 0.0, 8.0),
    ("8-16", 8.0, 16.0),
    ("16-32", 16.0, 32.0),
    (">32", 32.0, float("inf")),
)


@dataclass(frozen=True, slots=True, eq=False)
class SceneBoxes:
    """What is true and what was answered in one scene.

    Attributes:
        scene_id: The scene.
        truth_scene_xyxy: True boxes, shape (K, 4), float64, scene pixels; a point label has zero size.
        truth_class_k: Class index, shape (K,), int64; -1 stands for every class and is only used with ``truth_ignored_k``.
        truth_ignored_k: Neither found nor missed, shape (K,), bool; may swallow any number of answers.
        truth_areas_k: Area for the size classes, shape (K,), float64, px^2.
        boxes_scene_xyxy: Answers after merging, shape (N, 4), float64, scene pixels.
        scores_n: Rank values, shape (N,), float64; compared inside one class only.
        class_n: Class index of each answer, shape (N,), int64.
        found_by_n: Position of each answer in the sequence it was made from, shape (N,), int64.
    """

    scene_id: str
    truth_scene_xyxy: FloatArray
    truth_class_k: IntArray
    truth_ignored_k: BoolArray
    truth_areas_k: FloatArray
    boxes_scene_xyxy: FloatArray
    scores_n: FloatArray
    class_n: IntArray
    found_by_n: IntArray

    def __post_init__(self) -> None:
        k, n = len(self.truth_class_k), len(self.class_n)
        shapes = (
            self.truth_scene_xyxy.shape == (k, 4),
            self.truth_ignored_k.shape == self.truth_areas_k.shape == (k,),
            self.boxes_scene_xyxy.shape == (n, 4),
            self.scores_n.shape == self.found_by_n.shape == (n,),
        )
        if not all(shapes):
            raise ShapeError(
                f"Cannot evaluate {self.scene_id}: expected truth boxes ({k}, 4) and answers ({n}, 4) with one class and score "
                f"each, got {self.truth_scene_xyxy.shape} and {self.boxes_scene_xyxy.shape}. Pass arrays of equal length."
            )

    def of_class(self, index: int) -> "SceneBoxes":
        """The part that concerns one class; ignored truth of every class stays. New arrays."""
        truth_k = (self.truth_class_k == index) | (self.truth_class_k == ANY_CLASS)
        answer_n = self.class_n == index
        return SceneBoxes(
            self.scene_id,
            self.truth_scene_xyxy[truth_k],
            self.truth_class_k[truth_k],
            self.truth_ignored_k[truth_k],
            self.truth_areas_k[truth_k],
            self.boxes_scene_xyxy[answer_n],
            self.scores_n[answer_n],
            self.class_n[answer_n],
            self.found_by_n[answer_n],
        )


def box_sizes_px(boxes_xyxy: NDArray[Any]) -> FloatArray:
    """Square root of the area of each box, shape (N,), float64, px. New array."""
    return np.asarray(np.sqrt(box_areas_px2(boxes_xyxy)), dtype=np.float64)


def box_areas_px2(boxes_xyxy: NDArray[Any]) -> FloatArray:
    """Area of each box, shape (N,), float64, px^2. New array."""
    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None)
    return np.asarray(sides[:, 0] * sides[:, 1], dtype=np.float64)


def scene_boxes(
    scene_id: str,
    truth: Sequence[Annotation],
    boxes_n4: NDArray[Any],
    scores_n: NDArray[Any],
    classes_n: Sequence[str],
    class_names: Sequence[str],
    *,
    class_agnostic: bool = False,
    areas_px2: Mapping[str, float] | None = None,
) -> SceneBoxes:
    """Arrays of one scene from its labels and its answers.

    A label without a class is ignored when classes are compared (nobody knows what it is), and counts as an object in
    class-agnostic mode. Labels and answers of classes not in ``class_names`` are left out, except in class-agnostic mode.

    Args:
        scene_id: The scene.
        truth: Its labels.
        boxes_n4: Answers, shape (N, 4), scene pixels x0, y0, x1, y1.
        scores_n: Rank values, shape (N,).
        classes_n: Class name of each answer; ignored in class-agnostic mode.
        class_names: Names whose positions become class indices.
        class_agnostic: Treat every label and every answer as one class, index 0.
        areas_px2: Area by annotation id, where it is not that of the box.

    Returns:
        New arrays.
    """
    index_of = {name: index for index, name in enumerate(class_names)}
    boxes, classes, ignored, areas = [], [], [], []
    for label in truth:
        index: int | None = 0 if class_agnostic else index_of.get(label.class_name)
        nameless = not class_agnostic and label.class_name == ""
        if index is None and not nameless:
            continue
        boxes.append(label.box_scene_xyxy)
        classes.append(ANY_CLASS if index is None else index)
        ignored.append(label.difficult or nameless)
        areas.append(np.nan if areas_px2 is None else areas_px2.get(label.annotation_id, np.nan))
    truth_scene_xyxy = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if class_agnostic:
        class_n = np.zeros(len(scores_n), dtype=np.int64)
    else:
        class_n = np.asarray([index_of.get(name, -2) for name in classes_n], dtype=np.int64).reshape(-1)
    keep_n = class_n >= 0
    return SceneBoxes(
        scene_id,
        truth_scene_xyxy,
        np.asarray(classes, dtype=np.int64).reshape(-1),
        np.asarray(ignored, dtype=np.bool_).reshape(-1),
        np.where(np.isfinite(areas), areas, box_areas_px2(truth_scene_xyxy)).reshape(-1),
        np.asarray(boxes_n4, dtype=np.float64).reshape(-1, 4)[keep_n],
        np.asarray(scores_n, dtype=np.float64).reshape(-1)[keep_n],
        class_n[keep_n],
        np.flatnonzero(keep_n).astype(np.int64),
    )


def detection_boxes(
    scene_id: str,
    truth: Sequence[Annotation],
    detections: Sequence[Detection],
    class_names: Sequence[str],
    *,
    class_agnostic: bool = False,
    areas_px2: Mapping[str, float] | None = None,
) -> SceneBoxes:
    """`scene_boxes` from detections ranked by their score.

    In class-agnostic mode the best class of each proposal answers alone, ranked by objectness, because scores of different
    classes are not comparable. ``found_by_n`` then points into ``detections`` too.
    """
    picked = list(range(len(detections)))
    if class_agnostic:
        best: dict[str, int] = {}
        for position, detection in enumerate(detections):
            if detection.proposal_id not in best or detection.score > detections[best[detection.proposal_id]].score:
                best[detection.proposal_id] = position
        picked = sorted(best.values())
    chosen = [detections[position] for position in picked]
    made = scene_boxes(
        scene_id,
        truth,
        np.asarray([item.box_scene_xyxy for item in chosen], dtype=np.float64).reshape(-1, 4),
        np.asarray([item.objectness if class_agnostic else item.score for item in chosen], dtype=np.float64),
        [item.class_name for item in chosen],
        class_names,
        class_agnostic=class_agnostic,
        areas_px2=areas_px2,
    )
    source_n = np.asarray(picked, dtype=np.int64)[made.found_by_n] if picked else made.found_by_n
    return SceneBoxes(
        made.scene_id,
        made.truth_scene_xyxy,
        made.truth_class_k,
        made.truth_ignored_k,
        made.truth_areas_k,
        made.boxes_scene_xyxy,
        made.scores_n,
        made.class_n,
        source_n,
    )


def proposal_boxes(truth: Sequence[Annotation], proposals: ProposalSet) -> SceneBoxes:
    """`scene_boxes` from class-agnostic proposals ranked by objectness; every label is an object."""
    return scene_boxes(
        proposals.scene_id,
        truth,
        proposals.boxes_scene_xyxy,
        proposals.objectness_n,
        [""] * len(proposals),
        [""],
        class_agnostic=True,
    )
