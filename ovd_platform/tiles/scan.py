"""One pass over a scene: exact histograms, screening, tile records and a thumbnail.

Belongs here: the loop over cores. Does not belong here: the judgement (`screening`), the grid (`plan`), normalisation
(raster). Memory: one core's pixels, plus about 400 bytes a tile and band.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import BitDepthError
from ovd_platform.geometry import geohash
from ovd_platform.geometry.footprint import box_footprint, has_lonlat, pixel_to_lonlat
from ovd_platform.raster.chips import is_every_pixel_valid
from ovd_platform.raster.histogram import magnitude_db
from ovd_platform.raster.presented import RadiometrySettings
from ovd_platform.raster.radiometry import (
    BandHistogram,
    InstrumentProfile,
    display_bands,
    profile_from_histograms,
    thumbnail,
    uses_log,
)
from ovd_platform.raster.scene import Scene
from ovd_platform.raster.sweep import sweep
from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window
from ovd_platform.tiles.plan import grid_version, plan_tiles
from ovd_platform.tiles.screening import TileStatistics, Verdict, screen

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]

THUMBNAIL_PX = 512


@dataclass(frozen=True, slots=True, eq=False)
class SceneScan:
    """What one pass over a scene found.

    Attributes:
        tiles: Every tile in reading order, kept or not.
        histograms: One a band, of all valid pixels, exact for integers.
        profile: Normalisation from these histograms: P1 to P99 of each band.
        thumbnail_hwc: Picture for people, shape (h, w, 3), uint8, at most 512 px a side.
        valid_px: Valid pixels of the scene.
        bits_observed: Bits the largest value needs; None for float and complex.
    """

    tiles: list[TileRecord]
    histograms: list[BandHistogram]
    profile: InstrumentProfile
    thumbnail_hwc: NDArray[np.uint8]
    valid_px: int
    bits_observed: int | None


def saturation_value(record: SceneRecord) -> float | None:
    """Largest value the declared bits hold; None for float, complex and signed sources."""
    if record.bits_effective is None or np.dtype(record.dtype).kind != "u":
        return None
    return float(2**record.bits_effective - 1)


class _Thumbnail:
    """Every n-th pixel of the scene, collected core by core on one global lattice."""

    def __init__(self, record: SceneRecord) -> None:
        self.step = -(-max(record.width_px, record.height_px) // THUMBNAIL_PX)
        rows, cols = -(-record.height_px // self.step), -(-record.width_px // self.step)
        self.pixels_chw = np.zeros((len(record.bands), rows, cols), dtype=record.dtype)
        self.valid_hw = np.zeros((rows, cols), dtype=np.bool_)

    def add(self, chip: Chip) -> None:
        first_row, first_col = -(-chip.window.row_px // self.step), -(-chip.window.col_px // self.step)
        row, col = first_row * self.step - chip.window.row_px, first_col * self.step - chip.window.col_px
        picked_chw = chip.pixels_chw[:, row :: self.step, col :: self.step]
        if picked_chw.size:
            rows = slice(first_row, first_row + picked_chw.shape[1])
            cols = slice(first_col, first_col + picked_chw.shape[2])
            self.pixels_chw[:, rows, cols] = picked_chw
            self.valid_hw[rows, cols] = chip.valid_hw[row :: self.step, col :: self.step]


def _measure(chip: Chip, log: bool, limit: float | None, histograms: list[BandHistogram]) -> TileStatistics:
    """Statistics of a core, whose pixels go into the scene's histograms."""
    from ovd_platform.tiles.gradient import BINS, gradient_counts

    valid_hw: NDArray[np.bool_] | None = chip.valid_hw
    valid_px = chip.valid_hw.size if is_every_pixel_valid(chip.valid_hw) else int(chip.valid_hw.sum())
    if valid_px == chip.valid_hw.size:
        valid_hw = None
    gradients_cg = np.zeros((len(chip.pixels_chw), BINS), dtype=np.int32)
    mean_c = np.zeros(len(chip.pixels_chw))
    lows, highs, saturated = [], [], []
    for index, (band_hw, histogram) in enumerate(zip(chip.pixels_chw, histograms, strict=True)):
        if not valid_px:
            break
        if log:
            measured_hw: NDArray[Any] = magnitude_db(band_hw)
            mean_c[index] = histogram.accumulate_decibels(measured_hw, valid_hw).mean
            values_n = np.abs(band_hw if valid_hw is None else band_hw[valid_hw])
            low, high = float(values_n.min()), float(values_n.max())
        else:
            # Contiguous, and in the processor's cache for both kernels.
            measured_hw = np.ascontiguousarray(band_hw)
            low, high, mean_c[index] = histogram.accumulate_band(measured_hw, valid_hw)
        gradients_cg[index] = gradient_counts(measured_hw, valid_hw)
        lows.append(low)
        highs.append(high)
        at_limit = limit is not None and high >= limit
        saturated.append(int(((band_hw >= limit) & chip.valid_hw).sum()) / valid_px if at_limit else 0.0)
    extent = min(lows, default=0.0), max(highs, default=0.0)
    return TileStatistics(valid_px, chip.valid_hw.size, gradients_cg, mean_c, *extent, min(saturated, default=0.0))


