"""How many objects the proposals reach at all: the bound of everything downstream.

Belongs here: recall against the number of proposals a megapixel. Does not belong here: classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import ShapeError
from ovd_platform.evaluate.match import IOU_ONLY, MatchRules, match_scene
from ovd_platform.evaluate.scene_boxes import SIZE_BINS_PX, FloatArray, IntArray, SceneBoxes

BUDGETS: tuple[int, ...] = (10, 20, 30, 50, 75, 100, 150, 200, 250, 300)


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """When each object is reached as more proposals are let in.

    Attributes:
        scene_k: Index of the scene of each object that counts, shape (K,), int64.
        size_k: Square root of its area, shape (K,), float64, px.
        needed_k: Proposals a megapixel needed to reach it, shape (K,), float64; infinity where nothing reaches it.
        offered_s: Proposals a megapixel each scene offers, shape (S,), float64.
    """

    scene_k: IntArray
    size_k: FloatArray
    needed_k: FloatArray
    offered_s: FloatArray


def proposal_reach(scenes: Sequence[SceneBoxes], area_mpx_s: Sequence[float], rules: MatchRules = IOU_ONLY) -> Reach:
    """Rank, a megapixel of the scene, at which each object is reached.

    Args:
        scenes: Class-agnostic truth and proposals.
        area_mpx_s: Size of each scene, 10^6 px.
        rules: When a proposal reaches an object; one proposal serves one object.

    Raises:
        ShapeError: If scenes and areas disagree.
    """
    if len(scenes) != len(area_mpx_s):
        raise ShapeError(
            f"Cannot measure proposals of {len(scenes)} scenes: expected one area each, got {len(area_mpx_s)}. "
            "Pass the megapixels of every scene."
        )
    scene_k, size_k, needed_k = [np.zeros(0, np.int64)], [np.zeros(0)], [np.zeros(0)]
    for s, (scene, mpx) in enumerate(zip(scenes, area_mpx_s, strict=True)):
        order = np.argsort(-scene.scores_n, kind="stable")
        place_n = np.empty(len(order) + 1)
        place_n[order] = np.arange(1, len(order) + 1)
        place_n[-1] = np.inf  # index -1: not reached
        counts_k = ~scene.truth_ignored_k
        needed_k.append(place_n[match_scene(scene, rules).answer_of_k][counts_k] / mpx)
        size_k.append(np.sqrt(scene.truth_areas_k[counts_k]))
        scene_k.append(np.full(int(counts_k.sum()), s, dtype=np.int64))
    offered_s = np.asarray([len(scene.scores_n) / mpx for scene, mpx in zip(scenes, area_mpx_s, strict=True)])
    return Reach(np.concatenate(scene_k), np.concatenate(size_k), np.concatenate(needed_k), offered_s)


def recall_at_budgets(
    reach: Reach,
    budgets: Sequence[float] = BUDGETS,
    *,
    size_bin: tuple[float, float] = (0.0, np.inf),
    weights_s: NDArray[np.float64] | None = None,
) -> FloatArray:
    """Share of objects reached with at most N proposals a megapixel in every scene.

    Args:
        reach: Made by `proposal_reach`.
        budgets: N, proposals a megapixel; infinity lets everything in that was offered.
        size_bin: Half-open range of object sizes, px.
        weights_s: How often each scene counts.

    Returns:
        New array, shape (len(budgets),), in [0, 1]; NaN where no object is of that size.
    """
    in_bin = (reach.size_k >= size_bin[0]) & (reach.size_k < size_bin[1])
    weight_k = (np.ones(len(in_bin)) if weights_s is None else weights_s[reach.scene_k]) * in_bin
    total = weight_k.sum()
    if total <= 0:
        return np.full(len(budgets), np.nan)
    return np.asarray(
        [(weight_k * (np.isfinite(reach.needed_k) & (reach.needed_k <= budget))).sum() / total for budget in budgets]
    )


SIZE_CLASSES: tuple[tuple[str, float, float], ...] = (("all", 0.0, float("inf")), *SIZE_BINS_PX)
