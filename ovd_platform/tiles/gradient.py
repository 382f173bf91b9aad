"""Gradient statistics of one band of a tile. Belongs here: the compiled kernel of screening; imported only when scanning."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

BINS = 97
# A squared magnitude's exponent and first mantissa bit are its bin: no logarithm a pixel. Bin 1 starts at 2**-16 (squared).
_SHIFT = 22
_FIRST = (127 - 16) << 1


@njit(cache=True)
def _bin_row(line, below, squares, keys, first, shift, last):  # type: ignore[no-untyped-def]  # numba compiles it
    """Gradient bins of a row whose pixels are all valid; a loop without branches, so that it is vectorised."""
    width = line.shape[0]
    for col in range(width - 1):
        value = np.float32(line[col])
        dx = np.float32(line[col + 1]) - value
        dy = np.float32(below[col]) - value
        squares[col] = dx * dx + dy * dy
    dy = np.float32(below[width - 1]) - np.float32(line[width - 1])
    squares[width - 1] = dy * dy
    bits = squares.view(np.int32)
    for col in range(width):
        key = min(max((bits[col] >> shift) - first + 1, 1), last)
        keys[col] = key if bits[col] > 0 else 0


@njit(cache=True)
def _count_valid(band_hw, lanes_kg, first, shift):  # type: ignore[no-untyped-def]  # numba compiles it
    height, width = band_hw.shape
    squares = np.empty(width, np.float32)
    keys = np.empty(width, np.int32)
    last = np.int32(lanes_kg.shape[1] - 1)
    even = width - width % 4
    for row in range(height):
        # Below the last row is nothing: it is compared with itself.
        _bin_row(band_hw[row], band_hw[min(row + 1, height - 1)], squares, keys, np.int32(first), np.int32(shift), last)
        # Four tables: equal neighbours would otherwise wait for each other's increment.
        for col in range(0, even, 4):
            lanes_kg[0, keys[col]] += 1
            lanes_kg[1, keys[col + 1]] += 1
            lanes_kg[2, keys[col + 2]] += 1
            lanes_kg[3, keys[col + 3]] += 1
        for col in range(even, width):
            lanes_kg[0, keys[col]] += 1


@njit(cache=True)
def _count_masked(band_hw, valid_hw, lanes_kg, first, shift):  # type: ignore[no-untyped-def]  # numba compiles it
    height, width = band_hw.shape
    last = lanes_kg.shape[1] - 1
    squares = np.empty(width, np.float32)
    bits = squares.view(np.int32)
    for row in range(height):
        for col in range(width):
            value = np.float32(band_hw[row, col])
            dx = np.float32(0.0)
            dy = np.float32(0.0)
            if col + 1 < width and valid_hw[row, col + 1]:
                dx = np.float32(band_hw[row, col + 1]) - value
            if row + 1 < height and valid_hw[row + 1, col]:
                dy = np.float32(band_hw[row + 1, col]) - value
            squares[col] = dx * dx + dy * dy
        for col in range(width):
            if valid_hw[row, col]:
                key = min(max((bits[col] >> shift) - first + 1, 1), last)
                lanes_kg[col & 3, key if bits[col] > 0 else 0] += 1


def gradient_counts(band_hw: NDArray[Any], valid_hw: NDArray[np.bool_] | None) -> NDArray[np.int32]:
    """Histogram of gradient magnitudes of a band.

    The magnitude is that of forward differences between valid neighbours. Four bins an octave let thresholds be set after the
    whole scene was seen: bin 0 holds exact zeros, bin k >= 1 what lies from `bin_edge(k)` to `bin_edge(k + 1)`.

    Args:
        band_hw: Values (source units or dB), shape (H, W), integers of up to 16 bits or floats; may be a view.
        valid_hw: Shape (H, W), bool; None where every pixel counts.

    Returns:
        Counts, shape (97,), int32.
    """
    band_hw = np.ascontiguousarray(band_hw)
    lanes_kg = np.zeros((4, BINS), dtype=np.int32)
    if valid_hw is None:
        _count_valid(band_hw, lanes_kg, _FIRST, _SHIFT)
    else:
        _count_masked(band_hw, valid_hw, lanes_kg, _FIRST, _SHIFT)
    counts: NDArray[np.int32] = lanes_kg.sum(axis=0, dtype=np.int32)
    return counts


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