def _check_depth(record: SceneRecord, statistics: TileStatistics, core: Window, limit: float | None) -> None:
    if limit is not None and statistics.high > limit:
        raise BitDepthError(
            f"Cannot scan {record.scene_id}: expected values up to {limit:.0f} ({record.bits_effective} bits), got "
            f"{statistics.high:.0f} in {core.xyxy}. Correct bits_effective in its .ovd.json, or NBITS in the file."
        )


def tile_record(
    record: SceneRecord, row: int, col: int, core: Window, verdict: Verdict, core_px: int, halo_px: int
) -> TileRecord:
    """Record of a tile from its place in the grid and its screening facts.

    Args:
        record: The scene.
        row: Row of the grid.
        col: Column of the grid.
        core: Pixels it answers for.
        verdict: Screening facts.
        core_px: Side of the grid's cores.
        halo_px: Margin.
    """
    place = ""
    if has_lonlat(record):
        middle = [[core.col_px + core.width_px / 2, core.row_px + core.height_px / 2]]
        lon, lat = pixel_to_lonlat(record, middle)[0]
        place = geohash.encode(float(lon), float(lat)) if np.isfinite([lon, lat]).all() else ""
    left, top, right, bottom = core.xyxy
    return TileRecord(
        tile_id=f"{record.scene_id}/{grid_version(core_px, halo_px)}/{row}/{col}",
        scene_id=record.scene_id,
        row=row,
        col=col,
        core=core,
        halo_px=halo_px,
        footprint_lonlat=box_footprint(record, (float(left), float(top), float(right), float(bottom))),
        geohash=place,
        valid_fraction=verdict.valid_fraction,
        edge_density=verdict.edge_density,
        brightness=verdict.brightness,
        kept=verdict.kept,
        reason=verdict.reason,
    )


def scan_scene(
    scene: Scene,
    *,
    core_px: int = 512,
    halo_px: int = 64,
    min_valid_fraction: float = 0.02,
    min_edge_density: float = 0.002,
    cloud_brightness: float = 0.9,
    radiometry: RadiometrySettings | None = None,
    progress: Progress | None = None,
) -> SceneScan:
    """Read every core once; make tiles, histograms, profile and thumbnail.

    Args:
        scene: Open scene.
        core_px: Side of a core.
        halo_px: Margin a tile looks at beyond its core.
        min_valid_fraction: Tiles below are dropped as nodata, [0, 1].
        min_edge_density: Tiles below are dropped as blank unless something outstands, [0, 1].
        cloud_brightness: Soft tiles brighter than this in every band are dropped as cloud (optical only); 1 is P99.
        radiometry: Curve and clip that go into the profile.
        progress: Called with (done, total, what).

    Returns:
        The scan; deterministic for a scene and settings.

    Raises:
        BitDepthError: If a value exceeds the declared bits.
        UnreadableRasterError: If pixels cannot be decoded.
    """
    record = scene.record
    log = uses_log(record)
    histograms = [BandHistogram.for_dtype(record.dtype, log=log) for _ in record.bands]
    plan = plan_tiles(record.width_px, record.height_px, core_px, halo_px)
    picture = _Thumbnail(record)
    limit = saturation_value(record)
    found: dict[int, TileStatistics] = {}
    for index, chip in sweep(scene, [core for _, _, core in plan]):
        found[index] = _measure(chip, log, limit, histograms)
        _check_depth(record, found[index], chip.window, limit)
        picture.add(chip)
        if progress is not None:
            progress(len(found), len(plan), f"scanning {record.scene_id}")
    statistics = [found[index] for index in range(len(plan))]
    profile = profile_from_histograms(histograms, record.instrument, source=f"{record.scene_id}@{record.version}")
    if radiometry is not None:
        profile = replace(profile, curve=radiometry.curve, gamma=radiometry.gamma, tile_clip=radiometry.tile_clip)
    tiles = []
    for (row, col, core), measured in zip(plan, statistics, strict=True):
        verdict = screen(
            measured,
            profile,
            min_valid_fraction=min_valid_fraction,
            min_edge_density=min_edge_density,
            cloud_brightness=cloud_brightness if record.modality == "optical" else None,
        )
        tiles.append(tile_record(record, row, col, core, verdict, core_px, halo_px))
    highest = max(item.high for item in statistics)
    bits = max(1, int(highest).bit_length()) if np.dtype(record.dtype).kind == "u" else None
    logger.info("%s: %d of %d tiles kept", record.scene_id, sum(tile.kept for tile in tiles), len(tiles))
    return SceneScan(
        tiles=tiles,
        histograms=histograms,
        profile=profile,
        thumbnail_hwc=thumbnail(picture.pixels_chw, picture.valid_hw, profile, display_bands(record)),
        valid_px=sum(item.valid_px for item in statistics),
        bits_observed=bits,
    )
