"""Hits as GeoJSON and as rows for people. Belongs here: formats of answers; pictures are `contact_sheet`'s."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ovd_platform.records.prompt import Hit
from ovd_platform.records.scene import SceneRecord


def hits_to_geojson(hits: Sequence[Hit]) -> dict[str, Any]:
    """Hits as a GeoJSON FeatureCollection (RFC 7946) of points in lon, lat.

    Hits without a georeference have a null geometry; their box in scene pixels is in the properties either way.
    """
    features = []
    for hit in hits:
        properties = {
            "rank": hit.rank,
            "score": hit.score,
            "similarity": hit.similarity,
            "objectness": hit.objectness,
            "proposal_id": hit.proposal_id,
            "scene_id": hit.scene_id,
            "scene_version": hit.scene_version,
            "tile_id": hit.tile_id,
            "box_scene_xyxy": list(hit.box_scene_xyxy),
            "instrument": hit.instrument,
            "acquired_utc": hit.acquired_utc,
            "uri": hit.uri,
            "model_version": hit.model_version,
            "rendered": hit.rendered,
            "revisits": [asdict(one) for one in hit.revisits],
        }
        geometry = {"type": "Point", "coordinates": [hit.lonlat[0], hit.lonlat[1]]} if hit.lonlat else None
        features.append({"type": "Feature", "id": hit.proposal_id, "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def hits_to_coco(hits: Sequence[Hit], scenes: Sequence[SceneRecord], category: str, info: Mapping[str, Any]) -> dict[str, Any]:
    """Hits as a COCO data set: images are whole scenes, every hit an annotation of one category with its ``score``.

    Args:
        hits: Answers of one search.
        scenes: Scenes of the hits in the order of their image ids, from 1.
        category: Name of what was asked for.
        info: Joins ``info``: the question, versions.

    Returns:
        JSON-ready mapping; boxes are x, y, width, height in scene pixels.
    """
    image_ids = {scene.scene_id: number for number, scene in enumerate(scenes, start=1)}
    images = [
        {"id": image_ids[one.scene_id], "file_name": one.uri, "width": one.width_px, "height": one.height_px,
         "date_captured": one.view.acquired_utc or "", "scene_id": one.scene_id, "scene_version": one.version, "rendered": one.rendered}
        for one in scenes
    ]  # fmt: skip
    annotations = []
    for number, hit in enumerate(hits, start=1):
        x0, y0, x1, y1 = hit.box_scene_xyxy
        annotations.append(
            {"id": number, "image_id": image_ids[hit.scene_id], "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0],
             "area": (x1 - x0) * (y1 - y0), "iscrowd": 0, "segmentation": [], "score": hit.score, "proposal_id": hit.proposal_id,
             "rendered": hit.rendered}
        )  # fmt: skip
    return {
        "info": {"description": "ovd search", "rendered": any(one.rendered for one in scenes), **info},
        "licenses": [],
        "images": images,
        "categories": [{"id": 1, "name": category, "supercategory": "object"}],
        "annotations": annotations,
    }


def hits_to_rows(hits: Sequence[Hit]) -> list[dict[str, str]]:
    """Hits as rows of text for a printed table; the columns are the keys of each row."""
    listed = any(hit.revisits for hit in hits)
    return [
        {
            "rank": str(hit.rank),
            "score": f"{hit.score:.3f}",
            "similarity": f"{hit.similarity:.3f}",
            "objectness": f"{hit.objectness:.2f}",
            "scene": hit.scene_id + (" (RENDERED)" if hit.rendered else ""),
            "box px": _box_text(hit.box_scene_xyxy),
            "lon, lat": f"{hit.lonlat[0]:.6f}, {hit.lonlat[1]:.6f}" if hit.lonlat else "-",
            "acquired": hit.acquired_utc or "-",
            "instrument": hit.instrument,
            **({"also seen": str(len(hit.revisits))} if listed else {}),
            "id": hit.proposal_id,
        }
        for hit in hits
    ]


def _box_text(box_scene_xyxy: tuple[float, float, float, float]) -> str:
    x0, y0, x1, y1 = box_scene_xyxy
    return f"{x0:.0f},{y0:.0f} {x1 - x0:.0f}x{y1 - y0:.0f}"
