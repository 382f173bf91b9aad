"""Who found what: greedy order, small objects, ignored truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.errors import InputError, ShapeError
from ovd_platform.evaluate.match import IOU_ONLY, MatchRules, candidate_pairs, match_scene
from ovd_platform.evaluate.scene_boxes import SceneBoxes, scene_boxes
from ovd_platform.records.annotation import Annotation


def label(box: tuple[float, ...], name: str = "ship", *, difficult: bool = False, number: int = 0) -> Annotation:
    x0, y0, x1, y1 = box
    return Annotation(f"a{number}", "s", name, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)), difficult=difficult)


def boxes_of(truth: list[Annotation], answers: list[tuple[float, ...]], scores: list[float]) -> SceneBoxes:
    return scene_boxes("s", truth, np.asarray(answers), np.asarray(scores), ["ship"] * len(scores), ["ship"])


def test_the_better_score_takes_the_object_and_the_second_answer_is_a_false_alarm() -> None:
    scene = boxes_of([label((0, 0, 20, 20))], [(0, 0, 20, 20), (1, 1, 20, 20)], [0.5, 0.9])
    matches = match_scene(scene)
    assert matches.state_n.tolist() == [0, 1]
    assert matches.answer_of_k.tolist() == [1]


def test_a_small_object_is_found_by_centre_distance_but_only_by_a_box_of_its_size() -> None:
    truth = [label((100, 100, 106, 106))]
    near, large = (102.5, 100, 108.5, 106), (80, 80, 126, 126)
    scene = boxes_of(truth, [near, large], [0.5, 0.9])
    assert match_scene(scene).state_n.tolist() == [1, 0]
    assert match_scene(scene, IOU_ONLY).state_n.tolist() == [0, 0]


def test_objects_of_twelve_pixels_need_their_overlap() -> None:
    scene = boxes_of([label((0, 0, 12, 12))], [(5, 0, 17, 12)], [0.5])
    assert match_scene(scene).state_n.tolist() == [0]


def test_difficult_and_nameless_labels_swallow_any_number_of_answers() -> None:
    truth = [label((0, 0, 20, 20), difficult=True), label((200, 200, 250, 250), name="")]
    answers = [(0, 0, 20, 20), (1, 0, 20, 20), (205, 205, 215, 215), (300, 300, 320, 320)]
    scene = boxes_of(truth, answers, [0.9, 0.8, 0.7, 0.6])
    assert match_scene(scene).state_n.tolist() == [-1, -1, -1, 0]


def test_a_true_object_inside_an_ignore_region_of_another_label_is_still_found() -> None:
    scene = boxes_of([label((0, 0, 20, 20)), label((0, 0, 60, 60), difficult=True)], [(0, 0, 20, 20)], [0.9])
    assert match_scene(scene).state_n.tolist() == [1]


def test_a_point_label_is_found_by_a_box_around_it() -> None:
    point = Annotation("p", "s", "ship", ((50.0, 50.0),))
    scene = boxes_of([point], [(40, 40, 62, 62), (70, 70, 90, 90)], [0.9, 0.8])
    assert match_scene(scene).state_n.tolist() == [1, 0]


def test_wrong_lengths_and_thresholds_are_errors() -> None:
    with pytest.raises(ShapeError, match="equal length"):
        SceneBoxes(
            "s", np.zeros((1, 4)), np.zeros(2, int), np.zeros(2, bool), np.zeros(2), np.zeros((0, 4)), *[np.zeros(0)] * 3
        )
    with pytest.raises(InputError, match="IoU threshold"):
        MatchRules(iou=0.0)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_prefix_of_the_ranking_is_matched_like_the_whole_and_pairs_equal_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 80, (12, 2))
    truth = [
        label(tuple(row), number=i) for i, row in enumerate(np.hstack([corner, corner + rng.uniform(4, 25, (12, 2))]).tolist())
    ]
    corner = rng.uniform(0, 80, (30, 2))
    answers = np.hstack([corner, corner + rng.uniform(4, 25, (30, 2))])
    scores = rng.permutation(30).astype(float)
    whole = boxes_of(truth, answers.tolist(), scores.tolist())
    top = np.flatnonzero(scores >= 15)
    part = boxes_of(truth, answers[top].tolist(), scores[top].tolist())
    assert match_scene(part).state_n.tolist() == match_scene(whole).state_n[top].tolist()
    pairs = candidate_pairs(whole, IOU_ONLY)
    brute = set()
    for k, t in enumerate(whole.truth_scene_xyxy):
        for n, b in enumerate(whole.boxes_scene_xyxy):
            if min(t[2], b[2]) > max(t[0], b[0]) and min(t[3], b[3]) > max(t[1], b[1]):
                brute.add((n, k))
    assert set(zip(pairs.box_p.tolist(), pairs.truth_p.tolist(), strict=True)) == brute
