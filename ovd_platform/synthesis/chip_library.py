"""Object chips with masks, cut from labelled scenes at native depth.

Belongs here: cutting, masking, storing. Does not belong here: pasting (`paste`) and gates (`quality`).
"""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ovd_platform.datasets.polygons import Corners, rasterise
from ovd_platform.errors import DataError, LeakageError
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.scene import Modality, SceneRecord
from ovd_platform.records.window import Window
from ovd_platform.synthesis.object_masks import refine_mask

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene

_log = logging.getLogger(__name__)
LIBRARY_VERSION = 1


@dataclass(frozen=True, slots=True)
class ObjectChip:
    """One object with the ground around it.

    Attributes:
        annotation_id: The label it comes from.
        class_name: Canonical class.
        scene_id: Donor scene.
        pixels_chw: Native values (magnitude for complex SAR), shape (C, H, W).
        mask_hw: Silhouette, shape (H, W), bool.
        valid_hw: Valid pixels, shape (H, W), bool.
        corners_chip_xy: Label polygon in pixels of the chip.
        modality: Optical or SAR.
        instrument: What measured it.
        gsd_m: Ground sample distance, or None.
        bits_effective: Bits that carry signal, or None for float.
        mask_source: ``refined`` or ``polygon: <why>``.
        rendered: True if the donor scene is rendered.
    """

    annotation_id: str
    class_name: str
    scene_id: str
    pixels_chw: NDArray[Any]
    mask_hw: NDArray[np.bool_]
    valid_hw: NDArray[np.bool_]
    corners_chip_xy: Corners
    modality: Modality
    instrument: str
    gsd_m: float | None
    bits_effective: int | None
    mask_source: str = "polygon"
    rendered: bool = False


