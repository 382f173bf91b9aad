"""Fitting of scores, probabilities and thresholds on labelled scenes.

Belongs here: which scorer a class gets and what its scores mean. Does not belong here: the stored result (`calibration`).

Every figure comes from folds by scene that were held out: neither prototypes nor heads have seen the rows they are judged on.
A class with fewer than `MIN_POSITIVES` matched proposals abstains: it gets a similarity but no probability and no threshold.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ovd_platform.detect.calibration import Calibration, ClassCalibration
from ovd_platform.detect.matching import DIFFICULT, UNLABELLED, label_proposals, without_duplicates
from ovd_platform.detect.prototypes import FloatArray, PrototypeSpace, background_prototypes, visual_prototypes
from ovd_platform.detect.reach import Reach
from ovd_platform.detect.vocabulary import Vocabulary
from ovd_platform.detect.worth import judge
from ovd_platform.errors import ShapeError, VersionMismatchError
from ovd_platform.records.annotation import Annotation
from ovd_platform.stores.vector_rows import boxes_of, centred_units, vectors_of

MIN_POSITIVES = 10
HEAD_POSITIVES = 20
HEAD_STRENGTHS = (0.003, 0.03)
HEAD_NEGATIVES = 4000
FOLDS = 4
PARTIAL_IOU = 0.3
VISUAL_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
DEFAULT_OBJECTNESS_WEIGHT = 0.005
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Evidence:
    """Rows of the labelled scenes as arrays."""

    visual_nd: FloatArray
    text_margins_nk: FloatArray
    objectness_n: FloatArray
    boxes_n4: FloatArray
    scene_n: NDArray[np.int64]
    label_n: NDArray[np.int64]
    iou_n: NDArray[np.float64]
    context_n: FloatArray


def fit_calibration(
    rows: pa.Table,
    annotations: Sequence[Annotation],
    vocabulary: Vocabulary,
    text_vectors_kd: FloatArray | None,
    background_vectors: FloatArray | None,
    *,
    labelled_scenes: Collection[str] | None = None,
    seed: int = 0,
) -> Calibration:
    """Fit scorers, probabilities and thresholds of all classes of a vocabulary.

    Args:
        rows: Proposal rows with vectors. Those of labelled scenes calibrate; the others only help to find the corpus mean.
        annotations: Labels. Names are folded by the vocabulary; ``synthetic`` and ``pseudo`` ones are left out.
        vocabulary: The vocabulary, K classes.
        text_vectors_kd: Words of each class, shape (K, E), from `prototypes.vocabulary_vectors`; None without a language tower.
        background_vectors: Background words, shape (B, E), or None.
        labelled_scenes: Scenes that are labelled completely; None takes those with at least one label. A proposal there that
            matches no label with an IoU of 0.5 or more is a negative.
        seed: Of folds, k-means and samples.

    Returns:
        The calibration; without any label every class abstains and is scored by its words alone.

    Raises:
        VersionMismatchError: If the rows come from several encoder versions.
        ShapeError: If the words do not fit the vocabulary.
    """
    versions = _one_version(rows)
    if text_vectors_kd is not None and len(text_vectors_kd) != len(vocabulary.classes):
        raise ShapeError(f"Cannot calibrate: expected {len(vocabulary.classes)} class vectors, got {len(text_vectors_kd)}.")
    trusted = [
        replace(annotation, class_name=vocabulary.resolve(annotation.class_name) or "")
        for annotation in annotations
        if annotation.source in ("human", "rendered") and len(annotation.corners_scene_xy) > 1
    ]
    scenes = set(labelled_scenes) if labelled_scenes is not None else {annotation.scene_id for annotation in trusted}
    row_scenes = rows["scene_id"].to_pylist()
    class_of = {name: k for k, name in enumerate(vocabulary.names)}
    label_n, iou_n = label_proposals(boxes_of(rows), row_scenes, trusted, class_of, scenes)
    space = _space(rows, label_n, text_vectors_kd, background_vectors, seed)
    known = np.flatnonzero((label_n != UNLABELLED) & (label_n != DIFFICULT))
    evidence = _evidence(rows.take(pa.array(known)), label_n[known], iou_n[known], space, text_vectors_kd)
    entries, prototypes, heads = [], {}, {}
    for k, name in enumerate(vocabulary.names):
        entry, prototypes[name], head = _fit_class(
            name, k, evidence, space, vocabulary.target_precision, text_vectors_kd is not None, seed
        )
        entries.append(entry)
        if head is not None:
            heads[name] = head
        _LOG.info(
            "calibrated %s: %d examples, %s, threshold %s %s", name, entry.positives, entry.kind, entry.threshold, entry.reason
        )
    used = tuple(sorted(scenes & set(row_scenes)))
    judged = rows.take(pa.array(np.flatnonzero(label_n != UNLABELLED)))
    return _assembled(entries, space, text_vectors_kd, prototypes, heads, vocabulary, versions, used, Reach.of(judged))


def _assembled(
    entries: Sequence[ClassCalibration],
    space: PrototypeSpace,
    text_vectors_kd: FloatArray | None,
    prototypes: dict[str, FloatArray],
    heads: dict[str, FloatArray],
    vocabulary: Vocabulary,
    versions: tuple[str, str],
    scenes: tuple[str, ...],
    reach: Reach,
) -> Calibration:
    """The calibration of fitted classes; ``versions`` are those of encoder and proposer."""
    text = text_vectors_kd if text_vectors_kd is not None else np.zeros((len(vocabulary.classes), 0), dtype=np.float32)
    target = vocabulary.target_precision
    return Calibration(tuple(entries), space, text, prototypes, heads, *versions, vocabulary.version, target, scenes, reach)


def head_features(visual_nd: FloatArray, text_margin_n: FloatArray, visual_margin_n: FloatArray) -> FloatArray:
    """Columns a head looks at: [visual sqrt(D), text margin, visual margin, 1], shape (N, D + 3)."""
    n, dim = visual_nd.shape
    extra = np.stack([text_margin_n, visual_margin_n, np.ones(n, dtype=np.float32)], axis=1)
    return np.concatenate([visual_nd * np.sqrt(dim, dtype=np.float32), extra], axis=1).astype(np.float32)


def log_odds(objectness_n: NDArray[np.floating]) -> FloatArray:
    """Log-odds of objectness, shape (N,), float32, within +-9.2; evidence of this kind adds up."""
    inside = np.clip(objectness_n.astype(np.float64), 1e-4, 1 - 1e-4)
    return np.log(inside / (1 - inside)).astype(np.float32)


def _one_version(rows: pa.Table) -> tuple[str, str]:
    encoders = sorted(set(rows["model_version"].to_pylist()))
    if len(encoders) > 1:
        raise VersionMismatchError(f"Cannot calibrate: expected rows of one encoder version, got {encoders}. Read one table.")
    proposers = sorted({proposer or "" for proposer in rows["proposer_version"].to_pylist()})
    return encoders[0] if encoders else "", "+".join(proposers)


def _space(
    rows: pa.Table, label_n: NDArray[np.int64], text_kd: FloatArray | None, background_bd: FloatArray | None, seed: int
) -> PrototypeSpace:
    nothing = np.zeros(0, dtype=np.float32)
    visual_nd = vectors_of(rows, "visual")
    visual_mean = visual_nd.mean(axis=0) if len(rows) > 1 else nothing
    has_words = "language" in rows.column_names and text_kd is not None
    language_mean = vectors_of(rows, "language").mean(axis=0) if has_words and len(rows) > 1 else nothing
    words_bd = (
        background_bd
        if background_bd is not None
        else np.zeros((0, text_kd.shape[1] if text_kd is not None else 0), np.float32)
    )
    text_mean = nothing
    if text_kd is not None and len(text_kd) + len(words_bd) > 2:
        text_mean = np.concatenate([text_kd, words_bd]).mean(axis=0).astype(np.float32)
    quiet = np.flatnonzero(label_n < 0)
    looks = centred_units(visual_nd[quiet], visual_mean if len(visual_mean) else None)
    background = background_prototypes(looks, rows["objectness"].to_numpy()[quiet].astype(np.float32), seed)
    return PrototypeSpace(visual_mean, language_mean, text_mean, words_bd.astype(np.float32), background)


def _evidence(
    rows: pa.Table, label_n: NDArray[np.int64], iou_n: NDArray[np.float64], space: PrototypeSpace, text_kd: FloatArray | None
) -> _Evidence:
    scene_n = np.unique(np.array(rows["scene_id"].to_pylist(), dtype=str), return_inverse=True)[1].astype(np.int64)
    context = np.full(len(rows), np.nan, dtype=np.float32)
    if "context" in rows.column_names:
        context = rows["context"].to_numpy().astype(np.float32)
    objectness = rows["objectness"].to_numpy().astype(np.float32)
    return _Evidence(
        space.visual(rows), space.text_margins(rows, text_kd), objectness, boxes_of(rows), scene_n, label_n, iou_n, context
    )


def _fit_class(
    name: str, k: int, evidence: _Evidence, space: PrototypeSpace, target: float, has_words: bool, seed: int
) -> tuple[ClassCalibration, FloatArray, FloatArray | None]:
    true_n = evidence.label_n == k
    positives, negatives = int(true_n.sum()), int((~true_n).sum())
    prototypes = visual_prototypes(evidence.visual_nd[true_n], seed)
    default_weight = (0.5 if positives else 0.0) if has_words else 1.0
    entry = ClassCalibration(name, "prototype", positives, negatives, default_weight, DEFAULT_OBJECTNESS_WEIGHT)
    if positives < MIN_POSITIVES or negatives < MIN_POSITIVES:
        reason = f"abstains: {positives} matched examples and {negatives} negatives, expected at least {MIN_POSITIVES} of each"
        return replace(entry, reason=reason), prototypes, None
    text_n = evidence.text_margins_nk[:, k] if has_words else np.zeros(len(true_n), dtype=np.float32)
    folds = _folds(true_n, evidence.scene_n, seed)
    visual_n = np.zeros(len(true_n), dtype=np.float32)
    seen_by_fold = [visual_prototypes(evidence.visual_nd[train[true_n[train]]], seed) for train, _ in folds]
    for (_, test), seen in zip(folds, seen_by_fold, strict=True):
        visual_n[test] = space.visual_margin(evidence.visual_nd[test], seen)
    weight, margin_n = _fuse(text_n, visual_n, true_n, has_words)
    odds_n = log_odds(evidence.objectness_n)
    objectness_weight, score_n, best_ap = _with_objectness(margin_n, odds_n, true_n, folds)
    entry = replace(entry, visual_weight=weight, objectness_weight=objectness_weight, average_precision=best_ap)
    head = None
    if positives >= HEAD_POSITIVES:
        strength, head_score_n = _try_heads(evidence, space, text_n, true_n, folds, seen_by_fold, seed)
        objectness_weight, head_score_n, head_ap = _with_objectness(head_score_n, odds_n, true_n, folds)
        if head_ap > best_ap:
            head = _head(evidence, space, text_n, true_n, np.arange(len(true_n)), prototypes, strength, seed)
            score_n = head_score_n
            entry = replace(entry, kind="head", objectness_weight=objectness_weight, average_precision=head_ap)
    return _probability(entry, evidence, score_n, true_n, target), prototypes, head


def _folds(
    true_n: NDArray[np.bool_], scene_n: NDArray[np.int64], seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    holders = len(np.unique(scene_n[true_n]))
    if holders >= 2:
        grouped = StratifiedGroupKFold(min(FOLDS, holders), shuffle=True, random_state=seed)
        folds = list(grouped.split(true_n, true_n, scene_n))
        if all(true_n[train].any() and not true_n[train].all() for train, _ in folds):
            return folds
    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(true_n, true_n))


def _fuse(text_n: FloatArray, visual_n: FloatArray, true_n: NDArray[np.bool_], has_words: bool) -> tuple[float, FloatArray]:
    """Weight of looks against words with the best average precision; ties go to the more even one."""
    from sklearn.metrics import average_precision_score

    best: tuple[float, FloatArray, float] | None = None
    for weight in sorted(VISUAL_WEIGHTS if has_words else (1.0,), key=lambda value: abs(value - 0.5)):
        score_n = ((1 - weight) * text_n + weight * visual_n).astype(np.float32)
        precision = float(average_precision_score(true_n, score_n))
        if best is None or precision > best[2] + 1e-6:
            best = (weight, score_n, precision)
    assert best is not None
    return best[0], best[1]


def _with_objectness(
    score_n: FloatArray,
    odds_n: FloatArray,
    true_n: NDArray[np.bool_],
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> tuple[float, FloatArray, float]:
    """Weight of the log-odds of objectness beside a score, the sum, and its average precision on held-out folds.

    The two are fused by a logistic regression; the weight is 0 where that does not rank better than the score alone.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score

    alone = float(average_precision_score(true_n, score_n))
    spread = max(float(score_n.std()), 1e-6)
    both_n2 = np.stack([score_n / spread, odds_n], axis=1)
    fused_n = np.zeros(len(score_n))
    for train, test in folds:
        fused_n[test] = LogisticRegression(C=100.0).fit(both_n2[train], true_n[train]).decision_function(both_n2[test])
    precision = float(average_precision_score(true_n, fused_n))
    by_score, by_odds = LogisticRegression(C=100.0).fit(both_n2, true_n).coef_[0]
    if precision <= alone or by_score <= 0 or by_odds <= 0:
        return 0.0, score_n, alone
    weight = float(by_odds / (by_score / spread))
    return weight, (score_n + weight * odds_n).astype(np.float32), precision


