"""Several proposers as one. Belongs here: union and suppression across proposers; each proposer's own boxes are its affair."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError
from ovd_platform.propose.proposer import Progress, Proposer
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.raster.scene import Scene
from ovd_platform.records.mask import Mask
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.tiles.seams import SeamRules, merge_seams


def fuse_proposals(
    sets: Sequence[ProposalSet],
    record: SceneRecord,
    version: str,
    max_per_mpx: float,
    *,
    weights: Sequence[float] | None = None,
    iou: float = 0.5,
) -> ProposalSet:
    """Union of several proposal sets of one scene, duplicates suppressed.

    Boxes of one set are never suppressed by boxes of the same set: they have been through their own proposer's suppression.

    Args:
        sets: Proposals of one scene, over the same tile list.
        record: The scene.
        version: Version of the fusion.
        max_per_mpx: At most this many per 10^6 px.
        weights: Factor on the objectness of each set, (0, 1]; None for ones. Objectness of two proposers is not on one scale.
        iou: Overlap above which boxes of two sets are one object.

    Returns:
        Proposals by falling objectness.

    Raises:
        InputError: If the sets are of different scenes, or there is none.
    """
    if {item.scene_id for item in sets} != {record.scene_id}:
        raise InputError(
            f"Cannot fuse proposals of {record.scene_id}: expected sets of that scene, "
            f"got {sorted({s.scene_id for s in sets})}."
        )
    factors = list(weights) if weights is not None else [1.0] * len(sets)
    if len(factors) != len(sets):
        raise InputError(f"Cannot fuse proposals of {record.scene_id}: expected {len(sets)} weights, got {len(factors)}.")
    boxes_n4 = np.concatenate([item.boxes_scene_xyxy for item in sets])
    objectness_n = np.concatenate([item.objectness_n * np.float32(f) for item, f in zip(sets, factors, strict=True)])
    tile_index_n = np.concatenate([item.tile_index_n for item in sets])
    source_n = np.repeat(np.arange(len(sets)), [len(item) for item in sets])
    # A seam between proposers is a seam between tiles: only boxes of different sources are compared. How two proposers place a box
    # differs more than how one does at two tiles, and neither was cut.
    rules = SeamRules(iou=iou, near_px=np.inf, ios=1.0)
    kept = merge_seams(boxes_n4, objectness_n, source_n, rules)[: int(np.ceil(max_per_mpx * record.area_mpx))]
    return ProposalSet(
        record.scene_id,
        boxes_n4[kept],
        objectness_n[kept],
        tile_index_n[kept],
        version,
        _corners(sets, kept),
        _masks(sets, kept),
    )


def _corners(sets: Sequence[ProposalSet], kept_k: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """Oriented boxes of the union; upright ones where a set has none; None where no set has any."""
    if all(item.corners_n42 is None for item in sets):
        return None
    upright = [item.boxes_scene_xyxy[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2) for item in sets]
    parts = [item.corners_n42 if item.corners_n42 is not None else box for item, box in zip(sets, upright, strict=True)]
    return np.concatenate(parts)[kept_k]


def _masks(sets: Sequence[ProposalSet], kept_k: NDArray[np.int64]) -> tuple[Mask, ...] | None:
    """Masks of the union; full boxes where a set has none; None where no set has any."""
    if all(item.masks is None for item in sets):
        return None
    parts = [mask for item in sets for mask in (item.masks if item.masks is not None else map(_full, item.boxes_scene_xyxy))]
    return tuple(parts[index] for index in kept_k)


def _full(box: NDArray[np.float32]) -> Mask:
    x0, y0, x1, y1 = (round(float(value)) for value in box)
    return Mask(x0, y0, np.ones((max(1, y1 - y0), max(1, x1 - x0)), np.bool_))


class FusedProposer:
    """Runs several proposers and fuses what they say.

    Args:
        proposers: At least one.
        weights: Factor on the objectness of each, (0, 1]; None for ones.
    """

    def __init__(self, proposers: Sequence[Proposer], weights: Sequence[float] | None = None) -> None:
        if not proposers:
            raise InputError("Cannot fuse proposers: expected at least one, got none.")
        self._proposers = tuple(proposers)
        self._weights = tuple(weights) if weights is not None else tuple(1.0 for _ in proposers)
        parts = [f"{p.version}*{w}" for p, w in zip(self._proposers, self._weights, strict=True)]
        self._version = "fused-" + hashlib.sha256("+".join(parts).encode()).hexdigest()[:6]

    @property
    def version(self) -> str:
        """Hash of the versions and weights of the parts."""
        return self._version

    def propose(
        self,
        scene: Scene,
        tiles: Sequence[TileRecord],
        profile: InstrumentProfile,
        *,
        max_per_mpx: float,
        progress: Progress | None = None,
    ) -> ProposalSet:
        """Fused proposals of a scene; see `Proposer.propose`."""
        sets = [p.propose(scene, tiles, profile, max_per_mpx=max_per_mpx, progress=progress) for p in self._proposers]
        return fuse_proposals(sets, scene.record, self._version, max_per_mpx, weights=self._weights)