@dataclass(frozen=True, slots=True)
class ChipLibrary:
    """Object chips, and why other labels gave none.

    Attributes:
        chips: Sorted by class and label id.
        rejects: Reason by annotation id.
    """

    chips: tuple[ObjectChip, ...]
    rejects: dict[str, str] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Counts by class, mask source and reason, JSON-ready."""
        return {
            "chips": len(self.chips),
            "per_class": dict(sorted(Counter(chip.class_name for chip in self.chips).items())),
            "masks": dict(Counter(chip.mask_source.split(" fills")[0] for chip in self.chips)),
            "rejects": dict(Counter(self.rejects.values())),
        }

    def save(self, path: Path) -> None:
        """Write one ``.npz`` of all chips; `load` is its exact inverse."""
        arrays: dict[str, Any] = {}
        cards = []
        for index, chip in enumerate(self.chips):
            arrays[f"pixels_{index}"], arrays[f"mask_{index}"] = chip.pixels_chw, chip.mask_hw
            arrays[f"valid_{index}"] = chip.valid_hw
            names = [name for name in ObjectChip.__slots__ if name not in ("pixels_chw", "mask_hw", "valid_hw")]
            cards.append({name: getattr(chip, name) for name in names})
        header = json.dumps({"version": LIBRARY_VERSION, "chips": cards, "rejects": self.rejects})
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial.npz")
        np.savez_compressed(partial, header=np.frombuffer(header.encode(), dtype=np.uint8), **arrays)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: If the file is missing or no chip library.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                header = json.loads(stored["header"].tobytes().decode())
                chips = [_chip_from(card, stored, index) for index, card in enumerate(header["chips"])]
        except (OSError, KeyError, ValueError) as error:
            raise DataError(
                f"Cannot read chip library {path}: expected an .npz of chips, got {error}. Build it again."
            ) from error
        return cls(tuple(chips), header["rejects"])


def _chip_from(card: dict[str, Any], stored: Any, index: int) -> ObjectChip:
    """One chip of a stored library."""
    corners = tuple((float(x), float(y)) for x, y in card.pop("corners_chip_xy"))
    arrays = {"pixels_chw": stored[f"pixels_{index}"], "mask_hw": stored[f"mask_{index}"], "valid_hw": stored[f"valid_{index}"]}
    return ObjectChip(corners_chip_xy=corners, **arrays, **card)


def build_chip_library(
    annotations: Sequence[Annotation],
    open_by_id: "Callable[[str], Scene]",
    *,
    training_scenes: Collection[str] | None = None,
    margin_px: int = 8,
    min_px: float = 5.0,
    max_px: float = 256.0,
    max_per_class: int = 200,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> ChipLibrary:
    """Cut an object chip for each usable label.

    Args:
        annotations: Labels in scene pixels; points, difficult ones and ones at the scene's edge are rejected with the reason.
        open_by_id: Opens a scene by its id; each is opened once and closed.
        training_scenes: Scenes that may donate; None allows all.
        margin_px: Ground kept on each side; at least as much as a third of the object is taken.
        min_px: Smallest shorter side of a label's box.
        max_px: Largest longer side.
        max_per_class: Drawn at random by the seed where there are more.
        seed: Seed of the draw.
        progress: Called with (done, total, what) once a scene.

    Returns:
        The library. The result depends only on the arguments.

    Raises:
        LeakageError: If a label lies in a scene that may not donate.
    """
    if training_scenes is not None:
        for annotation in annotations:
            if annotation.scene_id not in training_scenes:
                raise LeakageError(
                    f"Cannot cut chip {annotation.annotation_id}: expected a training scene, got {annotation.scene_id}. "
                    "Pass only labels of training scenes."
                )
    rejects: dict[str, str] = {}
    by_scene: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in _draw(annotations, rejects, min_px, max_px, max_per_class, np.random.default_rng(seed)):
        by_scene[annotation.scene_id].append(annotation)
    chips = []
    for done, (scene_id, members) in enumerate(sorted(by_scene.items()), start=1):
        with open_by_id(scene_id) as scene:
            for annotation in members:
                chip = cut_chip(scene, annotation, margin_px=margin_px)
                if isinstance(chip, str):
                    rejects[annotation.annotation_id] = chip
                else:
                    chips.append(chip)
        if progress is not None:
            progress(done, len(by_scene), "scenes cut")
    library = ChipLibrary(tuple(sorted(chips, key=lambda chip: (chip.class_name, chip.annotation_id))), rejects)
    _log.info("chip library: %s", library.summary())
    return library


def _draw(
    annotations: Sequence[Annotation],
    rejects: dict[str, str],
    min_px: float,
    max_px: float,
    max_per_class: int,
    generator: np.random.Generator,
) -> list[Annotation]:
    """Usable labels, at most so many a class; the others go to `rejects`."""
    usable: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in sorted(annotations, key=lambda one: one.annotation_id):
        x0, y0, x1, y1 = annotation.box_scene_xyxy
        if annotation.difficult:
            rejects[annotation.annotation_id] = "difficult"
        elif len(annotation.corners_scene_xy) < 3:
            rejects[annotation.annotation_id] = "point label"
        elif min(x1 - x0, y1 - y0) < min_px:
            rejects[annotation.annotation_id] = "too small"
        elif max(x1 - x0, y1 - y0) > max_px:
            rejects[annotation.annotation_id] = "too large"
        else:
            usable[annotation.class_name].append(annotation)
    drawn = []
    for name, members in sorted(usable.items()):
        order = generator.permutation(len(members))
        drawn += [members[index] for index in order[:max_per_class]]
        rejects.update({members[index].annotation_id: f"more than {max_per_class} a class" for index in order[max_per_class:]})
        _log.debug("%s: %d usable labels", name, len(members))
    return drawn


def cut_chip(scene: "Scene", annotation: Annotation, *, margin_px: int = 8) -> ObjectChip | str:
    """The object chip of one label, or the reason there is none."""
    record: SceneRecord = scene.record
    x0, y0, x1, y1 = annotation.box_scene_xyxy
    if x0 <= 0 or y0 <= 0 or x1 >= record.width_px or y1 >= record.height_px:
        return "at the scene's edge"
    margin = max(margin_px, int(max(x1 - x0, y1 - y0) / 3))
    left, top = int(np.floor(x0)) - margin, int(np.floor(y0)) - margin
    window = Window(left, top, int(np.ceil(x1)) + margin - left, int(np.ceil(y1)) + margin - top)
    chip = scene.read(window)
    corners = tuple((x - left, y - top) for x, y in annotation.corners_scene_xy)
    inside_hw = rasterise(corners, window.height_px, window.width_px)
    if not inside_hw.any() or not chip.valid_hw[inside_hw].all():
        return "invalid pixels"
    pixels_chw = np.abs(chip.pixels_chw) if np.iscomplexobj(chip.pixels_chw) else chip.pixels_chw
    mask_hw, how = refine_mask(pixels_chw, inside_hw, chip.valid_hw, log=record.modality == "sar")
    return ObjectChip(
        annotation.annotation_id,
        annotation.class_name,
        record.scene_id,
        np.ascontiguousarray(pixels_chw),
        mask_hw,
        chip.valid_hw,
        corners,
        record.modality,
        record.instrument,
        record.gsd_m,
        record.bits_effective,
        how,
        record.rendered,
    )