def _try_heads(
    evidence: _Evidence,
    space: PrototypeSpace,
    text_n: FloatArray,
    true_n: NDArray[np.bool_],
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    seen_by_fold: list[FloatArray],
    seed: int,
) -> tuple[float, FloatArray]:
    """Strength of the better head and its scores on held-out folds."""
    from sklearn.metrics import average_precision_score

    best = (HEAD_STRENGTHS[0], np.zeros(len(true_n), dtype=np.float32), -1.0)
    for strength in HEAD_STRENGTHS:
        score_n = np.zeros(len(true_n), dtype=np.float32)
        for (train, test), seen in zip(folds, seen_by_fold, strict=True):
            head = _head(evidence, space, text_n, true_n, train, seen, strength, seed)
            looks = space.visual_margin(evidence.visual_nd[test], seen)
            score_n[test] = head_features(evidence.visual_nd[test], text_n[test], looks) @ head
        precision = float(average_precision_score(true_n, score_n))
        if precision > best[2]:
            best = (strength, score_n, precision)
    return best[0], best[1]


def _head(
    evidence: _Evidence,
    space: PrototypeSpace,
    text_n: FloatArray,
    true_n: NDArray[np.bool_],
    train: NDArray[np.int64],
    prototypes_pd: FloatArray,
    strength: float,
    seed: int,
) -> FloatArray:
    """Coefficients of a logistic regression; boxes that overlap a label only in part are left out of its training."""
    from sklearn.linear_model import LogisticRegression

    positive = train[true_n[train]]
    negative = train[~true_n[train] & ~((evidence.iou_n[train] >= PARTIAL_IOU) & (evidence.label_n[train] < 0))]
    negative = np.sort(np.random.default_rng(seed).permutation(negative)[:HEAD_NEGATIVES])
    chosen = np.concatenate([positive, negative])
    looks = space.visual_margin(evidence.visual_nd[chosen], prototypes_pd)
    features = head_features(evidence.visual_nd[chosen], text_n[chosen], looks)
    model = LogisticRegression(C=strength, class_weight="balanced", fit_intercept=True, solver="newton-cholesky")
    model.fit(features[:, :-1], true_n[chosen])
    return np.append(model.coef_[0], model.intercept_[0]).astype(np.float32)


