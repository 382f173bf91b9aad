"""Faults of data and plumbing that figures of accuracy hide: shifted or swapped coordinates, leaks, ground nobody answered for.

Belongs here: one number a fault, and a finding in words where the number is out of bounds. Does not belong here: model quality.
"""

from typing import Any

import numpy as np

from ovd_platform.evaluate.bootstrap import FloatArray, interval, plain
from ovd_platform.evaluate.match import MatchRules, match_scene
from ovd_platform.evaluate.overlaps import touching_pairs
from ovd_platform.evaluate.prepared import Prepared
from ovd_platform.evaluate.scene_boxes import SceneBoxes
from ovd_platform.records.scene import SceneRecord

REACH_PX = 64.0
CELL_PX = 2.0
LEAST_PAIRS = 10
OFFSET_LIMIT_PX, OFFSET_LIMIT_SHARE = 1.0, 0.05
SWAP_GAIN = 0.1
LEAST_SHARED = 1e-6
DUPLICATES_LIMIT_PER_1000 = 10.0
Findings = list[str]


def health_section(ready: Prepared, duplicates: dict[str, Any]) -> dict[str, Any]:
    """Every check, and the findings in words; no finding means that every number lies inside of its bounds."""
    section: dict[str, Any] = {
        "offset": _offset(ready),
        "axes": _axes(ready),
        "leak": leak(ready.records, ready.given.training_scenes),
        "coverage": _coverage(ready),
        "labels_doubted": _doubted(ready),
    }
    section["findings"] = _findings(section, duplicates)
    return section


def _offset(ready: Prepared) -> dict[str, Any]:
    """Where answers lie relative to objects of their class, in pixels, as the most common displacement.

    Every displacement up to 64 px votes, so a shift larger than the objects is found too.
    """
    displacements, scene_n = [np.zeros((0, 2))], [np.zeros(0, dtype=np.int64)]
    sides = np.concatenate([np.sqrt(scene.truth_areas_k[~scene.truth_ignored_k]) for scene in ready.scenes])
    size = float(np.median(sides)) if len(sides) else 0.0
    for s, (scene, kept) in enumerate(zip(ready.scenes, ready.accepted, strict=True)):
        wanted = kept if kept.any() else np.ones(len(kept), dtype=np.bool_)
        boxes, kinds = scene.boxes_scene_xyxy[wanted], scene.class_n[wanted]
        truth = scene.truth_scene_xyxy[~scene.truth_ignored_k]
        classes = scene.truth_class_k[~scene.truth_ignored_k]
        centres, answers = (truth[:, :2] + truth[:, 2:]) / 2, (boxes[:, :2] + boxes[:, 2:]) / 2
        a, b = touching_pairs(np.hstack([centres - REACH_PX, centres + REACH_PX]), np.hstack([answers, answers]))
        same = classes[a] == kinds[b]
        displacements.append(answers[b[same]] - centres[a[same]])
        scene_n.append(np.full(int(same.sum()), s))
    moved_p2, scene_p = np.concatenate(displacements), np.concatenate(scene_n)
    peak = _peak(moved_p2)
    if peak is None:
        return {"x_px": None, "y_px": None, "pairs": 0, "object_px": plain(size)}
    near = np.abs(moved_p2 - peak).max(axis=1) <= max(2 * CELL_PX, size / 4)
    rows: dict[str, Any] = {"pairs": int(near.sum()), "object_px": plain(size)}
    for axis, name in enumerate(("x_px", "y_px")):
        values, places = moved_p2[near, axis], scene_p[near]
        rows[name] = {"value": plain(float(np.median(values))), **_median_bounds(values, places, ready)}
    return rows


def _peak(moved_p2: FloatArray) -> FloatArray | None:
    """The most common displacement; None where too few pairs vote."""
    if len(moved_p2) < LEAST_PAIRS:
        return None
    side = int(2 * REACH_PX / CELL_PX)
    edges = np.linspace(-REACH_PX, REACH_PX, side + 1)
    votes, _, _ = np.histogram2d(moved_p2[:, 0], moved_p2[:, 1], bins=[edges, edges])
    padded = np.pad(votes, 1)
    smooth = np.sum([padded[i : i + side, j : j + side] for i in range(3) for j in range(3)], axis=0)
    column, row = np.unravel_index(int(np.argmax(smooth)), (side, side))
    if smooth[column, row] < LEAST_PAIRS:
        return None
    return np.asarray([edges[column] + CELL_PX / 2, edges[row] + CELL_PX / 2])


def _median_bounds(values: FloatArray, scene_n: Any, ready: Prepared, draws: int = 200) -> dict[str, float | None]:
    """Interval of a median by drawing scenes."""
    present = np.unique(scene_n)
    if len(present) < 2:
        return {"low": None, "high": None}
    groups = [values[scene_n == s] for s in present]
    rng = np.random.default_rng(ready.over_scenes.seed)
    medians = [
        float(np.median(np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]))) for _ in range(draws)
    ]
    bounds = interval(medians)
    return {"low": plain(bounds[0]), "high": plain(bounds[1])} if bounds else {"low": None, "high": None}


