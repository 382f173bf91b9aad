"""Reading label files of any supported format into canonical annotations.

Belongs here: detecting the format, finding the scene, bringing coordinates into scene pixels, checking and reporting.
Does not belong here: parsing (one module a format).
"""

import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ovd_platform.datasets.class_names import canonical_class
from ovd_platform.datasets.formats import coco, csv_table, dota, geojson, voc, yolo
from ovd_platform.datasets.formats.imported import ImportedFile, ImportedLabel
from ovd_platform.datasets.polygons import Corners, clip_corners, make_annotation, open_ring, polygon_area
from ovd_platform.datasets.scene_lookup import SceneLookup
from ovd_platform.errors import DataError, InputError, OvdError
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.scene import SceneRecord

if TYPE_CHECKING:
    from pyproj import Transformer

_log = logging.getLogger(__name__)
ROUNDING_PX = 0.01
SUFFIXES = (".json", ".geojson", ".csv", ".txt", ".xml", ".parquet")


def load_annotations(
    path: Path,
    scenes: Mapping[str, SceneRecord],
    *,
    synonyms: Mapping[str, str] | None = None,
    default_class: str = "",
    source: str = "human",
) -> tuple[list[Annotation], list[str]]:
    """Labels of a file, or of every label file below a folder, in pixels of their scenes.

    The format is recognised by content: COCO, GeoJSON, CSV (polygons, boxes, points), YOLO, DOTA, Pascal VOC, or this
    platform's own Parquet. Whatever reaches past the edge of its scene is clipped, whatever is degenerate, outside or without
    a scene is dropped, and each of these is reported with its file and place.

    Args:
        path: Label file or folder.
        scenes: Scene records by scene id; references are matched by id, file name or stem.
        synonyms: Class names to replace after they have been made lower case and singular.
        default_class: Class of labels whose file states none; "" leaves them class-agnostic.
        source: Written into every label that does not bring its own.

    Returns:
        The labels sorted by scene and id, duplicates removed, and the problems: one line each, ``file: place: what``.

    Raises:
        InputError: If the path does not exist.
        DataError: If a single file is of no known format (in a folder it is reported instead).
    """
    if not path.exists():
        raise InputError(f"Cannot read labels from {path}: expected a file or a folder, got nothing there. Correct the path.")
    lookup = SceneLookup(scenes)
    found: dict[str, Annotation] = {}
    problems: list[str] = []
    for file in _label_files(path):
        try:
            annotations, notes = _load_file(file, lookup, synonyms, default_class, source)
        except DataError as error:
            if path.is_file():
                raise
            annotations, notes = [], [f"dropped, {error}"]
        problems += [f"{file.name}: {note}" for note in notes]
        for annotation in annotations:
            if annotation.annotation_id in found:
                problems.append(f"{file.name}: duplicate of {annotation.annotation_id} in {annotation.scene_id}: dropped")
            found.setdefault(annotation.annotation_id, annotation)
    if problems:
        _log.warning("%d labels of %s read, %d notes, first: %s", len(found), path, len(problems), problems[0])
    return sorted(found.values(), key=lambda one: (one.scene_id, one.annotation_id)), problems


def _label_files(path: Path) -> list[Path]:
    """The file itself, or the label files below a folder in order of their names."""
    if path.is_file():
        return [path]
    names = set(yolo.NAME_FILES)
    files = (file for file in path.rglob("*") if file.is_file() and file.name not in names)
    return sorted(file for file in files if file.suffix.lower() in SUFFIXES)


def _load_file(
    path: Path, lookup: SceneLookup, synonyms: Mapping[str, str] | None, default_class: str, source: str
) -> tuple[list[Annotation], list[str]]:
    """Labels and notes of one file."""
    if path.suffix.lower() == ".parquet":
        from ovd_platform.datasets.canonical import read_annotations

        return read_annotations(path), []
    imported = parse_file(path)
    problems = list(imported.problems)
    annotations = []
    for label in imported.labels:
        annotation, note = _resolve(label, lookup, synonyms, default_class, source)
        if note:
            problems.append(f"{label.where}: {note}")
        if annotation is not None:
            annotations.append(annotation)
    return annotations, problems


