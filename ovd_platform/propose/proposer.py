"""The protocol of a proposer, and making one from a stored model or from settings.

Belongs here: what every proposer is. Does not belong here: how one works (light.py, cfar.py).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from ovd_platform.errors import InputError
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.raster.scene import Scene
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.tile import TileRecord

Progress = Callable[[int, int, str], None]


class Proposer(Protocol):
    """Anything that says where objects might be."""

    @property
    def version(self) -> str:
        """Version of model and settings; part of every proposal's id."""
        ...

    def propose(
        self,
        scene: Scene,
        tiles: Sequence[TileRecord],
        profile: InstrumentProfile,
        *,
        max_per_mpx: float,
        progress: Progress | None = None,
    ) -> ProposalSet:
        """Class-agnostic boxes of a scene.

        Args:
            scene: Open scene.
            tiles: The scene's tile list; only kept tiles are looked at.
            profile: Normalisation of the scene's instrument.
            max_per_mpx: At most this many boxes per 10^6 px of the scene, best first.
            progress: Called with done, total, what.

        Returns:
            Boxes after seam merging, by falling objectness; `tile_index_n` refers to ``tiles``.
        """
        ...


def load_proposer(
    state: Mapping[str, torch.Tensor], card: Mapping[str, Any], version: str, *, scales: Sequence[float] | None = None
) -> Proposer:
    """Proposer of a stored model.

    Args:
        state: Weights by name.
        card: The model's card; `architecture` tells which proposer it is.
        version: Version of the model.
        scales: Working scales to run at; None follows the card.

    Returns:
        A proposer.

    Raises:
        InputError: If nobody knows the architecture.
    """
    if card.get("architecture") != "light-detector":
        raise InputError(
            f"Cannot load proposer {version}: expected architecture light-detector, got {card.get('architecture')!r}. "
            "Train it with `ovd train`."
        )
    from ovd_platform.propose.light import LightProposer

    return LightProposer(state, card, version, scales=scales)
