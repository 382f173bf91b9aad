import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from array_scene import ArrayScene

from ovd_platform.errors import DataError, InputError
from ovd_platform.learn.augment import fewer_bands, relight, warp
from ovd_platform.learn.chips import ChipGroup, ChipShard, sample_chips
from ovd_platform.learn.mae import reconstructions, train_backbone
from ovd_platform.learn.schedule import Budget, cosine_rate
from ovd_platform.models.conditioning import METADATA_FIELDS
from ovd_platform.models.vit import ViTConfig, build_backbone, state_version
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import Band

TINY = ViTConfig(img_px=32, dim=48, depth=1, heads=3)


def _shard(count=48):
    """Stripes: what is hidden follows from what is seen."""
    rng = np.random.default_rng(0)
    phase, angle = rng.uniform(0, 6, (2, count, 1, 1, 1))
    y, x = np.mgrid[:32, :32]
    stripes = 0.5 + 0.4 * np.sin(0.4 * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    first = ChipGroup((0.6,), stripes.astype(np.float16), np.arange(count, dtype=np.int32) % 5)
    second = ChipGroup(("vv", "vh"), np.repeat(stripes, 2, axis=1).astype(np.float16), np.arange(count, dtype=np.int32) % 5)
    return ChipShard((first, second), tuple(f"s{i}" for i in range(5)))


def test_training_lowers_the_held_out_loss_and_repeats_exactly():
    shard = _shard()
    first = train_backbone(shard, steps=25, seed=3, config=TINY)
    assert first.card["scores"]["held_out_loss"] < 0.9 * first.card["scores"]["held_out_loss_before"]
    short = [state_version(train_backbone(shard, steps=2, seed=seed, config=TINY).state) for seed in (3, 3, 4)]
    assert short[0] == short[1] != short[2]
    assert reconstructions(first.state, shard.groups[1], 2).shape == (64, 96, 3)


def test_continuing_from_a_state_passes_other_parts_through():
    start = train_backbone(_shard(), steps=2, config=TINY).state
    start["visual_head.linear.bias"] = torch.ones(48, dtype=torch.float16)
    after = train_backbone(_shard(), steps=2, init_state=start).state
    assert torch.equal(after["visual_head.linear.bias"], start["visual_head.linear.bias"])
    assert not torch.equal(after["backbone.stem.kernel"], start["backbone.stem.kernel"])


_CHILD = """
import sys; from pathlib import Path
sys.path[:0] = {paths!r}
import test_mae, torch
torch.set_num_threads(1)
from ovd_platform.learn import schedule
schedule.fit.__kwdefaults__["checkpoint_every_s"] = 0.0
test_mae.train_backbone(test_mae._shard(), steps=20, seed=1, config=test_mae.TINY, checkpoint_dir=Path({folder!r}))
"""


def test_a_killed_run_resumes_and_ends_where_an_undisturbed_one_does(tmp_path):
    here = Path(__file__).parent
    paths = [str(here), str(here.parent / "embed")]
    child = subprocess.Popen([sys.executable, "-c", _CHILD.format(paths=paths, folder=str(tmp_path))])
    checkpoint = tmp_path / "training.pt"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    resumed = train_backbone(_shard(), steps=20, seed=1, config=TINY, checkpoint_dir=tmp_path)
    assert 0 < resumed.card["resumed_at_step"] < 20
    straight = train_backbone(_shard(), steps=20, seed=1, config=TINY)
    assert state_version(resumed.state) == state_version(straight.state)
    finished = train_backbone(_shard(), steps=20, seed=1, config=TINY, checkpoint_dir=tmp_path)
    assert finished.card["resumed_at_step"] == 20
    other = train_backbone(_shard(), steps=2, seed=2, config=TINY, checkpoint_dir=tmp_path)
    assert other.card["resumed_at_step"] == 0


def test_a_budget_of_minutes_ends():
    started = time.monotonic()
    seen = []
    trained = train_backbone(_shard(), minutes=0.01, config=TINY, progress=lambda done, total, what: seen.append(done / total))
    assert trained.card["steps"] >= 1
    assert time.monotonic() - started < 30
    assert seen == sorted(seen)
    with pytest.raises(InputError, match="budget"):
        Budget()
    assert cosine_rate(0.0) < cosine_rate(0.08) == pytest.approx(1.0)
    assert cosine_rate(1.0) == pytest.approx(0.01)


def test_chips_come_from_valid_pixels_and_survive_the_file(tmp_path):
    rng = np.random.default_rng(0)
    pan = ArrayScene(rng.integers(1, 4000, (1, 700, 900)).astype(np.uint16), "pan", (Band("pan", 0.6),))
    sar = ArrayScene(rng.integers(1, 4000, (2, 300, 300)).astype(np.uint16), "sar", (Band("vv"), Band("vh")), "sar")
    scenes = [(pan, InstrumentProfile("p", (0.0,), (4000.0,))), (sar, InstrumentProfile("s", (0.0, 0.0), (4000.0, 4000.0)))]
    shard = sample_chips(scenes, per_scene=20, chip_px=64, seed=5)
    assert len(shard) == 40
    assert {group.keys for group in shard.groups} == {(0.6,), ("vv", "vh")}
    assert pan.reads < 10
    shard.save(tmp_path / "chips.npz")
    loaded = ChipShard.load(tmp_path / "chips.npz")
    assert loaded.scene_ids == ("pan", "sar")
    for before, after in zip(shard.groups, loaded.groups, strict=True):
        assert before.keys == after.keys
        assert np.array_equal(before.pixels_nchw, after.pixels_nchw)
    again = sample_chips(scenes, per_scene=20, chip_px=64, seed=5)
    assert np.array_equal(shard.groups[0].pixels_nchw, again.groups[0].pixels_nchw)
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="Sample again"):
        ChipShard.load(tmp_path / "bad.npz")


