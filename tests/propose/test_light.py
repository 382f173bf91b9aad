"""The learned proposer and fusion, with a network whose answers are known."""

import numpy as np
import pytest
import torch

from ovd_platform.errors import InputError, StaleError
from ovd_platform.flow.models import Starter
from ovd_platform.geometry.boxes import iou_matrix
from ovd_platform.models.light_detector import LAYOUT, DetectorMaps, LightDetector, LightDetectorConfig
from ovd_platform.propose.blocks import group_tiles
from ovd_platform.propose.fuse import FusedProposer, fuse_proposals
from ovd_platform.propose.light import LightProposer
from ovd_platform.propose.proposer import load_proposer
from ovd_platform.propose.working_scale import scales_for
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.stores.models import load_model_dir
from tests.propose.scenes import ArrayScene, plan, profile

CONFIG = LightDetectorConfig((8, 8, 8, 8), (1, 1, 1, 1), 8)
CARD = {
    "architecture": "light-detector", "layout": LAYOUT, "modality": "optical", "config": CONFIG.to_dict(), "band_counts": [1, 3],
    "input_scale": 1.0, "scales": [1.0], "training_gsd_m": 0.5, "instruments": ["test"], "halo_px": 24,
}  # fmt: skip


class SpotFinder(torch.nn.Module):
    """Answers 20 px boxes around bright pixels."""

    def forward(self, x_bchw):
        bright = torch.nn.functional.max_pool2d(x_bchw[:, :1].float(), 4)[:, 0]
        return DetectorMaps(bright * 20 - 10, torch.full((1, 4, *bright.shape[1:]), 10.0), torch.full_like(bright, 9.0))


def proposer(**card):
    made = LightProposer(LightDetector(CONFIG, (1, 3)).state_dict(), CARD | card, "v1")
    made._model = SpotFinder()
    return made


def spots(points, size=(500, 700), **given):
    pixels_chw = np.zeros((1, *size), np.float32)
    for x, y in points:
        pixels_chw[0, y, x] = 1.0
    return ArrayScene(pixels_chw, **given)


POINTS = [(30, 30), (255, 255), (256, 256 + 60), (511, 100), (690, 490), (128, 127), (400, 20)]


