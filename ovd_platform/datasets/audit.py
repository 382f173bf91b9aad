"""Audit of COCO data sets and labels before anything long is trained on them.

Belongs here: checks and counts of what is there. Does not belong here: repair, merging, or the leakage gate (`splits`).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from ovd_platform.datasets.splits import Split
from ovd_platform.errors import DataError

Severity = Literal["error", "warning"]
SIZE_EDGES_PX = (0.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
_MAX_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of trouble.

    Attributes:
        kind: Short name: ``degenerate``, ``out_of_range``, ``duplicate`` and the like.
        severity: ``error`` makes the data set unfit for training, ``warning`` is to be looked at.
        count: How often it occurs.
        examples: Up to five places.
    """

    kind: str
    severity: Severity
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found.

    Attributes:
        findings: Sorted: errors first, then by kind.
        images: Number of images.
        empty_images: Images without a label.
        annotations: Number of labels.
        per_class: Labels by class name, also classes without any.
        size_histogram: Labels by the square root of their box area in pixels, keys like ``8-16``.
        per_side: Labels by side of the split and class; empty without a split.
    """

    findings: tuple[Finding, ...]
    images: int
    empty_images: int
    annotations: int
    per_class: Mapping[str, int]
    size_histogram: Mapping[str, int]
    per_side: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready mapping."""
        return {**asdict(self), "passed": self.passed}

    def require_passed(self) -> None:
        """Refuse a data set with errors.

        Raises:
            DataError: Naming the errors with one example each.
        """
        errors = [f"{one.count} {one.kind} ({one.examples[0]})" for one in self.findings if one.severity == "error"]
        if errors:
            raise DataError(
                f"Cannot train on this data set: expected a clean audit, got {'; '.join(errors)}. Repair the labels."
            )


def audit_coco(
    coco: Mapping[str, Any], *, expected_classes: Sequence[str] | None = None, split: Split | None = None
) -> AuditReport:
    """Check ids, classes, geometry, duplicates and sides of a COCO data set.

    Args:
        coco: Parsed COCO; images with a ``scene_id`` are checked against the split.
        expected_classes: Every class must be one of these and each should occur; None skips the check.
        split: Sides of the scenes; None skips the check.

    Returns:
        The report; nothing is changed.
    """
    found: dict[tuple[str, Severity], list[str]] = defaultdict(list)
    images = {image["id"]: image for image in coco["images"]}
    names = {category["id"]: str(category["name"]) for category in coco["categories"]}
    _audit_tables(coco, found)
    for name in names.values():
        if expected_classes is not None and name not in expected_classes:
            found["unexpected_class", "error"].append(name)
    per_class: Counter[str] = Counter(dict.fromkeys(names.values(), 0))
    sizes: list[float] = []
    seen: dict[tuple[Any, ...], Any] = {}
    for entry in coco["annotations"]:
        where = f"annotation {entry['id']}"
        image = images.get(entry["image_id"])
        if image is None or entry["category_id"] not in names:
            found["dangling_reference", "error"].append(where)
            continue
        per_class[names[entry["category_id"]]] += 1
        _audit_box(entry, image, where, found)
        x, y, width, height = (float(value) for value in entry["bbox"])
        sizes.append(float(np.sqrt(max(width, 0) * max(height, 0))))
        key = (entry["image_id"], entry["category_id"], round(x, 1), round(y, 1), round(width, 1), round(height, 1))
        if key in seen:
            found["duplicate_box", "error"].append(f"{where} repeats annotation {seen[key]}")
        seen.setdefault(key, entry["id"])
    for name in expected_classes or ():
        if not per_class.get(name):
            found["class_without_labels", "warning"].append(name)
    per_side = _audit_sides(coco, images, names, split, found) if split is not None else {}
    used = {entry["image_id"] for entry in coco["annotations"]}
    return AuditReport(
        _findings(found),
        len(coco["images"]),
        sum(image not in used for image in images),
        len(coco["annotations"]),
        dict(sorted(per_class.items())),
        size_histogram(sizes),
        per_side,
    )


