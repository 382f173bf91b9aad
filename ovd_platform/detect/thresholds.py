"""Where to cut scores. Belongs here: thresholds at a target precision and the interval of a share; scores are `calibrate`'s."""

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError

MIN_ACCEPTED = 5
"""A threshold that accepts fewer answers was not measured."""


def wilson_interval(hits: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Confidence interval of a share.

    Reference: Wilson 1927, score interval.

    Args:
        hits: Successes.
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
    score_n: NDArray[np.floating], true_n: NDArray[np.bool_], target: float, *, assurance: float = 0.0
) -> tuple[float, int, int] | None:
    """Score that finds the most while everything at or above it has the target precision.

    Of thresholds that find the same objects the highest is taken: going lower would only buy false ones with spare precision.

    Args:
        score_n: Scores, shape (N,).
        true_n: Whether each is right, shape (N,).
        target: Precision to reach, (0, 1).
        assurance: Normal deviate of doubt: the lower end of the Wilson interval of that width has to reach the target. The best of many
            thresholds looks better than it is; 0 takes precision as measured.

    Returns:
        (threshold, number right, number accepted), or None where no set of at least `MIN_ACCEPTED` reaches the target.
    """
    order = np.argsort(-score_n, kind="stable")
    right, total = np.cumsum(true_n[order]), np.arange(1, len(order) + 1)
    last_of_value = np.append(score_n[order][1:] != score_n[order][:-1], True) if len(order) else np.zeros(0, dtype=bool)
    share, spread = right / total, assurance**2 / total
    half = assurance * np.sqrt(share * (1 - share) / total + spread / (4 * total))
    low = (share + spread / 2 - half) / (1 + spread)
    good = np.flatnonzero(last_of_value & (low >= target - 1e-12) & (total >= MIN_ACCEPTED))
    if not len(good):
        return None
    useful = good[right[good] == right[good[-1]]]
    end = int(useful[0])
    return float(score_n[order[end]]), int(right[end]), int(total[end])
