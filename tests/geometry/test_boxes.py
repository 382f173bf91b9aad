"""Boxes: layouts round-trip, overlap agrees with a slow count of pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.errors import ShapeError
from ovd_platform.geometry.boxes import centre, clip_boxes, iou_matrix, xywh_to_xyxy, xyxy_to_xywh

corner = st.integers(0, 20)
boxes_strategy = st.lists(st.tuples(corner, corner, st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None)
@given(boxes_strategy)
def test_layouts_round_trip_and_iou_counts_pixels(boxes_xywh: list[tuple[int, int, int, int]]) -> None:
    xyxy = xywh_to_xyxy(boxes_xywh)
    assert np.array_equal(xyxy_to_xywh(xyxy), np.array(boxes_xywh, dtype=float))
    painted = np.zeros((len(xyxy), 40, 40), dtype=bool)
    for mask, (x0, y0, x1, y1) in zip(painted, xyxy.astype(int), strict=True):
        mask[y0:y1, x0:x1] = True
    expected = [[(a & b).sum() / (a | b).sum() for b in painted] for a in painted]
    assert np.allclose(iou_matrix(xyxy, xyxy), expected, atol=1e-6)


def test_clip_centre_empty_and_shape() -> None:
    assert clip_boxes([[-5, 2, 30, 9]], 10, 8).tolist() == [[0, 2, 10, 8]]
    assert centre([[0, 0, 4, 2]]).tolist() == [[2, 1]]
    assert iou_matrix([], [[0, 0, 1, 1]]).shape == (0, 1)
    with pytest.raises(ShapeError):
        centre([[0, 0, 4]])
