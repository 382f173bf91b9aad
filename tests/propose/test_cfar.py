"""CFAR: stated rates on simulated clutter, exact thresholds, masks, boxes, and real SAR chips."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ovd_platform.errors import InputError
from ovd_platform.geometry.boxes import iou_matrix
from ovd_platform.propose.cfar import CfarProposer, CfarSettings, detect_targets, sar_intensity
from ovd_platform.propose.cfar_boxes import Exceedance, boxes_from_exceedance
from ovd_platform.propose.cfar_kernel import ring_means, ring_means_whole, ring_orders
from ovd_platform.propose.clutter import Clutter, ca_factor, cell_statistics, estimate_clutter, exceedance, os_factor
from tests.propose.scenes import ArrayScene, plan, profile


def clutter(shape, looks, seed, texture=np.inf):
    rng = np.random.default_rng(seed)
    speckle = rng.gamma(looks, 1 / looks, shape)
    return (speckle if np.isinf(texture) else speckle * rng.gamma(texture, 1 / texture, shape)).astype(np.float32)


@pytest.mark.parametrize("method", ["ca", "os"])
@pytest.mark.parametrize(("looks", "texture"), [(1.0, np.inf), (4.4, np.inf), (3.0, 1.5)])
def test_false_alarm_rate_is_kept_within_a_tenth(method, looks, texture):
    setup = CfarSettings(method, 2e-3, guard_px=3, train_px=8, censor=False)
    alarms = pixels = 0
    for seed in range(2):
        intensity_hw = clutter((1016, 1016), looks, seed, texture) * np.float32(37.0)
        valid_hw = np.ones_like(intensity_hw, bool)
        found = detect_targets(intensity_hw, valid_hw, setup, estimate_clutter([cell_statistics(intensity_hw, valid_hw)]))
        alarms += found.detected_hw.sum()
        pixels += 1000 * 1000
    assert alarms / pixels == pytest.approx(2e-3, rel=0.1)


def test_texture_unaccounted_for_breaks_the_rate():
    setup = CfarSettings("ca", 2e-3, guard_px=3, train_px=8, censor=False)
    intensity_hw = clutter((1016, 1016), 3.0, 1, 1.5)
    found = detect_targets(intensity_hw, np.ones_like(intensity_hw, bool), setup, Clutter(3.0))
    assert found.detected_hw.mean() > 5 * 2e-3


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 4), st.integers(1, 5))
def test_means_without_invalid_pixels_equal_those_with_a_full_mask(seed, guard_px, extra_px):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, 2)
    intensity_hw = (rng.gamma(1, 1, (height, width)) * 10.0 ** rng.uniform(0, 6)).astype(np.float32)
    mean_hw, above_hw = ring_means_whole(intensity_hw, guard_px, guard_px + extra_px, 1.5)
    if min(height, width) < 2 * (guard_px + extra_px) + 1:
        assert not mean_hw.any()
        assert not above_hw.any()
        return
    slow_hw, _ = ring_means(intensity_hw, np.ones_like(intensity_hw, bool), guard_px, guard_px + extra_px)
    np.testing.assert_allclose(mean_hw, slow_hw, rtol=1e-5)
    inside = mean_hw > 0
    np.testing.assert_array_equal(above_hw[inside], (intensity_hw > np.float32(1.5) * mean_hw)[inside])


def test_false_alarm_rate_holds_beside_invalid_pixels_and_with_censoring():
    intensity_hw = clutter((1032, 1032), 1.0, 7)
    valid_hw = np.ones_like(intensity_hw, bool)
    valid_hw[:, ::5] = False
    intensity_hw[~valid_hw] = 1e6
    setup = CfarSettings("ca", 2e-3, looks=1.0, guard_px=3, train_px=16)
    found = detect_targets(intensity_hw, valid_hw, setup, Clutter(1.0))
    assert not found.detected_hw[~valid_hw].any()
    assert found.detected_hw.sum() / valid_hw[16:-16, 16:-16].sum() == pytest.approx(2e-3, rel=0.12)


def test_ca_factor_is_the_textbook_one_for_one_look():
    assert ca_factor(1e-6, Clutter(1.0), 40) == pytest.approx(40 * (1e-6 ** (-1 / 40) - 1), rel=1e-6)


def test_os_factor_is_the_textbook_one_for_one_look():
    count, k = 32, 24
    factor = os_factor(1e-4, Clutter(1.0), count, 0.75)
    i = np.arange(k)
    assert np.prod((count - i) / (count - i + factor)) == pytest.approx(1e-4, rel=1e-3)


def test_many_training_pixels_approach_the_known_clutter():
    assert ca_factor(1e-5, Clutter(3.0), 10**7) == pytest.approx(stats.gamma.isf(1e-5, 3.0, scale=1 / 3), rel=1e-3)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 3), st.integers(1, 4))
def test_ring_kernels_equal_direct_counting(seed, guard_px, extra_px):
    rng = np.random.default_rng(seed)
    train_px = guard_px + extra_px
    height, width = rng.integers(2 * train_px + 1, 2 * train_px + 9, 2)
    levels_hw = rng.uniform(0, 40, (height, width)).astype(np.float32)
    valid_hw = rng.random((height, width)) < 0.8
    mean_hw, count_hw = ring_means(levels_hw, valid_hw, guard_px, train_px)
    order_hw, order_count_hw = ring_orders(levels_hw, valid_hw, guard_px, train_px, 0.75, 40)
    ring = np.ones((2 * train_px + 1,) * 2, bool)
    ring[extra_px : extra_px + 2 * guard_px + 1, extra_px : extra_px + 2 * guard_px + 1] = False
    for row in range(train_px, height - train_px):
        for col in range(train_px, width - train_px):
            cut = np.s_[row - train_px : row + train_px + 1, col - train_px : col + train_px + 1]
            values = levels_hw[cut][ring & valid_hw[cut]]
            assert count_hw[row, col] == order_count_hw[row, col] == len(values)
            if len(values):
                assert mean_hw[row, col] == pytest.approx(values.mean(), rel=1e-5)
                exact = np.sort(values)[int(np.ceil(0.75 * len(values))) - 1]
                assert abs(order_hw[row, col] - exact) <= 1.0


def test_clutter_is_estimated_from_mixed_ground():
    intensity_hw = clutter((512, 512), 4.0, 3)
    intensity_hw[:, 300:] *= np.random.default_rng(0).gamma(1, 1, (512, 212)).astype(np.float32)
    found = estimate_clutter([cell_statistics(intensity_hw, np.ones((512, 512), bool))])
    assert found.looks == pytest.approx(4.0, rel=0.12)
    assert found.texture > 20


def test_tail_of_textured_clutter_is_the_simulated_one():
    drawn = np.sort(clutter(2_000_000, 2.0, 5, texture=3.0).astype(float))
    for share in (0.5, 1e-2, 1e-3):
        assert exceedance(np.array([drawn[int(len(drawn) * (1 - share))]]), Clutter(2.0, 3.0))[0] == pytest.approx(
            share, rel=0.06
        )


def test_amplitude_and_complex_agree():
    z = np.array([[[3 + 4j, 1j]]], np.complex64)
    np.testing.assert_allclose(sar_intensity(z), sar_intensity(np.abs(z)), rtol=1e-6)


def test_parts_of_a_target_become_one_box_and_weak_growth_alone_none():
    grown_hw = np.zeros((40, 60), bool)
    grown_hw[10:14, 5:12] = grown_hw[10:14, 14:20] = grown_hw[30:36, 40:50] = True
    detected_hw = np.zeros_like(grown_hw)
    detected_hw[11:13, 6:8] = True
    boxes_n4, objectness_n = boxes_from_exceedance(
        Exceedance(detected_hw, grown_hw, np.where(grown_hw, 3.9, -15).astype(np.float32)), gap_px=4
    )
    assert [5, 10, 20, 14] in boxes_n4.tolist(), "parts joined"
    assert not (boxes_n4[:, 0] >= 35).any()
    assert ((objectness_n > 0) & (objectness_n < 1)).all()


def test_sidelobes_do_not_widen_a_target():
    excess_hw = np.full((60, 90), -15, np.float32)
    excess_hw[30, 5:85] = excess_hw[5:55, 40] = 7.0
    excess_hw[26:34, 30:52] = 16.0
    boxes_n4, _ = boxes_from_exceedance(Exceedance(excess_hw > 10, excess_hw > 0, excess_hw))
    assert iou_matrix(boxes_n4, [[30, 26, 52, 34]])[0, 0] > 0.7


def ships(height=700, width=900):
    scene_hw = np.sqrt(clutter((height, width), 1.0, 11))
    truth = [(100, 100, 112, 104), (505, 300, 519, 306), (700, 508, 705, 520), (895, 600, 900, 610)]
    for x0, y0, x1, y1 in truth:
        scene_hw[y0:y1, x0:x1] = 12.0
    return scene_hw.astype(np.float32), np.array(truth, np.float32)


@pytest.mark.parametrize("method", ["ca", "os"])
def test_ships_are_found_once_each_across_seams_and_at_the_edge(method):
    pixels_hw, truth = ships()
    scene = ArrayScene(pixels_hw[None], modality="sar")
    setup = CfarSettings(method, 1e-7, looks=1.0, texture=np.inf, guard_px=16, train_px=24)
    found = CfarProposer(setup).propose(scene, plan(scene, 256, 32), profile(1), max_per_mpx=100)
    overlap_nt = iou_matrix(found.boxes_scene_xyxy, truth)
    assert (overlap_nt.max(0) > 0.5).all()
    assert (overlap_nt.argmax(0) < 2 * len(truth)).all(), "the good box of each is among the best"
    assert (overlap_nt.max(1) > 0).all(), "nothing elsewhere"


def test_speckle_alone_yields_next_to_nothing():
    scene = ArrayScene(np.sqrt(clutter((1, 800, 800), 2.0, 4)), modality="sar")
    found = CfarProposer(CfarSettings(false_alarm_rate=1e-6)).propose(scene, plan(scene), profile(1), max_per_mpx=1000)
    assert len(found) <= 3


def test_optical_scenes_are_refused():
    scene = ArrayScene(np.ones((1, 64, 64), np.uint16))
    with pytest.raises(InputError, match="expected SAR"):
        CfarProposer().propose(scene, plan(scene), profile(1), max_per_mpx=10)


def test_broken_settings_are_refused():
    with pytest.raises(InputError, match="guard_px < train_px"):
        CfarSettings(guard_px=10, train_px=10)
