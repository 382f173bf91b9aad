"""DOTA text labels: oriented boxes as four corners. Belongs here: parsing and writing of one text file an image."""

from collections.abc import Sequence

from ovd_platform.datasets.formats.imported import ImportedFile, ImportedLabel
from ovd_platform.datasets.polygons import four_corners
from ovd_platform.records.annotation import Annotation

_HEADERS = ("imagesource:", "gsd:", "acquisition dates:")


def is_dota_line(line: str) -> bool:
    """Whether a line reads ``x1 y1 ... x4 y4 class [difficult]`` or is one of the file's header lines."""
    if line.lower().startswith(_HEADERS):
        return True
    fields = line.split()
    if len(fields) < 9:
        return False
    try:
        [float(field) for field in fields[:8]]
    except ValueError:
        return False
    return not fields[8].replace(".", "").lstrip("-").isdigit()


def parse_dota(text: str, stem: str) -> ImportedFile:
    """Labels of one DOTA file; a difficulty of 1 or 2 becomes `difficult`; `stem` names the scene."""
    result = ImportedFile()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lower().startswith(_HEADERS):
            continue
        where = f"line {number}"
        if not is_dota_line(line):
            result.problems.append(f"{where}: dropped, expected 8 coordinates, class, difficulty, got '{line.strip()[:60]}'")
            continue
        fields = line.split()
        values = [float(field) for field in fields[:8]]
        rest = fields[8:]
        difficult = rest[-1] in ("1", "2") and len(rest) > 1
        name = " ".join(rest[:-1] if len(rest) > 1 and rest[-1].isdigit() else rest)
        corners = tuple(zip(values[::2], values[1::2], strict=True))
        result.labels.append(ImportedLabel(where, stem, name, corners, difficult=difficult))
    return result


def format_dota(annotations: Sequence[Annotation]) -> str:
    """DOTA text of one scene's labels; a polygon of other than four corners becomes its smallest rotated rectangle."""
    lines = []
    for annotation in annotations:
        if len(annotation.corners_scene_xy) < 3:
            continue
        values = [part for corner in four_corners(annotation.corners_scene_xy) for part in corner]
        name = annotation.class_name.replace(" ", "-") or "object"
        lines.append(" ".join([*(f"{value:.12g}" for value in values), name, str(int(annotation.difficult))]))
    return "\n".join(lines) + ("\n" if lines else "")
