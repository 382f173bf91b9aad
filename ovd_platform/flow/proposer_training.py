"""The proposer stage: trained on the labels, starting from the shipped weights, which stay where training does not beat them."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.config import LearnConfig
from ovd_platform.flow.labels import load_annotations_of, load_coco, load_split, training_annotations
from ovd_platform.flow.models import Starter
from ovd_platform.flow.radiometry import settings_of_models, takes_shipped_values
from ovd_platform.flow.scenes import load_profile, load_tiles, open_registered, proposal_budget
from ovd_platform.flow.stage import Built, Inputs, Stage, Task, version_of
from ovd_platform.flow.training import numbers_of, opened_scenes
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.annotation import Annotation
from ovd_platform.stores.home import content_hash

if TYPE_CHECKING:
    from ovd_platform.raster.radiometry import InstrumentProfile
    from ovd_platform.raster.scene import Scene

    Model = tuple[dict[str, Any], dict[str, Any]]

_UNLABELLED_PER_MPX = 300.0
_SURE = 0.25
_CERTAIN = 0.5
_AVERAGES = (0.25, 0.5, 0.75)
_ENOUGH_LABELS = 20
_FEWEST_SCENES = 4


def _proposer_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    learn = ws.config.learn
    return {
        "backbone": version_of(ws, modality, "backbone"),
        "merged_dataset": version_of(ws, modality, "merged_dataset"),
        "config": content_hash(
            learn.proposer_minutes,
            learn.proposer_learning_rate,
            learn.proposer_scale,
            list(learn.proposer_look_scales),
            learn.proposer_smallest_px,
            learn.proposer_unlabelled,
            learn.proposer_bands,
            *([] if learn.proposer_size == "light" else [learn.proposer_size]),
            learn.init,
            ws.config.propose.cfar_false_alarm_rate,
            ws.config.seed,
        ),
    }


def _build_proposer(task: Task) -> Built:
    from ovd_platform.stores.models import load_model_dir, save_model

    ws, learn = task.ws, task.ws.config.learn
    if task.modality == "sar":
        from ovd_platform.propose.cfar import CfarProposer, CfarSettings

        rate = ws.config.propose.cfar_false_alarm_rate
        return Built(
            {"kind": "CFAR", "false_alarm_rate": rate}, version=CfarProposer(CfarSettings(false_alarm_rate=rate)).version
        )
    starter = Starter.of("optical-proposer") if learn.init == "starter" else Starter(None)
    boxes, difficult = _boxes_by_scene(ws, task.modality)
    if boxes and learn.proposer_minutes > 0:
        return _train_proposer(task, boxes, difficult, starter)
    if starter.folder is None:
        from ovd_platform.errors import StaleError

        raise StaleError(
            "Cannot make a proposer: expected labels to train on or starter weights, got neither. "
            "Name label files in ovd.yaml, or set `learn.init: starter`."
        )
    state, card = load_model_dir(starter.folder)
    version = save_model(ws.home.models, f"{task.modality}-proposer", state, card)
    return Built({"kind": "starter", "note": "no labels: the weights shipped with the package"}, version=version)


def _train_proposer(
    task: Task, boxes: dict[str, NDArray[np.float32]], difficult: dict[str, NDArray[np.bool_]], starter: Starter
) -> Built:
    from ovd_platform.learn.proposer import ProposerRecipe, train_proposer
    from ovd_platform.models.light_detector import SIZES
    from ovd_platform.stores.models import save_model

    ws, learn = task.ws, task.ws.config.learn
    checkpoints = ws.home.stage(task.modality, "checkpoints") / f"proposer-{content_hash(dict(task.inputs))}"
    with ExitStack() as stack:
        # Shipped weights know only the values and bands they were trained with: else they start the training, but do not compete.
        alike = takes_shipped_values(ws, task.modality) and learn.proposer_bands == "average" and learn.proposer_size == "light"
        rival = starter if alike else Starter(None)
        judges = _judges(ws, task.modality, boxes) if rival.folder is not None else []
        boxes = {name: rows for name, rows in boxes.items() if name not in {one.scene_id for one in judges}}
        scenes = opened_scenes(ws, task.modality, sorted(boxes), stack)
        if learn.proposer_unlabelled != "background" and rival.folder is not None:
            boxes, difficult = _with_unlabelled(ws, task.modality, scenes, boxes, difficult, rival)
        scenes, boxes = _with_synthetic(ws, task.modality, scenes, boxes, stack)
        trained = train_proposer(
            scenes, boxes, minutes=learn.proposer_minutes, steps=None, seed=ws.config.seed,
            init_state=starter.state(), checkpoint_dir=checkpoints, input_scale=learn.proposer_scale, difficult=difficult,
            recipe=ProposerRecipe(
                learning_rate=learn.proposer_learning_rate, bands=learn.proposer_bands, config=SIZES[learn.proposer_size], **_zoom(learn)
            ),
            look_scales=learn.proposer_look_scales,
        )  # fmt: skip
    state, model_card, choice = _better(ws, task.modality, (trained.state, trained.card), rival, judges)
    facts = {
        **choice,
        "scenes": len(scenes),
        "boxes": int(sum(len(one) for one in boxes.values())),
        **numbers_of(model_card),
    }
    card = {**model_card, "rendered": ws.config.rendered, "inputs": dict(task.inputs)}
    if choice["kept"] == "trained":
        card["radiometry"] = settings_of_models(ws, task.modality)
    return Built(facts, version=save_model(ws.home.models, f"{task.modality}-proposer", state, card))


def _zoom(learn: LearnConfig) -> dict[str, Any]:
    """Magnifications in training that cover the scales the model will look at."""
    if len(learn.proposer_look_scales) < 2:
        return {}
    working = learn.proposer_scale or 1.0
    return {"zoom": (min(learn.proposer_look_scales) / working, max(learn.proposer_look_scales) / working)}


def _with_unlabelled(
    ws: Workspace,
    modality: str,
    scenes: "list[tuple[Scene, InstrumentProfile]]",
    boxes: dict[str, NDArray[np.float32]],
    difficult: dict[str, NDArray[np.bool_]],
    starter: Starter,
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.bool_]]]:
    """Add what the starter proposer is sure of and nobody labelled: as neither object nor background, or, where certain, as objects.

    Labels name some classes only; a proposer taught that everything else is background loses what a later search is for.
    """
    from ovd_platform.geometry.boxes import iou_matrix
    from ovd_platform.propose.light import LightProposer
    from ovd_platform.stores.models import load_model_dir

    assert starter.folder is not None
    proposer = LightProposer(*load_model_dir(starter.folder), "starter")
    boxes, difficult = dict(boxes), dict(difficult)
    for scene, profile in scenes:
        record = scene.record
        tiles = load_tiles(ws, modality, record.scene_id)
        found = proposer.propose(scene, tiles, profile, max_per_mpx=_UNLABELLED_PER_MPX)
        clear = found.objectness_n >= _SURE
        sure, certain = found.boxes_scene_xyxy[clear], found.objectness_n[clear] >= _CERTAIN
        known = boxes[record.scene_id]
        if len(known) and len(sure):
            new = iou_matrix(sure, known).max(axis=1) < 0.3
            sure, certain = sure[new], certain[new]
        positive = certain & (ws.config.learn.proposer_unlabelled == "object")
        boxes[record.scene_id] = np.concatenate([known, sure])
        difficult[record.scene_id] = np.concatenate([difficult[record.scene_id], ~positive])
    return boxes, difficult


def _judges(ws: Workspace, modality: str, boxes: dict[str, NDArray[np.float32]]) -> list[Annotation]:
    """Labels that decide between the trained proposer and the starter, never trained on.

    Those of the calibration scenes; where these hold too few, one training scene that lies apart from all others is set aside.
    """
    held = set(load_split(ws, modality).calibration)
    usable = [one for one in load_annotations_of(ws, modality) if _counts(ws, one)]
    labels = [one for one in usable if one.scene_id in held]
    if len(labels) >= _ENOUGH_LABELS or len(boxes) < _FEWEST_SCENES:
        return labels if len(labels) >= _ENOUGH_LABELS else []
    for scene_id in sorted(boxes, key=lambda name: (-len(boxes[name]), name)):
        own = [one for one in usable if one.scene_id == scene_id]
        if len(own) >= _ENOUGH_LABELS and _apart(ws, modality, scene_id, [name for name in boxes if name != scene_id]):
            return own
    return []


def _apart(ws: Workspace, modality: str, scene_id: str, others: list[str]) -> bool:
    """Whether a scene is at least a block of the split away from others; unknown places are not."""
    from ovd_platform.datasets.splits import footprint_centre
    from ovd_platform.geometry.place import GEOD

    rings = [ws.scene(modality, name).footprint_lonlat for name in (scene_id, *others)]
    if not all(rings):
        return False
    here, *there = (footprint_centre(ring) for ring in rings)
    return all(GEOD.inv(*here, *one)[2] >= 1000 * ws.config.split.block_km for one in there)


def _better(
    ws: Workspace, modality: str, trained: "Model", starter: Starter, labels: list[Annotation]
) -> "tuple[dict[str, Any], dict[str, Any], dict[str, Any]]":
    """The trained proposer, or weights between it and the starter, where it reaches clearly more (two standard errors); else the starter.

    The starter has seen more instruments than the few scenes that judge: a draw goes to it, and of averages that reach as much as the best
    (within one standard error) the one nearest to it is kept, so that unseen instruments are not forgotten.
    """
    from ovd_platform.learn.averaging import interpolated
    from ovd_platform.stores.models import load_model_dir

    if starter.folder is None or not labels:
        return *trained, {"kept": "trained"}
    shipped = load_model_dir(starter.folder)
    alike = all(
        shipped[1].get(name, usual) == trained[1].get(name, usual) for name, usual in (("config", None), ("bands", "average"))
    )
    shares = (*_AVERAGES, 1.0) if alike else (1.0,)
    models = {share: (interpolated(shipped[0], trained[0], share), trained[1]) for share in shares}
    recall = {share: _recall(ws, modality, model, labels) for share, model in models.items()}
    before, best = _recall(ws, modality, shipped, labels), max(recall.values())
    error = float(np.sqrt((best * (1 - best) + before * (1 - before)) / len(labels)))
    kept = min(share for share in shares if recall[share] >= best - error) if best - before > 2 * error else 0.0
    state, card = models[kept] if kept else shipped
    facts = {
        "kept": "starter" if not kept else "trained" if kept == 1.0 else "average",
        "share_of_trained": kept,
        "judged_on": len(labels),
        "recall_starter": before,
        **{f"recall_{'trained' if share == 1.0 else f'average_{share}'}": value for share, value in recall.items()},
    }
    return state, {**card, "share_of_trained": kept}, facts


def _counts(ws: Workspace, label: Annotation) -> bool:
    x0, y0, x1, y1 = label.box_scene_xyxy
    return not label.difficult and float(np.sqrt((x1 - x0) * (y1 - y0))) >= ws.config.learn.proposer_smallest_px


def _recall(ws: Workspace, modality: str, model: "Model", labels: list[Annotation]) -> float:
    """Share of labels a proposer reaches with IoU 0.5, as many proposals as the workspace keeps."""
    from ovd_platform.geometry.boxes import iou_matrix
    from ovd_platform.propose.light import LightProposer

    proposer, hit = LightProposer(*model, "candidate"), 0
    for scene_id in sorted({one.scene_id for one in labels}):
        truth = np.asarray([one.box_scene_xyxy for one in labels if one.scene_id == scene_id], dtype=np.float32)
        with open_registered(ws, modality, scene_id) as scene:
            tiles, profile = load_tiles(ws, modality, scene_id), load_profile(ws, modality, scene_id)
            found = proposer.propose(scene, tiles, profile, max_per_mpx=proposal_budget(ws, scene.record))
        if len(found):
            hit += int((iou_matrix(truth, found.boxes_scene_xyxy).max(axis=1) >= 0.5).sum())
    return hit / len(labels)


PROPOSER = Stage("proposer", "4", _proposer_inputs, _build_proposer)


def _boxes_by_scene(ws: Workspace, modality: str) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.bool_]]]:
    """Boxes of the training labels by scene, and which of them are to be ignored."""
    grouped: dict[str, list[Annotation]] = {}
    for one in training_annotations(ws, modality):
        grouped.setdefault(one.scene_id, []).append(one)
    boxes = {name: np.asarray([one.box_scene_xyxy for one in rows], dtype=np.float32) for name, rows in grouped.items()}
    smallest = ws.config.learn.proposer_smallest_px
    difficult = {}
    for name, rows in grouped.items():
        side = np.sqrt(np.prod(boxes[name][:, 2:] - boxes[name][:, :2], axis=1))
        difficult[name] = np.asarray([one.difficult for one in rows], dtype=bool) | (side < smallest)
    return boxes, difficult


def _with_synthetic(
    ws: Workspace,
    modality: str,
    scenes: "list[tuple[Scene, InstrumentProfile]]",
    boxes: dict[str, NDArray[np.float32]],
    stack: ExitStack,
) -> "tuple[list[tuple[Scene, InstrumentProfile]], dict[str, NDArray[np.float32]]]":
    """Add the synthetic tiles of the merged dataset, each with the profile of the scene its background came from."""
    from ovd_platform.raster.scene import open_scene

    merged = load_coco(ws, modality, "merged_dataset")
    if merged is None:
        return scenes, boxes
    rows: dict[int, list[list[float]]] = {}
    for entry in merged["annotations"]:
        x, y, width, height = entry["bbox"]
        rows.setdefault(entry["image_id"], []).append([x, y, x + width, y + height])
    profiles = {scene.record.scene_id: profile for scene, profile in scenes}
    more, more_boxes = list(scenes), dict(boxes)
    for image in merged["images"]:
        if not image["synthetic"] or image["id"] not in rows or image.get("scene_id") not in profiles:
            continue
        scene_id = f"synthetic-{image['id']}"
        scene = stack.enter_context(open_scene(image["path"], scene_id=scene_id))
        more.append((scene, profiles[image["scene_id"]]))
        more_boxes[scene_id] = np.asarray(rows[image["id"]], dtype=np.float32)
    return more, more_boxes
