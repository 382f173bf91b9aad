"""Whether a probability means what it says, and whether a threshold keeps the precision that was asked.

Belongs here: reliability, expected calibration error, asked against achieved precision. Does not belong here: fitting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import ShapeError
from ovd_platform.evaluate.bootstrap import plain


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Answers whose probability fell into one bin.

    Attributes:
        low: Lower edge, inside.
        high: Upper edge, outside (the last bin holds 1).
        count: Weight of the answers in it.
        stated: Their mean probability, NaN if empty.
        observed: Share that was true, NaN if empty.
    """

    low: float
    high: float
    count: float
    stated: float
    observed: float


def reliability_bins(
    probability_n: NDArray[Any], true_n: NDArray[Any], *, bins: int = 10, weight_n: NDArray[Any] | None = None
) -> list[ReliabilityBin]:
    """Stated against observed share in bins of equal width.

    Args:
        probability_n: Calibrated probabilities, shape (N,), [0, 1].
        true_n: Whether the answer was right, shape (N,), bool; ignored answers must be left out before.
        bins: Number of bins.
        weight_n: Weight of each answer; ones if None.

    Raises:
        ShapeError: If the arrays disagree.
    """
    probability, true = np.asarray(probability_n, dtype=np.float64), np.asarray(true_n, dtype=np.float64)
    if probability.shape != true.shape or probability.ndim != 1:
        raise ShapeError(
            f"Cannot measure calibration: expected one truth a probability, got {true.shape} and {probability.shape}. "
            "Leave ignored answers out of both."
        )
    weight = np.ones(len(true)) if weight_n is None else np.asarray(weight_n, dtype=np.float64)
    place = np.clip((probability * bins).astype(np.int64), 0, bins - 1)
    count_b = np.bincount(place, weight, bins)
    safe_b = np.where(count_b > 0, count_b, np.nan)
    stated_b = np.bincount(place, weight * probability, bins) / safe_b
    observed_b = np.bincount(place, weight * true, bins) / safe_b
    return [
        ReliabilityBin(b / bins, (b + 1) / bins, float(count_b[b]), float(stated_b[b]), float(observed_b[b]))
        for b in range(bins)
    ]


def expected_calibration_error(table: Sequence[ReliabilityBin]) -> float:
    """Mean gap between stated and observed share, weighted by count; NaN without answers.

    Not to be compared between test sets of different size: empty and thin bins bias it upwards.
    """
    total = sum(row.count for row in table)
    if total <= 0:
        return float("nan")
    return sum(row.count * abs(row.stated - row.observed) for row in table if row.count > 0) / total


def brier_score(probability_n: NDArray[Any], true_n: NDArray[Any]) -> float:
    """Mean squared gap between probability and truth; NaN without answers."""
    gaps = np.asarray(probability_n, dtype=np.float64) - np.asarray(true_n, dtype=np.float64)
    return float((gaps**2).mean()) if gaps.size else float("nan")


def table_rows(table: Sequence[ReliabilityBin]) -> list[dict[str, float | None]]:
    """Plain rows for the statistics file."""
    return [
        {
            "low": plain(r.low),
            "high": plain(r.high),
            "count": plain(r.count),
            "stated": plain(r.stated),
            "observed": plain(r.observed),
        }
        for r in table
    ]
