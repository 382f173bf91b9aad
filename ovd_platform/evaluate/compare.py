"""Two evaluations of the same scenes, compared in pairs.

Belongs here: differences with intervals. Does not belong here: deciding what follows (`gate`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ovd_platform.errors import InputError
from ovd_platform.evaluate.bootstrap import interval, plain

SCHEMA = "ovd-comparison/2"
HEADLINE = (
    "detection.ap",
    "detection.ap50",
    "class_agnostic.ap50",
    "froc.per_km2.mean.at_1",
    "froc.per_mpx.mean.at_1",
    "proposals.recall.all.at_100",
    "retrieval.mean_ap",
    "calibration.ece",
)
SMALLER_IS_BETTER = ("ece", "per_1000", "per_ground", "brier", "false_per_km2", "false_per_mpx")


def metric_at(stats: Mapping[str, Any], path: str) -> float | None:
    """The value at a dotted path, for example ``detection.ap50`` or ``froc.per_km2.mean.at_1``.

    Args:
        stats: Made by `stats.evaluate`.
        path: Keys joined by dots; keys may themselves hold dots (class names, rates).

    Returns:
        The number (of an estimate its ``value``), or None where there is none.
    """
    found = _walk(stats, path.split("."))
    if isinstance(found, Mapping):
        found = found.get("value")
    return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None


def _walk(node: Any, parts: list[str]) -> Any:
    """Follow the path, trying the shortest key first."""
    if not parts:
        return node
    if not isinstance(node, Mapping):
        return None
    for length in range(1, len(parts) + 1):
        key = ".".join(parts[:length])
        if key in node:
            found = _walk(node[key], parts[length:])
            if found is not None:
                return found
    return None


def require_comparable(a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    """Check that two evaluations judged the same labels in the same scenes under the same protocol.

    Raises:
        InputError: If they did not; the message names what differs.
    """
    for what, path in (
        ("schema", ("schema",)),
        ("labels and scenes", ("header", "truth_hash")),
        ("protocol", ("header", "protocol")),
    ):
        left, right = _walk(a, list(path)), _walk(b, list(path))
        if left != right:
            names = (_walk(a, ["header", "release"]), _walk(b, ["header", "release"]))
            raise InputError(
                f"Cannot compare release {names[0]} with {names[1]}: expected the same {what}, got {left} and "
                f"{right}. Evaluate both on the same scenes, labels and seed."
            )


def compare_stats(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Differences b - a of every figure with replicates, by paired bootstrap over scenes.

    Both evaluations drew the same scenes in each replicate, so the difference of replicates is the replicate of the
    difference; scenes that are hard for both do not widen it.

    Args:
        a: Statistics of the reference, from `stats.evaluate` or read from its file.
        b: Statistics of the other.

    Returns:
        JSON-ready mapping: ``figures`` by path with ``a``, ``b``, ``difference``, ``low``, ``high``, ``chance_better`` and
        ``verdict`` (``better``, ``worse`` or ``open``: the interval holds zero, has no width, or is absent), and a ``verdict``
        over the headline figures. Smaller is better for errors and false positives.

    Raises:
        InputError: If the evaluations are not comparable.
    """
    require_comparable(a, b)
    figures: dict[str, Any] = {}
    for unit in ("scenes", "queries"):
        left, right = a["replicates"][unit], b["replicates"][unit]
        if (left["units"], left["seed"], left["count"]) != (right["units"], right["seed"], right["count"]):
            continue
        for path in [path for path in left["values"] if path in right["values"]]:
            figures[path] = _difference(
                path, metric_at(a, path), metric_at(b, path), left["values"][path], right["values"][path]
            )
    return {
        "schema": SCHEMA,
        "verdict": overall_verdict(figures),
        "a": a["header"]["release"],
        "b": b["header"]["release"],
        "truth_hash": a["header"]["truth_hash"],
        "figures": figures,
    }


def overall_verdict(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One word on two evaluations, from the headline figures that both have.

    Returns:
        ``word`` (``better``, ``worse``, ``mixed``, ``no difference shown`` or ``not comparable``), ``reason`` in a sentence,
        and the ``headline`` figures it rests on. Intervals of the headline figures are widened (Bonferroni), so that the word
        errs in at most 5 % of comparisons; all others are for looking, not for deciding.
    """
    present = [path for path in HEADLINE if path in figures]
    better = [path for path in present if figures[path]["family_verdict"] == "better"]
    worse = [path for path in present if figures[path]["family_verdict"] == "worse"]
    if not present:
        word, reason = "not comparable", "No headline figure was resampled in both: evaluate at least two scenes."
    elif better and worse:
        word, reason = "mixed", f"Better in {', '.join(better)}; worse in {', '.join(worse)}."
    elif better or worse:
        word = "better" if better else "worse"
        reason = f"B is {word} in {', '.join(better or worse)}; no headline figure speaks against it."
    else:
        which = (
            "interval of the one headline figure holds"
            if len(present) == 1
            else f"intervals of all {len(present)} headline figures hold"
        )
        word, reason = "no difference shown", f"The {which} zero."
    return {"word": word, "reason": reason, "headline": present}


def smaller_is_better(path: str) -> bool:
    """Whether a figure is an error or a count of false answers."""
    return path.endswith(SMALLER_IS_BETTER)


def _difference(
    path: str, a: float | None, b: float | None, a_b: list[float | None], b_b: list[float | None]
) -> dict[str, Any]:
    """One row: values, difference, interval and verdict."""
    gaps = np.asarray([np.nan if x is None or y is None else y - x for x, y in zip(a_b, b_b, strict=True)], dtype=np.float64)
    bounds = interval(gaps)
    sign = -1.0 if smaller_is_better(path) else 1.0
    known = sign * gaps[np.isfinite(gaps)]
    return {
        "a": a,
        "b": b,
        "difference": plain(b - a) if a is not None and b is not None else None,
        "low": plain(bounds[0]) if bounds else None,
        "high": plain(bounds[1]) if bounds else None,
        "chance_better": plain(float((known > 0).mean() + 0.5 * (known == 0).mean())) if len(known) else None,
        "verdict": _verdict(bounds, sign),
        "family_verdict": _verdict(interval(gaps, 1.0 - 0.05 / len(HEADLINE)), sign),
    }


def _verdict(bounds: tuple[float, float] | None, sign: float) -> str:
    """Better, worse, or open where the interval holds zero or has no width: too few objects to tell, not certainty."""
    if bounds is None or bounds[0] == bounds[1] or bounds[0] <= 0 <= bounds[1]:
        return "open"
    return "better" if bounds[0] * sign > 0 else "worse"
