"""Labels: annotations, vocabulary, split, COCO, the chip library, synthetic and merged datasets."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from ovd_platform.errors import InputError
from ovd_platform.flow.scenes import load_profile, load_tiles, open_registered
from ovd_platform.flow.stage import Built, Inputs, Stage, Task, current, current_or_none, partitions_of, version_of
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.scene import MODALITIES
from ovd_platform.stores.home import content_hash, file_hash, read_json, write_json

if TYPE_CHECKING:
    from ovd_platform.datasets.splits import Split

_NO_LABELS = "none"


# --- annotations -------------------------------------------------------------------------------------------------------------


def _annotations_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    files = {str(path.name): file_hash(path) for path in ws.label_files()}
    return {**files, "scenes": content_hash(sorted(r.scene_id for name in MODALITIES for r in ws.scenes(name)))}


def _build_annotations(task: Task) -> Built:
    from ovd_platform.datasets.canonical import write_annotations
    from ovd_platform.datasets.formats.load import load_annotations

    scenes = {record.scene_id: record for modality in MODALITIES for record in task.ws.scenes(modality)}
    annotations: list[Annotation] = []
    problems: list[str] = []
    for path in task.ws.label_files():
        try:
            found, notes = load_annotations(path, scenes, source="rendered" if task.ws.config.rendered else "human")
        except InputError as error:
            problems.append(str(error))
            continue
        annotations += [one for one in found if scenes[one.scene_id].modality == task.modality]
        problems += notes
    unique = {annotation.annotation_id: annotation for annotation in annotations}
    write_annotations(
        sorted(unique.values(), key=lambda one: (one.scene_id, one.annotation_id)), task.folder / "annotations.parquet"
    )
    write_json(task.folder / "problems.json", problems)
    counts: dict[str, int] = {}
    for annotation in unique.values():
        counts[annotation.class_name] = counts.get(annotation.class_name, 0) + 1
    return Built(
        {
            "annotations": len(unique),
            "labelled_scenes": len({one.scene_id for one in unique.values()}),
            "problems": len(problems),
            "classes": json.dumps(counts, sort_keys=True),
        },
        version=content_hash(sorted(unique)),
    )


ANNOTATIONS = Stage("annotations", "1", _annotations_inputs, _build_annotations)


def load_annotations_of(ws: Workspace, modality: str) -> list[Annotation]:
    """Current labels of a modality; empty where there are none."""
    from ovd_platform.datasets.canonical import read_annotations

    output = current_or_none(ws, modality, "annotations")
    return [] if output is None else read_annotations(output.folder / "annotations.parquet")


# --- vocabulary --------------------------------------------------------------------------------------------------------------


def _vocabulary_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    labels = {f"{name}-annotations": version_of(ws, name, "annotations", default=_NO_LABELS) for name in ("optical", "sar")}
    path = _vocabulary_path(ws)
    return {**labels, "file": file_hash(path) if path else _NO_LABELS}


def _build_vocabulary(task: Task) -> Built:
    path = _vocabulary_path(task.ws)
    if path is not None:
        text = path.read_text()
    else:
        names = sorted(
            {one.class_name for m in ("optical", "sar") for one in load_annotations_of(task.ws, m) if one.class_name}
        )
        text = yaml.safe_dump(
            {
                "classes": [{"name": name, "prompts": [f"a satellite image of a {name}"], "synonyms": []} for name in names],
                "background": ["empty sea", "field", "road", "roof", "trees", "bare ground", "shadow"],
            },
            sort_keys=False,
        )
    (task.folder / "vocabulary.yaml").write_text(text)
    from ovd_platform.detect.vocabulary import load_vocabulary

    vocabulary = load_vocabulary(task.folder / "vocabulary.yaml")
    return Built({"classes": len(vocabulary.classes)}, version=vocabulary.version)


VOCABULARY = Stage("vocabulary", "1", _vocabulary_inputs, _build_vocabulary)


def _vocabulary_path(ws: Workspace) -> Path | None:
    if ws.config.vocabulary is None:
        return None
    path = Path(ws.config.vocabulary)
    path = path if path.is_absolute() else ws.home.root / path
    if not path.is_file():
        raise InputError(
            f"Cannot read the vocabulary: expected a file at {path}, found none. Correct `vocabulary` in ovd.yaml."
        )
    return path


# --- split -------------------------------------------------------------------------------------------------------------------


def make_split(ws: Workspace, modality: str) -> "Split":
    """Split the tiled scenes by place; scenes without georeference are grouped by what they show.

    Raises:
        LeakageError: If train, calibration and test share ground.
    """
    import cv2

    from ovd_platform.datasets.appearance import appearance_groups
    from ovd_platform.datasets.splits import check_leakage, split_scenes

    tiled = set(partitions_of(ws, modality, "tiles"))
    scenes = [record for record in ws.scenes(modality) if record.scene_id in tiled]
    unplaced = [record.scene_id for record in scenes if record.georeference == "none"]
    groups = None
    if unplaced:
        thumbnails = {}
        for scene_id in unplaced:
            picture = cv2.imread(str(current(ws, modality, "tiles", scene_id).folder / "thumbnail.jpg"))
            thumbnails[scene_id] = np.asarray(picture)[..., ::-1]
        groups = appearance_groups(thumbnails)
    settings = ws.config.split
    split = split_scenes(
        scenes,
        holdout_fraction=settings.holdout_fraction,
        calibration_fraction=settings.calibration_fraction,
        seed=ws.config.seed,
        groups=groups,
        block_km=settings.block_km,
    )
    check_leakage(split, scenes)
    return split


def load_split(ws: Workspace, modality: str) -> "Split":
    """The split that the current models were trained under (kept with the training shards)."""
    from ovd_platform.datasets.splits import Split

    return Split.from_dict(read_json(current(ws, modality, "training_shards").folder / "split.json"))


def training_annotations(ws: Workspace, modality: str) -> list[Annotation]:
    """Labels of the training side."""
    train = set(load_split(ws, modality).train)
    return [one for one in load_annotations_of(ws, modality) if one.scene_id in train]


# --- COCO --------------------------------------------------------------------------------------------------------------------


def _coco_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    return {
        "annotations": version_of(ws, modality, "annotations"),
        "training_shards": version_of(ws, modality, "training_shards"),
    }


def screening_recall(ws: Workspace, modality: str) -> dict[str, Any]:
    """What screening costs: how many labelled objects lie in kept tiles, and why the others do not; facts for people."""
    from ovd_platform.tiles.screening import kept_objects

    boxes: dict[str, list[tuple[float, float, float, float]]] = {}
    for one in load_annotations_of(ws, modality):
        boxes.setdefault(one.scene_id, []).append(one.box_scene_xyxy)
    counts: Counter[str] = Counter()
    for scene_id in sorted(boxes):
        if current_or_none(ws, modality, "tiles", scene_id) is not None:
            counts.update(kept_objects(load_tiles(ws, modality, scene_id), np.asarray(boxes[scene_id])))
    looked = counts.total() - counts["outside"]
    lost = {reason: number for reason, number in counts.items() if reason not in ("kept", "outside")}
    recall = counts["kept"] / looked if looked else 1.0
    return {"screening_recall": round(recall, 4), "objects_screened_out": json.dumps(lost, sort_keys=True)}


def _build_coco(task: Task) -> Built:
    from ovd_platform.datasets.coco import build_tile_coco

    annotations = training_annotations(task.ws, task.modality)
    labelled = sorted({one.scene_id for one in annotations})
    tiles = [tile for scene_id in labelled for tile in load_tiles(task.ws, task.modality, scene_id)]
    scenes = {record.scene_id: record for record in task.ws.scenes(task.modality)}
    coco = build_tile_coco(annotations, tiles, scenes, frame="core", versions=dict(task.inputs))
    write_json(task.folder / "coco.json", coco)
    return Built(
        {
            "images": len(coco["images"]),
            "annotations": len(coco["annotations"]),
            "categories": len(coco["categories"]),
            **screening_recall(task.ws, task.modality),
        }
    )


COCO_DATASET = Stage("coco_dataset", "1", _coco_inputs, _build_coco)


def load_coco(ws: Workspace, modality: str, stage: str, partition: str = "all") -> dict[str, Any] | None:
    """COCO mapping of a dataset stage, or None if it was never made or is empty."""
    output = current_or_none(ws, modality, stage, partition)
    if output is None or not (output.folder / "coco.json").is_file():
        return None
    coco: dict[str, Any] = read_json(output.folder / "coco.json")
    return coco


__all__ = [
    "ANNOTATIONS",
    "COCO_DATASET",
    "VOCABULARY",
    "load_annotations_of",
    "load_coco",
    "load_profile",
    "load_split",
    "make_split",
    "open_registered",
    "training_annotations",
]
