"""What scores of a class are worth: probabilities and a threshold from judged rows.

Belongs here: that one question, whoever made the scores (labelled classes, marked ones, few examples). Does not belong here: fitting
scorers, the shape of probabilities (`probability`), where a threshold lies (`thresholds`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovd_platform.detect.probability import ProbabilityMap, fit_probability
from ovd_platform.detect.thresholds import threshold_at_precision, wilson_interval

FEWEST_JUDGED = 8
"""Right answers without which neither a probability nor a threshold is given."""
ASSURANCE = 1.2816
"""Normal deviate of doubt: nine times in ten the precision is better than its lower end."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What scores of a class are worth, learned on rows the scorer has not seen.

    Attributes:
        probability: From scores to probabilities; None abstains.
        threshold: Lowest score to accept; None accepts nothing.
        precision: Precision at the threshold on the judged rows; None without a threshold.
        precision_low: Lower end of its 95 % Wilson interval, on as many answers as are independent.
        precision_high: Upper end.
        recall: Share of the judged right rows that it accepts; None without a threshold.
        right: Right rows that were judged.
        reason: Why it abstains, or "".
    """

    probability: ProbabilityMap | None = None
    threshold: float | None = None
    precision: float | None = None
    precision_low: float | None = None
    precision_high: float | None = None
    recall: float | None = None
    right: int = 0
    reason: str = ""


def judge(
    score_n: NDArray[np.floating],
    true_n: NDArray[np.bool_],
    target: float,
    *,
    assurance: float = ASSURANCE,
    shown: NDArray[np.int64] | None = None,
    scene_n: NDArray[np.int64] | None = None,
) -> Worth:
    """Probabilities and a threshold from judged rows.

    Args:
        score_n: Scores of judged rows, shape (N,).
        true_n: Whether each is of the class, shape (N,).
        target: Precision to reach, (0, 1).
        assurance: Normal deviate of doubt by which the measured precision has to stand above the target: a threshold picked as the
            best of many looks better than it is. 0 takes the figure as measured.
        shown: Rows that users get to see (without worse duplicates): precision is theirs. None for all.
        scene_n: Scene of each row, shape (N,): answers of one scene are right or wrong together (`threshold_at_precision`).

    Returns:
        What the scores are worth; abstains below `FEWEST_JUDGED` right rows, or where no threshold reaches the target.
    """
    right = int(true_n.sum())
    if right < FEWEST_JUDGED or len(true_n) - right < FEWEST_JUDGED:
        return Worth(right=right, reason=f"abstains: {right} right answers, expected {FEWEST_JUDGED} or more")
    probability = fit_probability(score_n, true_n)
    if probability is None:
        return Worth(right=right, reason="abstains: higher scores do not mean the class more often")
    rows = np.arange(len(true_n)) if shown is None else shown
    scenes = None if scene_n is None else scene_n[rows]
    found = threshold_at_precision(np.asarray(score_n)[rows], true_n[rows], target, assurance=assurance, scene_n=scenes)
    if found is None:
        return Worth(
            probability, right=right, reason=f"accepts nothing: precision {target:.2f} is not sure enough on judged rows"
        )
    precision = found.right / found.accepted
    low, high = wilson_interval(precision * found.independent, found.independent)
    recall = found.right / max(int(true_n[rows].sum()), 1)
    return Worth(probability, found.threshold, precision, low, high, recall, right)
