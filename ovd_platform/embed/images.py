"""Example chips somebody hands in: source pixels to normalised planes of a given size.

Belongs here: whole images. Does not belong here: boxes of scenes (crops).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ovd_platform.embed.crops import resample
from ovd_platform.errors import InputError
from ovd_platform.models.stems import RGB_KEYS, BandKey
from ovd_platform.raster.radiometry import InstrumentProfile, normalise


def normalised_image(
    pixels_chw: NDArray[Any], valid_hw: NDArray[np.bool_] | None, profile: InstrumentProfile | None
) -> NDArray[np.float32]:
    """Planes in about [0, 1] of one image.

    Args:
        pixels_chw: Source pixels, shape (C, H, W).
        valid_hw: Mask, or None: all valid.
        profile: Normalisation; may be None for uint8 (divided by 255) and for floats in [0, 1.25].

    Returns:
        New array, shape (C, H, W), float32.

    Raises:
        InputError: If a profile is needed and missing.
    """
    valid = np.ones(pixels_chw.shape[1:], dtype=bool) if valid_hw is None else valid_hw
    if profile is not None:
        return normalise(pixels_chw, valid, profile)
    if pixels_chw.dtype == np.uint8:
        planes = pixels_chw.astype(np.float32) / 255.0
    elif pixels_chw.dtype.kind == "f" and float(np.nanmax(pixels_chw, initial=0.0)) <= 1.25:
        planes = np.nan_to_num(pixels_chw.astype(np.float32))
    else:
        raise InputError(
            f"Cannot embed an image of {pixels_chw.dtype}: expected a normalisation profile for values beyond 8 bit, got none. "
            "Give the profile of its instrument, or of its own histogram."
        )
    planes[:, ~valid] = 0.0
    return planes


def default_keys(bands: int, keys: Sequence[BandKey] | None) -> tuple[BandKey, ...]:
    """What each band is: as given, else red, green, blue for three, else unknown."""
    if keys is not None:
        return tuple(keys)
    return RGB_KEYS if bands == 3 else (None,) * bands


def fit_square(planes_chw: NDArray[np.float32], out_px: int) -> Tensor:
    """The whole image in a square: centred, longer side fills it, the rest repeats the border; shape (C, out, out)."""
    height, width = planes_chw.shape[1:]
    side = max(height, width)
    pad_y, pad_x = (side - height) // 2, (side - width) // 2
    square = np.pad(planes_chw, ((0, 0), (pad_y, side - height - pad_y), (pad_x, side - width - pad_x)), mode="edge")
    return resample(torch.from_numpy(square), torch.tensor([[0.0, 0.0, side, side]]), out_px)[0]
