"""How figures depend on the vocabulary that competes, and what is answered to prompts for classes that are not there.

Belongs here: the three modes and the absent prompts. Does not belong here: scoring. Modes after the comparison of vocabularies in
arXiv 2601.22164: every class alone, only the classes present in the scene, the whole vocabulary.
"""

from typing import Any

import numpy as np

from ovd_platform.evaluate.bootstrap import FloatArray, share_figure
from ovd_platform.evaluate.coco_match import FIRST_COCO, match_coco
from ovd_platform.evaluate.detection_figures import known_mean
from ovd_platform.evaluate.inputs import ClassScoreTable
from ovd_platform.evaluate.prepared import Prepared
from ovd_platform.evaluate.ranking import average_precisions
from ovd_platform.evaluate.scene_boxes import SceneBoxes, scene_boxes
from ovd_platform.records.annotation import Annotation

MODES = ("each class alone", "classes present in the scene", "whole vocabulary")


def vocabulary_section(ready: Prepared) -> dict[str, Any] | None:
    """AP50 in each mode and false positives of absent prompts; None where not every scene's scores were given."""
    tables = [ready.given.class_scores.get(record.scene_id) for record in ready.records]
    known = [table for table in tables if table is not None]
    if len(known) != len(tables) or len({table.names for table in known}) != 1:
        return None
    section: dict[str, Any] = {"classes": len(known[0].names), "modes": {}}
    for mode in MODES:
        scenes = [_scene(ready, s, table, mode) for s, table in enumerate(known)]
        match = match_coco(scenes, len(ready.names))
        rankings = [match.ranking(index, FIRST_COCO) for index in range(len(ready.names))]

        def ap50(weights_bs: FloatArray, rankings: Any = rankings) -> FloatArray:
            return known_mean(np.stack([average_precisions(ranking, weights_bs) for ranking in rankings], axis=1))[:, None]

        section["modes"][mode] = {"ap50": ready.over_scenes.measure_rows([f"vocabulary.modes.{mode}.ap50"], ap50)[0]}
    section["absent"] = _absent(ready, known)
    return section


def _competing(table: ClassScoreTable, labels: list[Annotation], mode: str) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Which (proposal, class) answers stand in a mode, shape (N, K)."""
    if mode == MODES[0]:
        return np.ones(table.score_nk.shape, dtype=np.bool_)
    allowed = np.ones(len(table.names), dtype=np.bool_)
    if mode == MODES[1]:
        present = {label.class_name for label in labels}
        allowed = np.asarray([name in present for name in table.names])
    stand = np.zeros(table.score_nk.shape, dtype=np.bool_)
    if allowed.any() and len(stand):
        likeness = np.where(allowed, table.likeness_nk, -np.inf)
        stand[np.arange(len(stand)), likeness.argmax(axis=1)] = True
    return stand


def _scene(ready: Prepared, s: int, table: ClassScoreTable, mode: str) -> SceneBoxes:
    """Arrays of one scene in a mode."""
    n, k = np.nonzero(_competing(table, ready.labels[s], mode))
    return scene_boxes(
        ready.records[s].scene_id,
        ready.labels[s],
        table.boxes_scene_xyxy[n],
        table.score_nk[n, k],
        [table.names[index] for index in k.tolist()],
        ready.names,
    )


def _absent(ready: Prepared, tables: list[ClassScoreTable]) -> dict[str, Any]:
    """Accepted answers to the prompts of classes that a scene does not hold, for each such prompt and unit of ground."""
    names = tables[0].names
    answers_sk, absent_sk = np.zeros((len(tables), len(names))), np.zeros((len(tables), len(names)))
    competing_s = np.zeros(len(tables))
    for s, table in enumerate(tables):
        present = {label.class_name for label in ready.labels[s]}
        absent_k = np.asarray([name not in present for name in names])
        answers_sk[s] = table.accepted_nk.sum(axis=0) * absent_k
        absent_sk[s] = absent_k
        stand = _competing(table, ready.labels[s], MODES[2])
        competing_s[s] = float((table.accepted_nk & stand)[:, absent_k].sum())
    section: dict[str, Any] = {"prompts": int(absent_sk.sum()), "answers": int(answers_sk.sum())}
    quiet = (answers_sk == 0) & (absent_sk > 0)
    section["silent_share"] = ready.over_scenes.measure(
        "vocabulary.absent.silent_share", share_figure(quiet.sum(axis=1).astype(np.float64), absent_sk.sum(axis=1))
    )
    for unit, name in (("per_km2", "false_per_km2"), ("per_mpx", "false_per_mpx")):
        ground_s, told = ready.ground(unit)
        if not told.any():
            continue
        asked_s = ground_s * absent_sk.sum(axis=1)
        for label, counts in (("alone", answers_sk.sum(axis=1)), ("competing", competing_s)):
            path = f"vocabulary.absent.{label}.{name}"
            section.setdefault(label, {})[name] = ready.over_scenes.measure(path, share_figure(counts * told, asked_s))
    return section