@pytest.mark.parametrize(("core_px", "halo_px"), [(128, 16), (200, 0), (512, 64)])
def test_each_object_is_answered_once_by_the_tile_that_holds_it(core_px, halo_px):
    scene = spots(POINTS)
    tiles = plan(scene, core_px, halo_px)
    found = proposer().propose(scene, tiles, profile(1), max_per_mpx=1000)
    assert len(found) == len(POINTS)
    for box, index in zip(found.boxes_scene_xyxy, found.tile_index_n, strict=True):
        assert any(box[0] <= x <= box[2] and box[1] <= y <= box[3] for x, y in POINTS)
        assert tiles[index].core.contains((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def test_the_cap_keeps_the_best():
    scene = spots(POINTS)
    scene.pixels_chw[0, 30, 30] = 0.9
    found = proposer().propose(scene, plan(scene), profile(1), max_per_mpx=6 / scene.record.area_mpx - 1e-6)
    assert len(found) == 6
    assert (np.diff(found.objectness_n) <= 0).all()
    assert not ((found.boxes_scene_xyxy[:, 0] < 40) & (found.boxes_scene_xyxy[:, 1] < 40)).any()


def test_scales_agree_on_one_object():
    scene = spots([(201, 201)])
    found = proposer(scales=[1.0, 0.98]).propose(scene, plan(scene), profile(1), max_per_mpx=100)
    assert len(found) == 1


def test_nothing_is_proposed_where_there_are_no_data():
    valid_hw = np.ones((500, 700), bool)
    valid_hw[:, :200] = False
    scene = spots(POINTS, valid_hw=valid_hw)
    found = proposer().propose(scene, plan(scene), profile(1), max_per_mpx=1000)
    assert len(found) == sum(x >= 200 for x, _ in POINTS)


def test_dropped_tiles_are_not_read():
    scene = spots(POINTS)
    assert group_tiles([]) == []
    assert len(proposer().propose(scene, [], profile(1), max_per_mpx=10)) == 0


def test_the_other_modality_is_refused():
    scene = spots(POINTS, modality="sar")
    with pytest.raises(InputError, match="expected a proposer for sar"):
        proposer().propose(scene, plan(scene), profile(1), max_per_mpx=10)


def test_scales_follow_the_ground_sample_distance_and_the_card():
    assert scales_for(CARD, spots([], gsd_m=0.5).record) == (1.0,)
    assert scales_for(CARD, spots([], gsd_m=1.0).record) == (2.0,)
    assert scales_for(CARD, spots([], gsd_m=0.31).record) == (0.625,), "0.62 lies close to five eighths"
    assert scales_for(CARD, spots([], gsd_m=0.34).record) == (0.68,)
    assert scales_for(CARD | {"scales": [1.0, 0.5]}, spots([], gsd_m=1.0).record) == (1.0, 0.5)


def test_weights_of_another_layout_are_stale():
    with pytest.raises(StaleError, match=f"layout {LAYOUT}, got {LAYOUT + 1}"):
        load_proposer(LightDetector(CONFIG, (1, 3)).state_dict(), CARD | {"layout": LAYOUT + 1}, "v")


def shipped(**given):
    return LightProposer(*load_model_dir(Starter.of("optical-proposer").folder), "starter", scales=(1.0,), **given)


def blobs(side=640):
    """Bright rectangles on textured ground."""
    rng = np.random.default_rng(3)
    pixels_chw = np.tile(0.3 + 0.05 * rng.standard_normal((side, side)), (3, 1, 1)).astype(np.float32)
    for x, y in rng.integers(20, side - 80, (40, 2)):
        width, height = rng.integers(10, 50, 2)
        pixels_chw[:, y : y + height, x : x + width] = rng.uniform(0.6, 1.0)
    return np.clip(pixels_chw, 0, 1)


def test_both_number_formats_find_the_same_objects():
    pixels_chw = blobs()
    exact, reduced = (shipped(reduced=one).image_boxes(pixels_chw) for one in (False, True))
    sure = exact[1] >= 0.2
    assert sure.sum() >= 10
    overlap = iou_matrix(exact[0][sure], reduced[0])
    best = overlap.argmax(1)
    assert (overlap.max(1) >= 0.9).mean() >= 0.97
    assert np.abs(exact[1][sure] - reduced[1][best])[overlap.max(1) >= 0.9].max() <= 0.05


def test_another_grid_of_tiles_finds_the_same_objects():
    scene = ArrayScene(blobs(1024), gsd_m=0.7)
    maker = LightProposer(*load_model_dir(Starter.of("optical-proposer").folder), "starter", scales=(1.0, 0.5))
    first, second = (maker.propose(scene, plan(scene, core_px, 16), profile(3), max_per_mpx=1000) for core_px in (128, 200))
    sure = first.objectness_n >= 0.2
    assert sure.sum() >= 10
    assert (iou_matrix(first.boxes_scene_xyxy[sure], second.boxes_scene_xyxy).max(1) >= 0.8).mean() >= 0.98


def test_unknown_architectures_are_refused():
    with pytest.raises(InputError, match="light-detector"):
        load_proposer({}, {"architecture": "other"}, "v")


def proposals(boxes, scores, name):
    count = len(boxes)
    return ProposalSet("scene", np.array(boxes, np.float32), np.array(scores, np.float32), np.zeros(count, np.int32), name)


def test_fusion_drops_duplicates_of_others_but_not_own_neighbours():
    record = spots([]).record
    a = proposals([[0, 0, 20, 20], [4, 0, 24, 20]], [0.9, 0.8], "a")
    b = proposals([[1, 1, 20, 20], [100, 100, 120, 120]], [0.95, 0.4], "b")
    fused = fuse_proposals([a, b], record, "f", 1000, weights=[1.0, 0.5])
    assert fused.boxes_scene_xyxy.tolist() == [[0, 0, 20, 20], [4, 0, 24, 20], [100, 100, 120, 120]]
    assert fused.objectness_n.tolist() == pytest.approx([0.9, 0.8, 0.2])
    with pytest.raises(InputError, match="of that scene"):
        fuse_proposals([], record, "f", 10)


def test_a_fused_proposer_is_the_union():
    scene = spots(POINTS)
    fused = FusedProposer([proposer(), proposer()])
    assert len(fused.propose(scene, plan(scene), profile(1), max_per_mpx=1000)) == len(POINTS)
