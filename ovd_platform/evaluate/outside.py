"""Detections and truth of others, as COCO files, made into an evaluation's input.

Belongs here: reading the two files. Does not belong here: judging them; labels of a workspace come through `datasets.formats`.
"""

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovd_platform.errors import DataError, InputError
from ovd_platform.evaluate.inputs import EvaluationInput, Quad
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.detection import Detection
from ovd_platform.records.scene import Band, SceneRecord

Corners = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class OutsideRules:
    """How to read files that state less than the platform does.

    Attributes:
        threshold: Answers with at least this score count as accepted.
        probabilities: Scores are meant as probabilities, so calibration is measured.
        oriented: Take polygons of four corners as rotated boxes.
        release: Name of what made the detections.
    """

    threshold: float = 0.5
    probabilities: bool = False
    oriented: bool = False
    release: str = "outside"


def outside_input(detections: Path, truth: Path, rules: OutsideRules | None = None) -> EvaluationInput:
    """Input of an evaluation from COCO files.

    Args:
        detections: A list of results (``image_id``, ``category_id``, ``bbox``, ``score``), or a mapping with them under
            ``annotations``. Rotated answers carry four corners in ``segmentation`` or ``corners``.
        truth: COCO ground truth. ``iscrowd`` and ``ignore`` mark labels nobody judges. An image may carry ``gsd_m`` (metres a
            pixel), ``footprint_lonlat`` (ring of degrees) and ``instrument``; COCO's own fields suffice.
        rules: How to read them.

    Raises:
        DataError: If a file is no JSON, or a row lacks a field; the message names it.
        InputError: If no answer belongs to an image of the truth.
    """
    with _no_collection():
        return _input(detections, truth, rules or OutsideRules())


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the cycle collector: it would walk millions of new records again and again and find nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _input(detections: Path, truth: Path, rules: OutsideRules) -> EvaluationInput:
    known, answers = _read(truth), _read(detections)
    rows = answers.get("annotations", []) if isinstance(answers, Mapping) else answers
    if not isinstance(known, Mapping) or not known.get("images"):
        raise DataError(
            f"Cannot read {truth} as COCO truth: expected images and annotations, got neither. Pass the truth file."
        )
    classes = {int(c["id"]): str(c["name"]) for c in known.get("categories", [])}
    images = {image["id"]: image for image in known["images"]}
    ids = _scene_ids(images)
    try:
        labels, areas = _labels(known["annotations"], ids, classes, oriented=rules.oriented)
        found, corners = _answers(rows, ids, classes, rules)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"Cannot evaluate {detections} against {truth}: expected COCO rows with image_id, category_id and bbox (and score), "
            f"got one without {error}. Correct the file."
        ) from error
    if rows and not any(found.values()):
        raise InputError(
            f"Cannot evaluate {detections}: expected answers for the {len(images)} images of {truth}, none of {len(rows)} names "
            "one. Check image_id."
        )
    evaluated = {label.class_name for labels_of in labels.values() for label in labels_of} | {
        item.class_name for items in found.values() for item in items
    }
    left_out = len(rows) - sum(len(items) for items in found.values())
    notes = [f"Detections of {detections.name} against {truth.name}; accepted from score {rules.threshold:g}."]
    if left_out:
        notes.append(f"{left_out} detections of unknown images are left out.")
    return EvaluationInput(
        scenes=tuple(_scene(ids[key], image) for key, image in images.items()),
        truth=labels,
        detections=found,
        release=rules.release,
        class_names=tuple(sorted(evaluated - {""})),
        label_areas_px2={} if rules.oriented else areas,
        answer_corners=corners,
        notes=tuple(notes),
    )


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"Cannot evaluate {path}: expected a COCO file, found none. Check the path.") from error
    except ValueError as error:
        raise DataError(f"Cannot read {path}: expected JSON, got {error}. Export it again.") from error


def _scene_ids(images: Mapping[Any, Mapping[str, Any]]) -> dict[Any, str]:
    """Names of the images that sort like their ids, so that ties are broken as COCO breaks them."""
    width = max((len(str(key)) for key in images), default=1)
    return {key: str(key).rjust(width, "0") for key in images}


