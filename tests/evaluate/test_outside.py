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
