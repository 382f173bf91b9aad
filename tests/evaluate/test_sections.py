"""Rotated boxes, vocabulary modes, few examples, filtered search, grid shift, slices, ignored ground: by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ovd_platform.errors import ShapeError
from ovd_platform.evaluate.codec import cosine_drift
from ovd_platform.evaluate.costs import costs_section
from ovd_platform.evaluate.few_shot import few_shot_section
from ovd_platform.evaluate.filtered import filtered_section
from ovd_platform.evaluate.froc import Exposure, scene_exposure
from ovd_platform.evaluate.inputs import ClassScoreTable, Costs, EvaluationInput, FewShotData, FilteredSearch
from ovd_platform.evaluate.oriented import are_slanted, quad_overlap, upright_quads
from ovd_platform.evaluate.report import write_report
from ovd_platform.evaluate.stability import agreement, stability_section
from ovd_platform.evaluate.stats import evaluate
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.scene import View
from tests.evaluate.evaluation_world import detection, make_input, make_scene


def turned(x: float, y: float, length: float, width: float, degrees: float) -> tuple[tuple[float, float], ...]:
    a = np.deg2rad(degrees)
    along, across = np.array([np.cos(a), np.sin(a)]) * length / 2, np.array([-np.sin(a), np.cos(a)]) * width / 2
    return tuple((float(x + p[0]), float(y + p[1])) for p in (along + across, along - across, -along - across, -along + across))


def test_overlap_of_rotated_boxes_by_hand() -> None:
    square = upright_quads(np.array([[0.0, 0, 2, 2]]))
    diamond = np.array([[[1.0, -1], [3, 1], [1, 3], [-1, 1]]])  # side 2 sqrt 2, holds the square
    assert quad_overlap(square, diamond)[0] == pytest.approx([4 / 8])
    assert quad_overlap(diamond, diamond[:, ::-1])[0] == pytest.approx([1.0])
    assert quad_overlap(square, square + 5)[0].tolist() == [0.0]
    crosswise = square[:, [0, 2, 1, 3]]
    assert quad_overlap(square, crosswise)[0] == pytest.approx([1.0])
    assert are_slanted(np.concatenate([diamond, square])).tolist() == [True, False]


def oriented_input(*, with_corners: bool) -> EvaluationInput:
    scene = make_scene(0)
    corners = [turned(100.0 + 120 * i, 200.0, 60.0, 8.0, 30.0 + 10 * i) for i in range(5)]
    labels = [Annotation(f"a{i}", scene.scene_id, "ship", quad) for i, quad in enumerate(corners)]
    found = [
        detection(scene, "ship", np.asarray(label.box_scene_xyxy), 0.9 - 0.1 * i, i, True) for i, label in enumerate(labels)
    ]
    given = {item.detection_id: quad for item, quad in zip(found, corners, strict=True)} if with_corners else {}
    return EvaluationInput((scene,), {scene.scene_id: labels}, {scene.scene_id: found}, answer_corners=given)  # type: ignore[arg-type]


def test_rotated_labels_need_rotated_answers_and_the_ceiling_of_upright_ones_is_stated() -> None:
    good = evaluate(oriented_input(with_corners=True), replicates=5)
    assert good["oriented"]["ap50"]["value"] == 1.0
    upright = evaluate(oriented_input(with_corners=False), replicates=5)
    assert upright["detection"]["ap50"]["value"] == 1.0
    assert upright["oriented"]["ap50"]["value"] == 0.0
    assert upright["oriented"]["ceiling_of_upright_answers"]["share_that_can_reach_50"] == 0.0
    assert "oriented" not in evaluate(make_input(2), replicates=5)


def test_vocabulary_modes_and_absent_prompts_by_hand() -> None:
    scene = make_scene(0)
    label = Annotation("a", scene.scene_id, "ship", ((0.0, 0), (20, 0), (20, 20), (0, 20)))
    boxes = np.array([[0.0, 0, 20, 20], [100, 0, 120, 20]])
    table = ClassScoreTable(
        ("ship", "aircraft", "truck"),
        boxes,
        np.array([[0.9, 0.95, 0.1], [0.2, 0.1, 0.8]]),
        np.array([[0.6, 0.7, 0.1], [0.2, 0.1, 0.8]]),  # the whole vocabulary calls the ship an aircraft
        np.array([[True, True, False], [False, False, True]]),
    )
    found = [detection(scene, "aircraft", boxes[0], 0.9, 0, True)]
    given = EvaluationInput(
        (scene,),
        {scene.scene_id: [label]},
        {scene.scene_id: found},
        class_names=("ship",),
        class_scores={scene.scene_id: table},
    )
    section = evaluate(given, replicates=5)["vocabulary"]
    got = {mode: row["ap50"]["value"] for mode, row in section["modes"].items()}
    assert got == {"each class alone": 1.0, "classes present in the scene": 1.0, "whole vocabulary": 0.0}
    assert (section["absent"]["prompts"], section["absent"]["answers"]) == (2, 2)
    assert section["absent"]["alone"]["false_per_km2"]["value"] == pytest.approx(1.0)  # 2 answers, 2 prompts, 1 km2
    assert section["absent"]["silent_share"]["value"] == 0.0
    with pytest.raises(ShapeError, match="one row a proposal"):
        replace(table, names=("ship",))


def test_few_examples_over_thirty_draws() -> None:
    rng = np.random.default_rng(3)
    ship, other = np.eye(8, dtype=np.float32)[0], np.eye(8, dtype=np.float32)[1]
    labels = {
        "s": [
            Annotation(f"a{i}", "s", "ship", ((50.0 * i, 0), (50 * i + 20, 0), (50 * i + 20, 20), (50 * i, 20)))
            for i in range(4)
        ]
    }
    boxes = np.array([[50.0 * i, 0, 50 * i + 20, 20] for i in range(12)])
    boxes = np.vstack([boxes, boxes[:1] + 1.0])  # the first ship once more: a repeat, not an error
    vectors = np.stack([ship if i < 4 or i == 12 else other for i in range(13)]) + rng.normal(0, 0.05, (13, 8)).astype(
        np.float32
    )
    supports = ship + rng.normal(0, 0.05, (9, 8)).astype(np.float32)
    data = FewShotData(
        {"ship": supports}, {"ship": [str(i) for i in range(9)]}, np.zeros(8, np.float32), vectors, boxes, ["s"] * 13
    )
    got = few_shot_section(data, labels, seed=1)
    assert got["draws"] == 30
    assert got["per_class"]["ship"]["5_shot"]["ap"]["mean"] == 1.0
    assert got["per_class"]["ship"]["10_shot"] is None  # nine examples cannot be drawn ten at a time
    assert len(got["supports"]["ship"]["5_shot"]) == 30
    assert len({tuple(draw) for draw in got["supports"]["ship"]["1_shot"]}) > 5
    assert got["per_class"]["ship"]["relevant"] == 4
    against = few_shot_section(replace(data, supports={"ship": np.tile(other, (9, 1))}), labels, seed=1)
    assert against["per_class"]["ship"]["5_shot"]["ap"]["mean"] < 0.5
    assert few_shot_section(data, labels, seed=1) == got


def test_filtered_recall_by_hand() -> None:
    searches = [
        FilteredSearch("q1", "one scene", 0.1, ("a", "b"), ("a", "b")),
        FilteredSearch("q2", "one scene", 0.1, ("a",), ("a", "c")),
        FilteredSearch("q3", "empty", 0.0, (), ()),
    ]
    got = filtered_section(searches)
    assert got["one scene"] == {"searches": 2, "selectivity": 0.1, "recall": 0.75, "worst": 0.5, "too_few_answers": 1}
    assert got["empty"]["recall"] is None


def test_a_shifted_grid_agrees_box_by_box() -> None:
    boxes = np.array([[0, 0, 20, 20], [40, 0, 60, 20], [100, 0, 120, 20]], dtype=float)
    assert agreement(boxes, boxes[[2, 0]] + 1.0).tolist() == [True, False, True]
    assert agreement(boxes[[0, 0]], boxes[:1]).tolist() == [True, False]  # one partner serves once
    made = ProposalSet("s", boxes.astype(np.float32), np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, np.int32), "p")
    fewer = ProposalSet("s", boxes[:2].astype(np.float32), np.array([0.9, 0.8], np.float32), np.zeros(2, np.int32), "p")
    scene = replace(make_scene(0), scene_id="s")
    ships = [detection(scene, "ship", box, 0.9, i, i < 2) for i, box in enumerate(boxes)]
    moved = [
        detection(scene, name, box, 0.9, i, True)
        for i, (name, box) in enumerate(zip(["ship", "aircraft"], boxes[:2], strict=True))
    ]
    given = EvaluationInput(
        (scene,),
        {"s": []},
        {"s": ships},
        {"s": made},
        shifted_proposals={"s": fewer},
        shifted_detections={"s": moved},
    )
    got = stability_section(given, seed=0)
    assert got["found_again"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert got["found_again_better_half"]["value"] == 1.0
    # Two ships were accepted; one of them is an aircraft on the other grid, and the third was no answer to begin with.
    again = got["detections"]
    assert (again["found_again"]["value"], again["accepted"], again["accepted_shifted"]) == (0.5, 2, 2)
    assert "detections" not in stability_section(replace(given, shifted_detections={}), seed=0)


def test_slices_tell_instruments_and_angles_apart() -> None:
    given = make_input(4, miss=0.2)
    scenes = tuple(
        replace(record, instrument="b", view=View(off_nadir_deg=25.0)) if index >= 2 else record
        for index, record in enumerate(given.scenes)
    )
    blind = {scene_id: [] if scene_id in ("scene-2", "scene-3") else found for scene_id, found in given.detections.items()}
    slices = evaluate(replace(given, scenes=scenes, detections=blind), replicates=20)["slices"]
    assert slices["instrument"]["b"]["ap50"]["value"] == 0.0
    assert slices["instrument"]["pan-1x12"]["ap50"]["value"] > 0.5
    assert {name: row["scenes"] for name, row in slices["view_angle"].items()} == {"20 to 30 deg": 2, "not stated": 2}
    assert sum(row["objects"] for row in slices["size_px"].values()) == sum(r["objects"] for r in slices["instrument"].values())
    assert set(slices["gsd"]) == {"1 to 2 m"}


def test_marked_regions_blank_ground_and_cut_objects_are_not_judged() -> None:
    scene = make_scene(0)
    cloud = Annotation("c", scene.scene_id, "cloud", ((0.0, 0), (500, 0), (500, 1000), (0, 1000)))
    cut = Annotation("k", scene.scene_id, "ship", ((990.0, 0), (1030, 0), (1030, 20), (990, 20)))
    ship = Annotation("s", scene.scene_id, "ship", ((600.0, 600), (620, 600), (620, 620), (600, 620)))
    boxes = [(600, 600, 620, 620), (100, 100, 120, 120), (700, 10, 720, 30)]
    found = [detection(scene, "ship", np.asarray(box, float), 0.9 - 0.1 * i, i, True) for i, box in enumerate(boxes)]
    given = EvaluationInput(
        (scene,),
        {scene.scene_id: [cloud, cut, ship]},
        {scene.scene_id: found},
        ignore_classes=frozenset({"cloud"}),
        blank_boxes={scene.scene_id: [(400.0, 0.0, 1000.0, 100.0)]},
        valid_fraction={scene.scene_id: 0.94},
    )
    stats = evaluate(given, replicates=5)
    assert (stats["header"]["object_count"], stats["header"]["ignored_count"]) == (1, 1)
    assert stats["detection"]["ap50"]["value"] == 1.0
    assert stats["scenes"][0]["false_alarms"] == 0
    assert stats["header"]["area_km2"] == pytest.approx(0.94 - 0.5 + 0.01)  # the cloud over blank ground is taken off once
    assert scene_exposure(scene, 0.5).km2 == pytest.approx(0.5)


def test_drift_is_one_minus_the_cosine_whatever_the_length() -> None:
    before = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0], [0.0, 0.0]])
    after = np.array([[3.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert cosine_drift(before, after).tolist() == [0.0, 1.0, 2.0, 1.0]
    assert "codec" not in evaluate(make_input(2), replicates=5)


def test_costs_are_a_thousand_square_kilometres() -> None:
    costs = Costs({"proposals": 60.0, "embeddings": 12.0}, 0.5, "test")
    got = costs_section(costs, [Exposure("s", 4.0, 16.0, "gsd")])
    assert got["hours_per_1000_km2"] == pytest.approx(72 / 3600 * 250)
    assert got["eur_per_1000_km2"] == pytest.approx(2.5)
    assert got["mpx_per_s"] == pytest.approx(16 / 72, abs=1e-6)
    assert costs_section(costs, [Exposure("s", None, 16.0, "none")])["eur_per_1000_km2"] is None


def test_every_section_stands_in_both_reports(tmp_path: Path) -> None:
    given = make_input(3, miss=0.2)
    rng = np.random.default_rng(0)
    names = ("aircraft", "ship", "truck")
    tables, slanted = {}, turned(500.0, 500.0, 40.0, 10.0, 30.0)
    for scene_id, found in given.detections.items():
        boxes = np.asarray([item.box_scene_xyxy for item in found])
        score = rng.random((len(boxes), 3))
        tables[scene_id] = ClassScoreTable(names, boxes, score, score, score > 0.5)
    vectors = rng.normal(size=(40, 8)).astype(np.float32)
    first = given.scenes[0].scene_id
    truth = {**given.truth, first: [*given.truth[first], Annotation("turned", first, "ship", slanted)]}
    boxes = np.concatenate([table.boxes_scene_xyxy for table in tables.values()])[:40]
    full = replace(
        given,
        truth=truth,
        class_scores=tables,
        shifted_proposals=given.proposals,
        shifted_detections=given.detections,
        archived_detections={first: given.detections[first][::2]},
        archived_drift={first: np.array([0.0, 0.1, 0.4])},
        few_shot=FewShotData(
            {"ship": vectors}, {"ship": [str(i) for i in range(40)]}, vectors.mean(axis=0), vectors, boxes, [first] * 40
        ),
        filtered=(FilteredSearch("q", "one scene", 0.1, ("a",), ("a",)),),
        costs=Costs({"proposals": 30.0, "embeddings": 6.0}, 0.1, "a test machine"),
        tiles={first: [(0.0, 0.0, 500.0, 500.0)]},
    )
    stats = evaluate(full, replicates=20)
    paths = write_report(stats, {}, tmp_path)
    page, words = paths.html.read_text(), paths.markdown.read_text()
    for heading in (
        "What went wrong",
        "Parts of the test",
        "Rotated boxes",
        "Vocabulary",
        "Search by few examples",
        "Archived pixels",
        "What it costs",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert "a test machine" in page
    assert "one scene" in words
    assert stats["stability"]["found_again"]["value"] == 1.0
    assert stats["stability"]["detections"]["found_again"]["value"] == 1.0
    assert "accepted detections found again there" in page
    assert "accepted detections found again there" in words
    codec = stats["codec"]["pan-1x12"]
    assert (codec["scenes"], codec["vectors"], codec["drift"]["median"], codec["drift"]["max"]) == (1, 3, 0.1, 0.4)
    assert codec["archived"]["ap50"] < codec["original"]["ap50"]
    assert "## Archived pixels" in words
    assert "AP50 by rotated boxes (1 rotated labels" in words
    bare = replace(full, class_scores={k: replace(t, names=("aircraft", "ship", "boat")) for k, t in tables.items()})
    assert evaluate(bare, replicates=10)["vocabulary"]["absent"]["prompts"] == 3