def _probability(
    entry: ClassCalibration, evidence: _Evidence, score_n: FloatArray, true_n: NDArray[np.bool_], target: float
) -> ClassCalibration:
    worth = judge(score_n, true_n, target, shown=_shown(evidence, score_n), scene_n=evidence.scene_n)
    entry = replace(entry, reason=worth.reason)
    if worth.probability is None:
        return entry
    return replace(
        entry,
        slope=worth.probability.slope,
        intercept=worth.probability.intercept,
        beta=worth.probability.beta,
        curve=worth.probability.curve,
        context_range=_usual_context(evidence, true_n),
        threshold=worth.threshold,
        precision=worth.precision,
        precision_low=worth.precision_low,
        precision_high=worth.precision_high,
        recall=worth.recall,
    )


def _shown(evidence: _Evidence, score_n: FloatArray) -> NDArray[np.int64]:
    """Rows that remain once worse duplicates of a better box are gone; precision is measured on these, as users see them."""
    order = np.argsort(-score_n, kind="stable")
    width = float(evidence.boxes_n4[:, 2].max() - evidence.boxes_n4[:, 0].min()) + 1.0
    apart = evidence.boxes_n4.astype(np.float64) + (evidence.scene_n * width)[:, None] * np.array([1.0, 0.0, 1.0, 0.0])
    return order[without_duplicates(apart[order])]


def _usual_context(evidence: _Evidence, true_n: NDArray[np.bool_]) -> tuple[float, float] | None:
    known = evidence.context_n[true_n & np.isfinite(evidence.context_n)]
    if len(known) < MIN_POSITIVES:
        return None
    low, high = np.quantile(known, [0.02, 0.98])
    return max(0.0, float(low) - 0.2), min(1.0, float(high) + 0.2)
