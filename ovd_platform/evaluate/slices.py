"""The same figures for parts of the test: by instrument, ground sample distance, view angle, and size of the objects.

Belongs here: which scenes belong to which part. Does not belong here: the figures' formulas.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ovd_platform.evaluate.bootstrap import FloatArray, share_figure, with_binomial
from ovd_platform.evaluate.coco_match import AREA_OF, AREAS, FIRST_COCO, CocoMatch
from ovd_platform.evaluate.match import FALSE
from ovd_platform.evaluate.operating import found_by_accepted, share_row
from ovd_platform.evaluate.prepared import Prepared
from ovd_platform.evaluate.ranking import average_precisions
from ovd_platform.records.scene import SceneRecord

GSD_BINS_M = ((0.0, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 5.0), (5.0, 15.0), (15.0, float("inf")))
ANGLE_BINS_DEG = ((0.0, 10.0), (10.0, 20.0), (20.0, 30.0), (30.0, 90.0))
UNKNOWN = "not stated"


def slices_section(ready: Prepared, match: CocoMatch) -> dict[str, Any]:
    """AP50 of all classes, recall and false alarms of what was accepted, for every part with a scene; sizes of objects too."""
    section: dict[str, Any] = {}
    for dimension, value_of in DIMENSIONS.items():
        values = [value_of(record) for record in ready.records]
        section[dimension] = {
            value: _scene_part(ready, match, dimension, value, np.asarray([v == value for v in values]))
            for value in sorted(set(values))
        }
    for dimension, prefix in (("size_px", "px_"), ("size_m", "m_")):
        rows = {
            area.label.removeprefix(prefix): _size_part(ready, match, dimension, area.label)
            for area in AREAS
            if area.label.startswith(prefix)
        }
        section[dimension] = {name: row for name, row in rows.items() if row["objects"]}
    return section


def _bin(value: float | None, bins: tuple[tuple[float, float], ...], unit: str) -> str:
    if value is None:
        return UNKNOWN
    low, high = next((b for b in bins if b[0] <= value < b[1]), bins[-1])
    return f"{low:g} {unit} and more" if np.isinf(high) else f"{low:g} to {high:g} {unit}"


def _angle(record: SceneRecord) -> str:
    return _bin(record.view.incidence_deg if record.modality == "sar" else record.view.off_nadir_deg, ANGLE_BINS_DEG, "deg")


DIMENSIONS: dict[str, Callable[[SceneRecord], str]] = {
    "instrument": lambda record: record.instrument,
    "gsd": lambda record: _bin(record.gsd_m, GSD_BINS_M, "m"),
    "view_angle": _angle,
}


def _mean_ap50(match: CocoMatch, classes: int, area: str, members_s: FloatArray, weights_bs: FloatArray) -> FloatArray:
    """AP50 as the mean of classes with objects, over the scenes of a part; shape (B, 1)."""
    from ovd_platform.evaluate.detection_figures import known_mean

    weights = weights_bs * members_s
    rankings = [match.ranking(index, FIRST_COCO, area) for index in range(classes)]
    return known_mean(np.stack([average_precisions(ranking, weights) for ranking in rankings], axis=1))[:, None]


def _scene_part(ready: Prepared, match: CocoMatch, dimension: str, value: str, members_s: Any) -> dict[str, Any]:
    path = f"slices.{dimension}.{value}"
    found = [found_by_accepted(m, kept) for m, kept in zip(ready.matches, ready.accepted, strict=True)]
    found_s = np.asarray([float(f.sum()) for f in found]) * members_s
    objects_s = np.asarray([float((~scene.truth_ignored_k).sum()) for scene in ready.scenes]) * members_s
    false_s = np.asarray(
        [float((m.state_n[kept] == FALSE).sum()) for m, kept in zip(ready.matches, ready.accepted, strict=True)]
    )
    row: dict[str, Any] = {
        "scenes": int(members_s.sum()),
        "objects": int(objects_s.sum()),
        "ap50": ready.over_scenes.measure_rows(
            [f"{path}.ap50"], partial(_mean_ap50, match, len(ready.names), "all", members_s.astype(np.float64))
        )[0],
        "recall": ready.over_scenes.measure(f"{path}.recall", share_figure(found_s, objects_s)),
    }
    for unit, name in (("per_km2", "false_per_km2"), ("per_mpx", "false_per_mpx")):
        ground_s, told = ready.ground(unit)
        if (told & members_s).any():
            here = ground_s * members_s
            row[name] = ready.over_scenes.measure(f"{path}.{name}", share_figure(false_s * told * members_s, here))
    if members_s.sum() < 2:  # One scene cannot be resampled: its draws would all agree.
        row |= {name: {**row[name], "low": None, "high": None} for name in row if isinstance(row[name], dict)}
    row["recall"] = with_binomial(row["recall"], found_s.sum(), objects_s.sum())
    return row


def _size_part(ready: Prepared, match: CocoMatch, dimension: str, area: str) -> dict[str, Any]:
    everyone = np.ones(len(ready.scenes))
    name, low, high = area.split("_", 1)[1], AREAS[AREA_OF[area]].low, AREAS[AREA_OF[area]].high
    found_k = [found_by_accepted(m, kept) for m, kept in zip(ready.matches, ready.accepted, strict=True)]
    wanted = []
    for scene, gsd in zip(ready.scenes, ready.gsd_m_s, strict=True):
        unit = 1.0 if dimension == "size_px" else (gsd or np.nan) ** 2
        wanted.append((scene.truth_areas_k * unit >= low) & (scene.truth_areas_k * unit <= high) & ~scene.truth_ignored_k)
    recall = share_row(ready, f"slices.{dimension}.{name}.recall", wanted, found_k)
    recall.pop("objects")
    return {
        "objects": int(match.objects_ska[:, :, AREA_OF[area]].sum()),
        "recall": recall,
        "ap50": ready.over_scenes.measure_rows(
            [f"slices.{dimension}.{name}.ap50"], partial(_mean_ap50, match, len(ready.names), area, everyone)
        )[0],
    }
