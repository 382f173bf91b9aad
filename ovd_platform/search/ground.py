"""One object, one hit: suppression on the ground. Belongs here: geometry of hits; order comes from the ranking.

Two hits of one scene are the same object when their boxes overlap in pixels. Two hits of different scenes can only be compared
on the ground: as squares of equal area about their centres, since the pixel axes of two scenes need not agree.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ovd_platform.stores.vector_rows import boxes_of

SAME_SCENE_IOU = 0.3
SAME_GROUND_IOU = 0.3
_METRES_PER_DEGREE = 111_320.0


@dataclass(frozen=True, slots=True, eq=False)
class GroundBoxes:
    """Boxes with what is needed to tell whether two are the same thing.

    Attributes:
        scene_n: Scene number of each box, shape (N,), int64.
        time_n: Acquisition number, shape (N,), int64; -1 if the time is not known.
        boxes_scene_xyxy: Shape (N, 4), float32, pixels.
        lonlat_n2: Centres in degrees, NaN without georeference.
        side_m_n: Side of the square of equal area, shape (N,), metres, NaN without georeference.
    """

    scene_n: NDArray[np.int64]
    time_n: NDArray[np.int64]
    boxes_scene_xyxy: NDArray[np.float32]
    lonlat_n2: NDArray[np.float64]
    side_m_n: NDArray[np.float64]


def ground_boxes(rows: pa.Table) -> GroundBoxes:
    """Take the geometry out of table rows."""
    boxes = boxes_of(rows)
    scene_n = np.unique(np.array(rows["scene_id"].to_pylist(), dtype=object).astype(str), return_inverse=True)[1]
    times = np.array([time or "" for time in rows["acquired_utc"].to_pylist()], dtype=str)
    time_n = np.unique(times, return_inverse=True)[1].astype(np.int64)
    time_n[times == ""] = -1
    lonlat = np.stack([rows[name].to_numpy().astype(np.float64) for name in ("lon", "lat")], axis=1)
    area_px = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    side_m = np.sqrt(area_px.astype(np.float64)) * rows["gsd_m"].to_numpy().astype(np.float64)
    return GroundBoxes(scene_n.astype(np.int64), time_n, boxes, lonlat, side_m)


def suppress(boxes: GroundBoxes, *, top: int, collapse_revisits: bool = False) -> NDArray[np.int64]:
    """Indices to keep of boxes in order of falling score.

    Args:
        boxes: Boxes, best first.
        top: Stop after so many.
        collapse_revisits: Also drop the same ground seen at another time. Without it, only the same scene and other scenes of
            the very same acquisition time are compared.

    Returns:
        Kept indices, rising, int64.
    """
    return np.array([kept for kept, _ in suppress_groups(boxes, top=top, collapse_revisits=collapse_revisits)], dtype=np.int64)


def suppress_groups(boxes: GroundBoxes, *, top: int, collapse_revisits: bool = False) -> list[tuple[int, list[int]]]:
    """Like `suppress`, with what each kept box stands for.

    Returns:
        Per kept box its index and the best box of each other scene that was dropped for it, best first.
    """
    n = len(boxes.scene_n)
    gone = np.zeros(n, dtype=bool)
    groups: list[tuple[int, list[int]]] = []
    for i in range(n):
        if gone[i]:
            continue
        if len(groups) == top:
            break
        members: list[int] = []
        groups.append((i, members))
        before = gone[i + 1 :].copy()
        rest = slice(i + 1, n)
        same_scene = boxes.scene_n[rest] == boxes.scene_n[i]
        gone[rest] |= same_scene & (_pixel_iou(boxes.boxes_scene_xyxy[i], boxes.boxes_scene_xyxy[rest]) > SAME_SCENE_IOU)
        same_time = (boxes.time_n[rest] == boxes.time_n[i]) & (boxes.time_n[i] >= 0)
        comparable = ~same_scene & (same_time | collapse_revisits)
        if comparable.any():
            gone[rest] |= comparable & (_ground_iou(boxes, i, rest) > SAME_GROUND_IOU)
        scenes = {int(boxes.scene_n[i])}
        for j in np.flatnonzero(gone[rest] & ~before) + i + 1:
            if int(boxes.scene_n[j]) not in scenes:
                scenes.add(int(boxes.scene_n[j]))
                members.append(int(j))
    return groups


def _pixel_iou(box_4: NDArray[np.float32], boxes_n4: NDArray[np.float32]) -> NDArray[np.float64]:
    width = np.minimum(box_4[2], boxes_n4[:, 2]) - np.maximum(box_4[0], boxes_n4[:, 0])
    height = np.minimum(box_4[3], boxes_n4[:, 3]) - np.maximum(box_4[1], boxes_n4[:, 1])
    inside = np.maximum(width, 0).astype(np.float64) * np.maximum(height, 0)
    areas = (boxes_n4[:, 2] - boxes_n4[:, 0]).astype(np.float64) * (boxes_n4[:, 3] - boxes_n4[:, 1])
    union = float((box_4[2] - box_4[0]) * (box_4[3] - box_4[1])) + areas - inside
    return np.asarray(inside / np.maximum(union, 1e-9))


def _ground_iou(boxes: GroundBoxes, i: int, rest: slice) -> NDArray[np.float64]:
    dlon = (boxes.lonlat_n2[rest, 0] - boxes.lonlat_n2[i, 0] + 180.0) % 360.0 - 180.0
    dx_m = np.abs(dlon) * _METRES_PER_DEGREE * np.cos(np.radians(boxes.lonlat_n2[i, 1]))
    dy_m = np.abs(boxes.lonlat_n2[rest, 1] - boxes.lonlat_n2[i, 1]) * _METRES_PER_DEGREE
    side, sides = boxes.side_m_n[i], boxes.side_m_n[rest]
    reach, most = 0.5 * (side + sides), np.minimum(side, sides)
    inside = np.clip(reach - dx_m, 0, most) * np.clip(reach - dy_m, 0, most)
    iou = inside / np.maximum(side**2 + sides**2 - inside, 1e-9)
    return np.asarray(np.nan_to_num(iou, nan=0.0))
