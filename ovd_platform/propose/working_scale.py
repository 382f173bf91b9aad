"""Between scene pixels and the scale a detector works at.

Belongs here: resampling and the choice of scales; training and inference share both. Does not belong here: the network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ovd_platform.records.scene import SceneRecord

_CLOSE = (0.25, 2.0)
"""The ground sample distance moves a scale within these bounds only: metadata lie."""

_EIGHTHS_OFF = 0.05
"""A scale moves so far, as a share of itself, to a multiple of an eighth: on those the strides of a network meet whole scene pixels often."""


def resized(pixels_chw: NDArray[np.float32], width_px: int, height_px: int) -> NDArray[np.float32]:
    """Resample bands: area average when shrinking, bilinear when growing.

    Args:
        pixels_chw: Normalised bands, float32.
        width_px: Columns of the result.
        height_px: Rows of the result.

    Returns:
        New array, shape (C, height_px, width_px), float32; the input itself if the size is unchanged.
    """
    if pixels_chw.shape[1:] == (height_px, width_px):
        return pixels_chw
    method = cv2.INTER_AREA if height_px * width_px < pixels_chw.shape[1] * pixels_chw.shape[2] else cv2.INTER_LINEAR
    out_chw = np.empty((len(pixels_chw), height_px, width_px), np.float32)
    for source_hw, out_hw in zip(pixels_chw, out_chw, strict=True):
        out_hw[:] = cv2.resize(source_hw, (width_px, height_px), interpolation=method)
    return out_chw


def scales_for(card: Mapping[str, Any], record: SceneRecord) -> tuple[float, ...]:
    """Working-scale pixels per scene pixel at which a model looks at a scene.

    A model trained at many magnifications names several scales and they are what it is. One that names a single scale follows the
    ground sample distance, where both are known, so that objects keep their size.

    Args:
        card: Card of the model: ``scales``, ``training_gsd_m``.
        record: The scene.

    Returns:
        One or several scales.
    """
    scales: Sequence[float] = card["scales"]
    trained_m = card.get("training_gsd_m")
    if len(scales) == 1 and trained_m and record.gsd_m:
        ratio = min(max(record.gsd_m / trained_m, _CLOSE[0]), _CLOSE[1])
        # A few per cent do not matter to the detector, and exact halves resample best.
        return (float(scales[0]),) if 0.85 < ratio < 1.18 else (_even(float(scales[0]) * ratio),)
    return tuple(float(scale) for scale in scales)


def _even(scale: float) -> float:
    """The nearest multiple of an eighth where that is close."""
    nearest = round(scale * 8) / 8
    return nearest if abs(nearest / scale - 1) <= _EIGHTHS_OFF else scale
