"""Regions pooled from one dense pass, work prepared ahead, batches of full size."""

import itertools

import numpy as np
import pytest
import torch
from array_scene import ArrayScene

from ovd_platform.embed.ahead import ahead, full_batches
from ovd_platform.embed.builtin import BuiltinEncoder
from ovd_platform.embed.dense import iterate_regions
from ovd_platform.errors import DataError
from ovd_platform.models.clip import LanguageBranch
from ovd_platform.models.vit import MultiBandViT, RegionModel, ViTConfig, half_state
from ovd_platform.raster.radiometry import InstrumentProfile

PROFILE = InstrumentProfile("x", (0.0, 0.0), (4095.0, 4095.0))


def _states():
    torch.manual_seed(0)
    model = RegionModel(MultiBandViT(ViTConfig(img_px=32, dim=48, depth=3, heads=3)))
    return half_state(model), LanguageBranch(model.backbone).to_state()


def _scene(size=400):
    return ArrayScene(np.random.default_rng(1).integers(0, 4096, (2, size, size)).astype(np.uint16))


def test_a_region_is_the_mean_of_the_tokens_under_it():
    """Tokens that say where they are: what is pooled of a square is the place of the square."""
    scene = ArrayScene(np.zeros((1, 256, 256), np.uint16))
    squares = np.array([[32, 64, 96, 128], [10, 20, 42, 52], [200, 0, 256, 56]], dtype=np.float32)

    def tokens_of(images):
        count = len(images)
        side = 8  # the part that is read is 246 px wide
        window = torch.arange(count).reshape(-1, 1, 1).expand(count, 16, 1)
        patch = torch.arange(16).reshape(1, 16, 1)
        x = (window % side) * 4 + patch % 4
        y = torch.div(window, side, rounding_mode="floor") * 4 + torch.div(patch, 4, rounding_mode="floor")
        return torch.cat([x, y], dim=2).float() * 8 + 4, None

    found = list(
        iterate_regions(scene, squares, InstrumentProfile("x", (0.0,), (1.0,)), tokens_of, img_px=32, patch_px=8, scale=1.0)
    )
    assert len(found) == 1
    rows, tokens, nothing = found[0]
    assert nothing is None
    offset = np.floor(squares.min(axis=0)[:2])
    centres = (squares[rows, :2] + squares[rows, 2:]) / 2 - offset
    inside = [0, 1]  # the third square reaches to the edge of what was read, where tokens repeat
    np.testing.assert_allclose(tokens.mean(dim=1).numpy()[inside], centres[inside], atol=1.0)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_dense_vectors_are_unit_repeatable_and_of_another_version(scale):
    backbone, clip = _states()
    crops = BuiltinEncoder(backbone, clip)
    dense = BuiltinEncoder(backbone, clip, regions="roi", roi_scale=scale)
    assert dense.version == f"{crops.version}-roi{scale:g}"
    boxes = np.array([[10, 10, 40, 30], [300, 200, 330, 260], [380, 380, 440, 420], [0, 0, 390, 390]], dtype=np.float32)
    scene = _scene()
    visual, language = dense.embed_boxes(scene, boxes, PROFILE)
    assert scene.reads <= 3
    for vectors in (visual, language):
        assert vectors.shape == (4, 48)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    again, _ = dense.embed_boxes(_scene(), boxes, PROFILE)
    np.testing.assert_array_equal(visual, again)
    nothing, _ = dense.embed_boxes(scene, np.zeros((0, 4), np.float32), PROFILE)
    assert nothing.shape == (0, 48)


@pytest.mark.parametrize(("scale", "side"), [(1.0, 32), (0.5, 64)])
def test_a_window_of_its_own_is_exactly_what_a_crop_sees(scale, side):
    """A square that is one window of the map has the vectors of its crop: same pixels, positions, norms, heads and layout."""
    backbone, clip = _states()
    scene = ArrayScene(np.random.default_rng(2).integers(0, 4096, (2, 200, 200)).astype(np.uint16))
    dense = BuiltinEncoder(backbone, clip, regions="roi", roi_scale=scale, precision="float32")
    crops = BuiltinEncoder(backbone, clip, precision="float32")
    square = np.array([[34.0, 66.0, 34.0 + side, 66.0 + side]], dtype=np.float32)
    ours, theirs, other = (one._embed_squares(scene, square + by, PROFILE) for one, by in ((dense, 0), (crops, 0), (crops, 2)))
    for mine, crop, moved in zip(ours, theirs, other, strict=True):
        assert float((mine @ crop.T).item()) > 0.9999
        assert float((mine @ moved.T).item()) < float((mine @ crop.T).item())


def test_work_ahead_keeps_order_hands_errors_over_and_stops():
    made = []

    def make(fail_at=None):
        for i in itertools.count():
            if i == fail_at:
                raise DataError("broken block")
            if i == 20:
                return
            made.append(i)
            yield i

    assert list(ahead(make())) == list(range(20))
    seen = []
    with pytest.raises(DataError, match="broken block"):
        seen.extend(ahead(make(fail_at=3)))
    assert made[-3:] == [0, 1, 2]
    made.clear()
    taker = ahead(make())
    assert next(taker) == 0
    taker.close()
    assert len(made) <= 4


def test_batches_are_full_and_lose_nothing():
    parts = [(np.arange(a, b), torch.arange(a, b)[:, None]) for a, b in ((0, 5), (5, 6), (6, 29), (29, 31))]
    found = list(full_batches(iter(parts), 8))
    assert [len(rows) for rows, _ in found] == [8, 8, 8, 7]
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in found]), np.arange(31))
    assert all((images[:, 0].numpy() == rows).all() for rows, images in found)
    assert list(full_batches(iter([]), 8)) == []


def test_cutting_ahead_is_for_free_cores_and_slow_stores(monkeypatch):
    from ovd_platform.embed import ahead as module

    monkeypatch.setattr(module.os, "cpu_count", lambda: torch.get_num_threads())
    assert not module.pays("/data/scene.tif")
    assert module.pays("s3://bucket/scene.tif")
    monkeypatch.setattr(module.os, "cpu_count", lambda: torch.get_num_threads() + 1)
    assert module.pays("/data/scene.tif")
