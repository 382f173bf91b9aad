"""YOLO text labels, boxes and oriented boxes. Belongs here: parsing and writing of one text file an image."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ovd_platform.datasets.formats.imported import ImportedFile, ImportedLabel
from ovd_platform.datasets.polygons import box_corners, is_axis_aligned, open_ring
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.scene import SceneRecord

NAME_FILES = ("classes.txt", "obj.names", "classes.names", "data.yaml", "dataset.yaml")
_MAX_PARENTS = 3


def is_yolo_line(line: str) -> bool:
    """Whether a line reads ``class x y w h`` (score allowed) or ``class`` and an even number of at least six coordinates."""
    fields = line.split()
    if len(fields) < 5 or not fields[0].isdigit():
        return False
    try:
        values = [float(field) for field in fields[1:]]
    except ValueError:
        return False
    return all(-1.0 <= value <= 2.0 for value in values)


def parse_yolo(text: str, stem: str, names: Mapping[int, str]) -> ImportedFile:
    """Labels of one YOLO file.

    Args:
        text: Content; five or six values a line are a box (centre, size, normalised; a sixth is a score and is ignored), an odd
            number from seven on is a normalised polygon.
        stem: File stem: the scene.
        names: Class names by number; a number without a name becomes ``class <number>`` and is reported.
    """
    result = ImportedFile()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        if not is_yolo_line(line):
            result.problems.append(f"{where}: dropped, expected 'class x y width height' in [0, 1], got '{line.strip()[:60]}'")
            continue
        fields = line.split()
        values = [float(field) for field in fields[1:]]
        class_number = int(fields[0])
        note = "" if class_number in names else f"class number {class_number} has no name in classes.txt or data.yaml"
        if len(values) <= 5:
            x, y, width, height = values[:4]
            corners = box_corners(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        elif len(values) % 2 == 0:
            corners = open_ring(list(zip(values[::2], values[1::2], strict=True)))
        else:
            result.problems.append(f"{where}: dropped, {len(values)} coordinates are neither a box nor a polygon")
            continue
        name = names.get(class_number, f"class {class_number}")
        result.labels.append(ImportedLabel(where, stem, name, corners, "normalised", note=note))
    return result


def class_names_near(path: Path) -> dict[int, str]:
    """Class names from ``classes.txt``, ``obj.names`` or ``data.yaml`` in the label file's folder or up to three above it."""
    for folder in list(path.parents)[: _MAX_PARENTS + 1]:
        for name in NAME_FILES:
            if (folder / name).is_file():
                return _read_names(folder / name)
    return {}


def _read_names(path: Path) -> dict[int, str]:
    """Names by number from a list of lines or from the ``names`` of a YAML file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".yaml":
        return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    import yaml

    names = (yaml.safe_load(text) or {}).get("names", [])
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    return {int(key): str(value) for key, value in pairs}


def format_yolo(annotations: Sequence[Annotation], scene: SceneRecord, class_names: Sequence[str]) -> str:
    """YOLO text of one scene: boxes where the label is a box, else polygons; points and other scenes are left out.

    Args:
        annotations: Labels.
        scene: The scene, for its size.
        class_names: Names in the order of their numbers.
    """
    lines = []
    for annotation in annotations:
        corners = annotation.corners_scene_xy
        if annotation.scene_id != scene.scene_id or len(corners) < 3:
            continue
        number = list(class_names).index(annotation.class_name)
        if is_axis_aligned(corners):
            x0, y0, x1, y1 = annotation.box_scene_xyxy
            values = [(x0 + x1) / 2 / scene.width_px, (y0 + y1) / 2 / scene.height_px]
            values += [(x1 - x0) / scene.width_px, (y1 - y0) / scene.height_px]
        else:
            values = [part for x, y in corners for part in (x / scene.width_px, y / scene.height_px)]
        lines.append(" ".join([str(number), *(f"{value:.12g}" for value in values)]))
    return "\n".join(lines) + ("\n" if lines else "")
