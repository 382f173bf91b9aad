"""Gradient statistics of one band of a tile. Belongs here: the compiled kernel of screening; imported only when scanning."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

BINS = 96
STEPS_PER_OCTAVE = 4
_LOW_LOG2 = -8.0


@njit(cache=True)
def _accumulate(band_hw, valid_hw, counts, low_log2, steps):  # type: ignore[no-untyped-def]  # numba compiles it
    height, width = band_hw.shape
    total = 0.0
    number = 0
    for row in range(height):
        for col in range(width):
            if not valid_hw[row, col]:
                continue
            value = band_hw[row, col]
            total += value
            number += 1
            dx = band_hw[row, col + 1] - value if col + 1 < width and valid_hw[row, col + 1] else 0.0
            dy = band_hw[row + 1, col] - value if row + 1 < height and valid_hw[row + 1, col] else 0.0
            squared = dx * dx + dy * dy
            if squared > 0.0:
                key = int((0.5 * math.log2(squared) - low_log2) * steps) + 1
                counts[min(max(key, 1), counts.shape[0] - 1)] += 1
            else:
                counts[0] += 1
    return total, number


def gradient_counts(band_hw: NDArray[np.float32], valid_hw: NDArray[np.bool_]) -> tuple[NDArray[np.int32], float]:
    """Histogram of gradient magnitudes of a band, and the band's mean.

    The magnitude is that of forward differences between valid neighbours. Bins are quarter octaves, so that thresholds can be
    set after the whole scene was seen: bin 0 holds exact zeros, bin k >= 1 what lies from `bin_edge(k)` to `bin_edge(k + 1)`.

    Args:
        band_hw: Values (source units or dB), shape (H, W), float32.
        valid_hw: Shape (H, W), bool.

    Returns:
        Counts, shape (96,), int32, and the mean of the valid values (0 without any).
    """
    counts = np.zeros(BINS, dtype=np.int32)
    total, number = _accumulate(band_hw, valid_hw, counts, _LOW_LOG2, float(STEPS_PER_OCTAVE))
    return counts, float(total / number) if number else 0.0


def bin_edge(key: float) -> float:
    """Lower edge of gradient bin `key` in units of the band; 0 for bin 0."""
    return float(2.0 ** (_LOW_LOG2 + (key - 1) / STEPS_PER_OCTAVE)) if key >= 1 else 0.0


def bin_of(magnitude: float) -> int:
    """Bin of a magnitude."""
    if magnitude <= 0.0:
        return 0
    return min(max(int((math.log2(magnitude) - _LOW_LOG2) * STEPS_PER_OCTAVE) + 1, 1), BINS - 1)
