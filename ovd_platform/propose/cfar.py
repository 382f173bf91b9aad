"""Constant-false-alarm-rate proposals for SAR: cell averaging and ordered statistics.

Belongs here: settings, intensity, the decision, and running it over a scene. Does not belong here: compiled kernels
(cfar_kernel.py), clutter and its thresholds (clutter.py), boxes (cfar_boxes.py), anything learned.

The decision is made on log intensity: a pixel is detected where it exceeds the clutter around it by so many decibels that
clutter alone does so at the stated rate. Clutter is K distributed with the scene's looks and texture; where pixels are correlated
or the scene holds several kinds of clutter (towns), the true rate differs from the stated one.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError
from ovd_platform.propose.blocks import Found, TileBoxes, assemble, group_tiles, owned
from ovd_platform.propose.cfar_boxes import Exceedance, boxes_from_exceedance
from ovd_platform.propose.cfar_kernel import LEVELS_PER_DB, RANGE_DB, ring_means, ring_means_whole, ring_orders
from ovd_platform.propose.clutter import Clutter, ca_factor, cell_statistics, estimate_clutter, os_factor
from ovd_platform.propose.proposer import Progress
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.raster.scene import Scene
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.tile import TileRecord

_FLOOR = 1e-20
_ALGORITHM = 2  # Part of the version: raise it when the same settings answer differently.
_LEAST_DB = -15.0
"""Excess of what lies far below the threshold, and of what is not judged."""


@dataclass(frozen=True)
class CfarSettings:
    """How clutter is measured and what is called a target.

    Attributes:
        method: ``ca`` averages the ring (open sea); ``os`` takes an order statistic (harbours, land edges, dense traffic).
        false_alarm_rate: Stated rate per pixel of clutter, (0, 1).
        looks: Equivalent number of looks; None estimates it from each scene.
        texture: Shape of the clutter's texture; infinite for speckle alone, which finds more on land and at quays; None estimates it from
            each scene, which keeps the stated rate on spiky clutter.
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
    texture: float | None = float("inf")
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
        """Cell averaging over clutter as spiky as the scene's own: open sea, rough or calm."""
        return cls("ca", false_alarm_rate, texture=None)

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


