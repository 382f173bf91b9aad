"""Pixels with their validity and place. Belongs here: the record; reading is raster's, normalising is radiometry's."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import ShapeError
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.window import Window


@dataclass(frozen=True, slots=True)
class Chip:
    """A window of a scene at native depth.

    Attributes:
        pixels_chw: Source values, shape (C, H, W), the scene's dtype; never rescaled.
        valid_hw: True where every band holds data, shape (H, W), bool.
        window: Where the pixels lie in the scene.
        scene_id: The scene they come from.
        scene: Record of that scene, which ties the pixels to the ground; None for pixels without one.
    """

    pixels_chw: NDArray[Any]
    valid_hw: NDArray[np.bool_]
    window: Window
    scene_id: str
    scene: SceneRecord | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        expected = (self.window.height_px, self.window.width_px)
        if self.pixels_chw.ndim != 3 or self.pixels_chw.shape[1:] != expected or self.valid_hw.shape != expected:
            raise ShapeError(
                f"Cannot make a chip of {self.scene_id}: expected (C, {expected[0]}, {expected[1]}) pixels and a mask of the same "
                f"size, got {self.pixels_chw.shape} and {self.valid_hw.shape}."
            )

    @property
    def transform(self) -> tuple[float, float, float, float, float, float] | None:
        """Affine from pixels of the chip to the scene's CRS; None where the scene has none (GCP and RPC: an approximation)."""
        if self.scene is None or self.scene.transform is None:
            return None
        a, b, c, d, e, f = self.scene.transform
        col, row = self.window.col_px, self.window.row_px
        return (a, b, c + a * col + b * row, d, e, f + d * col + e * row)
