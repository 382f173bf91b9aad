"""Boxes against boxes for many boxes. Belongs here: overlap pairs, labels of proposals, duplicates; classes are elsewhere."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.records.annotation import Annotation

MATCH_IOU = 0.5
UNLABELLED, NEGATIVE, DIFFICULT = -3, -1, -2


def overlap_pairs(
    boxes_n4: NDArray[np.floating], others_m4: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of boxes that overlap, found with a tree.

    Args:
        boxes_n4: Shape (N, 4), (x0, y0, x1, y1).
        others_m4: Shape (M, 4), same frame.

    Returns:
        Index into the first, index into the second, IoU; each shape (P,).
    """
    import shapely

    if not len(boxes_n4) or not len(others_m4):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    first, second = boxes_n4.astype(np.float64), others_m4.astype(np.float64)
    queries: Any = shapely.box(*first.T)
    targets: Any = shapely.box(*second.T)
    i, j = shapely.STRtree(targets).query(queries, predicate="intersects")
    low, high = np.maximum(first[i, :2], second[j, :2]), np.minimum(first[i, 2:], second[j, 2:])
    inside = np.prod(np.maximum(high - low, 0), axis=1)
    area = np.prod(first[i, 2:] - first[i, :2], axis=1) + np.prod(second[j, 2:] - second[j, :2], axis=1) - inside
    return i.astype(np.int64), j.astype(np.int64), inside / np.maximum(area, 1e-12)


def label_proposals(
    boxes_n4: NDArray[np.floating],
    scene_ids: Sequence[str],
    annotations: Sequence[Annotation],
    class_of: dict[str, int],
    labelled_scenes: set[str],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Class of each proposal by its best overlapping label.

    Args:
        boxes_n4: Proposals, shape (N, 4), scene pixels.
        scene_ids: Scene of each proposal.
        annotations: Labels; ``class_name`` must already be a key of ``class_of`` or counts as another, known object.
        class_of: Class name to index, rising from 0.
        labelled_scenes: Scenes whose unmatched proposals are negatives.

    Returns:
        Class index per proposal (`NEGATIVE` for no class, `DIFFICULT` for a difficult label, `UNLABELLED` outside of the
        labelled scenes), and its best IoU with any label.
    """
    scenes = np.array(scene_ids, dtype=object)
    label_n = np.full(len(boxes_n4), UNLABELLED, dtype=np.int64)
    iou_n = np.zeros(len(boxes_n4))
    for scene_id in sorted(labelled_scenes):
        members = np.flatnonzero(scenes == scene_id)
        label_n[members] = NEGATIVE
        labels = [annotation for annotation in annotations if annotation.scene_id == scene_id]
        if not len(members) or not labels:
            continue
        targets = np.array([annotation.box_scene_xyxy for annotation in labels])
        kinds = np.array([DIFFICULT if a.difficult else class_of.get(a.class_name, NEGATIVE) for a in labels])
        i, j, iou = overlap_pairs(boxes_n4[members], targets)
        order = np.argsort(iou, kind="stable")
        best = np.full(len(members), -1)
        best[i[order]] = j[order]
        iou_n[members[i[order]]] = iou[order]
        matched = (best >= 0) & (iou_n[members] >= MATCH_IOU)
        label_n[members[matched]] = kinds[best[matched]]
    return label_n, iou_n


def without_duplicates(boxes_n4: NDArray[np.floating], iou: float = MATCH_IOU) -> NDArray[np.int64]:
    """Indices to keep of boxes in order of falling rank: none overlaps a kept, better one by more than ``iou``."""
    i, j, overlap = overlap_pairs(boxes_n4, boxes_n4)
    worse = (j > i) & (overlap > iou)
    i, j = i[worse], j[worse]
    order = np.argsort(i, kind="stable")
    i, j = i[order], j[order]
    starts = np.searchsorted(i, np.arange(len(boxes_n4) + 1))
    gone = np.zeros(len(boxes_n4), dtype=bool)
    for box in np.unique(i):
        if not gone[box]:
            gone[j[starts[box] : starts[box + 1]]] = True
    return np.flatnonzero(~gone)
