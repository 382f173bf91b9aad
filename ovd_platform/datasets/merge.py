"""Merging a real data set with several synthetic ones.

Belongs here: ids, categories, fractions, rebalancing. Does not belong here: making composites (synthesis').
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ovd_platform.datasets.class_names import canonical_class
from ovd_platform.errors import DataError, InputError

DEFAULT_FRACTION = 0.30
MAX_FRACTION = 0.50


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge took.

    Attributes:
        requested_fraction: Asked share of synthetic images.
        synthetic_fraction: Share that came out, [0, 0.5].
        real_images: Images of the real set; all are kept.
        synthetic_images: Images taken by source.
        offered_images: Images offered by source.
        per_class: Labels by class: real, synthetic.
        categories: Final categories by name.
        notes: What a reader should know.
    """

    requested_fraction: float
    synthetic_fraction: float
    real_images: int
    synthetic_images: Mapping[str, int]
    offered_images: Mapping[str, int]
    per_class: Mapping[str, Mapping[str, int]]
    categories: Mapping[str, int]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready mapping."""
        return asdict(self)


def merge_datasets(
    real: Mapping[str, Any],
    synthetic: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    fraction: float = DEFAULT_FRACTION,
    rebalance: float = 0.5,
    synonyms: Mapping[str, str] | None = None,
    folders: Mapping[str, str] | None = None,
    seed: int = 0,
) -> tuple[dict[str, Any], MergeReport]:
    """One COCO of all real and some synthetic images.

    Categories are unified by canonical name, ids are new and dense, every image and annotation is tagged with its source.
    Synthetic images are drawn without replacement; the weight of an image is the mean over its labels of (1 / labels of the
    class so far) to the power `rebalance`, so rare classes come first and 0 draws uniformly.

    Args:
        real: COCO of real images; all of it is kept.
        synthetic: Name and COCO of each synthetic set.
        fraction: Share of synthetic images in the result, [0, 0.5].
        rebalance: Strength of the preference for rare classes, [0, 1].
        synonyms: Class names to unify further, see `canonical_class`.
        folders: Folder by set name, put before the file names of its images so that a reader of the merged set finds them.
        seed: Seed of the draw.

    Returns:
        New COCO mapping, and the report.

    Raises:
        InputError: If a fraction is out of range or a name occurs twice.
        DataError: If a set calls itself real although its images are marked synthetic, or the other way round.
    """
    _check(real, synthetic, fraction, rebalance)
    notes: list[str] = []
    names = {source: _canonical(coco, synonyms) for source, coco in (("real", real), *synthetic)}
    categories = {name: index for index, name in enumerate(sorted({n for table in names.values() for n in table.values()}), 1)}
    wanted = round(fraction / (1 - fraction) * len(real["images"]))
    chosen = _draw(real, synthetic, names, wanted, rebalance, np.random.default_rng(seed))
    taken = Counter(source for source, _ in chosen)
    if sum(taken.values()) < wanted:
        notes.append(f"{wanted} synthetic images asked for, only {sum(taken.values())} offered")
    merged: dict[str, Any] = {"images": [], "annotations": []}
    _append(merged, "real", real, names["real"], categories, None)
    for source, coco in synthetic:
        picked = {image_id for name, image_id in chosen if name == source}
        _append(merged, source, coco, names[source], categories, picked)
    for image in merged["images"]:
        folder = (folders or {}).get(image["dataset"])
        if folder:
            image["file_name"] = f"{folder.rstrip('/')}/{image['file_name']}"
    per_class: dict[str, dict[str, int]] = {name: {"real": 0, "synthetic": 0} for name in categories}
    by_number = {number: name for name, number in categories.items()}
    for entry in merged["annotations"]:
        per_class[by_number[entry["category_id"]]]["real" if entry["dataset"] == "real" else "synthetic"] += 1
    total = len(merged["images"])
    report = MergeReport(
        fraction,
        sum(taken.values()) / total if total else 0.0,
        len(real["images"]),
        {source: taken[source] for source, _ in synthetic},
        {source: len(coco["images"]) for source, coco in synthetic},
        per_class,
        categories,
        tuple(notes),
    )
    merged["categories"] = [{"id": number, "name": name} for name, number in categories.items()]
    sources = {source: dict(coco.get("info", {})) for source, coco in (("real", real), *synthetic)}
    merged["info"] = {"description": "merged real and synthetic COCO", "sources": sources, "merge": report.to_dict()}
    return merged, report


def _check(
    real: Mapping[str, Any], synthetic: Sequence[tuple[str, Mapping[str, Any]]], fraction: float, rebalance: float
) -> None:
    """Refuse arguments that cannot be merged."""
    if not 0 <= fraction <= MAX_FRACTION or not 0 <= rebalance <= 1:
        raise InputError(
            f"Cannot merge data sets: expected a synthetic fraction in [0, {MAX_FRACTION}] and a rebalance in [0, 1], got "
            f"{fraction} and {rebalance}. Lower them: models are tested on real images only."
        )
    names = ["real", *(name for name, _ in synthetic)]
    if len(set(names)) != len(names):
        raise InputError(f"Cannot merge data sets: expected different names, got {', '.join(names)}. Rename one.")
    if any(image.get("synthetic") for image in real["images"]):
        raise DataError("Cannot merge data sets: expected a real set, got images marked synthetic. Pass them as synthetic.")
    for name, coco in synthetic:
        if not all(image.get("synthetic") for image in coco["images"]):
            raise DataError(f"Cannot merge data set {name}: expected images marked synthetic, got others. Pass them as real.")


def _canonical(coco: Mapping[str, Any], synonyms: Mapping[str, str] | None) -> dict[Any, str]:
    """Canonical class name by the set's own category id."""
    return {category["id"]: canonical_class(str(category["name"]), synonyms) for category in coco["categories"]}


