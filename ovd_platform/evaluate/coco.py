"""COCO average precision of whole scenes after merging, without the cap of 100 answers.

Belongs here: feeding the COCO evaluator and naming its figures. Does not belong here: intervals (`ranking`, `bootstrap`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ovd_platform.errors import InputError
from ovd_platform.evaluate.bootstrap import plain
from ovd_platform.evaluate.islands import island_sheets
from ovd_platform.evaluate.scene_boxes import ANY_CLASS, POINT_MARGIN_PX, SIZE_BINS_PX, SceneBoxes

LOG = logging.getLogger(__name__)

_LARGEST_PX2 = 1e10
_AREAS: dict[str, list[float]] = {
    "small": [0.0, 32.0**2],
    "medium": [32.0**2, 96.0**2],
    "large": [96.0**2, _LARGEST_PX2],
} | {
    # Bins must not share their edges: an object of exactly 8 px belongs to 8-16.
    f"px_{name}": [low**2, float(np.nextafter(high**2, 0.0)) if np.isfinite(high) else _LARGEST_PX2]
    for name, low, high in SIZE_BINS_PX
}


@dataclass(frozen=True, slots=True)
class CocoResult:
    """COCO figures of one evaluation.

    Attributes:
        figures: ``ap``, ``ap50``, ``ap75``, ``ap_small`` ... ``ap_px_<8`` ..., ``ar`` and ``ar_<area>``; with a cap also
            ``ar_1``, ``ar_10``, ``ar_100``. None where no object counts.
        per_class: The same figures by class name, with the number of true objects.
        max_detections: Answers an image and class that were let in; recorded because a cap silently lowers AP.
        capped: Whether the cap was asked for; False means every answer counted.
    """

    figures: dict[str, float | None]
    per_class: dict[str, dict[str, float | int | None]]
    max_detections: int
    capped: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain mapping for the statistics file."""
        return {**self.figures, "max_detections": self.max_detections, "capped": self.capped}


def evaluate_coco(scenes: Sequence[SceneBoxes], class_names: Sequence[str], *, max_detections: int | None = None) -> CocoResult:
    """COCO AP and AR over IoU 0.5 to 0.95, all areas and size classes, per class and as the mean of classes.

    Point labels have no box: they are ignored, with a margin of 6 px around them. Sizes are of axis-aligned boxes unless
    ``truth_areas_k`` says otherwise. Equal scores are ranked in the order of the scenes, as
    COCO does. Do not compare with figures of tiles or with those of an evaluator capped at 100.

    Args:
        scenes: Truth and answers of each scene; scenes without truth count their false alarms.
        class_names: Names by class index.
        max_detections: None lets every answer in. A number caps each scene and class, as COCO's 100 does.

    Returns:
        New result.

    Raises:
        InputError: If there is no scene or no class.
    """
    if not scenes or not class_names:
        raise InputError(
            f"Cannot evaluate {len(scenes)} scenes of {len(class_names)} classes: expected at least one of both, got none. "
            "Pass labelled scenes."
        )
    images, truths, answers = _coco_tables(scenes, len(class_names), split=max_detections is None)
    cap = max_detections or max(1, max((len(scene.scores_n) for scene in scenes), default=1))
    evaluator = _run(images, truths, answers, class_names, cap, max_detections is not None)
    labels = evaluator.params.areaRngLbl
    precision, recall = evaluator.eval["precision"], evaluator.eval["recall"]
    limits = list(evaluator.params.maxDets)
    shape = evaluator.eval["counts"]
    precision = np.asarray(precision).reshape(shape)
    recall = np.asarray(recall).reshape((shape[0], *shape[2:]))
    figures = _figures(precision, recall, labels, limits)
    counts = np.bincount(
        np.concatenate([scene.truth_class_k[~scene.truth_ignored_k] for scene in scenes]), minlength=len(class_names)
    )
    per_class: dict[str, dict[str, float | int | None]] = {}
    for index, name in enumerate(class_names):
        part = slice(index, index + 1)
        per_class[name] = {"objects": int(counts[index]), **_figures(precision[:, :, part], recall[:, part], labels, limits)}
    LOG.info("COCO figures over %d scenes with up to %d detections a scene and class", len(scenes), cap)
    return CocoResult(figures, per_class, cap, max_detections is not None)


