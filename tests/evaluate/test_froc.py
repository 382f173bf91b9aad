"""FROC, bootstrap and proposals against figures worked by hand."""

import numpy as np
import pytest

from ovd_platform.errors import InputError, ShapeError
from ovd_platform.evaluate.bootstrap import (
    Replicates,
    interval,
    resampling_weights,
    share_figure,
    wilson_interval,
    with_binomial,
)
from ovd_platform.evaluate.froc import Exposure, froc_curve, is_resolved, recall_at_rates, scene_exposure
from ovd_platform.evaluate.inputs import EvaluationInput
from ovd_platform.evaluate.proposals import proposal_reach, recall_at_budgets
from ovd_platform.evaluate.ranking import Ranking, average_precision
from ovd_platform.evaluate.scene_boxes import scene_boxes
from ovd_platform.evaluate.unjudged import taken_off_px
from ovd_platform.records.annotation import Annotation
from tests.evaluate.evaluation_world import make_scene


def by_hand() -> Ranking:
    """Two scenes with 3 + 1 objects; ranked: T(0) F(1) T(1) F(0) T(0) F(1)."""
    return Ranking(
        np.array([0, 1, 1, 0, 0, 1]),
        np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]),
        np.array([True, False, True, False, True, False]),
        np.array([3, 1]),
    )


