"""A scene in memory."""

import numpy as np

from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import Band, SceneRecord


class ArrayScene:
    def __init__(self, pixels_chw, scene_id="s", bands=None, modality="optical"):
        self.pixels = pixels_chw
        self.reads = 0
        bands = bands or tuple(Band(f"b{i}", 0.5 + 0.1 * i) for i in range(len(pixels_chw)))
        _, height, width = pixels_chw.shape
        self.record = SceneRecord(scene_id, "memory", "v", modality, "x", width, height, bands, str(pixels_chw.dtype))

    def read(self, window, band_indices=None):
        self.reads += 1
        _, height, width = self.pixels.shape
        shape = (len(self.pixels), window.height_px, window.width_px)
        out, valid = np.zeros(shape, self.pixels.dtype), np.zeros(shape[1:], bool)
        left, top, right, bottom = window.xyxy
        x0, y0, x1, y1 = max(0, left), max(0, top), min(width, right), min(height, bottom)
        if x1 > x0 and y1 > y0:
            inside = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
            out[(slice(None), *inside)] = self.pixels[:, y0:y1, x0:x1]
            valid[inside] = True
        return Chip(out, valid, window, self.record.scene_id)

    def close(self):
        pass
