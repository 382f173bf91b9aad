"""Is there anything to look at in a tile? Belongs here: the decision from per-tile statistics; collecting them is `scan`'s.

A tile is dropped only if it has neither texture (a share of strong gradients) nor a few outstanding ones: a single small ship on calm
water has a tiny share of edges and must survive. Why it was dropped is told apart: ``nodata``, ``saturated``, ``cloud`` (bright in every
band and soft), ``water`` (dark and even), ``blank`` (even). What that costs in labelled objects is `kept_objects`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.records.tile import TileRecord

EDGE_THRESHOLD = 0.08
"""Normalised gradient (1 is the range P1 to P99) from which a pixel counts as an edge."""

OUTSTANDING_PX = 3
"""So many pixels must outstand for a tile without texture to be kept."""

SATURATED_FRACTION = 0.5
"""Share of saturated pixels, in every band, from which a tile counts as saturated."""

SOFT_EDGE_DENSITY = 0.01
"""Clouds and saturated ground may have so many edges: their own soft borders."""

WATER_BRIGHTNESS = 0.35
"""Even tiles darker than this are called water."""

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
        saturated_fraction: Share of valid pixels at the source's limit, of the band with the fewest, [0, 1].
    """

    valid_px: int
    total_px: int
    gradient_counts_cg: NDArray[np.int32]
    mean_c: NDArray[np.float64]
    low: float
    high: float
    saturated_fraction: float = 0.0


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
    from ovd_platform.tiles.gradient import BINS, bin_edge, bin_of

    total = int(counts_g.sum())
    if total == 0:
        return 0.0
    key = bin_of(threshold)
    if key == BINS - 1:  # It has no upper edge: what cannot be told apart is kept.
        return float(counts_g[key]) / total
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
    cloud_brightness: float | None,
) -> Verdict:
    """Judge a tile by the profile of its scene.

    Args:
        statistics: Of the tile.
        profile: Of the whole scene, so that no tile is judged by its own contrast.
        min_valid_fraction: Below it the tile is dropped as nodata, [0, 1].
        min_edge_density: Below it the tile is blank unless something outstands, [0, 1].
        cloud_brightness: Soft tiles whose bands all are brighter are dropped as cloud, 1 is P99; None for SAR.

    Returns:
        The verdict; edge density and brightness are those of the strongest and of the average band.
    """
    low = np.asarray(profile.low_c)
    span = np.asarray(profile.high_c) - low
    valid_fraction = statistics.valid_px / statistics.total_px
    bright_c = np.clip((statistics.mean_c - low) / span, 0.0, 1.25) if statistics.valid_px else np.zeros_like(low)
    brightness = float(np.clip(bright_c, 0.0, 1.0).mean())
    pairs = list(zip(statistics.gradient_counts_cg, span, strict=True))
    edge_density = max(_share_above(counts, EDGE_THRESHOLD * float(width)) for counts, width in pairs)
    reason = ""
    if statistics.valid_px == 0 or valid_fraction < min_valid_fraction:
        reason = "nodata"
    elif edge_density < max(SOFT_EDGE_DENSITY, min_edge_density) and not any(
        _outstands(counts, float(width)) for counts, width in pairs
    ):
        if statistics.saturated_fraction >= SATURATED_FRACTION:
            reason = "saturated"
        elif cloud_brightness is not None and float(bright_c.min()) >= cloud_brightness:
            reason = "cloud"
        elif edge_density < min_edge_density:
            reason = "water" if brightness <= WATER_BRIGHTNESS else "blank"
    return Verdict(valid_fraction, edge_density, brightness, not reason, reason)


def kept_objects(tiles: Sequence[TileRecord], boxes_n4: NDArray[np.floating[Any]]) -> dict[str, int]:
    """How many labelled objects lie where anything looks.

    Args:
        tiles: Tiles of a scene, kept and screened out.
        boxes_n4: Labelled boxes in scene pixels, shape (N, 4).

    Returns:
        Objects by the verdict of the tile that holds their centre: ``kept``, or the reason it was dropped for; objects outside of the
        scene count as ``outside``.
    """
    centres_n2 = (np.asarray(boxes_n4, dtype=np.float64).reshape(-1, 4)[:, :2] + np.asarray(boxes_n4).reshape(-1, 4)[:, 2:]) / 2
    verdict_n = np.full(len(centres_n2), "outside", dtype=object)
    for tile in tiles:
        left, top, right, bottom = tile.core.xyxy
        x_n, y_n = centres_n2.T
        verdict_n[(x_n >= left) & (x_n < right) & (y_n >= top) & (y_n < bottom)] = tile.reason or "kept"
    return dict(Counter(str(one) for one in verdict_n))
