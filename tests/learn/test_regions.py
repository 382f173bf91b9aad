import numpy as np
import pytest
import torch
from array_scene import ArrayScene

from ovd_platform.learn.background import sample_background
from ovd_platform.learn.region_crops import BACKGROUND, gather_regions
from ovd_platform.learn.region_scores import INSTANCE_WEIGHT, MARGIN_OVER_KNOWN
from ovd_platform.learn.regions import BatchDraw, contrastive_loss, train_regions
from ovd_platform.models.vit import MultiBandViT, ViTConfig, half_state
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.records.annotation import Annotation

TINY = ViTConfig(img_px=32, dim=48, depth=2, heads=3)
PROFILE = InstrumentProfile("x", (0.0,), (1000.0,))


def _world(count=6):
    """Crosses and bright squares on noise."""
    scenes, labels = [], []
    for number in range(count):
        rng = np.random.default_rng(number)
        pixels = rng.integers(200, 350, (1, 400, 400)).astype(np.uint16)
        for index in range(12):
            x, y = 40 + 90 * (index % 4), 60 + 120 * (index // 4)
            if index % 2:
                pixels[:, y : y + 24, x : x + 24] = 900
            else:
                pixels[:, y + 10 : y + 14, x : x + 24] = 900
                pixels[:, y : y + 24, x + 10 : x + 14] = 900
            corners = ((x, y), (x + 24, y), (x + 24, y + 24), (x, y + 24))
            labels.append(Annotation(f"{number}-{index}", f"s{number}", "roof" if index % 2 else "cross", corners))
        scenes.append((ArrayScene(pixels, f"s{number}"), PROFILE))
    return scenes, labels


def test_loss_is_lower_where_classes_are_together():
    together = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1], [1.0, 0.0], [-1.0, 0.1], [-1.0, 0.0]]), dim=1)
    label = torch.tensor([0, 0, 1, 1])
    assert contrastive_loss(together, label) < contrastive_loss(together, torch.tensor([0, 1, 0, 1]))
    # Four equal vectors: each of the three others is equally likely, log 3.
    same = torch.ones(4, 2) / 2**0.5
    assert float(contrastive_loss(same, label)) == pytest.approx(np.log(3), abs=1e-5)


def test_background_touches_no_label():
    scenes, labels = _world(1)
    boxes = np.array([one.box_scene_xyxy for one in labels], dtype=np.float32)
    found = sample_background(*scenes[0], boxes, 40, np.random.default_rng(0))
    assert len(found) > 10
    for x0, y0, x1, y1 in found:
        assert not np.any((boxes[:, 0] < x1) & (boxes[:, 2] > x0) & (boxes[:, 1] < y1) & (boxes[:, 3] > y0))
    sides = found[:, 2] - found[:, 0]
    assert 10 < np.median(sides) < 50


def test_training_separates_classes_and_background_on_scenes_it_never_saw():
    scenes, labels = _world()
    torch.manual_seed(0)
    start = half_state(RegionModelOf(TINY))
    groups, classes = gather_regions(scenes, labels, background_per_scene=20)
    assert classes == ["cross", "roof"]
    assert sum(int((group.label_n == BACKGROUND).sum()) for group in groups) > 40
    trained = train_regions(scenes, labels, start, steps=25, background_per_scene=20)
    scores = trained.card["scores"]
    assert scores["held_out_scenes"] == 1
    assert scores["knn_object"] > 0.85
    assert scores["knn_class"] > 0.7
    assert any(name.startswith("visual_head.") for name in trained.state)


def test_a_batch_pairs_objects_across_instruments():
    few = np.array([BACKGROUND] * 20 + [0] * 4 + [1] * 4)
    draw = BatchDraw([few, few])
    mixed = 0
    for seed in range(10):
        batch = draw.batch(16, torch.Generator().manual_seed(seed))
        assert sum(len(rows) for _, rows in batch) <= 16
        labels = [few[rows] for _, rows in batch]
        assert 0.3 < np.mean(np.concatenate(labels) == BACKGROUND) < 0.8
        mixed += len(batch) == 2 and bool(set(labels[0][labels[0] >= 0]) & set(labels[1][labels[1] >= 0]))
    assert mixed >= 5


def test_a_finished_model_is_kept_where_training_does_not_beat_it():
    scenes, labels = _world()
    torch.manual_seed(0)
    good = train_regions(scenes, labels, half_state(RegionModelOf(TINY)), steps=25, background_per_scene=20)
    torch.manual_seed(1)
    trained = train_regions(scenes, labels, half_state(RegionModelOf(TINY)), known=good.state, steps=1, background_per_scene=20)
    assert trained.card["scores"]["knn_class"] >= trained.card["scores"]["knn_class_known"] - 0.2
    kept = trained.card["scores"]["kept"]
    sums = {
        name: sum(
            weight * trained.card["scores"][f"{key}_{name}"]
            for key, weight in (("knn_object", 1.0), ("knn_class", 1.0), ("instance_r@1", INSTANCE_WEIGHT))
        )
        for name in ("known", "head", "joint")
    }
    sums["known"] += MARGIN_OVER_KNOWN
    assert sums[kept] == pytest.approx(max(sums.values()))


def test_unlabelled_scenes_still_train_by_their_own_views():
    scenes, _ = _world(2)
    start = half_state(RegionModelOf(TINY))
    trained = train_regions(scenes, [], start, steps=2)
    assert trained.card["steps"] == 2
    assert trained.card["scores"]["held_out_scenes"] == 0


class RegionModelOf(torch.nn.Module):
    """Only a backbone, named as in a state."""

    def __init__(self, config):
        super().__init__()
        self.backbone = MultiBandViT(config)
