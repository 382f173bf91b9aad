"""Pascal VOC XML labels. Belongs here: parsing and writing of one XML file an image."""

import math
from collections.abc import Sequence
from xml.etree import ElementTree

from ovd_platform.datasets.formats.imported import ImportedFile, ImportedLabel
from ovd_platform.datasets.polygons import Corners, box_corners
from ovd_platform.errors import DataError
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.scene import SceneRecord

_MAX_BYTES = 64 * 1024 * 1024


def parse_voc(text: str, stem: str) -> ImportedFile:
    """Labels of one VOC file.

    VOC counts pixels from 1 and includes the last one, so ``xmin - 1, ymin - 1, xmax, ymax`` is the half-open box. Many tools
    write half-open boxes from 0 instead: a file with a coordinate 0 is read that way, and says so.

    Args:
        text: Content of the file. Boxes, rotated boxes (``robndbox``) and polygons are read.
        stem: File stem: the scene if the file names none.

    Raises:
        DataError: If the text is no XML, declares entities, or is larger than 64 MiB.
    """
    if len(text) > _MAX_BYTES or "<!ENTITY" in text:
        raise DataError(f"Cannot read VOC file {stem}: expected plain XML below 64 MiB, got entities or more. Clean the file.")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"Cannot read VOC file {stem}: expected XML, got {error}. Export the labels again.") from error
    result = ImportedFile()
    reference = (root.findtext("filename") or "").strip() or stem
    zero_based = any(_number(node, tag) == 0 for node in root.iter("bndbox") for tag in ("xmin", "ymin"))
    if zero_based:
        result.problems.append("note: a coordinate is 0, so boxes are taken as half-open and counted from 0")
    for position, node in enumerate(root.iter("object")):
        where = f"object {position}"
        corners = _corners(node, 0 if zero_based else 1)
        if corners is None:
            result.problems.append(f"{where}: dropped, no readable bndbox, robndbox or polygon")
            continue
        difficult = (node.findtext("difficult") or "0").strip() in ("1", "true")
        name = (node.findtext("name") or "").strip()
        result.labels.append(ImportedLabel(where, reference, name, corners, difficult=difficult))
    return result


def _number(node: ElementTree.Element, tag: str) -> float | None:
    """A child's value as a number, or None."""
    try:
        return float(node.findtext(tag) or "")
    except ValueError:
        return None


def _corners(node: ElementTree.Element, first: int) -> Corners | None:
    """Ring of one object, or None; `first` is the number of the first pixel (for boxes)."""
    polygon = node.find("polygon")
    if polygon is not None:
        values = [float(child.text or "nan") for child in polygon]
        ring = tuple(zip(values[::2], values[1::2], strict=False))
        return ring if len(ring) > 2 else None
    rotated = node.find("robndbox")
    if rotated is not None:
        cx, cy, width, height, angle = (_number(rotated, tag) for tag in ("cx", "cy", "w", "h", "angle"))
        if cx is None or cy is None or width is None or height is None or angle is None:
            return None
        cos, sin = math.cos(angle), math.sin(angle)
        offsets = ((-width, -height), (width, -height), (width, height), (-width, height))
        return tuple((cx + (dx * cos - dy * sin) / 2, cy + (dx * sin + dy * cos) / 2) for dx, dy in offsets)
    box = node.find("bndbox")
    values_or_none = [_number(box, tag) for tag in ("xmin", "ymin", "xmax", "ymax")] if box is not None else [None]
    values = [value for value in values_or_none if value is not None]
    if len(values) != 4:
        return None
    return box_corners(values[0] - first, values[1] - first, values[2], values[3])


def format_voc(annotations: Sequence[Annotation], scene: SceneRecord) -> str:
    """VOC XML of one scene: 1-based inclusive boxes, and the exact polygon where a label is not an axis-aligned box."""
    from ovd_platform.datasets.polygons import is_axis_aligned

    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = scene.scene_id
    size = ElementTree.SubElement(root, "size")
    for tag, value in (("width", scene.width_px), ("height", scene.height_px), ("depth", len(scene.bands))):
        ElementTree.SubElement(size, tag).text = str(value)
    for annotation in annotations:
        if annotation.scene_id != scene.scene_id or len(annotation.corners_scene_xy) < 3:
            continue
        node = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(node, "name").text = annotation.class_name
        ElementTree.SubElement(node, "difficult").text = str(int(annotation.difficult))
        x0, y0, x1, y1 = annotation.box_scene_xyxy
        box = ElementTree.SubElement(node, "bndbox")
        for tag, edge in (("xmin", x0 + 1), ("ymin", y0 + 1), ("xmax", x1), ("ymax", y1)):
            ElementTree.SubElement(box, tag).text = f"{edge:.12g}"
        if not is_axis_aligned(annotation.corners_scene_xy):
            polygon = ElementTree.SubElement(node, "polygon")
            for index, (x, y) in enumerate(annotation.corners_scene_xy, start=1):
                ElementTree.SubElement(polygon, f"x{index}").text = f"{x:.12g}"
                ElementTree.SubElement(polygon, f"y{index}").text = f"{y:.12g}"
    return ElementTree.tostring(root, encoding="unicode")
