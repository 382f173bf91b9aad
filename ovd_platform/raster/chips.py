"""Making a chip from the part of a window that exists. Belongs here: padding, band choice and validity, for all readers."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError
from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.window import Window

ReadInside = Callable[[Window, tuple[int, ...]], tuple[NDArray[Any], NDArray[np.bool_]]]


def checked_bands(record: SceneRecord, band_indices: Sequence[int] | None) -> tuple[int, ...]:
    """Wanted bands as a tuple; all by default.

    Raises:
        InputError: If one does not exist or none is wanted.
    """
    count = len(record.bands)
    chosen = tuple(range(count)) if band_indices is None else tuple(int(index) for index in band_indices)
    if not chosen or not all(0 <= index < count for index in chosen):
        raise InputError(f"Cannot read bands {chosen} of {record.scene_id}: expected 0-based indices below {count}.")
    return chosen


def padded_chip(record: SceneRecord, window: Window, band_indices: Sequence[int] | None, read_inside: ReadInside) -> Chip:
    """Chip of a window that may reach outside of the scene.

    Args:
        record: The scene.
        window: Any window.
        band_indices: Wanted bands.
        read_inside: Reads a window inside the scene: pixels (C, h, w) of the wanted bands and validity (h, w).

    Returns:
        Chip of the window's size; outside pixels are 0 and invalid.
    """
    bands = checked_bands(record, band_indices)
    left, top = max(0, window.col_px), max(0, window.row_px)
    right, bottom = min(record.width_px, window.right_px), min(record.height_px, window.bottom_px)
    if (left, top, right, bottom) == window.xyxy:
        return Chip(*read_inside(window, bands), window, record.scene_id, record)
    pixels_chw = np.zeros((len(bands), window.height_px, window.width_px), dtype=record.dtype)
    valid_hw = np.zeros(pixels_chw.shape[1:], dtype=np.bool_)
    if left >= right or top >= bottom:
        return Chip(pixels_chw, valid_hw, window, record.scene_id, record)
    inside = Window(left, top, right - left, bottom - top)
    read_chw, read_valid_hw = read_inside(inside, bands)
    rows = slice(top - window.row_px, bottom - window.row_px)
    cols = slice(left - window.col_px, right - window.col_px)
    pixels_chw[:, rows, cols] = read_chw
    valid_hw[rows, cols] = read_valid_hw
    return Chip(pixels_chw, valid_hw, window, record.scene_id, record)


def values_valid(pixels_chw: NDArray[Any], nodata_c: Sequence[float | None]) -> NDArray[np.bool_]:
    """Where every band holds a value: neither its nodata value nor NaN.

    Args:
        pixels_chw: Source values, shape (C, H, W).
        nodata_c: Missing value of each band, or None.

    Returns:
        Shape (H, W), bool; `every_pixel_valid` where no value can be missing.
    """
    valid_hw = every_pixel_valid(*pixels_chw.shape[1:])
    for band_hw, nodata in zip(pixels_chw, nodata_c, strict=True):
        if band_hw.dtype.kind in "fc":
            valid_hw = both_valid(valid_hw, np.isfinite(band_hw))
        if nodata is not None and np.isfinite(nodata):
            valid_hw = both_valid(valid_hw, band_hw != nodata)
    return valid_hw


@lru_cache(maxsize=64)
def every_pixel_valid(height_px: int, width_px: int) -> NDArray[np.bool_]:
    """A mask without memory of its own for pixels none of which can be missing; not to be written to."""
    return np.broadcast_to(np.True_, (height_px, width_px))


def is_every_pixel_valid(valid_hw: NDArray[np.bool_]) -> bool:
    """Whether a mask is one of `every_pixel_valid`; False says nothing about its values."""
    return valid_hw.strides == (0, 0) and bool(valid_hw.size) and bool(valid_hw[0, 0])


def both_valid(left_hw: NDArray[np.bool_], right_hw: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where two masks are true: one of them where the other holds everything, else a new array."""
    if is_every_pixel_valid(left_hw):
        return right_hw
    return left_hw if is_every_pixel_valid(right_hw) else left_hw & right_hw
