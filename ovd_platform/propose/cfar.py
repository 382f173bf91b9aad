"""Constant-false-alarm-rate proposals for SAR: cell averaging and ordered statistics.

Belongs here: intensity, looks, decision, and boxes from exceedances. Does not belong here: compiled kernels and thresholds
(cfar_kernel.py), anything learned.

The decision is made on log intensity: a pixel is detected where it exceeds the clutter around it by so many decibels that
clutter alone does so at the stated rate. Clutter is taken as fully developed speckle, gamma distributed with the scene's
equivalent number of looks; where it is spikier (rough sea, towns) or correlated between pixels, the true rate is higher than
the stated one.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ovd_platform.errors import InputError
from ovd_platform.propose.blocks import TileBoxes, assemble, group_tiles, owned, owners
from ovd_platform.propose.cfar_kernel import LEVELS_PER_DB, RANGE_DB, ca_factor, os_factor, ring_means, ring_orders
from ovd_platform.propose.proposer import Progress
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.raster.scene import Scene
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.tile import TileRecord

_FLOOR = 1e-20


@dataclass(frozen=True)
class CfarSettings:
    """How clutter is measured and what is called a target.

    Attributes:
        method: ``ca`` averages the ring (open sea); ``os`` takes an order statistic (harbours, land edges, dense traffic).
        false_alarm_rate: Stated rate per pixel of clutter, (0, 1).
        looks: Equivalent number of looks; None estimates it from each scene.
        guard_px: Half side of the guard square; at least half of the longest target.
        train_px: Half side of the training square.
        rank: Order statistic as a fraction of the ring.
        grow_rate: Rate of the lower threshold to which a detected target is grown; does not add targets.
        gap_px: Parts of a target closer than this become one box.
        min_area_px: Fewer pixels than this are no target.
        censor: Measure the clutter again without what was detected, so that targets do not hide each other.
        object_px: Largest target seen whole at block edges.
    """

    method: Literal["ca", "os"] = "ca"
    false_alarm_rate: float = 1e-5
    looks: float | None = None
    guard_px: int = 20
    train_px: int = 32
    rank: float = 0.75
    grow_rate: float = 1e-3
    gap_px: int = 3
    min_area_px: int = 4
    censor: bool = True
    object_px: int = 128

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm_rate < 1 or not 0 <= self.guard_px < self.train_px or not 0 < self.rank <= 1:
            raise InputError(
                f"Cannot set up CFAR: expected a rate in (0, 1), 0 <= guard_px < train_px and a rank in (0, 1], "
                f"got {self}. Correct them."
            )

    @classmethod
    def sea(cls, false_alarm_rate: float = 1e-5) -> "CfarSettings":
        """Cell averaging: homogeneous clutter."""
        return cls("ca", false_alarm_rate)

    @classmethod
    def land(cls, false_alarm_rate: float = 1e-5) -> "CfarSettings":
        """Ordered statistics over a wider ring: edges and many targets."""
        return cls("os", false_alarm_rate, train_px=40)


def sar_intensity(pixels_chw: NDArray[Any]) -> NDArray[np.float32]:
    """Linear intensity of complex or amplitude pixels.

    Args:
        pixels_chw: Single-look complex or detected amplitude, any dtype.

    Returns:
        New array, float32, squared magnitude.
    """
    if pixels_chw.dtype.kind == "c":
        return (pixels_chw.real.astype(np.float32) ** 2) + (pixels_chw.imag.astype(np.float32) ** 2)
    amplitude = pixels_chw.astype(np.float32)
    return amplitude * amplitude


def estimate_looks(intensity_hw: NDArray[np.float32], valid_hw: NDArray[np.bool_], cell_px: int = 16) -> NDArray[np.float64]:
    """Equivalent number of looks, mean^2 / variance, of every full cell of a chip.

    Args:
        intensity_hw: Linear intensity.
        valid_hw: Where it holds; cells with invalid pixels are left out.
        cell_px: Side of the cells.

    Returns:
        One value a cell; `common_looks` reduces them.
    """
    rows, cols = intensity_hw.shape[0] // cell_px, intensity_hw.shape[1] // cell_px
    shape = (rows, cell_px, cols, cell_px)
    cut = (slice(rows * cell_px), slice(cols * cell_px))
    cells = intensity_hw[cut].astype(np.float64).reshape(shape).transpose(0, 2, 1, 3).reshape(rows * cols, -1)
    full = valid_hw[cut].reshape(shape).all((1, 3)).reshape(-1)
    mean, variance = cells.mean(1), cells.var(1, ddof=1) if cell_px > 1 else cells.var(1)
    usable = full & (variance > 0) & (mean > 0)
    return np.asarray(mean[usable] ** 2 / variance[usable])


def common_looks(looks_n: NDArray[np.floating]) -> float:
    """The most frequent number of looks: the mode is what homogeneous clutter has, whatever else is in the scene.

    Args:
        looks_n: Values of cells.

    Returns:
        Half-sample mode in the logarithm, at least 0.5; 1 if nothing is known.
    """
    values = np.sort(np.log(looks_n[looks_n > 0]))
    if len(values) == 0:
        return 1.0
    while len(values) > 16:
        half = len(values) // 2
        start = int(np.argmin(values[half:] - values[: len(values) - half]))
        values = values[start : start + half]
    return max(0.5, float(np.exp(values.mean())))


@cache
def _factors(settings: CfarSettings, looks: float, rate: float) -> NDArray[np.float32]:
    """Threshold factor by count of training pixels; infinite where too few are left to judge."""
    most = (2 * settings.train_px + 1) ** 2 - (2 * settings.guard_px + 1) ** 2
    factors = np.full(most + 1, np.inf, np.float32)
    fewest = max(16, most // 8)
    knots = np.unique(np.geomspace(fewest, most, 24).astype(int))
    if settings.method == "ca":
        values = [ca_factor(rate, looks, int(count)) for count in knots]
    else:
        values = [os_factor(rate, looks, int(count), settings.rank) for count in knots]
    counts = np.arange(fewest, most + 1)
    # In 1 / N both thresholds are almost straight.
    factors[fewest:] = np.interp(-1.0 / counts, -1.0 / knots, values)
    return factors


@dataclass(frozen=True)
class Exceedance:
    """Decision of one chip and band.

    Attributes:
        detected_hw: Above the threshold of the stated rate.
        grown_hw: Above the lower threshold of `grow_rate`.
        excess_db_hw: Decibels above the stated threshold; negative below it.
    """

    detected_hw: NDArray[np.bool_]
    grown_hw: NDArray[np.bool_]
    excess_db_hw: NDArray[np.float32]


def detect_targets(
    intensity_hw: NDArray[np.float32], valid_hw: NDArray[np.bool_], settings: CfarSettings, looks: float
) -> Exceedance:
    """Decide for every pixel of a chip whose training square lies inside of it; the frame of `train_px` is never detected.

    Args:
        intensity_hw: Linear intensity.
        valid_hw: Where it holds; neither a target nor clutter elsewhere.
        settings: Squares and rates.
        looks: Equivalent number of looks.

    Returns:
        The decision.
    """
    high = _factors(settings, round(looks, 3), settings.false_alarm_rate)
    low = _factors(settings, round(looks, 3), max(settings.grow_rate, settings.false_alarm_rate))
    intensity_hw = np.maximum(np.ascontiguousarray(intensity_hw, np.float32), _FLOOR)
    level_hw = _levels(intensity_hw, valid_hw) if settings.method == "os" else intensity_hw

    def clutter(usable_hw: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        if settings.method == "ca":
            mean_hw, number_hw = ring_means(intensity_hw, usable_hw, settings.guard_px, settings.train_px)
            return np.maximum(mean_hw, np.float32(_FLOOR)), number_hw
        bins = LEVELS_PER_DB * RANGE_DB
        levels_hw, count_hw = ring_orders(level_hw, usable_hw, settings.guard_px, settings.train_px, settings.rank, bins)
        gain = np.float32(np.log(10) / (10 * LEVELS_PER_DB))
        return np.exp((levels_hw - level_hw) * gain) * intensity_hw, count_hw

    clutter_hw, count_hw = clutter(valid_hw)
    detected_hw = valid_hw & (intensity_hw > high[count_hw] * clutter_hw) & (count_hw > 0)
    if settings.censor and detected_hw.any():
        clutter_hw, count_hw = clutter(valid_hw & ~detected_hw)
        detected_hw = valid_hw & (intensity_hw > high[count_hw] * clutter_hw) & (count_hw > 0)
    grown_hw = valid_hw & (intensity_hw > low[count_hw] * clutter_hw) & (count_hw > 0)
    excess_db_hw = np.full(intensity_hw.shape, -np.inf, np.float32)
    excess_db_hw[grown_hw] = 10 * np.log10(intensity_hw[grown_hw] / (high[count_hw] * clutter_hw)[grown_hw])
    return Exceedance(detected_hw, grown_hw, excess_db_hw)


def _levels(intensity_hw: NDArray[np.float32], valid_hw: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Log intensity in levels of 1/16 dB around the chip's median; clipped to the histogram's range."""
    level_hw = np.log10(intensity_hw) * np.float32(10 * LEVELS_PER_DB)
    middle = np.median(level_hw[valid_hw][::7]) if valid_hw.any() else 0.0
    level_hw += np.float32(LEVELS_PER_DB * RANGE_DB / 2 - middle)
    return np.asarray(level_hw, np.float32)