def size_histogram(sizes_px: Sequence[float]) -> dict[str, int]:
    """Counts of sizes (square root of the box area, pixels) by bins of doubling width."""
    counts, _ = np.histogram(np.asarray(sizes_px, dtype=np.float64), bins=[*SIZE_EDGES_PX, np.inf])
    labels = [f"{low:g}-{high:g}" for low, high in pairwise(SIZE_EDGES_PX)]
    return dict(zip([*labels, f">={SIZE_EDGES_PX[-1]:g}"], counts.tolist(), strict=True))


def _audit_tables(coco: Mapping[str, Any], found: dict[tuple[str, Severity], list[str]]) -> None:
    """Repeated ids and names, images without size."""
    for table, key in (("images", "id"), ("annotations", "id"), ("categories", "id"), ("categories", "name")):
        values = Counter(str(entry[key]) for entry in coco[table])
        found["repeated_id", "error"] += [f"{table}.{key} {value}" for value, count in values.items() if count > 1]
    files = Counter(str(image.get("file_name", image["id"])) for image in coco["images"])
    found["repeated_image", "error"] += [name for name, count in files.items() if count > 1]
    for image in coco["images"]:
        if image.get("width", 0) <= 0 or image.get("height", 0) <= 0:
            found["image_without_size", "error"].append(f"image {image['id']}")


def _audit_box(
    entry: Mapping[str, Any], image: Mapping[str, Any], where: str, found: dict[tuple[str, Severity], list[str]]
) -> None:
    """Degenerate, outside, or implausible boxes."""
    box = np.asarray(entry["bbox"], dtype=np.float64)
    if box.shape != (4,) or not np.isfinite(box).all() or box[2] <= 0 or box[3] <= 0:
        found["degenerate_box", "error"].append(f"{where}: {entry['bbox']}")
        return
    x, y, width, height = box
    tolerance = 0.01
    if x < -tolerance or y < -tolerance or x + width > image["width"] + tolerance or y + height > image["height"] + tolerance:
        found["out_of_range_box", "error"].append(f"{where}: {entry['bbox']} in {image['width']} x {image['height']} px")
    if min(width, height) < 2:
        found["box_below_2_px", "warning"].append(where)
    if max(width, height) / min(width, height) > 20:
        found["aspect_above_20", "warning"].append(where)


def _audit_sides(
    coco: Mapping[str, Any],
    images: Mapping[Any, Mapping[str, Any]],
    names: Mapping[Any, str],
    split: Split,
    found: dict[tuple[str, Severity], list[str]],
) -> dict[str, dict[str, int]]:
    """Labels by side and class; images of unknown scenes; synthetic images outside of training."""
    side_of = {scene_id: side for side in ("train", "calibration", "test") for scene_id in getattr(split, side)}
    per_side: dict[str, Counter[str]] = defaultdict(Counter)
    for image in images.values():
        side = side_of.get(str(image.get("scene_id", "")))
        if image.get("synthetic"):
            donors = [str(donor) for donor in image.get("donor_scenes", ())]
            if any(side_of.get(donor, "train") != "train" for donor in donors):
                found["synthetic_from_held_out", "error"].append(f"image {image['id']} uses {', '.join(donors)}")
        elif side is None:
            found["scene_without_side", "error"].append(f"image {image['id']} of {image.get('scene_id')}")
    for entry in coco["annotations"]:
        image = images.get(entry["image_id"], {})
        side = side_of.get(str(image.get("scene_id", "")), "synthetic" if image.get("synthetic") else "none")
        per_side[side][names.get(entry["category_id"], "?")] += 1
    for name in set(names.values()):
        if per_side["test"] and not per_side["test"][name]:
            found["class_not_tested", "warning"].append(name)
    return {side: dict(sorted(counts.items())) for side, counts in sorted(per_side.items()) if counts}


def _findings(found: Mapping[tuple[str, Severity], Sequence[str]]) -> tuple[Finding, ...]:
    """Findings that occurred, errors first."""
    findings = [
        Finding(kind, severity, len(places), tuple(places[:_MAX_EXAMPLES]))
        for (kind, severity), places in found.items()
        if places
    ]
    return tuple(sorted(findings, key=lambda one: (one.severity != "error", one.kind)))
