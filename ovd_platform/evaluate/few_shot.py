"""Search by a few examples, over many draws of the examples.

Belongs here: the draws, their published lists, and figures over draws. Does not belong here: making vectors.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.evaluate.bootstrap import plain
from ovd_platform.evaluate.inputs import FewShotData
from ovd_platform.evaluate.match import MatchRules, candidate_pairs, match_scene
from ovd_platform.evaluate.retrieval import score_ranking
from ovd_platform.evaluate.scene_boxes import scene_boxes
from ovd_platform.records.annotation import Annotation

SHOTS = (1, 5, 10)
DRAWS = 30
_RULES = MatchRules()
FIGURES = ("ap", "p_at_10", "p_at_10_reachable", "r_at_100", "ndcg_at_10")


def few_shot_section(
    data: FewShotData,
    labels: Mapping[str, Sequence[Annotation]],
    *,
    seed: int,
    draws: int = DRAWS,
    shots: Sequence[int] = SHOTS,
) -> dict[str, Any]:
    """Mean and spread over draws of examples, for each class and number of examples.

    The prototype is the mean of the examples after the background of other scenes is taken away; proposals rank by cosine.
    Classes with fewer examples than asked abstain.

    Args:
        data: Vectors; supports never come from the evaluated scenes.
        labels: Labels as judged, by scene id.
        seed: Seed of the draws.
        draws: Draws of examples, 30 or more for a figure to be believed.
        shots: Examples a draw.

    Returns:
        JSON-ready mapping with the lists of examples of every draw.
    """
    section: dict[str, Any] = {"draws": draws, "shots": list(shots), "per_class": {}, "supports": {}}
    vectors_nd = _unit(data.vectors_nd - data.background_d)
    for name in sorted(data.supports):
        relevant_n, repeat_of_n, total = _relevance(data, labels, name)
        if not total:
            continue
        supports_md = _unit(data.supports[name] - data.background_d)
        rows: dict[str, Any] = {
            "relevant": total,
            "supports": len(supports_md),
            "prevalence": plain(total / max(1, len(vectors_nd))),
        }
        for count in shots:
            if len(supports_md) < count:
                rows[f"{count}_shot"] = None  # abstains: fewer examples than asked
                continue
            rng = np.random.default_rng([seed, count, *name.encode()])
            picked = [np.sort(rng.choice(len(supports_md), count, replace=False)) for _ in range(draws)]
            results = [
                _rank_figures(vectors_nd @ _unit(supports_md[p].mean(axis=0)), relevant_n, repeat_of_n, total) for p in picked
            ]
            rows[f"{count}_shot"] = {figure: _spread([result[figure] for result in results]) for figure in FIGURES}
            section["supports"].setdefault(name, {})[f"{count}_shot"] = [
                [data.support_ids[name][int(i)] for i in p] for p in picked
            ]
        section["per_class"][name] = rows
    for count in shots:
        found = [row[f"{count}_shot"]["ap"]["mean"] for row in section["per_class"].values() if row[f"{count}_shot"]]
        section[f"mean_ap_{count}_shot"] = plain(float(np.mean(found))) if found else None
    return section


def _unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0), dtype=np.float32)


def _relevance(
    data: FewShotData, labels: Mapping[str, Sequence[Annotation]], name: str
) -> tuple[NDArray[np.bool_], NDArray[np.int64], int]:
    """Which proposals lie on an object of the class, the object of each (-1 for none, -2 for an ignored one), and all objects."""
    scene_n = np.asarray(data.scene_ids)
    object_n, total, counted = np.full(len(scene_n), -1, dtype=np.int64), 0, 0
    for scene_id, rows in labels.items():
        mine = np.flatnonzero(scene_n == scene_id)
        scene = scene_boxes(scene_id, rows, data.boxes_n4[mine], np.zeros(len(mine)), [name] * len(mine), [name])
        pairs = candidate_pairs(scene, rules=_RULES)
        near = np.maximum(pairs.iou_p, pairs.centre_p)
        strong = np.flatnonzero((pairs.iou_p >= _RULES.iou) | (pairs.centre_p > 0))
        strong = strong[np.argsort(near[strong], kind="stable")]
        found = pairs.truth_p[strong]
        object_n[mine[pairs.box_p[strong]]] = np.where(scene.truth_ignored_k[found], -2, found + total)
        state_n = match_scene(scene, _RULES, pairs).state_n
        object_n[mine[(state_n == -1) & (object_n[mine] < 0)]] = -2
        total += len(scene.truth_class_k)
        counted += int((~scene.truth_ignored_k).sum())
    return object_n >= 0, object_n, counted


def _rank_figures(
    score_n: NDArray[Any], relevant_n: NDArray[np.bool_], object_n: NDArray[np.int64], total: int
) -> dict[str, float | None]:
    """Figures of one ranking; ignored proposals and repeats of an object leave it before counting."""
    order = np.argsort(-score_n, kind="stable")
    order = order[object_n[order] != -2]
    objects = object_n[order]
    _, first = np.unique(objects, return_index=True)
    kept = np.zeros(len(order), dtype=np.bool_)
    kept[first] = True
    kept |= objects < 0
    return score_ranking(relevant_n[order[kept]], total, ks=(10, 100))


def _spread(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean, its 95 % interval over draws, and the standard deviation of one draw."""
    known = np.asarray([value for value in values if value is not None], dtype=np.float64)
    if len(known) < 2:
        return {"mean": plain(float(known.mean())) if len(known) else None, "low": None, "high": None, "std": None}
    mean, std = float(known.mean()), float(known.std(ddof=1))
    half = 1.959964 * std / float(np.sqrt(len(known)))
    return {"mean": plain(mean), "low": plain(mean - half), "high": plain(mean + half), "std": plain(std)}
