"""Rows of one scene and a vocabulary become detections. Belongs here: scoring and choosing; fitting is `calibrate`'s."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ovd_platform.detect.calibrate import DEFAULT_OBJECTNESS_WEIGHT, head_features, log_odds
from ovd_platform.detect.calibration import Calibration, ClassCalibration
from ovd_platform.detect.matching import without_duplicates
from ovd_platform.detect.prototypes import FloatArray
from ovd_platform.detect.vocabulary import Vocabulary
from ovd_platform.errors import InputError, VersionMismatchError
from ovd_platform.records.detection import Detection
from ovd_platform.records.scene import SceneRecord
from ovd_platform.stores.vector_rows import boxes_of

MIN_PROBABILITY = 0.01
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ClassScores:
    """Scores of all rows for all classes.

    Attributes:
        entries: What was fitted for each class; a class nobody calibrated has an abstaining entry.
        similarity_nk: Margin over background, shape (N, K), float32.
        score_nk: Rank values, comparable in a column only, shape (N, K), float32.
        probability_nk: Shape (N, K), float64, NaN where the class abstains.
    """

    entries: tuple[ClassCalibration, ...]
    similarity_nk: FloatArray
    score_nk: FloatArray
    probability_nk: NDArray[np.float64]


def score_rows(
    rows: pa.Table, vocabulary: Vocabulary, calibration: Calibration, text_vectors_kd: FloatArray | None
) -> ClassScores:
    """Score rows for every class of a vocabulary.

    A class that the calibration does not know, or knows with other words, is scored by its words alone and abstains: a new
    class needs no pixels and no fitting, it only has no probability yet.

    Args:
        rows: Proposal rows with vectors, N of them.
        vocabulary: The vocabulary, K classes.
        calibration: What was fitted.
        text_vectors_kd: Words of each class, shape (K, E), or None without a language tower.
    """
    entries = tuple(_entry(name, k, calibration, text_vectors_kd) for k, name in enumerate(vocabulary.names))
    visual_nd = calibration.space.visual(rows)
    odds_n = log_odds(rows["objectness"].to_numpy())
    text_nk = calibration.space.text_margins(rows, text_vectors_kd)
    if text_vectors_kd is None:
        text_nk = np.zeros((len(rows), len(entries)), dtype=np.float32)
    similarity_nk = np.zeros((len(rows), len(entries)), dtype=np.float32)
    score_nk = np.zeros_like(similarity_nk)
    probability_nk = np.full(similarity_nk.shape, np.nan)
    for k, entry in enumerate(entries):
        prototypes = calibration.prototypes.get(entry.name, np.zeros((0, visual_nd.shape[1]), dtype=np.float32))
        looks_n = calibration.space.visual_margin(visual_nd, prototypes)
        similarity_nk[:, k] = (1 - entry.visual_weight) * text_nk[:, k] + entry.visual_weight * looks_n
        score_nk[:, k] = similarity_nk[:, k]
        if entry.kind == "head":
            score_nk[:, k] = head_features(visual_nd, text_nk[:, k], looks_n) @ calibration.heads[entry.name]
        score_nk[:, k] += entry.objectness_weight * odds_n
        probability = entry.probability(score_nk[:, k])
        if probability is not None:
            probability_nk[:, k] = probability
    return ClassScores(entries, similarity_nk, score_nk, probability_nk)


def detect_scene(
    rows: pa.Table,
    scene: SceneRecord,
    vocabulary: Vocabulary,
    calibration: Calibration,
    text_vectors: FloatArray | None,
    release_version: str,
    *,
    min_probability: float = MIN_PROBABILITY,
) -> list[Detection]:
    """Detections of one scene: at most one class a proposal, duplicates removed, best first.

    A proposal takes the class with the highest calibrated probability. Only where that is not accepted may a class that
    abstains claim it, by the highest positive margin; it then carries no probability and is not accepted.

    Args:
        rows: Proposal rows of the scene with vectors.
        scene: The scene.
        vocabulary: The vocabulary, K classes.
        calibration: What was fitted for this encoder.
        text_vectors: Words of each class, shape (K, E), or None without a language tower.
        release_version: Written into every detection.
        min_probability: Calibrated answers below are left out, [0, 1].

    Raises:
        VersionMismatchError: If the rows come from another encoder version than the calibration.
        InputError: If rows of another scene are among them, or the words do not fit the vocabulary.
    """
    _check(rows, scene, vocabulary, calibration, text_vectors)
    if not len(rows):
        return []
    scores = score_rows(rows, vocabulary, calibration, text_vectors)
    class_n, accepted_n, keep_n = _choose(scores, min_probability)
    index = np.arange(len(rows))
    probability_n = np.nan_to_num(scores.probability_nk[index, class_n], nan=-1.0)
    rank = np.lexsort((-scores.similarity_nk[index, class_n], -probability_n, ~accepted_n))
    rank = rank[keep_n[rank]]
    rank = rank[without_duplicates(boxes_of(rows)[rank])]
    rings = _footprints(scene, boxes_of(rows)[rank])
    slim = rows.select([name for name in rows.column_names if name not in ("visual", "language")]).take(pa.array(rank))
    return [
        _detection(row, int(class_n[i]), bool(accepted_n[i]), int(i), scores, ring, scene, vocabulary, release_version)
        for row, i, ring in zip(slim.to_pylist(), rank, rings, strict=True)
    ]


def _check(
    rows: pa.Table, scene: SceneRecord, vocabulary: Vocabulary, calibration: Calibration, text_kd: FloatArray | None
) -> None:
    others = set(rows["scene_id"].to_pylist()) - {scene.scene_id}
    if others:
        raise InputError(
            f"Cannot detect in {scene.scene_id}: expected its rows only, got rows of {sorted(others)[:3]}. Filter by scene_id."
        )
    encoders = set(rows["model_version"].to_pylist())
    if calibration.encoder and encoders - {calibration.encoder}:
        raise VersionMismatchError(
            f"Cannot detect in {scene.scene_id}: expected vectors of encoder {calibration.encoder}, got "
            f"{sorted(map(str, encoders))}. "
            "Embed the scene with the release's encoder, or calibrate for this one."
        )
    if text_kd is not None and len(text_kd) != len(vocabulary.classes):
        raise InputError(
            f"Cannot detect in {scene.scene_id}: expected {len(vocabulary.classes)} class vectors, got {len(text_kd)}."
        )
    proposers = {row or "" for row in rows["proposer_version"].to_pylist()} if len(rows) else set()
    if calibration.scenes and proposers - set(calibration.proposer.split("+")):
        _LOG.warning(
            "%s: proposals of %s, but calibrated on %s; probabilities may be off",
            scene.scene_id,
            proposers,
            calibration.proposer,
        )


def _entry(name: str, k: int, calibration: Calibration, text_kd: FloatArray | None) -> ClassCalibration:
    known = calibration.entry(name)
    if known is not None:
        place = calibration.classes.index(known)
        before = calibration.text_vectors_kd[place]
        now = text_kd[k] if text_kd is not None else np.zeros(0, dtype=np.float32)
        if before.shape == now.shape and np.allclose(before, now, atol=1e-4):
            return known
        if text_kd is None:
            return ClassCalibration(
                name,
                "prototype",
                known.positives,
                known.negatives,
                1.0,
                DEFAULT_OBJECTNESS_WEIGHT,
                reason="abstains: no language tower now",
            )
    reason = "abstains: not calibrated with these words"
    examples = known.positives if known is not None else 0
    return ClassCalibration(name, "prototype", examples, 0, 0.5 if examples else 0.0, DEFAULT_OBJECTNESS_WEIGHT, reason=reason)


def _choose(scores: ClassScores, min_probability: float) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Class of each row, whether it is accepted, whether it is kept at all."""
    n = len(scores.score_nk)
    index = np.arange(n)
    thresholds = np.array([entry.threshold if entry.threshold is not None else np.inf for entry in scores.entries])
    probability = np.nan_to_num(scores.probability_nk, nan=-1.0)
    class_n = probability.argmax(axis=1)
    calibrated_n = ~np.isnan(scores.probability_nk[index, class_n])  # a saved class may have a threshold without a probability
    accepted_n = calibrated_n & (scores.score_nk[index, class_n] >= thresholds[class_n])
    keep_n = probability[index, class_n] >= min_probability
    abstaining = np.isnan(scores.probability_nk)
    margin = np.where(abstaining, scores.similarity_nk, -np.inf)
    claim_n = margin.argmax(axis=1)
    claimed = ~accepted_n & (margin[index, claim_n] > 0) & (probability[index, class_n] < 0.5)
    class_n = np.where(claimed, claim_n, class_n)
    return class_n, accepted_n & ~claimed, keep_n | claimed


