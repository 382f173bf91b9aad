"""Training crops of labelled scenes, with augmentation.

Belongs here: holding labelled pixels at the working scale and cutting jittered squares from them. Does not belong here: losses
and the loop. Unlabelled ground inside a labelled scene is background; difficult objects are masked out.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovd_platform.propose.working_scale import resized
from ovd_platform.raster.radiometry import InstrumentProfile, normalise
from ovd_platform.raster.scene import Scene
from ovd_platform.records.window import Window

log = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]

_BLOCK_PX = 1024
"""Side of the windows that are read, working-scale pixels."""

_SEEN_FRACTION = 0.4
"""An object of which less is visible in a crop is neither object nor background."""


@dataclass(frozen=True)
class Region:
    """Labelled ground at the working scale.

    Attributes:
        pixels_chw: Normalised bands, float16.
        boxes_n4: Boxes x0, y0, x1, y1 in pixels of the region.
        difficult_n: True for boxes that are neither object nor background.
    """

    pixels_chw: NDArray[np.float16]
    boxes_n4: NDArray[np.float32]
    difficult_n: NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledScene:
    """A scene, how to normalise it, and every object in it.

    Attributes:
        scene: Open scene.
        profile: Profile of its instrument.
        boxes_n4: Boxes in scene pixels, shape (N, 4).
        difficult_n: True for boxes to be ignored, shape (N,).
    """

    scene: Scene
    profile: InstrumentProfile
    boxes_n4: NDArray[np.float32]
    difficult_n: NDArray[np.bool_]


def labelled_scenes(
    scenes: Sequence[tuple[Scene, InstrumentProfile]],
    boxes: Mapping[str, NDArray[np.floating]],
    difficult: Mapping[str, NDArray[np.bool_]] | None,
) -> list[LabelledScene]:
    """Join scenes with their boxes; scenes without an entry are left out, an empty entry is a scene of pure background."""
    joined = []
    for scene, profile in scenes:
        scene_id = scene.record.scene_id
        if scene_id not in boxes:
            continue
        boxes_n4 = np.asarray(boxes[scene_id], np.float32).reshape(-1, 4)
        limit = np.array([scene.record.width_px, scene.record.height_px] * 2, np.float32)
        boxes_n4 = np.clip(boxes_n4, 0, limit)
        flags = (difficult or {}).get(scene_id)
        difficult_n = np.zeros(len(boxes_n4), np.bool_) if flags is None else np.asarray(flags, np.bool_)
        solid = ((boxes_n4[:, 2:] - boxes_n4[:, :2]) >= 1).all(1)
        joined.append(LabelledScene(scene, profile, boxes_n4[solid], difficult_n[solid]))
    return joined


def load_regions(
    labelled: Sequence[LabelledScene],
    scale: float,
    memory_bytes: int,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> list[Region]:
    """Hold the labelled ground in memory: whole scenes if they fit, else blocks sampled around objects and at random.

    Args:
        labelled: Scenes with their boxes.
        scale: Working-scale pixels per scene pixel.
        memory_bytes: Budget for pixels.
        rng: Where the sampled blocks fall.
        progress: Called per scene.

    Returns:
        Regions at the working scale.
    """
    wanted_bytes = sum(2 * len(item.scene.record.bands) * item.scene.record.area_mpx * 1e6 * scale**2 for item in labelled)
    regions: list[Region] = []
    for index, item in enumerate(labelled):
        record = item.scene.record
        if wanted_bytes <= memory_bytes:
            windows = [Window(0, 0, record.width_px, record.height_px)]
        else:
            share = memory_bytes / len(labelled)
            windows = _sampled_windows(item, scale, max(2, int(share / (2 * len(record.bands) * _BLOCK_PX**2))), rng)
        regions.extend(_read_region(item, window, scale) for window in windows)
        if progress is not None:
            progress(index + 1, len(labelled), "reading labelled scenes")
    return regions


def _sampled_windows(item: LabelledScene, scale: float, count: int, rng: np.random.Generator) -> list[Window]:
    record = item.scene.record
    side = min(round(_BLOCK_PX / scale), max(record.width_px, record.height_px))
    windows = []
    for turn in range(count):
        if turn % 4 != 3 and len(item.boxes_n4):
            box = item.boxes_n4[rng.integers(len(item.boxes_n4))]
            x, y = (box[:2] + box[2:]) / 2 + rng.uniform(-side / 3, side / 3, 2)
        else:
            x, y = rng.uniform(0, 1, 2) * (record.width_px, record.height_px)
        col = int(np.clip(x - side / 2, 0, max(0, record.width_px - side)))
        row = int(np.clip(y - side / 2, 0, max(0, record.height_px - side)))
        windows.append(Window(col, row, side, side).clipped(record.width_px, record.height_px))
    return windows


def _read_region(item: LabelledScene, window: Window, scale: float) -> Region:
    """Read block by block, so that native-depth pixels of a whole scene are never held."""
    height, width = round(window.height_px * scale), round(window.width_px * scale)
    pixels_chw = np.zeros((len(item.scene.record.bands), height, width), np.float16)
    step = max(1, round(_BLOCK_PX / scale))
    for row in range(0, window.height_px, step):
        for col in range(0, window.width_px, step):
            size = min(step, window.width_px - col), min(step, window.height_px - row)
            block = Window(window.col_px + col, window.row_px + row, *size)
            chip = item.scene.read(block)
            x0, y0 = round(col * scale), round(row * scale)
            x1, y1 = min(width, round((col + block.width_px) * scale)), min(height, round((row + block.height_px) * scale))
            if x1 > x0 and y1 > y0:
                part = normalise(chip.pixels_chw, chip.valid_hw, item.profile)
                pixels_chw[:, y0:y1, x0:x1] = resized(part, x1 - x0, y1 - y0)
    boxes_n4 = (item.boxes_n4 - np.array([window.col_px, window.row_px] * 2, np.float32)) * scale
    inside, lost = _clipped(boxes_n4, width, height)
    keep = inside | lost
    limit = np.array([width, height] * 2, np.float32)
    return Region(pixels_chw, np.clip(boxes_n4[keep], 0, limit), (item.difficult_n | lost)[keep])


def _clipped(boxes_n4: NDArray[np.float32], width: float, height: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which boxes are visible enough in (0, 0, width, height), and which are there but cut too much."""
    limit = np.array([width, height] * 2, np.float32)
    cut_n4 = np.clip(boxes_n4, 0, limit)
    seen = np.prod(cut_n4[:, 2:] - cut_n4[:, :2], axis=1) / np.maximum(np.prod(boxes_n4[:, 2:] - boxes_n4[:, :2], axis=1), 1e-6)
    return seen >= _SEEN_FRACTION, (seen > 0) & (seen < _SEEN_FRACTION)


