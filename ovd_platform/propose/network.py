"""Running any detection network over a scene: native chips, a stem to three planes, batches, ownership, seams.

Belongs here: the loop every borrowed network shares. Does not belong here: the networks (torchvision_detectors.py, detr.py, sam.py,
detectron.py), the built-in detector (light.py), which is fully convolutional and takes whole blocks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ovd_platform.models.stems import AdapterInit, SensorAdapter
from ovd_platform.propose.blocks import Block, Found, TileBoxes, assemble, group_tiles, owned
from ovd_platform.propose.proposer import Progress
from ovd_platform.propose.working_scale import resized
from ovd_platform.raster.radiometry import InstrumentProfile, normalise
from ovd_platform.raster.scene import Scene
from ovd_platform.records.mask import Mask
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window

_PAD_PX = 32


class Detector(Protocol):
    """A network that finds boxes in a batch of pictures, whatever they show."""

    def __call__(self, planes_bchw: Tensor) -> list[Found]:
        """Boxes of each picture, in its pixels, with objectness in [0, 1].

        Args:
            planes_bchw: Three planes in about [0, 1], shape (B, 3, H, W), float32; H and W multiples of 32.
        """
        ...


@dataclass(frozen=True)
class _Reading:
    """One tile with its halo, ready for the network."""

    block: Block
    window: Window
    planes_chw: NDArray[np.float32]
    valid_hw: NDArray[np.bool_]
    scale: float


class NetworkProposer:
    """A detection network as a proposer.

    Args:
        detector: The network.
        version: Version of network, weights and settings.
        stem: How bands become three planes where there are not three: see `SensorAdapter`. ``pca`` is fitted on the scene's first chips.
        scale: Working-scale pixels per scene pixel; objects of a few pixels want 2 or more.
        batch: Tiles a forward pass.
        floor: Objectness below is dropped.
    """

    def __init__(
        self,
        detector: Detector,
        version: str,
        *,
        stem: AdapterInit = "average",
        scale: float = 1.0,
        batch: int = 4,
        floor: float = 0.02,
    ) -> None:
        self._detector, self._version = detector, version
        self._stem, self._scale, self._batch, self._floor = stem, scale, batch, floor

    @property
    def version(self) -> str:
        """Version of network, weights and settings."""
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
        blocks = group_tiles(tiles, side=1)
        parts: list[TileBoxes] = []
        stem: SensorAdapter | None = None
        waiting: list[_Reading] = []
        for done, reading in enumerate(self._readings(scene, tiles, blocks, profile)):
            waiting.append(reading)
            if len(waiting) == self._batch:
                stem = stem or self._stem_for(waiting)
                parts.extend(self._answers(waiting, stem, tiles, scene))
                waiting = []
            if progress is not None:
                progress(done + 1, len(blocks), f"proposing in {record.scene_id}")
        if waiting:
            parts.extend(self._answers(waiting, stem or self._stem_for(waiting), tiles, scene))
        return assemble(record, parts, tiles, self._version, max_per_mpx)

    def _readings(
        self, scene: Scene, tiles: Sequence[TileRecord], blocks: Sequence[Block], profile: InstrumentProfile
    ) -> Iterator[_Reading]:
        for block in blocks:
            halo = max(tiles[index].halo_px for index in block.indices)
            window = block.window.grown(halo).clipped(scene.record.width_px, scene.record.height_px)
            chip = scene.read(window)
            if not chip.valid_hw.any():
                continue
            planes_chw = normalise(chip.pixels_chw, chip.valid_hw, profile)
            size = max(1, round(window.width_px * self._scale)), max(1, round(window.height_px * self._scale))
            yield _Reading(block, window, resized(planes_chw, *size), chip.valid_hw, self._scale)

    def _stem_for(self, readings: Sequence[_Reading]) -> SensorAdapter | None:
        """Bands to three planes; three bands stay what they are."""
        bands = len(readings[0].planes_chw)
        if bands == 3 and self._stem != "pca":
            return None
        stem = SensorAdapter(bands, 3, self._stem).eval()
        if self._stem == "pca":
            stem.fit_pca(torch.from_numpy(np.concatenate([r.planes_chw.reshape(bands, -1)[:, ::37].T for r in readings])))
        return stem

    def _answers(
        self, readings: Sequence[_Reading], stem: SensorAdapter | None, tiles: Sequence[TileRecord], scene: Scene
    ) -> list[TileBoxes]:
        height, width = (max(r.planes_chw.shape[axis] for r in readings) for axis in (1, 2))
        bands = len(readings[0].planes_chw)
        batch = np.zeros((len(readings), bands, height + -height % _PAD_PX, width + -width % _PAD_PX), np.float32)
        for index, reading in enumerate(readings):
            batch[index, :, : reading.planes_chw.shape[1], : reading.planes_chw.shape[2]] = reading.planes_chw
        with torch.inference_mode():
            pixels = torch.from_numpy(batch)
            found = self._detector(stem(pixels) if stem is not None else pixels)
        return [
            owned(self._placed(item, reading), reading.window, reading.block, tiles, scene.record)
            for item, reading in zip(found, readings, strict=True)
        ]

    def _placed(self, found: Found, reading: _Reading) -> Found:
        """From picture to scene pixels; what lies on no data or below the floor goes."""
        boxes_n4 = found.boxes_n4 / reading.scale
        height, width = reading.valid_hw.shape
        middle = (boxes_n4[:, :2] + boxes_n4[:, 2:]) / 2
        inside = (middle >= 0).all(1) & (middle < (width, height)).all(1) & (found.objectness_n >= self._floor)
        place = np.clip(middle, 0, (width - 1, height - 1)).astype(np.int64)
        keep = np.flatnonzero(inside & reading.valid_hw[place[:, 1], place[:, 0]])
        corner = np.array([reading.window.col_px, reading.window.row_px], np.float32)
        limit = np.array([width, height] * 2, np.float32)
        moved = np.clip(boxes_n4[keep], 0, limit) + np.tile(corner, 2)
        placed = Found(moved.astype(np.float32), found.objectness_n[keep])
        if found.corners_n42 is not None:
            placed = replace(placed, corners_n42=(found.corners_n42[keep] / reading.scale + corner).astype(np.float32))
        if found.masks is not None:
            placed = replace(placed, masks=tuple(_moved(found.masks[index], reading) for index in keep))
        return placed


def _moved(mask: Mask, reading: _Reading) -> Mask:
    """A mask of the picture as one of the scene."""
    left, top = mask.left_px / reading.scale, mask.top_px / reading.scale
    bits_hw = mask.bits_hw
    if reading.scale != 1.0:
        size = max(1, round(bits_hw.shape[1] / reading.scale)), max(1, round(bits_hw.shape[0] / reading.scale))
        bits_hw = cv2.resize(bits_hw.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(np.bool_)
    return Mask(round(left) + reading.window.col_px, round(top) + reading.window.row_px, bits_hw)
