"""Manifest, calibration and release: what is searched, how scores become probabilities, and what is promoted."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ovd_platform.errors import InputError
from ovd_platform.flow import models
from ovd_platform.flow.labels import load_annotations_of, load_split
from ovd_platform.flow.scenes import embeddings_stage, load_proposals, load_rows, proposals_stage
from ovd_platform.flow.stage import Built, Inputs, Stage, Task, current_or_none, partitions_of, version_of
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.annotation import Annotation
from ovd_platform.stores.home import content_hash, read_json, write_json

if TYPE_CHECKING:
    from ovd_platform.detect.calibration import ClassCalibration

_ENOUGH_POSITIVES = 10


# --- scene manifest ----------------------------------------------------------------------------------------------------------


def _manifest_rows(ws: Workspace, modality: str) -> list[dict[str, str]]:
    tiled = set(partitions_of(ws, modality, "tiles"))
    return [
        {
            "scene_id": record.scene_id,
            "version": record.version,
            "state": ws.scene_entry(modality, record.scene_id)["state"],
        }
        for record in ws.scenes(modality)
        if record.scene_id in tiled
    ]


def _manifest_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    return {"scenes": content_hash(_manifest_rows(ws, modality))}


def _build_manifest(task: Task) -> Built:
    rows = _manifest_rows(task.ws, task.modality)
    write_json(task.folder / "manifest.json", rows)
    states: dict[str, int] = {}
    for row in rows:
        states[row["state"]] = states.get(row["state"], 0) + 1
    return Built({"scenes": len(rows), **states}, version=content_hash(rows))


SCENE_MANIFEST = Stage("scene_manifest", "1", _manifest_inputs, _build_manifest)


# --- calibration -------------------------------------------------------------------------------------------------------------


def _calibration_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    return {
        "encoder": candidate_encoder(ws, modality),
        "proposer": version_of(ws, modality, "proposer"),
        "annotations": version_of(ws, modality, "annotations"),
        "vocabulary": version_of(ws, "shared", "vocabulary"),
        "training_shards": version_of(ws, modality, "training_shards"),
    }


def candidate_encoder(ws: Workspace, modality: str) -> str:
    """Encoder of the newest backbone and domain CLIP, released or not."""
    return models.encoder_id(
        ws, modality, version_of(ws, modality, "backbone"), version_of(ws, modality, "domain_clip", default=models.NO_MODEL)
    )


def calibration_scenes(ws: Workspace, modality: str) -> tuple[list[str], list[Annotation], str]:
    """Scenes that set thresholds, their labels, and a note.

    The calibration side alone where it holds enough labels of most classes; else the training side joins, and the note says so.
    """
    split = load_split(ws, modality)
    labels = load_annotations_of(ws, modality)
    own = [one for one in labels if one.scene_id in split.calibration]
    counts: dict[str, int] = {}
    for one in own:
        counts[one.class_name] = counts.get(one.class_name, 0) + 1
    classes = {one.class_name for one in labels}
    enough = sum(1 for name in classes if counts.get(name, 0) >= _ENOUGH_POSITIVES)
    if classes and enough * 2 >= len(classes):
        return sorted({one.scene_id for one in own}), own, "calibration scenes only"
    both = [one for one in labels if one.scene_id not in split.test]
    return sorted({one.scene_id for one in both}), both, "few labels: training scenes joined the calibration scenes"


def _build_calibration(task: Task) -> Built:
    import pyarrow as pa

    from ovd_platform.detect.calibrate import fit_calibration
    from ovd_platform.detect.prototypes import vocabulary_vectors
    from ovd_platform.evaluate.compare import metric_at
    from ovd_platform.evaluate.inputs import EvaluationInput
    from ovd_platform.evaluate.stats import evaluate

    ws, modality = task.ws, task.modality
    scene_ids, labels, note = calibration_scenes(ws, modality)
    if not labels:
        return Built({"note": "no labels: detections need `ovd search` or labels"}, version=models.NO_MODEL)
    proposals = proposals_stage(task.inputs["proposer"])
    embeddings = embeddings_stage(task.inputs["proposer"], task.inputs["encoder"])
    rows, found = [], {}
    for scene_id in scene_ids:
        proposed = proposals.materialize(ws, modality, scene_id, run_id=task.run_id, publish=False)
        embedded = embeddings.materialize(ws, modality, scene_id, run_id=task.run_id, publish=False)
        rows.append(load_rows(embedded.folder))
        found[scene_id] = load_proposals(proposed.folder, scene_id)
    vocabulary = models.vocabulary(ws)
    encoder = models.encoder(ws, modality, task.inputs["encoder"])
    text = background = None
    if "language" in rows[0].column_names and len(vocabulary.classes):
        text, background = vocabulary_vectors(vocabulary, encoder.embed_text)
        np.save(task.folder / "text_vectors.npy", text)
    calibration = fit_calibration(
        pa.concat_tables(rows), labels, vocabulary, text, background, labelled_scenes=scene_ids, seed=ws.config.seed
    )
    calibration.save(task.folder)
    stats = evaluate(
        EvaluationInput(
            scenes=tuple(ws.scene(modality, scene_id) for scene_id in scene_ids),
            truth={scene_id: [one for one in labels if one.scene_id == scene_id] for scene_id in scene_ids},
            proposals=found,
        ),
        seed=ws.config.seed,
    )
    stats["folds"] = calibration_folds(calibration.classes)
    write_json(task.folder / "stats.json", stats)
    recall = metric_at(stats, "proposals.recall.all.at_100")
    return Built(
        {"scenes": len(scene_ids), "labels": len(labels), "proposal_recall": recall, "note": note}, calibration.version
    )


def calibration_folds(classes: "Sequence[ClassCalibration]") -> dict[str, Any]:
    """What each class reached on the folds its fit did not see, for the gate; detections of the fit itself would flatter."""
    per_class = {
        entry.name: {"average_precision": entry.average_precision, "precision": entry.precision, "recall": entry.recall}
        for entry in classes
    }
    known = [entry.average_precision for entry in classes if entry.average_precision is not None]
    return {"mean_average_precision": float(np.mean(known)) if known else None, "per_class": per_class}


CALIBRATION = Stage("calibration", "2", _calibration_inputs, _build_calibration)


# --- release -----------------------------------------------------------------------------------------------------------------


def candidate(ws: Workspace, modality: str) -> dict[str, str]:
    """Newest versions of all components, promoted or not."""
    return {
        "backbone": version_of(ws, modality, "backbone"),
        "domain_clip": version_of(ws, modality, "domain_clip", default=models.NO_MODEL),
        "encoder": candidate_encoder(ws, modality),
        "proposer": version_of(ws, modality, "proposer"),
        "calibration": version_of(ws, modality, "calibration", default=models.NO_MODEL),
    }


def _release_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    return {**candidate(ws, modality), "gate": content_hash(ws.config.gate.model_dump())}


def _build_release(task: Task) -> Built:
    """Promote the candidate if the gate lets it through; else the present release stays and the reasons are recorded."""
    ws, modality = task.ws, task.modality
    before = current_or_none(ws, modality, "release")
    present = read_json(before.folder / "release.json") if before else None
    passed, reasons = _gate(ws, modality, task.inputs["calibration"], present["calibration"] if present else None)
    components = {name: version for name, version in task.inputs.items() if name != "gate"}
    chosen = components if passed or present is None else {name: present[name] for name in components}
    write_json(task.folder / "release.json", chosen)
    write_json(task.folder / "gate.json", {"passed": passed, "reasons": list(reasons), "candidate": components})
    return Built(
        {"gate_passed": passed, "reasons": "; ".join(reasons), "components": json.dumps(chosen, sort_keys=True)},
        version=content_hash("release", modality, chosen),
    )


def _gate(ws: Workspace, modality: str, candidate_version: str, present_version: str | None) -> tuple[bool, tuple[str, ...]]:
    """Judge a candidate on the calibration scenes; without labels there is nothing to measure and the gate stands open."""
    from ovd_platform.evaluate.gate import GateRule, decide_release

    stats = _stats(ws, modality, candidate_version)
    rules = [GateRule(**rule.model_dump()) for rule in ws.config.gate.rules]
    if not stats or not rules:
        return True, ("nothing was measured: no labels or no rules",)
    before = _stats(ws, modality, present_version) if present_version else {}
    try:
        decision = decide_release(stats, before or None, rules)
    except InputError as error:
        decision = decide_release(stats, None, rules)
        return decision.passed, (*decision.reasons, f"not held against the present release: {error}")
    return decision.passed, decision.reasons


def _stats(ws: Workspace, modality: str, calibration: str) -> dict[str, Any]:
    for folder in (ws.home.stage(modality, "calibration") / "all").glob("*/"):
        record = folder / "stage.json"
        if record.is_file() and read_json(record)["version"] == calibration and (folder / "stats.json").is_file():
            stats: dict[str, Any] = read_json(folder / "stats.json")
            return stats
    return {}


RELEASE = Stage("release", "1", _release_inputs, _build_release)


# --- search index ------------------------------------------------------------------------------------------------------------


def _index_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    return {
        "scene_manifest": version_of(ws, modality, "scene_manifest"),
        "encoder": models.released(ws, modality)["encoder"],
        "embeddings": content_hash(
            [
                (scene_id, version_of(ws, modality, "embeddings", scene_id))
                for scene_id in partitions_of(ws, modality, "embeddings")
            ]
        ),
    }


def _build_index(task: Task) -> Built:
    from ovd_platform.search.index import build_index
    from ovd_platform.stores.tables import VectorTables

    tables = VectorTables(task.ws.home.tables)
    health = build_index(tables, task.modality, task.inputs["encoder"], task.folder / "faiss", seed=task.ws.config.seed)
    write_json(task.folder / "health.json", health)
    rows = {f"{level}_rows": facts.get("rows", 0) for level, facts in health["tables"].items()}
    recall = {f"{column}_recall_at_10": facts["recall_at_10"] for column, facts in health["faiss"].items()}
    return Built({**rows, **recall, "seconds": health["seconds"]})


SEARCH_INDEX = Stage("search_index", "1", _index_inputs, _build_index)
