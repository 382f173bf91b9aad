"""Weights between two models. Belongs here: interpolation of states; which share is kept is the caller's affair.

A model fine-tuned on one workspace gains there and forgets what its start had seen elsewhere; on the straight line between both, most of
the gain is kept and little is forgotten (Wortsman et al. 2022, "WiSE-FT").
"""

from collections.abc import Mapping

import torch


def interpolated(start: Mapping[str, torch.Tensor], tuned: Mapping[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """The state ``(1 - share) start + share tuned``.

    Args:
        start: Where training started.
        tuned: Where it ended; its names and shapes are kept. What the start lacks, and whole numbers, are the tuned model's.
        share: Of the tuned model, [0, 1].

    Returns:
        New tensors in the tuned model's types.
    """
    mixed = {}
    for name, value in tuned.items():
        before = start.get(name)
        if before is None or before.shape != value.shape or not value.dtype.is_floating_point:
            mixed[name] = value.clone()
        else:
            mixed[name] = torch.lerp(before.float(), value.float(), share).to(value.dtype)
    return mixed