def _axes(ready: Prepared) -> dict[str, Any]:
    """Recall as answered, and with x and y of every answer exchanged."""
    objects = sum(int((~scene.truth_ignored_k).sum()) for scene in ready.scenes)
    as_is = sum(int((match.answer_of_k >= 0).sum()) for match in ready.matches)
    swapped = sum(int((match_scene(_swapped(scene), MatchRules()).answer_of_k >= 0).sum()) for scene in ready.scenes)
    return {
        "recall_as_answered": plain(as_is / objects) if objects else None,
        "recall_with_axes_swapped": plain(swapped / objects) if objects else None,
    }


def _swapped(scene: SceneBoxes) -> SceneBoxes:
    return SceneBoxes(
        scene.scene_id,
        scene.truth_scene_xyxy,
        scene.truth_class_k,
        scene.truth_ignored_k,
        scene.truth_areas_k,
        np.ascontiguousarray(scene.boxes_scene_xyxy[:, [1, 0, 3, 2]]),
        scene.scores_n,
        scene.class_n,
        scene.found_by_n,
    )


def leak(test: "list[SceneRecord]", training: "tuple[SceneRecord, ...]") -> dict[str, Any]:
    """Test scenes that share pixels or ground with a scene of the training or calibration side.

    Args:
        test: Evaluated scenes.
        training: Every scene anything was trained or calibrated on.

    Returns:
        ``checked`` scenes, ``placed`` of them on Earth, and ``scenes``: which test scene meets which training scene and how.
    """
    import shapely

    by_version = {record.version: record.scene_id for record in training if record.version}
    ids = {record.scene_id for record in training}
    rings = [_ground(record) for record in training]
    found = []
    for record in test:
        if record.scene_id in ids:
            found.append(
                {"scene_id": record.scene_id, "training_scene": record.scene_id, "how": "the same scene", "share": 1.0}
            )
        elif record.version and record.version in by_version:
            other = by_version[record.version]
            found.append({"scene_id": record.scene_id, "training_scene": other, "how": "the same pixels", "share": 1.0})
        elif (ground := _ground(record)) is not None:
            for other_record, ring in zip(training, rings, strict=True):
                share = shapely.area(shapely.intersection(ground, ring)) / ground.area if ring is not None else 0.0
                if share > LEAST_SHARED:
                    row = {"scene_id": record.scene_id, "training_scene": other_record.scene_id, "how": "the same ground"}
                    found.append({**row, "share": plain(float(share))})
    return {
        "checked": len(training),
        "placed": sum(len(record.footprint_lonlat) >= 3 for record in test),
        "leaked_scenes": len({row["scene_id"] for row in found}),
        "scenes": found,
    }


def _ground(record: SceneRecord) -> Any:
    """Footprint as a polygon of degrees, cut at the antimeridian; None without georeference."""
    import shapely

    from ovd_platform.geometry.footprint import split_antimeridian

    ring = record.footprint_lonlat
    if len(ring) < 3:
        return None
    closed = ring if ring[0] == ring[-1] else (*ring, ring[0])
    return shapely.union_all([shapely.make_valid(shapely.Polygon(part)) for part in split_antimeridian(closed)])


def _coverage(ready: Prepared) -> dict[str, Any]:
    """Tiles that had to be looked at and hold no answer and no proposal, and the objects that lie in them."""
    tiles = silent = objects = unlooked = 0
    rows: list[dict[str, Any]] = []
    for s, (record, scene) in enumerate(zip(ready.records, ready.scenes, strict=True)):
        cores = np.asarray(ready.given.tiles.get(record.scene_id, ()), dtype=np.float64).reshape(-1, 4)
        if not len(cores):
            continue
        hit_t = _tiles_hit(cores, _answered(ready, s))
        truth = scene.truth_scene_xyxy[~scene.truth_ignored_k]
        inside_t = _count_in(cores, truth)
        tiles, silent = tiles + len(cores), silent + int((~hit_t).sum())
        objects, unlooked = objects + len(truth), unlooked + int(inside_t[~hit_t].sum())
        rows += _silent_bands(record.scene_id, cores, hit_t, inside_t)
    return {
        "tiles": tiles,
        "silent_tiles": silent,
        "objects": objects,
        "objects_in_silent_tiles": unlooked,
        "silent_bands": rows,
    }


def _answered(ready: Prepared, s: int) -> FloatArray:
    """Centres of everything that was answered or proposed in a scene, shape (N, 2)."""
    boxes = [ready.scenes[s].boxes_scene_xyxy]
    made = ready.given.proposals.get(ready.records[s].scene_id)
    if made is not None:
        boxes.append(np.asarray(made.boxes_scene_xyxy, dtype=np.float64))
    every = np.concatenate(boxes)
    return (every[:, :2] + every[:, 2:]) / 2


