"""Hits as GeoJSON and as rows for people. Belongs here: formats of answers; pictures are `contact_sheet`'s."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ovd_platform.records.prompt import Hit


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
