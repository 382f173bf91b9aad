"""Intervals by resampling whole scenes (or whole queries), the units that are independent.

Belongs here: the weights, the interval, and the collector of replicates that makes two evaluations comparable in pairs.
Does not belong here: any metric.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError

FloatArray = NDArray[np.float64]
LEVEL = 0.95


def resampling_weights(units: int, replicates: int, seed: int) -> FloatArray:
    """How often each unit is drawn in each replicate.

    Args:
        units: Number of scenes (or queries), at least one.
        replicates: Number of draws with replacement.
        seed: Makes the same weights again; two evaluations of the same scenes are then paired.

    Returns:
        New array, shape (replicates, units), float64; every row sums to ``units``.
    """
    if units < 1 or replicates < 1:
        raise InputError(
            f"Cannot resample {units} scenes {replicates} times: expected at least one of both. Evaluate at least one scene."
        )
    generator = np.random.default_rng(seed)
    return generator.multinomial(units, np.full(units, 1.0 / units), size=replicates).astype(np.float64)


def interval(values_b: Sequence[float] | FloatArray, level: float = LEVEL) -> tuple[float, float] | None:
    """Percentile interval of replicates; NaN replicates are left out. None where fewer than ten remain."""
    values = np.asarray(values_b, dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 10:
        return None
    tail = (1.0 - level) / 2
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def plain(value: float) -> float | None:
    """Six decimals for JSON; None for NaN and infinity."""
    return round(float(value), 6) if np.isfinite(value) else None


def share_figure(part_s: FloatArray, whole_s: FloatArray) -> Callable[[FloatArray], float]:
    """Figure for `Replicates.measure`: summed part over summed whole, each given by scene, shape (S,); NaN without a whole."""

    def share(weights: FloatArray) -> float:
        whole = float(weights @ whole_s)
        return float(weights @ part_s) / whole if whole > 0 else float("nan")

    return share


def wilson_interval(true: float, total: float, z: float = 1.959964) -> tuple[float, float] | None:
    """Binomial interval of a share (Wilson 1927); None without trials.

    It knows nothing of scenes that resemble each other, so it is used only where resampling says nothing.
    """
    if total <= 0:
        return None
    share = true / total
    scale = 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    half = z * float(np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))) / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def with_binomial(estimate: dict[str, Any], true: float, total: float) -> dict[str, Any]:
    """The estimate of a share, with a binomial interval where resampling gave none or one of no width.

    All of three objects found in every scene is no proof of a recall of one, but every replicate says so.

    Args:
        estimate: Made by `Replicates.measure`.
        true: Objects found (or answers right).
        total: Objects (or answers).

    Returns:
        New mapping; ``how`` is ``binomial`` where the interval was replaced.
    """
    if estimate["low"] is not None and estimate["low"] < estimate["high"]:
        return dict(estimate)
    bounds = wilson_interval(true, total)
    if bounds is None:
        return dict(estimate)
    return {**estimate, "low": plain(bounds[0]), "high": plain(bounds[1]), "how": "binomial"}


class Replicates:
    """Measures figures with intervals and keeps the replicates, so that a later evaluation can be compared in pairs.

    A figure is a function of the scene weights: ones give the value, each row of the resampling weights a replicate. With a
    single unit nothing can be resampled, and no interval is stated.
    """

    def __init__(self, units: Sequence[str], *, replicates: int, seed: int) -> None:
        """Fix the resampling.

        Args:
            units: Ids of the scenes or queries in the order of the weights.
            replicates: Number of replicates.
            seed: Seed of the resampling.
        """
        self.units = list(units)
        self.seed = seed
        self.count = replicates
        self.weights_bs = resampling_weights(max(1, len(self.units)), replicates, seed)
        self.values: dict[str, list[float | None]] = {}

    def measure(self, path: str, figure: Callable[[FloatArray], float]) -> dict[str, float | None]:
        """Value and interval of one figure; its replicates are kept under ``path``."""
        return self.measure_many([path], lambda weights: [figure(weights)])[0]

    def measure_many(
        self, paths: Sequence[str], figure: Callable[[FloatArray], Sequence[float] | FloatArray]
    ) -> list[dict[str, float | None]]:
        """Several figures that are computed together, in the order of ``paths``."""
        return self.measure_rows(paths, lambda weights_bs: np.asarray([figure(row) for row in weights_bs], dtype=np.float64))

    def measure_rows(self, paths: Sequence[str], figures: Callable[[FloatArray], FloatArray]) -> list[dict[str, float | None]]:
        """Several figures under all weightings at once.

        Args:
            paths: Where the replicates are kept, M of them.
            figures: From weights (B, S) to figures (B, M).

        Returns:
            Value and interval of each figure.
        """
        ones = np.ones((1, max(1, len(self.units))))
        if len(self.units) < 2:
            return [{"value": plain(value), "low": None, "high": None} for value in figures(ones)[0]]
        rows = np.asarray(figures(np.concatenate([ones, self.weights_bs])), dtype=np.float64)
        estimates = []
        for path, value, values_b in zip(paths, rows[0], rows[1:].T, strict=True):
            self.values[path] = [plain(item) for item in values_b]
            bounds = interval(values_b)
            estimates.append(
                {
                    "value": plain(value),
                    "low": plain(bounds[0]) if bounds else None,
                    "high": plain(bounds[1]) if bounds else None,
                }
            )
        return estimates

    def to_dict(self) -> dict[str, Any]:
        """Plain mapping for the statistics file."""
        return {"units": self.units, "seed": self.seed, "count": self.count, "values": self.values}
