"""Numbers that tell images of different kinds apart. Belongs here: measuring pixels; deciding on a kind is kind's."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import ShapeError

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """What was measured on one image; all fractions in [0, 1].

    Attributes:
        flat: Pixels whose right and lower neighbours differ by at most one of 255 levels.
        exact: Pixels whose right and lower neighbours are equal: drawings, unless stored as noisy JPEG.
        palette: Pixels that have one of the eight commonest colours (five bits a channel).
        white: Pixels lighter than 245 of 255 in every channel.
        saturation: Mean of (max - min) over channels.
        contrast: Standard deviation of the brightness.
        tilt: Brightness of the top third minus that of the bottom third, over the contrast (a sky makes it large).
        uneven: Spread of the local contrast over an 8 x 8 grid, over its mean (blur beside sharp objects makes it large).
        vertical: Share of gradients that are nearer to vertical or horizontal than to a diagonal.
        noise: Mean gradient of neighbouring pixels over the contrast (speckle makes it large).
        grey: All channels equal.
    """

    flat: float
    exact: float
    palette: float
    white: float
    saturation: float
    contrast: float
    tilt: float
    uneven: float
    vertical: float
    noise: float
    grey: bool


def unit_image(array: NDArray[Any]) -> NDArray[np.float32]:
    """Pixels as float32 in [0, 1], shape (H, W, 3); deep images are stretched between their 1st and 99th percentile.

    Args:
        array: Shape (H, W) or (H, W, 3), uint8 or uint16.

    Raises:
        ShapeError: If it has another shape.
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise ShapeError(f"Cannot measure an image: expected (H, W) or (H, W, 3), got {array.shape}. Convert it first.")
    image = _unit(array)
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def _unit(array: NDArray[Any]) -> NDArray[np.float32]:
    image = array.astype(np.float32)
    if array.dtype == np.uint16:
        low, high = np.percentile(image, (1, 99))
        return np.asarray(np.clip((image - low) / max(high - low, 1.0), 0, 1), dtype=np.float32)
    image /= 255
    return image


def brightness(image_hwc: NDArray[np.float32]) -> NDArray[np.float32]:
    """Luma of an image in [0, 1], shape (H, W)."""
    luma: NDArray[np.float32] = image_hwc @ _LUMA
    return luma


def shrunk(grey_hw: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Area-weighted mean over a grid of equal cells; cells may be smaller than pixels, so a repeated image gives the same grid.

    Args:
        grey_hw: Shape (H, W), float32.
        rows: Rows of the result.
        columns: Columns of the result.

    Returns:
        New array, shape (rows, columns), float32.
    """
    height, width = grey_hw.shape
    return np.asarray(_cell_weights(height, rows) @ grey_hw @ _cell_weights(width, columns).T, dtype=np.float32)


@lru_cache(maxsize=64)
def _cell_weights(pixels: int, cells: int) -> NDArray[np.float32]:
    """Part of each pixel in each cell, rows sum to one, shape (cells, pixels); shared, not to be written to."""
    edges = np.linspace(0, pixels, cells + 1)
    starts = np.arange(pixels)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return np.asarray(np.maximum(overlap, 0) * (cells / pixels), dtype=np.float32)


def measure(array: NDArray[Any], max_side_px: int = 768) -> ImageStatistics:
    """Statistics of an image.

    Args:
        array: Shape (H, W) or (H, W, 3), uint8 or uint16, at least 4 px on each side.
        max_side_px: Only the middle of larger images is measured, at native pixels.
    """
    top, left = (max(0, (size - max_side_px) // 2) for size in array.shape[:2])
    planes = _planes(array[top : top + max_side_px, left : left + max_side_px])
    grey_hw = planes[0] if len(planes) == 1 else brightness(np.stack(planes, axis=-1))
    contrast = float(grey_hw.std())
    right, down = np.abs(np.diff(grey_hw, axis=1))[:-1], np.abs(np.diff(grey_hw, axis=0))[:, :-1]
    larger, smaller = np.maximum(right, down), np.minimum(right, down)
    darkest = np.minimum(np.minimum(planes[0], planes[1]), planes[2]) if len(planes) == 3 else grey_hw
    spread = np.maximum(np.maximum(planes[0], planes[1]), planes[2]) - darkest if len(planes) == 3 else np.zeros(1)
    strong = right * right + down * down > (4 / 255) ** 2
    third = max(1, grey_hw.shape[0] // 3)
    local = _local_contrast(grey_hw)
    return ImageStatistics(
        flat=float((larger <= 1.5 / 255).mean()),
        exact=float((larger <= 0.1 / 255).mean()),
        palette=_palette_share(planes),
        white=float((darkest > 245 / 255).mean()),
        saturation=float(spread.mean()),
        contrast=contrast,
        tilt=float((grey_hw[:third].mean() - grey_hw[-third:].mean()) / max(contrast, 1e-3)),
        uneven=float(local.std() / max(local.mean(), 1e-4)),
        vertical=float((strong & (smaller < 0.41 * larger)).sum() / max(int(strong.sum()), 1)),
        noise=float((right.mean() + down.mean()) / 2 / max(contrast, 1e-3)),
        grey=bool(spread.max() <= 3 / 255),
    )


def _planes(array: NDArray[Any]) -> list[NDArray[np.float32]]:
    """Channels in [0, 1], each contiguous; one for a grey image. Reducing a short last axis takes ten times as long."""
    if array.ndim == 2:
        return [_unit(array)]
    image = unit_image(array)
    return [np.ascontiguousarray(image[..., channel]) for channel in range(3)]


def _palette_share(planes: Sequence[NDArray[np.float32]]) -> float:
    codes = (planes[0] * 31).astype(np.int32)
    for plane in planes[1:]:
        codes <<= 5
        codes += (plane * 31).astype(np.int32)
    counts = np.bincount(codes.ravel())
    return float(np.sort(counts[counts > 0])[-8:].sum() / codes.size)


def _local_contrast(grey_hw: NDArray[np.float32], cells: int = 8) -> NDArray[np.float32]:
    rows, columns = min(cells, grey_hw.shape[0]), min(cells, grey_hw.shape[1])
    mean = shrunk(grey_hw, rows, columns)
    square = shrunk(grey_hw * grey_hw, rows, columns)
    return np.asarray(np.sqrt(np.maximum(square - mean * mean, 0)), dtype=np.float32)