def test_held_out_chips_share_no_scene_with_training():
    training, held = _shard().split()
    scenes = [{int(n) for group in part.groups for n in group.scene_n} for part in (training, held)]
    assert scenes[0]
    assert scenes[1]
    assert not scenes[0] & scenes[1]


class _NoPixels(ArrayScene):
    def read(self, window, band_indices=None):
        chip = super().read(window)
        return Chip(chip.pixels_chw, np.zeros_like(chip.valid_hw), window, chip.scene_id)


def test_a_scene_without_valid_pixels_is_an_error():
    empty = _NoPixels(np.ones((1, 80, 80), dtype=np.uint16))
    with pytest.raises(InputError, match="valid pixels"):
        sample_chips([(empty, InstrumentProfile("p", (0.0,), (1.0,)))], per_scene=4, chip_px=64)


def test_views_stay_in_range_and_draw_only_from_their_generator():
    images = torch.rand(6, 4, 48, 48)
    keys = (0.48, 0.56, 0.65, 0.84)
    views = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(9)
        view, seen = fewer_bands(relight(warp(images, 32, generator), generator), keys, generator)
        assert view.shape == (6, len(seen), 32, 32)
        assert 0 <= float(view.min()) <= float(view.max()) <= 1.25
        views.append(view)
    assert torch.equal(*views)
    counts = {len(fewer_bands(images, keys, torch.Generator().manual_seed(i))[1]) for i in range(40)}
    assert {1, 4} <= counts


def test_the_backbone_takes_adapters_and_metadata_where_it_is_told_to():
    shard = ChipShard(
        *(_shard().groups, _shard().scene_ids),
        np.random.default_rng(0).random((5, 2 * len(METADATA_FIELDS))).astype(np.float32),
    )
    start = train_backbone(shard, steps=1, config=TINY).state
    trained = train_backbone(shard, steps=2, init_state=start, bands="pca", metadata=True)
    assert {name.split(".")[3] for name in trained.state if name.startswith("backbone.adapters.maps")} == {"1", "2"}
    assert trained.state["backbone.film.mlp.2.weight"].abs().sum() > 0, "metadata were learned from"
    again = train_backbone(shard, steps=1, init_state=trained.state, bands="pca", metadata=True)
    assert torch.allclose(
        again.state["backbone.adapters.maps.2.projection.weight"].float(),
        trained.state["backbone.adapters.maps.2.projection.weight"].float(), atol=0.05,
    )  # fmt: skip
    model = build_backbone(trained.state)
    known = torch.from_numpy(shard.metadata_sm[:1])
    images = torch.rand(1, 2, 32, 32)
    assert not torch.equal(model(images, ("vv", "vh"), metadata_bm=known)[0], model(images, ("vv", "vh"))[0])


def test_a_shard_keeps_the_metadata_of_its_scenes(tmp_path):
    width = 2 * len(METADATA_FIELDS)
    shard = ChipShard(_shard().groups, _shard().scene_ids, np.arange(5 * width, dtype=np.float32).reshape(5, width))
    shard.save(tmp_path / "shard.npz")
    assert np.array_equal(ChipShard.load(tmp_path / "shard.npz").metadata_sm, shard.metadata_sm)
    _shard().save(tmp_path / "older.npz")
    assert ChipShard.load(tmp_path / "older.npz").metadata_sm is None
