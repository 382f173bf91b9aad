"""Whole evaluations: statistics, comparison, gate, report and pictures."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ovd_platform.errors import InputError, ShapeError, UnreadableRasterError
from ovd_platform.evaluate.compare import compare_stats, metric_at
from ovd_platform.evaluate.gate import GateRule, decide_release
from ovd_platform.evaluate.inputs import EvaluationInput
from ovd_platform.evaluate.pictures import (
    BEST,
    FALSE_ALARM,
    MISSED,
    PictureRequest,
    encode_png,
    make_pictures,
    picture_sheet,
    select_pictures,
)
from ovd_platform.evaluate.report import write_report
from ovd_platform.evaluate.stats import Stats, evaluate
from ovd_platform.records.detection import Detection
from tests.evaluate.evaluation_world import make_input, make_scene


@pytest.fixture(scope="module")
def worse() -> Stats:
    return evaluate(make_input(miss=0.5), replicates=60)


@pytest.fixture(scope="module")
def better() -> Stats:
    return evaluate(make_input(miss=0.0), replicates=60)


def test_statistics_are_json_and_repeatable_and_their_intervals_hold_the_value(worse: Stats) -> None:
    assert worse == evaluate(make_input(miss=0.5), replicates=60)
    assert json.loads(json.dumps(worse, allow_nan=False)) == json.loads(json.dumps(worse))
    ap50 = worse["detection"]["ap50"]
    assert ap50["low"] <= ap50["value"] <= ap50["high"]
    assert ap50["low"] < ap50["high"]
    assert worse["header"]["rendered"] == "all"
    assert worse["detection"]["max_detections"] > 0
    assert worse["detection"]["capped"] is False


def test_the_interval_of_ap_belongs_to_the_value_of_coco() -> None:
    given = make_input(1)
    stats = evaluate(given, replicates=5)
    assert stats["detection"]["ap"]["low"] is None
    assert stats["header"]["notes"]
    perfect = evaluate(make_input(miss=0.0, false=0, jitter=0.0), replicates=20)
    assert perfect["detection"]["ap"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert perfect["detection"]["harmonic_ap50"]["value"] == 1.0
    assert perfect["class_agnostic"]["ap"]["value"] == 1.0
    assert perfect["froc"]["per_km2"]["mean"]["at_0.01"]["value"] == 1.0
    assert perfect["proposals"]["recall"]["all"]["at_300"]["value"] == 1.0
    assert perfect["georeference"]["projection_px"]["max"] < 0.01
    assert perfect["scenes"][0]["false_alarms"] == 0


def test_own_and_coco_average_precision_agree_in_the_statistics(worse: Stats) -> None:
    from ovd_platform.evaluate.coco_match import match_coco
    from ovd_platform.evaluate.ranking import average_precision
    from ovd_platform.evaluate.scene_boxes import detection_boxes

    given = make_input(miss=0.5)
    names = given.evaluated_classes()
    scenes = [
        detection_boxes(s.scene_id, given.truth[s.scene_id], given.detections[s.scene_id], names)
        for s in given.ordered_scenes()
    ]
    match = match_coco(scenes, 2)
    own = np.mean([[average_precision(r) for r in match.rankings(k)[1:]] for k in range(2)])
    assert worse["detection"]["ap"]["value"] == pytest.approx(own, abs=2e-6)


def test_scenes_without_ground_scale_are_per_megapixel_and_the_header_says_so() -> None:
    given = make_input(3)
    flat = replace(given, scenes=(make_scene(0, place=False), make_scene(1), make_scene(2)))
    stats = evaluate(flat, replicates=10)
    assert stats["froc"]["per_mpx"]["scenes"] == 1
    assert stats["froc"]["per_km2"]["scenes"] == 2
    assert any("per megapixel" in note for note in stats["header"]["notes"])
    assert stats["georeference"]["scenes_left_out"] == 1


def test_comparison_in_pairs_finds_the_better_one_and_none_against_itself(worse: Stats, better: Stats) -> None:
    row = compare_stats(worse, better)["figures"]["detection.ap50"]
    assert row["verdict"] == "better"
    assert row["difference"] == pytest.approx(
        better["detection"]["ap50"]["value"] - worse["detection"]["ap50"]["value"], abs=1e-6
    )
    same = compare_stats(worse, worse)["figures"]
    assert {r["verdict"] for r in same.values()} == {"open"}
    other = evaluate(make_input(5, miss=0.5), replicates=60)
    with pytest.raises(InputError, match="labels and scenes"):
        compare_stats(worse, other)


def test_the_gate_keeps_floors_and_losses_and_fails_what_was_not_measured(worse: Stats, better: Stats) -> None:
    rules = [GateRule("detection.ap50", min=0.1, max_loss=0.02), GateRule("froc.per_km2.mean.at_1", max_loss=0.05)]
    assert decide_release(better, worse, rules).passed
    lost = decide_release(worse, better, rules)
    assert not lost.passed
    assert any("beyond the allowed loss" in reason for reason in lost.reasons)
    assert decide_release(worse, None, rules).passed
    assert not decide_release(worse, None, [GateRule("detection.ap50", min=0.999)]).passed
    assert not decide_release(worse, None, [GateRule("detection.ap_large", min=0.0)]).passed
    assert not decide_release(worse, None, [GateRule("no.such.figure", min=0.0)]).passed
    with pytest.raises(InputError, match="neither"):
        GateRule("detection.ap50")
    with pytest.raises(InputError, match="at least one rule"):
        decide_release(worse, None, [])


def test_the_gate_asks_for_confidence_and_for_parts(worse: Stats, better: Stats) -> None:
    sure = GateRule("detection.ap50", max_loss=0.0, confidence=0.9)
    assert decide_release(better, worse, [sure]).passed
    lost = decide_release(worse, better, [sure])
    assert not lost.passed
    assert "90% is asked" in lost.reasons[0]
    # Equal is within a loss of nothing, and every draw says so.
    assert decide_release(worse, worse, [sure]).passed
    # A floor just below the value holds, but not in 95 % of draws.
    floor = worse["detection"]["ap50"]["value"] - 0.001
    assert decide_release(worse, None, [GateRule("detection.ap50", min=floor)]).passed
    assert not decide_release(worse, None, [GateRule("detection.ap50", min=floor, confidence=0.95)]).passed
    # Nobody is sure of what was not resampled.
    assert not decide_release(worse, None, [GateRule("detection.ap75", min=0.0, confidence=0.5)]).passed
    by_class = GateRule("detection.ap50", min=0.1, slice="class:ship")
    assert by_class.path == "detection.per_class.ship.ap50"
    assert decide_release(worse, None, [by_class]).passed
    by_size = GateRule("detection.ap50", max_loss=0.05, slice="size_px:8-16")
    assert decide_release(better, worse, [by_size]).passed
    assert not decide_release(worse, better, [by_size]).passed
    # Errors lose by growing.
    error = GateRule("calibration.ece", max_loss=0.0)
    ece = (worse["calibration"]["ece"]["value"], better["calibration"]["ece"]["value"])
    assert decide_release(better, worse, [error]).passed == (ece[1] <= ece[0])
    with pytest.raises(InputError, match="dimension:value"):
        GateRule("detection.ap50", min=0.1, slice="ship")
    with pytest.raises(InputError, match="confidence"):
        GateRule("detection.ap50", min=0.1, confidence=1.0)


def uncalibrated(miss: float) -> Stats:
    given = make_input(miss=miss)
    found = {scene_id: [replace(item, probability=None) for item in rows] for scene_id, rows in given.detections.items()}
    return evaluate(replace(given, detections=found), replicates=60)


def test_the_verdict_is_one_word_with_its_reason(worse: Stats, better: Stats) -> None:
    few, many = uncalibrated(0.5), uncalibrated(0.0)
    assert compare_stats(few, many)["verdict"]["word"] == "better"
    assert compare_stats(many, few)["verdict"]["word"] == "worse"
    # The better finder is worse calibrated: nobody should get one word for that.
    mixed = compare_stats(worse, better)["verdict"]
    assert mixed["word"] == "mixed"
    assert "worse in calibration.ece" in mixed["reason"]
    assert compare_stats(worse, worse)["verdict"]["word"] == "no difference shown"
    row = compare_stats(worse, better)["figures"]["detection.ap50"]
    assert row["chance_better"] == 1.0
    alone = evaluate(replace(make_input(1), queries=()), replicates=5)
    assert compare_stats(alone, alone)["verdict"]["word"] == "not comparable"


def test_paths_may_hold_dots(worse: Stats) -> None:
    assert metric_at(worse, "froc.per_km2.mean.at_0.01") == worse["froc"]["per_km2"]["mean"]["at_0.01"]["value"]
    assert metric_at({"a": {"v1.2 ship": {"ap": 0.5}}}, "a.v1.2 ship.ap") == 0.5


def test_the_page_is_self_contained_escaped_and_says_rendered(tmp_path: Path, better: Stats, worse: Stats) -> None:
    grey = np.full((40, 40, 3), 128, dtype=np.uint8)
    pictures = {"Best hits": [(grey, "ship <0.9> & more")], "False alarms": []}
    paths = write_report(better, pictures, tmp_path, comparison=compare_stats(worse, better))
    page = paths.html.read_text()
    assert "RENDERED" in page
    assert "rel-7f3a" in page
    assert "light-55d1" in page
    assert "clip-91ac02" in page
    assert "ship &lt;0.9&gt; &amp; more" in page
    assert not re.search(r"""(src|href)=["'](?!data:)|@import|url\(""", page)
    assert page.count('<svg class="chart"') == 4
    assert json.loads(paths.stats.read_text())["schema"] == "ovd-evaluation/2"
    markdown = paths.markdown.read_text()
    assert "RENDERED" in markdown
    assert "![Best hits](best_hits.png)" in markdown
    for line in [line for line in markdown.splitlines() if line.startswith("|")]:
        assert line.endswith("|")
    assert [path.name for path in paths.sheets] == ["best_hits.png"]