@dataclass(frozen=True)
class Crop:
    """One training example.

    Attributes:
        pixels_chw: Normalised and augmented bands, float32.
        boxes_n4: Objects in crop pixels.
        ignored_n4: Objects not to be scored.
    """

    pixels_chw: NDArray[np.float32]
    boxes_n4: NDArray[np.float32]
    ignored_n4: NDArray[np.float32]


class CropSampler:
    """Cuts augmented square crops; half of them are centred near an object.

    Args:
        regions: Labelled ground; all crops of one batch share a band count.
        crop_px: Side of the crops, working-scale pixels.
        scale_jitter: Smallest and largest magnification.
    """

    def __init__(self, regions: Sequence[Region], crop_px: int, scale_jitter: tuple[float, float] = (0.7, 1.4)) -> None:
        self.crop_px = crop_px
        self.scale_jitter = scale_jitter
        self._by_bands: dict[int, list[Region]] = {}
        for region in regions:
            self._by_bands.setdefault(region.pixels_chw.shape[0], []).append(region)
        self._band_counts = sorted(self._by_bands)
        area = np.array([sum(r.pixels_chw[0].size for r in self._by_bands[c]) for c in self._band_counts], np.float64)
        self._band_shares = area / area.sum()
        self._pools = {}
        for count, pool in self._by_bands.items():
            objects = [(i, j) for i, r in enumerate(pool) for j in range(len(r.boxes_n4)) if not r.difficult_n[j]]
            sizes = np.array([r.pixels_chw[0].size for r in pool], np.float64)
            self._pools[count] = (pool, objects, sizes / sizes.sum())

    def batch(self, size: int, rng: np.random.Generator) -> list[Crop]:
        """Draw crops of one band count."""
        count = int(rng.choice(self._band_counts, p=self._band_shares))
        return [self._crop(count, rng) for _ in range(size)]

    def _crop(self, band_count: int, rng: np.random.Generator) -> Crop:
        pool, objects, shares = self._pools[band_count]
        zoom = float(np.exp(rng.uniform(*np.log(self.scale_jitter))))
        side = round(self.crop_px / zoom)
        if objects and rng.random() < 0.5:
            i, j = objects[rng.integers(len(objects))]
            region = pool[i]
            box = region.boxes_n4[j]
            x, y = (box[:2] + box[2:]) / 2 + rng.uniform(-0.45, 0.45, 2) * side
        else:
            region = pool[rng.choice(len(pool), p=shares)]
            x, y = rng.uniform(0, 1, 2) * region.pixels_chw.shape[:0:-1]
        _, height, width = region.pixels_chw.shape
        # A fifth of a crop may lie outside: scene edges and nodata look like that at inference.
        slack = side // 5
        col = int(np.clip(x - side / 2, min(-slack, 0), max(width - side + slack, -slack)))
        row = int(np.clip(y - side / 2, min(-slack, 0), max(height - side + slack, -slack)))
        pixels_chw = resized(_padded(region.pixels_chw, col, row, side), self.crop_px, self.crop_px)
        boxes_n4 = (region.boxes_n4 - np.array([col, row, col, row], np.float32)) * (self.crop_px / side)
        inside, lost = _clipped(boxes_n4, self.crop_px, self.crop_px)
        boxes_n4 = np.clip(boxes_n4, 0, self.crop_px)
        scored = inside & ~region.difficult_n
        ignored = (inside & region.difficult_n) | lost
        pixels_chw, boxes_n4 = _turned(pixels_chw, boxes_n4, self.crop_px, rng)
        return Crop(_recoloured(pixels_chw, rng), boxes_n4[scored], boxes_n4[ignored])