def parse_file(path: Path) -> ImportedFile:
    """Labels of one file as the file states them.

    Raises:
        DataError: If the content is of no known format or not text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read labels from {path}: expected UTF-8 text, got {error}. Export them again.") from error
    kind = path.suffix.lower()
    if kind in (".json", ".geojson"):
        return _parse_json(text, path)
    if kind == ".xml" or text.lstrip().startswith("<"):
        return voc.parse_voc(text, path.stem)
    if kind == ".csv" and csv_table.is_label_header(text.split("\n", 1)[0]):
        return csv_table.parse_csv(text, path.stem)
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines and kind == ".txt":
        return ImportedFile()
    if lines and dota.is_dota_line(lines[0]):
        return dota.parse_dota(text, path.stem)
    if lines and yolo.is_yolo_line(lines[0]):
        return yolo.parse_yolo(text, path.stem, yolo.class_names_near(path))
    raise _unknown(path, f"'{lines[0][:60]}'" if lines else "an empty file")


def _parse_json(text: str, path: Path) -> ImportedFile:
    """COCO or GeoJSON."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"Cannot read labels from {path}: expected JSON, got {error}. Export the labels again.") from error
    if coco.is_coco(content):
        return coco.parse_coco(content)
    if geojson.is_geojson(content):
        return geojson.parse_geojson(content, path.stem)
    raise _unknown(path, f"JSON with {', '.join(list(content)[:5]) if isinstance(content, dict) else type(content).__name__}")


def _unknown(path: Path, got: str) -> DataError:
    return DataError(
        f"Cannot read labels from {path}: expected COCO, GeoJSON, CSV, YOLO, DOTA, Pascal VOC or Parquet, got {got}. "
        "Convert the file to one of these."
    )


def _resolve(
    label: ImportedLabel, lookup: SceneLookup, synonyms: Mapping[str, str] | None, default_class: str, source: str
) -> tuple[Annotation | None, str]:
    """The canonical label, or None with the reason it was dropped."""
    record, note = lookup.find(label.reference)
    if record is None:
        return None, f"dropped, {note}"
    notes = [text for text in (label.note, note) if text]
    try:
        corners = open_ring(to_scene_pixels(label, record))
    except (OvdError, ValueError) as error:
        return None, f"dropped, no pixel position in {record.scene_id} ({error})"
    if not corners or not np.isfinite(np.asarray(corners)).all():
        return None, "dropped, coordinates are not finite"
    if len(corners) == 2 or (len(corners) > 2 and polygon_area(corners) <= 0) or (len(corners) == 1 and len(label.corners) > 1):
        return None, f"dropped, degenerate geometry {_short(corners)}"
    clipped = clip_corners(corners, record.width_px, record.height_px)
    if not clipped:
        return None, f"dropped, {_short(corners)} lies outside {record.scene_id} ({record.width_px} x {record.height_px} px)"
    if clipped is not corners and _overhang(corners, record) > ROUNDING_PX:
        kept = polygon_area(clipped) / polygon_area(corners)
        notes.append(f"clipped at the edge of {record.scene_id}, {kept:.3f} of the area kept: {_short(corners)}")
    name = canonical_class(label.class_name or default_class, synonyms)
    return make_annotation(record.scene_id, name, clipped, source=source, difficult=label.difficult), "; ".join(notes)


def to_scene_pixels(label: ImportedLabel, record: SceneRecord) -> Corners:
    """Corners of a label in pixels of its scene, whatever frame the file uses.

    Raises:
        InputError: If the frame needs a georeference the scene lacks.
    """
    frame = label.frame
    if frame == "auto":
        frame = "pixel" if record.georeference == "none" else "lonlat"
    if frame == "pixel":
        return label.corners
    if frame == "normalised":
        return tuple((x * record.width_px, y * record.height_px) for x, y in label.corners)
    if record.georeference == "none":
        raise InputError(f"Cannot place a label in {record.scene_id}: expected a georeferenced scene, got none. Give pixels.")
    lonlat_n2 = np.asarray(label.corners, dtype=np.float64)
    if frame == "crs":
        lonlat_n2 = np.stack(_to_lonlat(label.crs).transform(lonlat_n2[:, 0], lonlat_n2[:, 1]), axis=-1)
    from ovd_platform.geometry.footprint import lonlat_to_pixel

    return tuple((float(x), float(y)) for x, y in lonlat_to_pixel(record, lonlat_n2))


@lru_cache(maxsize=32)
def _to_lonlat(crs: str) -> "Transformer":
    """Transformer from a label file's CRS to (lon, lat) degrees.

    Raises:
        DataError: If the CRS is unknown.
    """
    from pyproj import CRS, Transformer
    from pyproj.exceptions import CRSError

    try:
        return Transformer.from_crs(CRS.from_user_input(crs), "OGC:CRS84", always_xy=True)
    except CRSError as error:
        raise DataError(f"Cannot place labels: expected a known CRS, got {crs!r} ({error}). Correct the crs member.") from error


def _overhang(corners: Corners, record: SceneRecord) -> float:
    """How far corners reach outside of their scene, pixels."""
    xs, ys = [corner[0] for corner in corners], [corner[1] for corner in corners]
    return max(0.0, -min(xs), -min(ys), max(xs) - record.width_px, max(ys) - record.height_px)


def _short(corners: Corners) -> str:
    """The box around corners, for messages."""
    xs, ys = [corner[0] for corner in corners], [corner[1] for corner in corners]
    return f"({min(xs):.1f}, {min(ys):.1f}, {max(xs):.1f}, {max(ys):.1f})"
