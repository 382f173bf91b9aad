"""Classes that come from a search: marks of a person instead of labelled scenes.

Belongs here: prototypes, heads and thresholds from answers marked right and wrong, and detection with them. Does not belong here: where
marks are kept (`flow.saved_classes`), labels of whole scenes (`calibrate`).

What was marked is known; of the rest of the corpus a sample stands for what is not meant, without the rows that are as alike to what
was marked right as that is to itself: nobody judged them. A probability therefore speaks of the marked answers together with that sample; precision is that of held-out folds.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ovd_platform.detect.calibrate import (
    DEFAULT_OBJECTNESS_WEIGHT,
    _assembled,
    _Evidence,
    _evidence,
    _fit_class,
    _one_version,
    _space,
    log_odds,
)
from ovd_platform.detect.calibration import Calibration, ClassCalibration
from ovd_platform.detect.detect import detect_scene
from ovd_platform.detect.matching import MATCH_IOU, NEGATIVE, overlap_pairs
from ovd_platform.detect.prototypes import FloatArray, PrototypeSpace
from ovd_platform.detect.reach import Reach
from ovd_platform.detect.vocabulary import Vocabulary
from ovd_platform.errors import InputError
from ovd_platform.records.detection import Detection
from ovd_platform.records.scene import SceneRecord
from ovd_platform.stores.vector_rows import boxes_of, centred_units, units

_TOO_ALIKE = 0.01
_SLACK = 0.25
_QUIET_SHARE = 0.999
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Marks:
    """What a person said of a class, in pixels of scenes, so that it outlives every encoder.

    Attributes:
        right: (scene_id, box) of objects of the class.
        wrong: (scene_id, box) of what is not of the class.
    """

    right: tuple[tuple[str, Box], ...]
    wrong: tuple[tuple[str, Box], ...] = ()


def marked_rows(rows: pa.Table, marks: Collection[tuple[str, Box]]) -> NDArray[np.int64]:
    """Row of the proposal that each mark means: the one that overlaps it most, with an IoU of at least 0.5.

    Args:
        rows: Proposal rows of all scenes the marks lie in.
        marks: (scene_id, box).

    Returns:
        Distinct row numbers, rising; marks that no proposal matches are left out.
    """
    scene_n = np.array(rows["scene_id"].to_pylist(), dtype=object)
    boxes_n4 = boxes_of(rows)
    found: set[int] = set()
    for scene_id in {scene for scene, _ in marks}:
        members = np.flatnonzero(scene_n == scene_id)
        targets = np.array([box for scene, box in marks if scene == scene_id], dtype=np.float64)
        i, j, iou = overlap_pairs(boxes_n4[members], targets)
        for mark in range(len(targets)):
            mine = np.flatnonzero((j == mark) & (iou >= MATCH_IOU))
            if len(mine):
                found.add(int(members[i[mine[np.argmax(iou[mine])]]]))
    return np.array(sorted(found), dtype=np.int64)


def fit_marked(
    rows: pa.Table,
    marks: Mapping[str, Marks],
    vocabulary: Vocabulary,
    text_vectors_kd: FloatArray | None,
    background_vectors: FloatArray | None,
    *,
    chips: Mapping[str, FloatArray] | None = None,
    wordless: Collection[str] = (),
    seed: int = 0,
) -> Calibration:
    """Fit the classes of a vocabulary on marks.

    Args:
        rows: Proposal rows with vectors of the scenes that hold marks, and of others that stand for the corpus.
        marks: Marks by class name; a class without any is scored by its words alone.
        vocabulary: The classes, K of them.
        text_vectors_kd: Words of each class, shape (K, E), or None without a language tower.
        background_vectors: Background words, shape (B, E), or None.
        chips: Visual vectors of example pictures by class name, each (N, D); they join the prototypes of classes with too few marks to fit.
        wordless: Classes that were saved without words: their name says nothing.
        seed: Of folds, k-means and samples.

    Returns:
        The calibration. A class with fewer than 10 marked proposals, or whose marks do not reach the target precision on held-out
        folds, has no probability; its threshold lies above 99.9 % of what was marked wrong and of the sample.
    """
    versions = _one_version(rows)
    given = [marks.get(name, Marks(())) for name in vocabulary.names]
    judged = [(marked_rows(rows, own.right), marked_rows(rows, own.wrong)) for own in given]
    centred = _space(rows, np.full(len(rows), NEGATIVE), text_vectors_kd, background_vectors, seed)
    labels = [_labels(rows, centred, right, wrong, k) for k, (right, wrong) in enumerate(judged)]
    meant_n = np.any([label_n != NEGATIVE for label_n in labels], axis=0)  # what is looked for is no background
    space = _space(rows, np.where(meant_n, 0, NEGATIVE), text_vectors_kd, background_vectors, seed)
    entries, prototypes, heads = [], {}, {}
    for k, name in enumerate(vocabulary.names):
        label_n = labels[k]
        known = np.flatnonzero(label_n != _LEFT_OUT)
        taken = rows.take(pa.array(known))
        evidence = _evidence(taken, label_n[known], np.zeros(len(known)), space, text_vectors_kd)
        has_words = text_vectors_kd is not None and name not in wordless
        entry, prototypes[name], head = _fit_class(name, k, evidence, space, vocabulary.target_precision, has_words, seed)
        if entry.threshold is None:  # a person who saves a class wants answers: the careful threshold instead of none
            entry = _without_probability(entry)
        elif head is not None:
            heads[name] = head
        if entry.slope is None:
            shown = (chips or {}).get(name)
            if shown is not None and len(shown):
                mean = space.visual_mean_d if len(space.visual_mean_d) else None
                prototypes[name] = np.concatenate([prototypes[name], centred_units(units(shown), mean)])
            entry = _watched(entry, evidence, space, prototypes[name], k, has_words=has_words)
        entries.append(entry)
    scenes = tuple(sorted(set(rows["scene_id"].to_pylist())))
    return _assembled(entries, space, text_vectors_kd, prototypes, heads, vocabulary, versions, scenes, Reach.of(rows))


_LEFT_OUT = -9


def _labels(
    rows: pa.Table, space: PrototypeSpace, right: NDArray[np.int64], wrong: NDArray[np.int64], k: int
) -> NDArray[np.int64]:
    """Class number of what was marked right, `NEGATIVE` for the others; unmarked look-alikes are left out, nobody judged them."""
    label_n = np.full(len(rows), NEGATIVE, dtype=np.int64)
    if len(right):
        visual_nd = space.visual(rows)
        near_n = (visual_nd @ visual_nd[right].T).max(axis=1)
        label_n[near_n > _too_alike(visual_nd[right], near_n)] = _LEFT_OUT
    label_n[wrong] = NEGATIVE
    label_n[right] = k
    return label_n


def _too_alike(right_nd: FloatArray, near_n: FloatArray) -> float:
    """Similarity above which an unmarked row may well be of the class: about as alike as the marked ones are to each other.

    That is their usual nearest similarity less a quarter of the way down to a typical row; at least the 1 % most alike rows lie above it,
    and at most half of all rows.
    """
    typical = float(np.median(near_n))
    level = float(np.quantile(near_n, 1 - _TOO_ALIKE))
    if len(right_nd) > 1:
        among_nn = right_nd @ right_nd.T
        np.fill_diagonal(among_nn, -np.inf)
        own = float(np.median(among_nn.max(axis=1)))
        level = min(level, own - _SLACK * (own - typical))
    return max(level, typical)


def _without_probability(entry: ClassCalibration) -> ClassCalibration:
    return replace(
        entry, kind="prototype", objectness_weight=DEFAULT_OBJECTNESS_WEIGHT, slope=None, intercept=None, beta=None, curve=()
    )


def _watched(
    entry: ClassCalibration, evidence: _Evidence, space: PrototypeSpace, prototypes_pd: FloatArray, k: int, *, has_words: bool
) -> ClassCalibration:
    """A class with too few marks for a probability gets a threshold that little of the corpus passes."""
    weight = entry.visual_weight if has_words and len(prototypes_pd) else float(len(prototypes_pd) > 0 or not has_words)
    text_n = evidence.text_margins_nk[:, k] if has_words else np.zeros(len(evidence.label_n), dtype=np.float32)
    looks_n = space.visual_margin(evidence.visual_nd, prototypes_pd)
    score_n = (1 - weight) * text_n + weight * looks_n + entry.objectness_weight * log_odds(evidence.objectness_n)
    others = score_n[evidence.label_n != k]
    threshold = float(np.quantile(others, _QUIET_SHARE)) if len(others) else None
    return replace(entry, visual_weight=weight, threshold=threshold)


def detect_saved(
    rows: pa.Table,
    scene: SceneRecord,
    vocabulary: Vocabulary,
    calibration: Calibration,
    text_vectors: FloatArray | None,
    release: str,
) -> list[Detection]:
    """Objects of saved classes in one scene; an object may belong to several.

    Args:
        rows: Proposal rows of the scene with vectors.
        scene: The scene.
        vocabulary: The saved classes, K of them.
        calibration: What `fit_marked` made of them.
        text_vectors: Words of each class, shape (K, E), or None.
        release: Written into every detection.

    Raises:
        VersionMismatchError: If the rows come from another encoder version than the calibration.
        InputError: If the vocabulary holds a class the calibration does not know.
    """
    found: list[Detection] = []
    for k, entry in enumerate(vocabulary.classes):
        known = calibration.entry(entry.name)
        if known is None:
            raise InputError(
                f"Cannot look for {entry.name!r} in {scene.scene_id}: expected a fitted class, got {[c.name for c in calibration.classes]}. "
                "Save the class again."
            )
        one = replace(vocabulary, classes=(entry,))
        text = text_vectors[k : k + 1] if text_vectors is not None else None
        for detection in detect_scene(rows, scene, one, calibration, text, release):
            uncalibrated = known.slope is None and known.threshold is not None and detection.score >= known.threshold
            found.append(replace(detection, accepted=True) if uncalibrated else detection)
    return found
