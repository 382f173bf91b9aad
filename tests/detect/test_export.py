"""Exports: exact round trip, RFC 7946, GeoParquet without places, COCO with versions."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ovd_platform.detect.export import (
    coco_results,
    detections_from_table,
    detections_to_coco,
    detections_to_geojson,
    detections_to_table,
    read_detections,
    write_detections,
    write_geojson,
    write_geopackage,
    write_geoparquet,
)
from ovd_platform.detect.vocabulary import Vocabulary
from ovd_platform.errors import DataError
from ovd_platform.records.detection import Detection
from ovd_platform.records.mask import Mask

World = Any
SQUARE = ((10.0, 50.0), (10.0, 49.0), (11.0, 49.0), (11.0, 50.0), (10.0, 50.0))


def detection(
    number: int, ring: tuple[tuple[float, float], ...] = SQUARE, probability: float | None = 0.7, **changes: Any
) -> Detection:
    values: dict[str, Any] = {
        "detection_id": f"p{number}:ship",
        "proposal_id": f"p{number}",
        "tile_id": "t",
        "scene_id": "a",
        "scene_version": "v1",
        "class_name": "ship",
        "box_scene_xyxy": (0.1, 1.5, 10.25, 21.5),
        "objectness": 0.9,
        "similarity": 0.25,
        "score": 1.5,
        "probability": probability,
        "accepted": True,
        "footprint_lonlat": ring,
        "odd_context": False,
        "proposer": "prop1",
        "encoder": "enc1",
        "vocabulary": "voc1",
        "release": "rel1",
        "rendered": True,
    }
    return Detection(**{**values, **changes})


def signed_area(ring: list[list[float]]) -> float:
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring)) / 2


def test_tables_round_trip_exactly(tmp_path: Path) -> None:
    detections = [detection(1), detection(2, ring=(), probability=None)]
    assert detections_from_table(detections_to_table(detections)) == detections
    assert read_detections(write_detections(tmp_path / "deep" / "d.parquet", detections)) == detections
    assert read_detections(write_detections(tmp_path / "empty.parquet", [])) == []
    with pytest.raises(DataError, match="odd_context"):
        detections_from_table(detections_to_table(detections).drop_columns(["odd_context"]))
    (tmp_path / "broken.parquet").write_bytes(b"no")
    with pytest.raises(DataError):
        read_detections(tmp_path / "broken.parquet")


def test_geojson_rings_are_closed_counter_clockwise_and_cut_at_the_antimeridian(tmp_path: Path) -> None:
    clockwise = SQUARE[::-1]
    crossing = ((179.5, 0.0), (-179.5, 0.0), (-179.5, 1.0), (179.5, 1.0), (179.5, 0.0))
    collection = detections_to_geojson([detection(1), detection(2, clockwise), detection(3, crossing), detection(4, ())])
    for feature in collection["features"][:2]:
        ring = feature["geometry"]["coordinates"][0]
        assert feature["geometry"]["type"] == "Polygon"
        assert ring[0] == ring[-1]
        assert signed_area(ring) == pytest.approx(1.0)
    cut = collection["features"][2]["geometry"]
    assert cut["type"] == "MultiPolygon"
    assert sum(signed_area(part[0]) for part in cut["coordinates"]) == pytest.approx(1.0)
    assert all(-180 <= lon <= 180 for part in cut["coordinates"] for lon, _ in part[0])
    assert collection["features"][3]["geometry"] is None
    assert collection["features"][3]["properties"]["box_scene_xyxy"] == [0.1, 1.5, 10.25, 21.5]
    assert json.loads(write_geojson(tmp_path / "d.geojson", [detection(1)]).read_text())["features"][0]["properties"][
        "rendered"
    ]


def test_geoparquet_leaves_out_what_has_no_place(tmp_path: Path) -> None:
    import geopandas

    path = tmp_path / "d.parquet"
    assert write_geoparquet(path, [detection(1), detection(2, ()), detection(3)]) == 2
    frame = geopandas.read_parquet(path)
    assert frame.crs == "OGC:CRS84"
    assert list(frame["proposal_id"]) == ["p1", "p3"]
    assert frame.geometry.iloc[0].bounds == (10.0, 49.0, 11.0, 50.0)
    assert frame["x1_px"].iloc[0] == 10.25
    assert write_geoparquet(path, [detection(2, ())]) == 0
    assert len(geopandas.read_parquet(path)) == 0


def test_geopackage_is_one_layer_with_the_ids_that_lead_back(tmp_path: Path) -> None:
    import geopandas

    path = tmp_path / "d.gpkg"
    assert write_geopackage(path, [detection(1), detection(2, ())]) == 1
    assert write_geopackage(path, [detection(1), detection(2, ()), detection(3)]) == 2, "written afresh, not added to"
    frame = geopandas.read_file(path, layer="detections")
    assert frame.crs == "EPSG:4326"
    assert list(frame["detection_id"]) == [detection(1).detection_id, detection(3).detection_id]
    assert {"proposal_id", "tile_id", "scene_version", "release", "odd_context"} <= set(frame.columns)
    assert frame.geometry.iloc[0].bounds == (10.0, 49.0, 11.0, 50.0)
    assert write_geopackage(path, [detection(2, ())]) == 0


def test_masks_become_polygons_on_pixel_edges(world: World, vocabulary: Vocabulary) -> None:
    bits = np.zeros((4, 5), bool)
    bits[1:3, 1:4] = True
    one = detection(1)
    exported = detections_to_coco([one], [world.scene("a")], vocabulary, {one.proposal_id: Mask(10, 20, bits)})
    entry = exported["annotations"][0]
    assert entry["area"] == 6
    assert entry["proposal_id"] == one.proposal_id
    xs, ys = entry["segmentation"][0][::2], entry["segmentation"][0][1::2]
    assert (min(xs), max(xs), min(ys), max(ys)) == (11, 14, 21, 23)


def test_coco_carries_versions_and_loads_in_an_evaluator(world: World, vocabulary: Vocabulary) -> None:
    from pycocotools.coco import COCO

    scenes = [world.scene("a"), world.scene("b")]
    exported = detections_to_coco([detection(1), detection(2, probability=None)], scenes, vocabulary)
    assert exported["info"]["encoder"] == ["enc1"]
    assert exported["info"]["vocabulary"] == vocabulary.version
    assert [image["id"] for image in exported["images"]] == [1, 2]
    first, second = exported["annotations"]
    assert first["bbox"] == pytest.approx([0.1, 1.5, 10.15, 20.0])
    assert (first["category_id"], first["score"], first["calibrated"]) == (7, 0.7, True)
    assert (second["score"], second["calibrated"]) == (1.5, False)
    coco = COCO()
    coco.dataset = json.loads(json.dumps(exported))
    coco.createIndex()
    assert len(coco.loadRes(coco_results(exported)).anns) == 2
    with pytest.raises(DataError, match="Pass its scene"):
        detections_to_coco([detection(1, scene_id="c")], scenes, vocabulary)
