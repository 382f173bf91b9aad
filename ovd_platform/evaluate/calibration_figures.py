"""Whether probabilities hold on the evaluated scenes: reliability, calibration error, asked against achieved precision.

Belongs here: composing those with intervals. Does not belong here: their formulas (`calibration`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ovd_platform.evaluate.bootstrap import FloatArray, plain, wilson_interval
from ovd_platform.evaluate.calibration import brier_score, reliability_bins, table_rows
from ovd_platform.evaluate.match import FOUND, IGNORED
from ovd_platform.evaluate.operating import accepted_counts
from ovd_platform.evaluate.prepared import Prepared
from ovd_platform.evaluate.scene_boxes import BoolArray, IntArray

BINS = 10


def calibration_section(ready: Prepared) -> dict[str, Any]:
    """Reliability of probabilities, and asked against achieved precision per class."""
    probability_n, true_n, class_n, scene_n = _calibrated(ready)
    per_class: dict[str, Any] = {}
    for index, name in enumerate(ready.names):
        part = class_n == index
        error = _error(probability_n[part], true_n[part], scene_n[part], len(ready.scenes))
        per_class[name] = {
            "answers": int(part.sum()),
            "ece": ready.over_scenes.measure_rows([f"calibration.per_class.{name}.ece"], error)[0] if part.any() else None,
            **_asked_row(ready, name, index),
        }
    everything = _error(probability_n, true_n, scene_n, len(ready.scenes))
    return {
        "answers": len(probability_n),
        "ece": ready.over_scenes.measure_rows(["calibration.ece"], everything)[0] if len(probability_n) else None,
        "brier": plain(brier_score(probability_n, true_n)),
        "bins": table_rows(reliability_bins(probability_n, true_n, bins=BINS)) if len(probability_n) else [],
        "per_class": per_class,
    }


def _calibrated(ready: Prepared) -> tuple[FloatArray, BoolArray, IntArray, IntArray]:
    """Probability, truth, class and scene of every answer that has a probability and is judged; shapes (N,)."""
    columns: list[tuple[Any, ...]] = [(np.zeros(0), np.zeros(0, bool), np.zeros(0, int), np.zeros(0, int))]
    for s, (scene, match) in enumerate(zip(ready.scenes, ready.matches, strict=True)):
        found = ready.found(s)
        stated = (found[n].probability for n in scene.found_by_n.tolist())
        probability_n = np.asarray([np.nan if value is None else value for value in stated], dtype=np.float64)
        kept = np.isfinite(probability_n) & (match.state_n != IGNORED)
        true_n = match.state_n[kept] == FOUND
        columns.append((probability_n[kept], true_n, scene.class_n[kept], np.full(int(kept.sum()), s)))
    probability, true, kind, place = (np.concatenate(column) for column in zip(*columns, strict=True))
    return probability, true, kind, place


def _error(probability_n: FloatArray, true_n: BoolArray, scene_n: IntArray, scenes: int) -> Callable[[FloatArray], FloatArray]:
    """Calibration error under many weightings, from sums a scene and bin."""
    place = np.clip((probability_n * BINS).astype(np.int64), 0, BINS - 1) + BINS * scene_n
    sums = [
        np.bincount(place, values, BINS * scenes).reshape(scenes, BINS)
        for values in (np.ones(len(place)), probability_n, true_n.astype(np.float64))
    ]

    def figures(weights_bs: FloatArray) -> FloatArray:
        count_bj, stated_bj, true_bj = (weights_bs @ table for table in sums)
        total = count_bj.sum(axis=1)
        gap = np.abs(stated_bj - true_bj).sum(axis=1)
        return np.asarray(np.where(total > 0, gap / np.maximum(total, 1e-12), np.nan))[:, None]

    return figures


def _asked_row(ready: Prepared, name: str, index: int) -> dict[str, Any]:
    """Precision asked of one class and achieved by its accepted answers (Wilson interval: a class may live in one scene)."""
    true_s, all_s = accepted_counts(ready, index)
    true, total = int(true_s.sum()), int(all_s.sum())
    bounds = wilson_interval(true, total)
    asked = ready.given.asked_precision.get(name)
    achieved = {
        "value": plain(true / total) if total else None,
        "low": plain(bounds[0]) if bounds else None,
        "high": plain(bounds[1]) if bounds else None,
    }
    met = None if asked is None or bounds is None else bool(bounds[1] >= asked)
    return {"asked_precision": asked, "achieved_precision": achieved, "not_refuted": met, "accepted": total}
