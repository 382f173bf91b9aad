"""Region crops: labelled objects and background, cut once and held in memory by band combination.

Belongs here: gathering. Does not belong here: what is learned from them (regions) and how that is judged (region_scores).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ovd_platform.embed.crops import CONTEXT, crop_squares, iterate_crops
from ovd_platform.learn.augment import Keys
from ovd_platform.learn.background import sample_background
from ovd_platform.models.conditioning import metadata_vector
from ovd_platform.models.stems import band_keys
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.records.annotation import Annotation

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene

BACKGROUND = -1
UNNAMED = -2
SPAN = 64 / 96
"""The nominal crop is the middle of what is stored, so that views may turn and shift."""
_STORED_PX = 96
_MAX_PER_SCENE = 400


@dataclass(frozen=True, slots=True, eq=False)
class RegionGroup:
    """Region crops of equal bands.

    Attributes:
        keys: What each band is.
        crops_nchw: Shape (N, C, 96, 96), float16; the nominal crop is the central 64 px.
        label_n: Index of the class, `BACKGROUND` or `UNNAMED`, shape (N,), int64.
        scene_n: Number of the scene, shape (N,), int64.
        metadata_nm: Acquisition metadata (`conditioning.metadata_vector`), shape (N, M), float32; None: unknown.
    """

    keys: Keys
    crops_nchw: NDArray[np.float16]
    label_n: NDArray[np.int64]
    scene_n: NDArray[np.int64]
    metadata_nm: NDArray[np.float32] | None = None

    def where(self, chosen_n: NDArray[np.bool_]) -> "RegionGroup":
        """The chosen crops."""
        metadata_nm = None if self.metadata_nm is None else self.metadata_nm[chosen_n]
        return RegionGroup(self.keys, self.crops_nchw[chosen_n], self.label_n[chosen_n], self.scene_n[chosen_n], metadata_nm)

    def metadata(self, rows: NDArray[np.int64] | slice) -> Tensor | None:
        """Metadata of some crops, shape (B, M), or None."""
        return None if self.metadata_nm is None else torch.from_numpy(self.metadata_nm[rows])


def gather_regions(
    scenes: "Sequence[tuple[Scene, InstrumentProfile]]",
    annotations: Sequence[Annotation],
    *,
    background_per_scene: int = 96,
    seed: int = 0,
) -> tuple[list[RegionGroup], list[str]]:
    """Crops of labelled objects and of background.

    Args:
        scenes: Open scenes with their profiles.
        annotations: Labels of these scenes; points and other scenes' labels are skipped; ``difficult`` ones are no background.
        background_per_scene: Background crops wanted from each scene, at least; as many as objects where there are more.
        seed: Of every choice.

    Returns:
        Crops by band combination, and the class names the labels index.
    """
    by_scene: dict[str, list[Annotation]] = {}
    for one in annotations:
        by_scene.setdefault(one.scene_id, []).append(one)
    classes = sorted({one.class_name for one in annotations if one.class_name})
    parts: dict[Keys, list[RegionGroup]] = {}
    for number, (scene, profile) in enumerate(scenes):
        rng = np.random.default_rng([seed, number])
        labels_here = by_scene.get(scene.record.scene_id, [])
        boxes_n4, label_n = _labelled_boxes(labels_here, classes, rng)
        every = np.array([one.box_scene_xyxy for one in labels_here], dtype=np.float32).reshape(-1, 4)
        wanted = max(background_per_scene, min(len(boxes_n4), 2 * background_per_scene))
        background = sample_background(scene, profile, every, wanted, rng)
        boxes = np.concatenate([boxes_n4, background])
        labels = np.concatenate([label_n, np.full(len(background), BACKGROUND)])
        if len(boxes):
            squares = crop_squares(boxes, CONTEXT / SPAN, 24.0 / SPAN)
            crops = np.zeros((len(boxes), len(scene.record.bands), _STORED_PX, _STORED_PX), dtype=np.float16)
            for rows, pixels in iterate_crops(scene, squares, profile, _STORED_PX):
                crops[rows] = pixels.numpy().astype(np.float16)
            keys = band_keys(scene.record)
            known = np.tile(np.array(metadata_vector(scene.record), dtype=np.float32), (len(boxes), 1))
            parts.setdefault(keys, []).append(RegionGroup(keys, crops, labels, np.full(len(boxes), number), known))
    return [_joined(keys, groups) for keys, groups in parts.items()], classes


def _labelled_boxes(
    labels: Sequence[Annotation], classes: list[str], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    usable = [one for one in labels if len(one.corners_scene_xy) >= 3 and not one.difficult]
    if len(usable) > _MAX_PER_SCENE:
        usable = [usable[index] for index in sorted(rng.choice(len(usable), _MAX_PER_SCENE, replace=False))]
    boxes = np.array([one.box_scene_xyxy for one in usable], dtype=np.float32).reshape(-1, 4)
    label_n = np.array([classes.index(one.class_name) if one.class_name else UNNAMED for one in usable], dtype=np.int64)
    return boxes, label_n


def _joined(keys: Keys, groups: list[RegionGroup]) -> RegionGroup:
    return RegionGroup(
        keys,
        np.concatenate([one.crops_nchw for one in groups]),
        np.concatenate([one.label_n for one in groups]),
        np.concatenate([one.scene_n for one in groups]),
        np.concatenate([one.metadata_nm for one in groups if one.metadata_nm is not None]),
    )
