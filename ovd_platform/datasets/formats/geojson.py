"""GeoJSON labels: polygons and points in degrees, in another CRS, or in pixels. Belongs here: parsing and writing."""

from collections.abc import Mapping, Sequence
from typing import Any

from ovd_platform.datasets.formats.imported import Frame, ImportedFile, ImportedLabel
from ovd_platform.datasets.polygons import Corners, open_ring
from ovd_platform.records.annotation import Annotation

SCENE_PROPERTIES = ("scene_id", "scene", "image_id", "image", "file_name", "filename", "file")
CLASS_PROPERTIES = ("class_name", "class", "label", "category", "name", "type")
PIXEL_PROPERTIES = ("corners_px", "corners_scene_xy")


def is_geojson(content: object) -> bool:
    """Whether parsed JSON looks like a GeoJSON feature collection."""
    return isinstance(content, Mapping) and content.get("type") == "FeatureCollection" and "features" in content


def parse_geojson(content: Mapping[str, Any], stem: str) -> ImportedFile:
    """Labels of a feature collection.

    Args:
        content: Parsed JSON. A property ``corners_px`` (pixels of the scene) is preferred to the geometry; the old ``crs``
            member is honoured; without it coordinates are degrees, or pixels where the scene has no georeference.
        stem: File stem: the scene of features that name none.
    """
    result = ImportedFile()
    frame, crs = _frame(content)
    for position, feature in enumerate(content["features"]):
        where = f"feature {feature.get('id', position)}"
        properties = feature.get("properties") or {}
        reference = _first(properties, SCENE_PROPERTIES) or str(content.get("scene_id") or stem)
        class_name = _first(properties, CLASS_PROPERTIES)
        difficult = bool(properties.get("difficult"))
        pixel = next((properties[name] for name in PIXEL_PROPERTIES if properties.get(name)), None)
        try:
            if pixel is not None:
                rings: list[Corners] = [open_ring(pixel)]
                this_frame: Frame = "pixel"
            else:
                rings, this_frame = _rings(feature["geometry"]), frame
        except (KeyError, TypeError, ValueError, IndexError) as error:
            result.problems.append(f"{where}: dropped, geometry is unreadable ({error!r})")
            continue
        result.labels += [ImportedLabel(where, reference, class_name, ring, this_frame, crs, difficult) for ring in rings]
    return result


def _first(properties: Mapping[str, Any], names: Sequence[str]) -> str:
    """First property that is present and not empty, as text."""
    return next((str(properties[name]) for name in names if properties.get(name) not in (None, "")), "")


def _frame(content: Mapping[str, Any]) -> tuple[Frame, str]:
    """Frame of the coordinates from the collection's ``frame`` or ``crs`` member."""
    if content.get("frame") == "pixel":
        return "pixel", ""
    name = str(((content.get("crs") or {}).get("properties") or {}).get("name", ""))
    if not name or name.upper().endswith("CRS84"):
        return "auto", ""
    return "crs", name


def _rings(geometry: Mapping[str, Any]) -> list[Corners]:
    """Exterior rings (or single points) of a geometry."""
    kind, coordinates = geometry["type"], geometry["coordinates"]
    if kind == "Polygon":
        return [open_ring(coordinates[0])]
    if kind == "MultiPolygon":
        return [open_ring(polygon[0]) for polygon in coordinates]
    if kind == "Point":
        return [((float(coordinates[0]), float(coordinates[1])),)]
    if kind == "MultiPoint":
        return [((float(x), float(y)),) for x, y, *_ in coordinates]
    raise ValueError(f"geometry type {kind}")


def format_geojson(annotations: Sequence[Annotation], lonlat_corners: Mapping[str, Corners] | None = None) -> dict[str, Any]:
    """Feature collection of labels with exact pixel corners as a property.

    Args:
        annotations: Labels.
        lonlat_corners: Corners in (lon, lat) degrees by annotation id; a label without them gets a null geometry.

    Returns:
        New JSON-ready mapping (RFC 7946).
    """
    features = []
    for annotation in annotations:
        ring = (lonlat_corners or {}).get(annotation.annotation_id, ())
        geometry: dict[str, Any] | None = None
        if len(ring) == 1:
            geometry = {"type": "Point", "coordinates": list(ring[0])}
        elif ring:
            geometry = {"type": "Polygon", "coordinates": [[list(corner) for corner in (*ring, ring[0])]]}
        properties = {
            "scene_id": annotation.scene_id,
            "class_name": annotation.class_name,
            "corners_px": [list(corner) for corner in annotation.corners_scene_xy],
            "source": annotation.source,
            "difficult": annotation.difficult,
        }
        features.append({"type": "Feature", "id": annotation.annotation_id, "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}
