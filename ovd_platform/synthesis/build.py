"""Building a synthetic COCO data set by copy-paste. Belongs here: what goes where, counting, writing; one paste is `paste`."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.datasets.polygons import Corners, clip_corners, is_axis_aligned, mask_outline, polygon_area
from ovd_platform.errors import InputError, LeakageError
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.chip import Chip
from ovd_platform.synthesis.background import Background
from ovd_platform.synthesis.chip_library import ChipLibrary, ObjectChip
from ovd_platform.synthesis.paste import PasteResult, Pose, paste_object
from ovd_platform.synthesis.quality import HashBook, PasteMeasures, QualityGates, judge, measure_paste
from ovd_platform.synthesis.tile_files import write_tile

_log = logging.getLogger(__name__)
RECIPE_VERSION = "copy-paste-1"
_PLACE_TRIES = 12
_ATTEMPTS_PER_TILE = 6
_MIN_VISIBLE = 0.35
_SCALE_RANGE = (0.4, 1.6)


@dataclass(frozen=True, slots=True)
class SyntheticReport:
    """What a build made and refused.

    Attributes:
        coco_path: The COCO file; its images lie beside it.
        version: Content hash of recipe, donors, grounds and seed, 16 hex digits.
        tiles: Tiles written.
        objects: Objects pasted and accepted.
        controls: Pasted ground without a label, so that a seam alone does not mean an object.
        per_class: Accepted objects by class.
        rejects: Refused pastes by reason; the list with donor, ground and measures is ``rejects.jsonl`` beside the COCO file.
        notes: What a reader should know.
    """

    coco_path: Path
    version: str
    tiles: int
    objects: int
    controls: int
    per_class: dict[str, int]
    rejects: dict[str, int]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready mapping."""
        return {**asdict(self), "coco_path": str(self.coco_path)}


@dataclass(slots=True)
class _Canvas:
    """A tile in the making."""

    background: Background
    pixels_chw: NDArray[np.float64]
    taken_hw: NDArray[np.bool_]
    labels: list[dict[str, Any]] = field(default_factory=list)
    controls: list[dict[str, Any]] = field(default_factory=list)
    donors: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Build:
    """State of one build."""

    gates: QualityGates
    generator: np.random.Generator
    book: HashBook = field(default_factory=HashBook)
    rejects: list[dict[str, Any]] = field(default_factory=list)

    def reject(self, reason: str, chip: ObjectChip, canvas: _Canvas, measures: PasteMeasures | None = None) -> None:
        """Keep a refused paste with its reason."""
        values = asdict(measures) if measures is not None else None
        window = list(canvas.background.chip.window.xyxy)
        ground = {"ground_scene": canvas.background.record.scene_id, "ground_window_xyxy": window}
        donor = {"annotation_id": chip.annotation_id, "class_name": chip.class_name, "donor_scene": chip.scene_id}
        self.rejects.append({"reason": reason, **donor, **ground, "measures": values})


