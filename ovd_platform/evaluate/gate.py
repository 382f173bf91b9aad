"""Whether a candidate release may replace the current one.

Belongs here: the rules and the decision with its reasons. Does not belong here: promoting anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ovd_platform.errors import InputError
from ovd_platform.evaluate.compare import metric_at, require_comparable, smaller_is_better

Verdicts = list[tuple[bool, str]]


@dataclass(frozen=True, slots=True)
class GateRule:
    """One condition on one figure.

    Attributes:
        metric: Dotted path of the figure in the statistics, for example ``detection.ap50``.
        min: Least value the candidate must reach (the most, for figures where smaller is better); None for no floor.
        max_loss: How much worse than the current release the candidate may be; None for no comparison.
        slice: Part of the test, ``dimension:value``: ``class:ship``, ``size_px:8-16``, ``instrument:pan-1x12``, ``gsd:0.5 to 1 m``,
            ``view_angle:10 to 20 deg``; empty for the whole.
        confidence: Share of bootstrap draws in which the condition has to hold, [0, 1); 0 asks of the value alone.
    """

    metric: str
    min: float | None = None
    max_loss: float | None = None
    slice: str = ""
    confidence: float = 0.0

    def __post_init__(self) -> None:
        if self.min is None and self.max_loss is None:
            raise InputError(
                f"Cannot gate on {self.metric}: expected a minimum or a largest loss, got neither. Give min or max_loss."
            )
        if not 0.0 <= self.confidence < 1.0:
            raise InputError(
                f"Cannot gate on {self.metric}: expected a confidence in [0, 1), got {self.confidence}. Use 0.95, or 0 for none."
            )
        if self.slice and ":" not in self.slice:
            raise InputError(
                f"Cannot gate on {self.metric} of {self.slice!r}: expected dimension:value, for example class:ship. Correct slice."
            )

    @property
    def path(self) -> str:
        """Where the figure lies in the statistics, the slice included."""
        if not self.slice:
            return self.metric
        dimension, value = self.slice.split(":", 1)
        section, _, figure = self.metric.rpartition(".")
        if dimension == "class":
            return f"{section}.per_class.{value}.{figure}"
        return f"slices.{dimension}.{value}.{figure}"


@dataclass(frozen=True, slots=True)
class GateDecision:
    """Outcome of the gate.

    Attributes:
        passed: Whether every rule holds.
        reasons: One sentence a rule, kept or broken.
    """

    passed: bool
    reasons: tuple[str, ...]


def decide_release(
    candidate_stats: Mapping[str, Any], current_stats: Mapping[str, Any] | None, rules: Sequence[GateRule]
) -> GateDecision:
    """Judge a candidate by rules on its figures.

    A figure that cannot be read fails its rule: what is not measured is not promoted. The first release has nothing to lose
    against, so only its floors count.

    Args:
        candidate_stats: Statistics of the candidate.
        current_stats: Statistics of the current release on the same scenes and labels, or None if there is none.
        rules: At least one.

    Raises:
        InputError: If there are no rules, or a loss is asked of evaluations that are not comparable.
    """
    if not rules:
        raise InputError(
            "Cannot decide on a release: expected at least one rule, got none. Set the gate's rules in the configuration."
        )
    if current_stats is not None and any(rule.max_loss is not None for rule in rules):
        require_comparable(current_stats, candidate_stats)
    verdicts = [verdict for rule in rules for verdict in _judge(rule, candidate_stats, current_stats)]
    return GateDecision(all(kept for kept, _ in verdicts), tuple(reason for _, reason in verdicts))


def _judge(rule: GateRule, candidate: Mapping[str, Any], current: Mapping[str, Any] | None) -> Verdicts:
    """Verdict and sentence of each half of a rule."""
    value = metric_at(candidate, rule.path)
    if value is None:
        return [(False, f"{rule.path} was not measured on the candidate.")]
    verdicts: Verdicts = []
    if rule.min is not None:
        verdicts.append(_floor(rule, value, rule.min, candidate))
    if rule.max_loss is not None:
        before = metric_at(current, rule.path) if current is not None else None
        if current is None:
            verdicts.append((True, f"{rule.path} is {value:.4f}; there is no current release to lose against."))
        elif before is None:
            verdicts.append((True, f"{rule.path} is {value:.4f}; it was not measured on the current release."))
        else:
            verdicts.append(_loss(rule, value, before, rule.max_loss, candidate, current))
    return verdicts


def _floor(rule: GateRule, value: float, least: float, candidate: Mapping[str, Any]) -> tuple[bool, str]:
    down = smaller_is_better(rule.path)
    kept = value <= least if down else value >= least
    word = ("at or below" if kept else "above") if down else ("at or above" if kept else "below")
    sentence = f"{rule.path} is {value:.4f}, {word} the {'maximum' if down else 'minimum'} {least:.4f}"
    drawn = _draws(candidate, rule.path)
    return _with_confidence(rule, kept, sentence, None if drawn is None else (drawn <= least if down else drawn >= least))


def _loss(
    rule: GateRule, value: float, before: float, most: float, candidate: Mapping[str, Any], current: Mapping[str, Any]
) -> tuple[bool, str]:
    sign = -1.0 if smaller_is_better(rule.path) else 1.0
    kept = sign * (before - value) <= most + 1e-12
    sentence = (
        f"{rule.path} went from {before:.4f} to {value:.4f}, {'within' if kept else 'beyond'} the allowed loss {most:.4f}"
    )
    new, old = _draws(candidate, rule.path), _draws(current, rule.path)
    paired = None if new is None or old is None or len(new) != len(old) else sign * (old - new) <= most + 1e-12
    return _with_confidence(rule, kept, sentence, paired)


def _with_confidence(rule: GateRule, kept: bool, sentence: str, holds_b: "np.ndarray[Any, Any] | None") -> tuple[bool, str]:
    """Verdict under the confidence a rule asks for."""
    if rule.confidence == 0.0:
        return kept, f"{sentence}."
    if holds_b is None or not len(holds_b):
        return False, f"{sentence}; no draws state how sure that is, and {rule.confidence:.0%} is asked."
    sure = float(np.mean(holds_b))
    enough = kept and sure >= rule.confidence
    return enough, f"{sentence}, in {sure:.0%} of draws; {rule.confidence:.0%} is asked."


def _draws(stats: Mapping[str, Any], path: str) -> "np.ndarray[Any, np.dtype[np.float64]] | None":
    """Bootstrap draws of a figure; None where it was not resampled."""
    for unit in ("scenes", "queries"):
        values = stats.get("replicates", {}).get(unit, {}).get("values", {}).get(path)
        if values is not None:
            return np.asarray([np.nan if value is None else value for value in values], dtype=np.float64)
    return None
