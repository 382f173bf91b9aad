"""What went wrong, by kind: missed, false, confused, duplicate, badly placed.

Belongs here: the kind of every wrong answer and missed object, and what AP50 would gain without each. Does not belong here:
pictures of them. After Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020, with the
platform's own rules for small objects.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.evaluate.bootstrap import plain
from ovd_platform.evaluate.match import FALSE, FOUND, IGNORED, MatchRules, Pairs, candidate_pairs
from ovd_platform.evaluate.prepared import Prepared
from ovd_platform.evaluate.ranking import Ranking, average_precision
from ovd_platform.evaluate.scene_boxes import ANY_CLASS, IntArray, SceneBoxes

BADLY_PLACED, CONFUSED, DUPLICATE, BACKGROUND, BOTH, MISSED = range(6)
KINDS = ("badly placed", "confused", "duplicate", "background", "confused and badly placed", "missed")
NEAR_IOU = 0.1
_NONE = -1


@dataclass(frozen=True, slots=True, eq=False)
class SceneMistakes:
    """Kinds of the wrong answers and missed objects of one scene.

    Attributes:
        kind_n: Kind of each answer, an index of `KINDS`, or -1 where it is right or ignored; shape (N,), int64.
        object_n: The object a wrong answer is about, or -1; shape (N,), int64.
        missed_k: Whether no answer found the object, and none that is confused or badly placed is about it; shape (K,), bool.
    """

    kind_n: IntArray
    object_n: IntArray
    missed_k: NDArray[np.bool_]


def scene_mistakes(
    scene: SceneBoxes, state_n: NDArray[np.int8], found_k: NDArray[np.bool_], rules: MatchRules
) -> SceneMistakes:
    """Sort the wrong answers of one scene.

    Args:
        scene: Labels and answers.
        state_n: Verdict on each answer, shape (N,); answers not looked at are `IGNORED`.
        found_k: Whether an answer that is looked at found the object, shape (K,).
        rules: When an answer counts as an object.
    """
    pairs = _pairs_of_any_class(scene, rules)
    same_p = scene.truth_class_k[pairs.truth_p] == scene.class_n[pairs.box_p]
    near_p = np.maximum(pairs.iou_p, pairs.centre_p)
    strong_p = (pairs.iou_p >= rules.iou) | (pairs.centre_p > 0)
    n = len(scene.class_n)
    best = {
        "same": _best(n, pairs, near_p, same_p & ~strong_p & (pairs.iou_p >= NEAR_IOU)),
        "other strong": _best(n, pairs, near_p, ~same_p & strong_p),
        "same strong": _best(n, pairs, near_p, same_p & strong_p),
        "other": _best(n, pairs, near_p, ~same_p & ~strong_p & (pairs.iou_p >= NEAR_IOU)),
    }
    kind_n, object_n = np.full(n, _NONE, dtype=np.int64), np.full(n, _NONE, dtype=np.int64)
    wrong_n = state_n == FALSE
    kind_n[wrong_n] = BACKGROUND
    # Later lines win: a second answer to an object is a duplicate before it is a badly placed answer to its neighbour.
    for name, kind in (("other", BOTH), ("same", BADLY_PLACED), ("other strong", CONFUSED), ("same strong", DUPLICATE)):
        hit = wrong_n & (best[name] >= 0)
        kind_n[hit], object_n[hit] = kind, best[name][hit]
    excused_k = np.zeros(len(scene.truth_class_k), dtype=np.bool_)
    about = object_n[(kind_n == CONFUSED) | (kind_n == BADLY_PLACED)]
    excused_k[about] = True
    return SceneMistakes(kind_n, object_n, ~found_k & ~excused_k & ~scene.truth_ignored_k)


def _pairs_of_any_class(scene: SceneBoxes, rules: MatchRules) -> Pairs:
    """Candidate pairs whatever the classes; ignored labels take no part."""
    counted = np.flatnonzero(~scene.truth_ignored_k & (scene.truth_class_k != ANY_CLASS))
    blind = SceneBoxes(
        scene.scene_id,
        scene.truth_scene_xyxy[counted],
        np.zeros(len(counted), dtype=np.int64),
        np.zeros(len(counted), dtype=np.bool_),
        scene.truth_areas_k[counted],
        scene.boxes_scene_xyxy,
        scene.scores_n,
        np.zeros(len(scene.class_n), dtype=np.int64),
        scene.found_by_n,
    )
    pairs = candidate_pairs(blind, rules)
    return Pairs(pairs.box_p, counted[pairs.truth_p], pairs.iou_p, pairs.share_p, pairs.centre_p)


def _best(n: int, pairs: Pairs, near_p: NDArray[np.float64], wanted_p: NDArray[np.bool_]) -> IntArray:
    """Nearest wanted object of each answer, or -1; shape (N,)."""
    best_n = np.full(n, _NONE, dtype=np.int64)
    chosen = np.flatnonzero(wanted_p)
    chosen = chosen[np.argsort(near_p[chosen], kind="stable")]
    best_n[pairs.box_p[chosen]] = pairs.truth_p[chosen]  # the nearest is written last
    return best_n


def accepted_mistakes(ready: Prepared) -> list[SceneMistakes]:
    """Mistakes among the accepted answers of each scene: what a user of the detections sees."""
    from ovd_platform.evaluate.operating import found_by_accepted

    rows = []
    for scene, match, kept in zip(ready.scenes, ready.matches, ready.accepted, strict=True):
        state_n = np.where(kept, match.state_n, np.int8(IGNORED))
        rows.append(scene_mistakes(scene, state_n, found_by_accepted(match, kept), ready.rules))
    return rows


def mistakes_section(ready: Prepared) -> dict[str, Any]:
    """Counts of each kind with intervals, gains of AP50, and which class was taken for which."""
    accepted = accepted_mistakes(ready)
    whole = [
        scene_mistakes(scene, match.state_n, match.answer_of_k >= 0, ready.rules)
        for scene, match in zip(ready.scenes, ready.matches, strict=True)
    ]
    gains = _gains(ready, whole)
    answers_s = np.asarray(
        [float((kept & (m.state_n != IGNORED)).sum()) for kept, m in zip(ready.accepted, ready.matches, strict=True)]
    )
    objects_s = np.asarray([float((~scene.truth_ignored_k).sum()) for scene in ready.scenes])
    kinds: dict[str, Any] = {}
    for kind, name in enumerate(KINDS):
        missed = kind == MISSED
        count_s = np.asarray([float((m.missed_k if missed else m.kind_n == kind).sum()) for m in accepted])
        kinds[name] = {
            "count": int(count_s.sum()),
            "of": int((objects_s if missed else answers_s).sum()),
            "share": ready.over_scenes.measure(
                f"mistakes.kinds.{name}.share", _share(count_s, objects_s if missed else answers_s)
            ),
            "ap50_gain": gains[name],
        }
    return {
        "kinds": kinds,
        "ap50": gains["now"],
        "confusion": _confusion(ready, accepted),
        "rules": "accepted answers; gains over all",
    }


def _share(part_s: NDArray[np.float64], whole_s: NDArray[np.float64]) -> Any:
    from ovd_platform.evaluate.bootstrap import share_figure

    return share_figure(part_s, whole_s)


def _gains(ready: Prepared, mistakes: list[SceneMistakes]) -> dict[str, float | None]:
    """AP50 under the platform's rules, and what it would gain without each kind of mistake (mean of classes)."""
    table = [_class_rows(ready, mistakes, index) for index in range(len(ready.names))]
    now = _mean([average_precision(_ranking(rows, objects)) for rows, objects, _ in table])
    gains: dict[str, float | None] = {"now": plain(now)}
    for kind, name in enumerate(KINDS):
        values = []
        for rows, objects, missed in table:
            if kind == MISSED:
                values.append(average_precision(_ranking(rows, objects - missed)))
                continue
            true_n, kind_n, object_n, score_n = rows
            mended = kind_n == kind
            corrected = np.zeros(len(true_n), dtype=np.bool_)
            if kind == BADLY_PLACED:  # moved onto its object, if that is still free; else gone
                corrected[_first_of_each(object_n, score_n, mended & (object_n >= 0))] = True
            kept = ~mended | corrected
            fixed = (true_n | corrected)[kept], kind_n[kept], object_n[kept], score_n[kept]
            values.append(average_precision(_ranking(fixed, objects)))
        gains[name] = plain(_mean(values) - now)
    return gains