def _footprints(scene: SceneRecord, boxes_n4: FloatArray) -> list[tuple[tuple[float, float], ...]]:
    """Closed counter-clockwise rings of boxes in degrees, as `geometry.footprint.box_footprint` makes one, for many at once."""
    from ovd_platform.geometry.footprint import has_lonlat, pixel_to_lonlat

    if not has_lonlat(scene) or not len(boxes_n4):
        return [()] * len(boxes_n4)
    corners = boxes_n4[:, [0, 1, 0, 3, 2, 3, 2, 1, 0, 1]].reshape(-1, 2).astype(np.float64)
    rings_n52 = np.asarray(pixel_to_lonlat(scene, corners)).reshape(len(boxes_n4), 5, 2)
    turned = rings_n52 - rings_n52[:, :1]
    turned[..., 0] = (turned[..., 0] + 180.0) % 360.0 - 180.0
    x, y = turned[..., 0], turned[..., 1]
    clockwise = (x[:, :-1] * y[:, 1:] - x[:, 1:] * y[:, :-1]).sum(axis=1) < 0
    rings_n52[clockwise] = rings_n52[clockwise, ::-1]
    finite = np.atleast_1d(np.isfinite(rings_n52).all(axis=(1, 2)))
    return [
        tuple((float(lon), float(lat)) for lon, lat in ring) if fine else ()
        for ring, fine in zip(rings_n52, finite, strict=True)
    ]


