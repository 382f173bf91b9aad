"""Training of the proposer: it learns, resumes exactly, ignores what it should."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ovd_platform.errors import InputError
from ovd_platform.learn import proposer as recipe_module
from ovd_platform.learn.proposer import ProposerRecipe, choose_input_scale, train_proposer
from ovd_platform.learn.proposer_crops import CropSampler, labelled_scenes, load_regions
from ovd_platform.learn.proposer_loss import detector_loss, paint_targets
from ovd_platform.models.light_detector import SIZES, DetectorMaps, LightDetectorConfig
from ovd_platform.propose.light import LightProposer
from tests.propose.scenes import ArrayScene, plan, profile

TINY = ProposerRecipe(crop_px=96, batch=4, config=LightDetectorConfig((12, 16, 16, 16), (1, 1, 1, 1), 16))


def world(seed, bands=3, size=256, count=12):
    """Bright rectangles on noise, and their boxes."""
    rng = np.random.default_rng(seed)
    pixels_chw = rng.normal(0.3, 0.05, (bands, size, size)).astype(np.float32)
    boxes = []
    for x in range(20, size - 30, 56):
        for y in range(20, size - 30, 56):
            w, h = rng.integers(14, 26, 2)
            boxes.append((x, y, x + w, y + h))
            pixels_chw[:, y : y + h, x : x + w] += 0.5
    return ArrayScene(pixels_chw, scene_id=f"s{seed}"), np.array(boxes[:count] and boxes, np.float32)


LEAN = ProposerRecipe(crop_px=96, batch=4, config=replace(SIZES["lean"], widths=(12, 16, 16, 16), neck=16, stem=12))


@pytest.mark.parametrize("recipe", [TINY, LEAN])
def test_it_finds_what_it_was_shown_in_a_scene_it_was_not(recipe):
    train = [world(seed) for seed in (1, 2)]
    trained = train_proposer(
        [(scene, profile(3)) for scene, _ in train], {scene.record.scene_id: boxes for scene, boxes in train},
        steps=120, seed=0, input_scale=1.0, recipe=recipe,
    )  # fmt: skip
    scene, truth = world(9)
    found = LightProposer(trained.state, trained.card, "v").propose(scene, plan(scene, 128, 16), profile(3), max_per_mpx=1000)
    overlap = iou(truth, found.boxes_scene_xyxy).max(1)
    assert (overlap >= 0.5).mean() >= 0.9
    blind = LightProposer(fresh_state(trained), trained.card, "v").propose(
        scene, plan(scene, 128, 16), profile(3), max_per_mpx=1000
    )
    assert len(blind) == 0 or (iou(truth, blind.boxes_scene_xyxy).max(1) >= 0.5).mean() < 0.5


def iou(a, b):
    inter = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2]), 0, None).prod(2)
    return inter / ((a[:, 2:] - a[:, :2]).prod(1)[:, None] + (b[:, 2:] - b[:, :2]).prod(1) - inter)


def fresh_state(trained):
    rng = torch.Generator().manual_seed(0)
    return {
        k: torch.randn(v.shape, generator=rng) * 0.05 if v.dtype.is_floating_point and v.ndim > 1 else v
        for k, v in trained.state.items()
    }


class InterruptedTrainingError(Exception):
    pass


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path, monkeypatch):
    scene, boxes = world(1)
    given = {"steps": 6, "seed": 3, "input_scale": 1.0, "recipe": TINY}
    whole = train_proposer([(scene, profile(3))], {"s1": boxes}, **given)
    step = recipe_module._Run._one_step

    def stopping(self, *args):
        if self.step == 3:
            self.save(tmp_path)
            raise InterruptedTrainingError
        step(self, *args)

    monkeypatch.setattr(recipe_module._Run, "_one_step", stopping)
    with pytest.raises(InterruptedTrainingError):
        train_proposer([(scene, profile(3))], {"s1": boxes}, checkpoint_dir=tmp_path, **given)
    monkeypatch.setattr(recipe_module._Run, "_one_step", step)
    resumed = train_proposer([(scene, profile(3))], {"s1": boxes}, checkpoint_dir=tmp_path, **given)
    for name, tensor in whole.state.items():
        torch.testing.assert_close(resumed.state[name], tensor)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_recipe_is_not_used(tmp_path):
    scene, boxes = world(1)
    run = recipe_module._Run(TINY, (1, 3, 4), 0, None, np.random.default_rng(0), "other")
    run.step = 99
    run.save(tmp_path)
    trained = train_proposer(
        [(scene, profile(3))], {"s1": boxes}, steps=1, input_scale=1.0, recipe=TINY, checkpoint_dir=tmp_path
    )
    assert trained.card["steps"] == 1


def test_sizes_survive_a_card_and_older_cards_have_the_usual_stem():
    for size in SIZES.values():
        assert LightDetectorConfig.from_dict(size.to_dict()) == size
    older = {name: value for name, value in SIZES["light"].to_dict().items() if name != "stem"}
    assert LightDetectorConfig.from_dict(older) == SIZES["light"]


def test_starting_weights_are_taken_over():
    scene, boxes = world(1)
    given = {"input_scale": 1.0, "recipe": TINY}
    first = train_proposer([(scene, profile(3))], {"s1": boxes}, steps=2, seed=0, **given)
    run = recipe_module._Run(TINY, (1, 3, 4), 5, first.state, np.random.default_rng(0), "x")
    torch.testing.assert_close(run.model.state_dict()["out.weight"], first.state["out.weight"].float())


@pytest.mark.parametrize("budget", [{}, {"minutes": 1, "steps": 1}])
def test_one_budget_is_needed(budget):
    scene, boxes = world(1)
    with pytest.raises(InputError, match="minutes or steps"):
        train_proposer([(scene, profile(3))], {"s1": boxes}, **budget)


def test_labels_are_needed():
    scene, _ = world(1)
    with pytest.raises(InputError, match="at least one labelled object"):
        train_proposer([(scene, profile(3))], {}, steps=1)


def test_scale_follows_the_labels():
    sides = np.array([[0, 0, 88, 88]], np.float32)
    assert choose_input_scale([sides]) == 0.5
    assert choose_input_scale([sides / 4]) == 2.0
    assert choose_input_scale([]) == 1.0


def test_boxes_follow_their_pixels_through_every_augmentation():
    pixels_chw = np.zeros((3, 200, 200), np.float32)
    pixels_chw[:, 60:80, 90:130] = 1.0
    scene = ArrayScene(pixels_chw, scene_id="one")
    labelled = labelled_scenes([(scene, profile(3))], {"one": np.array([[90, 60, 130, 80]])}, None)
    rng = np.random.default_rng(0)
    sampler = CropSampler(load_regions(labelled, 1.0, 10**9, rng), 96)
    seen = 0
    for crop in sampler.batch(60, rng):
        for box in crop.boxes_n4:
            rows, cols = np.nonzero(crop.pixels_chw.mean(0) > 0.5)
            np.testing.assert_allclose([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1], box, atol=2)
            seen += 1
    assert seen > 20


def test_scenes_over_the_memory_budget_are_sampled_in_blocks():
    scene = ArrayScene(np.zeros((1, 2600, 2600), np.float32), scene_id="big")
    labelled = labelled_scenes([(scene, profile(1))], {"big": np.array([[1300, 1300, 1340, 1340]])}, None)
    regions = load_regions(labelled, 1.0, 2 * 3 * 1024**2, np.random.default_rng(0))
    assert len(regions) == 3
    assert all(region.pixels_chw.shape == (1, 1024, 1024) for region in regions)
    assert any(len(region.boxes_n4) for region in regions)


def test_difficult_objects_cost_nothing():
    heat = torch.full((1, 24, 24), -6.0)
    heat[0, 8:12, 8:12] = 6.0
    maps = DetectorMaps(heat, torch.ones(1, 4, 24, 24), torch.zeros(1, 24, 24))
    none, box = np.zeros((0, 4), np.float32), np.array([[32, 32, 48, 48]], np.float32)
    ignored, _ = detector_loss(maps, paint_targets([none], [box], 96))
    background, _ = detector_loss(maps, paint_targets([none], [none], 96))
    assert ignored < 0.1 < background


@pytest.mark.parametrize("bands", ["native", "pca", "first3"])
def test_other_readings_of_bands_train_from_weights_of_three(bands):
    from dataclasses import replace

    three, boxes = world(1)
    start = train_proposer([(three, profile(3))], {"s1": boxes}, steps=2, seed=0, input_scale=1.0, recipe=TINY)
    five, boxes5 = world(2, bands=5)
    trained = train_proposer(
        [(five, profile(5))], {"s2": boxes5}, steps=3, seed=0, input_scale=1.0, recipe=replace(TINY, bands=bands),
        init_state=start.state,
    )  # fmt: skip
    assert trained.card["bands"] == bands
    own = "kernels.kernels.5" if bands == "native" else "adapters.maps.5.projection.weight"
    assert trained.state[own].shape[1] == 5
    proposer = LightProposer(trained.state, trained.card, "v")
    proposer.propose(five, plan(five, 128, 16), profile(5), max_per_mpx=1000)
