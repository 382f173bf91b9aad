"""Tile-level COCO, its audit and merging."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.datasets.audit import audit_coco
from ovd_platform.datasets.coco import build_tile_coco
from ovd_platform.datasets.merge import merge_datasets
from ovd_platform.datasets.polygons import box_corners, make_annotation
from ovd_platform.datasets.splits import Split
from ovd_platform.errors import DataError, InputError
from ovd_platform.records.scene import Band, SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window

SCENE = SceneRecord("alpha", "/d/alpha.tif", "v1", "optical", "pan-1x12", 256, 128, (Band("pan"),), "uint16")


def tiles(halo: int = 0, kept: bool = True) -> list[TileRecord]:
    return [
        TileRecord(
            f"alpha/g/{row}/{col}", "alpha", row, col, Window(col * 64, row * 64, 64, 64), halo, (), "", 1.0, 0.1, 0.5, kept
        )
        for row in range(2)
        for col in range(4)
    ]


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 200), st.floats(0, 100), st.floats(1, 56), st.floats(1, 28))
def test_visible_parts_add_up(x: float, y: float, width: float, height: float) -> None:
    label = make_annotation("alpha", "ship", box_corners(x, y, x + width, y + height))
    coco = build_tile_coco([label], tiles(), {"alpha": SCENE})
    assert sum(entry["visible_fraction"] for entry in coco["annotations"]) == pytest.approx(1.0, abs=1e-6)
    assert sum(entry["area"] for entry in coco["annotations"]) == pytest.approx(width * height, rel=1e-6)
    assert audit_coco(coco).passed


def test_cut_objects_are_ignored_and_whole_ones_seen_through_the_halo() -> None:
    label = make_annotation("alpha", "ship", box_corners(54, 10, 74, 20))  # half in tile 0, half in tile 1
    difficult = make_annotation("alpha", "ship", box_corners(5, 40, 15, 50), difficult=True)
    core = build_tile_coco([label, difficult], tiles(), {"alpha": SCENE}, min_visible_fraction=0.6)
    assert [entry["ignore"] for entry in core["annotations"]] == [1, 1, 1]
    look = build_tile_coco([label], tiles(halo=16), {"alpha": SCENE})
    whole = [entry for entry in look["annotations"] if entry["image_id"] in (1, 2)]
    assert [entry["visible_fraction"] for entry in whole] == [1.0, 1.0]
    assert whole[0]["bbox"] == [70, 26, 20, 10]


def test_options() -> None:
    labels = [make_annotation("alpha", "ship", box_corners(1, 1, 9, 9)), make_annotation("alpha", "tree", ((100.0, 100.0),))]
    agnostic = build_tile_coco(
        labels, tiles(), {"alpha": SCENE}, class_agnostic=True, keep_empty=False, versions={"labels": "x"}
    )
    assert agnostic["categories"] == [{"id": 1, "name": "object"}]
    assert len(agnostic["images"]) == 1
    assert agnostic["info"]["versions"] == {"labels": "x"}
    assert agnostic["info"]["counts"]["points_left_out"] == 1
    boxed = build_tile_coco(labels, tiles(kept=False), {"alpha": SCENE}, point_box_px=6)
    assert [image["tile_id"] for image in boxed["images"]] == ["alpha/g/0/0", "alpha/g/1/1"]
    assert boxed["annotations"][1]["bbox"] == [33, 33, 6, 6]
    with pytest.raises(InputError, match="tree"):
        build_tile_coco(labels, tiles(), {"alpha": SCENE}, class_names=["ship"])


def toy(count: int, classes: dict[str, int], synthetic: bool = False, scene: str = "alpha") -> dict[str, Any]:
    """COCO of `count` images; image i holds one label of the class i falls into."""
    names = list(classes)
    order = [name for name, number in classes.items() for _ in range(number)]
    images = [
        {
            "id": 7 * index + 3,
            "file_name": f"{scene}-{index}",
            "width": 64,
            "height": 64,
            "synthetic": synthetic,
            "scene_id": scene,
            "donor_scenes": [scene],
        }
        for index in range(count)
    ]
    annotations = [
        {
            "id": index + 100,
            "image_id": 7 * index + 3,
            "category_id": names.index(order[index % len(order)]) + 5,
            "bbox": [1, 1, 10, 10],
            "area": 100,
        }
        for index in range(count)
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": i + 5, "name": n} for i, n in enumerate(names)]}


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("degenerate_box", lambda c: c["annotations"][0].update(bbox=[1, 1, 0, 5])),
        ("out_of_range_box", lambda c: c["annotations"][0].update(bbox=[60, 1, 10, 5])),
        ("dangling_reference", lambda c: c["annotations"][0].update(category_id=99)),
        ("repeated_id", lambda c: c["annotations"][0].update(id=c["annotations"][1]["id"])),
        ("repeated_image", lambda c: c["images"][0].update(file_name=c["images"][1]["file_name"])),
        ("duplicate_box", lambda c: c["annotations"][0].update(image_id=c["annotations"][1]["image_id"])),
        ("unexpected_class", lambda c: c["categories"][0].update(name="shp")),
        ("scene_without_side", lambda c: c["images"][0].update(scene_id="nowhere")),
        ("synthetic_from_held_out", lambda c: c["images"][0].update(synthetic=True, donor_scenes=["held"])),
    ],
)
def test_audit_finds_damage(kind: str, damage: Any) -> None:
    coco = toy(6, {"ship": 1})
    split = Split(("alpha",), (), ("held",))
    assert audit_coco(coco, expected_classes=["ship"], split=split).passed
    damage(coco)
    report = audit_coco(coco, expected_classes=["ship"], split=split)
    assert kind in {finding.kind for finding in report.findings}
    with pytest.raises(DataError, match=kind):
        report.require_passed()


def test_audit_counts() -> None:
    coco = toy(6, {"ship": 1, "tank": 1})
    coco["annotations"].pop()
    report = audit_coco(coco, expected_classes=["ship", "tank", "dome"])
    assert report.empty_images == 1
    assert dict(report.per_class) == {"ship": 3, "tank": 2}
    assert report.size_histogram["8-16"] == 5
    assert [finding.kind for finding in report.findings] == ["class_without_labels"]


@settings(max_examples=20, deadline=None)
@given(st.integers(10, 60), st.floats(0, 0.5), st.integers(0, 100))
def test_merge_keeps_the_fraction_and_stays_sound(count: int, fraction: float, seed: int) -> None:
    real = toy(count, {"Ships": 1})
    offers = [("paste", toy(80, {"ship": 3, "domes": 1}, True, "p")), ("inpaint", toy(40, {"dome": 1}, True, "i"))]
    before = copy.deepcopy((real, offers))
    merged, report = merge_datasets(real, offers, fraction=fraction, seed=seed)
    placed = merge_datasets(real, offers, fraction=fraction, seed=seed, folders={"paste": "sets/paste"})[0]
    assert all(image["file_name"].startswith("sets/paste/p-") == (image["dataset"] == "paste") for image in placed["images"])
    assert (real, offers) == before
    assert report.real_images == count
    assert abs(report.synthetic_fraction - fraction) <= 1 / count
    assert sorted(report.categories) == ["dome", "ship"]
    assert audit_coco(merged).passed
    assert [image["id"] for image in merged["images"]] == list(range(1, len(merged["images"]) + 1))
    assert sum(image["synthetic"] for image in merged["images"]) == sum(report.synthetic_images.values())
    assert merge_datasets(real, offers, fraction=fraction, seed=seed) == (merged, report)


def test_rebalancing_prefers_rare_classes() -> None:
    real = toy(100, {"ship": 1})
    offer = [("paste", toy(200, {"ship": 1, "dome": 1}, True, "p"))]
    even = merge_datasets(real, offer, rebalance=0.0, seed=1)[1].per_class["dome"]["synthetic"]
    rare = merge_datasets(real, offer, rebalance=1.0, seed=1)[1].per_class["dome"]["synthetic"]
    assert rare > 1.3 * even


def test_merge_refuses() -> None:
    real, fake = toy(10, {"ship": 1}), toy(10, {"ship": 1}, True, "p")
    with pytest.raises(InputError, match=r"0\.5"):
        merge_datasets(real, [("p", fake)], fraction=0.6)
    with pytest.raises(InputError, match="different names"):
        merge_datasets(real, [("p", fake), ("p", fake)])
    with pytest.raises(DataError):
        merge_datasets(fake, [])
    with pytest.raises(DataError):
        merge_datasets(real, [("p", real)])
    short = merge_datasets(toy(100, {"ship": 1}), [("p", fake)])[1]
    assert short.notes
