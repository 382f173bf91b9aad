"""Detections for other programs: tables, GeoJSON, GeoParquet, GeoPackage, COCO. Belongs here: formats; making detections is `detect`'s."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ovd_platform.detect.vocabulary import Vocabulary
from ovd_platform.errors import DataError
from ovd_platform.geometry.footprint import split_antimeridian
from ovd_platform.records.detection import Detection
from ovd_platform.records.mask import Mask
from ovd_platform.records.scene import SceneRecord

if TYPE_CHECKING:
    import geopandas

_PAIR = pa.list_(pa.float64(), 2)
_TEXT = pa.string()
DETECTION_SCHEMA = pa.schema(
    [
        pa.field("detection_id", _TEXT, nullable=False),
        ("proposal_id", _TEXT),
        ("tile_id", _TEXT),
        pa.field("scene_id", _TEXT, nullable=False),
        ("scene_version", _TEXT),
        ("class_name", _TEXT),
        ("box_scene_xyxy", pa.list_(pa.float64(), 4)),
        ("objectness", pa.float64()),
        ("similarity", pa.float64()),
        ("score", pa.float64()),
        ("probability", pa.float64()),
        ("accepted", pa.bool_()),
        ("footprint_lonlat", pa.list_(_PAIR)),
        ("odd_context", pa.bool_()),
        ("proposer", _TEXT),
        ("encoder", _TEXT),
        ("vocabulary", _TEXT),
        ("release", _TEXT),
        ("rendered", pa.bool_()),
    ]
)


def detections_to_table(detections: Iterable[Detection]) -> pa.Table:
    """Detections as an Arrow table; `detections_from_table` is its exact inverse."""
    return pa.Table.from_pylist([asdict(detection) for detection in detections], schema=DETECTION_SCHEMA)


def detections_from_table(table: pa.Table) -> list[Detection]:
    """Inverse of `detections_to_table`.

    Raises:
        DataError: If a column is missing.
    """
    names = [field.name for field in fields(Detection)]
    missing = sorted(set(names) - set(table.column_names))
    if missing:
        raise DataError(
            f"Cannot read detections: expected the columns of `DETECTION_SCHEMA`, got none named {missing}. Detect again."
        )
    detections = []
    for row in table.select(names).to_pylist():
        row["box_scene_xyxy"] = tuple(row["box_scene_xyxy"])
        row["footprint_lonlat"] = tuple((lon, lat) for lon, lat in row["footprint_lonlat"] or ())
        detections.append(Detection(**row))
    return detections


def write_detections(path: Path, detections: Iterable[Detection]) -> Path:
    """Write detections as Parquet; returns the path."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(detections_to_table(detections), path)
    return path


def read_detections(path: Path) -> list[Detection]:
    """Inverse of `write_detections`.

    Raises:
        DataError: If the file is no such table.
    """
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"Cannot read detections from {path}: expected a Parquet file, got {error}. Detect the scene again."
        ) from error
    return detections_from_table(table)


def detections_to_geojson(detections: Iterable[Detection]) -> dict[str, Any]:
    """Detections as a GeoJSON FeatureCollection (RFC 7946): lon, lat; rings counter-clockwise; cut at the antimeridian.

    Detections without georeference have a null geometry; the box in scene pixels is in the properties of all.
    """
    features = []
    for detection in detections:
        properties = asdict(detection)
        del properties["footprint_lonlat"]
        properties["box_scene_xyxy"] = list(detection.box_scene_xyxy)
        features.append(
            {"type": "Feature", "id": detection.detection_id, "geometry": _geometry(detection), "properties": properties}
        )
    return {"type": "FeatureCollection", "features": features}


def write_geojson(path: Path, detections: Iterable[Detection]) -> Path:
    """Write `detections_to_geojson`; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(detections_to_geojson(detections), allow_nan=False), encoding="utf-8")
    return path


def detections_to_geodataframe(detections: Sequence[Detection]) -> "geopandas.GeoDataFrame":
    """Detections that have a place on Earth as a GeoDataFrame in OGC:CRS84; the others are left out."""
    import geopandas
    import pandas as pd
    from shapely.geometry import shape

    placed = [(detection, geometry) for detection in detections if (geometry := _geometry(detection)) is not None]
    table = detections_to_table(detection for detection, _ in placed).drop_columns(["footprint_lonlat", "box_scene_xyxy"])
    frame = pd.DataFrame(table.to_pandas())
    for i, name in enumerate(("x0_px", "y0_px", "x1_px", "y1_px")):
        frame[name] = [float(detection.box_scene_xyxy[i]) for detection, _ in placed]
    shapes = geopandas.GeoSeries([shape(geometry) for _, geometry in placed], index=frame.index, crs="OGC:CRS84")
    return geopandas.GeoDataFrame(frame, geometry=shapes, crs="OGC:CRS84")


def write_geoparquet(path: Path, detections: Sequence[Detection]) -> int:
    """Write the detections that have a place on Earth as GeoParquet.

    Returns:
        Number written; the rest have no georeference and are only in the plain Parquet.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = detections_to_geodataframe(detections)
    frame.to_parquet(path)
    return len(frame)


