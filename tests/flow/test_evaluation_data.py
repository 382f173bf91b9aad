"""What an evaluation reads from a workspace: the shifted grid, tiles, and odd contexts of rendered truth."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ovd_platform.config import EvaluationConfig, OvdConfig
from ovd_platform.flow.evaluation_data import in_words_of, tile_boxes
from ovd_platform.flow.second_answers import shifted_tiles
from ovd_platform.flow.truth import ODD, USUAL, load_truth, truth_contexts
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.scene import Band, SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.tiles.plan import plan_tiles


def record(width: int, height: int) -> SceneRecord:
    return SceneRecord("s", "/nowhere", "v", "optical", "pan", width, height, (Band("pan"),), "uint8")


def grid(width: int, height: int, core: int) -> list[TileRecord]:
    return [
        TileRecord(f"s/{row}/{col}", "s", row, col, window, 16, (), "", float(col > 0), 0.5, 0.5, col > 0)
        for row, col, window in plan_tiles(width, height, core, 16)
    ]


@pytest.mark.parametrize(("width", "height"), [(1000, 700), (512, 512), (130, 90), (1024, 256)])
def test_the_shifted_grid_covers_every_pixel_once_on_other_seams(width: int, height: int) -> None:
    tiles = grid(width, height, 256)
    moved = shifted_tiles(tiles, record(width, height))
    covered = np.zeros((height, width), dtype=int)
    for tile in moved:
        left, top, right, bottom = tile.core.xyxy
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()
    inner = {tile.core.col_px for tile in moved} & {tile.core.col_px for tile in tiles if tile.core.col_px}
    assert not inner
    assert len({(tile.row, tile.col) for tile in moved}) == len(moved)


def test_kept_tiles_had_to_be_looked_at_and_blank_ones_hold_no_pixel() -> None:
    looked, blank = tile_boxes(grid(512, 256, 256))
    assert looked == [(256.0, 0.0, 512.0, 256.0)]
    assert blank == [(0.0, 0.0, 256.0, 256.0)]


def test_only_odd_contexts_are_odd_and_hidden_objects_are_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = [[0, 0], [9, 0], [9, 9], [0, 9]]
    rows = [
        {"class_name": "ship", "corners_scene_xy": box, "context": "at anchor", "odd": False, "visible_fraction": 1.0},
        {"class_name": "ship", "corners_scene_xy": box, "context": "on land", "odd": True, "visible_fraction": 0.3},
    ]
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "s.json").write_text(json.dumps({"objects": rows}))
    OvdConfig(truth="truth", rendered=True).save(tmp_path)
    ws = Workspace.open(tmp_path)
    monkeypatch.setattr(Workspace, "scenes", lambda *_: [record(100, 100)])
    assert list(truth_contexts(ws).values()) == [USUAL, ODD]
    assert [label.difficult for label in load_truth(ws, "optical")["s"]] == [False, True]


def test_the_headline_of_a_report_is_plain_numbers_that_plot() -> None:
    from ovd_platform.evaluate.stats import evaluate
    from ovd_platform.flow.report import headline
    from tests.evaluate.evaluation_world import make_input

    found = headline(evaluate(make_input(3), replicates=10))
    assert {"AP50", "AP", "novel AP50", "recall at 1 false alarm per km2", "ECE", "leaked test scenes"} <= set(found)
    assert all(type(value) is float for value in found.values())


def test_scenes_found_empty_by_people_are_evaluated_and_unlabelled_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    OvdConfig(evaluation=EvaluationConfig(negative_scenes=("sea_*",))).save(tmp_path)
    ws = Workspace.open(tmp_path)
    scenes = [replace(record(100, 100), scene_id=name) for name in ("sea_1", "sea_2", "port")]
    monkeypatch.setattr(Workspace, "scenes", lambda *_: scenes)
    label = Annotation("a", "sea_2", "ship", ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0)))
    monkeypatch.setattr("ovd_platform.flow.truth.load_annotations_of", lambda *_: [label])
    assert load_truth(ws, "optical") == {"sea_1": [], "sea_2": [label]}


def test_labels_are_judged_under_the_names_of_the_vocabulary() -> None:
    from ovd_platform.detect.vocabulary import vocabulary_from_dict

    classes = [{"name": "ship", "prompts": ["a ship"], "synonyms": ["boat"]}]
    vocabulary = vocabulary_from_dict({"classes": classes, "background": []})
    names = ("Boats", "ship", "crane", "")
    labels = [Annotation(str(n), "s", name, ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0))) for n, name in enumerate(names)]
    assert [one.class_name for one in in_words_of(vocabulary, {"s": labels})["s"]] == ["ship", "ship", "crane", ""]
