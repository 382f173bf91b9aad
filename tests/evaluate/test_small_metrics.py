"""Retrieval, calibration, duplicates and georeference against figures worked by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.errors import InputError, ShapeError
from ovd_platform.evaluate.calibration import brier_score, expected_calibration_error, reliability_bins
from ovd_platform.evaluate.duplicates import per_thousand, seam_duplicates
from ovd_platform.evaluate.georef import affine_lonlat, corner_errors_px, corners_scene_xy, footprint_errors_px
from ovd_platform.evaluate.retrieval import RetrievalQuery, evaluate_query, judge_hits, score_ranking
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.prompt import Hit
from tests.evaluate.evaluation_world import make_scene


def hit(rank: int, scene_id: str, box: tuple[float, float, float, float]) -> Hit:
    return Hit(rank, f"p{rank}", scene_id, "v", "t", box, 1.0 / rank, 0.5, 0.5, None, "pan", "", "", "e1")


def square(scene_id: str, x: float, name: str = "ship", *, difficult: bool = False) -> Annotation:
    return Annotation(
        f"{scene_id}{x}", scene_id, name, ((x, 0.0), (x + 20, 0.0), (x + 20, 20.0), (x, 20.0)), difficult=difficult
    )


def box(x: float) -> tuple[float, float, float, float]:
    return (x, 0.0, x + 20.0, 20.0)


def test_ranking_figures_by_hand() -> None:
    got = score_ranking(np.array([True, False, True, False]), 4, ks=(2, 4))
    assert got["ap"] == pytest.approx((1 + 2 / 3) / 4, abs=1e-6)
    assert (got["p_at_2"], got["r_at_2"], got["p_at_4"], got["r_at_4"]) == (0.5, 0.25, 0.5, 0.5)
    assert got["ndcg_at_2"] == pytest.approx(1 / (1 + 1 / np.log2(3)), abs=1e-6)
    rare = score_ranking(np.array([True] + [False] * 9), 1, ks=(10,))
    assert (rare["p_at_10"], rare["p_at_10_reachable"], rare["ndcg_at_10"], rare["ap"]) == (0.1, 1.0, 1.0, 1.0)
    assert score_ranking(np.array([False]), 0, ks=(10,))["ap"] is None


def test_hits_are_judged_across_scenes_and_repeats_and_unknowns_leave_the_ranking() -> None:
    truth = {"a": [square("a", 0), square("a", 100, difficult=True), square("a", 200, "plane")], "b": [square("b", 0)], "c": []}
    hits = (
        hit(1, "a", box(0)),
        hit(2, "a", box(1)),  # the same object again
        hit(3, "a", box(100)),  # difficult
        hit(4, "a", box(200)),  # another class
        hit(5, "elsewhere", box(0)),
        hit(6, "b", box(0)),
    )
    query = RetrievalQuery("q", "a ship", "text", "ship", hits, index_size=1000)
    judged = judge_hits(query, truth)
    assert judged.relevant_n.tolist() == [True, False, True]
    assert judged.position_n == (0, 3, 5)
    assert (judged.relevant_total, judged.repeats, judged.ignored, judged.outside) == (2, 1, 1, 1)
    row = evaluate_query(query, truth, candidates=5)
    assert row["prevalence"] == 0.002
    assert row["ap"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(relevant=st.lists(st.booleans(), min_size=1, max_size=40), missing=st.integers(0, 5))
def test_ranking_figures_stay_in_bounds_and_a_perfect_order_scores_best(relevant: list[bool], missing: int) -> None:
    total = sum(relevant) + missing
    got = score_ranking(np.array(relevant), total)
    best = score_ranking(np.array(sorted(relevant, reverse=True)), total)
    for name, value in got.items():
        if value is not None:
            assert 0 <= value <= 1
            assert value <= best[name] + 1e-9  # type: ignore[operator]


def test_calibration_by_hand() -> None:
    probability, true = np.array([0.1, 0.1, 0.9, 0.9, 1.0]), np.array([False, True, True, True, True])
    table = reliability_bins(probability, true, bins=2)
    assert [(row.count, row.stated, row.observed) for row in table] == [(2, 0.1, 0.5), (3, pytest.approx(2.8 / 3), 1.0)]
    assert expected_calibration_error(table) == pytest.approx((2 * 0.4 + 3 * 0.2 / 3) / 5)
    assert brier_score(probability, true) == pytest.approx((0.01 + 0.81 + 0.01 + 0.01) / 5)
    assert np.isnan(expected_calibration_error(reliability_bins(np.zeros(0), np.zeros(0))))
    with pytest.raises(ShapeError, match="one truth a probability"):
        reliability_bins(np.zeros(2), np.zeros(3))


def test_probabilities_that_are_true_have_a_small_calibration_error_and_shifted_ones_do_not() -> None:
    rng = np.random.default_rng(4)
    probability = rng.random(20_000)
    true = rng.random(20_000) < probability
    assert expected_calibration_error(reliability_bins(probability, true)) < 0.02
    assert expected_calibration_error(reliability_bins(np.clip(probability + 0.2, 0, 1), true)) > 0.12


def test_only_the_same_class_from_another_tile_is_a_duplicate() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 1, 10, 11], [0, 0, 10, 10], [30, 0, 40, 10]], dtype=float)
    got = seam_duplicates(boxes, ["t0", "t1", "t0", "t1", "t1"], ["ship", "ship", "ship", "plane", "ship"])
    assert got.tolist() == [False, True, True, False, False]
    assert per_thousand(2, 5) == 400.0
    assert np.isnan(per_thousand(0, 0))


def test_a_ring_moved_by_half_a_pixel_has_an_error_of_half_a_pixel() -> None:
    scene = make_scene(2)
    box_px = (100.0, 200.0, 130.0, 260.0)
    right = affine_lonlat(scene, corners_scene_xy(box_px))
    moved = affine_lonlat(scene, corners_scene_xy((100.5, 200.0, 130.5, 260.0)))
    assert corner_errors_px(right, np.vstack([right[2:], right[:3]]), 1.0).max() < 1e-6
    errors = footprint_errors_px(scene, [box_px, box_px], [right.tolist(), moved.tolist()])
    assert errors == pytest.approx([0.0, 0.5], abs=2e-3)


def test_the_antimeridian_is_no_special_case() -> None:
    assert corner_errors_px([[179.999999, 10.0]], [(-179.999999, 10.0)], 1.0)[0] == pytest.approx(0.219, abs=0.01)


def test_a_scene_without_georeference_is_an_error() -> None:
    with pytest.raises(InputError, match="georeference"):
        affine_lonlat(make_scene(1, place=False), np.zeros((1, 2)))