def test_a_report_without_detections_is_still_written(tmp_path: Path) -> None:
    given = make_input(2)
    bare = replace(
        given, detections={}, queries=(), proposals={}, scenes=tuple(replace(s, rendered=False) for s in given.scenes)
    )
    page = write_report(evaluate(bare, replicates=10), {}, tmp_path).html.read_text()
    assert "RENDERED" not in page
    assert "nan" not in page.lower().split("<body>")[1]


def test_labels_without_any_class_are_evaluated_by_proposals_alone(tmp_path: Path) -> None:
    given = make_input(2)
    nameless = {one: [replace(label, class_name="") for label in labels] for one, labels in given.truth.items()}
    silent: dict[str, list[Detection]] = {one: [] for one in given.detections}
    stats = evaluate(
        replace(given, truth=nameless, detections=silent, queries=(), tags={}, novel_classes=frozenset()), replicates=10
    )
    assert "detection" not in stats
    assert stats["proposals"]["recall"]["all"]["at_300"]["value"] > 0.5
    assert "Proposals" in write_report(stats, {}, tmp_path).markdown.read_text()


def test_pictures_are_chosen_in_turn_from_the_classes_and_a_lost_scene_does_not_stop_them() -> None:
    given = make_input(miss=0.3)
    chosen = select_pictures(given, each=6)
    counts = {kind: len(rows) for kind, rows in chosen.items()}
    assert (counts[BEST], counts[MISSED], counts[FALSE_ALARM]) == (6, 6, 6)
    assert {row.caption.split()[0] for row in chosen[BEST]} == {"ship", "aircraft"}
    assert all("RENDERED" in row.caption for rows in chosen.values() for row in rows)

    def gone(scene_id: str) -> object:
        raise UnreadableRasterError(f"Cannot open {scene_id}")

    assert make_pictures({BEST: [PictureRequest("x", (0, 0, 9, 9), "c")]}, gone, lambda _: None) == {BEST: []}  # type: ignore[arg-type]


