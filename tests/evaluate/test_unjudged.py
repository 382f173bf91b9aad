"""Ground nobody judges: masks act on every kind of answer, on labels and on the area, and on nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import shapely

from ovd_platform.evaluate.inputs import ClassScoreTable, EvaluationInput, FewShotData
from ovd_platform.evaluate.pictures import MISSED, select_pictures
from ovd_platform.evaluate.stats import evaluate, truth_hash
from ovd_platform.evaluate.unjudged import judged_only, lies_in, taken_off_px, unjudged_ground
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.proposal import ProposalSet
from tests.evaluate.evaluation_world import detection, make_hit, make_input, make_scene

TRIANGLE = shapely.Polygon([(0, 0), (400, 0), (0, 400)])


def label(name: str, x: float, y: float, class_name: str = "ship") -> Annotation:
    return Annotation(name, "scene-0", class_name, ((x, y), (x + 20, y), (x + 20, y + 20), (x, y + 20)))


def masked_input() -> EvaluationInput:
    """A ship and a false alarm in the masked triangle, one of each in its bounding box but outside of it."""
    scene = make_scene(0)
    boxes = np.asarray([(50, 50, 70, 70), (350, 350, 370, 370), (100, 100, 130, 130), (300, 300, 330, 330)], dtype=float)
    found = [detection(scene, "ship", box, 0.9 - 0.1 * i, i, True) for i, box in enumerate(boxes)]
    proposals = ProposalSet(
        "scene-0", boxes.astype(np.float32), np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.zeros(4, np.int32), "p"
    )
    table = ClassScoreTable(("ship",), boxes, np.ones((4, 1)), np.ones((4, 1)), np.ones((4, 1), bool))
    vectors = np.eye(4, dtype=np.float32)
    few = FewShotData({"ship": vectors}, {"ship": list("abcd")}, vectors[0], vectors, boxes, ["scene-0"] * 4)
    query = replace(make_input(1).queries[0], hits=tuple(make_hit(i + 1, item) for i, item in enumerate(found)))
    return EvaluationInput(
        (scene,),
        {"scene-0": [label("in", 50, 50), label("out", 350, 350)]},
        {"scene-0": found},
        {"scene-0": proposals},
        (query,),
        masks={"scene-0": TRIANGLE},
        class_scores={"scene-0": table},
        shifted_proposals={"scene-0": proposals},
        shifted_detections={"scene-0": found},
        few_shot=few,
    )


def test_a_mask_takes_out_every_kind_of_answer_and_the_labels_inside() -> None:
    given = masked_input()
    left = judged_only(given)
    kept = [(350.0, 350.0, 370.0, 370.0), (300.0, 300.0, 330.0, 330.0)]
    assert [one.box_scene_xyxy for one in left.detections["scene-0"]] == kept
    assert [one.box_scene_xyxy for one in left.shifted_detections["scene-0"]] == kept
    assert [tuple(box) for box in left.proposals["scene-0"].boxes_scene_xyxy.tolist()] == kept
    assert [tuple(box) for box in left.class_scores["scene-0"].boxes_scene_xyxy.tolist()] == kept
    assert [hit.box_scene_xyxy for hit in left.queries[0].hits] == kept
    assert left.few_shot is not None
    assert len(left.few_shot.vectors_nd) == len(left.few_shot.scene_ids) == 2
    assert [one.difficult for one in left.truth["scene-0"]] == [True, False]
    again = judged_only(left)
    assert [one.box_scene_xyxy for one in again.detections["scene-0"]] == kept
    assert judged_only(replace(given, masks={})) is not None
    assert len(judged_only(replace(given, masks={})).detections["scene-0"]) == 4


def test_figures_and_area_are_those_of_the_judged_ground() -> None:
    given = masked_input()
    stats = evaluate(given, replicates=5, few_shot_draws=2)
    bare = evaluate(replace(given, masks={}), replicates=5, few_shot_draws=2)
    assert (stats["header"]["object_count"], stats["scenes"][0]["false_alarms"]) == (1, 1)
    assert (bare["header"]["object_count"], bare["scenes"][0]["false_alarms"]) == (2, 2)
    assert stats["header"]["area_km2"] == pytest.approx(1.0 - 0.08)  # half of 400 m x 400 m
    assert stats["header"]["unjudged"] == {"mpx": 0.08, "labels": 1, "detections": 2}
    assert any("not judged" in note for note in stats["header"]["notes"])
    assert stats["header"]["truth_hash"] != bare["header"]["truth_hash"]
    assert "unjudged" in bare["header"]
    missed = select_pictures(replace(given, detections={"scene-0": []}))[MISSED]
    assert [request.box_scene_xyxy[0] for request in missed] == [350.0]


def test_half_of_an_answer_decides_and_points_count_where_they_lie() -> None:
    ground = shapely.box(0, 0, 100, 100)
    boxes = np.array([[90, 0, 110, 20], [91, 0, 111, 20], [50, 50, 50, 50], [150, 50, 150, 50], [10, 10, 20, 20]], dtype=float)
    assert lies_in(ground, boxes).tolist() == [True, False, True, False, True]
    assert lies_in(ground, np.zeros((0, 4))).shape == (0,)


def test_polygons_of_ignored_classes_act_by_their_shape_and_blank_ground_is_taken_off_once() -> None:
    cloud = Annotation("c", "scene-0", "cloud", tuple((float(x), float(y)) for x, y in TRIANGLE.exterior.coords[:-1]))
    given = replace(masked_input(), masks={}, ignore_classes=frozenset({"cloud"}))
    given = replace(given, truth={"scene-0": [*given.truth["scene-0"], cloud]})
    assert taken_off_px(given, "scene-0") == 80_000.0
    blank = replace(given, blank_boxes={"scene-0": [(0.0, 0.0, 200.0, 1000.0)]})
    assert taken_off_px(blank, "scene-0") == pytest.approx(80_000.0 - 200 * 400 + 200 * 200 / 2)
    ground = unjudged_ground(blank, "scene-0")
    assert ground is not None
    assert ground.area == pytest.approx(200 * 1000 + 200 * 200 / 2)
    assert evaluate(given, replicates=5, few_shot_draws=2)["scenes"][0]["false_alarms"] == 1
    assert truth_hash(given) != truth_hash(masked_input())
