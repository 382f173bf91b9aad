"""From scores to probabilities: which map from a score fits how much evidence.

Belongs here: Platt, beta and isotonic calibration, and their choice by the number of examples. Does not belong here: scores and
thresholds (`calibrate`).

A map with more freedom needs more evidence: two parameters (Platt 1999) bear a dozen examples, three (Kull et al. 2017, "Beta
calibration") some dozens, a free rising curve (Zadrozny and Elkan 2002) some hundreds (Niculescu-Mizil and Caruana 2005 find about a
thousand cases of both kinds).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError

BETA_POSITIVES = 40
ISOTONIC_POSITIVES = 400
_KNOTS = 60
Kind = Literal["platt", "beta", "isotonic"]


@dataclass(frozen=True, slots=True)
class ProbabilityMap:
    """A rising map from scores to probabilities.

    Attributes:
        kind: How it was fitted.
        slope: Of the log-odds over the score, positive.
        intercept: Of the same.
        beta: For ``beta``: weights of ln p, of -ln(1 - p) and a constant, of the log-odds' logistic p.
        curve: For ``isotonic``: (score, probability) pairs, both rising; linear in between.
    """

    kind: Kind
    slope: float
    intercept: float
    beta: tuple[float, float, float] | None = None
    curve: tuple[tuple[float, float], ...] = ()

    def __call__(self, score_n: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probabilities of scores, shape (N,), in (0, 1)."""
        score_n = np.asarray(score_n, dtype=np.float64)
        if self.curve:
            knots, values = np.array(self.curve).T
            return np.asarray(np.interp(score_n, knots, values))
        odds_n = np.clip(self.slope * score_n + self.intercept, -50, 50)
        if self.beta is None:
            return np.asarray(1 / (1 + np.exp(-odds_n)))
        a, b, c = self.beta
        bent_n = a * -np.logaddexp(0, -odds_n) + b * np.logaddexp(0, odds_n) + c
        return np.asarray(1 / (1 + np.exp(-np.clip(bent_n, -50, 50))))


def fit_probability(
    score_n: NDArray[np.floating], true_n: NDArray[np.bool_], kind: Kind | None = None
) -> ProbabilityMap | None:
    """Fit a map on scores that the scorer was not trained on.

    Args:
        score_n: Scores, shape (N,).
        true_n: Whether each is right, shape (N,).
        kind: Which map; None chooses by the rarer of the two answers.

    Returns:
        The map; None where higher scores do not mean right more often.

    Raises:
        InputError: If one of the two answers is missing.
    """
    rarer = int(min(true_n.sum(), (~true_n).sum()))
    if not rarer:
        raise InputError(f"Cannot fit probabilities on {len(true_n)} scores: expected right and wrong ones, got one kind only.")
    if kind is None:
        kind = "isotonic" if rarer >= ISOTONIC_POSITIVES else "beta" if rarer >= BETA_POSITIVES else "platt"
    score_n = np.asarray(score_n, dtype=np.float64)
    spread, middle = max(float(score_n.std()), 1e-9), float(score_n.mean())
    weights, constant = _logistic(((score_n - middle) / spread)[:, None], true_n)
    slope = float(weights[0]) / spread
    if slope <= 0:
        return None
    platt = ProbabilityMap("platt", slope, constant - slope * middle)
    if kind == "beta":
        return _bent(platt, score_n, true_n)
    if kind == "isotonic":
        return _isotonic(platt, score_n, true_n)
    return platt


def _logistic(features_nf: NDArray[np.float64], true_n: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=100.0, max_iter=500).fit(features_nf, true_n)
    return np.asarray(model.coef_[0]), float(model.intercept_[0])


def _bent(platt: ProbabilityMap, score_n: NDArray[np.float64], true_n: NDArray[np.bool_]) -> ProbabilityMap:
    """Beta calibration of the logistic; a weight that came out negative is held at zero."""
    odds_n = np.clip(platt.slope * score_n + platt.intercept, -50, 50)
    features = np.stack([-np.logaddexp(0, -odds_n), np.logaddexp(0, odds_n)], axis=1)
    weights, constant = _logistic(features, true_n)
    if (weights < 0).any():
        kept = int(np.argmax(weights))
        alone, constant = _logistic(features[:, [kept]], true_n)
        weights = np.where(np.arange(2) == kept, max(float(alone[0]), 0.0), 0.0)
    if not weights.any():
        return platt
    return ProbabilityMap("beta", platt.slope, platt.intercept, (float(weights[0]), float(weights[1]), constant))


def _isotonic(platt: ProbabilityMap, score_n: NDArray[np.float64], true_n: NDArray[np.bool_]) -> ProbabilityMap:
    """Free rising curve, thinned to knots, drawn a little towards the logistic so that it never says 0 or 1."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(score_n, true_n.astype(np.float64))
    knots = np.unique(np.quantile(score_n, np.concatenate([np.linspace(0, 1, _KNOTS), 1 - np.geomspace(1e-3, 0.2, _KNOTS)])))
    if len(knots) < 2:
        return platt
    share = 2.0 / (2.0 + min(int(true_n.sum()), int((~true_n).sum())))
    values = (1 - share) * fitted.predict(knots) + share * platt(knots)
    curve = tuple((float(knot), float(value)) for knot, value in zip(knots, np.maximum.accumulate(values), strict=True))
    return ProbabilityMap("isotonic", platt.slope, platt.intercept, curve=curve)
