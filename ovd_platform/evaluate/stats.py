"""All figures of one evaluation as a schema-versioned mapping.

Belongs here: gathering the sections into one mapping and its header. Does not belong here: the metrics (their own modules) and
the report's looks.
"""

import hashlib
import platform
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np

from ovd_platform.evaluate.bootstrap import FloatArray, Replicates, plain, with_binomial
from ovd_platform.evaluate.calibration_figures import calibration_section
from ovd_platform.evaluate.coco import evaluate_coco
from ovd_platform.evaluate.codec import codec_section
from ovd_platform.evaluate.costs import costs_section
from ovd_platform.evaluate.detection_figures import agnostic_section, coco_section, froc_section
from ovd_platform.evaluate.duplicates import per_thousand, seam_duplicates
from ovd_platform.evaluate.few_shot import DRAWS, few_shot_section
from ovd_platform.evaluate.filtered import filtered_section
from ovd_platform.evaluate.froc import Exposure
from ovd_platform.evaluate.georef import footprint_errors_px
from ovd_platform.evaluate.health import health_section
from ovd_platform.evaluate.inputs import EvaluationInput
from ovd_platform.evaluate.match import FALSE, IOU_ONLY, MatchRules, match_scene
from ovd_platform.evaluate.mistakes import mistakes_section
from ovd_platform.evaluate.operating import found_by_accepted, operating_section
from ovd_platform.evaluate.oriented import oriented_section
from ovd_platform.evaluate.prepared import Prepared, exposures_of, prepare
from ovd_platform.evaluate.proposals import BUDGETS, SIZE_CLASSES, Reach, proposal_reach, recall_at_budgets
from ovd_platform.evaluate.ranking import average_precision, rank
from ovd_platform.evaluate.retrieval import evaluate_query
from ovd_platform.evaluate.scene_boxes import proposal_boxes
from ovd_platform.evaluate.slices import slices_section
from ovd_platform.evaluate.stability import stability_section
from ovd_platform.evaluate.unjudged import judged_only, taken_off_px
from ovd_platform.evaluate.vocabulary_modes import vocabulary_section
from ovd_platform.records.annotation import Annotation

SCHEMA = "ovd-evaluation/2"
MOST_RINGS = 400
_T = TypeVar("_T")
Stats = dict[str, Any]
Labels = Mapping[str, list[Annotation]]
Progress = Callable[[int, int, str], None]


def evaluate(
    given: EvaluationInput,
    *,
    replicates: int = 300,
    seed: int = 0,
    created_utc: str = "",
    rules: MatchRules | None = None,
    few_shot_draws: int = DRAWS,
    progress: Progress | None = None,
) -> Stats:
    """Every figure the input allows, with 95 % intervals over scenes.

    Args:
        given: Scenes, labels and answers.
        replicates: Bootstrap replicates; 300 gives an interval good to about a tenth of its width.
        seed: Seed of the resampling. Evaluations of the same scenes with the same seed can be compared in pairs.
        created_utc: Time of the evaluation for the header; the figures do not depend on it.
        rules: When an answer counts as an object outside of COCO's own figures.
        few_shot_draws: Draws of examples a class.
        progress: Called with steps done, all steps, and what comes next.

    Returns:
        JSON-ready mapping. A section that the input does not allow is absent; a figure without support is None.
    """
    rules = rules or MatchRules()
    tell = progress or (lambda done, total, what: None)
    whole, given = given, judged_only(given)
    scenes = given.ordered_scenes()
    exposures, judged = exposures_of(given), {s.scene_id: given.labels(s.scene_id) for s in scenes}
    over_scenes = Replicates([s.scene_id for s in scenes], replicates=replicates, seed=seed)
    over_queries = Replicates([q.query_id for q in given.queries], replicates=replicates, seed=seed)
    stats: Stats = {"schema": SCHEMA, "header": _header(given, judged, exposures, created_utc, replicates, seed, rules)}
    stats["header"] |= {"truth_hash": truth_hash(whole), "unjudged": _unjudged(whole, given, exposures)}
    if stats["header"]["unjudged"]["mpx"]:
        stats["header"]["notes"].append(_unjudged_note(stats["header"]["unjudged"]))
    tell(0, 4, "proposals")
    if given.proposals:
        stats["proposals"] = _proposal_section(given, judged, over_scenes, rules)
    tell(1, 4, "detections")
    ready = prepare(given, judged, exposures, over_scenes, rules)
    if given.detections and ready.names:
        coco = evaluate_coco(ready.scenes, ready.names, gsd_m_s=ready.gsd_m_s)
        stats["detection"] = coco_section(ready, coco)
        stats["class_agnostic"] = agnostic_section(ready)
        stats["froc"] = froc_section(ready)
        stats["operating"] = operating_section(ready)
        stats["calibration"] = calibration_section(ready)
        stats["mistakes"] = mistakes_section(ready)
        stats["slices"] = slices_section(ready, coco.match)
        optional = {
            "oriented": oriented_section(ready),
            "vocabulary": vocabulary_section(ready),
            "codec": codec_section(ready),
        }
        stats |= {name: section for name, section in optional.items() if section is not None}
        stats["georeference"] = _georeference_section(ready)
    tell(2, 4, "duplicates")
    stats["header"]["judged_count"] = sum(int((~scene.truth_ignored_k).sum()) for scene in ready.scenes)
    stats["duplicates"] = _duplicate_section(given)
    stats["health"] = health_section(ready, stats["duplicates"])
    if given.shifted_proposals:
        stats["stability"] = stability_section(given, seed=seed, replicates=replicates)
    tell(3, 4, "retrieval")
    if given.queries:
        stats["retrieval"] = _retrieval_section(given, judged, over_queries, rules)
    if given.few_shot is not None:
        stats["few_shot"] = few_shot_section(given.few_shot, judged, seed=seed, draws=few_shot_draws)
    if given.filtered:
        stats["filtered_search"] = filtered_section(given.filtered)
    if given.costs is not None:
        stats["costs"] = costs_section(given.costs, exposures)
    stats["scenes"] = _scene_rows(ready)
    stats["replicates"] = {"scenes": over_scenes.to_dict(), "queries": over_queries.to_dict()}
    tell(4, 4, "done")
    return stats


