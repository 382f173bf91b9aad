"""Chip library, synthetic composites and the merged dataset. Only training scenes donate objects and grounds."""

import math
import re

from ovd_platform.flow.labels import load_coco, load_split, training_annotations
from ovd_platform.flow.scenes import open_registered
from ovd_platform.flow.stage import Built, Inputs, Stage, Task, current, current_or_none, version_of
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import content_hash, write_json

_SYNTHETIC_MODALITIES = ("optical", "sar")
_TILE_PX = 320


def _library_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    return {
        "annotations": version_of(ws, modality, "annotations"),
        "training_shards": version_of(ws, modality, "training_shards"),
        "config": content_hash(ws.config.seed),
    }


def _build_library(task: Task) -> Built:
    from ovd_platform.synthesis.chip_library import build_chip_library

    ws, modality = task.ws, task.modality
    library = build_chip_library(
        training_annotations(ws, modality),
        lambda scene_id: open_registered(ws, modality, scene_id, as_stored=True),
        training_scenes=load_split(ws, modality).train,
        seed=ws.config.seed,
    )
    library.save(task.folder / "library.npz")
    summary = library.summary()
    return Built(
        {"chips": summary["chips"], "rejected": sum(summary["rejects"].values()), "classes": str(summary["per_class"])}
    )


CHIP_LIBRARY = Stage("chip_library", "1", _library_inputs, _build_library)


def targets(ws: Workspace, modality: str) -> dict[str, str]:
    """Class name by partition key, for the labelled classes of a modality's training side."""
    if modality not in _SYNTHETIC_MODALITIES or ws.config.synthesis.max_tiles == 0:
        return {}
    names = sorted({one.class_name for one in training_annotations(ws, modality) if one.class_name})
    return {re.sub(r"[^a-z0-9_.-]+", "-", name): name for name in names}


def _synthetic_inputs(ws: Workspace, modality: str, target: str) -> Inputs:
    return {
        "chip_library": version_of(ws, modality, "chip_library"),
        "config": content_hash(ws.config.synthesis.model_dump(), ws.config.seed, len(targets(ws, modality))),
    }


def _build_synthetic(task: Task) -> Built:
    from ovd_platform.errors import InputError
    from ovd_platform.synthesis.background import draw_backgrounds
    from ovd_platform.synthesis.build import build_synthetic_coco
    from ovd_platform.synthesis.chip_library import ChipLibrary

    ws, modality = task.ws, task.modality
    wanted = targets(ws, modality)
    library = ChipLibrary.load(current(ws, modality, "chip_library").folder / "library.npz")
    chips = tuple(chip for chip in library.chips if chip.class_name == wanted.get(task.partition))
    labels = training_annotations(ws, modality)
    labelled = sorted({one.scene_id for one in labels})
    count = max(1, math.ceil(ws.config.synthesis.max_tiles / max(len(wanted), 1)))
    per_scene = max(1, math.ceil(2 * count / max(len(labelled), 1)))
    grounds = []
    for scene_id in labelled if chips else []:
        with open_registered(ws, modality, scene_id, as_stored=True) as scene:
            size = min(_TILE_PX, scene.record.width_px, scene.record.height_px)
            grounds += draw_backgrounds(scene, labels, count=per_scene, size_px=size, seed=ws.config.seed)
    try:
        report = build_synthetic_coco(
            ChipLibrary(chips), grounds, count=count, seed=ws.config.seed, destination=task.folder,
            training_scenes=load_split(ws, modality).train,
        )  # fmt: skip
    except InputError as error:
        return Built({"tiles": 0, "note": str(error)})
    (task.folder / "synthetic.json").rename(task.folder / "coco.json")
    return Built(
        {
            "tiles": report.tiles,
            "objects": report.objects,
            "rejected": sum(report.rejects.values()),
            "reasons": str(report.rejects),
        },
        version=report.version,
    )


SYNTHETIC_COCO = Stage("synthetic_coco", "1", _synthetic_inputs, _build_synthetic)


def _merged_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    parts = {target: version_of(ws, modality, "synthetic_coco", target, default="none") for target in targets(ws, modality)}
    return {
        "coco_dataset": version_of(ws, modality, "coco_dataset"),
        **parts,
        "config": content_hash(ws.config.synthesis.fraction, ws.config.seed),
    }


def _build_merged(task: Task) -> Built:
    from ovd_platform.datasets.merge import merge_datasets

    ws, modality = task.ws, task.modality
    real = load_coco(ws, modality, "coco_dataset") or {"images": [], "annotations": [], "categories": []}
    sets = []
    for target in targets(ws, modality):
        coco = load_coco(ws, modality, "synthetic_coco", target)
        if coco is not None:
            sets.append((target, coco))
    merged, report = merge_datasets(real, sets, fraction=ws.config.synthesis.fraction, seed=ws.config.seed)
    for image in merged["images"]:
        if image["synthetic"]:
            output = current_or_none(ws, modality, "synthetic_coco", image["dataset"])
            image["path"] = str(output.folder / image["file_name"]) if output else ""
    write_json(task.folder / "coco.json", merged)
    write_json(task.folder / "report.json", report.to_dict())
    return Built(
        {
            "images": len(merged["images"]),
            "annotations": len(merged["annotations"]),
            "synthetic_fraction": round(report.synthetic_fraction, 4),
            "notes": "; ".join(report.notes),
        }
    )


MERGED_DATASET = Stage("merged_dataset", "1", _merged_inputs, _build_merged)
