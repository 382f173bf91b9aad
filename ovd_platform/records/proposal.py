"""Class-agnostic boxes of one scene with objectness, as a structure of arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import ShapeError
from ovd_platform.records.mask import Mask


@dataclass(frozen=True, slots=True)
class ProposalSet:
    """Where any object might be, after seam merging, sorted by falling objectness.

    Attributes:
        scene_id: The scene.
        boxes_scene_xyxy: Shape (N, 4), float32, pixels of the scene, (0, 0) is the outer corner of the top-left pixel.
        objectness_n: Shape (N,), float32, [0, 1].
        tile_index_n: Shape (N,), int32: index of the answering tile in the scene's tile list.
        proposer: Model version that made them (`cfar-...`, or the learned proposer's version).
        corners_n42: Corners of oriented boxes in turn, shape (N, 4, 2), float32, scene pixels; None where the proposer has none.
        masks: One mask a proposal; None where the proposer has none.
    """

    scene_id: str
    boxes_scene_xyxy: NDArray[np.float32]
    objectness_n: NDArray[np.float32]
    tile_index_n: NDArray[np.int32]
    proposer: str
    corners_n42: NDArray[np.float32] | None = None
    masks: tuple[Mask, ...] | None = None

    def __post_init__(self) -> None:
        n = len(self.objectness_n)
        if self.boxes_scene_xyxy.shape != (n, 4) or self.tile_index_n.shape != (n,):
            raise ShapeError(
                f"Cannot record proposals of {self.scene_id}: expected boxes ({n}, 4) and tile indices ({n},), got "
                f"{self.boxes_scene_xyxy.shape} and {self.tile_index_n.shape}."
            )
        corners_fit = self.corners_n42 is None or self.corners_n42.shape == (n, 4, 2)
        if not corners_fit or (self.masks is not None and len(self.masks) != n):
            raise ShapeError(
                f"Cannot record proposals of {self.scene_id}: expected {n} oriented boxes and masks, got another number."
            )

    def __len__(self) -> int:
        return len(self.objectness_n)

    def proposal_id(self, index: int) -> str:
        """Reproducible id of one proposal: scene, proposer and the box in whole pixels."""
        x0, y0, x1, y1 = (round(float(value)) for value in self.boxes_scene_xyxy[index])
        return f"{self.scene_id}:{self.proposer[:12]}:{x0}_{y0}_{x1}_{y1}"
