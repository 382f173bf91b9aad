"""What every training run shares: its budget, learning rate, checkpoints, log and result.

Belongs here: `Trained`, `Budget`, `fit` (the loop). Does not belong here: losses and data (mae, regions, clip).
"""

import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ovd_platform.errors import InputError
from ovd_platform.models.precision import mixed_precision
from ovd_platform.models.vit import State

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]
LossOf = Callable[[torch.Generator], Tensor]
_CHECKPOINT = "training.pt"


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """Result of a training run.

    Attributes:
        state: Weights by name, floating point in float16 (`models.vit.half_state`).
        card: JSON-ready facts: recipe, steps, scores, loss log.
    """

    state: State
    card: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to train: wall-clock minutes, steps, or whichever ends first. Only a pure step budget is reproducible.

    Attributes:
        minutes: Wall clock, or None.
        steps: Optimiser steps, or None.
    """

    minutes: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.minutes is None and self.steps is None:
            raise InputError("Cannot train without a budget: expected minutes or steps, got neither.")

    def fraction(self, step: int, elapsed_s: float) -> float:
        """Share of the budget that is spent, 1 or more when done."""
        by_steps = step / max(1, self.steps) if self.steps is not None else 0.0
        by_time = elapsed_s / max(1e-3, 60 * self.minutes) if self.minutes is not None else 0.0
        return max(by_steps, by_time)


def cosine_rate(fraction: float, warmup: float = 0.08) -> float:
    """Factor on the learning rate: linear warm-up, then a half cosine down to 1 %."""
    if fraction < warmup:
        return max(0.02, fraction / warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (fraction - warmup) / (1 - warmup))))


@dataclass(slots=True)
class _Run:
    step: int = 0
    elapsed_s: float = 0.0
    log: list[list[float]] = field(default_factory=list)


def fit(
    model: nn.Module,
    loss_of: LossOf,
    *,
    budget: Budget,
    rate: float,
    seed: int,
    what: str,
    fingerprint: str = "",
    checkpoint_dir: Path | None = None,
    checkpoint_every_s: float = 20.0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train in place: AdamW (Loshchilov & Hutter 2019), cosine rate, clipped gradients, bfloat16 where it is native.

    Every step draws from a generator seeded by (seed, step): a run that was killed and resumed makes the same steps as one
    that was not.

    Args:
        model: Its parameters that require gradients are trained.
        loss_of: Draws a batch from the generator and returns the scalar loss.
        budget: When to stop.
        rate: Peak learning rate.
        seed: Of every draw.
        what: For progress and log.
        fingerprint: Identity of inputs; a checkpoint of other inputs is not resumed.
        checkpoint_dir: Where to keep the checkpoint; none is kept when None.
        checkpoint_every_s: Seconds between checkpoints.
        progress: Called with (done, total, what).

    Returns:
        ``{"steps", "seconds", "loss_first", "loss_last", "loss_log", "resumed_at_step"}``; losses are means over the tenth of
        the log at either end.
    """
    optimiser = torch.optim.AdamW(_parameter_groups(model), lr=rate, betas=(0.9, 0.95))
    path = checkpoint_dir / _CHECKPOINT if checkpoint_dir else None
    mark = f"{fingerprint}|{seed}|{budget.minutes}|{budget.steps}"
    run = _resume(path, mark, model, optimiser)
    resumed, saved = run.step, time.monotonic()
    model.train()
    while (fraction := budget.fraction(run.step, run.elapsed_s)) < 1.0:
        started = time.monotonic()
        for group in optimiser.param_groups:
            group["lr"] = rate * cosine_rate(fraction)
        generator = torch.Generator().manual_seed((seed * 1_000_003 + run.step) % 2**63)
        with mixed_precision():
            loss = loss_of(generator)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        run.step += 1
        run.elapsed_s += time.monotonic() - started
        run.log.append([run.step, float(loss.detach())])
        if progress:
            progress(min(999, int(1000 * budget.fraction(run.step, run.elapsed_s))), 1000, what)
        if path and time.monotonic() - saved > checkpoint_every_s:
            _save(path, mark, model, optimiser, run)
            saved = time.monotonic()
    if path and run.step > resumed:
        _save(path, mark, model, optimiser, run)
    model.eval()
    return _facts(run, resumed)


def _parameter_groups(model: nn.Module) -> Iterable[dict[str, Any]]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [one for one in trained if one.ndim > 1], "weight_decay": 0.05},
        {"params": [one for one in trained if one.ndim <= 1], "weight_decay": 0.0},
    ]


def _facts(run: _Run, resumed: int) -> dict[str, Any]:
    tenth = max(1, len(run.log) // 10)
    mean = [sum(loss for _, loss in part) / tenth for part in (run.log[:tenth], run.log[-tenth:])] if run.log else [0.0, 0.0]
    stride = max(1, len(run.log) // 200)
    log = [[int(step), round(loss, 5)] for step, loss in run.log[::stride]]
    return {
        "steps": run.step, "seconds": round(run.elapsed_s, 1), "loss_first": mean[0], "loss_last": mean[1], "loss_log": log,
        "resumed_at_step": resumed,
    }  # fmt: skip


def _save(path: Path, mark: str, model: nn.Module, optimiser: torch.optim.Optimizer, run: _Run) -> None:
    """Atomic: a kill leaves the old checkpoint or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".writing")
    torch.save(
        {"mark": mark, "model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": run.step,
         "elapsed_s": run.elapsed_s, "log": run.log},
        temporary,
    )  # fmt: skip
    temporary.replace(path)


def _resume(path: Path | None, mark: str, model: nn.Module, optimiser: torch.optim.Optimizer) -> _Run:
    if path is None or not path.is_file():
        return _Run()
    kept = torch.load(path, weights_only=True)
    if kept["mark"] != mark:
        logger.warning("Checkpoint %s belongs to other inputs; training starts anew.", path)
        return _Run()
    model.load_state_dict(kept["model"])
    optimiser.load_state_dict(kept["optimiser"])
    logger.info("Resuming at step %d from %s", kept["step"], path)
    return _Run(kept["step"], kept["elapsed_s"], kept["log"])
