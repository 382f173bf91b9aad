"""Which tile is coded how. Belongs here: the policy and its decision; encoding is raster's `codec`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError
from ovd_platform.raster.codec import supports_jxl
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window


@dataclass(frozen=True, slots=True)
class CodecPolicy:
    """How a scene is archived. Complex SAR is lossless whatever the policy says.

    Attributes:
        distance: JPEG XL distance of background tiles, (0, 25]; 0.5 to 1 is about visually lossless.
        effort: JPEG XL effort of lossy tiles, 1 to 9.
        lossless_edge_density: Tiles with at least this edge density stay lossless, [0, 1].
        gold: Keep every tile lossless.
        lossy_sar: Allow loss for detected (non-complex) SAR; False keeps all SAR lossless.
        min_psnr_db: A lossy tile below it is stored lossless instead.
        max_error_fraction: Largest error of a lossy pixel, as a fraction of the scene's full scale.
        bits: Bits that carry signal where the scene does not declare them (`SceneScan.bits_observed`), or None.
    """

    distance: float = 1.0
    effort: int = 3
    lossless_edge_density: float = 0.15
    gold: bool = False
    lossy_sar: bool = False
    min_psnr_db: float = 36.0
    max_error_fraction: float = 0.15
    bits: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.distance <= 25.0 or not 1 <= self.effort <= 9 or not 0.0 < self.max_error_fraction <= 1.0:
            raise InputError(
                f"Cannot make a codec policy: expected distance in (0, 25], effort 1 to 9 and an error fraction in (0, 1], got "
                f"{self.distance}, {self.effort} and {self.max_error_fraction}. Use gold=True for a lossless archive."
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready mapping; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        return cls(**values)


def full_scale(record: SceneRecord, policy: CodecPolicy) -> float:
    """Largest value the scene's bits hold, the reference of PSNR and of the error fraction; 1 for floats."""
    bits = signal_bits(record, policy)
    return float(2**bits - 1) if bits else 1.0


def signal_bits(record: SceneRecord, policy: CodecPolicy) -> int | None:
    """Bits to declare to the codec: the scene's, narrowed by the policy's where the scene only knows its container."""
    declared = record.bits_effective
    if declared is None or policy.bits is None:
        return declared
    return min(declared, policy.bits) if declared == np.dtype(record.dtype).itemsize * 8 else declared


def lossless_reasons(
    record: SceneRecord, tiles: Sequence[TileRecord], protected_windows: Sequence[Window], policy: CodecPolicy
) -> list[str]:
    """Why each tile has to be lossless; "" where loss is allowed.

    Args:
        record: The scene.
        tiles: Its tiles.
        protected_windows: Pixels that must not change: labels, proposals.
        policy: The policy.

    Returns:
        One of ``slc``, ``dtype``, ``sar``, ``gold``, ``protected``, ``partial``, ``edges`` or "" a tile.
    """
    everywhere = _reason_everywhere(record, policy)
    if everywhere:
        return [everywhere] * len(tiles)
    touched_n = _touched(tiles, protected_windows)
    reasons = []
    for tile, touched in zip(tiles, touched_n, strict=True):
        if touched:
            reasons.append("protected")
        elif 0.0 < tile.valid_fraction < 1.0:
            # Loss would smear the missing value into the data beside it.
            reasons.append("partial")
        else:
            reasons.append("edges" if tile.edge_density >= policy.lossless_edge_density else "")
    return reasons


def _reason_everywhere(record: SceneRecord, policy: CodecPolicy) -> str:
    if np.dtype(record.dtype).kind == "c":
        return "slc"
    if not supports_jxl(record.dtype):
        return "dtype"
    if record.modality == "sar" and not policy.lossy_sar:
        return "sar"
    return "gold" if policy.gold else ""


def _touched(tiles: Sequence[TileRecord], windows: Sequence[Window]) -> NDArray[np.bool_]:
    """Which tiles share a pixel with a protected window; shape (T,)."""
    touched_n = np.zeros(len(tiles), dtype=np.bool_)
    if not windows or not tiles:
        return touched_n
    cores = np.array([tile.core.xyxy for tile in tiles], dtype=np.int64)
    boxes = np.array([window.xyxy for window in windows], dtype=np.int64)
    for index, (left, top, right, bottom) in enumerate(cores):
        overlap = (boxes[:, 0] < right) & (boxes[:, 2] > left) & (boxes[:, 1] < bottom) & (boxes[:, 3] > top)
        touched_n[index] = bool(overlap.any())
    return touched_n
