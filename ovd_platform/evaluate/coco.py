"""COCO average precision of whole scenes after merging, without the cap of 100 answers.

Belongs here: COCO's figures by name. Does not belong here: the matching (`coco_match`), intervals (`ranking`, `bootstrap`).

Equal to pycocotools to the last digit (see `benchmarks/coco_parity.py`), in time and memory that grow with the answers alone.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ovd_platform.errors import InputError
from ovd_platform.evaluate.bootstrap import plain
from ovd_platform.evaluate.coco_match import AREAS, FIRST_COCO, IOUS, CocoMatch, Overlap, box_overlap, match_coco
from ovd_platform.evaluate.ranking import RECALL_POINTS
from ovd_platform.evaluate.scene_boxes import FloatArray, SceneBoxes

LOG = logging.getLogger(__name__)
COCO_LIMITS = (1, 10, 100)


@dataclass(frozen=True, slots=True)
class CocoResult:
    """COCO figures of one evaluation.

    Attributes:
        figures: ``ap``, ``ap30``, ``ap50``, ``ap75``, ``ap_small`` ... ``ap_px_<8`` ... ``ap_m_<5`` ..., ``ap50_<area>``, ``ar``
            and ``ar_<area>``; with a cap also ``ar_1``, ``ar_10``, ``ar_100``. None where no object counts.
        per_class: The same figures by class name, with the number of true objects.
        max_detections: Answers an image and class that were let in; recorded because a cap silently lowers AP.
        capped: Whether the cap was asked for; False means every answer counted.
        match: The verdicts the figures rest on.
    """

    figures: dict[str, float | None]
    per_class: dict[str, dict[str, float | int | None]]
    max_detections: int
    capped: bool
    match: CocoMatch

    def to_dict(self) -> dict[str, Any]:
        """Plain mapping for the statistics file."""
        return {**self.figures, "max_detections": self.max_detections, "capped": self.capped}


def evaluate_coco(
    scenes: Sequence[SceneBoxes],
    class_names: Sequence[str],
    *,
    max_detections: int | None = None,
    gsd_m_s: Sequence[float | None] | None = None,
    overlap: Overlap = box_overlap,
) -> CocoResult:
    """COCO AP and AR over IoU 0.5 to 0.95, all areas and size classes, per class and as the mean of classes.

    Point labels have no box: they are ignored, with a margin of 6 px around them. Sizes are of axis-aligned boxes unless
    ``truth_areas_k`` says otherwise. Equal scores are ranked in the order of the scenes, as
    COCO does. Do not compare with figures of tiles or with those of an evaluator capped at 100.

    Args:
        scenes: Truth and answers of each scene; scenes without truth count their false alarms.
        class_names: Names by class index.
        max_detections: None lets every answer in. A number caps each scene and class, as COCO's 100 does.
        gsd_m_s: Metres a pixel of each scene, for sizes in metres; None leaves those figures out.
        overlap: How pairs overlap; axis-aligned by default.

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
    match = match_coco(scenes, len(class_names), cap=max_detections, gsd_m_s=gsd_m_s, overlap=overlap)
    limits = sorted({*COCO_LIMITS, max_detections}) if max_detections is not None else [None]
    metres = gsd_m_s is not None and any(gsd is not None for gsd in gsd_m_s)
    whole = _tables(match, len(class_names), limits[-1])
    figures = _figures(*whole, metres=metres)
    if max_detections is not None:
        recall = {limit: _tables(match, len(class_names), limit)[1] for limit in limits}
        figures |= {f"ar_{limit}": _mean(recall[limit][:, 0, FIRST_COCO:]) for limit in limits}
    counts = match.objects_ska[:, :, 0].sum(axis=0)
    per_class: dict[str, dict[str, float | int | None]] = {}
    for index, name in enumerate(class_names):
        part = slice(index, index + 1)
        per_class[name] = {"objects": int(counts[index]), **_figures(whole[0][part], whole[1][part], metres=metres)}
    most = int(match.place_n.max(initial=0)) + 1
    LOG.info("COCO figures over %d scenes with up to %d detections a scene and class", len(scenes), most)
    return CocoResult(figures, per_class, max_detections or most, max_detections is not None, match)


def _tables(match: CocoMatch, classes: int, cap: int | None) -> tuple[FloatArray, FloatArray]:
    """Precision (K, A, T, R) and recall (K, A, T); -1 where no object counts."""
    from ovd_platform.evaluate.ranking_kernel import accumulate

    precision = np.full((classes, len(AREAS), len(IOUS), len(RECALL_POINTS)), -1.0)
    recall = np.full(precision.shape[:3], -1.0)
    objects_ka = match.objects_ska.sum(axis=0)
    for index in range(classes):
        order = match.order(index, cap)
        accumulate(order, match.state_nat, objects_ka[index], RECALL_POINTS, precision[index], recall[index])
    return precision, recall


def _mean(values: FloatArray) -> float | None:
    """Mean of what is known; None where nothing is."""
    known = values[values > -1]
    return plain(float(known.mean())) if known.size else None


def _figures(precision: FloatArray, recall: FloatArray, *, metres: bool) -> dict[str, float | None]:
    """Mean figures by name."""
    at_50, at_75 = FIRST_COCO, FIRST_COCO + 5
    figures = {
        "ap": _mean(precision[:, 0, FIRST_COCO:]),
        "ap30": _mean(precision[:, 0, 0]),
        "ap50": _mean(precision[:, 0, at_50]),
        "ap75": _mean(precision[:, 0, at_75]),
        "ar": _mean(recall[:, 0, FIRST_COCO:]),
    }
    for index, area in enumerate(AREAS):
        if index == 0 or (area.metres and not metres):
            continue
        figures[f"ap_{area.label}"] = _mean(precision[:, index, FIRST_COCO:])
        figures[f"ap50_{area.label}"] = _mean(precision[:, index, at_50])
        figures[f"ar_{area.label}"] = _mean(recall[:, index, FIRST_COCO:])
    return figures
