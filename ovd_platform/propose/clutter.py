"""Statistics of SAR clutter: how many looks, how spiky, and the exact thresholds that follow.

Belongs here: the K distribution, its parameters from pixels, and threshold factors for a stated false-alarm rate. Does not belong
here: sliding windows (cfar_kernel.py) and decisions (cfar.py).

Intensity of clutter is speckle times texture (Ward 1981): both gamma distributed with mean 1, of shape L (looks) and nu (texture).
Without texture (nu infinite) it is the gamma distribution of fully developed speckle; with L = 1 its amplitude is Rayleigh.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

_LEAST_TEXTURE = 0.3
_SMOOTH_TEXTURE = 60.0
"""Texture above this is not told from none."""


@dataclass(frozen=True)
class Clutter:
    """What clutter is like.

    Attributes:
        looks: Equivalent number of looks L of the speckle.
        texture: Shape nu of the texture; infinite where there is none.
    """

    looks: float = 1.0
    texture: float = float("inf")

    @property
    def variance(self) -> float:
        """Variance of intensity of mean 1."""
        return (1 + 1 / self.looks) * (1 + 1 / self.texture) - 1


@lru_cache(maxsize=32)
def _tail(clutter: Clutter) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithm of intensity, and of the probability to exceed it; for interpolation."""
    log_x = np.linspace(np.log(1e-9), np.log(4e3), 2400)
    if np.isinf(clutter.texture):
        return log_x, stats.gamma.logsf(np.exp(log_x), clutter.looks, scale=1 / clutter.looks)
    # Trapezia in log texture: the integrand vanishes at both ends, so they converge exponentially.
    law = stats.gamma(clutter.texture, scale=1 / clutter.texture)
    log_t = np.linspace(np.log(max(law.ppf(1e-15), 1e-12)), np.log(law.isf(1e-15)), 320)
    weight = law.pdf(np.exp(log_t)) * np.exp(log_t)
    ratio = np.exp(log_x[:, None] - log_t)
    tail = stats.gamma.sf(ratio, clutter.looks, scale=1 / clutter.looks) @ (weight / weight.sum())
    return log_x, np.log(np.maximum(tail, 1e-300))


def exceedance(x: NDArray[np.float64], clutter: Clutter) -> NDArray[np.float64]:
    """Probability that clutter of mean intensity 1 exceeds ``x``, elementwise."""
    log_x, log_tail = _tail(clutter)
    return np.exp(np.interp(np.log(np.maximum(x, 1e-9)), log_x, log_tail))


def _quantile(share: NDArray[np.float64], clutter: Clutter) -> NDArray[np.float64]:
    """Intensity below which clutter of mean 1 lies with the given probability."""
    if np.isinf(clutter.texture):
        return np.asarray(stats.gamma.ppf(share, clutter.looks, scale=1 / clutter.looks))
    log_x, log_tail = _tail(clutter)
    below = -np.expm1(log_tail)
    rising = np.flatnonzero(np.diff(below, prepend=-1.0) > 0)
    return np.asarray(np.exp(np.interp(share, below[rising], log_x[rising])))


def ca_factor(false_alarm_rate: float, clutter: Clutter, count: int) -> float:
    """Threshold of cell averaging over the mean of the ring.

    Without texture the ratio of a gamma variate of shape L to the mean of N such is F-distributed with 2L and 2LN degrees of freedom;
    for one look this is Finn and Johnson's (1968) N (rate^(-1/N) - 1). With texture the mean of the ring is taken as gamma
    distributed with its exact first two moments.

    Args:
        false_alarm_rate: Per pixel, (0, 1).
        clutter: What the clutter is like.
        count: Training pixels N.
    """
    if np.isinf(clutter.texture):
        return float(stats.f.isf(false_alarm_rate, 2 * clutter.looks, 2 * clutter.looks * count))
    shape = count / clutter.variance
    nodes, weights = np.polynomial.legendre.leggauss(96)
    return _solved(false_alarm_rate, stats.gamma.ppf((nodes + 1) / 2, shape, scale=1 / shape), weights / 2, clutter)


def os_factor(false_alarm_rate: float, clutter: Clutter, count: int, rank: float) -> float:
    """Exact threshold of ordered statistics over the k-th smallest of the ring, k = ceil(rank N) (Rohling 1983, any clutter).

    Args:
        false_alarm_rate: Per pixel, (0, 1).
        clutter: What the clutter is like.
        count: Training pixels N.
        rank: Rank as a fraction of N.
    """
    k = max(1, int(np.ceil(rank * count)))
    nodes, weights = np.polynomial.legendre.leggauss(512)
    # Uniform quantiles of the order statistic's own (beta) distribution: the integrand is smooth in them.
    return _solved(
        false_alarm_rate, _quantile(stats.beta.ppf((nodes + 1) / 2, k, count - k + 1), clutter), weights / 2, clutter
    )