def _coco_tables(
    scenes: Sequence[SceneBoxes], classes: int, *, split: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Images, truth and answers as COCO dictionaries; one image a sheet of a scene."""
    images: list[dict[str, Any]] = []
    truths: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for scene in scenes:
        truth_k4 = scene.truth_scene_xyxy.copy()
        point_k = (truth_k4[:, 2] <= truth_k4[:, 0]) | (truth_k4[:, 3] <= truth_k4[:, 1])
        truth_k4[point_k] += np.array([-1.0, -1.0, 1.0, 1.0]) * POINT_MARGIN_PX
        if split:
            sheet_k, sheet_n = island_sheets(truth_k4, scene.boxes_scene_xyxy)
        else:
            sheet_k, sheet_n = np.zeros(len(truth_k4), np.int64), np.zeros(len(scene.scores_n), np.int64)
        base = len(images) + 1
        used = 1 + int(max(sheet_k.max(initial=0), sheet_n.max(initial=0)))
        images += [{"id": base + number, "width": 1, "height": 1} for number in range(used)]
        for t, box in enumerate(truth_k4):
            ignored = bool(scene.truth_ignored_k[t] or point_k[t])
            named = int(scene.truth_class_k[t])
            for index in range(classes) if named == ANY_CLASS else (named,):
                truths.append(_row(len(truths) + 1, base + int(sheet_k[t]), index, box) | {"iscrowd": int(ignored)})
                truths[-1]["area"] = float(scene.truth_areas_k[t])
        for t, box in enumerate(scene.boxes_scene_xyxy):
            row = _row(len(answers) + 1, base + int(sheet_n[t]), int(scene.class_n[t]), box)
            answers.append(row | {"score": float(scene.scores_n[t]), "iscrowd": 0})
    return images, truths, answers


def _row(number: int, image: int, index: int, box: Any) -> dict[str, Any]:
    """Fields shared by truth and answers; COCO boxes are x, y, width, height."""
    x0, y0, x1, y1 = (float(value) for value in box)
    width, height = x1 - x0, y1 - y0
    return {"id": number, "image_id": image, "category_id": index + 1, "bbox": [x0, y0, width, height], "area": width * height}


def _run(
    images: list[dict[str, Any]],
    truths: list[dict[str, Any]],
    answers: list[dict[str, Any]],
    class_names: Sequence[str],
    cap: int,
    capped: bool,
) -> Any:
    """The evaluator after accumulation."""
    from faster_coco_eval import COCO, COCOeval_faster

    categories = [{"id": index + 1, "name": name} for index, name in enumerate(class_names)]
    truth_set = COCO({"images": images, "annotations": truths, "categories": categories})
    answer_set = COCO({"images": images, "annotations": answers, "categories": categories})
    evaluator = COCOeval_faster(truth_set, answer_set, "bbox", ranges=_AREAS, extra_calc=False)
    evaluator.params.maxDets = sorted({1, 10, 100, cap}) if capped else [cap]
    evaluator.evaluate()
    evaluator.accumulate()
    return evaluator


def _figures(precision: Any, recall: Any, labels: Sequence[str], limits: Sequence[int]) -> dict[str, float | None]:
    """Mean figures from the evaluator's arrays: precision (T, R, K, A, M) and recall (T, K, A, M); -1 means no object."""

    def mean(values: Any) -> float | None:
        known = np.asarray(values)[np.asarray(values) > -1]
        return plain(float(known.mean())) if known.size else None

    figures = {
        "ap": mean(precision[..., 0, -1]),
        "ap50": mean(precision[0, ..., 0, -1]),
        "ap75": mean(precision[5, ..., 0, -1]),
    }
    figures |= {f"ap_{label}": mean(precision[..., a, -1]) for a, label in enumerate(labels) if a}
    figures["ar"] = mean(recall[..., 0, -1])
    figures |= {f"ar_{limit}": mean(recall[..., 0, m]) for m, limit in enumerate(limits) if len(limits) > 1}
    return figures | {f"ar_{label}": mean(recall[..., a, -1]) for a, label in enumerate(labels) if a}
