"""Whether a candidate release may replace the current one.

Belongs here: the rules and the decision with its reasons. Does not belong here: promoting anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ovd_platform.errors import InputError
from ovd_platform.evaluate.compare import metric_at, require_comparable


@dataclass(frozen=True, slots=True)
class GateRule:
    """One condition on one figure.

    Attributes:
        metric: Dotted path of the figure in the statistics, for example ``detection.ap50``.
        min: Least value the candidate must reach; None for no floor.
        max_loss: How much the candidate may lie below the current release; None for no comparison.
    """

    metric: str
    min: float | None = None
    max_loss: float | None = None

    def __post_init__(self) -> None:
        if self.min is None and self.max_loss is None:
            raise InputError(
                f"Cannot gate on {self.metric}: expected a minimum or a largest loss, got neither. Give min or max_loss."
            )


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


def _judge(rule: GateRule, candidate: Mapping[str, Any], current: Mapping[str, Any] | None) -> list[tuple[bool, str]]:
    """Verdict and sentence of each half of a rule."""
    value = metric_at(candidate, rule.metric)
    if value is None:
        return [(False, f"{rule.metric} was not measured on the candidate.")]
    verdicts: list[tuple[bool, str]] = []
    if rule.min is not None:
        kept = value >= rule.min
        verdicts.append(
            (kept, f"{rule.metric} is {value:.4f}, {'at or above' if kept else 'below'} the minimum {rule.min:.4f}.")
        )
    if rule.max_loss is not None:
        before = metric_at(current, rule.metric) if current is not None else None
        if current is None:
            verdicts.append((True, f"{rule.metric} is {value:.4f}; there is no current release to lose against."))
        elif before is None:
            verdicts.append((True, f"{rule.metric} is {value:.4f}; it was not measured on the current release."))
        else:
            kept = before - value <= rule.max_loss + 1e-12
            word = "within" if kept else "beyond"
            verdicts.append(
                (kept, f"{rule.metric} went from {before:.4f} to {value:.4f}, {word} the allowed loss {rule.max_loss:.4f}.")
            )
    return verdicts
