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
_NO_MASK = np.ones((1, 1), dtype=np.bool_)


Counted = tuple[int, int, int, int]
"""First and last bin that was counted, how many values, and the sum of their bins."""


@njit(cache=True)
def _fold(lanes_k, counts, every, any_):  # type: ignore[no-untyped-def]  # numba compiles it
    """Lanes into counts, over the bins that agree with the bits all values had (``every``) and any had (``any_``)."""
    span = np.int64(1)
    while span <= (every ^ any_):
        span *= 2
    low = np.int64(every) & ~(span - 1)
    high = low + span - 1
    first, second, third, fourth = lanes_k[0], lanes_k[1], lanes_k[2], lanes_k[3]
    number = np.int64(0)
    total = np.int64(0)
    for key in range(low, high + 1):
        here = np.int64(first[key]) + np.int64(second[key]) + np.int64(third[key]) + np.int64(fourth[key])
        counts[key] += here
        number += here
        total += here * key
        lanes_k[0, key] = here  # For the search of both ends below.
    while low < high and lanes_k[0, low] == 0:
        low += 1
    last = high
    while last > low and lanes_k[0, last] == 0:
        last -= 1
    start = np.int64(every) & ~(span - 1)
    for lane in range(4):
        lanes_k[lane, start : high + 1] = 0
    return low, last, number, total


@njit(cache=True)
def _count_any(band_hw, valid_hw, masked, offset, lanes_k, counts):  # type: ignore[no-untyped-def]  # numba compiles it
    height, width = band_hw.shape
    every, any_ = np.int64(0xFFFF), np.int64(0)
    for row in range(height):
        for col in range(width):
            if not masked or valid_hw[row, col]:
                key = np.int64(band_hw[row, col]) + offset
                every &= key
                any_ |= key
                lanes_k[col & 3, key] += 1
    if any_ == 0 and every == 0xFFFF:
        return 0, 0, 0, 0
    return _fold(lanes_k, counts, every, any_)


@njit(cache=True)
def _count_words(words_hw, rest_hw, flip, offset, lanes_k, counts):  # type: ignore[no-untyped-def]  # numba compiles it
    low = np.uint64(0xFFFF)
    every, any_ = ~np.uint64(0), np.uint64(0)
    one = np.uint32(1)
    first, second, third, fourth = lanes_k[0], lanes_k[1], lanes_k[2], lanes_k[3]
    for row in range(words_hw.shape[0]):
        line = words_hw[row]
        for col in range(line.shape[0]):
            word = line[col] ^ flip
            every &= word
            any_ |= word
            first[word & low] += one
            second[(word >> np.uint64(16)) & low] += one
            third[(word >> np.uint64(32)) & low] += one
            fourth[word >> np.uint64(48)] += one
    every &= every >> np.uint64(32)
    every &= every >> np.uint64(16)
    any_ |= any_ >> np.uint64(32)
    any_ |= any_ >> np.uint64(16)
    all_bits, any_bits = np.int64(every & low), np.int64(any_ & low)
    for row in range(rest_hw.shape[0]):
        for col in range(rest_hw.shape[1]):
            key = np.int64(rest_hw[row, col]) + offset
            all_bits &= key
            any_bits |= key
            first[key] += one
    return _fold(lanes_k, counts, all_bits, any_bits)


def count_values(
    band_hw: NDArray[Any], valid_hw: NDArray[np.bool_] | None, counts: NDArray[np.int64], offset: int = 0
) -> Counted:
    """Add an integer band's values to its histogram, one bin a value.

    One increment a pixel is what a processor stores in one cycle, so nothing else is done per pixel: which bins were touched comes
    from the bits seen, and the extremes and the sum from the bins.

    Args:
        band_hw: Integers of up to 16 bits, shape (H, W), not empty; may be a view.
        valid_hw: Shape (H, W), bool; None where every pixel counts.
        counts: Shape (65536,), int64; changed in place.
        offset: Bin of the value 0 (32768 for signed values).

    Returns:
        What was counted, in bins; all zero where no pixel is valid.
    """
    if valid_hw is None and band_hw.itemsize == 2 and band_hw.strides[1] == 2 and band_hw.shape[1] >= 4:
        # Four values a load; flipping the sign bits turns signed values into their bins.
        whole = band_hw.shape[1] // 4 * 4
        flip = np.uint64(0x8000800080008000 if offset else 0)
        found = _count_words(band_hw[:, :whole].view(np.uint64), band_hw[:, whole:], flip, offset, _LANES, counts)
    else:
        mask_hw = _NO_MASK if valid_hw is None else valid_hw
        found = _count_any(band_hw, mask_hw, valid_hw is not None, offset, _LANES, counts)
    low, high, number, total = found
    return int(low), int(high), int(number), int(total)


@njit(cache=True)
def _count_floats(values_hw, valid_hw, masked, counts):  # type: ignore[no-untyped-def]  # numba compiles it
    low, high, total, number = np.float32(np.inf), np.float32(-np.inf), 0.0, np.int64(0)
    one = np.array([np.float32(0.0)])
    bits = one.view(np.uint32)
    for row in range(values_hw.shape[0]):
        for col in range(values_hw.shape[1]):
            if not masked or valid_hw[row, col]:
                value = values_hw[row, col]
                one[0] = value
                upper = np.int64(bits[0] >> np.uint32(16))
                counts[0xFFFF ^ upper if upper & 0x8000 else upper | 0x8000] += 1
                low, high = min(low, value), max(high, value)
                total += np.float64(value)
                number += 1
    return low, high, number, total


@njit(cache=True)
def _count_steps(values_hw, valid_hw, masked, start, step, counts):  # type: ignore[no-untyped-def]  # numba compiles it
    low, high, total, number = np.float32(np.inf), np.float32(-np.inf), 0.0, np.int64(0)
    last = np.float32(counts.shape[0] - 1)
    for row in range(values_hw.shape[0]):
        for col in range(values_hw.shape[1]):
            if not masked or valid_hw[row, col]:
                value = values_hw[row, col]
                place = (value - start) / step
                counts[np.int64(min(max(place, np.float32(0.0)), last))] += 1
                low, high = min(low, value), max(high, value)
                total += np.float64(value)
                number += 1
    return low, high, number, total


def count_floats(
    values_hw: NDArray[np.float32],
    valid_hw: NDArray[np.bool_] | None,
    counts: NDArray[np.int64],
    steps: tuple[float, float] | None,
) -> tuple[float, float, int, float]:
    """Add a float band's values to its histogram.

    Args:
        values_hw: Values, float32, shape (H, W), none of the valid ones NaN; may be a view.
        valid_hw: Shape (H, W), bool; None where every pixel counts.
        counts: Shape (65536,), int64; changed in place.
        steps: Lower edge of the first bin and width of each; None for bins by the upper half of the bit pattern.

    Returns:
        Smallest and largest value, how many, and their sum.
    """
    mask_hw, masked = (_NO_MASK, False) if valid_hw is None else (valid_hw, True)
    if steps is None:
        low, high, number, total = _count_floats(values_hw, mask_hw, masked, counts)
    else:
        low, high, number, total = _count_steps(values_hw, mask_hw, masked, np.float32(steps[0]), np.float32(steps[1]), counts)
    return float(low), float(high), int(number), float(total)


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
