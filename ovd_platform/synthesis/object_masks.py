"""Silhouettes of labelled objects. Belongs here: label polygon -> mask at native depth; pasting is `paste`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_REFINED_PX = 8
MIN_FILL, MAX_FILL = 0.10, 0.92
MIN_BOX_OVERLAP = 0.6
_MIN_BACKGROUND_PX = 40
_SIGMAS = 2.5


def refine_mask(
    pixels_chw: NDArray[Any], inside_hw: NDArray[np.bool_], valid_hw: NDArray[np.bool_], *, log: bool = False
) -> tuple[NDArray[np.bool_], str]:
    """Shrink a label polygon to the pixels that differ from the ground around it.

    The ground is the ring outside the polygon, described per band by median and median absolute deviation; the threshold on
    the distance is Otsu's, at least 2.5 deviations. Works at any bit depth.

    Args:
        pixels_chw: Native values, shape (C, H, W), any real dtype.
        inside_hw: Label polygon, shape (H, W), bool.
        valid_hw: Valid pixels, shape (H, W), bool.
        log: Compare logarithms (SAR amplitude).

    Returns:
        New mask (H, W), bool, inside the polygon; and how it was made: ``refined``, or ``polygon: <why>`` if it stayed.
    """
    from scipy import ndimage

    inside_hw = inside_hw & valid_hw
    rows, columns = np.nonzero(inside_hw)
    if not len(rows) or min(np.ptp(rows), np.ptp(columns)) + 1 < MIN_REFINED_PX:
        return inside_hw.copy(), "polygon: too small"
    ground_hw = valid_hw & ~ndimage.binary_dilation(inside_hw, iterations=1)
    if ground_hw.sum() < _MIN_BACKGROUND_PX:
        return inside_hw.copy(), "polygon: no ground around it"
    distance_hw = ground_distance(pixels_chw, ground_hw, log=log)
    threshold = max(_SIGMAS, _otsu(np.log1p(distance_hw[inside_hw])))
    mask_hw = inside_hw & (distance_hw > threshold)
    mask_hw = ndimage.binary_closing(mask_hw, iterations=1) & inside_hw
    labels_hw, count = ndimage.label(mask_hw, structure=np.ones((3, 3)))
    if count == 0:
        return inside_hw.copy(), "polygon: nothing stands out"
    sizes = np.bincount(labels_hw.ravel())[1:]
    keep = np.flatnonzero(sizes >= 0.15 * sizes.max()) + 1
    mask_hw = np.asarray(ndimage.binary_fill_holes(np.isin(labels_hw, keep)), dtype=bool) & inside_hw
    fill = mask_hw.sum() / inside_hw.sum()
    if not MIN_FILL <= fill <= MAX_FILL:
        return inside_hw.copy(), f"polygon: silhouette fills {fill:.2f} of it"
    if _box_overlap(mask_hw, inside_hw) < MIN_BOX_OVERLAP:
        return inside_hw.copy(), "polygon: silhouette is only a part"
    return mask_hw, "refined"


def ground_distance(pixels_chw: NDArray[Any], ground_hw: NDArray[np.bool_], *, log: bool = False) -> NDArray[np.float64]:
    """Distance of every pixel from the ground's colour in robust deviations, root mean square over bands, shape (H, W)."""
    values_chw = pixels_chw.astype(np.float64)
    if log:
        values_chw = np.log(np.maximum(values_chw, 1e-6))
    ground_cn = values_chw[:, ground_hw]
    median_c = np.median(ground_cn, axis=1)
    deviation_c = 1.4826 * np.median(np.abs(ground_cn - median_c[:, None]), axis=1)
    floor = 1e-6 + 0.5 * (not log)
    scaled_chw = (values_chw - median_c[:, None, None]) / np.maximum(deviation_c, floor)[:, None, None]
    return np.asarray(np.sqrt((scaled_chw**2).mean(axis=0)))


def _box_overlap(mask_hw: NDArray[np.bool_], inside_hw: NDArray[np.bool_]) -> float:
    """Area of the box around a mask over that of the box around the label that holds it."""
    extents = [int(np.ptp(np.flatnonzero(one.any(axis=axis)))) + 1 for one in (mask_hw, inside_hw) for axis in (0, 1)]
    return extents[0] * extents[1] / (extents[2] * extents[3])


def _otsu(log_distances_n: NDArray[np.float64]) -> float:
    """Otsu's threshold on log(1 + distance), returned as a distance (Otsu 1979, eq. 18)."""
    counts, edges = np.histogram(log_distances_n, bins=64)
    middle = (edges[:-1] + edges[1:]) / 2
    weight = np.cumsum(counts) / max(1, counts.sum())
    mean = np.cumsum(counts * middle) / max(1, counts.sum())
    between = (mean[-1] * weight - mean) ** 2 / np.maximum(weight * (1 - weight), 1e-12)
    return float(np.expm1(middle[int(np.argmax(between))]))