def _header(
    given: EvaluationInput,
    judged: Labels,
    exposures: list[Exposure],
    created_utc: str,
    replicates: int,
    seed: int,
    rules: MatchRules,
) -> dict[str, Any]:
    """Who answered, on what, by which protocol."""
    rendered = sum(s.rendered for s in given.scenes)
    km2 = [e.km2 for e in exposures if e.km2 is not None]
    unknown = sum(s.scene_id not in given.valid_fraction for s in given.scenes)
    notes = list(given.notes)
    if unknown:
        notes.append(f"The share of valid pixels is unknown for {unknown} of {len(exposures)} scenes: all of it is counted.")
    if len(km2) < len(exposures):
        flat = len(exposures) - len(km2)
        notes.append(f"{flat} of {len(exposures)} scenes have no ground scale: their false alarms are per megapixel.")
    if len(exposures) < 2:
        notes.append("One scene: intervals are binomial or absent, because scenes cannot be resampled.")
    return {
        "release": given.release,
        "versions": dict(sorted(given.versions.items())),
        "lineage": dict(sorted(given.lineage.items())),
        "created_utc": created_utc,
        "software": _software(),
        "modality": given.scenes[0].modality,
        "instruments": sorted({s.instrument for s in given.scenes}),
        "rendered": "all" if rendered == len(exposures) else ("some" if rendered else "none"),
        "scene_count": len(exposures),
        "scene_versions": {s.scene_id: s.version for s in given.ordered_scenes()},
        "object_count": sum(not label.difficult for labels in judged.values() for label in labels),
        "ignored_count": sum(label.difficult for labels in judged.values() for label in labels),
        "area_km2": plain(sum(km2)) if km2 else None,
        "area_mpx": plain(sum(e.mpx for e in exposures)),
        "area_from": sorted({e.how for e in exposures}),
        "classes": given.evaluated_classes(),
        "protocol": {
            "level": "scene, after merging",
            "iou": rules.iou,
            "centre_distance_below_px": rules.centre_below_px,
            "ignored": ["difficult and crowd labels", "objects less than half inside of the scene", "marked regions", "nodata"],
            "interval": "95 % percentile bootstrap over scenes",
            "replicates": replicates,
            "seed": seed,
        },
        "notes": notes,
    }


def _unjudged(whole: EvaluationInput, given: EvaluationInput, exposures: list[Exposure]) -> dict[str, Any]:
    """How much lies in ground nobody judges: megapixels of valid ground, labels and detections."""
    kept = sum(len(rows) for rows in given.detections.values())
    turned = sum(
        label.difficult and not before.difficult and before.class_name not in given.ignore_classes
        for scene in given.scenes
        for label, before in zip(given.truth[scene.scene_id], whole.truth[scene.scene_id], strict=True)
    )
    return {
        "mpx": plain(sum(taken_off_px(given, exposure.scene_id) for exposure in exposures) / 1e6),
        "labels": turned,
        "detections": sum(len(rows) for rows in whole.detections.values()) - kept,
    }


