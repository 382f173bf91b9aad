"""Label formats: round trips, detection, reports of what was dropped."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.datasets.canonical import annotations_from_table, annotations_to_table, read_annotations, write_annotations
from ovd_platform.datasets.class_names import canonical_class
from ovd_platform.datasets.formats import coco, csv_table, dota, geojson, load_annotations, voc, yolo
from ovd_platform.datasets.polygons import box_corners, make_annotation, mask_outline, polygon_area, rasterise
from ovd_platform.datasets.scene_lookup import SceneLookup
from ovd_platform.errors import DataError, InputError
from ovd_platform.records.scene import Band, SceneRecord

SHARED = Path(os.environ.get("OVD_SHARED_DATA", Path(__file__).parents[2] / "../shared/data"))
AFFINE = (0.5, 0.0, 500000.0, 0.0, -0.5, 4500000.0)


def scene(name: str, width: int = 400, height: int = 300, **more: object) -> SceneRecord:
    return SceneRecord(
        name, f"/data/{name}.tif", f"v-{name}", "optical", "pan-1x12", width, height, (Band("pan"),), "uint16", **more
    )


SCENES = {name: scene(name) for name in ("alpha", "beta")}
LABELS = [
    make_annotation("alpha", "ship", box_corners(10, 20, 40.5, 60.25)),
    make_annotation("alpha", "storage tank", ((100.0, 100.0), (140.0, 110.0), (130.0, 150.0), (90.0, 140.0))),
    make_annotation("beta", "ship", box_corners(0, 0, 8, 8), difficult=True),
]


def geometry_of(annotations: list) -> set:
    return {
        (one.scene_id, one.class_name, one.difficult, tuple((round(x, 6), round(y, 6)) for x, y in one.corners_scene_xy))
        for one in annotations
    }


def write_all(folder: Path, kind: str) -> Path:
    """The labels in one format; the path to load."""
    if kind == "coco":
        (folder / "labels.json").write_text(json.dumps(coco.format_coco(LABELS, SCENES)))
    elif kind == "geojson":
        (folder / "labels.geojson").write_text(json.dumps(geojson.format_geojson(LABELS)))
    elif kind == "csv":
        (folder / "labels.csv").write_text(csv_table.format_csv(LABELS))
    elif kind == "parquet":
        write_annotations(LABELS, folder / "labels.parquet")
    for name, record in SCENES.items():
        mine = [one for one in LABELS if one.scene_id == name]
        if kind == "yolo":
            (folder / "classes.txt").write_text("ship\nstorage tank\n")
            (folder / f"{name}.txt").write_text(yolo.format_yolo(mine, record, ["ship", "storage tank"]))
        elif kind == "dota":
            (folder / f"{name}.txt").write_text("imagesource:x\ngsd:0.5\n" + dota.format_dota(mine))
        elif kind == "voc":
            (folder / f"{name}.xml").write_text(voc.format_voc(mine, record))
    return folder


@pytest.mark.parametrize("kind", ["coco", "geojson", "csv", "parquet", "yolo", "dota", "voc"])
def test_round_trip(tmp_path: Path, kind: str) -> None:
    found, problems = load_annotations(write_all(tmp_path, kind), SCENES)
    expected = geometry_of(LABELS)
    if kind == "yolo":  # the format cannot say difficult
        expected = {(scene_id, name, False, corners) for scene_id, name, _, corners in expected}
    assert problems == []
    assert geometry_of(found) == expected


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300)), min_size=1, max_size=6),
    st.sampled_from(["", "ship", "storage tank"]),
    st.booleans(),
)
def test_canonical_table_is_lossless(corners: list[tuple[float, float]], name: str, difficult: bool) -> None:
    annotation = make_annotation("alpha", name, tuple(corners), source="pseudo", difficult=difficult)
    assert annotations_from_table(annotations_to_table([annotation, annotation])) == [annotation, annotation]


def test_canonical_table_refuses_other_tables() -> None:
    with pytest.raises(DataError, match="scene_id"):
        annotations_from_table(annotations_to_table(LABELS).drop(["scene_id"]))


@pytest.mark.parametrize(
    ("spelt", "expected"),
    [
        ("Airplanes", "airplane"),
        ("Storage_Tanks", "storage tank"),
        ("aircraft", "aircraft"),
        ("bus", "bus"),
        ("Ferries", "ferry"),
        ("ground-track-field", "ground track field"),
        ("glasses", "glass"),
        ("  ", ""),
    ],
)
def test_class_names(spelt: str, expected: str) -> None:
    assert canonical_class(spelt) == expected


@given(st.text(alphabet="abcdeiosxhz _-", max_size=14))
def test_class_names_are_idempotent(text: str) -> None:
    assert canonical_class(canonical_class(text)) == canonical_class(text)


def test_synonyms() -> None:
    assert canonical_class("Airplanes", {"airplane": "Aircraft"}) == "aircraft"


def test_edges_degenerate_and_duplicates_are_reported(tmp_path: Path) -> None:
    rows = [
        "image,xmin,ymin,xmax,ymax,class",
        "alpha.tif,-5,10,20,30,ship",
        "alpha.tif,50,50,50,80,ship",
        "alpha,500,10,520,30,ship",
        "gamma,1,1,5,5,ship",
        "alpha,60,60,80,80,ships",
        "alpha,60,60,80,80,ship",
        "alpha,x,60,80,80,ship",
        "alpha,nan,1,9,9,ship",
    ]
    path = tmp_path / "boxes.csv"
    path.write_text("\n".join(rows))
    found, problems = load_annotations(path, SCENES)
    assert {one.box_scene_xyxy for one in found} == {(0, 10, 20, 30), (60, 60, 80, 80)}
    text = "\n".join(problems)
    for word in ("clipped", "degenerate", "outside", "gamma", "duplicate", "unreadable", "not finite"):
        assert word in text
    assert "line 2" in text
    assert len(problems) == 7


def test_airbus_strings_and_truncated(tmp_path: Path) -> None:
    path = tmp_path / "annotations.csv"
    path.write_text(
        'id,image_id,geometry,class\n1,alpha.jpg,"[(1, 2), (11, 2), (11, 22), (1, 22), (1, 2)]",Airplane\n'
        '2,beta.jpg,"[(380, 2), (400, 2), (400, 22), (380, 22), (380, 2)]",Truncated_airplane\n'
    )
    found, problems = load_annotations(path, SCENES, synonyms={"airplane": "aircraft"})
    assert problems == []
    assert [(one.class_name, one.difficult, len(one.corners_scene_xy)) for one in found] == [
        ("aircraft", False, 4),
        ("aircraft", True, 4),
    ]


def test_points_take_the_file_as_scene_and_the_default_class(tmp_path: Path) -> None:
    path = tmp_path / "alpha.csv"
    path.write_text("x,y\n189,112\n255,123\n999,1\n")
    found, problems = load_annotations(path, SCENES, default_class="Trees")
    assert {one.corners_scene_xy for one in found} == {((189.0, 112.0),), ((255.0, 123.0),)}
    assert {one.class_name for one in found} == {"tree"}
    assert len(problems) == 1


def test_geojson_in_degrees_in_utm_and_in_pixels(tmp_path: Path) -> None:
    footprint = pytest.importorskip("ovd_platform.geometry.footprint")
    placed = scene("alpha", georeference="affine", crs="EPSG:32633", transform=AFFINE, gsd_m=0.5)
    corners = np.array([[10.0, 20.0], [40.0, 20.0], [40.0, 60.0], [10.0, 60.0]])
    lonlat = [list(map(float, point)) for point in footprint.pixel_to_lonlat(placed, corners)]
    utm = [[500000 + 0.5 * x, 4500000 - 0.5 * y] for x, y in corners]
    found = []
    for name, ring, member in (("degrees", lonlat, None), ("utm", utm, "urn:ogc:def:crs:EPSG::32633")):
        feature = {
            "type": "Feature",
            "properties": {"scene": "alpha", "label": "Ships"},
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        }
        content = {"type": "FeatureCollection", "features": [feature]}
        if member:
            content["crs"] = {"type": "name", "properties": {"name": member}}
        (tmp_path / f"{name}.geojson").write_text(json.dumps(content))
        annotations, problems = load_annotations(tmp_path / f"{name}.geojson", {"alpha": placed})
        assert problems == []
        found += annotations
    pixels = {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"scene": "beta", "class": "ship"},
                "geometry": {"type": "Polygon", "coordinates": [corners.tolist()]},
            }
        ],
    }
    (tmp_path / "pixels.geojson").write_text(json.dumps(pixels))
    found += load_annotations(tmp_path / "pixels.geojson", SCENES)[0]
    for annotation in found:
        assert np.allclose(annotation.corners_scene_xy, corners, atol=0.01)
        assert annotation.class_name == "ship"


def test_voc_counts_from_one_unless_a_zero_says_otherwise() -> None:
    box = "<bndbox><xmin>{}</xmin><ymin>5</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    text = f"<annotation><object><name>ship</name>{box}</object></annotation>"
    assert voc.parse_voc(text.format(1), "alpha").labels[0].corners[0] == (0.0, 4.0)
    zero = voc.parse_voc(text.format(0), "alpha")
    assert zero.labels[0].corners[0] == (0.0, 5.0)
    assert zero.problems


def test_unknown_formats_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello world\n")
    with pytest.raises(DataError, match=r"notes\.txt"):
        load_annotations(path, SCENES)
    with pytest.raises(InputError):
        load_annotations(tmp_path / "absent.json", SCENES)
    (tmp_path / "alpha.txt").write_text("")
    assert load_annotations(tmp_path / "alpha.txt", SCENES) == ([], [])


def test_masks_of_pycocotools_decode_and_trace() -> None:
    masks = pytest.importorskip("pycocotools.mask")
    mask_hw = np.zeros((30, 40), dtype=np.uint8)
    mask_hw[5:12, 7:20] = 1
    mask_hw[8:20, 15:18] = 1
    code = masks.encode(np.asfortranarray(mask_hw))
    assert (coco.decode_rle(code) == mask_hw.astype(bool)).all()
    ring, pieces = mask_outline(mask_hw.astype(bool))
    assert pieces == 1
    assert polygon_area(ring) == mask_hw.sum()
    assert (rasterise(ring, 30, 40) == mask_hw.astype(bool)).all()


def test_parquet_of_another_kind_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(DataError):
        read_annotations(tmp_path / "x.parquet")


@pytest.mark.skipif(not (SHARED / "urban_trees").is_dir(), reason="shared data (urban_trees) are absent")
def test_real_points_agree_on_the_ground_and_in_pixels(tmp_path: Path) -> None:
    open_scene = pytest.importorskip("ovd_platform.raster.scene").open_scene
    compared = 0
    for table in sorted((SHARED / "urban_trees/csv").glob("*.csv"))[:8]:
        with open_scene(str(SHARED / f"urban_trees/images/{table.stem}.tif"), scene_id=table.stem) as opened:
            scenes = {table.stem: opened.record}
        pixels, _ = load_annotations(table, scenes, default_class="tree")
        placed, _ = load_annotations(SHARED / f"urban_trees/json/{table.stem}.json", scenes, default_class="tree")
        if not pixels:
            continue
        one = np.array([label.corners_scene_xy[0] for label in pixels])
        other = np.array([label.corners_scene_xy[0] for label in placed])
        distance = np.abs(one[:, None] + 0.5 - other[None]).max(axis=2).min(axis=1)  # the CSV is floored
        assert np.quantile(distance, 0.95) <= 0.51 + 1e-3
        compared += len(one)
    assert compared > 100


@pytest.mark.skipif(not (SHARED / "sen2ships").is_dir(), reason="shared data (sen2ships) are absent")
def test_real_run_length_masks_find_their_band_stacks() -> None:
    content = json.loads((SHARED / "sen2ships/coco.json").read_text())
    scenes = {}
    for image in content["images"]:
        port = image["file_name"].split("_")[0]
        uri = "|".join(f"/data/{port}/{band}.tiff" for band in ("B02", "B03", "B04"))
        bands = (Band("blue"), Band("green"), Band("red"))
        scenes[f"scene-{port}"] = SceneRecord(
            f"scene-{port}", uri, port, "optical", "s2", image["width"], image["height"], bands, "uint16"
        )
    found, problems = load_annotations(SHARED / "sen2ships/coco.json", scenes)
    dropped = sum("duplicate" in problem or "dropped" in problem for problem in problems)
    assert len(found) + dropped == len(content["annotations"])
    boxes = {tuple(round(value) for value in label.box_scene_xyxy) for label in found}
    truth = {(x, y, x + w, y + h) for x, y, w, h in (map(round, entry["bbox"]) for entry in content["annotations"])}
    assert len(boxes & truth) >= 0.95 * len(truth)
    assert {label.class_name for label in found} == {"ship"}


def test_scenes_are_never_guessed_from_numbers() -> None:
    lookup = SceneLookup({"port": scene("port"), "Big Port (2)": scene("big-port--2-")})
    assert lookup.find("images/port_rgb.png")[0] is not None
    assert lookup.find("images/port_rgb.png")[1] == "'images/port_rgb.png' taken for scene port"
    assert lookup.find("PORT.TIF") == (scene("port"), "")
    for other in ("port_1.tif", "port-sar.tif", "por", "airport"):
        assert lookup.find(other)[0] is None
