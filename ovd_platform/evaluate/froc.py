"""Recall at a fixed rate of false alarms over ground: what an operator feels.

Belongs here: the exposure (how much ground was looked at), the curve, recall at given rates. Does not belong here: matching.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import ShapeError
from ovd_platform.evaluate.ranking import Ranking
from ovd_platform.evaluate.scene_boxes import FloatArray
from ovd_platform.records.scene import SceneRecord

RATES: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0)
Unit = Literal["km2", "mpx"]


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much was looked at in one scene.

    Attributes:
        scene_id: The scene.
        km2: Valid ground in square kilometres without ignored regions; None without georeference and sample distance.
        mpx: Valid pixels without ignored regions, 10^6 px.
        how: What the area rests on: ``geodesic footprint``, ``gsd``, or ``none``.
    """

    scene_id: str
    km2: float | None
    mpx: float
    how: Literal["geodesic footprint", "gsd", "none"]


def scene_exposure(record: SceneRecord, valid_fraction: float = 1.0, unjudged_px: float = 0.0) -> Exposure:
    """Valid, not ignored area of a scene.

    Args:
        record: The scene; its footprint gives a geodesic area on the ellipsoid, never that of a map projection.
        valid_fraction: Share of pixels that hold data, [0, 1].
        unjudged_px: Valid pixels that are not judged (see `unjudged.taken_off_px`), px^2.

    Returns:
        New exposure; ``km2`` is None where nothing ties pixels to metres.
    """
    whole_px = float(record.width_px * record.height_px)
    share = max(0.0, valid_fraction - unjudged_px / whole_px)
    mpx = whole_px / 1e6 * share
    if len(record.footprint_lonlat) >= 3:
        from ovd_platform.geometry.footprint import area_km2

        return Exposure(record.scene_id, float(area_km2(record.footprint_lonlat)) * share, mpx, "geodesic footprint")
    if record.gsd_m is not None:
        return Exposure(record.scene_id, whole_px * record.gsd_m**2 / 1e6 * share, mpx, "gsd")
    return Exposure(record.scene_id, None, mpx, "none")


@dataclass(frozen=True, slots=True, eq=False)
class FrocCurve:
    """Free-response curve.

    Attributes:
        rate_m: False alarms a unit of ground, rising, shape (M,).
        recall_m: Recall at that rate, shape (M,).
        threshold_m: Least score let in, falling, shape (M,); the first entry lets nothing in (infinity).
    """

    rate_m: FloatArray
    recall_m: FloatArray
    threshold_m: FloatArray


def froc_curve(ranking: Ranking, exposure_s: NDArray[np.float64], weights_s: NDArray[np.float64] | None = None) -> FrocCurve:
    """Recall against false alarms per unit of ground, one point a distinct score.

    Answers of equal score are let in together: no order inside a tie is better than another.

    Args:
        ranking: Answers of one class over scenes.
        exposure_s: Ground looked at in each scene, shape (S,), km2 or Mpx; scenes without objects belong to it.
        weights_s: How often each scene counts, shape (S,); ones if None.

    Raises:
        ShapeError: If exposure and scenes disagree.
    """
    _check_exposure(ranking, exposure_s)
    weights = ranking.unit_s if weights_s is None else np.asarray(weights_s, dtype=np.float64)
    weight_n = weights[ranking.scene_n]
    found_n = np.cumsum(weight_n * ranking.true_n)
    false_n = np.cumsum(weight_n * ~ranking.true_n)
    last_n = np.append(ranking.scores_n[1:] != ranking.scores_n[:-1], True)[: len(found_n)]
    objects, ground = float(weights @ ranking.truth_s), float(weights @ exposure_s)
    recall = np.append(0.0, found_n[last_n]) / objects if objects > 0 else np.full(int(last_n.sum()) + 1, np.nan)
    rate = np.append(0.0, false_n[last_n]) / ground if ground > 0 else np.full(len(recall), np.nan)
    return FrocCurve(rate, recall, np.append(np.inf, ranking.scores_n[last_n]))


def _check_exposure(ranking: Ranking, exposure_s: NDArray[np.float64]) -> None:
    if exposure_s.shape != ranking.truth_s.shape:
        raise ShapeError(
            f"Cannot draw a FROC of {len(ranking.truth_s)} scenes: expected one area a scene, got {exposure_s.shape}. "
            "Pass the exposure of every scene in the ranking's order."
        )


def recall_at_rates(
    ranking: Ranking,
    exposure_s: NDArray[np.float64],
    rates: Sequence[float] = RATES,
    weights_s: NDArray[np.float64] | None = None,
) -> FloatArray:
    """Best recall with at most the given false alarms a unit of ground, shape (len(rates),); NaN without objects or ground.

    A rate below one alarm on the whole ground looked at means "no false alarm at all": see `is_resolved`.
    """
    weights = ranking.unit_s if weights_s is None else np.asarray(weights_s, dtype=np.float64)
    return np.asarray(recalls_at_rates(ranking, exposure_s, rates, weights[None])[0], dtype=np.float64)


def recalls_at_rates(
    ranking: Ranking, exposure_s: NDArray[np.float64], rates: Sequence[float], weights_bs: NDArray[np.float64]
) -> FloatArray:
    """`recall_at_rates` under each of many weightings, shape (B, len(rates)).

    Raises:
        ShapeError: If exposure and scenes disagree.
    """
    from ovd_platform.evaluate.ranking_kernel import weighted_recall

    _check_exposure(ranking, exposure_s)
    order = np.argsort(rates, kind="stable")
    rising = np.asarray(rates, dtype=np.float64)[order]
    ground = np.ascontiguousarray(exposure_s, dtype=np.float64)
    weights = np.ascontiguousarray(weights_bs, dtype=np.float64)
    found = weighted_recall(ranking.scene_n, ranking.scores_n, ranking.true_n, ranking.truth_s, ground, weights, rising)
    values = np.empty_like(found)
    values[:, order] = found
    return np.asarray(values, dtype=np.float64)


def is_resolved(rate: float, ground: float) -> bool:
    """Whether the ground looked at is large enough to tell the rate from none: at least one alarm is allowed on it."""
    return rate * ground >= 1.0


def thinned(curve: FrocCurve, points: int = 160) -> list[tuple[float, float]]:
    """The curve's (rate, recall) for drawing: the ends and at most ``points`` steps, evenly spaced in the ranking."""
    keep = np.unique(np.linspace(0, len(curve.rate_m) - 1, min(points, len(curve.rate_m))).round().astype(int))
    return [
        (round(float(curve.rate_m[i]), 6), round(float(curve.recall_m[i]), 6)) for i in keep if np.isfinite(curve.recall_m[i])
    ]
