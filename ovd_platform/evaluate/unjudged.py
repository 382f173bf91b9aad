"""Ground that nobody judges: marked regions, masks (cloud, shadow, unlabelled), and ground without valid pixels.

Belongs here: its shape in a scene, its area, and taking out of an evaluation what lies in it. Does not belong here: reading masks
(`flow.masks`), or single objects nobody judges (difficult, crowd, cut by the border), which are labels.

One rule for all: whatever lies by at least half of its area in such ground is not judged. A label there is neither found nor missed,
an answer there is neither true nor false, whether it is a detection, a proposal, a hit or a score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.evaluate.inputs import EvaluationInput
from ovd_platform.evaluate.scene_boxes import BoolArray, Box

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

LEAST_SHARE = 0.5


def unjudged_ground(given: EvaluationInput, scene_id: str, *, blank: bool = True) -> "BaseGeometry | None":
    """Union of a scene's ground nobody judges, scene pixels; None where all of it is judged.

    Args:
        given: What is evaluated.
        scene_id: The scene.
        blank: With ground without valid pixels.
    """
    import shapely

    parts: list[BaseGeometry] = []
    boxes = [*given.ignore_boxes.get(scene_id, ()), *(given.blank_boxes.get(scene_id, ()) if blank else ())]
    if boxes:
        parts.append(_union(boxes))
    for label in given.truth[scene_id]:
        if label.class_name in given.ignore_classes and len(label.corners_scene_xy) >= 3:
            parts.append(shapely.make_valid(shapely.Polygon(label.corners_scene_xy)))
    if (mask := given.masks.get(scene_id)) is not None:
        parts.append(shapely.make_valid(mask))
    if not parts:
        return None
    joined = shapely.union_all(parts)
    return None if joined.is_empty else joined


def taken_off_px(given: EvaluationInput, scene_id: str) -> float:
    """Pixels of a scene's frame that are not judged although they are valid, px^2: blank ground is off the area already."""
    import shapely

    marked = unjudged_ground(given, scene_id, blank=False)
    if marked is None:
        return 0.0
    blank: Sequence[Box] = given.blank_boxes.get(scene_id, ())
    if blank:
        marked = shapely.difference(marked, _union(blank))
    record = next(record for record in given.scenes if record.scene_id == scene_id)
    return float(shapely.area(shapely.intersection(marked, shapely.box(0, 0, record.width_px, record.height_px))))


def _union(boxes: Sequence[Box]) -> "BaseGeometry":
    """Ground that at least one box covers."""
    import shapely

    return shapely.union_all(shapely.box(*np.asarray(boxes, dtype=np.float64).T))


def lies_in(ground: "BaseGeometry", boxes_n4: NDArray[Any]) -> BoolArray:
    """Which boxes lie in ground by at least half of their area (a point: at all), shape (N,), bool. New array."""
    import shapely

    boxes_n4 = np.asarray(boxes_n4, dtype=np.float64).reshape(-1, 4)
    inside = np.zeros(len(boxes_n4), dtype=np.bool_)
    left, top, right, bottom = shapely.bounds(ground)
    near = (boxes_n4[:, 2] >= left) & (boxes_n4[:, 0] <= right) & (boxes_n4[:, 3] >= top) & (boxes_n4[:, 1] <= bottom)
    candidates = np.flatnonzero(near)
    if not len(candidates):
        return inside
    shapely.prepare(ground)
    # A rectangle without an extent is a point or a line: it counts where it touches.
    shapes: NDArray[Any] = np.asarray(shapely.box(*boxes_n4[candidates].T))
    areas = np.asarray(shapely.area(shapes))
    touched = np.asarray(shapely.intersects(ground, shapes))
    whole = touched.copy()
    whole[touched] = shapely.contains_properly(ground, shapes[touched])
    partly = touched & ~whole & (areas > 0)
    share = np.where(whole | (touched & (areas == 0)), 1.0, 0.0)
    share[partly] = shapely.area(shapely.intersection(ground, shapes[partly])) / areas[partly]
    inside[candidates] = share >= LEAST_SHARE
    return inside


