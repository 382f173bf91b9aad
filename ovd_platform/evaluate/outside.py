"""Detections and truth of others, as COCO files, made into an evaluation's input.

Belongs here: reading the two files. Does not belong here: judging them; labels of a workspace come through `datasets.formats`.
"""

import gc
import json
import math
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
MOST_PX = 1e9


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
            pixel), ``footprint_lonlat`` (ring of degrees) and ``instrument``; COCO's own fields (with width and height) suffice.
        rules: How to read them.

    Raises:
        DataError: If a file is no JSON, or a row lacks a field or holds no finite number; the message names row and value.
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
    known, rows = _read_truth(truth), _rows(detections, _read(detections))
    classes = _classes(truth, known)
    images = _images(truth, known)
    ids = _scene_ids(images)
    labels, areas = _labels(truth, _rows(truth, known), ids, classes, oriented=rules.oriented)
    found, corners = _answers(detections, rows, ids, classes, rules)
    if rows and not any(found.values()):
        raise InputError(
            f"Cannot evaluate {detections}: expected answers for the {len(images)} images of {truth}, none of {len(rows)} names "
            f"one ({rows[0]['image_id']!r} against {next(iter(images))!r}). Check image_id."
        )
    evaluated = {label.class_name for labels_of in labels.values() for label in labels_of} | {
        item.class_name for items in found.values() for item in items
    }
    left_out = len(rows) - sum(len(items) for items in found.values())
    notes = [f"Detections of {detections.name} against {truth.name}; accepted from score {rules.threshold:g}."]
    if left_out:
        notes.append(f"{left_out} detections of unknown images are left out.")
    if classes and (strange := sorted(evaluated - set(classes.values()))):
        notes.append(f"The truth does not name {', '.join(strange[:3])}: every answer of such a category is false.")
    return EvaluationInput(
        scenes=tuple(_scene(truth, ids[key], image) for key, image in images.items()),
        truth=labels,
        detections=found,
        release=rules.release,
        class_names=tuple(sorted(evaluated - {""} or set(classes.values()))),
        label_areas_px2={} if rules.oriented else areas,
        answer_corners=corners,
        notes=tuple(notes),
    )


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"Cannot evaluate {path}: expected a COCO file, found none. Check the path.") from error
    except OSError as error:
        raise InputError(f"Cannot evaluate {path}: expected a COCO file, got {error.strerror}. Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"Cannot read {path}: expected JSON, got {error}. Export it again.") from error


def _read_truth(path: Path) -> Mapping[str, Any]:
    known = _read(path)
    if not isinstance(known, Mapping) or not known.get("images") or not isinstance(known.get("annotations"), list):
        raise DataError(
            f"Cannot read {path} as COCO truth: expected images and annotations, got a file without them. Pass the truth file."
        )
    return known


def _rows(path: Path, content: Any) -> list[Any]:
    rows = content.get("annotations") if isinstance(content, Mapping) else content
    if not isinstance(rows, list):
        raise DataError(
            f"Cannot read {path} as COCO detections: expected a list of rows (or one under `annotations`), got "
            f"{type(content).__name__}. Pass the results file."
        )
    return rows


def _bad_row(path: Path, what: str, number: int, error: Exception) -> DataError:
    problem = f"no {error}" if isinstance(error, KeyError) else str(error)
    return DataError(
        f"Cannot read {what} {number} (counted from 0) of {path}: expected a COCO row with image_id, category_id, bbox "
        f"[x, y, width, height] and, of a detection, score; got {problem}. Correct the file."
    )


def _classes(path: Path, known: Mapping[str, Any]) -> dict[int, str]:
    try:
        return {int(c["id"]): str(c["name"]) for c in known.get("categories", [])}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"Cannot read the categories of {path}: expected rows with id and name, got one with {error!r}. Correct the file."
        ) from error


def _images(path: Path, known: Mapping[str, Any]) -> dict[Any, Mapping[str, Any]]:
    """Images by id."""
    images: dict[Any, Mapping[str, Any]] = {}
    for number, image in enumerate(known["images"]):
        if not isinstance(image, Mapping) or not isinstance(image.get("id"), int | str):
            raise DataError(f"Cannot read image {number} of {path}: expected an id, got {str(image)[:80]}. Correct the file.")
        if image["id"] in images:
            raise DataError(f"Cannot read {path}: expected each image once, got two with id {image['id']}. Correct the file.")
        images[image["id"]] = image
    return images


def _scene_ids(images: Mapping[Any, Mapping[str, Any]]) -> dict[Any, str]:
    """Names of the images that sort like their ids, so that ties are broken as COCO breaks them."""
    width = max((len(str(key)) for key in images), default=1)
    return {key: str(key).rjust(width, "0") for key in images}