def _padded(pixels_chw: NDArray[np.float16], col: int, row: int, side: int) -> NDArray[np.float32]:
    """Square window as float32; 0 outside of the region."""
    _, height, width = pixels_chw.shape
    out_chw = np.zeros((pixels_chw.shape[0], side, side), np.float32)
    x0, y0, x1, y1 = max(col, 0), max(row, 0), min(col + side, width), min(row + side, height)
    if x1 > x0 and y1 > y0:
        out_chw[:, y0 - row : y1 - row, x0 - col : x1 - col] = pixels_chw[:, y0:y1, x0:x1]
    return out_chw


def _turned(
    pixels_chw: NDArray[np.float32], boxes_n4: NDArray[np.float32], side: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One of the eight symmetries of the square, pixels and boxes alike."""
    flip, swap, upside = rng.integers(0, 2, 3)
    if flip:
        pixels_chw, boxes_n4 = (
            pixels_chw[:, :, ::-1],
            np.stack([side - boxes_n4[:, 2], boxes_n4[:, 1], side - boxes_n4[:, 0], boxes_n4[:, 3]], 1),
        )
    if upside:
        pixels_chw, boxes_n4 = (
            pixels_chw[:, ::-1],
            np.stack([boxes_n4[:, 0], side - boxes_n4[:, 3], boxes_n4[:, 2], side - boxes_n4[:, 1]], 1),
        )
    if swap:
        pixels_chw, boxes_n4 = pixels_chw.transpose(0, 2, 1), boxes_n4[:, [1, 0, 3, 2]]
    return np.ascontiguousarray(pixels_chw), boxes_n4.astype(np.float32)


def _recoloured(pixels_chw: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Gain, offset, gamma, lost colour, lost bands, noise; padding stays 0."""
    empty_hw = ~pixels_chw.any(0)
    bands = pixels_chw.shape[0]
    out_chw = pixels_chw * np.float32(np.exp(rng.normal(0, 0.15)))
    if rng.random() < 0.3:
        out_chw *= np.exp(rng.normal(0, 0.08, (bands, 1, 1))).astype(np.float32)
    if rng.random() < 0.4:
        out_chw = np.power(out_chw, np.float32(np.exp(rng.normal(0, 0.25))))
    out_chw += np.float32(rng.normal(0, 0.03))
    if bands > 1 and rng.random() < 0.15:
        out_chw[:] = out_chw.mean(0, keepdims=True)
    if bands > 3 and rng.random() < 0.15:
        out_chw[rng.integers(bands)] = out_chw.mean()
    if rng.random() < 0.3:
        out_chw += rng.standard_normal(out_chw.shape, np.float32) * np.float32(rng.uniform(0, 0.05))
    np.clip(out_chw, 0, 1.25, out=out_chw)
    out_chw[:, empty_hw] = 0
    return out_chw
