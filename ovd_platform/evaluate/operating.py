"""What was accepted: precision and recall per class, by object size and by context, and the means of regions' slices.

Belongs here: figures at the chosen thresholds. Does not belong here: ranked figures (`detection_figures`).
"""

from typing import Any

import numpy as np

from ovd_platform.evaluate.bootstrap import share_figure, with_binomial
from ovd_platform.evaluate.coco_match import SIZE_BINS_M
from ovd_platform.evaluate.match import FOUND, IGNORED, Matches
from ovd_platform.evaluate.prepared import Prepared
from ovd_platform.evaluate.scene_boxes import SIZE_BINS_PX, BoolArray


def operating_section(ready: Prepared) -> dict[str, Any]:
    """Precision and recall of what was accepted, per class, by object size and by context."""
    found_k = [found_by_accepted(match, kept) for match, kept in zip(ready.matches, ready.accepted, strict=True)]
    section: dict[str, Any] = {"per_class": {}, "recall_by_size": {}, "recall_by_size_m": {}, "recall_by_context": {}}
    for index, name in enumerate(ready.names):
        true_s, all_s = accepted_counts(ready, index)
        wanted = [(scene.truth_class_k == index) & ~scene.truth_ignored_k for scene in ready.scenes]
        row = share_row(ready, f"operating.per_class.{name}.recall", wanted, found_k)
        section["per_class"][name] = {
            "objects": row.pop("objects"),
            "accepted": int(all_s.sum()),
            "false_alarms": int((all_s - true_s).sum()),
            "recall": row,
            "precision": with_binomial(
                ready.over_scenes.measure(f"operating.per_class.{name}.precision", share_figure(true_s, all_s)),
                true_s.sum(),
                all_s.sum(),
            ),
        }
    sides = [np.sqrt(scene.truth_areas_k) for scene in ready.scenes]
    for label, low, high in SIZE_BINS_PX:
        wanted = [
            (side >= low) & (side < high) & ~scene.truth_ignored_k for side, scene in zip(sides, ready.scenes, strict=True)
        ]
        section["recall_by_size"][label] = share_row(ready, f"operating.recall_by_size.{label}", wanted, found_k)
    if any(gsd is not None for gsd in ready.gsd_m_s):
        metres = [side * (gsd if gsd is not None else np.nan) for side, gsd in zip(sides, ready.gsd_m_s, strict=True)]
        for label, low, high in SIZE_BINS_M:
            wanted = [(m >= low) & (m < high) & ~scene.truth_ignored_k for m, scene in zip(metres, ready.scenes, strict=True)]
            section["recall_by_size_m"][label] = share_row(ready, f"operating.recall_by_size_m.{label}", wanted, found_k)
    if ready.given.tags:
        _context_rows(ready, found_k, section["recall_by_context"])
    section["answers_flagged_odd"] = _odd_answers(ready)
    return section


def accepted_counts(ready: Prepared, index: int) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """True and all accepted answers of a class in each scene, shapes (S,), float64; ignored ones left out."""
    true_s, all_s = np.zeros(len(ready.scenes)), np.zeros(len(ready.scenes))
    for s, (scene, kept, match) in enumerate(zip(ready.scenes, ready.accepted, ready.matches, strict=True)):
        part = (scene.class_n == index) & kept & (match.state_n != IGNORED)
        true_s[s], all_s[s] = (match.state_n[part] == FOUND).sum(), part.sum()
    return true_s, all_s


def found_by_accepted(match: Matches, kept: BoolArray) -> BoolArray:
    """Which objects an accepted answer found, shape (K,)."""
    found: BoolArray = match.answer_of_k >= 0
    found[found] = kept[match.answer_of_k[found]]
    return found


def share_row(ready: Prepared, path: str, wanted: list[BoolArray], found_k: list[BoolArray]) -> dict[str, Any]:
    """Share of the wanted objects that were found, with interval and count."""
    found_s = np.asarray([float((w & f).sum()) for w, f in zip(wanted, found_k, strict=True)])
    all_s = np.asarray([float(w.sum()) for w in wanted])
    estimate: dict[str, Any] = ready.over_scenes.measure(path, share_figure(found_s, all_s))
    return with_binomial(estimate, found_s.sum(), all_s.sum()) | {"objects": int(all_s.sum())}


def _context_rows(ready: Prepared, found_k: list[BoolArray], rows: dict[str, Any]) -> None:
    """Recall by the context of the label, into ``rows``."""
    tags_s = []
    for scene, labels in zip(ready.scenes, ready.labels, strict=True):
        judged = [label for label in labels if label.class_name in ready.names or label.class_name == ""]
        tags = [ready.given.tags.get(label.annotation_id, "") for label in judged]
        tags_s.append(np.asarray(tags + [""] * (len(scene.truth_class_k) - len(tags)), dtype=np.str_))
    for tag in sorted({str(tag) for tags in tags_s for tag in tags} - {""}):
        wanted = [(tags == tag) & ~scene.truth_ignored_k for tags, scene in zip(tags_s, ready.scenes, strict=True)]
        rows[tag] = share_row(ready, f"operating.recall_by_context.{tag}", wanted, found_k)


def _odd_answers(ready: Prepared) -> dict[str, Any]:
    """Accepted answers in surroundings that are odd for their class, and how many of them are right."""
    true_s, all_s = np.zeros(len(ready.scenes)), np.zeros(len(ready.scenes))
    for s, (scene, kept, match) in enumerate(zip(ready.scenes, ready.accepted, ready.matches, strict=True)):
        found = ready.found(s)
        odd_n = np.fromiter((found[int(n)].odd_context for n in scene.found_by_n), dtype=np.bool_, count=len(scene.found_by_n))
        part = odd_n & kept & (match.state_n != IGNORED)
        true_s[s], all_s[s] = (match.state_n[part] == FOUND).sum(), part.sum()
    precision = ready.over_scenes.measure("operating.answers_flagged_odd.precision", share_figure(true_s, all_s))
    return {"accepted": int(all_s.sum()), "precision": with_binomial(precision, true_s.sum(), all_s.sum())}