def _tiles_hit(cores_t4: FloatArray, centres_n2: FloatArray) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    hit = np.zeros(len(cores_t4), dtype=np.bool_)
    t, _ = touching_pairs(cores_t4, np.hstack([centres_n2, centres_n2]))
    hit[t] = True
    return hit


def _count_in(cores_t4: FloatArray, boxes_k4: FloatArray) -> "np.ndarray[Any, np.dtype[np.int64]]":
    centres = (boxes_k4[:, :2] + boxes_k4[:, 2:]) / 2
    t, _ = touching_pairs(cores_t4, np.hstack([centres, centres]))
    return np.bincount(t, minlength=len(cores_t4))


def _silent_bands(scene_id: str, cores_t4: FloatArray, hit_t: Any, inside_t: Any) -> list[dict[str, Any]]:
    """Whole rows and columns of tiles without any answer, where other rows have some: what a lost block looks like."""
    rows = []
    for axis, name in ((1, "row"), (0, "column")):
        starts = np.unique(cores_t4[:, axis])
        if len(starts) < 2 or not hit_t.any():
            continue
        for start in starts:
            part = cores_t4[:, axis] == start
            if not hit_t[part].any() and part.sum() > 1:
                row = {"scene_id": scene_id, "band": name, "from_px": int(start), "to_px": int(cores_t4[part, axis + 2].max())}
                rows.append({**row, "tiles": int(part.sum()), "objects": int(inside_t[part].sum())})
    return rows


def _doubted(ready: Prepared) -> dict[str, Any]:
    """Labels whose place an accepted answer of another class fills, while no answer of their own class does.

    Either side may be wrong; a person has to look. Most certain answers first.
    """
    from ovd_platform.evaluate.mistakes import CONFUSED, accepted_mistakes

    rows: list[tuple[float, dict[str, Any]]] = []
    for s, (scene, wrong, labels) in enumerate(zip(ready.scenes, accepted_mistakes(ready), ready.labels, strict=True)):
        judged = [label for label in labels if label.class_name in ready.names or label.class_name == ""]
        found = ready.found(s)
        for n in np.flatnonzero(wrong.kind_n == CONFUSED):
            k, item = int(wrong.object_n[n]), found[int(scene.found_by_n[n])]
            if ready.matches[s].answer_of_k[k] >= 0:
                continue
            certain = item.probability if item.probability is not None else item.score
            row = {"scene_id": scene.scene_id, "annotation_id": judged[k].annotation_id, "label": judged[k].class_name}
            rows.append((certain, {**row, "answer": item.class_name, "certain": plain(certain)}))
    rows.sort(key=lambda row: -row[0])
    return {"count": len(rows), "most_certain": [row for _, row in rows[:20]]}


def _findings(section: dict[str, Any], duplicates: dict[str, Any]) -> Findings:
    """Sentences about what is out of bounds."""
    found = []
    offset = section["offset"]
    for name in ("x_px", "y_px"):
        row = offset[name]
        if (
            row
            and abs(row["value"]) >= max(OFFSET_LIMIT_PX, OFFSET_LIMIT_SHARE * offset["object_px"])
            and (row["low"] is None or row["low"] * row["high"] > 0)
        ):
            found.append(
                f"Answers lie {row['value']:+.1f} px off their objects in {name[0]}: check the georeference or the tile offset."
            )
    axes = section["axes"]
    if axes["recall_as_answered"] is not None and axes["recall_with_axes_swapped"] > axes["recall_as_answered"] + SWAP_GAIN:
        found.append(
            f"Recall is {axes['recall_as_answered']:.2f} as answered and {axes['recall_with_axes_swapped']:.2f} with x and y "
            "exchanged: the axes of answers or labels are swapped."
        )
    leaked = section["leak"]
    if leaked["leaked_scenes"]:
        names = ", ".join(sorted({row["scene_id"] for row in leaked["scenes"]})[:3])
        found.append(
            f"{leaked['leaked_scenes']} test scenes share pixels or ground with training ({names}): figures are too good."
        )
    for name, row in duplicates.items():
        if (row["per_1000"] or 0.0) > DUPLICATES_LIMIT_PER_1000:
            found.append(f"{row['per_1000']:.0f} in 1,000 {name} repeat another across a seam: seam merging does not work.")
    for band in section["coverage"]["silent_bands"]:
        found.append(
            f"No answer in a whole {band['band']} of {band['tiles']} tiles of {band['scene_id']} (px {band['from_px']} to "
            f"{band['to_px']}, {band['objects']} objects): was it looked at?"
        )
    if section["labels_doubted"]["count"]:
        found.append(
            f"{section['labels_doubted']['count']} labels are answered as another class and not as their own: one side is wrong, look."
        )
    return found