def judged_only(given: EvaluationInput) -> EvaluationInput:
    """The same evaluation without answers in unjudged ground, labels there made difficult; asking twice changes nothing more."""
    found = {record.scene_id: unjudged_ground(given, record.scene_id) for record in given.scenes}
    grounds = {scene_id: ground for scene_id, ground in found.items() if ground is not None}
    if not grounds:
        return given
    return replace(
        given,
        truth={scene_id: _labels(labels, grounds.get(scene_id)) for scene_id, labels in given.truth.items()},
        detections=_kept_items(given.detections, grounds),
        shifted_detections=_kept_items(given.shifted_detections, grounds),
        archived_detections=_kept_items(given.archived_detections, grounds),
        proposals=_kept_sets(given.proposals, grounds),
        shifted_proposals=_kept_sets(given.shifted_proposals, grounds),
        queries=tuple(replace(query, hits=tuple(_kept_hits(query.hits, grounds))) for query in given.queries),
        class_scores={scene_id: _kept_scores(table, grounds.get(scene_id)) for scene_id, table in given.class_scores.items()},
        few_shot=_kept_vectors(given.few_shot, grounds),
    )


Grounds = Mapping[str, "BaseGeometry"]


def _labels(labels: Sequence[Any], ground: "BaseGeometry | None") -> list[Any]:
    if ground is None or not labels:
        return list(labels)
    inside = lies_in(ground, np.asarray([label.box_scene_xyxy for label in labels]))
    return [replace(label, difficult=True) if covered else label for label, covered in zip(labels, inside, strict=True)]


def _kept_items(items: Mapping[str, Sequence[Any]], grounds: Grounds) -> dict[str, Sequence[Any]]:
    kept = dict(items)
    for scene_id, ground in grounds.items():
        rows = items.get(scene_id, ())
        if rows:
            inside = lies_in(ground, np.asarray([row.box_scene_xyxy for row in rows]))
            kept[scene_id] = [row for row, covered in zip(rows, inside, strict=True) if not covered]
    return kept


def _kept_sets(sets: Mapping[str, Any], grounds: Grounds) -> dict[str, Any]:
    kept = dict(sets)
    for scene_id in set(sets) & set(grounds):
        made = sets[scene_id]
        out = ~lies_in(grounds[scene_id], made.boxes_scene_xyxy)
        kept[scene_id] = replace(
            made,
            boxes_scene_xyxy=made.boxes_scene_xyxy[out],
            objectness_n=made.objectness_n[out],
            tile_index_n=made.tile_index_n[out],
        )
    return kept


def _kept_hits(hits: Sequence[Any], grounds: Grounds) -> list[Any]:
    covered = np.zeros(len(hits), dtype=np.bool_)
    for scene_id in {hit.scene_id for hit in hits} & set(grounds):
        places = [n for n, hit in enumerate(hits) if hit.scene_id == scene_id]
        covered[places] = lies_in(grounds[scene_id], np.asarray([hits[n].box_scene_xyxy for n in places]))
    return [hit for hit, out in zip(hits, covered, strict=True) if not out]


def _kept_scores(table: Any, ground: "BaseGeometry | None") -> Any:
    if ground is None:
        return table
    out = ~lies_in(ground, table.boxes_scene_xyxy)
    return replace(
        table,
        boxes_scene_xyxy=table.boxes_scene_xyxy[out],
        score_nk=table.score_nk[out],
        likeness_nk=table.likeness_nk[out],
        accepted_nk=table.accepted_nk[out],
    )


def _kept_vectors(data: Any, grounds: Grounds) -> Any:
    if data is None:
        return None
    scene_n = np.asarray(data.scene_ids, dtype=np.str_)
    out = np.ones(len(scene_n), dtype=np.bool_)
    for scene_id in set(data.scene_ids) & set(grounds):
        mine = np.flatnonzero(scene_n == scene_id)
        out[mine] = ~lies_in(grounds[scene_id], data.boxes_n4[mine])
    scene_ids = [str(scene_id) for scene_id in scene_n[out]]
    return replace(data, vectors_nd=data.vectors_nd[out], boxes_n4=data.boxes_n4[out], scene_ids=scene_ids)
