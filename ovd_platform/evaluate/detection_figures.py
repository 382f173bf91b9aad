"""Figures of detections: COCO, FROC, operating point, sizes, contexts and calibration, with intervals over scenes.

Belongs here: composing the metrics of detections. Does not belong here: the metrics themselves.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ovd_platform.evaluate.bootstrap import FloatArray, Replicates, plain, share_figure, wilson_interval, with_binomial
from ovd_platform.evaluate.calibration import (
    brier_score,
    expected_calibration_error,
    reliability_bins,
    table_rows,
)
from ovd_platform.evaluate.coco import evaluate_coco
from ovd_platform.evaluate.froc import RATES, Exposure, froc_curve, is_resolved, recall_at_rates, thinned
from ovd_platform.evaluate.inputs import EvaluationInput
from ovd_platform.evaluate.match import FOUND, IGNORED, Matches, MatchRules, match_scene
from ovd_platform.evaluate.ranking import RECALL_POINTS, Ranking, average_precision, interpolated_precision, rank, rank_at_ious
from ovd_platform.evaluate.scene_boxes import SIZE_BINS_PX, BoolArray, SceneBoxes, detection_boxes

RATE_NAMES = tuple(f"at_{rate:g}" for rate in RATES)


def detection_sections(
    given: EvaluationInput, exposures: list[Exposure], over_scenes: Replicates, rules: MatchRules
) -> dict[str, Any]:
    """Sections ``detection``, ``class_agnostic``, ``froc``, ``operating`` and ``calibration``."""
    names = given.evaluated_classes()
    scenes = _boxes(given, names)
    matches = [match_scene(scene, rules) for scene in scenes]
    sections = {"detection": _coco_section(given, scenes, names, over_scenes)}
    joined = _boxes(given, ["object"], class_agnostic=True)
    agnostic = evaluate_coco(joined, ["object"])
    rankings = rank_at_ious(joined)
    sections["class_agnostic"] = agnostic.to_dict() | {
        "ap": _around(agnostic.figures["ap"], over_scenes.measure("class_agnostic.ap", lambda w: _mean_ap(rankings, w))),
        "ap50": _around(
            agnostic.figures["ap50"], over_scenes.measure("class_agnostic.ap50", lambda w: average_precision(rankings[0], w))
        ),
    }
    sections["froc"] = _froc_section(scenes, names, exposures, over_scenes, rules)
    accepted = [_accepted(given, scene) for scene in scenes]
    sections["operating"] = _operating_section(given, scenes, matches, accepted, names, over_scenes)
    sections["calibration"] = _calibration_section(given, scenes, matches, names, over_scenes)
    return sections


def _boxes(given: EvaluationInput, names: list[str], *, class_agnostic: bool = False) -> list[SceneBoxes]:
    """Arrays of every scene in the fixed order."""
    return [
        detection_boxes(
            scene.scene_id,
            given.truth[scene.scene_id],
            given.detections.get(scene.scene_id, ()),
            names,
            ignore_boxes=given.ignore_boxes.get(scene.scene_id, ()),
            class_agnostic=class_agnostic,
        )
        for scene in given.ordered_scenes()
    ]


def _accepted(given: EvaluationInput, scene: SceneBoxes) -> BoolArray:
    """Which answers of the scene lie at or above their class's threshold."""
    found = given.detections.get(scene.scene_id, ())
    return np.asarray([found[int(n)].accepted for n in scene.found_by_n], dtype=np.bool_).reshape(-1)


def _around(value: float | None, estimate: dict[str, float | None]) -> dict[str, float | None]:
    """COCO's own value with the interval of ours (they agree; see the tests)."""
    return {**estimate, "value": value}


def _mean_ap(rankings: list[Ranking], weights: FloatArray) -> float:
    """AP over COCO's ten IoU thresholds."""
    return float(np.mean([average_precision(ranking, weights) for ranking in rankings]))