@cache
def _factors(settings: CfarSettings, clutter: Clutter, rate: float) -> NDArray[np.float32]:
    """Threshold factor by count of training pixels; infinite where too few are left to judge."""
    most = (2 * settings.train_px + 1) ** 2 - (2 * settings.guard_px + 1) ** 2
    factors = np.full(most + 1, np.inf, np.float32)
    fewest = max(16, most // 8)
    knots = np.unique(np.geomspace(fewest, most, 24).astype(int))
    if settings.method == "ca":
        values = [ca_factor(rate, clutter, int(count)) for count in knots]
    else:
        values = [os_factor(rate, clutter, int(count), settings.rank) for count in knots]
    counts = np.arange(fewest, most + 1)
    # In 1 / N both thresholds are almost straight.
    factors[fewest:] = np.interp(-1.0 / counts, -1.0 / knots, values)
    return factors


def detect_targets(
    intensity_hw: NDArray[np.float32], valid_hw: NDArray[np.bool_], settings: CfarSettings, clutter: Clutter
) -> Exceedance:
    """Decide for every pixel of a chip whose training square lies inside of it; the frame of `train_px` is never detected.

    Args:
        intensity_hw: Linear intensity.
        valid_hw: Where it holds; neither a target nor clutter elsewhere.
        settings: Squares and rates.
        clutter: What the scene's clutter is like.

    Returns:
        The decision; its excess is computed only where the chip holds a target.
    """
    clutter = Clutter(round(clutter.looks, 3), round(clutter.texture, 3))
    high = _factors(settings, clutter, settings.false_alarm_rate)
    low = _factors(settings, clutter, max(settings.grow_rate, settings.false_alarm_rate))
    intensity_hw = np.maximum(np.ascontiguousarray(intensity_hw, np.float32), _FLOOR)
    if settings.method == "ca" and valid_hw.all():
        whole = len(high) - 1
        mean_hw, detected_hw = ring_means_whole(intensity_hw, settings.guard_px, settings.train_px, float(high[whole]))
        if not detected_hw.any():
            return Exceedance(detected_hw, detected_hw, np.zeros(intensity_hw.shape, np.float32))
        count_hw, mean_hw = np.where(mean_hw > 0, whole, 0), np.maximum(mean_hw, np.float32(_FLOOR))
    else:
        mean_hw, count_hw = _ring(intensity_hw, valid_hw, settings)
        detected_hw = valid_hw & (intensity_hw > high[count_hw] * mean_hw) & (count_hw > 0)
    if settings.censor and detected_hw.any():
        mean_hw, count_hw = _ring(intensity_hw, valid_hw & ~detected_hw, settings)
        detected_hw = valid_hw & (intensity_hw > high[count_hw] * mean_hw) & (count_hw > 0)
    grown_hw = valid_hw & (intensity_hw > low[count_hw] * mean_hw) & (count_hw > 0)
    excess_db_hw = np.full(intensity_hw.shape, _LEAST_DB, np.float32)
    judged = valid_hw & np.isfinite(high[count_hw]) & (count_hw > 0)
    excess_db_hw[judged] = 10 * np.log10(intensity_hw[judged] / (high[count_hw] * np.maximum(mean_hw, _FLOOR))[judged])
    return Exceedance(detected_hw, grown_hw, np.maximum(excess_db_hw, _LEAST_DB))


def _ring(
    intensity_hw: NDArray[np.float32], usable_hw: NDArray[np.bool_], settings: CfarSettings
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Clutter level of the ring around each pixel, and the number of pixels it rests on."""
    if settings.method == "ca":
        mean_hw, number_hw = ring_means(intensity_hw, usable_hw, settings.guard_px, settings.train_px)
        return np.maximum(mean_hw, np.float32(_FLOOR)), number_hw
    level_hw = _levels(intensity_hw, usable_hw)
    bins = LEVELS_PER_DB * RANGE_DB
    levels_hw, count_hw = ring_orders(level_hw, usable_hw, settings.guard_px, settings.train_px, settings.rank, bins)
    gain = np.float32(np.log(10) / (10 * LEVELS_PER_DB))
    return np.maximum(np.exp((levels_hw - level_hw) * gain) * intensity_hw, np.float32(_FLOOR)), count_hw


def _levels(intensity_hw: NDArray[np.float32], valid_hw: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Log intensity in levels of 1/16 dB around the chip's median; clipped to the histogram's range."""
    level_hw = np.log10(intensity_hw) * np.float32(10 * LEVELS_PER_DB)
    middle = np.median(level_hw[valid_hw][::7]) if valid_hw.any() else 0.0
    level_hw += np.float32(LEVELS_PER_DB * RANGE_DB / 2 - middle)
    return np.asarray(level_hw, np.float32)


class CfarProposer:
    """SAR proposer with a stated false-alarm rate; needs no training.

    Args:
        settings: Squares and rates.
    """

    def __init__(self, settings: CfarSettings | None = None) -> None:
        self.settings = settings or CfarSettings()
        facts = json.dumps([_ALGORITHM, asdict(self.settings)], sort_keys=True)
        digest = hashlib.sha256(facts.encode()).hexdigest()[:6]
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
        clutter_c = self._clutter(scene, tiles)
        parts: list[TileBoxes] = []
        for done, block in enumerate(blocks):
            window = block.window.grown(settings.object_px + settings.train_px)
            chip = scene.read(window)
            intensity_chw = sar_intensity(chip.pixels_chw)
            found = [
                detect_targets(band_hw, chip.valid_hw, settings, clutter)
                for band_hw, clutter in zip(intensity_chw, clutter_c, strict=True)
            ]
            union = Exceedance(
                np.logical_or.reduce([item.detected_hw for item in found]),
                np.logical_or.reduce([item.grown_hw for item in found]),
                np.maximum.reduce([item.excess_db_hw for item in found]),
            )
            boxes_n4, objectness_n = boxes_from_exceedance(union, settings.gap_px, settings.min_area_px)
            boxes_n4 += np.array([window.col_px, window.row_px] * 2, np.float32)
            parts.append(owned(Found(boxes_n4, objectness_n), window, block, tiles, record))
            if progress is not None:
                progress(done + 1, len(blocks), f"CFAR in {record.scene_id}")
        return assemble(record, parts, tiles, self._version, max_per_mpx)

    def _clutter(self, scene: Scene, tiles: Sequence[TileRecord]) -> list[Clutter]:
        """Looks and texture of each band, from at most 32 tiles spread over the scene where the settings do not say."""
        bands, settings = len(scene.record.bands), self.settings
        if settings.looks is not None and settings.texture is not None:
            return [Clutter(settings.looks, settings.texture)] * bands
        kept = [tile for tile in tiles if tile.kept]
        cells: list[list[NDArray[np.float64]]] = [[] for _ in range(bands)]
        for tile in kept[:: max(1, len(kept) // 32)]:
            chip = scene.read(tile.core)
            for band, intensity_hw in enumerate(sar_intensity(chip.pixels_chw)):
                cells[band].append(cell_statistics(intensity_hw, chip.valid_hw))
        found = [estimate_clutter(values, settings.looks) for values in cells]
        return [replace(one, texture=settings.texture) if settings.texture is not None else one for one in found]
