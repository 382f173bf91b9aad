"""How far decoded pixels are from the source. Belongs here: per-tile fidelity; embedding drift and AP belong to evaluation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.archive.policy import CodecPolicy


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Difference between source and decoded values over valid pixels.

    Attributes:
        max_error: Largest absolute difference, source units.
        psnr_db: Peak signal-to-noise ratio against full scale; inf where nothing differs.
    """

    max_error: float
    psnr_db: float

    def within(self, policy: CodecPolicy, scale: float) -> bool:
        """Whether the policy accepts it; ``scale`` is the scene's full scale in source units."""
        return self.psnr_db >= policy.min_psnr_db and self.max_error <= policy.max_error_fraction * scale


def fidelity(source_chw: NDArray[Any], decoded_chw: NDArray[Any], valid_hw: NDArray[np.bool_], scale: float) -> Fidelity:
    """Compare a tile with its source.

    Do not use it to judge detection: a small object can vanish at a high PSNR; compare average precision for that.

    Args:
        source_chw: Source values, shape (C, H, W), integer.
        decoded_chw: Decoded values, same shape.
        valid_hw: Pixels that count, shape (H, W).
        scale: Full scale, source units.

    Returns:
        Worst error, and the PSNR of the worst band.
    """
    difference_cn = decoded_chw[:, valid_hw].astype(np.float32) - source_chw[:, valid_hw].astype(np.float32)
    if difference_cn.size == 0:
        return Fidelity(0.0, float("inf"))
    worst = float((difference_cn.astype(np.float64) ** 2).mean(axis=1).max())
    psnr_db = float(10 * np.log10(scale**2 / worst)) if worst > 0 else float("inf")
    return Fidelity(float(np.abs(difference_cn).max()), psnr_db)
