"""Pixels that belong to one object. Belongs here: the record; finding masks is the proposers' affair."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import ShapeError


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A cut-out of an object's pixels.

    Attributes:
        left_px: First column of the cut-out, scene pixels.
        top_px: First row of the cut-out, scene pixels.
        bits_hw: True on the object, shape (h, w), bool.
    """

    left_px: int
    top_px: int
    bits_hw: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.bits_hw.ndim != 2 or self.bits_hw.dtype != np.bool_:
            raise ShapeError(
                f"Cannot record a mask: expected bool of shape (h, w), got {self.bits_hw.dtype} {self.bits_hw.shape}."
            )

    @property
    def area_px(self) -> int:
        """Pixels on the object."""
        return int(self.bits_hw.sum())

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """Box around the pixels, scene pixels; of no area at the cut-out's corner where there are none."""
        rows, cols = np.flatnonzero(self.bits_hw.any(1)), np.flatnonzero(self.bits_hw.any(0))
        if not len(rows):
            return (float(self.left_px), float(self.top_px), float(self.left_px), float(self.top_px))
        return (
            float(self.left_px + cols[0]),
            float(self.top_px + rows[0]),
            float(self.left_px + cols[-1] + 1),
            float(self.top_px + rows[-1] + 1),
        )