def _scene(path: Path, scene_id: str, image: Mapping[str, Any]) -> SceneRecord:
    try:
        size = int(image["width"]), int(image["height"])
        gsd = None if image.get("gsd_m") is None else float(image["gsd_m"])
        footprint = tuple((float(x), float(y)) for x, y in image.get("footprint_lonlat", ()))
        if min(size) < 1 or (gsd is not None and not 0 < gsd < math.inf):
            raise ValueError(f"width {size[0]}, height {size[1]} and gsd_m {gsd}")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"Cannot read image {image['id']} of {path}: expected width and height in pixels (they give the area and show which "
            f"objects the border cuts), and perhaps gsd_m above 0 and a footprint_lonlat of [lon, lat]; got {error!r}. Add them."
        ) from error
    return SceneRecord(
        scene_id=scene_id,
        uri=str(image.get("file_name", "")),
        version=str(image.get("version", image.get("file_name", scene_id))),
        modality="sar" if image.get("modality") == "sar" else "optical",
        instrument=str(image.get("instrument", "not stated")),
        width_px=size[0],
        height_px=size[1],
        bands=(Band("not stated"),),
        dtype="unknown",
        gsd_m=gsd,
        footprint_lonlat=footprint,
    )


def _labels(
    path: Path, rows: Sequence[Any], ids: Mapping[Any, str], classes: Mapping[int, str], *, oriented: bool
) -> tuple[dict[str, list[Annotation]], dict[str, float]]:
    labels: dict[str, list[Annotation]] = {scene_id: [] for scene_id in ids.values()}
    areas: dict[str, float] = {}
    seen: set[str] = set()
    for number, row in enumerate(rows):
        try:
            scene_id = ids.get(row["image_id"])
            if scene_id is None:
                continue
            quad = _quad(row) if oriented else None
            corners = quad or _upright(_box(row["bbox"]))
            ignored = bool(int(row.get("iscrowd") or 0) or row.get("ignore") or row.get("difficult"))
            name, key = _name(row, classes), str(row.get("id", number))
            key = f"{key} of row {number}" if key in seen else key
            if "area" in row:
                areas[key] = float(row["area"])
        except (KeyError, TypeError, ValueError) as error:
            raise _bad_row(path, "label", number, error) from error
        seen.add(key)
        labels[scene_id].append(Annotation(key, scene_id, name, corners, difficult=ignored))
    return labels, areas


def _answers(
    path: Path, rows: Sequence[Any], ids: Mapping[Any, str], classes: Mapping[int, str], rules: OutsideRules
) -> tuple[dict[str, list[Detection]], dict[str, Quad]]:
    found: dict[str, list[Detection]] = {scene_id: [] for scene_id in ids.values()}
    corners: dict[str, Quad] = {}
    for number, row in enumerate(rows):
        try:
            scene_id = ids.get(row["image_id"])
            if scene_id is None:
                continue
            key, name, score = str(number), _name(row, classes), float(row["score"])
            if not -math.inf < score < math.inf or (rules.probabilities and not 0.0 <= score <= 1.0):
                raise ValueError(f"score {score}{', which is no probability' if rules.probabilities else ''}")
            quad = _quad(row) if rules.oriented else None
            if quad is None:
                box = _box(row["bbox"])
            else:
                corners[key] = (quad[0], quad[1], quad[2], quad[3])
                xs, ys = [x for x, _ in quad], [y for _, y in quad]
                box = (min(xs), min(ys), max(xs), max(ys))
        except (KeyError, TypeError, ValueError) as error:
            raise _bad_row(path, "detection", number, error) from error
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


def _box(bbox: Any) -> tuple[float, float, float, float]:
    """Corners of a COCO box; refuses what is not finite or has negative sides."""
    x, y, width, height = (float(value) for value in (json.loads(bbox) if isinstance(bbox, str) else bbox))
    if not (width >= 0.0 and height >= 0.0 and abs(x) + abs(y) + width + height < MOST_PX):
        raise ValueError(f"bbox {[x, y, width, height]}")
    return (x, y, x + width, y + height)


def _upright(box: tuple[float, float, float, float]) -> Corners:
    """Four corners of an upright box."""
    x0, y0, x1, y1 = box
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def _quad(row: Mapping[str, Any]) -> Corners | None:
    """Four corners of a rotated box, or None where the row has none."""
    if "corners" in row:
        flat = [float(value) for corner in row["corners"] for value in corner]
    else:
        polygons = row.get("segmentation")
        if not isinstance(polygons, list) or len(polygons) != 1 or len(polygons[0]) != 8:
            return None
        flat = [float(value) for value in polygons[0]]
    if len(flat) != 8 or not sum(abs(value) for value in flat) < MOST_PX:
        raise ValueError(f"corners {flat}")
    return tuple(zip(flat[::2], flat[1::2], strict=True))
