"""The learned proposer: the light detector run over a scene.

Belongs here: reading, scaling, forwarding, suppressing, per tile. Does not belong here: the network
(models/light_detector.py) and its training (learn/proposer.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import nms

from ovd_platform.errors import InputError
from ovd_platform.models.light_detector import (
    PAD_PX,
    LightDetector,
    LightDetectorConfig,
    bfloat16_is_fast,
    decode_maps,
)
from ovd_platform.propose.blocks import Found, TileBoxes, assemble, group_tiles, owned
from ovd_platform.propose.proposer import Progress
from ovd_platform.propose.working_scale import resized, scales_for
from ovd_platform.raster.radiometry import InstrumentProfile, normalise
from ovd_platform.raster.scene import Scene
from ovd_platform.records.chip import Chip
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window

_NMS_IOU = {False: 0.55, True: 0.7}  # one scale; several, where rafted ships are told apart by the larger
_FLOOR = 0.01
_MOST_PER_MPX = 2000.0


_COARSEST_PX = 256


def _lattice_px(scales: Sequence[float]) -> int:
    """Scene pixels after which the network's strides fall on whole pixels again at every scale; the deepest stride where that is far."""
    for step in range(8, _COARSEST_PX + 1, 8):
        if all(abs(step * scale / PAD_PX - round(step * scale / PAD_PX)) < 1e-9 and step * scale >= PAD_PX for scale in scales):
            return step
    return PAD_PX


def _on_lattice(window: Window, step: int) -> Window:
    """The smallest window around another whose edges are multiples of ``step``, counted from the scene's corner.

    The network then sees the same samples in the same phase, wherever the grid of tiles happens to lie.
    """
    left, top = window.col_px // step * step, window.row_px // step * step
    return Window(left, top, -(-window.right_px // step) * step - left, -(-window.bottom_px // step) * step - top)


class LightProposer:
    """Learned class-agnostic proposer.

    Args:
        state: Weights by name.
        card: The model's card.
        version: Version of the model.
        scales: Working scales; None follows the card and the scene.
    """

    def __init__(
        self, state: Mapping[str, torch.Tensor], card: Mapping[str, Any], version: str, *, scales: Sequence[float] | None = None
    ) -> None:
        self._card = dict(card)
        self._scales = tuple(scales) if scales else None
        self._version = version
        model = LightDetector(
            LightDetectorConfig.from_dict(card["config"]), tuple(card["band_counts"]), card.get("bands", "average")
        )
        model.load_state_dict({k: v.float() if v.dtype.is_floating_point else v for k, v in state.items()})
        self._reduced = bfloat16_is_fast()
        self._model = model.eval().fused().to(memory_format=torch.channels_last)

    @property
    def version(self) -> str:
        """Version of the model."""
        return self._version

    def propose(
        self,
        scene: Scene,
        tiles: Sequence[TileRecord],
        profile: InstrumentProfile,
        *,
        max_per_mpx: float,
        progress: Progress | None = None,
    ) -> ProposalSet:
        """Class-agnostic boxes of a scene; see `Proposer.propose`."""
        record = scene.record
        if record.modality != self._card.get("modality", record.modality):
            raise InputError(
                f"Cannot propose objects in {record.scene_id}: expected a proposer for {record.modality}, got "
                f"{self._version} for {self._card['modality']}. Choose the release of the scene's modality."
            )
        scales = self._scales or scales_for(self._card, record)
        # Half of the largest trained object, so that an object whose centre is in a core is seen whole.
        reach_px = int(self._card["halo_px"] * self._card["input_scale"] / min(scales))
        margin = max([reach_px, *(tile.halo_px for tile in tiles)])
        step = _lattice_px(scales)
        # A wide lattice widens every window: larger blocks pay for it.
        blocks = group_tiles(tiles, side=3 if step > 64 else 2)
        parts: list[TileBoxes] = []
        for done, block in enumerate(blocks):
            window = _on_lattice(block.window.grown(margin), step).clipped(record.width_px, record.height_px)
            chip = scene.read(window)
            if chip.valid_hw.any():
                boxes_n4, objectness_n = self._chip_boxes(chip, profile, scales)
                parts.append(owned(Found(boxes_n4, objectness_n), window, block, tiles, record))
            if progress is not None:
                progress(done + 1, len(blocks), f"proposing in {record.scene_id}")
        return assemble(record, parts, tiles, self._version, max_per_mpx)

    def _chip_boxes(
        self, chip: Chip, profile: InstrumentProfile, scales: Sequence[float]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes of a chip in scene pixels, after suppression over all scales."""
        boxes_kept, scores_kept = self.image_boxes(normalise(chip.pixels_chw, chip.valid_hw, profile), scales)
        centre = ((boxes_kept[:, :2] + boxes_kept[:, 2:]) / 2).astype(np.int64)
        height, width = chip.valid_hw.shape
        valid = chip.valid_hw[np.clip(centre[:, 1], 0, height - 1), np.clip(centre[:, 0], 0, width - 1)]
        offset = np.array([chip.window.col_px, chip.window.row_px] * 2, np.float32)
        return boxes_kept[valid] + offset, scores_kept[valid]

    def image_boxes(
        self, pixels_chw: NDArray[np.float32], scales: Sequence[float] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes of an image, suppressed over all scales, best first.

        Args:
            pixels_chw: Normalised bands, about [0, 1].
            scales: Working scales; None for those of the card.

        Returns:
            Boxes (N, 4) in pixels of the image and objectness (N,), both float32.
        """
        scales = tuple(scales or self._card["scales"])
        parts = [self._forward(pixels_chw, scale) for scale in scales]
        boxes_n4, scores_n = torch.cat([boxes for boxes, _ in parts]), torch.cat([scores for _, scores in parts])
        kept = nms(boxes_n4, scores_n, _NMS_IOU[len(scales) > 1])
        return boxes_n4[kept].numpy(), scores_n[kept].numpy()

    def _forward(self, pixels_chw: NDArray[np.float32], scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes in chip pixels, one scale."""
        _, height, width = pixels_chw.shape
        small_h, small_w = max(1, round(height * scale)), max(1, round(width * scale))
        padded = np.zeros((len(pixels_chw), small_h + -small_h % PAD_PX, small_w + -small_w % PAD_PX), np.float32)
        padded[:, :small_h, :small_w] = resized(pixels_chw, small_w, small_h)
        batch = torch.from_numpy(padded)[None].contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._reduced):
            maps = self._model(batch)
        top = max(100, int(_MOST_PER_MPX * height * width / 1e6))
        boxes_n4, scores_n = decode_maps(maps, top=top, floor=_FLOOR)[0]
        return boxes_n4 * torch.tensor([width / small_w, height / small_h] * 2), scores_n
