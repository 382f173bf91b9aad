"""Whether answers depend on where the grid of tiles happens to lie. Belongs here: agreement of two sets; making them is not."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ovd_platform.evaluate.bootstrap import Replicates, plain, share_figure
from ovd_platform.evaluate.inputs import EvaluationInput
from ovd_platform.evaluate.overlaps import pair_overlap, touching_pairs
from ovd_platform.evaluate.scene_boxes import BoolArray, FloatArray
from ovd_platform.records.detection import Detection

IOU = 0.5


def agreement(boxes_n4: FloatArray, others_m4: FloatArray, iou: float = IOU) -> BoolArray:
    """Which boxes have a partner of their own among the others, shape (N,): one to one, best overlap first."""
    a, b = touching_pairs(boxes_n4, others_m4)
    overlap, _ = pair_overlap(boxes_n4[a], others_m4[b])
    chosen = np.flatnonzero(overlap >= iou)
    chosen = chosen[np.argsort(-overlap[chosen], kind="stable")]
    has_a, has_b = np.zeros(len(boxes_n4), dtype=np.bool_), np.zeros(len(others_m4), dtype=np.bool_)
    for first, second in zip(a[chosen].tolist(), b[chosen].tolist(), strict=True):
        if not has_a[first] and not has_b[second]:
            has_a[first] = has_b[second] = True
    return has_a


def stability_section(given: EvaluationInput, *, seed: int, replicates: int = 300) -> dict[str, Any]:
    """Share of answers found again with the grid moved by half a tile.

    Of proposals: of all, and of the better half by objectness. Of accepted detections: found again as accepted ones of their class.
    """
    usual, shifted = given.proposals, given.shifted_proposals
    ids = sorted(set(usual) & set(shifted))
    over = Replicates(ids, replicates=replicates, seed=seed)
    kept_s, all_s, best_s, half_s = (np.zeros(len(ids)) for _ in range(4))
    for s, scene_id in enumerate(ids):
        again_n = agreement(
            np.asarray(usual[scene_id].boxes_scene_xyxy, dtype=np.float64),
            np.asarray(shifted[scene_id].boxes_scene_xyxy, dtype=np.float64),
        )
        half = (len(again_n) + 1) // 2
        kept_s[s], all_s[s], best_s[s], half_s[s] = again_n.sum(), len(again_n), again_n[:half].sum(), half
    counts = {scene_id: {"usual": len(usual[scene_id]), "shifted": len(shifted[scene_id])} for scene_id in ids}
    section = {
        "scenes": len(ids),
        "found_again": over.measure("stability.found_again", share_figure(kept_s, all_s)),
        "found_again_better_half": over.measure("stability.found_again_better_half", share_figure(best_s, half_s)),
        "proposals": {name: counts[name] for name in ids},
        "proposals_ratio": plain(sum(c["shifted"] for c in counts.values()) / max(1, sum(c["usual"] for c in counts.values()))),
    }
    if given.shifted_detections:
        section["detections"] = _detections(given, seed=seed, replicates=replicates)
    return section


def _detections(given: EvaluationInput, *, seed: int, replicates: int) -> dict[str, Any]:
    """Accepted detections found again, class by class, and how many there are on either grid."""
    ids = sorted(given.shifted_detections)
    over = Replicates(ids, replicates=replicates, seed=seed)
    kept_s, all_s, other_s = (np.zeros(len(ids)) for _ in range(3))
    for s, scene_id in enumerate(ids):
        one, other = _by_class(given.detections.get(scene_id, ())), _by_class(given.shifted_detections[scene_id])
        nothing = np.zeros((0, 4))
        kept_s[s] = sum(int(agreement(boxes, other.get(name, nothing)).sum()) for name, boxes in one.items())
        all_s[s], other_s[s] = sum(map(len, one.values())), sum(map(len, other.values()))
    return {
        "found_again": over.measure("stability.detections.found_again", share_figure(kept_s, all_s)),
        "accepted": int(all_s.sum()),
        "accepted_shifted": int(other_s.sum()),
    }


def _by_class(found: Sequence[Detection]) -> dict[str, FloatArray]:
    """Boxes of accepted detections by class."""
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for item in found:
        if item.accepted:
            rows.setdefault(item.class_name, []).append(item.box_scene_xyxy)
    return {name: np.asarray(boxes, dtype=np.float64).reshape(-1, 4) for name, boxes in rows.items()}
