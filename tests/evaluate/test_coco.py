"""COCO figures: parity with published ones, no cap, hand-made cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.coco_parity import PUBLISHED, hand_worked, largest_difference, published_scenes, random_case
from ovd_platform.errors import InputError
from ovd_platform.evaluate.coco import evaluate_coco
from ovd_platform.evaluate.ranking import average_precision, interpolated_precision
from ovd_platform.evaluate.scene_boxes import SceneBoxes, scene_boxes
from ovd_platform.records.annotation import Annotation


def reference() -> tuple[list[SceneBoxes], list[str]]:
    try:
        return published_scenes()
    except (SystemExit, FileNotFoundError) as error:
        pytest.skip(f"COCO reference is absent: {error}")


@pytest.mark.parametrize("seed", range(1000, 1040))
def test_every_precision_and_recall_equals_pycocotools_on_random_cases(seed: int) -> None:
    truth, answers, classes, cap = random_case(np.random.default_rng(seed))
    assert largest_difference(truth, answers, classes, cap) <= 1e-9


def test_the_cases_worked_by_hand_hold() -> None:
    assert all(hand_worked())


def test_the_twelve_published_figures_are_met_to_six_digits() -> None:
    scenes, names = reference()
    result = evaluate_coco(scenes, names, max_detections=100)
    got = {name: result.figures[name] for name in PUBLISHED}
    assert got == pytest.approx(PUBLISHED, abs=1e-6)
    assert result.capped
    assert result.max_detections == 100


def test_without_cap_nothing_changes_below_it_and_our_own_average_precision_agrees() -> None:
    scenes, names = reference()
    free, capped = evaluate_coco(scenes, names), evaluate_coco(scenes, names, max_detections=100_000)
    assert {k: v for k, v in free.figures.items() if k in PUBLISHED} == pytest.approx(
        {k: v for k, v in capped.figures.items() if k in free.figures and k in PUBLISHED}, abs=1e-9
    )
    own = []
    for index in range(len(names)):
        rankings = free.match.rankings(index)
        own.append([average_precision(rankings[1]), average_precision(rankings[6])])
    known = np.asarray(own)[~np.isnan(own).any(axis=1)]
    assert known.mean(axis=0) == pytest.approx([PUBLISHED["ap50"], PUBLISHED["ap75"]], abs=1e-6)


def grid_boxes(count: int, size: float = 9.0, step: float = 12.0) -> np.ndarray:
    side = int(np.ceil(np.sqrt(count)))
    rows, cols = np.divmod(np.arange(count), side)
    corner = np.stack([cols * step, rows * step], axis=1).astype(float)
    return np.concatenate([corner, corner + size], axis=1)


def labels(boxes: np.ndarray, name: str = "ship", *, difficult: bool = False) -> list[Annotation]:
    return [
        Annotation(f"a{i}", "s", name, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)), difficult=difficult)
        for i, (x0, y0, x1, y1) in enumerate(boxes.tolist())
    ]


def test_a_perfect_detector_scores_one_with_5000_objects_in_a_scene() -> None:
    boxes = grid_boxes(5000)
    scores = np.random.default_rng(1).random(5000)
    scene = scene_boxes("s", labels(boxes), boxes, scores, ["ship"] * 5000, ["ship"])
    result = evaluate_coco([scene], ["ship"])
    assert result.figures["ap"] == 1.0
    assert result.figures["ar"] == 1.0
    assert result.figures["ap_px_8-16"] == 1.0
    assert result.figures["ap_px_<8"] is None
    assert result.max_detections >= 5000
    assert not result.capped
    assert evaluate_coco([scene], ["ship"], max_detections=100).figures["ap"] < 0.05


def test_a_box_of_exactly_eight_pixels_is_in_one_bin_only() -> None:
    boxes = grid_boxes(4, size=8.0)
    figures = evaluate_coco([scene_boxes("s", labels(boxes), boxes, np.ones(4), ["ship"] * 4, ["ship"])], ["ship"]).figures
    assert (figures["ap_px_<8"], figures["ap_px_8-16"]) == (None, 1.0)


def test_difficult_points_and_nameless_labels_are_neither_true_nor_false() -> None:
    boxes = grid_boxes(4, size=20.0, step=60.0)
    point = Annotation("p", "s", "ship", ((300.0, 300.0),))
    truth = [*labels(boxes[:1]), *labels(boxes[1:2], difficult=True), *labels(boxes[2:3], ""), point]
    answers = np.concatenate([boxes[1:3], [[296, 296, 304, 304]], boxes[:1]])
    scene = scene_boxes("s", truth, answers, np.array([0.9, 0.8, 0.7, 0.6]), ["ship"] * 4, ["ship"])
    assert evaluate_coco([scene], ["ship"]).figures["ap"] == 1.0
    false = scene_boxes("s", truth, np.concatenate([boxes[3:], boxes[:1]]), np.array([0.9, 0.6]), ["ship"] * 2, ["ship"])
    assert evaluate_coco([false], ["ship"]).figures["ap"] == pytest.approx(0.5)


def test_classes_are_apart_and_class_agnostic_mode_joins_them() -> None:
    boxes = grid_boxes(2, size=20.0, step=60.0)
    truth = [*labels(boxes[:1], "ship"), *labels(boxes[1:], "plane")]
    names = ["ship", "plane"]
    swapped = scene_boxes("s", truth, boxes, np.ones(2), ["plane", "ship"], names)
    assert evaluate_coco([swapped], names).figures["ap"] == 0.0
    joined = scene_boxes("s", truth, boxes, np.ones(2), ["plane", "ship"], names, class_agnostic=True)
    assert evaluate_coco([joined], ["object"]).figures["ap"] == 1.0


def test_no_scene_is_an_error() -> None:
    with pytest.raises(InputError, match="expected at least one"):
        evaluate_coco([], ["ship"])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 60))
def test_truth_scores_one_and_our_average_precision_equals_coco(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 200, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(4, 40, (count, 2))], axis=1)
    perfect = scene_boxes("s", labels(boxes), boxes, rng.random(count), ["ship"] * count, ["ship"])
    assert evaluate_coco([perfect], ["ship"]).figures["ap"] == 1.0
    kept = boxes[rng.random(count) < 0.8]
    moved = kept + np.tile(rng.normal(0, 3, (len(kept), 2)), 2)
    extra = boxes[: count // 2] + 35.0
    answers = np.concatenate([moved, extra])
    scene = scene_boxes("s", labels(boxes), answers, rng.permutation(len(answers)) + 0.0, ["ship"] * len(answers), ["ship"])
    result = evaluate_coco([scene], ["ship"])
    own = np.mean([average_precision(ranking) for ranking in result.match.rankings(0)[1:]])
    assert own == pytest.approx(result.figures["ap"], abs=1e-6)
    numpy_way = np.mean([interpolated_precision(ranking).mean() for ranking in result.match.rankings(0)[1:]])
    assert own == pytest.approx(numpy_way, abs=1e-9)