def test_a_crop_is_eight_bit_and_shows_the_object_inside_its_frame(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    from ovd_platform.evaluate.pictures import crop_rgb
    from ovd_platform.raster.radiometry import InstrumentProfile
    from ovd_platform.raster.scene import open_scene

    pixels = np.full((1, 200, 200), 500, dtype=np.uint16)
    pixels[0, 90:110, 90:110] = 3000
    with rasterio.open(tmp_path / "s.tif", "w", driver="GTiff", width=200, height=200, count=1, dtype="uint16") as file:
        file.write(pixels)
    profile = InstrumentProfile("pan", (400.0,), (3200.0,), False, "test")
    with open_scene(str(tmp_path / "s.tif")) as scene:
        crop = crop_rgb(scene, profile, (90, 90, 110, 110))
        edge = crop_rgb(scene, profile, (0, 0, 10, 10))
    assert (crop.shape, crop.dtype, edge.shape) == ((224, 224, 3), np.uint8, (224, 224, 3))
    assert crop[112, 112].min() > crop[20, 20].max() + 60
    assert encode_png(crop).startswith(b"\x89PNG")


def test_a_sheet_holds_every_picture_and_wrong_arrays_are_errors() -> None:
    import cv2

    red = np.zeros((30, 60, 3), dtype=np.uint8)
    red[..., 0] = 255
    sheet = cv2.imdecode(
        np.frombuffer(picture_sheet([(red, "a long caption " * 9)] * 5, side_px=100), np.uint8), cv2.IMREAD_COLOR
    )
    assert sheet.shape == (8 + 2 * (100 + 38 + 8), 8 + 4 * 108, 3)
    assert (sheet.reshape(-1, 3) == [0, 0, 255]).all(axis=1).sum() == 5 * 100 * 50
    assert picture_sheet([]).startswith(b"\x89PNG")
    with pytest.raises(ShapeError, match="uint8"):
        encode_png(np.zeros((4, 4, 3)))  # type: ignore[arg-type]


def test_inputs_without_labels_or_of_two_modalities_are_errors() -> None:
    with pytest.raises(InputError, match="expected its labels"):
        EvaluationInput((make_scene(0),), {})
    with pytest.raises(InputError, match="at least one scene"):
        EvaluationInput((), {})
    sar = replace(make_scene(1), modality="sar")
    with pytest.raises(InputError, match="one modality"):
        EvaluationInput((make_scene(0), sar), {"scene-0": [], "scene-1": []})
