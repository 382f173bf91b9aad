"""Tile-level COCO from scene-level labels. Belongs here: the builder; reading COCO label files is `formats.coco`."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ovd_platform.datasets.polygons import Corners, clip_corners, polygon_area
from ovd_platform.errors import InputError
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.tile import TileRecord

AGNOSTIC = "object"


def build_tile_coco(
    annotations: Sequence[Annotation],
    tiles: Sequence[TileRecord],
    scenes: Mapping[str, SceneRecord],
    *,
    class_agnostic: bool = False,
    frame: Literal["look", "core"] = "look",
    min_visible_fraction: float = 0.35,
    keep_empty: bool = True,
    point_box_px: float | None = None,
    class_names: Sequence[str] | None = None,
    versions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """COCO whose images are tiles and whose boxes are in pixels of the tile.

    An object cut by the tile's edge stays with the part that is inside, its `visible_fraction` (area inside / whole area) and,
    if that is below the minimum, ``ignore`` and ``iscrowd`` 1: neither positive nor negative.

    Args:
        annotations: Labels in scene pixels.
        tiles: Tiles to make images of; those with ``kept`` False are left out unless they hold a label.
        scenes: Scene records by id.
        class_agnostic: One category ``object`` instead of one a class.
        frame: Image = the tile's core with its halo (``look``, may reach past the scene) or its core only.
        min_visible_fraction: Below this share of the area an object is ignored, [0, 1].
        keep_empty: Whether tiles without labels stay, as negatives.
        point_box_px: Edge of the box put around a point label; None leaves points out and counts them.
        class_names: Categories in this order; None takes the classes that occur, sorted.
        versions: What the data set was made from, written into ``info``.

    Returns:
        New JSON-ready COCO mapping; images carry ``tile_id``, ``scene_id``, ``scene_version`` and ``window`` (col, row, width,
        height in scene pixels); categories and ids are reproducible.

    Raises:
        InputError: If a label's class is not among `class_names`, or a tile's scene has no record.
    """
    by_scene: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in sorted(annotations, key=lambda one: (one.scene_id, one.annotation_id)):
        by_scene[annotation.scene_id].append(annotation)
    boxes = {scene_id: np.array([one.box_scene_xyxy for one in members]) for scene_id, members in by_scene.items()}
    category = _categories(annotations, class_agnostic, class_names)
    images: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for tile in sorted(tiles, key=lambda one: (one.scene_id, one.row, one.col)):
        if tile.scene_id not in scenes:
            raise InputError(
                f"Cannot build COCO for {tile.tile_id}: expected a record of its scene, got none. Pass all scenes."
            )
        found = []
        for annotation in _reaching(by_scene.get(tile.scene_id, []), boxes.get(tile.scene_id), tile, frame, point_box_px):
            entry = _entry(annotation, tile, frame, point_box_px, min_visible_fraction)
            if entry is not None:
                entry["category_id"] = category[AGNOSTIC if class_agnostic else annotation.class_name]
                found.append(entry)
        if not found and (not keep_empty or not tile.kept):
            counts["tiles_left_out"] += 1
            continue
        images.append(_image(tile, scenes[tile.scene_id], frame, len(images) + 1))
        for entry in found:
            entries.append({"id": len(entries) + 1, "image_id": len(images), **entry})
            seen.add(entry["annotation_id"])
            counts["ignored_entries"] += entry["ignore"]
    counts["labels"], counts["labels_in_no_tile"] = len(annotations), len(annotations) - len(seen)
    counts["points_left_out"] = sum(len(one.corners_scene_xy) < 3 for one in annotations) if point_box_px is None else 0
    info = {
        "description": "tile-level COCO",
        "frame": frame,
        "class_agnostic": class_agnostic,
        "min_visible_fraction": min_visible_fraction,
        "versions": dict(versions or {}),
        "counts": dict(counts),
        "rendered": any(scenes[image["scene_id"]].rendered for image in images),
    }
    categories = [{"id": number, "name": name} for name, number in category.items()]
    return {"info": info, "images": images, "annotations": entries, "categories": categories}


def _categories(annotations: Sequence[Annotation], class_agnostic: bool, class_names: Sequence[str] | None) -> dict[str, int]:
    """Category ids by name, from 1."""
    if class_agnostic:
        return {AGNOSTIC: 1}
    occurring = {annotation.class_name for annotation in annotations}
    names = list(class_names) if class_names is not None else sorted(occurring)
    unknown = sorted(occurring - set(names))
    if unknown:
        raise InputError(f"Cannot build COCO: expected classes {', '.join(names)}, got {', '.join(unknown)}. Add or map them.")
    return {name: index for index, name in enumerate(names, start=1)}


def _reaching(
    annotations: Sequence[Annotation],
    boxes_n4: NDArray[np.float64] | None,
    tile: TileRecord,
    frame: str,
    point_box_px: float | None,
) -> list[Annotation]:
    """The labels of a scene whose box reaches into a tile."""
    if boxes_n4 is None:
        return []
    left, top, right, bottom = (tile.look if frame == "look" else tile.core).xyxy
    slack = (point_box_px or 0.0) / 2
    near_n = (boxes_n4[:, 0] < right + slack) & (boxes_n4[:, 2] > left - slack)
    near_n &= (boxes_n4[:, 1] < bottom + slack) & (boxes_n4[:, 3] > top - slack)
    return [annotations[index] for index in np.flatnonzero(near_n).tolist()]


def _image(tile: TileRecord, scene: SceneRecord, frame: str, number: int) -> dict[str, Any]:
    """COCO image of a tile."""
    window = tile.look if frame == "look" else tile.core
    return {
        "id": number,
        "file_name": tile.tile_id,
        "width": window.width_px,
        "height": window.height_px,
        "tile_id": tile.tile_id,
        "scene_id": tile.scene_id,
        "scene_version": scene.version,
        "window": [window.col_px, window.row_px, window.width_px, window.height_px],
        "core": list(tile.core.xyxy),
        "valid_fraction": tile.valid_fraction,
        "instrument": scene.instrument,
        "modality": scene.modality,
        "synthetic": False,
        "rendered": scene.rendered,
    }


def _entry(
    annotation: Annotation, tile: TileRecord, frame: str, point_box_px: float | None, min_visible: float
) -> dict[str, Any] | None:
    """COCO annotation of a label as the tile sees it, without ids and category; None if it sees nothing of it."""
    window = tile.look if frame == "look" else tile.core
    corners: Corners = annotation.corners_scene_xy
    if len(corners) < 3:
        if point_box_px is None:
            return None
        x, y = corners[0]
        half = point_box_px / 2
        corners = ((x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half))
    xs, ys = [corner[0] for corner in corners], [corner[1] for corner in corners]
    if min(xs) >= window.right_px or max(xs) <= window.col_px or min(ys) >= window.bottom_px or max(ys) <= window.row_px:
        return None
    moved = tuple((x - window.col_px, y - window.row_px) for x, y in corners)
    inside = clip_corners(moved, window.width_px, window.height_px)
    area, whole = polygon_area(inside), polygon_area(moved)
    if not inside or area <= 0:
        return None
    visible = min(1.0, area / whole) if whole > 0 else 0.0
    left, top = min(x for x, _ in inside), min(y for _, y in inside)
    right, bottom = max(x for x, _ in inside), max(y for _, y in inside)
    ignore = int(annotation.difficult or visible < min_visible)
    return {
        "bbox": [left, top, right - left, bottom - top],
        "segmentation": [[value for corner in inside for value in corner]],
        "area": area,
        "iscrowd": ignore,
        "ignore": ignore,
        "visible_fraction": visible,
        "annotation_id": annotation.annotation_id,
        "source": annotation.source,
    }