def boxes_from_exceedance(found: Exceedance, settings: CfarSettings) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes around connected exceedances, with small gaps closed.

    Args:
        found: The decision.
        settings: Gap and smallest area.

    Returns:
        Boxes in chip pixels, shape (N, 4), and objectness in [0, 1): rises with the mean excess and the area.
    """
    if not found.detected_hw.any():
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    mask = found.grown_hw.astype(np.uint8)
    joined = cv2.dilate(mask, np.ones((settings.gap_px, settings.gap_px), np.uint8)) if settings.gap_px > 1 else mask
    count, labels_hw = cv2.connectedComponents(joined, connectivity=8, ltype=cv2.CV_32S)
    labels_hw = np.where(found.grown_hw, labels_hw, 0)
    index = np.arange(1, count)
    seeds = np.bincount(labels_hw[found.detected_hw], minlength=count)[1:]
    area = np.bincount(labels_hw.ravel(), minlength=count)[1:]
    keep = (seeds > 0) & (area >= settings.min_area_px)
    slices = ndimage.find_objects(labels_hw)
    boxes = [(s[1].start, s[0].start, s[1].stop, s[0].stop) for s, wanted in zip(slices, keep, strict=False) if wanted]
    excess = np.clip(found.excess_db_hw, 0, None)
    strength = ndimage.sum_labels(excess, labels_hw, index)[keep] / np.maximum(seeds[keep], 1)
    objectness = 1 - np.exp(-strength * np.sqrt(seeds[keep]) / 25.0)
    return np.array(boxes, np.float32).reshape(-1, 4), objectness.astype(np.float32)


class CfarProposer:
    """SAR proposer with a stated false-alarm rate; needs no training.

    Args:
        settings: Squares and rates.
    """

    def __init__(self, settings: CfarSettings | None = None) -> None:
        self.settings = settings or CfarSettings()
        digest = hashlib.sha256(json.dumps(asdict(self.settings), sort_keys=True).encode()).hexdigest()[:6]
        self._version = f"cfar-{self.settings.method}-{digest}"

    @property
    def version(self) -> str:
        """Method and hash of the settings."""
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
        """Bright targets of a SAR scene; see `Proposer.propose`. The profile is not used: CFAR works on source intensity."""
        record = scene.record
        if record.modality != "sar":
            raise InputError(
                f"Cannot run CFAR on {record.scene_id}: expected SAR, got {record.modality}. "
                "Declare `modality: sar` in its .ovd.json."
            )
        bands = len(record.bands)
        settings = replace(self.settings, false_alarm_rate=self.settings.false_alarm_rate / bands)
        blocks = group_tiles(tiles)
        looks_c = self._looks(scene, tiles)
        parts: list[TileBoxes] = []
        for done, block in enumerate(blocks):
            window = block.window.grown(settings.object_px + settings.train_px)
            chip = scene.read(window)
            intensity_chw = sar_intensity(chip.pixels_chw)
            found = [
                detect_targets(i_hw, chip.valid_hw, settings, looks) for i_hw, looks in zip(intensity_chw, looks_c, strict=True)
            ]
            union = Exceedance(
                np.logical_or.reduce([item.detected_hw for item in found]),
                np.logical_or.reduce([item.grown_hw for item in found]),
                np.maximum.reduce([item.excess_db_hw for item in found]),
            )
            boxes_n4, objectness_n = boxes_from_exceedance(union, settings)
            boxes_n4 += np.array([window.col_px, window.row_px] * 2, np.float32)
            parts.append(owned(boxes_n4, objectness_n, owners(boxes_n4, block, tiles, record)))
            if progress is not None:
                progress(done + 1, len(blocks), f"CFAR in {record.scene_id}")
        return assemble(record, parts, self._version, max_per_mpx)

    def _looks(self, scene: Scene, tiles: Sequence[TileRecord]) -> list[float]:
        """Equivalent number of looks of each band, from at most 32 tiles spread over the scene."""
        bands = len(scene.record.bands)
        if self.settings.looks is not None:
            return [self.settings.looks] * bands
        kept = [tile for tile in tiles if tile.kept]
        cells: list[list[NDArray[np.float64]]] = [[] for _ in range(bands)]
        for tile in kept[:: max(1, len(kept) // 32)]:
            chip = scene.read(tile.core)
            for band, intensity_hw in enumerate(sar_intensity(chip.pixels_chw)):
                cells[band].append(estimate_looks(intensity_hw, chip.valid_hw))
        return [common_looks(np.concatenate(values)) if values else 1.0 for values in cells]
