"""Weights between two models."""

import pytest
import torch

from ovd_platform.learn.averaging import interpolated


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_weights_lie_on_the_line_and_strangers_are_the_tuned_ones(share: float) -> None:
    start = {"a": torch.tensor([0.0, 4.0]).half(), "shape": torch.zeros(2), "steps": torch.tensor(3)}
    tuned = {"a": torch.tensor([8.0, 0.0]).half(), "shape": torch.ones(3), "steps": torch.tensor(9), "new": torch.ones(1)}
    mixed = interpolated(start, tuned, share)
    assert mixed["a"].dtype == torch.float16
    assert mixed["a"].tolist() == [8 * share, 4 * (1 - share)]
    assert mixed["shape"].tolist() == [1, 1, 1]
    assert mixed["steps"].item() == 9
    assert mixed["new"].item() == 1
    mixed["new"][0] = 5
    assert tuned["new"].item() == 1, "new tensors"
