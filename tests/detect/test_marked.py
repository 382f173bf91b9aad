"""Classes from marks: what nobody judged does not count against them, and they always have a threshold."""

import numpy as np
import pyarrow as pa
import pytest

from ovd_platform.detect.marked import Marks, detect_saved, fit_marked, marked_rows
from ovd_platform.detect.vocabulary import Vocabulary, vocabulary_from_dict
from tests.detect.conftest import World

SAVED = vocabulary_from_dict({"classes": [{"name": "what i look for", "coco_id": 50}], "target_precision": 0.8})


def corpus(world: World) -> tuple[pa.Table, list[tuple[str, tuple[float, float, float, float]]], list[tuple[str, tuple]]]:
    """Rows of three scenes, boxes of all aircraft, boxes of all ships."""
    made = [world.make(f"corpus-{i}", {"aircraft": 20, "ship": 20}, i) for i in range(3)]
    labels = [label for _, ones, _ in made for label in ones]
    boxes = [
        (one.class_name, one.scene_id, tuple(float(v) for v in (*one.corners_scene_xy[0], *one.corners_scene_xy[2])))
        for one in labels
    ]
    rows = pa.concat_tables([table for table, _, _ in made])
    return (
        rows,
        [(scene, box) for name, scene, box in boxes if name == "aircraft"],
        [(scene, box) for name, scene, box in boxes if name == "ship"],
    )


def found_in_a_new_scene(world: World, vocabulary: Vocabulary, marks: Marks) -> tuple[int, int, int]:
    """Accepted detections of a scene nobody marked: right, all; and aircraft there."""
    rows, *_ = corpus(world)
    calibration = fit_marked(rows, {"what i look for": marks}, vocabulary, None, None, wordless=["what i look for"])
    table, labels, scene = world.make("unseen", {"aircraft": 25, "ship": 25}, 99)
    found = [one for one in detect_saved(table, scene, vocabulary, calibration, None, "r1") if one.accepted]
    aircraft = [label for label in labels if label.class_name == "aircraft"]
    centres = np.array([np.mean(label.corners_scene_xy, axis=0) for label in aircraft])
    right = sum(
        bool(
            (
                np.abs(
                    centres - [(d.box_scene_xyxy[0] + d.box_scene_xyxy[2]) / 2, (d.box_scene_xyxy[1] + d.box_scene_xyxy[3]) / 2]
                ).max(axis=1)
                < 8
            ).any()
        )
        for d in found
    )
    return right, len(found), len(aircraft)


@pytest.mark.parametrize("noise", [0.5, 1.0])
def test_unmarked_objects_of_the_class_do_not_count_against_it(noise: float) -> None:
    world = World(noise=noise)
    _, aircraft, ships = corpus(world)
    right, accepted, there = found_in_a_new_scene(world, SAVED, Marks(tuple(aircraft[:15]), tuple(ships[:8])))
    assert right >= 0.8 * accepted
    assert right >= 0.8 * there


def test_marks_that_say_nothing_still_give_a_careful_threshold(world: World) -> None:
    rows, aircraft, ships = corpus(world)
    mixed = [one for pair in zip(aircraft, ships, strict=True) for one in pair]
    marks = Marks(tuple(mixed[0:24:2] + mixed[1:25:2])[:12], tuple(mixed[24:48]))
    calibration = fit_marked(rows, {"what i look for": marks}, SAVED, None, None, wordless=["what i look for"])
    (entry,) = calibration.classes
    assert entry.positives == len(marked_rows(rows, marks.right))
    assert entry.threshold is not None
    table, _, scene = world.make("unseen", {"aircraft": 25, "ship": 25}, 99)
    found = detect_saved(table, scene, SAVED, calibration, None, "r1")
    assert sum(one.accepted for one in found) < len(table) / 4
