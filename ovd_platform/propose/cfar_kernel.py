"""Compiled kernels of the constant-false-alarm-rate detector.

Belongs here: sliding sums and sliding order statistics over a ring of training pixels. Does not belong here: thresholds
(clutter.py), reading scenes and decisions (cfar.py).

A pixel is compared with the ring of pixels between a guard square and a training square around it. Invalid pixels leave the
ring.
"""

import numba
import numpy as np
from numpy.typing import NDArray

LEVELS_PER_DB = 16
"""Order statistics come from a histogram of log intensity; one level is 1/16 dB, and levels are interpolated."""

RANGE_DB = 96
"""Dynamic range of that histogram, decibels; values outside are clipped."""


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def ring_means(
    intensity_hw: NDArray[np.float32], valid_hw: NDArray[np.bool_], guard_px: int, train_px: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Mean intensity and number of valid training pixels around each pixel; the frame of ``train_px`` gets 0.

    Args:
        intensity_hw: Linear intensity, float32; values of invalid pixels are not used.
        valid_hw: Where the intensity holds.
        guard_px: Half side of the guard square.
        train_px: Half side of the training square.
    """
    height, width = intensity_hw.shape
    mean_hw = np.zeros((height, width), np.float32)
    count_hw = np.zeros((height, width), np.int32)
    outer_w, inner_w = np.zeros(width), np.zeros(width)
    outer_n, inner_n = np.zeros(width, np.int32), np.zeros(width, np.int32)
    for row in range(-train_px, height - train_px):
        _shift(intensity_hw, valid_hw, outer_w, outer_n, row + train_px, row - train_px - 1)
        if row + guard_px >= 0:
            _shift(intensity_hw, valid_hw, inner_w, inner_n, row + guard_px, row - guard_px - 1)
        if row < train_px:
            continue
        total, inner, number, hidden = 0.0, 0.0, 0, 0
        for col in range(-train_px, width - train_px):
            total += outer_w[col + train_px]
            number += outer_n[col + train_px]
            if col - train_px - 1 >= 0:
                total -= outer_w[col - train_px - 1]
                number -= outer_n[col - train_px - 1]
            if col + guard_px >= 0:
                inner += inner_w[col + guard_px]
                hidden += inner_n[col + guard_px]
            if col - guard_px - 1 >= 0:
                inner -= inner_w[col - guard_px - 1]
                hidden -= inner_n[col - guard_px - 1]
            if col >= train_px:
                ring = number - hidden
                count_hw[row, col] = ring
                mean_hw[row, col] = max(total - inner, 0.0) / max(ring, 1)
    return mean_hw, count_hw


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def ring_means_whole(
    intensity_hw: NDArray[np.float32], guard_px: int, train_px: int, factor: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Mean intensity around each pixel of a chip without invalid pixels, and where the pixel exceeds ``factor`` times it.

    The frame of ``train_px`` gets 0 and False. Column sums slide down, prefix sums run along a row: both rings cost four
    look-ups a pixel, whatever their size.

    Args:
        intensity_hw: Linear intensity, float32.
        guard_px: Half side of the guard square.
        train_px: Half side of the training square.
        factor: Threshold over the mean.
    """
    height, width = intensity_hw.shape
    mean_hw = np.zeros((height, width), np.float32)
    above_hw = np.zeros((height, width), np.bool_)
    if height < 2 * train_px + 1 or width < 2 * train_px + 1:
        return mean_hw, above_hw
    outer_w, inner_w = np.zeros(width), np.zeros(width)
    outer_p, inner_p = np.zeros(width + 1), np.zeros(width + 1)
    for row in range(2 * train_px):
        outer_w += intensity_hw[row]
    for row in range(train_px - guard_px, train_px + guard_px):
        inner_w += intensity_hw[row]
    number = (2 * train_px + 1) ** 2 - (2 * guard_px + 1) ** 2
    share = 1.0 / number
    level = np.float32(factor)
    for row in range(train_px, height - train_px):
        below_w, under_w = intensity_hw[row + train_px], intensity_hw[row + guard_px]
        outer, inner = 0.0, 0.0
        for col in range(width):
            outer_w[col] += below_w[col]
            inner_w[col] += under_w[col]
        for col in range(width):
            outer += outer_w[col]
            inner += inner_w[col]
            outer_p[col + 1] = outer
            inner_p[col + 1] = inner
        inside = width - 2 * train_px
        right_o, left_o = outer_p[2 * train_px + 1 :], outer_p
        right_i, left_i = inner_p[train_px + guard_px + 1 :], inner_p[train_px - guard_px :]
        here_w, mean_w, above_w = intensity_hw[row, train_px:], mean_hw[row, train_px:], above_hw[row, train_px:]
        for col in range(inside):
            mean = np.float32(max((right_o[col] - left_o[col]) - (right_i[col] - left_i[col]), 0.0) * share)
            mean_w[col] = mean
            above_w[col] = here_w[col] > level * mean
        above, over = intensity_hw[row - train_px], intensity_hw[row - guard_px]
        for col in range(width):
            outer_w[col] -= above[col]
            inner_w[col] -= over[col]
    return mean_hw, above_hw


@numba.njit(cache=True)
def _shift(intensity_hw, valid_hw, sum_w, count_w, added, removed):  # type: ignore[no-untyped-def]
    """Move column sums one row down."""
    width = intensity_hw.shape[1]
    for col in range(width):
        if valid_hw[added, col]:
            sum_w[col] += intensity_hw[added, col]
            count_w[col] += 1
    if removed >= 0:
        for col in range(width):
            if valid_hw[removed, col]:
                sum_w[col] -= intensity_hw[removed, col]
                count_w[col] -= 1


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def ring_orders(
    level_hw: NDArray[np.float32], valid_hw: NDArray[np.bool_], guard_px: int, train_px: int, rank: float, bins: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Order statistic of the training pixels around each pixel; the frame of ``train_px`` gets 0.

    Args:
        level_hw: Log intensity in levels, float32 in [0, bins).
        valid_hw: Where it holds.
        guard_px: Half side of the guard square.
        train_px: Half side of the training square.
        rank: Rank as a fraction of the count: the ceil(rank * count)-th smallest.
        bins: Levels of the histogram.

    Returns:
        The order statistic in levels, interpolated inside its bin, and the number of valid training pixels.
    """
    height, width = level_hw.shape
    value_hw = np.zeros((height, width), np.float32)
    count_hw = np.zeros((height, width), np.int32)
    bin_hw = np.empty((height, width), np.int32)
    for row in range(height):
        for col in range(width):
            bin_hw[row, col] = min(max(int(level_hw[row, col]), 0), bins - 1) if valid_hw[row, col] else -1
    for row in range(train_px, height - train_px):
        histogram = np.zeros(bins, np.int32)
        pointer, below, total = 0, 0, 0
        for col in range(train_px, width - train_px):
            if col == train_px:
                for x in range(2 * train_px + 1):
                    below, total = _column(bin_hw, histogram, x, row, train_px, 1, pointer, below, total)
                for x in range(col - guard_px, col + guard_px + 1):
                    below, total = _column(bin_hw, histogram, x, row, guard_px, -1, pointer, below, total)
            else:
                below, total = _column(bin_hw, histogram, col + train_px, row, train_px, 1, pointer, below, total)
                below, total = _column(bin_hw, histogram, col - train_px - 1, row, train_px, -1, pointer, below, total)
                below, total = _column(bin_hw, histogram, col + guard_px, row, guard_px, -1, pointer, below, total)
                below, total = _column(bin_hw, histogram, col - guard_px - 1, row, guard_px, 1, pointer, below, total)
            count_hw[row, col] = total
            if total == 0:
                continue
            wanted = max(1, int(np.ceil(rank * total)))
            pointer, below = _moved(histogram, pointer, below, wanted)
            value_hw[row, col] = pointer + (wanted - below - 0.5) / histogram[pointer]
    return value_hw, count_hw


@numba.njit(cache=True, inline="always")
def _moved(histogram, pointer, below, wanted):  # type: ignore[no-untyped-def]
    """Move the pointer to the bin that holds the wanted rank."""
    while below >= wanted:
        pointer -= 1
        below -= histogram[pointer]
    while below + histogram[pointer] < wanted:
        below += histogram[pointer]
        pointer += 1
    return pointer, below


@numba.njit(cache=True, inline="always")
def _column(bin_hw, histogram, col, row, half, sign, pointer, below, total):  # type: ignore[no-untyped-def]
    """Add or remove a column of the square; `below` counts what lies under the pointer."""
    for y in range(row - half, row + half + 1):
        level = bin_hw[y, col]
        if level >= 0:
            histogram[level] += sign
            total += sign
            if level < pointer:
                below += sign
    return below, total
