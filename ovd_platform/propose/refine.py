"""Masks for boxes that exist already, by a network that takes boxes as prompts. Belongs here: reading pixels around them, tile by tile."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ovd_platform.models.stems import SensorAdapter
from ovd_platform.propose.blocks import Found
from ovd_platform.raster.radiometry import InstrumentProfile, normalise
from ovd_platform.raster.scene import Scene
from ovd_platform.records.mask import Mask
from ovd_platform.records.window import Window


class BoxRefiner(Protocol):
    """A network that turns boxes into masks."""

    def refine_boxes(self, planes_chw: Tensor, boxes_n4: ArrayLike) -> Found:
        """One mask for each box, in pixels of the picture; see `sam.SamDetector.refine_boxes`."""
        ...


def masks_of_boxes(
    scene: Scene,
    boxes_n4: NDArray[np.float32],
    profile: InstrumentProfile,
    refiner: BoxRefiner,
    *,
    side_px: int = 384,
    context_px: int = 64,
) -> list[Mask]:
    """Masks of boxes, read once a square of the scene.

    Args:
        scene: Open scene.
        boxes_n4: Boxes in scene pixels, shape (N, 4).
        profile: Normalisation of the scene's instrument.
        refiner: The network.
        side_px: Boxes whose centres share a square of this side are asked for together.
        context_px: Ground read around them.

    Returns:
        One mask a box, in scene pixels; without a pixel set where the network sees nothing.
    """
    masks: dict[int, Mask] = {}
    middle = (boxes_n4[:, :2] + boxes_n4[:, 2:]) / 2
    cells = (middle // side_px).astype(np.int64)
    for cell in np.unique(cells, axis=0):
        members = np.flatnonzero((cells == cell).all(1))
        near = boxes_n4[members]
        left, top = np.floor(near[:, :2].min(0)).astype(int) - context_px
        right, bottom = np.ceil(near[:, 2:].max(0)).astype(int) + context_px
        window = Window(int(left), int(top), int(right - left), int(bottom - top)).clipped(
            scene.record.width_px, scene.record.height_px
        )
        chip = scene.read(window)
        planes = torch.from_numpy(normalise(chip.pixels_chw, chip.valid_hw, profile))
        if len(planes) != 3:
            with torch.inference_mode():
                planes = SensorAdapter(len(planes), 3)(planes[None])[0]
        corner = np.array([window.col_px, window.row_px] * 2, np.float32)
        for index, mask in zip(members, refiner.refine_boxes(planes, near - corner).masks or (), strict=True):
            masks[int(index)] = Mask(mask.left_px + window.col_px, mask.top_px + window.row_px, mask.bits_hw)
    return [masks[index] for index in range(len(boxes_n4))]