def build_synthetic_coco(
    library: ChipLibrary,
    backgrounds: Sequence[Background],
    *,
    count: int,
    seed: int,
    destination: Path,
    max_objects: int = 4,
    control_fraction: float = 0.15,
    gates: QualityGates | None = None,
    training_scenes: Collection[str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> SyntheticReport:
    """Write composite tiles with their labels.

    Objects are drawn evenly over classes, from donors of the ground's modality, bands and bit depth, turned and mirrored at
    random, brought to the ground's sample distance, blended at native depth, and judged. Labels the ground already has are
    kept. A tile without an accepted object is not written.

    Args:
        library: Object chips of training scenes.
        backgrounds: Grounds of training scenes.
        count: Tiles to write; fewer come out, with a note, if too much is refused.
        seed: Seed of everything; the same arguments give the same files.
        destination: Folder for ``synthetic.json``, ``rejects.jsonl`` and ``tiles/``; replaced tile by tile.
        max_objects: At most so many pasted objects a tile.
        control_fraction: Chance of an unlabelled paste of plain ground a tile, [0, 1].
        gates: Quality limits; None takes the defaults.
        training_scenes: Scenes that may donate chips and grounds; None allows all.
        progress: Called with (done, total, what) once a tile.

    Returns:
        The report.

    Raises:
        InputError: If there are no chips, no grounds, or no chip fits any ground.
        LeakageError: If a donor or a ground lies outside the training scenes.
    """
    _check(library, backgrounds, count, training_scenes)
    gates = gates if gates is not None else QualityGates()
    fitting = {index: _fitting(library, background) for index, background in enumerate(backgrounds)}
    usable = [index for index, chips in fitting.items() if chips]
    if not usable:
        raise InputError(
            "Cannot build synthetic tiles: expected chips and grounds of one modality, band count and bit depth, got none that "
            "fit. Build the library from the same instruments."
        )
    tiles_folder = destination / "tiles"
    tiles_folder.mkdir(parents=True, exist_ok=True)
    build = _Build(gates, np.random.default_rng(seed))
    categories = {name: number for number, name in enumerate(_class_names(library, backgrounds), start=1)}
    version = _version(library, backgrounds, count, seed, gates, max_objects, control_fraction)
    coco: dict[str, Any] = {"images": [], "annotations": []}
    controls = 0
    for _attempt in range(_ATTEMPTS_PER_TILE * count):
        if len(coco["images"]) == count:
            break
        index = usable[int(build.generator.integers(len(usable)))]
        canvas = _compose(build, backgrounds[index], fitting[index], max_objects)
        if not canvas.labels:
            continue
        if build.generator.random() < control_fraction:
            _paste_control(build, canvas, backgrounds, fitting[index])
        controls += len(canvas.controls)
        _append_tile(coco, canvas, categories, tiles_folder, version)
        if progress is not None:
            progress(len(coco["images"]), count, "synthetic tiles")
    return _finish(coco, build, categories, destination, version, count, controls, seed)


def _check(
    library: ChipLibrary, backgrounds: Sequence[Background], count: int, training_scenes: Collection[str] | None
) -> None:
    """Refuse empty or leaking ingredients."""
    if not library.chips or not backgrounds or count < 1:
        raise InputError(
            f"Cannot build synthetic tiles: expected chips, grounds and a positive count, got {len(library.chips)} chips, "
            f"{len(backgrounds)} grounds, count {count}. Check the labels of the training scenes."
        )
    if training_scenes is None:
        return
    used = {chip.scene_id for chip in library.chips} | {one.record.scene_id for one in backgrounds}
    leaking = sorted(used - set(training_scenes))
    if leaking:
        raise LeakageError(
            f"Cannot build synthetic tiles: expected donors and grounds of training scenes, got {', '.join(leaking[:3])}. "
            "Build the library from the training side of the split."
        )


def _fitting(library: ChipLibrary, background: Background) -> dict[str, list[ObjectChip]]:
    """Chips by class that can be pasted into a ground: same modality, bands, bits, and a sample distance near enough."""
    chips: dict[str, list[ObjectChip]] = {}
    for chip in library.chips:
        same = chip.modality == background.record.modality and len(chip.pixels_chw) == len(background.chip.pixels_chw)
        depth = chip.bits_effective == background.record.bits_effective
        if same and depth and _SCALE_RANGE[0] <= _scale(chip, background) <= _SCALE_RANGE[1]:
            chips.setdefault(chip.class_name, []).append(chip)
    return chips


def _scale(chip: ObjectChip, background: Background) -> float:
    """Donor GSD over ground GSD; 1 where either is unknown (then only chips of the same instrument are truly comparable)."""
    if chip.gsd_m is None or background.record.gsd_m is None:
        return 1.0
    return chip.gsd_m / background.record.gsd_m


def _class_names(library: ChipLibrary, backgrounds: Sequence[Background]) -> list[str]:
    """Classes of chips and of labels the grounds bring."""
    brought = {annotation.class_name for background in backgrounds for annotation in background.annotations}
    return sorted({chip.class_name for chip in library.chips} | brought)


def _compose(build: _Build, background: Background, fitting: dict[str, list[ObjectChip]], max_objects: int) -> _Canvas:
    """Paste one to `max_objects` objects into a ground."""
    pixels_chw = background.chip.pixels_chw.astype(np.float64)
    canvas = _Canvas(background, pixels_chw, ~background.chip.valid_hw)
    left, top, _, _ = background.chip.window.xyxy
    for annotation in background.annotations:
        x0, y0, x1, y1 = annotation.box_scene_xyxy
        rows = slice(max(0, int(y0) - top - 3), max(0, int(np.ceil(y1)) - top + 3))
        canvas.taken_hw[rows, max(0, int(x0) - left - 3) : max(0, int(np.ceil(x1)) - left + 3)] = True
    classes = sorted(fitting)
    for _ in range(int(build.generator.integers(1, max_objects + 1))):
        name = classes[int(build.generator.integers(len(classes)))]
        chip = fitting[name][int(build.generator.integers(len(fitting[name])))]
        result = _try_paste(build, canvas, chip)
        if result is not None:
            canvas.donors.add(chip.scene_id)
            canvas.labels.append(_label(chip, result))
    return canvas


def _try_paste(build: _Build, canvas: _Canvas, chip: ObjectChip, *, control: bool = False) -> PasteResult | None:
    """One object at a free place, judged; the canvas is changed only if it passes."""
    generator = build.generator
    log = canvas.background.record.modality == "sar"
    _, height, width = canvas.pixels_chw.shape
    free_turn = chip.mask_source == "refined" or not is_axis_aligned(chip.corners_chip_xy)
    turn = float(generator.uniform(0, 360)) if free_turn else float(90 * generator.integers(4))
    if log:
        turn = float(180 * generator.integers(2))
    flip = bool(generator.integers(2)) and not log
    for _ in range(_PLACE_TRIES):
        place = Pose(
            float(generator.uniform(0, width)), float(generator.uniform(0, height)), turn, flip, _scale(chip, canvas.background)
        )
        outcome = (
            paste_object(canvas.pixels_chw, chip, place, generator, max_value=canvas.background.max_value, log=log)
            if (_maybe_free(canvas, place, chip))
            else "occupied"
        )
        if isinstance(outcome, str) or (outcome.domain_hw & canvas.taken_hw).any():
            continue
        measures = measure_paste(outcome, log=log)
        reason = "" if control else judge(measures, build.gates, min(height, width), chip.class_name, build.book)
        if reason:
            build.reject(reason, chip, canvas, measures)
            return None
        if not control:
            build.book.add(chip.class_name, measures.hash64)
        canvas.pixels_chw = outcome.pixels_chw
        canvas.taken_hw = canvas.taken_hw | outcome.domain_hw
        return outcome
    build.reject("no free place", chip, canvas)
    return None


def _maybe_free(canvas: _Canvas, pose: Pose, chip: ObjectChip) -> bool:
    """Cheap test before blending: the object's centre square is free and its reach inside the tile."""
    half = 0.5 * pose.scale * min(int(chip.mask_hw.any(axis=1).sum()), int(chip.mask_hw.any(axis=0).sum()))
    _, height, width = canvas.pixels_chw.shape
    left, top, right, bottom = (int(v) for v in (pose.x_px - half, pose.y_px - half, pose.x_px + half, pose.y_px + half))
    if left < 1 or top < 1 or right >= width or bottom >= height:
        return False
    centre_hw = canvas.taken_hw[(top + int(pose.y_px)) // 2 : (bottom + int(pose.y_px)) // 2 + 1]
    return not centre_hw[:, (left + int(pose.x_px)) // 2 : (right + int(pose.x_px)) // 2 + 1].any()


def _paste_control(
    build: _Build, canvas: _Canvas, backgrounds: Sequence[Background], fitting: dict[str, list[ObjectChip]]
) -> None:
    """Paste plain ground of another place in the shape of an object, without a label."""
    generator = build.generator
    classes = sorted(fitting)
    chips = fitting[classes[int(generator.integers(len(classes)))]]
    shape = chips[int(generator.integers(len(chips)))]
    _, height, width = shape.pixels_chw.shape
    for index in generator.permutation(len(backgrounds))[:_PLACE_TRIES]:
        donor = backgrounds[int(index)]
        pixels_chw = donor.chip.pixels_chw
        alike = donor.record.modality == shape.modality and donor.record.bits_effective == shape.bits_effective
        if not alike or len(pixels_chw) != len(shape.pixels_chw) or min(pixels_chw.shape[1:]) <= max(height, width):
            continue
        top = int(generator.integers(pixels_chw.shape[1] - height))
        left = int(generator.integers(pixels_chw.shape[2] - width))
        box = (left + donor.chip.window.col_px, top + donor.chip.window.row_px)
        if any(_overlaps(one, (*box, box[0] + width, box[1] + height)) for one in donor.annotations):
            continue
        window = (slice(top, top + height), slice(left, left + width))
        plain = ObjectChip(
            "control",
            "",
            donor.record.scene_id,
            pixels_chw[:, window[0], window[1]],
            shape.mask_hw,
            donor.chip.valid_hw[window],
            shape.corners_chip_xy,
            shape.modality,
            donor.record.instrument,
            donor.record.gsd_m,
            shape.bits_effective,
            "refined",
            donor.record.rendered,
        )
        result = _try_paste(build, canvas, plain, control=True)
        if result is not None:
            canvas.donors.add(plain.scene_id)
            canvas.controls.append({"bbox": _bbox(mask_outline(result.mask_hw)[0]), "donor_scene": plain.scene_id})
        return


def _overlaps(annotation: Annotation, box_xyxy: tuple[float, float, float, float]) -> bool:
    """Whether a label's box overlaps a box in scene pixels."""
    x0, y0, x1, y1 = annotation.box_scene_xyxy
    return x0 < box_xyxy[2] and x1 > box_xyxy[0] and y0 < box_xyxy[3] and y1 > box_xyxy[1]


def _bbox(corners: Corners) -> list[float]:
    """COCO box around corners."""
    xs, ys = [corner[0] for corner in corners], [corner[1] for corner in corners]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def _label(chip: ObjectChip, result: PasteResult) -> dict[str, Any]:
    """COCO annotation (without ids) of a pasted object: its silhouette where one is known, else the label polygon."""
    corners = mask_outline(result.mask_hw)[0] if chip.mask_source == "refined" else result.corners_xy
    return {
        "class_name": chip.class_name,
        "bbox": _bbox(corners),
        "segmentation": [[value for corner in corners for value in corner]],
        "area": polygon_area(corners),
        "iscrowd": 0,
        "ignore": 0,
        "visible_fraction": 1.0,
        "source": "synthetic",
        "donor_scene": chip.scene_id,
        "annotation_id": chip.annotation_id,
    }


def _kept_labels(background: Background) -> list[dict[str, Any]]:
    """COCO annotations (without ids) of what the ground already holds."""
    window = background.chip.window
    labels = []
    for annotation in background.annotations:
        moved = tuple((x - window.col_px, y - window.row_px) for x, y in annotation.corners_scene_xy)
        inside = clip_corners(moved, window.width_px, window.height_px)
        if len(inside) < 3:
            continue
        visible = min(1.0, polygon_area(inside) / max(polygon_area(moved), 1e-9))
        ignore = int(annotation.difficult or visible < _MIN_VISIBLE)
        labels.append(
            {
                "class_name": annotation.class_name,
                "bbox": _bbox(inside),
                "segmentation": [[value for corner in inside for value in corner]],
                "area": polygon_area(inside),
                "iscrowd": ignore,
                "ignore": ignore,
                "visible_fraction": visible,
                "source": annotation.source,
                "annotation_id": annotation.annotation_id,
            }
        )
    return labels


def _append_tile(coco: dict[str, Any], canvas: _Canvas, categories: dict[str, int], tiles_folder: Path, version: str) -> None:
    """Write the tile and add its image and annotations."""
    number = len(coco["images"]) + 1
    name = f"{number:06d}.tif"
    chip: Chip = canvas.background.chip
    dtype = chip.pixels_chw.dtype
    pixels_chw = np.rint(canvas.pixels_chw) if dtype.kind in "ui" else canvas.pixels_chw
    record = canvas.background.record
    typed_chw = pixels_chw.astype(dtype if dtype.kind in "ui" else np.float32)
    write_tile(tiles_folder / name, typed_chw, record, {"dataset_version": version, "ground_scene": record.scene_id})
    _, height, width = pixels_chw.shape
    window = chip.window
    coco["images"].append(
        {
            "id": number,
            "file_name": f"tiles/{name}",
            "width": width,
            "height": height,
            "synthetic": True,
            "scene_id": record.scene_id,
            "scene_version": record.version,
            "window": [window.col_px, window.row_px, window.width_px, window.height_px],
            "donor_scenes": sorted(canvas.donors | {record.scene_id}),
            "instrument": record.instrument,
            "modality": record.modality,
            "bits_effective": record.bits_effective,
            "gsd_m": record.gsd_m,
            "rendered": record.rendered,
            "controls": canvas.controls,
        }
    )
    for label in [*canvas.labels, *_kept_labels(canvas.background)]:
        fields = {key: value for key, value in label.items() if key != "class_name"}
        identity = {"id": len(coco["annotations"]) + 1, "image_id": number, "category_id": categories[label["class_name"]]}
        coco["annotations"].append({**identity, **fields})


def _version(library: ChipLibrary, backgrounds: Sequence[Background], *recipe: object) -> str:
    """Content hash of everything that determines the tiles."""
    digest = hashlib.sha256(repr((RECIPE_VERSION, recipe)).encode())
    for chip in library.chips:
        digest.update(chip.annotation_id.encode() + chip.pixels_chw.tobytes() + np.packbits(chip.mask_hw).tobytes())
    for background in backgrounds:
        digest.update(f"{background.record.version}{background.chip.window}".encode())
    return digest.hexdigest()[:16]


def _finish(
    coco: dict[str, Any],
    build: _Build,
    categories: dict[str, int],
    destination: Path,
    version: str,
    count: int,
    controls: int,
    seed: int,
) -> SyntheticReport:
    """Write COCO and rejects, and sum up."""
    by_number = {number: name for name, number in categories.items()}
    pasted = [entry for entry in coco["annotations"] if entry["source"] == "synthetic"]
    per_class = Counter(by_number[entry["category_id"]] for entry in pasted)
    rejects = Counter(entry["reason"] for entry in build.rejects)
    written = len(coco["images"])
    notes = () if written == count else (f"{count} tiles asked for, {written} written: too many pastes were refused",)
    coco["categories"] = [{"id": number, "name": name} for name, number in categories.items()]
    coco["info"] = {
        "description": "synthetic composites: never use for testing",
        "synthetic": True,
        "versions": {"dataset": version, "recipe": RECIPE_VERSION},
        "seed": seed,
        "gates": asdict(build.gates),
        "per_class": dict(per_class),
        "rejects": dict(rejects),
        "rendered": any(image["rendered"] for image in coco["images"]),
    }
    (destination / "rejects.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in build.rejects), encoding="utf-8")
    coco_path = destination / "synthetic.json"
    partial = destination / "synthetic.json.partial"
    partial.write_text(json.dumps(coco), encoding="utf-8")
    partial.replace(coco_path)
    _log.info("%d synthetic tiles, %d objects, refused: %s", written, len(pasted), dict(rejects))
    return SyntheticReport(coco_path, version, written, len(pasted), controls, dict(per_class), dict(rejects), notes)