def _class_rows(ready: Prepared, mistakes: list[SceneMistakes], index: int) -> tuple[tuple[Any, ...], int, int]:
    """Truth, kind, object (unique over scenes; -1 if found by another) and score of a class's answers; objects; missed."""
    parts: list[tuple[Any, ...]] = []
    objects = missed = offset = 0
    for scene, match, wrong in zip(ready.scenes, ready.matches, mistakes, strict=True):
        part = (scene.class_n == index) & (match.state_n != IGNORED)
        free = np.append(match.answer_of_k < 0, False)[wrong.object_n[part]]
        about = np.where(free, wrong.object_n[part] + offset, -1)
        parts.append((match.state_n[part] == FOUND, wrong.kind_n[part], about, scene.scores_n[part]))
        mine = (scene.truth_class_k == index) & ~scene.truth_ignored_k
        objects, missed, offset = objects + int(mine.sum()), missed + int((mine & wrong.missed_k).sum()), offset + len(mine)
    true, kind, about, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    return (true, kind, about, score), objects, missed


def _first_of_each(object_n: IntArray, score_n: NDArray[np.float64], wanted_n: NDArray[np.bool_]) -> IntArray:
    """Best answer about each object among the wanted."""
    chosen = np.flatnonzero(wanted_n)
    chosen = chosen[np.argsort(-score_n[chosen], kind="stable")]
    _, first = np.unique(object_n[chosen], return_index=True)
    return np.asarray(chosen[first], dtype=np.int64)


def _ranking(rows: tuple[Any, ...], objects: int) -> Ranking:
    true_n, _, _, score_n = rows
    order = np.argsort(-score_n, kind="stable")
    return Ranking(np.zeros(len(order), dtype=np.int64), score_n[order], true_n[order], np.asarray([objects], dtype=np.int64))


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _confusion(ready: Prepared, mistakes: list[SceneMistakes]) -> dict[str, dict[str, int]]:
    """How often each class was found, and answered as another, among accepted answers; only what happened."""
    counts: dict[str, dict[str, int]] = {name: {} for name in ready.names}
    for scene, match, kept, wrong in zip(ready.scenes, ready.matches, ready.accepted, mistakes, strict=True):
        right = np.flatnonzero(kept & (match.state_n == FOUND))
        confused = np.flatnonzero(wrong.kind_n == CONFUSED)
        about = np.concatenate([match.truth_of_n[right], wrong.object_n[confused]])
        for k, answer in zip(
            scene.truth_class_k[about].tolist(), scene.class_n[np.concatenate([right, confused])].tolist(), strict=True
        ):
            row = counts[ready.names[k]]
            row[ready.names[answer]] = row.get(ready.names[answer], 0) + 1
    return counts
