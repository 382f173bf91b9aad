"""Gates for pasted objects. Belongs here: measuring and judging one paste; counting rejects is `build`'s."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.synthesis.paste import PasteResult

_RING_PX = 6


@dataclass(frozen=True, slots=True)
class QualityGates:
    """Limits of what is accepted.

    Attributes:
        min_size_px: Shorter side of the silhouette's box.
        max_size_fraction: Longer side as a share of the tile's shorter side.
        min_contrast: Root mean square distance of the object from the ground around it in robust deviations; noise has 1.
        max_seam_ratio: Curvature on the border of the replaced pixels over curvature of the ground next to it; 1 is invisible.
        max_clipped_fraction: Share of replaced pixels that left the value range.
        min_hash_distance: Objects of one class whose 64-bit difference hashes are nearer are near-duplicates.
    """

    min_size_px: float = 4.0
    max_size_fraction: float = 0.6
    min_contrast: float = 1.6
    max_seam_ratio: float = 2.5
    max_clipped_fraction: float = 0.05
    min_hash_distance: int = 5


@dataclass(slots=True)
class PasteMeasures:
    """What was measured on one paste.

    Attributes:
        size_px: Width and height of the silhouette's box.
        contrast: See `QualityGates.min_contrast`.
        seam_ratio: See `QualityGates.max_seam_ratio`.
        clipped_fraction: See `QualityGates.max_clipped_fraction`.
        hash64: Difference hash of the object's surroundings.
    """

    size_px: tuple[int, int]
    contrast: float
    seam_ratio: float
    clipped_fraction: float
    hash64: int


@dataclass(slots=True)
class HashBook:
    """Difference hashes of what was accepted so far, by class."""

    known: dict[str, list[int]] = field(default_factory=dict)

    def nearest(self, class_name: str, hash64: int) -> int:
        """Smallest Hamming distance to an accepted object of the class; 65 if there is none."""
        return min((int(hash64 ^ other).bit_count() for other in self.known.get(class_name, ())), default=65)

    def add(self, class_name: str, hash64: int) -> None:
        """Remember an accepted object."""
        self.known.setdefault(class_name, []).append(hash64)


def measure_paste(result: PasteResult, *, log: bool = False) -> PasteMeasures:
    """Measure one paste on the composite (logarithms of it for SAR)."""
    rows, columns = np.nonzero(result.mask_hw)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    height, width = result.mask_hw.shape
    around = (
        slice(max(0, top - 2 * _RING_PX), min(height, bottom + 2 * _RING_PX)),
        slice(max(0, left - 2 * _RING_PX), min(width, right + 2 * _RING_PX)),
    )
    values_chw = result.pixels_chw[:, around[0], around[1]]
    if log:
        values_chw = np.log(np.maximum(values_chw, 1e-3))
    mask_hw, domain_hw = result.mask_hw[around], result.domain_hw[around]
    return PasteMeasures(
        (int(right - left), int(bottom - top)),
        contrast(values_chw, mask_hw, domain_hw),
        seam_ratio(values_chw, domain_hw),
        result.clipped_fraction,
        difference_hash(values_chw.mean(axis=0)),
    )


def judge(measures: PasteMeasures, gates: QualityGates, tile_px: int, class_name: str, book: HashBook) -> str:
    """The first gate a paste fails, or "" if it passes all."""
    if min(measures.size_px) < gates.min_size_px or max(measures.size_px) > gates.max_size_fraction * tile_px:
        return "size"
    if measures.clipped_fraction > gates.max_clipped_fraction:
        return "clipped"
    if measures.contrast < gates.min_contrast:
        return "contrast"
    if measures.seam_ratio > gates.max_seam_ratio:
        return "seam"
    if book.nearest(class_name, measures.hash64) < gates.min_hash_distance:
        return "near-duplicate"
    return ""


def contrast(values_chw: NDArray[Any], mask_hw: NDArray[np.bool_], domain_hw: NDArray[np.bool_]) -> float:
    """Root mean square distance of the masked pixels from the ring around the domain, in robust deviations of the ring.

    The strongest band counts. About 1 for an object that is nothing but ground noise; 0 if there is no ring.
    """
    from scipy import ndimage

    ring_hw = ndimage.binary_dilation(domain_hw, structure=np.ones((3, 3)), iterations=_RING_PX) & ~domain_hw
    if ring_hw.sum() < 16 or not mask_hw.any():
        return 0.0
    best = 0.0
    for band_hw in values_chw:
        median = np.median(band_hw[ring_hw])
        deviation = 1.4826 * np.median(np.abs(band_hw[ring_hw] - median))
        deviation = max(float(deviation), 0.25 * float(band_hw[ring_hw].std()), 1e-6)
        best = max(best, float(np.sqrt(np.mean((band_hw[mask_hw] - median) ** 2))) / deviation)
    return best


def seam_ratio(values_chw: NDArray[Any], domain_hw: NDArray[np.bool_]) -> float:
    """Mean absolute Laplacian on the domain's border over that of the ground next to it; near 1 for an invisible seam."""
    from scipy import ndimage

    square = np.ones((3, 3))
    outer_hw = ndimage.binary_dilation(domain_hw, structure=square)
    seam_hw = outer_hw & ~ndimage.binary_erosion(domain_hw, structure=square)
    ground_hw = ndimage.binary_dilation(outer_hw, structure=square, iterations=_RING_PX) & ~ndimage.binary_dilation(outer_hw)
    if not seam_hw.any() or ground_hw.sum() < 16:
        return 0.0
    curvature_hw = np.sum([np.abs(ndimage.laplace(band_hw.astype(np.float64))) for band_hw in values_chw], axis=0)
    return float(curvature_hw[seam_hw].mean() / max(float(curvature_hw[ground_hw].mean()), 1e-9))


def difference_hash(values_hw: NDArray[Any]) -> int:
    """64-bit difference hash: signs of horizontal differences on a 9 x 8 grid of means; blind to brightness and gain."""
    from scipy import ndimage

    height, width = values_hw.shape
    smooth_hw = ndimage.gaussian_filter(values_hw.astype(np.float64), (height / 16, width / 18))
    rows = (np.arange(8) + 0.5) * height / 8 - 0.5
    columns = (np.arange(9) + 0.5) * width / 9 - 0.5
    grid_hw = ndimage.map_coordinates(smooth_hw, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest")
    bits = (grid_hw[:, 1:] > grid_hw[:, :-1]).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)