def _draw(
    real: Mapping[str, Any],
    synthetic: Sequence[tuple[str, Mapping[str, Any]]],
    names: Mapping[str, Mapping[Any, str]],
    wanted: int,
    rebalance: float,
    generator: np.random.Generator,
) -> list[tuple[str, Any]]:
    """(source, image id) of the drawn synthetic images; class counts are updated as images are taken."""
    counts = Counter(names["real"][entry["category_id"]] for entry in real["annotations"])
    labels: dict[tuple[str, Any], list[str]] = defaultdict(list)
    pool = [(source, image["id"]) for source, coco in synthetic for image in coco["images"]]
    for source, coco in synthetic:
        for entry in coco["annotations"]:
            labels[source, entry["image_id"]].append(names[source][entry["category_id"]])
    chosen: list[tuple[str, Any]] = []
    floor = 1.0 / (1 + max(counts.values(), default=0))
    while pool and len(chosen) < wanted:
        need = {name: (1.0 / (1 + counts[name])) ** rebalance for name in {n for key in pool for n in labels[key]}}
        weights = np.array([np.mean([need[name] for name in labels[key]]) if labels[key] else floor**rebalance for key in pool])
        batch = max(1, min(len(pool), wanted - len(chosen), wanted // 20 + 1))
        picks = generator.choice(len(pool), size=batch, replace=False, p=weights / weights.sum())
        for pick in sorted(picks.tolist(), reverse=True):
            key = pool.pop(pick)
            chosen.append(key)
            counts.update(labels[key])
    return chosen


def _append(
    merged: dict[str, Any],
    source: str,
    coco: Mapping[str, Any],
    names: Mapping[Any, str],
    categories: Mapping[str, int],
    picked: set[Any] | None,
) -> None:
    """Add a set's images (all, or the picked ones) and their annotations with new ids and the source's name."""
    number: dict[Any, int] = {}
    for image in coco["images"]:
        if picked is not None and image["id"] not in picked:
            continue
        number[image["id"]] = len(merged["images"]) + 1
        tags = {"id": number[image["id"]], "dataset": source, "synthetic": picked is not None}
        merged["images"].append({**image, **tags})
    for entry in coco["annotations"]:
        if entry["image_id"] in number:
            tags = {
                "id": len(merged["annotations"]) + 1,
                "image_id": number[entry["image_id"]],
                "category_id": categories[names[entry["category_id"]]],
                "dataset": source,
            }
            merged["annotations"].append({**entry, **tags})
