"""Answers of many scenes in one ranking: precision, recall and average precision, with scenes weighted.

Belongs here: what follows from a ranking of true and false answers. Does not belong here: matching, or COCO's own evaluator
(`coco`), whose figures these must equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovd_platform.evaluate.match import FOUND, IGNORED, Matches
from ovd_platform.evaluate.scene_boxes import BoolArray, FloatArray, IntArray, SceneBoxes

RECALL_POINTS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Answers of one class over all scenes, best score first; ignored ones are gone.

    Attributes:
        scene_n: Index of the scene, shape (N,), int64.
        scores_n: Falling rank values, shape (N,), float64.
        true_n: Whether the answer found an object, shape (N,), bool.
        truth_s: Objects that count in each scene, shape (S,), int64.
    """

    scene_n: IntArray
    scores_n: FloatArray
    true_n: BoolArray
    truth_s: IntArray

    @property
    def unit_s(self) -> FloatArray:
        """Weight one for every scene, shape (S,)."""
        return np.ones(len(self.truth_s))


def rank(scenes: Sequence[SceneBoxes], matches: Sequence[Matches]) -> Ranking:
    """Join the outcomes of several scenes into one ranking (stable: scene order breaks ties)."""
    scene_n = np.repeat(np.arange(len(scenes), dtype=np.int64), [len(scene.scores_n) for scene in scenes])
    scores_n = np.concatenate([np.zeros(0), *(scene.scores_n for scene in scenes)])
    state_n = np.concatenate([np.zeros(0, np.int8), *(match.state_n for match in matches)])
    truth_s = np.asarray([int((~scene.truth_ignored_k).sum()) for scene in scenes], dtype=np.int64)
    order = np.argsort(-scores_n, kind="stable")
    order = order[state_n[order] != IGNORED]
    return Ranking(scene_n[order], scores_n[order], state_n[order] == FOUND, truth_s)


def rank_class(scenes: Sequence[SceneBoxes], matches: Sequence[Matches], index: int) -> Ranking:
    """`rank` of one class from the matches of whole scenes (classes never mix in a match)."""
    parts = [(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int8))]
    for s, (scene, match) in enumerate(zip(scenes, matches, strict=True)):
        mine = np.flatnonzero((scene.class_n == index) & (match.state_n != IGNORED))
        parts.append((np.full(len(mine), s), scene.scores_n[mine], match.state_n[mine]))
    scene_n, scores_n, state_n = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(-scores_n, kind="stable")
    truth_s = [int(((scene.truth_class_k == index) & ~scene.truth_ignored_k).sum()) for scene in scenes]
    return Ranking(scene_n[order], scores_n[order], state_n[order] == FOUND, np.asarray(truth_s, dtype=np.int64))


def precision_recall(ranking: Ranking, weights_s: NDArray[np.float64] | None = None) -> tuple[FloatArray, FloatArray]:
    """Precision and recall after each answer, shapes (N,); recall is NaN where no object counts."""
    weights = ranking.unit_s if weights_s is None else np.asarray(weights_s, dtype=np.float64)
    weight_n = weights[ranking.scene_n]
    found_n = np.cumsum(weight_n * ranking.true_n)
    all_n = np.cumsum(weight_n)
    total = float(weights @ ranking.truth_s)
    precision_n = found_n / np.where(all_n > 0, all_n, 1.0)
    return precision_n, found_n / total if total > 0 else np.full(len(found_n), np.nan)


def interpolated_precision(ranking: Ranking, weights_s: NDArray[np.float64] | None = None) -> FloatArray:
    """Best precision at or beyond each of COCO's 101 recalls, shape (101,); NaN throughout where no object counts."""
    precision_n, recall_n = precision_recall(ranking, weights_s)
    weights = ranking.unit_s if weights_s is None else weights_s
    if float(weights @ ranking.truth_s) <= 0:
        return np.full(len(RECALL_POINTS), np.nan)
    envelope_n = np.maximum.accumulate(precision_n[::-1])[::-1]
    # No tolerance: COCO compares 7/25 with its rounded 0.28 exactly, and its figures are to be met. Whole weights sum exactly.
    place = np.searchsorted(recall_n, RECALL_POINTS, side="left")
    return np.where(place < len(envelope_n), np.append(envelope_n, 0.0)[np.minimum(place, len(envelope_n))], 0.0)


def average_precision(ranking: Ranking, weights_s: NDArray[np.float64] | None = None) -> float:
    """Mean of `interpolated_precision`: COCO's AP at one IoU, with scenes weighted. NaN where no object counts.

    Not to be used to compare test sets of different prevalence: AP falls with the share of empty ground.
    """
    return float(average_precisions(ranking, ranking.unit_s[None] if weights_s is None else weights_s[None])[0])


def average_precisions(ranking: Ranking, weights_bs: NDArray[np.float64]) -> FloatArray:
    """`average_precision` under each of many weightings.

    Args:
        ranking: Answers of one class over scenes.
        weights_bs: How often each scene counts in each replicate, shape (B, S).

    Returns:
        New array, shape (B,), float64; NaN where no object counts.
    """
    from ovd_platform.evaluate.ranking_kernel import weighted_precision

    weights = np.ascontiguousarray(weights_bs, dtype=np.float64)
    return np.asarray(weighted_precision(ranking.scene_n, ranking.true_n, ranking.truth_s, weights, RECALL_POINTS))
