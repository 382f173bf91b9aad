"""Ranked figures of detections: COCO's, class-agnostic, and FROC, with intervals over scenes.

Belongs here: composing them. Does not belong here: the metrics themselves, accepted answers (`operating`), calibration.
"""

from typing import Any

import numpy as np

from ovd_platform.evaluate.bootstrap import FloatArray, Replicates, plain, with_binomial
from ovd_platform.evaluate.coco import CocoResult, evaluate_coco
from ovd_platform.evaluate.coco_match import FIRST_COCO
from ovd_platform.evaluate.froc import RATES, froc_curve, is_resolved, recalls_at_rates, thinned
from ovd_platform.evaluate.prepared import Prepared, boxes_of
from ovd_platform.evaluate.ranking import RECALL_POINTS, Ranking, average_precisions, interpolated_precision, rank_class

RATE_NAMES = tuple(f"at_{rate:g}" for rate in RATES)
_UNITS = ("per_km2", "per_mpx")


def around(value: float | None, estimate: dict[str, float | None]) -> dict[str, float | None]:
    """COCO's own value with the interval of ours (they agree; see the tests)."""
    return {**estimate, "value": value}


def known_mean(values_bk: FloatArray) -> FloatArray:
    """Mean over the classes that have objects in each draw, shape (B,); NaN without any."""
    known = np.isfinite(values_bk)
    total = known.sum(axis=1)
    summed = np.where(known, values_bk, 0.0).sum(axis=1)
    return np.asarray(np.where(total > 0, summed / np.maximum(total, 1), np.nan))


def coco_section(ready: Prepared, coco: CocoResult) -> dict[str, Any]:
    """COCO figures, per class and for base and novel classes."""
    names, novel_names = ready.names, ready.given.novel_classes
    by_class = [coco.match.rankings(index)[FIRST_COCO:] for index in range(len(names))]
    novel = [index for index, name in enumerate(names) if name in novel_names]
    base = [index for index in range(len(names)) if index not in novel]
    paths = [f"detection.per_class.{name}.{figure}" for name in names for figure in ("ap", "ap50")]
    paths += ["detection.ap", "detection.ap50"]
    paths += ["detection.base_ap50", "detection.novel_ap50", "detection.harmonic_ap50"] if novel else []

    def figures(weights_bs: FloatArray) -> FloatArray:
        ap_ktb = np.asarray([[average_precisions(ranking, weights_bs) for ranking in rows] for rows in by_class])
        mean_bk, half_bk = ap_ktb.mean(axis=1).T, ap_ktb[:, 0].T
        columns = [column for k in range(len(names)) for column in (mean_bk[:, k], half_bk[:, k])]
        columns += [known_mean(mean_bk), known_mean(half_bk)]
        if novel:
            known, unknown = known_mean(half_bk[:, base]), known_mean(half_bk[:, novel])
            total = known + unknown
            columns += [known, unknown, np.where(total > 0, 2 * known * unknown / np.where(total > 0, total, 1.0), total)]
        return np.stack(columns, axis=1)

    estimates = dict(zip(paths, ready.over_scenes.measure_rows(paths, figures), strict=True))
    section: dict[str, Any] = coco.to_dict()
    for figure in ("ap", "ap50"):
        section[figure] = around(coco.figures[figure], estimates[f"detection.{figure}"])
    section |= {
        path.split(".", 1)[1]: estimates[path] for path in paths if path.endswith(("base_ap50", "novel_ap50", "harmonic_ap50"))
    }
    section["per_class"] = {}
    for index, name in enumerate(names):
        row: dict[str, Any] = dict(coco.per_class[name])
        for figure in ("ap", "ap50"):
            value = coco.per_class[name][figure]
            row[figure] = around(value, estimates[f"detection.per_class.{name}.{figure}"])
        row["novel"] = name in novel_names
        row["precision_curve"] = [plain(v) for v in interpolated_precision(by_class[index][0])]
        section["per_class"][name] = row
    section["recall_points"] = [plain(v) for v in RECALL_POINTS]
    return section


def agnostic_section(ready: Prepared) -> dict[str, Any]:
    """COCO figures with all classes as one: how well objects are found, whatever they are called."""
    joined = [
        boxes_of(ready.given, record, labels, ["object"], class_agnostic=True)
        for record, labels in zip(ready.records, ready.labels, strict=True)
    ]
    agnostic = evaluate_coco(joined, ["object"], gsd_m_s=ready.gsd_m_s)
    rankings = agnostic.match.rankings(0)[FIRST_COCO:]

    def figures(weights_bs: FloatArray) -> FloatArray:
        ap_tb = np.asarray([average_precisions(ranking, weights_bs) for ranking in rankings])
        return np.stack([ap_tb.mean(axis=0), ap_tb[0]], axis=1)

    ap, ap50 = ready.over_scenes.measure_rows(["class_agnostic.ap", "class_agnostic.ap50"], figures)
    return agnostic.to_dict() | {
        "ap": around(agnostic.figures["ap"], ap),
        "ap50": around(agnostic.figures["ap50"], ap50),
    }


def froc_section(ready: Prepared) -> dict[str, Any]:
    """Recall at fixed false alarms over ground per class and as their mean; scenes without ground scale per Mpx."""
    section: dict[str, Any] = {"rates": list(RATES)}
    whole = [rank_class(ready.scenes, ready.matches, index) for index in range(len(ready.names))]
    for unit in _UNITS:
        ground_s, members = ready.ground(unit)
        if not members.any():
            continue
        rankings = []
        for ranking in whole:
            inside_n = members[ranking.scene_n]
            truth_s = ranking.truth_s * members
            rankings.append(Ranking(ranking.scene_n[inside_n], ranking.scores_n[inside_n], ranking.true_n[inside_n], truth_s))
        section[unit] = _froc_unit(unit, rankings, ready.names, ground_s, ready.over_scenes) | {
            "scenes": int(members.sum()),
            "negative_only_scenes": int((members & (sum(ranking.truth_s for ranking in rankings) == 0)).sum()),
        }
    return section


def _froc_unit(
    unit: str, rankings: list[Ranking], names: list[str], ground_s: FloatArray, over_scenes: Replicates
) -> dict[str, Any]:
    """FROC of one unit of ground. The mean of classes leaves out classes without objects."""
    paths = [f"froc.{unit}.per_class.{name}.{rate}" for name in names for rate in RATE_NAMES]
    paths += [f"froc.{unit}.mean.{rate}" for rate in RATE_NAMES]

    def figures(weights_bs: FloatArray) -> FloatArray:
        recall_kbr = np.asarray([recalls_at_rates(ranking, ground_s, RATES, weights_bs) for ranking in rankings])
        means = [known_mean(recall_kbr[:, :, r].T) for r in range(len(RATES))]
        return np.concatenate([*recall_kbr, np.stack(means, axis=1)], axis=1)

    estimates = dict(zip(paths, over_scenes.measure_rows(paths, figures), strict=True))
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
