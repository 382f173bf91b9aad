"""Acquisition metadata as a scale and shift of tokens (FiLM, Perez et al. 2018). Off by default.

Belongs here: turning a view and GSD into numbers, and the module. Does not belong here: reading metadata (raster).
"""

import math
from datetime import datetime

import torch
from torch import Tensor, nn

from ovd_platform.records.scene import SceneRecord

# Models of before know the first of these fields only: new ones go to the end (`vit.build_backbone`).
METADATA_FIELDS: tuple[str, ...] = (
    "sun_elevation", "off_nadir", "incidence", "log_gsd", "season_sin", "season_cos", "hour_sin", "hour_cos",
    "look",
)  # fmt: skip


def metadata_vector(record: SceneRecord) -> tuple[float, ...]:
    """Numbers in about [-1, 1] for a scene, each followed by whether it is known.

    Args:
        record: The scene; fields that are None become (0, 0): unknown is said, never guessed.

    Returns:
        2 x len(METADATA_FIELDS) numbers.
    """
    view = record.view
    values: list[float | None] = [
        None if view.sun_elevation_deg is None else view.sun_elevation_deg / 90.0,
        None if view.off_nadir_deg is None else view.off_nadir_deg / 45.0,
        None if view.incidence_deg is None else view.incidence_deg / 45.0 - 1.0,
        None if not record.gsd_m else math.log2(record.gsd_m) / 4.0,
        *_time(record.acquired),
        {"left": -1.0, "right": 1.0}.get(view.look or ""),
    ]
    flat: list[float] = []
    for value in values:
        flat += [0.0, 0.0] if value is None else [value, 1.0]
    return tuple(flat)


def without_some(metadata_bm: Tensor, generator: torch.Generator, share: float = 0.25) -> Tensor:
    """Metadata of which some rows say "unknown", new tensor: a model trained so knows what to do without any."""
    kept_b = torch.rand(len(metadata_bm), generator=generator) >= share
    return metadata_bm * kept_b[:, None]


def _time(acquired: datetime | None) -> tuple[float | None, float | None, float | None, float | None]:
    if acquired is None:
        return (None, None, None, None)
    season = 2 * math.pi * acquired.timetuple().tm_yday / 365.25
    hour = 2 * math.pi * (acquired.hour + acquired.minute / 60) / 24
    return (math.sin(season), math.cos(season), math.sin(hour), math.cos(hour))


class MetadataFiLM(nn.Module):
    """Scale and shift of tokens from metadata; starts as the identity, so switching it on changes nothing untrained."""

    def __init__(self, dim: int) -> None:
        """Make the module for tokens of ``dim``."""
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * len(METADATA_FIELDS), 64), nn.GELU(), nn.Linear(64, 2 * dim))
        nn.init.zeros_(self.mlp[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.mlp[2].bias)  # type: ignore[arg-type]

    def forward(self, tokens_bpd: Tensor, metadata_bm: Tensor) -> Tensor:
        """Condition tokens (B, P, D) on metadata (B, M); returns a new tensor of the tokens' shape."""
        scale_bd, shift_bd = self.mlp(metadata_bm).chunk(2, dim=1)
        return torch.addcmul(shift_bd[:, None], tokens_bpd, 1.0 + scale_bd[:, None])