def _known_mean(values: FloatArray) -> float:
    """Mean of the classes that have objects in this draw; NaN without any."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _coco_section(
    given: EvaluationInput, scenes: list[SceneBoxes], names: list[str], over_scenes: Replicates
) -> dict[str, Any]:
    """COCO figures, per class and for base and novel classes."""
    coco = evaluate_coco(scenes, names)
    by_class = {name: rank_at_ious([scene.of_class(index) for scene in scenes]) for index, name in enumerate(names)}
    base = [name for name in names if name not in given.novel_classes]
    novel = [name for name in names if name in given.novel_classes]
    paths = [f"detection.per_class.{name}.{figure}" for name in names for figure in ("ap", "ap50")]
    paths += ["detection.ap", "detection.ap50"]
    paths += ["detection.base_ap50", "detection.novel_ap50", "detection.harmonic_ap50"] if novel else []

    def figures(weights: FloatArray) -> list[float]:
        ap_kt = np.asarray([[average_precision(ranking, weights) for ranking in by_class[name]] for name in names])
        values = [value for row in ap_kt for value in (float(row.mean()), float(row[0]))]
        values += [_known_mean(ap_kt.mean(axis=1)), _known_mean(ap_kt[:, 0])]
        if novel:
            known = _known_mean(ap_kt[[names.index(name) for name in base], 0]) if base else float("nan")
            unknown = _known_mean(ap_kt[[names.index(name) for name in novel], 0])
            total = known + unknown
            values += [known, unknown, 2 * known * unknown / total if total > 0 else (0.0 if total == 0 else float("nan"))]
        return values

    estimates = dict(zip(paths, over_scenes.measure_many(paths, figures), strict=True))
    section: dict[str, Any] = coco.to_dict()
    for figure in ("ap", "ap50"):
        section[figure] = _around(coco.figures[figure], estimates[f"detection.{figure}"])
    section |= {
        path.split(".", 1)[1]: estimates[path] for path in paths if path.endswith(("base_ap50", "novel_ap50", "harmonic_ap50"))
    }
    section["per_class"] = {}
    for name in names:
        row: dict[str, Any] = dict(coco.per_class[name])
        for figure in ("ap", "ap50"):
            value = coco.per_class[name][figure]
            row[figure] = _around(value, estimates[f"detection.per_class.{name}.{figure}"])
        row["novel"] = name in given.novel_classes
        row["precision_curve"] = [plain(v) for v in interpolated_precision(by_class[name][0])]
        section["per_class"][name] = row
    section["recall_points"] = [plain(v) for v in RECALL_POINTS]
    return section


def _froc_section(
    scenes: list[SceneBoxes], names: list[str], exposures: list[Exposure], over_scenes: Replicates, rules: MatchRules
) -> dict[str, Any]:
    """Recall at fixed false alarms over ground per class and as their mean; scenes without ground scale per Mpx."""
    on_ground = np.asarray([exposure.km2 is not None for exposure in exposures])
    section: dict[str, Any] = {"rates": list(RATES)}
    for unit, members in (("per_km2", on_ground), ("per_mpx", ~on_ground)):
        if not members.any():
            continue
        ground_s = np.asarray([(e.km2 or 0.0) if unit == "per_km2" else e.mpx for e in exposures]) * members
        rankings = []
        for index in range(len(names)):
            part = [scene.of_class(index) for scene in scenes]
            ranking = rank(part, [match_scene(scene, rules) for scene in part])
            inside_n = members[ranking.scene_n]
            rankings.append(
                Ranking(
                    ranking.scene_n[inside_n], ranking.scores_n[inside_n], ranking.true_n[inside_n], ranking.truth_s * members
                )
            )
        section[unit] = _froc_unit(unit, rankings, names, ground_s, over_scenes) | {"scenes": int(members.sum())}
    return section


def _froc_unit(
    unit: str, rankings: list[Ranking], names: list[str], ground_s: FloatArray, over_scenes: Replicates
) -> dict[str, Any]:
    """FROC of one unit of ground. The mean of classes leaves out classes without objects."""
    paths = [f"froc.{unit}.per_class.{name}.{rate}" for name in names for rate in RATE_NAMES]
    paths += [f"froc.{unit}.mean.{rate}" for rate in RATE_NAMES]

    def figures(weights: FloatArray) -> list[float]:
        recall_kr = np.asarray([recall_at_rates(ranking, ground_s, RATES, weights) for ranking in rankings])
        return [*recall_kr.ravel().tolist(), *(_known_mean(recall_kr[:, r]) for r in range(len(RATES)))]

    estimates = dict(zip(paths, over_scenes.measure_many(paths, figures), strict=True))
    per_class = {
        name: {rate: _recall_row(estimates[f"froc.{unit}.per_class.{name}.{rate}"], ranking) for rate in RATE_NAMES}
        | {"objects": int(ranking.truth_s.sum()), "curve": thinned(froc_curve(ranking, ground_s))}
        for name, ranking in zip(names, rankings, strict=True)
    }
    ground = float(ground_s.sum())
    return {
        "ground": plain(ground),
        "resolved": {name: is_resolved(rate, ground) for name, rate in zip(RATE_NAMES, RATES, strict=True)},
        "mean": {rate: estimates[f"froc.{unit}.mean.{rate}"] for rate in RATE_NAMES},
        "per_class": per_class,
    }


def _recall_row(estimate: dict[str, Any], ranking: Ranking) -> dict[str, Any]:
    """A recall with an interval that has a width."""
    objects = float(ranking.truth_s.sum())
    return with_binomial(estimate, (estimate["value"] or 0.0) * objects, objects)


def _operating_section(
    given: EvaluationInput,
    scenes: list[SceneBoxes],
    matches: list[Matches],
    accepted: list[BoolArray],
    names: list[str],
    over_scenes: Replicates,
) -> dict[str, Any]:
    """Precision and recall of what was accepted, per class, by object size and by context."""
    found_k = [_found_by_accepted(match, kept) for match, kept in zip(matches, accepted, strict=True)]
    section: dict[str, Any] = {"per_class": {}, "recall_by_size": {}, "recall_by_context": {}}
    for index, name in enumerate(names):
        part_n = [
            (scene.class_n == index) & kept & (m.state_n != IGNORED)
            for scene, kept, m in zip(scenes, accepted, matches, strict=True)
        ]
        true_s = np.asarray([float((m.state_n[p] == FOUND).sum()) for p, m in zip(part_n, matches, strict=True)])
        all_s = np.asarray([float(p.sum()) for p in part_n])
        wanted = [(scene.truth_class_k == index) & ~scene.truth_ignored_k for scene in scenes]
        row = _share_row(over_scenes, f"operating.per_class.{name}.recall", wanted, found_k)
        section["per_class"][name] = {
            "objects": row.pop("objects"),
            "accepted": int(all_s.sum()),
            "false_alarms": int((all_s - true_s).sum()),
            "recall": row,
            "precision": with_binomial(
                over_scenes.measure(f"operating.per_class.{name}.precision", share_figure(true_s, all_s)),
                true_s.sum(),
                all_s.sum(),
            ),
        }
    for label, low, high in SIZE_BINS_PX:
        size = [np.sqrt(scene.truth_areas_k) for scene in scenes]
        wanted = [(s >= low) & (s < high) & ~scene.truth_ignored_k for s, scene in zip(size, scenes, strict=True)]
        section["recall_by_size"][label] = _share_row(over_scenes, f"operating.recall_by_size.{label}", wanted, found_k)
    if given.tags:
        _context_rows(given, scenes, names, found_k, over_scenes, section["recall_by_context"])
    return section


def _found_by_accepted(match: Matches, kept: BoolArray) -> BoolArray:
    """Which objects an accepted answer found, shape (K,)."""
    found: BoolArray = match.answer_of_k >= 0
    found[found] = kept[match.answer_of_k[found]]
    return found


def _share_row(over_scenes: Replicates, path: str, wanted: list[BoolArray], found_k: list[BoolArray]) -> dict[str, Any]:
    """Share of the wanted objects that were found, with interval and count."""
    found_s = np.asarray([float((w & f).sum()) for w, f in zip(wanted, found_k, strict=True)])
    all_s = np.asarray([float(w.sum()) for w in wanted])
    estimate: dict[str, Any] = over_scenes.measure(path, share_figure(found_s, all_s))
    return with_binomial(estimate, found_s.sum(), all_s.sum()) | {"objects": int(all_s.sum())}


def _context_rows(
    given: EvaluationInput,
    scenes: list[SceneBoxes],
    names: list[str],
    found_k: list[BoolArray],
    over_scenes: Replicates,
    rows: dict[str, Any],
) -> None:
    """Recall by the context of the label, into ``rows``."""
    tags_s = []
    for scene in scenes:
        labels = [label for label in given.truth[scene.scene_id] if label.class_name in names or label.class_name == ""]
        tags = [given.tags.get(label.annotation_id, "") for label in labels]
        tags_s.append(np.asarray(tags + [""] * (len(scene.truth_class_k) - len(tags)), dtype=np.str_))
    for tag in sorted({str(tag) for tags in tags_s for tag in tags} - {""}):
        wanted = [(tags == tag) & ~scene.truth_ignored_k for tags, scene in zip(tags_s, scenes, strict=True)]
        rows[tag] = _share_row(over_scenes, f"operating.recall_by_context.{tag}", wanted, found_k)


def _calibration_section(
    given: EvaluationInput, scenes: list[SceneBoxes], matches: list[Matches], names: list[str], over_scenes: Replicates
) -> dict[str, Any]:
    """Reliability of probabilities, and asked against achieved precision per class."""
    rows: list[tuple[float, bool, int, int]] = []
    for s, (scene, match) in enumerate(zip(scenes, matches, strict=True)):
        found = given.detections.get(scene.scene_id, ())
        for n, source in enumerate(scene.found_by_n.tolist()):
            probability = found[source].probability
            if probability is not None and match.state_n[n] != IGNORED:
                rows.append((probability, bool(match.state_n[n] == FOUND), int(scene.class_n[n]), s))
    probability_n = np.asarray([row[0] for row in rows], dtype=np.float64)
    true_n = np.asarray([row[1] for row in rows], dtype=np.bool_)
    class_n = np.asarray([row[2] for row in rows], dtype=np.int64)
    scene_n = np.asarray([row[3] for row in rows], dtype=np.int64)

    def error_of(part: BoolArray) -> Callable[[FloatArray], float]:
        probability, true, scene = probability_n[part], true_n[part], scene_n[part]
        return lambda weights: expected_calibration_error(reliability_bins(probability, true, weight_n=weights[scene]))

    per_class: dict[str, Any] = {}
    for index, name in enumerate(names):
        part = class_n == index
        per_class[name] = {
            "answers": int(part.sum()),
            "ece": over_scenes.measure(f"calibration.per_class.{name}.ece", error_of(part)) if part.any() else None,
            **_asked_row(given, scenes, matches, name, index),
        }
    return {
        "answers": len(rows),
        "ece": over_scenes.measure("calibration.ece", error_of(class_n >= 0)) if rows else None,
        "brier": plain(brier_score(probability_n, true_n)),
        "bins": table_rows(reliability_bins(probability_n, true_n)) if rows else [],
        "per_class": per_class,
    }


def _asked_row(
    given: EvaluationInput, scenes: list[SceneBoxes], matches: list[Matches], name: str, index: int
) -> dict[str, Any]:
    """Precision asked of one class and achieved by its accepted answers (Wilson interval: a class may live in one scene)."""
    true = total = 0
    for scene, match in zip(scenes, matches, strict=True):
        part = (scene.class_n == index) & _accepted(given, scene) & (match.state_n != IGNORED)
        true, total = true + int((match.state_n[part] == FOUND).sum()), total + int(part.sum())
    bounds = wilson_interval(true, total)
    asked = given.asked_precision.get(name)
    achieved = {
        "value": plain(true / total) if total else None,
        "low": plain(bounds[0]) if bounds else None,
        "high": plain(bounds[1]) if bounds else None,
    }
    met = None if asked is None or bounds is None else bool(bounds[1] >= asked)
    return {"asked_precision": asked, "achieved_precision": achieved, "not_refuted": met, "accepted": total}