def _scene(scene_id: str, image: Mapping[str, Any]) -> SceneRecord:
    gsd = image.get("gsd_m")
    return SceneRecord(
        scene_id=scene_id,
        uri=str(image.get("file_name", "")),
        version=str(image.get("version", image.get("file_name", scene_id))),
        modality="sar" if image.get("modality") == "sar" else "optical",
        instrument=str(image.get("instrument", "not stated")),
        width_px=max(1, int(image.get("width", 1))),
        height_px=max(1, int(image.get("height", 1))),
        bands=(Band("not stated"),),
        dtype="unknown",
        gsd_m=float(gsd) if gsd is not None else None,
        footprint_lonlat=tuple((float(x), float(y)) for x, y in image.get("footprint_lonlat", ())),
    )


def _of_known_images(rows: Sequence[Mapping[str, Any]], ids: Mapping[Any, str]) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    for number, row in enumerate(rows):
        scene_id = ids.get(row["image_id"])
        if scene_id is not None:
            yield number, scene_id, row


def _labels(
    rows: Sequence[Mapping[str, Any]], ids: Mapping[Any, str], classes: Mapping[int, str], *, oriented: bool
) -> tuple[dict[str, list[Annotation]], dict[str, float]]:
    labels: dict[str, list[Annotation]] = {scene_id: [] for scene_id in ids.values()}
    areas: dict[str, float] = {}
    for number, scene_id, row in _of_known_images(rows, ids):
        quad = _quad(row) if oriented else None
        ignored = bool(int(row.get("iscrowd", 0)) or row.get("ignore") or row.get("difficult"))
        label = Annotation(
            str(row.get("id", number)), scene_id, _name(row, classes), quad or _upright(row["bbox"]), difficult=ignored
        )
        labels[scene_id].append(label)
        if "area" in row:
            areas[label.annotation_id] = float(row["area"])
    return labels, areas


def _answers(
    rows: Sequence[Mapping[str, Any]], ids: Mapping[Any, str], classes: Mapping[int, str], rules: OutsideRules
) -> tuple[dict[str, list[Detection]], dict[str, Quad]]:
    found: dict[str, list[Detection]] = {scene_id: [] for scene_id in ids.values()}
    corners: dict[str, Quad] = {}
    for number, scene_id, row in _of_known_images(rows, ids):
        key, name, score = str(number), _name(row, classes), float(row["score"])
        quad = _quad(row) if rules.oriented else None
        if quad is not None:
            corners[key] = (quad[0], quad[1], quad[2], quad[3])
            xs, ys = [x for x, _ in quad], [y for _, y in quad]
            box = (min(xs), min(ys), max(xs), max(ys))
        else:
            x, y, width, height = (float(value) for value in row["bbox"])
            box = (x, y, x + width, y + height)
        found[scene_id].append(
            Detection(
                key, key, "", scene_id, "", name, box, score, score, score, score if rules.probabilities else None,
                score >= rules.threshold, (), False, "", "", "", rules.release,
            )
        )  # fmt: skip
    return found, corners


def _name(row: Mapping[str, Any], classes: Mapping[int, str]) -> str:
    number = int(row["category_id"])
    return classes.get(number, f"class {number}")


def _upright(bbox: Any) -> Corners:
    x, y, width, height = (float(value) for value in (json.loads(bbox) if isinstance(bbox, str) else bbox))
    return ((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def _quad(row: Mapping[str, Any]) -> Corners | None:
    """Four corners of a rotated box, or None where the row has none."""
    if "corners" in row:
        flat = [float(value) for corner in row["corners"] for value in corner]
    else:
        polygons = row.get("segmentation")
        if not isinstance(polygons, list) or len(polygons) != 1 or len(polygons[0]) != 8:
            return None
        flat = [float(value) for value in polygons[0]]
    return tuple(zip(flat[::2], flat[1::2], strict=True)) if len(flat) == 8 else None
