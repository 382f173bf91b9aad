"""Chip library and synthetic sets, on rendered arrays and on real crops."""

import json
import os
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from ovd_platform.datasets.audit import audit_coco
from ovd_platform.datasets.polygons import box_corners, make_annotation
from ovd_platform.errors import DataError, InputError, LeakageError
from ovd_platform.raster.scene import open_scene
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import Band, SceneRecord
from ovd_platform.records.window import Window
from ovd_platform.synthesis.background import Background, draw_backgrounds
from ovd_platform.synthesis.build import build_synthetic_coco
from ovd_platform.synthesis.chip_library import ChipLibrary, build_chip_library
from ovd_platform.synthesis.tile_files import read_tile

SHARED = Path(os.environ.get("OVD_SHARED_DATA", Path(__file__).parents[2] / "../shared/data"))


class ArrayScene:
    """A scene in memory, with the reading contract of raster scenes."""

    def __init__(self, record: SceneRecord, pixels_chw: np.ndarray) -> None:
        self.record, self.pixels_chw = record, pixels_chw

    def read(self, window: Window, band_indices: Any = None) -> Chip:
        pixels = np.zeros((len(self.pixels_chw), window.height_px, window.width_px), self.pixels_chw.dtype)
        valid = np.zeros(pixels.shape[1:], bool)
        part = window.clipped(self.record.width_px, self.record.height_px)
        left, top, right, bottom = part.xyxy
        where = (slice(top - window.row_px, bottom - window.row_px), slice(left - window.col_px, right - window.col_px))
        pixels[(slice(None), *where)] = self.pixels_chw[:, top:bottom, left:right]
        valid[where] = True
        return Chip(pixels, valid, window, self.record.scene_id)

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None: ...


