"""Where to cut scores. Belongs here: thresholds at a target precision and the interval of a share; scores are `calibrate`'s."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError

MIN_ACCEPTED = 5
"""A threshold that accepts fewer answers was not measured."""
MIN_SCENES = 2
"""Scenes in which a threshold has to accept something right, where more than one was judged."""


class Cut(NamedTuple):
    """A threshold, and what it accepts of the judged rows.

    Attributes:
        threshold: Lowest score that is accepted.
        right: Accepted rows that are right.
        accepted: Accepted rows.
        independent: Independent rows the accepted ones are worth: answers of one scene are right or wrong together.
    """

    threshold: float
    right: int
    accepted: int
    independent: float


def wilson_interval(hits: float, total: float, z: float = 1.959964) -> tuple[float, float]:
    """Confidence interval of a share.

    Reference: Wilson 1927, score interval.

    Args:
        hits: Successes; a fraction where trials are worth less than one each.
        total: Trials, at least 1.
        z: Normal quantile; the default gives 95 %.
    """
    if total < 1 or not 0 <= hits <= total:
        raise InputError(f"Cannot make a Wilson interval: expected 0 <= hits <= total and total >= 1, got {hits} of {total}.")
    share, spread = hits / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def threshold_at_precision(
    score_n: NDArray[np.floating],
    true_n: NDArray[np.bool_],
    target: float,
    *,
    assurance: float = 0.0,
    scene_n: NDArray[np.int64] | None = None,
) -> Cut | None:
    """Score that finds the most while everything at or above it has the target precision.

    Of thresholds that find the same objects the highest is taken: going lower would only buy false ones with spare precision.

    Args:
        score_n: Scores, shape (N,).
        true_n: Whether each is right, shape (N,).
        target: Precision to reach, (0, 1).
        assurance: Normal deviate of doubt: the lower end of the Wilson interval of that width has to reach the target. The best of many
            thresholds looks better than it is; 0 takes precision as measured.
        scene_n: Scene of each row, shape (N,). Rows then count for as many independent ones as the scatter of precision between scenes
            allows (Kish 1965, design effect), and a threshold has to find something right in `MIN_SCENES` scenes. None, or one scene:
            every row counts.

    Returns:
        The threshold, or None where no set of at least `MIN_ACCEPTED` reaches the target.
    """
    if not len(score_n):
        return None
    order = np.argsort(-score_n, kind="stable")
    true_n = np.asarray(true_n, dtype=bool)[order]
    right, total = np.cumsum(true_n), np.arange(1, len(order) + 1)
    last_of_value = np.append(score_n[order][1:] != score_n[order][:-1], True)
    worth, seen = total.astype(np.float64), np.full(len(order), MIN_SCENES)
    if scene_n is not None and len(np.unique(scene_n)) > 1:
        worth, seen = _independent(true_n, np.asarray(scene_n)[order])
    share, spread = right / total, assurance**2 / worth
    half = assurance * np.sqrt(share * (1 - share) / worth + spread / (4 * worth))
    low = (share + spread / 2 - half) / (1 + spread)
    good = np.flatnonzero(last_of_value & (low >= target - 1e-12) & (total >= MIN_ACCEPTED) & (seen >= MIN_SCENES))
    if not len(good):
        return None
    useful = good[right[good] == right[good[-1]]]
    end = int(useful[0])
    return Cut(float(score_n[order[end]]), int(right[end]), int(total[end]), float(worth[end]))


def _independent(true_n: NDArray[np.bool_], scene_n: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Independent rows that the first 1, 2, ... N rows are worth, and in how many scenes something right is among them.

    The variance of a share over scenes is that of a ratio estimate, sum (r_g - p n_g)^2 / n^2 with g / (g - 1); its ratio to that of
    independent rows is the design effect. The three sums of squares over scenes grow row by row.
    """
    members = np.argsort(scene_n, kind="stable")
    starts = np.flatnonzero(np.append(True, scene_n[members][1:] != scene_n[members][:-1]))
    first = np.repeat(starts, np.diff(np.append(starts, len(members))))
    before, right_before = np.empty(len(scene_n)), np.empty(len(scene_n))
    before[members] = np.arange(len(members)) - first
    sums: NDArray[np.int64] = np.cumsum(true_n[members]) - true_n[members]
    right_before[members] = sums - sums[first]
    squares = np.cumsum(2 * before + 1)
    right_squares = np.cumsum(true_n * (2 * right_before + 1))
    products = np.cumsum(right_before + true_n * (before + 1))
    total, right = np.arange(1, len(scene_n) + 1), np.cumsum(true_n)
    share, scenes = right / total, np.cumsum(before == 0)
    scatter = np.maximum(right_squares - 2 * share * products + share**2 * squares, 0.0) * scenes / np.maximum(scenes - 1, 1)
    plain = share * (1 - share) * total
    effect = np.divide(scatter, plain, out=np.ones(len(scene_n)), where=plain > 0)
    return total / np.clip(effect, 1.0, total), np.cumsum(true_n & (right_before == 0))
