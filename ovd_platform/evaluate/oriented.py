"""Overlap of rotated boxes, where labels are rotated.

Belongs here: IoU of quadrilaterals and the section made with it. Does not belong here: upright boxes (`overlaps`).

An upright answer to a slanted label can reach an oriented IoU of its own ceiling at most; the ceiling is stated beside the
figures, so that nobody takes the shape of the answer for a fault of the detector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.evaluate.bootstrap import plain
from ovd_platform.evaluate.coco import evaluate_coco
from ovd_platform.evaluate.coco_match import FIRST_COCO
from ovd_platform.evaluate.prepared import Prepared
from ovd_platform.evaluate.ranking import average_precisions
from ovd_platform.evaluate.scene_boxes import BoolArray, FloatArray, IntArray, SceneBoxes
from ovd_platform.records.annotation import Annotation

SLANT = 0.95


def quad_overlap(a_p42: NDArray[Any], b_p42: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """IoU, and intersection over the area of ``b``, of pairs of quadrilaterals.

    Args:
        a_p42: Corners in order, shape (P, 4, 2), pixels; either turn.
        b_p42: The others, shape (P, 4, 2).

    Returns:
        New arrays, shapes (P,), [0, 1]; 0 for corners that enclose nothing.
    """
    import shapely

    if not len(a_p42):
        return np.zeros(0), np.zeros(0)
    # Four corners listed crosswise are no polygon; the hull is what was meant.
    a, b = (shapely.convex_hull(shapely.polygons(np.asarray(q, dtype=np.float64))) for q in (a_p42, b_p42))
    shared, area_a, area_b = shapely.area(shapely.intersection(a, b)), shapely.area(a), shapely.area(b)
    union = area_a + area_b - shared
    return shared / np.where(union > 0, union, 1.0), shared / np.where(area_b > 0, area_b, 1.0)


def upright_quads(boxes_n4: NDArray[Any]) -> FloatArray:
    """Corners of upright boxes, shape (N, 4, 2). New array."""
    return np.asarray(boxes_n4, dtype=np.float64).reshape(-1, 4)[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)


@dataclass(frozen=True, slots=True, eq=False)
class Quads:
    """Corners of one scene's labels and answers, in the order of its `SceneBoxes`.

    Attributes:
        truth_k42: Shape (K, 4, 2), pixels.
        answer_n42: Shape (N, 4, 2), pixels.
        slanted_k: Labels that are rotated boxes, shape (K,), bool.
    """

    truth_k42: FloatArray
    answer_n42: FloatArray
    slanted_k: BoolArray


class OrientedOverlap:
    """Overlap for `coco_match.match_coco` by corners instead of upright boxes."""

    def __init__(self, quads: dict[str, Quads]) -> None:
        """Keep the corners by scene id."""
        self._quads = quads

    def __call__(
        self, scene: SceneBoxes, truth_k4: FloatArray, crowd_k: BoolArray, truth_p: IntArray, box_p: IntArray
    ) -> FloatArray:
        """Overlap of pairs, shape (P,); of ignored labels over the answer's own area."""
        quads = self._quads[scene.scene_id]
        iou_p, share_p = quad_overlap(quads.truth_k42[truth_p], quads.answer_n42[box_p])
        return np.where(crowd_k[truth_p], share_p, iou_p)


def scene_quads(scene: SceneBoxes, labels: Sequence[Annotation], names: Sequence[str], corners: dict[int, Any]) -> Quads:
    """Corners of one scene.

    Args:
        scene: Its arrays.
        labels: Its labels as judged.
        names: Evaluated classes.
        corners: Corners of rotated answers by position in ``scene``.
    """
    truth_k42 = upright_quads(scene.truth_scene_xyxy)
    judged = [label for label in labels if label.class_name in names or label.class_name == ""]
    drawn = [k for k, label in enumerate(judged) if len(label.corners_scene_xy) == 4]
    if drawn:
        truth_k42[drawn] = np.asarray([judged[k].corners_scene_xy for k in drawn])
    slanted_k = are_slanted(truth_k42)
    answer_n42 = upright_quads(scene.boxes_scene_xyxy)
    for n, quad in corners.items():
        answer_n42[n] = np.asarray(quad)
    return Quads(truth_k42, answer_n42, slanted_k)


def are_slanted(quads_k42: FloatArray) -> BoolArray:
    """Which quadrilaterals fill clearly less than the upright box around them, shape (K,), bool. New array."""
    x, y = quads_k42[..., 0], quads_k42[..., 1]
    area = 0.5 * np.abs((x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1))
    around = np.ptp(x, axis=1) * np.ptp(y, axis=1)
    return np.asarray((around > 0) & (area < SLANT * around), dtype=np.bool_)


def oriented_section(ready: Prepared) -> dict[str, Any] | None:
    """AP by oriented IoU and its ceiling; None where no label is rotated."""
    rings = ready.given.answer_corners
    quads = {}
    for s, (scene, labels) in enumerate(zip(ready.scenes, ready.labels, strict=True)):
        found = ready.found(s)
        turned = {
            n: rings[found[int(p)].detection_id]
            for n, p in enumerate(scene.found_by_n)
            if rings and found[int(p)].detection_id in rings
        }
        quads[scene.scene_id] = scene_quads(scene, labels, ready.names, turned)
    slanted = sum(
        int((q.slanted_k & ~scene.truth_ignored_k).sum()) for q, scene in zip(quads.values(), ready.scenes, strict=True)
    )
    if not slanted:
        return None
    result = evaluate_coco(ready.scenes, ready.names, gsd_m_s=ready.gsd_m_s, overlap=OrientedOverlap(quads))
    rankings = [result.match.ranking(index, FIRST_COCO) for index in range(len(ready.names))]

    def ap50(weights_bs: FloatArray) -> FloatArray:
        from ovd_platform.evaluate.detection_figures import known_mean

        return known_mean(np.stack([average_precisions(ranking, weights_bs) for ranking in rankings], axis=1))[:, None]

    ceiling = np.concatenate(
        [
            quad_overlap(q.truth_k42[q.slanted_k], upright_quads(scene.truth_scene_xyxy[q.slanted_k]))[0]
            for q, scene in zip(quads.values(), ready.scenes, strict=True)
        ]
    )
    estimate = ready.over_scenes.measure_rows(["oriented.ap50"], ap50)[0]
    return {
        "rotated_labels": slanted,
        "rotated_answers": len(rings),
        "ap": result.figures["ap"],
        "ap30": result.figures["ap30"],
        "ap50": {**estimate, "value": result.figures["ap50"]},
        "ap75": result.figures["ap75"],
        "per_class_ap50": {name: row["ap50"] for name, row in result.per_class.items()},
        "ceiling_of_upright_answers": {
            "median_iou": plain(float(np.median(ceiling))),
            "share_that_can_reach_50": plain(float((ceiling >= 0.5).mean())),
        },
    }
