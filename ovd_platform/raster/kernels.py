"""Compiled loops over pixels: exact counting and normalisation in one pass each.

Belongs here: what `histogram` and `radiometry` run per pixel. Imported only when pixels are processed (numba takes a while to load).
Both loops accept views: a tile of a strip is never copied first.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Working memory of the counting loops, all zero between calls: one process counts one band at a time.
# The odd row length keeps equal values of two tables off the same cache lines.
_LANES = np.zeros((4, 65536 + 1040), dtype=np.uint32)


@njit(cache=True)
def _count_all(band_hw, offset, lanes_k):  # type: ignore[no-untyped-def]  # numba compiles it
    height, width = band_hw.shape
    even = width - width % 4
    for row in range(height):
        line = band_hw[row]
        # Four tables: equal neighbours would otherwise wait for each other's increment.
        for col in range(0, even, 4):
            lanes_k[0, np.int64(line[col]) + offset] += 1
            lanes_k[1, np.int64(line[col + 1]) + offset] += 1
            lanes_k[2, np.int64(line[col + 2]) + offset] += 1
            lanes_k[3, np.int64(line[col + 3]) + offset] += 1
        for col in range(even, width):
            lanes_k[0, np.int64(line[col]) + offset] += 1


@njit(cache=True)
def _count_valid(band_hw, valid_hw, offset, lanes_k):  # type: ignore[no-untyped-def]  # numba compiles it
    height, width = band_hw.shape
    for row in range(height):
        for col in range(width):
            if valid_hw[row, col]:
                lanes_k[col & 3, np.int64(band_hw[row, col]) + offset] += 1


@njit(cache=True)
def _fold(lanes_k, counts, low, high):  # type: ignore[no-untyped-def]  # numba compiles it
    first, second, third, fourth = lanes_k[0], lanes_k[1], lanes_k[2], lanes_k[3]
    for key in range(low, high + 1):
        counts[key] += np.int64(first[key]) + np.int64(second[key]) + np.int64(third[key]) + np.int64(fourth[key])
    for lane in range(4):
        lanes_k[lane, low : high + 1] = 0


@njit(cache=True)
def _count_words(words_hw, flip, lanes_k, counts):  # type: ignore[no-untyped-def]  # numba compiles it
    low = np.uint64(0xFFFF)
    seen = np.uint64(0)
    one = np.uint32(1)
    first, second, third, fourth = lanes_k[0], lanes_k[1], lanes_k[2], lanes_k[3]
    for row in range(words_hw.shape[0]):
        line = words_hw[row]
        for col in range(line.shape[0]):
            word = line[col] ^ flip
            seen |= word
            first[word & low] += one
            second[(word >> np.uint64(16)) & low] += one
            third[(word >> np.uint64(32)) & low] += one
            fourth[word >> np.uint64(48)] += one
    seen |= seen >> np.uint64(32)
    seen = (seen | seen >> np.uint64(16)) & low
    above = 1
    while np.uint64(above) <= seen:
        above *= 2
    _fold(lanes_k, counts, 0, above - 1)


def count_values(band_hw: NDArray[Any], valid_hw: NDArray[np.bool_] | None, counts: NDArray[np.int64], offset: int = 0) -> None:
    """Add an integer band's values to its histogram, one bin a value.

    One increment a pixel is what a processor stores in one cycle, so nothing else is done per pixel: which bins were touched comes
    from the bits seen, not from a minimum and a maximum.

    Args:
        band_hw: Integers of up to 16 bits, shape (H, W), not empty; may be a view.
        valid_hw: Shape (H, W), bool; None where every pixel counts.
        counts: Shape (65536,), int64; changed in place.
        offset: Bin of the value 0 (32768 for signed values).
    """
    if valid_hw is None and band_hw.itemsize == 2 and band_hw.strides[1] == 2 and band_hw.shape[1] >= 4:
        # Four values a load; flipping the sign bits turns signed values into their bins.
        whole = band_hw.shape[1] // 4 * 4
        flip = np.uint64(0x8000800080008000 if offset else 0)
        _count_words(band_hw[:, :whole].view(np.uint64), flip, _LANES, counts)
        if whole < band_hw.shape[1]:
            count_values(np.ascontiguousarray(band_hw[:, whole:]).reshape(-1, 1), None, counts, offset)
        return
    low, high = int(band_hw.min()), int(band_hw.max())
    if valid_hw is None:
        _count_all(band_hw, offset, _LANES)
    else:
        _count_valid(band_hw, valid_hw, offset, _LANES)
    _fold(_LANES, counts, low + offset, high + offset)


@njit(cache=True, error_model="numpy")
def _normalise(band_hw, low, scale, upper, out_hw):  # type: ignore[no-untyped-def]  # numba compiles it
    zero = np.float32(0.0)
    for row in range(band_hw.shape[0]):
        for col in range(band_hw.shape[1]):
            value = (np.float32(band_hw[row, col]) - low) * scale
            value = value if value > zero else zero  # NaN is not greater: it becomes 0.
            out_hw[row, col] = value if value < upper else upper


def normalise_bands(
    pixels_chw: NDArray[Any],
    low_c: NDArray[np.float32],
    scale_c: NDArray[np.float32],
    upper: float,
    out_chw: NDArray[np.float32],
) -> None:
    """``clip((pixels - low) * scale, 0, upper)`` in one pass; NaN becomes 0.

    Args:
        pixels_chw: Real values, shape (C, H, W); may be a view.
        low_c: Value that maps to 0, float32.
        scale_c: Reciprocal of the range, float32.
        upper: Largest output.
        out_chw: Where the result goes, shape (C, H, W).
    """
    for band_hw, low, scale, out_hw in zip(pixels_chw, low_c, scale_c, out_chw, strict=True):
        _normalise(band_hw, np.float32(low), np.float32(scale), np.float32(upper), out_hw)
