"""Targets and losses of the light detector.

Belongs here: painting boxes onto the stride-4 grid and scoring the network's maps against them. Does not belong here: the loop
(learn/proposer.py) and the crops (learn/proposer_crops.py).

Heat: penalty-reduced focal loss (Zhou et al. 2019, eq. 1). Edges: generalised IoU (Rezatofighi et al. 2019), weighted by a
Gaussian around the centre as in Liu et al. 2020, "TTFNet". Quality: cross-entropy against the IoU the box reaches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ovd_platform.models.light_detector import STRIDE_PX, DetectorMaps, boxes_from_reach

_HEAT_SIGMA = 0.09
"""Standard deviation of a centre's heat as a fraction of the box side."""

_FIT_SIGMA = 0.13
"""The same for the weight of the edge loss: cells near the centre learn to fit as well."""

_FIT_FLOOR = 0.2
"""Cells of lower weight do not learn to fit the box."""


@dataclass(frozen=True)
class GridTargets:
    """What the maps should say for a batch.

    Attributes:
        heat_bhw: In [0, 1]; exactly 1 in the cell of each centre.
        counted_bhw: False in cells whose heat must not be scored (ignored objects).
        weight_bhw: Weight of the edge loss; 0 far from every centre.
        boxes_b4hw: Box to fit in every weighted cell, x0, y0, x1, y1 in working-scale pixels of the crop.
    """

    heat_bhw: Tensor
    counted_bhw: Tensor
    weight_bhw: Tensor
    boxes_b4hw: Tensor


def paint_targets(
    boxes_per_crop: Sequence[NDArray[np.float32]], ignored_per_crop: Sequence[NDArray[np.float32]], crop_px: int
) -> GridTargets:
    """Paint boxes onto the grid; where Gaussians meet, the nearer centre (in units of its size) wins.

    Args:
        boxes_per_crop: Per crop, boxes x0, y0, x1, y1 in crop pixels, shape (N, 4).
        ignored_per_crop: Per crop, boxes whose area is not scored, shape (M, 4).
        crop_px: Side of the square crops.

    Returns:
        Targets of shape (B, ., crop_px / 4, crop_px / 4).
    """
    cells = crop_px // STRIDE_PX
    count = len(boxes_per_crop)
    heat_bhw = np.zeros((count, cells, cells), np.float32)
    weight_bhw = np.zeros((count, cells, cells), np.float32)
    counted_bhw = np.ones((count, cells, cells), np.bool_)
    boxes_b4hw = np.zeros((count, 4, cells, cells), np.float32)
    grid = np.arange(cells, dtype=np.float32)
    for index, (boxes_n4, ignored_m4) in enumerate(zip(boxes_per_crop, ignored_per_crop, strict=True)):
        for box in ignored_m4:
            x0, y0, x1, y1 = np.clip(np.rint(box / STRIDE_PX), 0, cells).astype(int)
            counted_bhw[index, y0:y1, x0:x1] = False
        for box in boxes_n4:
            width, height = (box[2] - box[0]) / STRIDE_PX, (box[3] - box[1]) / STRIDE_PX
            x, y = (box[0] + box[2]) / 2 / STRIDE_PX, (box[1] + box[3]) / 2 / STRIDE_PX
            col, row = min(max(int(x), 0), cells - 1), min(max(int(y), 0), cells - 1)
            dx2, dy2 = (grid - col) ** 2, (grid - row)[:, None] ** 2
            spread = dx2 / max(width * _HEAT_SIGMA, 0.5) ** 2 + dy2 / max(height * _HEAT_SIGMA, 0.5) ** 2
            np.maximum(heat_bhw[index], np.exp(-0.5 * spread), out=heat_bhw[index])
            fit = np.exp(-0.5 * (dx2 / max(width * _FIT_SIGMA, 0.6) ** 2 + dy2 / max(height * _FIT_SIGMA, 0.6) ** 2))
            wins = (fit > _FIT_FLOOR) & (fit > weight_bhw[index])
            weight_bhw[index][wins] = fit[wins]
            boxes_b4hw[index][:, wins] = box[:, None]
    counted_bhw |= heat_bhw > 0.99
    return GridTargets(*(torch.from_numpy(array) for array in (heat_bhw, counted_bhw, weight_bhw, boxes_b4hw)))


def detector_loss(maps: DetectorMaps, targets: GridTargets) -> tuple[Tensor, dict[str, float]]:
    """Loss of a batch and its parts.

    Args:
        maps: The network's answer.
        targets: What it should be.

    Returns:
        Scalar loss, and the parts ``heat``, ``fit``, ``quality`` for the log.
    """
    centres = targets.heat_bhw > 0.999
    count = centres.sum().clamp(min=1)
    log_yes = functional.logsigmoid(maps.heat_bhw)
    log_no = functional.logsigmoid(-maps.heat_bhw)
    heat = log_yes.exp()
    negative = (1 - targets.heat_bhw) ** 4 * heat**2 * log_no
    positive = (1 - heat) ** 2 * log_yes
    heat_loss = -torch.where(centres, positive, negative * targets.counted_bhw).sum() / count

    near = targets.weight_bhw > 0
    weight_m = targets.weight_bhw[near]
    total = weight_m.sum().clamp(min=1e-3)
    predicted_m4 = boxes_from_reach(maps.reach_b4hw).permute(0, 2, 3, 1)[near]
    wanted_m4 = targets.boxes_b4hw.permute(0, 2, 3, 1)[near]
    iou_m, giou_m = _iou_and_giou(predicted_m4, wanted_m4)
    fit_loss = ((1 - giou_m) * weight_m).sum() / total
    quality_m = functional.binary_cross_entropy_with_logits(maps.quality_bhw[near], iou_m.detach(), reduction="none")
    quality_loss = (quality_m * weight_m).sum() / total
    loss = heat_loss + 2.0 * fit_loss + 0.5 * quality_loss
    parts = {"heat": heat_loss.item(), "fit": fit_loss.item(), "quality": quality_loss.item()}
    return loss, parts


def _iou_and_giou(a_m4: Tensor, b_m4: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of paired boxes."""
    overlap = (torch.minimum(a_m4[:, 2:], b_m4[:, 2:]) - torch.maximum(a_m4[:, :2], b_m4[:, :2])).clamp(min=0).prod(1)
    hull = (torch.maximum(a_m4[:, 2:], b_m4[:, 2:]) - torch.minimum(a_m4[:, :2], b_m4[:, :2])).prod(1)
    union = (a_m4[:, 2:] - a_m4[:, :2]).prod(1) + (b_m4[:, 2:] - b_m4[:, :2]).prod(1) - overlap
    iou = overlap / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)