def test_recall_at_rates_by_hand() -> None:
    ground = np.array([1.0, 1.0])  # 2 km2: a rate of 0.5 allows one false alarm, 1.0 two
    got = recall_at_rates(by_hand(), ground, [0.1, 0.5, 1.0, 10.0])
    assert got.tolist() == [0.25, 0.5, 0.75, 0.75]
    curve = froc_curve(by_hand(), ground)
    assert curve.rate_m.tolist() == [0, 0, 0.5, 0.5, 1.0, 1.0, 1.5]
    assert curve.recall_m.tolist() == [0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    assert curve.threshold_m[0] == np.inf


def test_ground_without_objects_counts() -> None:
    ranking = by_hand()
    wider = Ranking(ranking.scene_n, ranking.scores_n, ranking.true_n, np.array([3, 1, 0]))
    assert recall_at_rates(wider, np.array([1.0, 1.0, 18.0]), [0.1]).tolist() == [0.75]
    with pytest.raises(ShapeError, match="one area a scene"):
        froc_curve(wider, np.array([1.0, 1.0]))


def test_equal_scores_are_let_in_together() -> None:
    tied = Ranking(np.array([0, 0]), np.array([0.5, 0.5]), np.array([True, False]), np.array([1]))
    assert recall_at_rates(tied, np.array([1.0]), [0.0, 1.0]).tolist() == [0.0, 1.0]


def test_weights_count_a_scene_twice() -> None:
    ranking, ground = by_hand(), np.array([1.0, 1.0])
    # Scene 0 twice, scene 1 not: 6 objects, ranking T T F F T T, 2 km2.
    assert recall_at_rates(ranking, ground, [0.5, 1.0], np.array([2.0, 0.0])).tolist() == [2 / 6, 4 / 6]
    assert np.isnan(recall_at_rates(ranking, ground, [1.0], np.array([0.0, 0.0]))).all()


def test_average_precision_by_hand() -> None:
    # Precisions at the hits: 1, 2/3, 3/5 at recalls .25, .5, .75: 26, 25, 25 and 25 of the 101 points.
    assert average_precision(by_hand()) == pytest.approx((26 * 1 + 25 * 2 / 3 + 25 * 3 / 5) / 101)


def test_a_rate_below_one_alarm_on_all_ground_is_not_resolved() -> None:
    assert not is_resolved(0.1, 9.9)
    assert is_resolved(0.1, 10.0)


def test_exposure_is_the_valid_ground_without_ignored_regions() -> None:
    scene = make_scene(1)  # 1,000 x 1,000 px of 1 m
    boxes = [(0.0, 0.0, 500.0, 200.0), (0.0, 0.0, 500.0, 200.0), (900.0, 900.0, 2000.0, 1000.0)]
    given = EvaluationInput((scene,), {"scene-1": []}, ignore_boxes={"scene-1": boxes})
    plain = scene_exposure(scene, 0.5, taken_off_px(given, "scene-1"))
    assert plain == Exposure("scene-1", pytest.approx(0.39), pytest.approx(0.39), "gsd")
    assert scene_exposure(make_scene(1, place=False)).km2 is None


def test_exposure_of_a_footprint_is_geodesic() -> None:
    pytest.importorskip("ovd_platform.geometry.footprint")
    from dataclasses import replace

    ring = ((10.0, 60.0), (10.1, 60.0), (10.1, 60.1), (10.0, 60.1), (10.0, 60.0))
    got = scene_exposure(replace(make_scene(1), footprint_lonlat=ring))
    assert got.how == "geodesic footprint"
    assert got.km2 == pytest.approx(62.05, rel=0.003)  # 5.58 km x 11.14 km; Web Mercator would say 248


def test_bootstrap_by_hand() -> None:
    weights = resampling_weights(2, 4000, seed=5)
    assert (weights.sum(axis=1) == 2).all()
    # Two scenes, recall 1 and 0: the mean is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4.
    shares = weights @ np.array([1.0, 0.0]) / 2
    assert [(shares == v).mean() for v in (0.0, 0.5, 1.0)] == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert interval(shares) == (0.0, 1.0)
    assert interval(np.full(5, 0.5)) is None
    assert interval(np.append(np.arange(1, 102, dtype=float), np.nan), level=0.9) == pytest.approx((6.0, 96.0))
    with pytest.raises(InputError, match="at least one"):
        resampling_weights(0, 10, 0)


def test_a_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(60):
        found = rng.binomial(10, 0.7, 30).astype(float)
        estimate = Replicates([str(i) for i in range(30)], replicates=200, seed=trial).measure(
            "r", share_figure(found, np.full(30, 10.0))
        )
        assert estimate["low"] is not None
        assert estimate["high"] is not None
        covered += estimate["low"] <= 0.7 <= estimate["high"]
    assert 50 <= covered <= 60


def test_one_scene_gives_no_interval_and_a_share_then_gets_a_binomial_one() -> None:
    one = Replicates(["a"], replicates=50, seed=0).measure("r", share_figure(np.array([3.0]), np.array([3.0])))
    assert one == {"value": 1.0, "low": None, "high": None}
    assert wilson_interval(3, 3) == pytest.approx((0.43850, 1.0), abs=1e-4)
    assert with_binomial(one, 3, 3) == {"value": 1.0, "low": pytest.approx(0.4385, abs=1e-4), "high": 1.0, "how": "binomial"}


def test_proposal_recall_by_hand() -> None:
    truth = [
        Annotation(f"a{i}", "s", "", ((x, 0.0), (x + size, 0.0), (x + size, size), (x, size)))
        for i, (x, size) in enumerate([(0.0, 6.0), (100.0, 20.0)])
    ]
    answers = np.array([[500, 0, 510, 10], [100, 0, 120, 20], [0, 0, 6, 6]], dtype=float)
    scene = scene_boxes("s", truth, answers, np.array([0.9, 0.8, 0.7]), [""] * 3, [""], class_agnostic=True)
    reach = proposal_reach([scene], [0.1])  # 0.1 Mpx: the second proposal needs 20 a megapixel, the third 30
    assert reach.needed_k.tolist() == pytest.approx([30.0, 20.0])
    assert recall_at_budgets(reach, [10, 20, 30, np.inf]).tolist() == [0.0, 0.5, 1.0, 1.0]
    fewer = scene_boxes("s", truth, answers[:2], np.array([0.9, 0.8]), [""] * 2, [""], class_agnostic=True)
    assert recall_at_budgets(proposal_reach([fewer], [0.1]), [np.inf]).tolist() == [0.5]  # never reached stays unreached
    assert recall_at_budgets(reach, [20, 30], size_bin=(0, 8)).tolist() == [0.0, 1.0]
    assert np.isnan(recall_at_budgets(reach, [20], size_bin=(32, 64))).all()