def _solved(rate: float, level_q: NDArray[np.float64], weight_q: NDArray[np.float64], clutter: Clutter) -> float:
    """Factor over a random level at which clutter exceeds it at the stated rate."""

    def excess(log_factor: float) -> float:
        return float(np.log(max(float(weight_q @ exceedance(np.exp(log_factor) * level_q, clutter)), 1e-300)) - np.log(rate))

    return float(np.exp(optimize.brentq(excess, -3.0, 12.0)))


def cell_statistics(intensity_hw: NDArray[np.float32], valid_hw: NDArray[np.bool_], cell_px: int = 16) -> NDArray[np.float64]:
    """What every full cell of a chip says about clutter.

    Args:
        intensity_hw: Linear intensity.
        valid_hw: Where it holds; cells with invalid pixels, or with one of no intensity, are left out.
        cell_px: Side of the cells.

    Returns:
        Shape (M, 3): mean^2 / variance of intensity, and the second and third cumulant of its logarithm.
    """
    rows, cols = intensity_hw.shape[0] // cell_px, intensity_hw.shape[1] // cell_px
    shape = (rows, cell_px, cols, cell_px)
    cut = (slice(rows * cell_px), slice(cols * cell_px))
    cells = intensity_hw[cut].astype(np.float64).reshape(shape).transpose(0, 2, 1, 3).reshape(rows * cols, -1)
    full = (valid_hw[cut] & (intensity_hw[cut] > 0)).reshape(shape).all((1, 3)).reshape(-1)
    cells = cells[full]
    variance = cells.var(1, ddof=1) if len(cells) else np.zeros(0)
    cells, variance = cells[variance > 0], variance[variance > 0]
    n = cells.shape[1]
    logs = np.log(cells)
    away = logs - logs.mean(1, keepdims=True)
    second = (away**2).sum(1) / (n - 1)
    third = (away**3).sum(1) * n / ((n - 1) * (n - 2))
    return np.stack([cells.mean(1) ** 2 / variance, second, third], axis=1)


def common_looks(looks_n: NDArray[np.floating]) -> float:
    """The most frequent number of looks: the mode is what homogeneous clutter has, whatever else is in the scene.

    Args:
        looks_n: Values of cells.

    Returns:
        Half-sample mode in the logarithm, at least 0.5; 1 if nothing is known.
    """
    values = np.sort(np.log(looks_n[looks_n > 0]))
    if len(values) == 0:
        return 1.0
    while len(values) > 16:
        half = len(values) // 2
        start = int(np.argmin(values[half:] - values[: len(values) - half]))
        values = values[start : start + half]
    return max(0.5, float(np.exp(values.mean())))


def estimate_clutter(statistics: Sequence[NDArray[np.float64]], looks: float | None = None) -> Clutter:
    """Looks and texture of a scene from its cells.

    The cells around the most frequent number of equivalent looks are taken as homogeneous. The cumulants of log intensity are sums of
    those of speckle and texture (Nicolas 2002): k2 = psi'(L) + psi'(nu), k3 = psi''(L) + psi''(nu).

    Args:
        statistics: Results of `cell_statistics`.
        looks: Looks of the speckle where known.

    Returns:
        The clutter; without texture where the cumulants do not show any beyond their own doubt.
    """
    cells = np.concatenate([item for item in statistics if len(item)] or [np.zeros((0, 3))])
    if not len(cells):
        return Clutter(looks or 1.0)
    common = common_looks(cells[:, 0])
    same = np.abs(np.log(cells[:, 0] / common)) < 0.5
    usual = float(np.median(cells[same, 1]))
    second, third = float(cells[same & (cells[:, 1] < 2 * usual), 1].mean()), float(cells[same, 2].mean())
    doubt = 2 * float(cells[same, 2].std()) / np.sqrt(max(int(same.sum()), 2))
    smooth = _shape_of(second)
    if looks is not None:
        rest = second - float(special.polygamma(1, looks))
        texture = _shape_of(rest) if rest > 1e-3 else np.inf
    elif third <= float(special.polygamma(2, smooth)) + doubt:
        return Clutter(max(0.5, smooth))
    else:
        looks, texture = _shared(second, third)
    return Clutter(looks, float(max(texture, _LEAST_TEXTURE)) if texture < _SMOOTH_TEXTURE else float("inf"))


def _shape_of(variance_of_log: float) -> float:
    """Gamma shape whose logarithm has this variance: the inverse of psi'."""
    root = optimize.brentq(lambda s: special.polygamma(1, np.exp(s)) - variance_of_log, -4.0, 12.0)
    return float(np.exp(float(root)))


def _shared(second: float, third: float) -> tuple[float, float]:
    """Split the cumulants between looks and texture; the larger shape is called looks (the law is symmetric in both)."""
    most = second - 1e-4

    def miss(part: float) -> float:
        own = special.polygamma(2, _shape_of(part)) + special.polygamma(2, _shape_of(second - part))
        return float(own) - third

    part = second / 2
    if miss(part) > 0:
        part = float(optimize.brentq(miss, part, most)) if miss(most) < 0 else most
    return _shape_of(second - part), _shape_of(part)
