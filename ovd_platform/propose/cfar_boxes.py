"""From exceedances to boxes: what a constant-false-alarm-rate detector leaves is points; objects are bodies of unknown contrast.

Belongs here: the box candidates of a target and their rank. Does not belong here: the decision that there is a target (cfar.py).

One threshold cannot give extents. Low, it takes in sidelobes and joins ships at a quay; high, it breaks a hull into its
scatterers. So every target is cut out at several levels of excess, of the pixels and of their 3 x 3 mean in decibels (thin sidelobes
vanish in it, bodies stay), and what stands out best against its own surroundings ranks first.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_SMOOTH_LEVELS_DB = (-2.0, 1.0, 4.0, 8.0, 12.0)
"""Levels of the smoothed excess at which bodies are cut out."""

_SHARP_LEVELS_DB = (4.0, 8.0)
"""Levels of the excess itself, beside that of the decision."""

_MOST_DB = 25.0
"""What a pixel adds to the smoothed excess at most: one corner reflector is no body."""

_LARGE_PX = 12.0
"""Size counts up to this side."""

_SAME_IOU = 0.6
"""Of candidates that overlap more, the better one stays."""


@dataclass(frozen=True)
class Exceedance:
    """Decision of one chip and band.

    Attributes:
        detected_hw: Above the threshold of the stated rate.
        grown_hw: Above the lower threshold to which targets are grown.
        excess_db_hw: Decibels above the stated threshold; negative below it, finite everywhere.
    """

    detected_hw: NDArray[np.bool_]
    grown_hw: NDArray[np.bool_]
    excess_db_hw: NDArray[np.float32]


def boxes_from_exceedance(
    found: Exceedance, gap_px: int = 3, min_area_px: int = 4
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Box candidates around everything that holds a detected pixel.

    Args:
        found: The decision.
        gap_px: Sharp parts closer than this are one candidate too (single-look hulls are rows of scatterers).
        min_area_px: Fewer pixels than this are no target.

    Returns:
        Boxes in chip pixels, shape (N, 4), and objectness in [0, 1), falling: it rises with the contrast to the surroundings and
        with the size. Several boxes of one target may overlap, by less than 0.6.
    """
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    if not found.detected_hw.any():
        return nothing
    smooth_hw = cv2.blur(np.minimum(found.excess_db_hw, _MOST_DB), (3, 3))
    parts = [_bodies(smooth_hw >= level, found, 1, min_area_px) for level in _SMOOTH_LEVELS_DB]
    parts.append(_bodies(found.grown_hw, found, gap_px, min_area_px))
    parts += [_bodies(found.excess_db_hw >= level, found, gap_px, min_area_px) for level in _SHARP_LEVELS_DB]
    boxes_n4, contrast_n = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if not len(boxes_n4):
        return nothing
    import torch
    from torchvision.ops import nms

    kept = nms(torch.from_numpy(boxes_n4), torch.from_numpy(contrast_n), _SAME_IOU).numpy()
    return boxes_n4[kept], (1 - np.exp(-np.maximum(contrast_n[kept], 0) / 60.0)).astype(np.float32)


def _bodies(
    mask_hw: NDArray[np.bool_], found: Exceedance, gap_px: int, min_area_px: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes of connected parts with a detected pixel, and their mean excess over that around them times their side."""
    bits = mask_hw.view(np.uint8)
    joined = cv2.dilate(bits, np.ones((gap_px, gap_px), np.uint8)) if gap_px > 1 else bits
    count, labels_hw = cv2.connectedComponents(joined, connectivity=8, ltype=cv2.CV_32S)
    labels_hw[~mask_hw] = 0
    labels, excess = labels_hw.ravel(), found.excess_db_hw.ravel()
    area_n = np.bincount(labels, minlength=count)
    seeds_n = np.bincount(labels_hw[found.detected_hw], minlength=count)
    wanted_n = (seeds_n > 0) & (area_n >= min_area_px)
    wanted_n[0] = False
    index = np.flatnonzero(wanted_n)
    around = cv2.dilate(labels_hw.astype(np.float32), np.ones((5, 5), np.uint8)).astype(np.int32)
    around[mask_hw] = 0
    ring = around.ravel()
    inside_n = np.bincount(labels, excess, count)[index] / area_n[index]
    outside_n = np.bincount(ring, excess, count)[index] / np.maximum(np.bincount(ring, minlength=count)[index], 1)
    places = ndimage.find_objects(labels_hw)
    boxes = [(places[i - 1][1].start, places[i - 1][0].start, places[i - 1][1].stop, places[i - 1][0].stop) for i in index]
    contrast_n = (inside_n - outside_n) * np.minimum(np.sqrt(area_n[index]), _LARGE_PX)
    return np.array(boxes, np.float32).reshape(-1, 4), contrast_n.astype(np.float32)
