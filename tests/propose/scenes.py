"""Scenes in memory and their tiles, for tests of proposers and their training."""

import numpy as np

from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import Band, SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window
from ovd_platform.tiles.plan import plan_tiles


class ArrayScene:
    """Pixels (C, H, W) as a scene; outside is 0 and invalid."""

    def __init__(self, pixels_chw, *, scene_id="scene", modality="optical", instrument="test", gsd_m=None, valid_hw=None):
        bands, height, width = pixels_chw.shape
        self.pixels_chw = pixels_chw
        self.valid_hw = np.ones((height, width), bool) if valid_hw is None else valid_hw
        self.record = SceneRecord(
            scene_id, "memory", "v", modality, instrument, width, height, tuple(Band(str(b)) for b in range(bands)),
            str(pixels_chw.dtype), gsd_m=gsd_m,
        )  # fmt: skip

    def read(self, window, band_indices=None):
        bands = list(range(len(self.pixels_chw))) if band_indices is None else list(band_indices)
        out_chw = np.zeros((len(bands), window.height_px, window.width_px), self.pixels_chw.dtype)
        valid_hw = np.zeros((window.height_px, window.width_px), bool)
        x0, y0 = max(window.col_px, 0), max(window.row_px, 0)
        x1, y1 = min(window.right_px, self.record.width_px), min(window.bottom_px, self.record.height_px)
        if x1 > x0 and y1 > y0:
            into = np.s_[y0 - window.row_px : y1 - window.row_px, x0 - window.col_px : x1 - window.col_px]
            out_chw[:, *into] = self.pixels_chw[bands, y0:y1, x0:x1]
            valid_hw[into] = self.valid_hw[y0:y1, x0:x1]
        return Chip(out_chw, valid_hw, window, self.record.scene_id)

    def read_into(self, window, out_chw):
        chip = self.read(window)
        out_chw[...] = chip.pixels_chw
        return chip.valid_hw

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def plan(scene, core_px=512, halo_px=64):
    """Every tile of a scene, kept."""
    record = scene.record
    return [
        TileRecord(f"{record.scene_id}/g/{row}/{col}", record.scene_id, row, col, core, halo_px, (), "", 1.0, 1.0, 0.5, True)
        for row, col, core in plan_tiles(record.width_px, record.height_px, core_px, halo_px)
    ]


def profile(bands, high=1.0):
    """Linear profile from 0 to `high`."""
    return InstrumentProfile("test", (0.0,) * bands, (high,) * bands)


def window(x0, y0, x1, y1):
    """Window from corners."""
    return Window(x0, y0, x1 - x0, y1 - y0)
