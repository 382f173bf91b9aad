import numpy as np
import pytest
import torch
from array_scene import ArrayScene
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.embed.crops import crop_squares, iterate_crops, resample
from ovd_platform.errors import ShapeError
from ovd_platform.raster.radiometry import InstrumentProfile

PROFILE = InstrumentProfile("x", (0.0,), (1000.0,))


@settings(max_examples=30, deadline=None)
@given(st.floats(-50, 3000), st.floats(-50, 3000), st.floats(0.5, 500), st.floats(0.5, 500))
def test_squares_keep_the_centre_and_cover_the_box(x, y, width, height):
    box = np.array([[x, y, x + width, y + height]], dtype=np.float32)
    (square,) = crop_squares(box)
    side = square[2] - square[0]
    assert side == pytest.approx(max(24.0, 1.5 * max(width, height)), rel=1e-2)
    assert (square[:2] + square[2:]) / 2 == pytest.approx((box[0, :2] + box[0, 2:]) / 2, abs=0.05)
    assert (square[:2] <= box[0, :2] + 0.01).all()
    assert (square[2:] >= box[0, 2:] - 0.01).all()


def test_squares_refuse_other_shapes_and_accept_none():
    assert crop_squares(np.zeros((0, 4), dtype=np.float32)).shape == (0, 4)
    with pytest.raises(ShapeError, match=r"\(N, 4\)"):
        crop_squares(np.zeros((3, 5), dtype=np.float32))


def test_resampling_averages_areas_exactly_and_copies_at_native_size():
    planes = torch.rand(2, 64, 64)
    whole = torch.tensor([[0.0, 0.0, 64.0, 64.0]])
    assert torch.allclose(resample(planes, whole, 64)[0], planes, atol=1e-5)
    assert torch.allclose(resample(planes, whole, 16)[0], torch.nn.functional.avg_pool2d(planes, 4), atol=1e-5)


def test_crops_do_not_depend_on_the_window_they_were_read_in():
    rng = np.random.default_rng(0)
    scene = ArrayScene(rng.integers(0, 1000, (1, 1700, 1900)).astype(np.uint16))
    centre = rng.uniform(0, 1700, (40, 2))
    side = rng.uniform(5, 120, (40, 2))
    boxes = np.concatenate([centre - side / 2, centre + side / 2], axis=1).astype(np.float32)
    squares = crop_squares(np.concatenate([boxes, np.array([[10, 10, 1200, 1100]], dtype=np.float32)]))
    together = torch.zeros(41, 1, 32, 32)
    seen = np.zeros(41, dtype=int)
    for rows, crops in iterate_crops(scene, squares, PROFILE, 32):
        together[rows] = crops
        seen[rows] += 1
    assert (seen == 1).all()
    assert scene.reads < 20
    for row in range(41):
        ((_, alone),) = list(iterate_crops(scene, squares[row : row + 1], PROFILE, 32))
        assert torch.allclose(alone[0], together[row], atol=2e-3)


def test_beyond_the_scene_is_zero():
    scene = ArrayScene(np.full((1, 100, 100), 1000, dtype=np.uint16))
    ((_, crops),) = list(iterate_crops(scene, np.array([[-32.0, 0.0, 32.0, 64.0]], dtype=np.float32), PROFILE, 64))
    assert float(crops[0, 0, :, :31].max()) == 0.0
    assert float(crops[0, 0, :, 33:].min()) == pytest.approx(1.0, abs=1e-5)
