"""COCO JSON labels: boxes, polygons, run-length masks. Belongs here: parsing, writing; tile-level COCO is `datasets.coco`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.datasets.formats.imported import ImportedFile, ImportedLabel
from ovd_platform.datasets.polygons import Corners, box_corners, exterior, mask_outline, open_ring, polygon_area
from ovd_platform.errors import DataError
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.scene import SceneRecord


def is_coco(content: object) -> bool:
    """Whether parsed JSON looks like COCO."""
    return isinstance(content, Mapping) and "images" in content and "annotations" in content


def parse_coco(content: Mapping[str, Any]) -> ImportedFile:
    """Labels of a COCO file; the polygon or mask is preferred to the box."""
    result = ImportedFile()
    images = {image["id"]: image for image in content["images"]}
    classes = {category["id"]: str(category["name"]) for category in content.get("categories", [])}
    for position, entry in enumerate(content["annotations"]):
        where = f"annotation {entry.get('id', position)}"
        image = images.get(entry.get("image_id"))
        if image is None:
            result.problems.append(f"{where}: dropped, image_id {entry.get('image_id')} is not among the images")
            continue
        if entry.get("category_id") not in classes:
            result.problems.append(f"{where}: dropped, category_id {entry.get('category_id')} is not among the categories")
            continue
        try:
            corners, note = _corners(entry)
        except (KeyError, TypeError, ValueError, DataError) as error:
            result.problems.append(f"{where}: dropped, geometry is unreadable ({error})")
            continue
        difficult = bool(entry.get("iscrowd") or entry.get("ignore") or entry.get("difficult"))
        reference = str(image.get("file_name") or image["id"])
        result.labels.append(
            ImportedLabel(where, reference, classes[entry["category_id"]], corners, difficult=difficult, note=note)
        )
    return result


def _corners(entry: Mapping[str, Any]) -> tuple[Corners, str]:
    """Ring of one COCO annotation and a note on what was simplified."""
    segmentation = entry.get("segmentation")
    if isinstance(segmentation, Mapping):
        ring, pieces = mask_outline(decode_rle(segmentation))
        if ring:
            return ring, f"mask of {pieces} pieces taken as its convex hull" if pieces > 1 else ""
    if isinstance(segmentation, list) and segmentation:
        rings = [open_ring(list(zip(flat[::2], flat[1::2], strict=True))) for flat in segmentation]
        rings = [ring for ring in rings if polygon_area(ring) > 0]
        if len(rings) == 1:
            return rings[0], ""
        if rings:
            from shapely.geometry import MultiPoint

            hull = MultiPoint([corner for ring in rings for corner in ring]).convex_hull
            return exterior(hull), f"{len(rings)} polygons taken as their convex hull"
    x, y, width, height = (float(value) for value in entry["bbox"])
    return box_corners(x, y, x + width, y + height), ""


def decode_rle(segmentation: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Mask of a COCO run-length code, compressed (string) or not (list).

    Args:
        segmentation: ``{"size": [height, width], "counts": ...}``; runs go down the columns and start with background.

    Returns:
        New array, shape (H, W), bool.

    Raises:
        DataError: If the runs do not fill the size.
    """
    height, width = (int(value) for value in segmentation["size"])
    counts = segmentation["counts"]
    runs = _decompress(counts) if isinstance(counts, str | bytes) else [int(run) for run in counts]
    if sum(runs) != height * width:
        raise DataError(
            f"Cannot decode a mask: expected runs that fill {height} x {width} px, got {sum(runs)} px. Export the mask again."
        )
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(width, height).T


def _decompress(counts: str | bytes) -> list[int]:
    """Runs of a compressed code: 5 bits a character, bit 32 continues, from the third run on relative to the one two before."""
    text = counts.encode() if isinstance(counts, str) else counts
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


def format_coco(annotations: Sequence[Annotation], scenes: Mapping[str, SceneRecord]) -> dict[str, Any]:
    """Scene-level COCO of labels; parsing it back gives the same corners.

    Args:
        annotations: Labels; points become boxes of no size with one-corner polygons left out.
        scenes: Scene records by id; all are listed, with labels or without.

    Returns:
        New JSON-ready mapping.
    """
    names = sorted({annotation.class_name for annotation in annotations})
    category = {name: index + 1 for index, name in enumerate(names)}
    image = {scene_id: index + 1 for index, scene_id in enumerate(sorted(scenes))}
    entries = []
    for index, annotation in enumerate(annotations):
        x0, y0, x1, y1 = annotation.box_scene_xyxy
        corners = annotation.corners_scene_xy
        entries.append(
            {
                "id": index + 1,
                "image_id": image[annotation.scene_id],
                "category_id": category[annotation.class_name],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": [[value for corner in corners for value in corner]] if len(corners) > 2 else [],
                "area": polygon_area(corners),
                "iscrowd": 0,
                "ignore": int(annotation.difficult),
                "annotation_id": annotation.annotation_id,
                "source": annotation.source,
            }
        )
    images = [
        {"id": number, "file_name": scene_id, "width": scenes[scene_id].width_px, "height": scenes[scene_id].height_px}
        for scene_id, number in image.items()
    ]
    categories = [{"id": number, "name": name} for name, number in category.items()]
    return {"info": {}, "images": images, "annotations": entries, "categories": categories}
