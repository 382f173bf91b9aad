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

from ovd_platform.errors import InputError, StaleError
from ovd_platform.models.light_detector import (
    CONTEXT_PX,
    LAYOUT,
    PAD_PX,
    LightDetector,
    LightDetectorConfig,
    decode_maps,
)
from ovd_platform.models.precision import fast_bfloat16
from ovd_platform.propose.blocks import Found, TileBoxes, assemble, group_tiles, owned
from ovd_platform.propose.proposer import Progress
from ovd_platform.propose.working_scale import resized, scales_for
from ovd_platform.raster.radiometry import InstrumentProfile, normalise
from ovd_platform.raster.scene import Scene
from ovd_platform.raster.sweep import sweep
from ovd_platform.records.chip import Chip
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window

_NMS_IOU = {False: 0.55, True: 0.7}  # one scale; several, where rafted ships are told apart by the larger
_FLOOR = 0.01
_MOST_PER_MPX = 2000.0
_CUT_PX = 2.0
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
    return Window(left, top, _up(window.right_px, step) - left, _up(window.bottom_px, step) - top)


def _up(length_px: int, step: int) -> int:
    """The next multiple."""
    return -(-length_px // step) * step


class LightProposer:
    """Learned class-agnostic proposer.

    Args:
        state: Weights by name.
        card: The model's card.
        version: Version of the model.
        scales: Working scales; None follows the card and the scene.
        reduced: Compute in bfloat16; None does so where the processor multiplies it natively.

    Raises:
        StaleError: If the weights belong to another layout of the network.
    """

    def __init__(
        self,
        state: Mapping[str, torch.Tensor],
        card: Mapping[str, Any],
        version: str,
        *,
        scales: Sequence[float] | None = None,
        reduced: bool | None = None,
    ) -> None:
        if card.get("layout", 1) != LAYOUT:
            raise StaleError(
                f"Cannot use proposer {version}: expected weights of layout {LAYOUT}, got {card.get('layout', 1)}. "
                "Materialize `proposer` again; older weights do not fit this version of the network."
            )
        self._card = dict(card)
        self._scales = tuple(scales) if scales else None
        self._version = version
        model = LightDetector(
            LightDetectorConfig.from_dict(card["config"]), tuple(card["band_counts"]), card.get("bands", "average")
        )
        model.load_state_dict({k: v.float() if v.dtype.is_floating_point else v for k, v in state.items()})
        self._dtype = torch.bfloat16 if (fast_bfloat16() if reduced is None else reduced) else torch.float32
        self._model = model.eval().fused().to(self._dtype).to(memory_format=torch.channels_last)

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
        # Half of the largest trained object, so that an object whose centre is in a core is seen whole; and what the network looks at.
        reach_px = self._card["halo_px"] * self._card["input_scale"]
        margins = {scale: int(max(reach_px, CONTEXT_PX) / scale) for scale in scales}
        margin = max([*margins.values(), *(tile.halo_px for tile in tiles)])
        step = _lattice_px(scales)
        # A wide lattice widens every window: larger blocks pay for it, as long as what the network holds of them stays small.
        blocks = group_tiles(tiles, side=3 if step > 64 and max(scales) <= 1 else 2)
        size = _up(record.width_px, step), _up(record.height_px, step)
        windows = [_on_lattice(block.window.grown(margin), step).clipped(*size) for block in blocks]
        parts: dict[int, TileBoxes] = {}
        for done, (index, chip) in enumerate(sweep(scene, windows)):
            if chip.valid_hw.any():
                window = blocks[index].window
                views = {scale: _on_lattice(window.grown(one), step).clipped(*size) for scale, one in margins.items()}
                boxes_n4, objectness_n = self._chip_boxes(chip, profile, views, step)
                parts[index] = owned(Found(boxes_n4, objectness_n), windows[index], blocks[index], tiles, record)
            if progress is not None:
                progress(done + 1, len(blocks), f"proposing in {record.scene_id}")
        return assemble(record, [parts[index] for index in sorted(parts)], tiles, self._version, max_per_mpx)

    def _chip_boxes(
        self, chip: Chip, profile: InstrumentProfile, views: Mapping[float, Window], step: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes of a chip in scene pixels, after suppression over all scales; each scale looks at a window of its own in the chip."""
        pixels_chw, whole = normalise(chip.pixels_chw, chip.valid_hw, profile), chip.window
        parts = []
        for scale, view in views.items():
            left, top = view.col_px - whole.col_px, view.row_px - whole.row_px
            part_chw = pixels_chw[:, top : top + view.height_px, left : left + view.width_px]
            boxes_n4, scores_n = self._forward(part_chw, scale, step)
            boxes_n4 += torch.tensor([left, top] * 2, dtype=torch.float32)
            kept = _whole(boxes_n4, (left, top, view.width_px, view.height_px), whole)
            parts.append((boxes_n4[kept], scores_n[kept]))
        boxes_kept, scores_kept = _suppressed(parts)
        centre = ((boxes_kept[:, :2] + boxes_kept[:, 2:]) / 2).astype(np.int64)
        height, width = chip.valid_hw.shape
        valid = chip.valid_hw[np.clip(centre[:, 1], 0, height - 1), np.clip(centre[:, 0], 0, width - 1)]
        offset = np.array([whole.col_px, whole.row_px] * 2, np.float32)
        return boxes_kept[valid] + offset, scores_kept[valid]

    def image_boxes(
        self, pixels_chw: NDArray[np.float32], scales: Sequence[float] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes of an image, suppressed over all scales, best first.

        Args:
            pixels_chw: Normalised bands, about [0, 1].
            scales: Working scales; None for those it was made with, else those of the card.

        Returns:
            Boxes (N, 4) in pixels of the image and objectness (N,), both float32.
        """
        scales = tuple(scales or self._scales or self._card["scales"])
        step = _lattice_px(scales)
        return _suppressed([self._forward(pixels_chw, scale, step) for scale in scales])

    def _forward(self, pixels_chw: NDArray[np.float32], scale: float, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes in pixels of the image, one scale; where the lattice allows, pixels are resampled by exactly this scale."""
        bands, height, width = pixels_chw.shape
        if step * scale % PAD_PX == 0 and (height % step or width % step):
            pixels_chw = np.pad(pixels_chw, ((0, 0), (0, -height % step), (0, -width % step)))
        small_h, small_w = (max(1, round(side * scale)) for side in pixels_chw.shape[1:])
        shape = (1, bands, small_h + -small_h % PAD_PX, small_w + -small_w % PAD_PX)
        small_chw = torch.from_numpy(resized(pixels_chw, small_w, small_h)).to(self._dtype)
        batch = torch.empty(shape, dtype=self._dtype, memory_format=torch.channels_last)
        if shape[2:] != (small_h, small_w):
            batch.zero_()
        batch[0, :, :small_h, :small_w] = small_chw
        with torch.inference_mode():
            maps = self._model(batch)
        top = max(100, int(_MOST_PER_MPX * height * width / 1e6))
        boxes_n4, scores_n = decode_maps(maps, top=top, floor=_FLOOR)[0]
        back = [pixels_chw.shape[2] / small_w, pixels_chw.shape[1] / small_h] * 2
        return boxes_n4 * torch.tensor(back), scores_n


def _suppressed(parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes and objectness of one or several scales without those that repeat a better one, best first."""
    boxes_n4, scores_n = torch.cat([boxes for boxes, _ in parts]), torch.cat([scores for _, scores in parts])
    kept = nms(boxes_n4, scores_n, _NMS_IOU[len(parts) > 1])
    return boxes_n4[kept].numpy(), scores_n[kept].numpy()


def _whole(boxes_n4: torch.Tensor, view: tuple[int, int, int, int], whole: Window) -> torch.Tensor:
    """Which boxes of a view (left, top, width, height in the chip) do not end at an edge beyond which the chip goes on.

    A coarser scale looks further and sees those objects uncut.
    """
    left, top, width, height = view
    kept_n = torch.ones(len(boxes_n4), dtype=torch.bool)
    if left > 0:
        kept_n &= boxes_n4[:, 0] > left + _CUT_PX
    if top > 0:
        kept_n &= boxes_n4[:, 1] > top + _CUT_PX
    if left + width < whole.width_px:
        kept_n &= boxes_n4[:, 2] < left + width - _CUT_PX
    if top + height < whole.height_px:
        kept_n &= boxes_n4[:, 3] < top + height - _CUT_PX
    return kept_n
