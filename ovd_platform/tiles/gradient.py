"""Gradient statistics of one band of a tile. Belongs here: the compiled kernel of screening; imported only when scanning."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

BINS = 97
# A squared magnitude's exponent and first mantissa bit are its bin: no logarithm a pixel. Bin 1 starts at 2**-16 (squared).
_SHIFT = 22
_FIRST = (127 - 16) << 1


@njit(cache=True)
def _square(band_hw, valid_hw, squared_hw):  # type: ignore[no-untyped-def]  # numba compiles it
    height, width = band_hw.shape
    total = 0.0
    for row in range(height):
        for col in range(width):
            if not valid_hw[row, col]:
                squared_hw[row, col] = np.float32(-1.0)
                continue
            value = band_hw[row, col]
            total += value
            dx = np.float32(0.0)
            dy = np.float32(0.0)
            if col + 1 < width and valid_hw[row, col + 1]:
                dx = band_hw[row, col + 1] - value
            if row + 1 < height and valid_hw[row + 1, col]:
                dy = band_hw[row + 1, col] - value
            squared_hw[row, col] = dx * dx + dy * dy
    return total


@njit(cache=True)
def _count(bits_n, counts, first, shift):  # type: ignore[no-untyped-def]  # numba compiles it
    last = counts.shape[0] - 1
    for bits in bits_n:
        if bits > 0:
            counts[min(max((bits >> shift) - first + 1, 1), last)] += 1
        elif bits == 0:
            counts[0] += 1


def gradient_counts(band_hw: NDArray[np.float32], valid_hw: NDArray[np.bool_]) -> tuple[NDArray[np.int32], float]:
    """Histogram of gradient magnitudes of a band, and the band's mean.

    The magnitude is that of forward differences between valid neighbours. Four bins an octave let thresholds be set after the
    whole scene was seen: bin 0 holds exact zeros, bin k >= 1 what lies from `bin_edge(k)` to `bin_edge(k + 1)`.

    Args:
        band_hw: Values (source units or dB), shape (H, W), float32.
        valid_hw: Shape (H, W), bool.

    Returns:
        Counts, shape (97,), int32, and the mean of the valid values (0 without any).
    """
    counts = np.zeros(BINS, dtype=np.int32)
    squared_hw = np.empty(band_hw.shape, dtype=np.float32)
    total = _square(band_hw, valid_hw, squared_hw)
    # The sign bit makes invalid pixels (-1) negative integers, which are not counted.
    _count(squared_hw.view(np.int32).reshape(-1), counts, _FIRST, _SHIFT)
    number = int(valid_hw.sum())
    return counts, float(total / number) if number else 0.0


def bin_edge(key: int) -> float:
    """Lower edge of gradient bin `key` in units of the band; 0 for bin 0."""
    if key < 1:
        return 0.0
    octave, half = divmod(key - 1, 2)
    return float(np.sqrt(2.0 ** (octave - 16) * (1.0 + 0.5 * half)))


def bin_middle(key: int) -> float:
    """Representative magnitude of a bin; 0 for bin 0."""
    return (bin_edge(key) + bin_edge(key + 1)) / 2 if key >= 1 else 0.0


def bin_of(magnitude: float) -> int:
    """Bin of a magnitude."""
    if magnitude <= 0.0:
        return 0
    bits = int(np.float32(magnitude * magnitude).view(np.int32))
    return min(max((bits >> _SHIFT) - _FIRST + 1, 1), BINS - 1)
