"""CSV labels: polygons as Python or JSON lists (Airbus), boxes, points. Belongs here: parsing by header, and writing boxes."""

import ast
import csv
import io
import json
from collections.abc import Sequence

from ovd_platform.datasets.formats.imported import ImportedFile, ImportedLabel
from ovd_platform.datasets.polygons import Corners, box_corners, open_ring
from ovd_platform.records.annotation import Annotation

IMAGE_COLUMNS = ("image_id", "image", "scene_id", "scene", "file_name", "filename", "file", "image_path")
CLASS_COLUMNS = ("class", "class_name", "label", "category", "name")
_BOX_COLUMNS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x0", "y0", "x1", "y1"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
)
_GEOMETRY_COLUMNS = ("geometry", "polygon", "corners", "corners_px")
_TRUNCATED = ("truncated_", "truncated-", "truncated ")


def parse_csv(text: str, stem: str) -> ImportedFile:
    """Labels of a CSV file with a header.

    Polygons come from a geometry column, boxes from four columns, points from ``x`` and ``y``, all in pixels. A class that
    begins with ``Truncated_`` is the class without the prefix, marked difficult, because the image border cuts the object.

    Args:
        text: Content of the file.
        stem: File stem: the scene where no column names one.
    """
    result = ImportedFile()
    reader = csv.DictReader(io.StringIO(text))
    columns = {name.strip().lower(): name for name in reader.fieldnames or []}
    image_column = next((columns[name] for name in IMAGE_COLUMNS if name in columns), None)
    class_column = next((columns[name] for name in CLASS_COLUMNS if name in columns), None)
    for number, row in enumerate(reader, start=2):
        where = f"line {number}"
        try:
            corners = _corners(row, columns)
        except (KeyError, TypeError, ValueError, SyntaxError, IndexError) as error:
            result.problems.append(f"{where}: dropped, geometry is unreadable ({error!r})")
            continue
        reference = (row.get(image_column) or "") if image_column else ""
        name = ((row.get(class_column) or "") if class_column else "").strip()
        truncated = name.lower().startswith(_TRUNCATED)
        difficult = truncated or str(row.get(columns.get("difficult", ""), "")).strip().lower() in ("1", "true", "yes")
        name = name[len(_TRUNCATED[0]) :] if truncated else name
        result.labels.append(ImportedLabel(where, reference.strip() or stem, name, corners, difficult=difficult))
    return result


def is_label_header(header: str) -> bool:
    """Whether the first line of a CSV file holds columns this module reads."""
    columns = {name.strip().lower() for name in header.split(",")}
    boxes = any(set(names) <= columns for names in _BOX_COLUMNS)
    return boxes or bool(columns & set(_GEOMETRY_COLUMNS)) or {"x", "y"} <= columns


def _corners(row: dict[str, str], columns: dict[str, str]) -> Corners:
    """Ring, box or point of one row."""
    for name in _GEOMETRY_COLUMNS:
        if name in columns:
            return _parse_geometry(row[columns[name]])
    for names in _BOX_COLUMNS:
        if all(name in columns for name in names):
            return box_corners(*(float(row[columns[name]]) for name in names))
    if "x" in columns and "y" in columns:
        return ((float(row[columns["x"]]), float(row[columns["y"]])),)
    raise KeyError(f"no geometry among the columns {', '.join(columns)}")


def _parse_geometry(text: str) -> Corners:
    """Ring of a list of tuples, of a flat list, or of a GeoJSON geometry in a cell."""
    text = text.strip()
    value = json.loads(text) if text.startswith("{") else ast.literal_eval(text)
    if isinstance(value, dict):
        value = value["coordinates"][0]
    if value and not isinstance(value[0], list | tuple):
        value = list(zip(value[::2], value[1::2], strict=True))
    ring = open_ring(value)
    if not ring:
        raise ValueError("empty ring")
    return ring


def format_csv(annotations: Sequence[Annotation]) -> str:
    """CSV with exact polygons (``image_id, geometry, class, difficult``); parsing it back gives the same corners."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["image_id", "geometry", "class", "difficult"])
    for annotation in annotations:
        geometry = str([tuple(corner) for corner in annotation.corners_scene_xy])
        writer.writerow([annotation.scene_id, geometry, annotation.class_name, int(annotation.difficult)])
    return buffer.getvalue()