def _unjudged_note(facts: dict[str, Any]) -> str:
    return (
        f"{facts['mpx']:.2f} Mpx of marked ground are not judged and off the area; {facts['labels']} labels and "
        f"{facts['detections']} detections lie there."
    )


def _software() -> dict[str, str]:
    """Versions of what computes the figures."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in ("ovd-platform", "numpy", "numba", "shapely"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def truth_hash(given: EvaluationInput) -> str:
    """16 hex digits of the labels and scene versions: only evaluations with equal hashes are comparable."""
    digest = hashlib.sha256()
    for scene in given.ordered_scenes():
        digest.update(f"{scene.scene_id}|{scene.version}\n".encode())
        for label in sorted(given.truth[scene.scene_id], key=lambda item: item.annotation_id):
            digest.update(f"{label.annotation_id}|{label.class_name}|{label.corners_scene_xy}|{label.difficult}\n".encode())
        digest.update(f"{sorted(given.ignore_boxes.get(scene.scene_id, ()))}\n".encode())
        if (mask := given.masks.get(scene.scene_id)) is not None:
            digest.update(mask.wkb)
    digest.update("|".join(sorted(given.class_names)).encode())
    return digest.hexdigest()[:16]


def _proposal_section(given: EvaluationInput, judged: Labels, over_scenes: Replicates, rules: MatchRules) -> dict[str, Any]:
    """Recall at N proposals a megapixel by size, by IoU alone and with centre distance; average precision by objectness."""
    scenes = [s for s in given.ordered_scenes() if s.scene_id in given.proposals]
    if len(scenes) < len(given.scenes):
        missing = sorted({s.scene_id for s in given.scenes} - set(given.proposals))
        return {
            "error": f"No proposals for {len(missing)} of {len(given.scenes)} scenes ({', '.join(missing[:3])}): not evaluated."
        }
    boxes = [proposal_boxes(given.labels(s.scene_id), given.proposals[s.scene_id]) for s in scenes]
    mpx = [s.area_mpx for s in scenes]
    strict, lenient = proposal_reach(boxes, mpx, IOU_ONLY), proposal_reach(boxes, mpx, rules)
    curves: dict[str, Any] = {}
    for name, low, high in SIZE_CLASSES:
        estimates = over_scenes.measure_many(
            [f"proposals.recall.{name}.at_{n}" for n in BUDGETS], partial(_recall_of_size, strict, (low, high))
        )
        objects = int(((strict.size_k >= low) & (strict.size_k < high)).sum())
        rows = [with_binomial(estimate, (estimate["value"] or 0.0) * objects, objects) for estimate in estimates]
        curves[name] = {f"at_{n}": row for n, row in zip(BUDGETS, rows, strict=True)} | {"objects": objects}
    ranking = rank(boxes, [match_scene(b, rules) for b in boxes])
    near = recall_at_budgets(lenient, BUDGETS)
    return {
        "budgets_per_mpx": list(BUDGETS),
        "iou": IOU_ONLY.iou,
        "recall": curves,
        "recall_with_centre_distance": {f"at_{n}": plain(value) for n, value in zip(BUDGETS, near, strict=True)},
        "recall_of_all": over_scenes.measure(
            "proposals.recall_of_all", lambda w: recall_at_budgets(strict, [np.inf], weights_s=w)[0]
        ),
        "ap": over_scenes.measure("proposals.ap", lambda w: average_precision(ranking, w)),
        "offered_per_mpx": {"least": plain(strict.offered_s.min()), "most": plain(strict.offered_s.max())},
        "proposers": sorted({given.proposals[s.scene_id].proposer for s in scenes}),
    }


def _recall_of_size(reach: Reach, size_bin: tuple[float, float], weights: FloatArray) -> FloatArray:
    """Recall at every budget for one size class under scene weights."""
    return recall_at_budgets(reach, BUDGETS, size_bin=size_bin, weights_s=weights)


def _duplicate_section(given: EvaluationInput) -> dict[str, Any]:
    """Objects answered twice across seams, in 1,000 answers."""
    section: dict[str, Any] = {}
    repeated = total = 0
    for scene in given.ordered_scenes():
        found = sorted(given.detections.get(scene.scene_id, ()), key=lambda item: -item.score)
        boxes = np.asarray([item.box_scene_xyxy for item in found], dtype=np.float64).reshape(-1, 4)
        repeated += int(seam_duplicates(boxes, [i.tile_id for i in found], [i.class_name for i in found]).sum())
        total += len(found)
    if total:
        section["detections"] = {"pairs": repeated, "answers": total, "per_1000": plain(per_thousand(repeated, total))}
    repeated = total = 0
    for scene in given.ordered_scenes():
        if scene.scene_id in given.proposals:
            made = given.proposals[scene.scene_id]
            repeated += int(seam_duplicates(made.boxes_scene_xyxy, made.tile_index_n, np.zeros(len(made))).sum())
            total += len(made)
    if total:
        section["proposals"] = {"pairs": repeated, "answers": total, "per_1000": plain(per_thousand(repeated, total))}
    return section


def _georeference_section(ready: Prepared) -> dict[str, Any]:
    """Errors of exported corners in pixels: of the projection, and on the ground against the object found."""
    projection, ground, left_out = [np.zeros(0)], [np.zeros(0)], 0
    for s, scene in enumerate(ready.records):
        if scene.georeference != "affine" or scene.crs is None or scene.transform is None or scene.gsd_m is None:
            left_out += 1
            continue
        found, boxes, matches = ready.found(s), ready.scenes[s], ready.matches[s]
        placed = _evenly([item for item in found if item.footprint_lonlat])
        projection.append(footprint_errors_px(scene, [i.box_scene_xyxy for i in placed], [i.footprint_lonlat for i in placed]))
        hits = _evenly([n for n in np.flatnonzero(matches.truth_of_n >= 0) if found[int(boxes.found_by_n[n])].footprint_lonlat])
        true = [tuple(boxes.truth_scene_xyxy[matches.truth_of_n[n]].tolist()) for n in hits]
        ground.append(footprint_errors_px(scene, true, [found[int(boxes.found_by_n[n])].footprint_lonlat for n in hits]))
    return {
        "projection_px": _spread(np.concatenate(projection)),
        "ground_px": _spread(np.concatenate(ground)),
        "scenes_left_out": left_out,
    }


def _evenly(items: list[_T]) -> list[_T]:
    """At most `MOST_RINGS` of them, evenly spaced: the projection is smooth, all of them would only take longer."""
    if len(items) <= MOST_RINGS:
        return items
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, MOST_RINGS).round()]


def _spread(values: "np.ndarray[Any, np.dtype[np.float64]]") -> dict[str, float | int | None]:
    """Count, median, 95th percentile and largest."""
    if not len(values):
        return {"count": 0, "median": None, "p95": None, "max": None}
    median, p95 = np.quantile(values, [0.5, 0.95])
    return {"count": len(values), "median": plain(median), "p95": plain(p95), "max": plain(values.max())}


def _retrieval_section(given: EvaluationInput, judged: Labels, over_queries: Replicates, rules: MatchRules) -> dict[str, Any]:
    """Figures of each query, and means over queries with intervals over queries."""
    candidates = sum(len(given.proposals[s.scene_id]) for s in given.scenes if s.scene_id in given.proposals)
    rows = [evaluate_query(query, judged, candidates=candidates, rules=rules) for query in given.queries]
    section: dict[str, Any] = {"queries": rows}
    for name in ("ap", "p_at_10", "p_at_10_reachable", "r_at_100", "ndcg_at_10"):
        values = np.asarray([np.nan if row[name] is None else row[name] for row in rows], dtype=np.float64)
        known = np.isfinite(values)

        def mean(weights: Any, values: Any = values, known: Any = known) -> float:
            total = float(weights[known].sum())
            return float(weights[known] @ values[known]) / total if total else float("nan")

        section[f"mean_{name}"] = over_queries.measure(f"retrieval.mean_{name}", mean)
    return section


def _scene_rows(ready: Prepared) -> list[dict[str, Any]]:
    """What happened in each scene, for people who look for the bad one."""
    rows = []
    for s, (scene, exposure) in enumerate(zip(ready.records, ready.exposures, strict=True)):
        state_n = ready.matches[s].state_n[ready.accepted[s]]
        made = ready.given.proposals.get(scene.scene_id)
        rows.append(
            {
                "scene_id": scene.scene_id,
                "instrument": scene.instrument,
                "gsd_m": plain(scene.gsd_m) if scene.gsd_m is not None else None,
                "km2": plain(exposure.km2) if exposure.km2 is not None else None,
                "mpx": plain(exposure.mpx),
                "objects": int((~ready.scenes[s].truth_ignored_k).sum()),
                "found": int(found_by_accepted(ready.matches[s], ready.accepted[s]).sum()),
                "false_alarms": int((state_n == FALSE).sum()),
                "proposals": len(made) if made is not None else None,
                "rendered": scene.rendered,
            }
        )
    return rows
