"""Detections of others: `ovd eval` and `ovd report compare` on files."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.coco_parity import pycocotools_tables, random_case
from ovd_platform.cli.main import app
from ovd_platform.errors import DataError, InputError
from ovd_platform.evaluate.outside import OutsideRules, outside_input

runner = CliRunner()


def write_case(folder: Path, seed: int = 7) -> tuple[Path, Path, float]:
    """A random case as files, and its AP50 by pycocotools."""
    truth, answers, classes, _ = random_case(np.random.default_rng(seed))
    images = [
        {"id": number, "width": 2000, "height": 2000, "gsd_m": 0.5}
        for number in sorted({r["image_id"] for r in [*truth, *answers]})
    ]
    categories = [{"id": k + 1, "name": f"c{k}"} for k in range(classes)]
    (folder / "truth.json").write_text(json.dumps({"images": images, "annotations": truth, "categories": categories}))
    (folder / "found.json").write_text(json.dumps(answers))
    precision, _ = pycocotools_tables(images, truth, answers, classes, 100_000)
    half = precision[0, :, :, 0]
    return folder / "found.json", folder / "truth.json", float(half[half > -1].mean())


def test_eval_equals_pycocotools_and_compare_sees_a_worse_detector(tmp_path: Path) -> None:
    found, truth, expected = write_case(tmp_path)
    arguments = ["eval", "--detections", str(found), "--truth", str(truth), "--out", str(tmp_path / "a")]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    stats = json.loads((tmp_path / "a" / "stats.json").read_text())
    assert stats["detection"]["ap50"]["value"] == pytest.approx(expected, abs=1e-6)
    assert f"{expected:.6f}" in result.output
    rows = json.loads(found.read_text())
    moved = [{**row, "bbox": [row["bbox"][0] + 5000.0, *row["bbox"][1:]]} for row in rows]
    found.write_text(json.dumps(moved))
    assert runner.invoke(app, [*arguments[:6], str(tmp_path / "b")]).exit_code == 0
    compared = runner.invoke(
        app, ["report", "compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "c.json")]
    )
    assert compared.exit_code == 0, compared.output
    assert "Verdict" in compared.output
    verdict = json.loads((tmp_path / "c.json").read_text())["verdict"]
    assert verdict["word"] == "worse"
    assert "detection.ap50" in verdict["headline"]


def test_files_that_are_no_coco_are_named(tmp_path: Path) -> None:
    found, truth, _ = write_case(tmp_path)
    with pytest.raises(InputError, match="found none"):
        outside_input(tmp_path / "absent.json", truth)
    with pytest.raises(DataError, match="images and annotations"):
        outside_input(found, found)
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match="expected JSON"):
        outside_input(tmp_path / "bad.json", truth)
    (tmp_path / "lacks.json").write_text(json.dumps([{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}]))
    with pytest.raises(DataError, match="score"):
        outside_input(tmp_path / "lacks.json", truth)
    (tmp_path / "other.json").write_text(json.dumps([{"image_id": 999, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]))
    with pytest.raises(InputError, match="Check image_id"):
        outside_input(tmp_path / "other.json", truth)


def test_four_corners_are_rotated_boxes_when_asked(tmp_path: Path) -> None:
    quad = [10.0, 0.0, 20.0, 10.0, 10.0, 20.0, 0.0, 10.0]
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20], "segmentation": [quad], "iscrowd": 0}
    (tmp_path / "t.json").write_text(
        json.dumps(
            {"images": [{"id": 1, "width": 50, "height": 50}], "annotations": [row], "categories": [{"id": 1, "name": "ship"}]}
        )
    )
    (tmp_path / "d.json").write_text(json.dumps([{**row, "score": 0.9}]))
    given = outside_input(tmp_path / "d.json", tmp_path / "t.json", OutsideRules(oriented=True))
    assert given.truth["1"][0].corners_scene_xy[1] == (20.0, 10.0)
    assert next(iter(given.answer_corners.values()))[0] == (10.0, 0.0)
    assert len(outside_input(tmp_path / "d.json", tmp_path / "t.json").answer_corners) == 0


IMAGE = {"id": 1, "width": 50, "height": 50}
LABEL = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20], "iscrowd": 0}
ANSWER = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20], "score": 0.9}


def write_small(folder: Path, answers: object, **truth: object) -> tuple[Path, Path]:
    content = {"images": [IMAGE], "annotations": [LABEL], "categories": [{"id": 1, "name": "ship"}], **truth}
    (folder / "t.json").write_text(json.dumps(content))
    (folder / "d.json").write_text(json.dumps(answers))
    return folder / "d.json", folder / "t.json"


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"score": float("nan")}, "score nan"),
        ({"score": float("inf")}, "score inf"),
        ({"score": None}, "NoneType"),
        ({"bbox": [float("nan"), 0, 1, 1]}, r"bbox \[nan"),
        ({"bbox": [5, 5, -3, 4]}, r"-3\.0"),
        ({"bbox": [1e300, 0, 1, 1]}, "1e[+]300"),
        ({"bbox": [1, 2, 3]}, "expected 4"),
        ({"image_id": [1]}, "unhashable"),
        ({"category_id": "ship"}, "ship"),
    ],
)
def test_a_row_that_cannot_be_judged_is_named(tmp_path: Path, row: dict[str, object], named: str) -> None:
    with pytest.raises(DataError, match=rf"detection 1 .*d\.json.*{named}"):
        outside_input(*write_small(tmp_path, [ANSWER, {**ANSWER, **row}]))


def test_probabilities_and_corners_are_checked_when_asked(tmp_path: Path) -> None:
    paths = write_small(tmp_path, [{**ANSWER, "score": 3.0, "corners": [[0, 0], [1, 0], [1, 1]]}])
    assert len(outside_input(*paths).detections["1"]) == 1
    with pytest.raises(DataError, match="no probability"):
        outside_input(*paths, OutsideRules(probabilities=True))
    with pytest.raises(DataError, match="corners"):
        outside_input(*paths, OutsideRules(oriented=True))


@pytest.mark.parametrize(
    ("truth", "named"),
    [
        ({"images": [{"id": 1}]}, "width and height"),
        ({"images": [{**IMAGE, "gsd_m": 0}]}, "gsd_m"),
        ({"images": [{**IMAGE, "footprint_lonlat": [[1]]}]}, "footprint_lonlat"),
        ({"images": [IMAGE, IMAGE]}, "two with id 1"),
        ({"images": [{"width": 5}]}, "expected an id"),
        ({"categories": [{"id": 1}]}, "categories"),
        ({"annotations": [{**LABEL, "bbox": None}]}, r"label 0 .*t\.json"),
        ({"annotations": None}, "images and annotations"),
    ],
)
def test_a_truth_that_cannot_be_judged_by_is_named(tmp_path: Path, truth: dict[str, object], named: str) -> None:
    with pytest.raises(DataError, match=named):
        outside_input(*write_small(tmp_path, [ANSWER], **truth))
    with pytest.raises(DataError, match="list of rows"):
        outside_input(*write_small(tmp_path, {"results": [ANSWER]}))


def test_nothing_to_find_and_nothing_answered_is_an_evaluation_too(tmp_path: Path) -> None:
    from ovd_platform.evaluate.stats import evaluate

    silent = evaluate(outside_input(*write_small(tmp_path, [], annotations=[])), replicates=5)
    assert silent["detection"]["ap50"]["value"] is None
    assert silent["scenes"][0]["false_alarms"] == 0
    missed = evaluate(outside_input(*write_small(tmp_path, [])), replicates=5)
    assert missed["detection"]["ap50"]["value"] == 0.0
    crowd = evaluate(outside_input(*write_small(tmp_path, [ANSWER], annotations=[{**LABEL, "iscrowd": 1}])), replicates=5)
    assert crowd["scenes"][0]["false_alarms"] == 0
    assert crowd["header"]["ignored_count"] == 1
    alarm = evaluate(outside_input(*write_small(tmp_path, [ANSWER], annotations=[])), replicates=5)
    assert alarm["scenes"][0]["false_alarms"] == 1


def test_labels_of_one_id_keep_their_own_areas_and_strange_categories_are_noted(tmp_path: Path) -> None:
    twice = [{**LABEL, "area": 10.0}, {**LABEL, "area": 90.0, "bbox": [30, 30, 10, 10]}]
    given = outside_input(*write_small(tmp_path, [{**ANSWER, "category_id": 7}], annotations=twice))
    assert sorted(given.label_areas_px2.values()) == [10.0, 90.0]
    assert any("class 7" in note for note in given.notes)


def test_commands_refuse_what_is_no_report_with_one_line(tmp_path: Path) -> None:
    found, truth = write_small(tmp_path, [ANSWER])
    arguments = ["eval", "--detections", str(found), "--truth", str(truth), "--out"]
    assert isinstance(runner.invoke(app, [*arguments, str(found)]).exception, InputError)
    assert runner.invoke(app, [*arguments, str(tmp_path / "a")]).exit_code == 0
    (tmp_path / "notes.json").write_text(json.dumps({"notes": ["no held-out scene carries labels"]}))
    (tmp_path / "bad.json").write_text("{")
    stats = json.loads((tmp_path / "a" / "stats.json").read_text())
    (tmp_path / "old.json").write_text(json.dumps({**stats, "schema": "ovd-evaluation/1"}))
    for name, words in (("notes.json", "carries labels"), ("bad.json", "expected stats"), ("old.json", "same schema")):
        error = runner.invoke(app, ["report", "compare", str(tmp_path / "a"), str(tmp_path / name)]).exception
        assert isinstance(error, DataError | InputError)
        assert words in str(error)