def write_geopackage(path: Path, detections: Sequence[Detection]) -> int:
    """Write the detections that have a place on Earth as a GeoPackage with one layer, ``detections``; replaces the file.

    Returns:
        Number written; the rest have no georeference and are only in the plain Parquet.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = detections_to_geodataframe(detections).to_crs("EPSG:4326")
    draft = path.with_suffix(".part.gpkg")
    draft.unlink(missing_ok=True)
    # A GeoPackage knows EPSG codes, not OGC:CRS84; coordinates stay x = longitude, y = latitude, as its standard asks.
    frame.to_file(
        draft, layer="detections", driver="GPKG", engine="pyogrio", geometry_type="MultiPolygon", promote_to_multi=True
    )
    draft.replace(path)
    return len(frame)


def detections_to_coco(
    detections: Iterable[Detection],
    scenes: Sequence[SceneRecord],
    vocabulary: Vocabulary,
    masks: Mapping[str, Mask] | None = None,
) -> dict[str, Any]:
    """Detections as a COCO data set: images are whole scenes, annotations carry ``score``; ``info`` carries all versions.

    ``score`` is the calibrated probability, or the rank value where the class abstains (then ``calibrated`` is false).

    Args:
        detections: Detections of the scenes.
        scenes: Scenes in the order of their image ids, from 1; a scene without detections stays an image.
        vocabulary: Gives category ids.
        masks: Proposal id -> mask, scene pixels; those become polygons in ``segmentation``.
    """
    image_ids = {scene.scene_id: i for i, scene in enumerate(scenes, start=1)}
    category_ids = {entry.name: entry.coco_id for entry in vocabulary.classes}
    annotations: list[dict[str, Any]] = []
    versions: dict[str, set[str]] = {name: set() for name in ("proposer", "encoder", "release")}
    for detection in detections:
        if detection.scene_id not in image_ids or detection.class_name not in category_ids:
            raise DataError(
                f"Cannot export {detection.detection_id} to COCO: expected one of the given scenes and classes, got "
                f"{detection.scene_id} and {detection.class_name}. Pass its scene and the vocabulary it was made with."
            )
        mask = (masks or {}).get(detection.proposal_id)
        annotations.append(_coco_annotation(len(annotations) + 1, detection, image_ids, category_ids, mask))
        for name, seen in versions.items():
            seen.add(getattr(detection, name))
    info: dict[str, Any] = {name: sorted(seen) for name, seen in versions.items()}
    info.update(description="ovd detections", vocabulary=vocabulary.version, scenes={s.scene_id: s.version for s in scenes})
    info["rendered"] = any(scene.rendered for scene in scenes)
    return {
        "info": info,
        "licenses": [],
        "images": [_coco_image(image_ids[scene.scene_id], scene) for scene in scenes],
        "categories": [{"id": entry.coco_id, "name": entry.name, "supercategory": "object"} for entry in vocabulary.classes],
        "annotations": annotations,
    }


def coco_results(coco: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The bare results list of `detections_to_coco`, as COCO evaluators load it."""
    return [{key: entry[key] for key in ("image_id", "category_id", "bbox", "score")} for entry in coco["annotations"]]


def _coco_image(image_id: int, scene: SceneRecord) -> dict[str, Any]:
    return {
        "id": image_id,
        "file_name": scene.uri,
        "width": scene.width_px,
        "height": scene.height_px,
        "date_captured": scene.view.acquired_utc or "",
        "scene_id": scene.scene_id,
        "scene_version": scene.version,
        "rendered": scene.rendered,
    }


def _coco_annotation(
    number: int, detection: Detection, image_ids: Mapping[str, int], category_ids: Mapping[str, int], mask: Mask | None
) -> dict[str, Any]:
    x0, y0, x1, y1 = detection.box_scene_xyxy
    solid = mask is not None and mask.area_px > 0
    return {
        "id": number,
        "image_id": image_ids[detection.scene_id],
        "category_id": category_ids[detection.class_name],
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": float(mask.area_px) if mask is not None and solid else (x1 - x0) * (y1 - y0),
        "iscrowd": 0,
        "segmentation": _polygons(mask) if mask is not None and solid else [],
        "score": detection.score if detection.probability is None else detection.probability,
        "calibrated": detection.probability is not None,
        "accepted": detection.accepted,
        "detection_id": detection.detection_id,
        "proposal_id": detection.proposal_id,
        "odd_context": detection.odd_context,
        "rendered": detection.rendered,
    }


def _polygons(mask: Mask) -> list[list[float]]:
    """Outlines of a mask along pixel edges, x, y, x, y, ...; holes are left out, as COCO has none."""
    import shapely
    from rasterio.features import shapes

    parts = [
        shapely.geometry.shape(outline) for outline, value in shapes(mask.bits_hw.astype("uint8"), connectivity=4) if value
    ]
    return [
        [float(value) for x, y in part.exterior.coords[:-1] for value in (x + mask.left_px, y + mask.top_px)] for part in parts
    ]


def _geometry(detection: Detection) -> dict[str, Any] | None:
    ring = detection.footprint_lonlat
    if len(ring) < 3:
        return None
    closed = ring if ring[0] == ring[-1] else (*ring, ring[0])
    parts = [[_counter_clockwise(part)] for part in split_antimeridian(closed)]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _counter_clockwise(ring: Sequence[tuple[float, float]]) -> list[list[float]]:
    double_area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring))
    ordered = ring if double_area >= 0 else ring[::-1]
    return [[float(lon), float(lat)] for lon, lat in ordered]
