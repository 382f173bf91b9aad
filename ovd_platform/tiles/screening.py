"""Is there anything to look at in a tile? Belongs here: the decision from per-tile statistics; collecting them is `scan`'s.

A tile is dropped as blank only if it has neither texture (a share of strong gradients) nor a few outstanding ones: a single
small ship on calm water has a tiny share of edges and must survive.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovd_platform.raster.radiometry import InstrumentProfile

EDGE_THRESHOLD = 0.08
"""Normalised gradient (1 is the range P1 to P99) from which a pixel counts as an edge."""

OUTSTANDING_PX = 3
"""So many pixels must outstand for a tile without texture to be kept."""

_OUTSTANDING_RATIO = 6.0
_OUTSTANDING_FLOOR = 0.02


@dataclass(frozen=True, slots=True)
class TileStatistics:
    """What one pass over a core leaves behind.

    Attributes:
        valid_px: Valid pixels.
        total_px: Pixels of the core.
        gradient_counts_cg: Gradient histograms, shape (C, 97), int32 (see `gradient`).
        mean_c: Mean of each band, source units or dB, shape (C,).
        low: Smallest valid value over bands (magnitude for complex).
        high: Largest valid value over bands.
    """

    valid_px: int
    total_px: int
    gradient_counts_cg: NDArray[np.int32]
    mean_c: NDArray[np.float64]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Screening facts of a tile, as they go into its record."""

    valid_fraction: float
    edge_density: float
    brightness: float
    kept: bool
    reason: str


def _share_above(counts_g: NDArray[np.int32], threshold: float) -> float:
    """Share of gradients above a threshold, interpolated inside its bin."""
    from ovd_platform.tiles.gradient import bin_edge, bin_of

    total = int(counts_g.sum())
    if total == 0:
        return 0.0
    key = bin_of(threshold)
    low, high = bin_edge(key), bin_edge(key + 1)
    inside = counts_g[key] * min(max((high - threshold) / (high - low), 0.0), 1.0)
    return float(counts_g[key + 1 :].sum() + inside) / total


def _outstands(counts_g: NDArray[np.int32], value_range: float) -> bool:
    """Whether a few gradients stick out of an otherwise even band."""
    from ovd_platform.tiles.gradient import bin_edge, bin_middle

    total = int(counts_g.sum())
    if total < OUTSTANDING_PX:
        return False
    cumulative = np.cumsum(counts_g)
    median = bin_middle(int(np.searchsorted(cumulative, (total + 1) // 2)))
    top = bin_edge(int(np.searchsorted(cumulative, total - OUTSTANDING_PX + 1)))
    return top > max(_OUTSTANDING_RATIO * median, _OUTSTANDING_FLOOR * value_range)


def screen(
    statistics: TileStatistics,
    profile: InstrumentProfile,
    *,
    min_valid_fraction: float,
    min_edge_density: float,
    saturation: float | None,
) -> Verdict:
    """Judge a tile by the profile of its scene.

    Args:
        statistics: Of the tile.
        profile: Of the whole scene, so that no tile is judged by its own contrast.
        min_valid_fraction: Below it the tile is dropped as nodata, [0, 1].
        min_edge_density: Below it the tile is blank unless something outstands, [0, 1].
        saturation: Largest value the source can hold, or None for float.

    Returns:
        The verdict; edge density and brightness are those of the strongest and of the average band.
    """
    low = np.asarray(profile.low_c)
    span = np.asarray(profile.high_c) - low
    valid_fraction = statistics.valid_px / statistics.total_px
    brightness = float(np.clip((statistics.mean_c - low) / span, 0.0, 1.0).mean()) if statistics.valid_px else 0.0
    pairs = list(zip(statistics.gradient_counts_cg, span, strict=True))
    edge_density = max(_share_above(counts, EDGE_THRESHOLD * float(width)) for counts, width in pairs)
    reason = ""
    if statistics.valid_px == 0 or valid_fraction < min_valid_fraction:
        reason = "nodata"
    elif saturation is not None and statistics.low >= saturation:
        reason = "saturated"
    elif edge_density < min_edge_density and not any(_outstands(counts, float(width)) for counts, width in pairs):
        reason = "blank"
    return Verdict(valid_fraction, edge_density, brightness, not reason, reason)