def _odd(context: float | None, usual: Sequence[float] | None) -> bool:
    return context is not None and usual is not None and not usual[0] <= context <= usual[1]


def _detection(
    row: dict[str, object],
    k: int,
    accepted: bool,
    i: int,
    scores: ClassScores,
    ring: tuple[tuple[float, float], ...],
    scene: SceneRecord,
    vocabulary: Vocabulary,
    release_version: str,
) -> Detection:
    entry = scores.entries[k]
    probability = float(scores.probability_nk[i, k])
    proposal_id = str(row.get("proposal_id") or row["key"])
    context = row.get("context")
    return Detection(
        detection_id=f"{proposal_id}:{entry.name}",
        proposal_id=proposal_id,
        tile_id=str(row["tile_id"] or ""),
        scene_id=scene.scene_id,
        scene_version=str(row["scene_version"] or scene.version),
        class_name=entry.name,
        box_scene_xyxy=tuple(float(row[name]) for name in ("x0", "y0", "x1", "y1")),  # type: ignore[arg-type]
        objectness=float(row["objectness"]),  # type: ignore[arg-type]
        similarity=float(scores.similarity_nk[i, k]),
        score=float(scores.score_nk[i, k]),
        probability=None if np.isnan(probability) else probability,
        accepted=accepted,
        footprint_lonlat=ring,
        odd_context=_odd(context if isinstance(context, float) else None, entry.context_range),
        proposer=str(row["proposer_version"] or ""),
        encoder=str(row["model_version"]),
        vocabulary=vocabulary.version,
        release=release_version,
        rendered=scene.rendered,
    )
