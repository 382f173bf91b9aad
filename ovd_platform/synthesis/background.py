"""Ground for composites: a chip of a training scene with what already lies in it.

Belongs here: choosing and reading grounds. Does not belong here: pasting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ovd_platform.errors import InputError
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.window import Window

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene


@dataclass(frozen=True, slots=True)
class Background:
    """A ground chip.

    Attributes:
        chip: Pixels at native depth (magnitude for complex SAR).
        record: Its scene.
        annotations: Labels that reach into it, in scene pixels; a composite keeps them.
    """

    chip: Chip
    record: SceneRecord
    annotations: tuple[Annotation, ...] = ()

    @property
    def max_value(self) -> float | None:
        """Largest value of the scene's bit depth, None for float."""
        if self.record.bits_effective is not None:
            return float(2**self.record.bits_effective - 1)
        dtype = np.dtype(self.chip.pixels_chw.dtype)
        return float(np.iinfo(dtype).max) if dtype.kind in "ui" else None


def background_from_scene(scene: "Scene", window: Window, annotations: Sequence[Annotation]) -> Background:
    """Read one ground chip; complex pixels become magnitudes.

    Args:
        scene: An open training scene.
        window: Inside the scene.
        annotations: All labels of the scene.
    """
    chip = scene.read(window)
    if np.iscomplexobj(chip.pixels_chw):
        chip = Chip(np.abs(chip.pixels_chw).astype(np.float32), chip.valid_hw, window, chip.scene_id)
    reaching = [one for one in annotations if one.scene_id == scene.record.scene_id and _touches(one, window)]
    return Background(chip, scene.record, tuple(reaching))


def draw_backgrounds(
    scene: "Scene",
    annotations: Sequence[Annotation],
    *,
    count: int,
    size_px: int,
    seed: int,
    max_objects: int = 5,
    min_valid_fraction: float = 0.99,
) -> list[Background]:
    """Draw ground chips of one scene at random places that hold few labels and almost only valid pixels.

    Args:
        scene: An open training scene.
        annotations: All labels of the scene.
        count: How many to draw; fewer come back if the scene has no more such places.
        size_px: Edge of the chips.
        seed: Seed of the places.
        max_objects: Places with more labels are left.
        min_valid_fraction: Places with fewer valid pixels are left.

    Raises:
        InputError: If the scene is smaller than a chip.
    """
    record = scene.record
    if record.width_px < size_px or record.height_px < size_px:
        raise InputError(
            f"Cannot draw backgrounds of {record.scene_id}: expected at least {size_px} px, got "
            f"{record.width_px} x {record.height_px}. Use smaller tiles."
        )
    generator = np.random.default_rng([seed, len(record.scene_id), *record.scene_id.encode()])
    found: list[Background] = []
    for _ in range(8 * count):
        if len(found) == count:
            break
        column = int(generator.integers(0, record.width_px - size_px + 1))
        row = int(generator.integers(0, record.height_px - size_px + 1))
        window = Window(column, row, size_px, size_px)
        if sum(_touches(one, window) for one in annotations if one.scene_id == record.scene_id) > max_objects:
            continue
        background = background_from_scene(scene, window, annotations)
        if background.chip.valid_hw.mean() >= min_valid_fraction:
            found.append(background)
    return found


def _touches(annotation: Annotation, window: Window) -> bool:
    """Whether a label's box overlaps a window."""
    x0, y0, x1, y1 = annotation.box_scene_xyxy
    left, top, right, bottom = window.xyxy
    return x0 < right and x1 > left and y0 < bottom and y1 > top
