"""Axis-aligned boxes: layouts, overlap, clipping. Belongs here: arithmetic on (N, 4) arrays; merging at seams is tiles'."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovd_platform.errors import ShapeError

FloatArray = NDArray[np.floating]


def boxes_n4(boxes: ArrayLike) -> FloatArray:
    """Boxes as a floating array of shape (N, 4); float32 stays float32, anything else becomes float64.

    Raises:
        ShapeError: If the last axis is not four.
    """
    array = np.asarray(boxes)
    array = array if array.dtype == np.float32 else array.astype(np.float64)
    if array.size == 0:
        return array.reshape(0, 4)
    array = np.atleast_2d(array)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ShapeError(f"Cannot read boxes: expected shape (N, 4), got {array.shape}. Pass one box a row.")
    return array


def xyxy_to_xywh(boxes_xyxy: ArrayLike) -> FloatArray:
    """(x0, y0, x1, y1) to (x0, y0, width, height), shape (N, 4); a new array."""
    boxes = boxes_n4(boxes_xyxy)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def xywh_to_xyxy(boxes_xywh: ArrayLike) -> FloatArray:
    """Inverse of `xyxy_to_xywh`."""
    boxes = boxes_n4(boxes_xywh)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def centre(boxes_xyxy: ArrayLike) -> FloatArray:
    """Centres of boxes, shape (N, 2)."""
    boxes = boxes_n4(boxes_xyxy)
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2)


def area(boxes_xyxy: ArrayLike) -> FloatArray:
    """Areas of boxes in square pixels, shape (N,); degenerate boxes have 0."""
    boxes = boxes_n4(boxes_xyxy)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def clip_boxes(boxes_xyxy: ArrayLike, width_px: float, height_px: float) -> FloatArray:
    """The part of each box inside ``[0, width_px] x [0, height_px]``.

    Args:
        boxes_xyxy: Shape (N, 4).
        width_px: Columns of the frame.
        height_px: Rows of the frame.

    Returns:
        New array, shape (N, 4); a box entirely outside collapses to zero area on the border.
    """
    boxes = boxes_n4(boxes_xyxy)
    upper = np.array([width_px, height_px, width_px, height_px], dtype=boxes.dtype)
    return np.asarray(np.clip(boxes, 0, upper))


def intersection_matrix(boxes_a_n4: ArrayLike, boxes_b_m4: ArrayLike) -> FloatArray:
    """Intersection areas of every pair, shape (N, M), square pixels."""
    a, b = boxes_n4(boxes_a_n4), boxes_n4(boxes_b_m4)
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(bottom_right - top_left, 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def iou_matrix(boxes_a_n4: ArrayLike, boxes_b_m4: ArrayLike) -> NDArray[np.float32]:
    """Intersection over union of every pair.

    Args:
        boxes_a_n4: Shape (N, 4), x0, y0, x1, y1.
        boxes_b_m4: Shape (M, 4), the same frame.

    Returns:
        New array, shape (N, M), float32, [0, 1]; 0 where both boxes are degenerate.
    """
    intersection = intersection_matrix(boxes_a_n4, boxes_b_m4)
    union = area(boxes_a_n4)[:, None] + area(boxes_b_m4)[None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0).astype(np.float32)
