"""Square crops around boxes, read in few windows and resampled in one call each.

Belongs here: from boxes of a scene to batches of equal images. Does not belong here: networks (builtin, open_clip_encoder).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ovd_platform.errors import ShapeError
from ovd_platform.raster.radiometry import InstrumentProfile, normalise
from ovd_platform.records.window import Window

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene

CONTEXT = 1.5
MIN_SIDE_PX = 24.0
_CELL_PX = 768
_MAX_SIDE_PX = 4096.0
_BATCH = 128


def crop_squares(
    boxes_n4: NDArray[np.float32], context: float = CONTEXT, min_side_px: float = MIN_SIDE_PX
) -> NDArray[np.float32]:
    """Squares around boxes that show an object with a little of its surroundings.

    Args:
        boxes_n4: Boxes (x0, y0, x1, y1) in scene pixels, shape (N, 4).
        context: Side of the square relative to the box's longer side.
        min_side_px: Smallest side; tiny objects keep enough surroundings to be told apart.

    Returns:
        New array, shape (N, 4), float32, same centres; sides above 4096 px are cut to that.

    Raises:
        ShapeError: If the boxes are not (N, 4).
    """
    boxes = np.asarray(boxes_n4, dtype=np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ShapeError(f"Cannot crop around boxes: expected shape (N, 4), got {boxes.shape}.")
    centre_n2 = (boxes[:, :2] + boxes[:, 2:]) / 2
    side_n = np.clip(context * (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0), min_side_px, _MAX_SIDE_PX)[:, None]
    return np.concatenate([centre_n2 - side_n / 2, centre_n2 + side_n / 2], axis=1).astype(np.float32)


def resample(planes_chw: Tensor, squares_n4: Tensor, out_px: int) -> Tensor:
    """Crops of one image by area-averaged bilinear sampling.

    Args:
        planes_chw: Normalised planes, shape (C, H, W), float32.
        squares_n4: Squares in pixels of the planes, (0, 0) the outer corner of the first pixel.
        out_px: Side of the crops.

    Returns:
        Shape (N, C, out, out), float32; what lies outside of the planes is 0.
    """
    from torchvision.ops import roi_align

    indexed = torch.cat([torch.zeros(len(squares_n4), 1), squares_n4.float()], dim=1)
    crops: Tensor = roi_align(planes_chw[None].float(), indexed, out_px, sampling_ratio=-1, aligned=True)
    return crops


def iterate_crops(
    scene: "Scene", squares_n4: NDArray[np.float32], profile: InstrumentProfile, out_px: int
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Crops of a scene, neighbours together, so that every pixel is read about once.

    Args:
        scene: Open scene.
        squares_n4: Squares in scene pixels (`crop_squares`); they may reach outside of the scene.
        profile: Normalisation of the scene's instrument.
        out_px: Side of the crops.

    Yields:
        Row numbers (M,) into ``squares_n4`` and crops (M, C, out, out), at most 128 at a time.
    """
    for rows in square_groups(squares_n4):
        left, top = np.floor(squares_n4[rows, :2].min(axis=0)).astype(int) - 1
        right, bottom = np.ceil(squares_n4[rows, 2:].max(axis=0)).astype(int) + 1
        chip = scene.read(Window(int(left), int(top), int(right - left), int(bottom - top)))
        planes_chw = torch.from_numpy(normalise(chip.pixels_chw, chip.valid_hw, profile))
        offset = np.array([left, top, left, top], dtype=np.float32)
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            yield part, resample(planes_chw, torch.from_numpy(squares_n4[part] - offset), out_px)


def square_groups(squares_n4: NDArray[np.float32]) -> list[NDArray[np.int64]]:
    """Rows of squares by grid cell of their centre, so that each group is read at once; large squares alone."""
    centre_n2 = (squares_n4[:, :2] + squares_n4[:, 2:]) / 2
    cell_n2 = np.floor(centre_n2 / _CELL_PX).astype(np.int64)
    large_n = (squares_n4[:, 2] - squares_n4[:, 0]) > _CELL_PX
    order = np.lexsort((cell_n2[:, 0], cell_n2[:, 1]))
    groups: list[NDArray[np.int64]] = [np.array([row]) for row in order if large_n[row]]
    small = order[~large_n[order]]
    if len(small):
        change = np.any(np.diff(cell_n2[small], axis=0) != 0, axis=1)
        groups += np.split(small, np.flatnonzero(change) + 1)
    return groups
