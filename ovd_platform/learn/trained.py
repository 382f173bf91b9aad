"""What every training recipe returns. Belongs here: the record; storing it is stores'."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Trained:
    """Weights and what is known of them.

    Attributes:
        state: Tensors by name, as `Module.load_state_dict` takes them; floats may be half precision.
        card: JSON-ready facts: recipe, data, scores.
    """

    state: dict[str, torch.Tensor]
    card: dict[str, Any]