def airfield(name: str, seed: int, modality: str = "optical") -> tuple[ArrayScene, list[Annotation]]:
    """A plain 12-bit field (or SAR clutter) with crosses and bars."""
    generator = np.random.default_rng(seed)
    size = 400
    signal = np.full((size, size), 900.0 + 300 * (seed % 3))
    labels = []
    for index in range(9):
        y, x = 40 + 120 * (index // 3), 40 + 120 * (index % 3)
        if index % 2:
            signal[y + 8 : y + 14, x : x + 20 + index] += 800
            labels.append(make_annotation(name, "bar", box_corners(x - 1, y + 7, x + 21 + index, y + 15)))
        else:
            signal[y : y + 22, x + 8 : x + 13] += 1000
            signal[y + 8 : y + 13, x : x + 20 + index] += 700
            labels.append(make_annotation(name, "cross", box_corners(x - 1, y - 1, x + 21 + index, y + 23)))
    labels.append(make_annotation(name, "bar", ((5.0, 5.0),)))
    labels.append(make_annotation(name, "bar", box_corners(0, 300, 30, 320)))
    if modality == "sar":
        pixels = np.sqrt(generator.gamma(4, signal**2 / 4)).astype(np.float32)[None]
    else:
        pixels = np.rint(signal + generator.normal(0, 15, signal.shape)).astype(np.uint16)[None]
    record = SceneRecord(
        name,
        f"/d/{name}.tif",
        f"v-{name}",
        modality,
        "x-1",
        size,
        size,
        (Band("pan"),),
        pixels.dtype.name,
        bits_effective=12 if modality == "optical" else None,
        gsd_m=0.5,
        rendered=True,
    )
    return ArrayScene(record, pixels), labels


def ingredients(modality: str = "optical") -> tuple[ChipLibrary, list[Background], dict[str, ArrayScene]]:
    made = [airfield(f"field{seed}", seed, modality) for seed in range(3)]
    scenes = {scene.record.scene_id: scene for scene, _ in made}
    labels = [label for _, mine in made for label in mine]
    library = build_chip_library(labels, scenes.__getitem__)
    grounds = [one for scene in scenes.values() for one in draw_backgrounds(scene, labels, count=3, size_px=160, seed=4)]
    return library, grounds, scenes


def test_library_counts_what_it_refuses_and_round_trips(tmp_path: Path) -> None:
    library, _, _ = ingredients()
    summary = library.summary()
    assert summary["per_class"] == {"bar": 12, "cross": 15}
    assert summary["rejects"] == {"point label": 3, "at the scene's edge": 3}
    assert sum(chip.mask_source == "refined" for chip in library.chips) > 12
    library.save(tmp_path / "chips.npz")
    stored = ChipLibrary.load(tmp_path / "chips.npz")
    assert stored.rejects == library.rejects
    for one, other in zip(library.chips, stored.chips, strict=True):
        assert (one.pixels_chw == other.pixels_chw).all()
        assert one.pixels_chw.dtype == other.pixels_chw.dtype
        assert (one.mask_hw == other.mask_hw).all()
        assert one.corners_chip_xy == other.corners_chip_xy
    with pytest.raises(DataError):
        ChipLibrary.load(tmp_path / "absent.npz")


@pytest.mark.parametrize("modality", ["optical", "sar"])
def test_build_is_sound_marked_and_reproducible(tmp_path: Path, modality: str) -> None:
    library, grounds, scenes = ingredients(modality)
    report = build_synthetic_coco(library, grounds, count=8, seed=5, destination=tmp_path / "a", control_fraction=0.5)
    again = build_synthetic_coco(library, grounds, count=8, seed=5, destination=tmp_path / "b", control_fraction=0.5)
    coco = json.loads(report.coco_path.read_text())
    assert coco == json.loads(again.coco_path.read_text())
    assert audit_coco(coco).passed
    assert report.tiles == 8
    assert report.objects >= 8
    assert report.controls > 0
    assert coco["info"]["synthetic"]
    assert coco["info"]["rendered"]
    rejected = [json.loads(line) for line in (tmp_path / "a/rejects.jsonl").read_text().splitlines()]
    assert len(rejected) == sum(report.rejects.values())
    for image in coco["images"]:
        pixels, tags = read_tile(tmp_path / "a" / image["file_name"])
        twin, _ = read_tile(tmp_path / "b" / image["file_name"])
        assert (pixels == twin).all()
        assert tags["synthetic"] == "true"
        assert pixels.dtype == (np.uint16 if modality == "optical" else np.float32)
        assert modality == "sar" or pixels.max() <= 4095
        with open_scene(str(tmp_path / "a" / image["file_name"])) as opened:
            original_record = scenes[image["scene_id"]].record
            for name in ("modality", "instrument", "bits_effective", "gsd_m", "bands", "rendered"):
                assert getattr(opened.record, name) == getattr(original_record, name)
        column, row, width, height = image["window"]
        original = scenes[image["scene_id"]].pixels_chw[:, row : row + height, column : column + width]
        changed = np.abs(pixels.astype(np.float64) - original) > 1e-3 * original.max()
        mine = [entry for entry in coco["annotations"] if entry["image_id"] == image["id"]]
        pasted = [entry["bbox"] for entry in mine if entry["source"] == "synthetic"]
        assert pasted
        allowed = np.zeros(changed.shape[1:], bool)
        for x, y, w, h in [*pasted, *(control["bbox"] for control in image["controls"])]:
            allowed[int(y) - 5 : int(y + h) + 6, int(x) - 5 : int(x + w) + 6] = True
            assert changed[0, int(y) : int(y + h) + 1, int(x) : int(x + w) + 1].any()
        assert not changed[0][~allowed].any()


def test_existing_labels_are_kept_and_not_painted_over(tmp_path: Path) -> None:
    library, grounds, _ = ingredients()
    full = [one for one in grounds if one.annotations]
    report = build_synthetic_coco(library, full, count=4, seed=1, destination=tmp_path)
    coco = json.loads(report.coco_path.read_text())
    kept = [entry for entry in coco["annotations"] if entry["source"] == "human"]
    assert kept
    for old in kept:
        for new in coco["annotations"]:
            if new["source"] == "synthetic" and new["image_id"] == old["image_id"]:
                (x, y, w, h), (u, v, s, t) = old["bbox"], new["bbox"]
                assert x + w <= u or u + s <= x or y + h <= v or v + t <= y


def test_leaks_and_empty_ingredients_are_refused(tmp_path: Path) -> None:
    library, grounds, scenes = ingredients()
    with pytest.raises(LeakageError, match="field2"):
        build_synthetic_coco(library, grounds, count=1, seed=0, destination=tmp_path, training_scenes=["field0", "field1"])
    with pytest.raises(LeakageError):
        build_chip_library(
            [make_annotation("field0", "bar", box_corners(9, 9, 20, 20))], scenes.__getitem__, training_scenes=[]
        )
    with pytest.raises(InputError):
        build_synthetic_coco(ChipLibrary(()), grounds, count=1, seed=0, destination=tmp_path)
    sar = ingredients("sar")[1]
    with pytest.raises(InputError, match="fit"):
        build_synthetic_coco(library, sar, count=1, seed=0, destination=tmp_path)


@pytest.mark.skipif(not (SHARED / "airbus_aircraft").is_dir(), reason="shared data (airbus_aircraft) are absent")
def test_real_aircraft(tmp_path: Path) -> None:
    from ovd_platform.datasets.formats import load_annotations

    folder = SHARED / "airbus_aircraft"
    bands = (Band("red"), Band("green"), Band("blue"))
    records = {
        path.stem: SceneRecord(path.stem, str(path), path.stem, "optical", "rgb-3x8", 2560, 2560, bands, "uint8", 8)
        for path in sorted((folder / "images").glob("*.jpg"))
    }
    labels, problems = load_annotations(folder / "annotations.csv", records)
    assert len(labels) == 2052
    assert {label.class_name for label in labels} == {"airplane"}
    assert sum(label.difficult for label in labels) == 77
    assert len(problems) == 8
    assert all("clipped" in problem for problem in problems)
    name = next(iter(records))
    mine = [label for label in labels if label.scene_id == name]
    library = build_chip_library(mine, lambda scene_id: open_scene(records[scene_id].uri), training_scenes=[name])
    refined = sum(chip.mask_source == "refined" for chip in library.chips)
    assert refined > 0.6 * len(library.chips)
    with open_scene(records[name].uri) as scene:
        grounds = draw_backgrounds(scene, labels, count=4, size_px=384, seed=0)
    report = build_synthetic_coco(library, grounds, count=3, seed=0, destination=tmp_path, training_scenes=[name])
    assert report.tiles == 3
    assert audit_coco(json.loads(report.coco_path.read_text())).passed
