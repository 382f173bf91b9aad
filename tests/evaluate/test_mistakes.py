"""Kinds of mistakes, worked by hand."""

import numpy as np
import pytest

from ovd_platform.evaluate.match import MatchRules, match_scene
from ovd_platform.evaluate.mistakes import BACKGROUND, BADLY_PLACED, BOTH, CONFUSED, DUPLICATE, scene_mistakes
from ovd_platform.evaluate.scene_boxes import SceneBoxes
from ovd_platform.evaluate.stats import evaluate
from tests.evaluate.evaluation_world import make_input


def scene_of(answers: list[tuple[float, float, float, float, int, float]]) -> SceneBoxes:
    """Two ships (class 0) of 20 px at x = 0 and 100, one plane (class 1) at x = 200."""
    truth = np.array([[x, 0, x + 20, 20] for x in (0, 100, 200)], dtype=float)
    rows = np.asarray(answers, dtype=float).reshape(-1, 6)
    return SceneBoxes(
        "s",
        truth,
        np.array([0, 0, 1]),
        np.zeros(3, dtype=bool),
        np.full(3, 400.0),
        rows[:, :4],
        rows[:, 5],
        rows[:, 4].astype(np.int64),
        np.arange(len(rows)),
    )


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((112, 0, 132, 20, 0), BADLY_PLACED),  # IoU 8/32 with a ship
        ((200, 0, 220, 20, 0), CONFUSED),  # a plane called ship
        ((0, 1, 20, 21, 0), DUPLICATE),  # the first ship again
        ((400, 0, 420, 20, 0), BACKGROUND),
        ((212, 0, 232, 20, 0), BOTH),  # beside the plane, called ship
        ((19, 0, 39, 20, 0), BACKGROUND),  # touches a ship with IoU 0.026
    ],
)
def test_each_kind_is_told_apart(answer: tuple[float, ...], kind: int) -> None:
    scene = scene_of([(0, 0, 20, 20, 0, 0.9), (*answer, 0.5)])  # type: ignore[list-item]
    matches = match_scene(scene, MatchRules())
    wrong = scene_mistakes(scene, matches.state_n, matches.answer_of_k >= 0, MatchRules())
    assert wrong.kind_n.tolist() == [-1, kind]
    excused = {BADLY_PLACED: [1], CONFUSED: [2]}.get(kind, [])
    assert np.flatnonzero(wrong.missed_k).tolist() == [k for k in (1, 2) if k not in excused]


def test_gains_name_what_would_help() -> None:
    perfect = evaluate(make_input(miss=0.0, false=0, jitter=0.0), replicates=10)["mistakes"]
    assert perfect["ap50"] == 1.0
    assert all(abs(row["ap50_gain"]) < 1e-9 for row in perfect["kinds"].values())
    missing = evaluate(make_input(miss=0.4, false=0, jitter=0.0), replicates=10)["mistakes"]
    assert missing["kinds"]["missed"]["ap50_gain"] == pytest.approx(1.0 - missing["ap50"], abs=1e-6)
    assert missing["kinds"]["background"]["ap50_gain"] == 0.0
    noisy = evaluate(make_input(miss=0.0, false=40, jitter=0.0), replicates=10)["mistakes"]
    assert noisy["kinds"]["background"]["ap50_gain"] > 0.005 > noisy["kinds"]["missed"]["ap50_gain"]
