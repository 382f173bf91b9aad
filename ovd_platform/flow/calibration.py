"""Calibration of a candidate on labelled scenes, and what the candidate answers on those that its fit did not see.

Belongs here: choosing the scenes, the fit, and the statistics the gate reads. Does not belong here: promoting (`release`), or the
held-out side of the split, which nobody may look at before the choice (`report`).
"""

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.flow import models
from ovd_platform.flow.labels import load_annotations_of, load_split
from ovd_platform.flow.masks import masks_version
from ovd_platform.flow.scenes import embeddings_stage, load_proposals, load_rows, proposals_stage
from ovd_platform.flow.stage import Built, Inputs, Stage, Task, version_of
from ovd_platform.flow.truth import negative_scenes
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.detection import Detection
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.stores.home import content_hash, read_json, write_json

if TYPE_CHECKING:
    from ovd_platform.detect.calibration import Calibration, ClassCalibration
    from ovd_platform.detect.vocabulary import Vocabulary
    from ovd_platform.evaluate.stats import Stats

FOLDS, DRAWS = 3, 100
_ENOUGH_POSITIVES = 10


def _calibration_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    return {
        "encoder": candidate_encoder(ws, modality),
        "proposer": version_of(ws, modality, "proposer"),
        "annotations": version_of(ws, modality, "annotations"),
        "vocabulary": version_of(ws, "shared", "vocabulary"),
        "training_shards": version_of(ws, modality, "training_shards"),
        "evaluation": content_hash(ws.config.evaluation.model_dump(), masks_version(ws)),
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
        empty = set(split.calibration).intersection(negative_scenes(ws, modality))
        return sorted({one.scene_id for one in own} | empty), own, "calibration scenes only"
    both = [one for one in labels if one.scene_id not in split.test]
    empty = set(negative_scenes(ws, modality)) - set(split.test)
    scene_ids = sorted({one.scene_id for one in both} | empty)
    return scene_ids, both, "few labels: training scenes joined the calibration scenes"


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What one pair of proposer and encoder makes of the calibration scenes.

    Attributes:
        judged: The calibration scenes.
        support: Scenes of the training side that stand in where the calibration scenes are of one place and cannot judge each other.
        labels: Labels of both.
        rows: Proposal rows with vectors of both by scene id (pyarrow tables).
        proposals: Proposals of both by scene id.
        vocabulary: Classes that are calibrated.
        text_kd: Words of each class, shape (K, E), or None without a language tower.
        background_bd: Background words, shape (B, E), or None.
        note: Which scenes these are.
    """

    judged: Sequence[str]
    support: Sequence[str]
    labels: Sequence[Annotation]
    rows: Mapping[str, Any]
    proposals: Mapping[str, ProposalSet]
    vocabulary: "Vocabulary"
    text_kd: NDArray[np.float32] | None
    background_bd: NDArray[np.float32] | None
    note: str

    def fit(self, scene_ids: Sequence[str], seed: int) -> "Calibration":
        """Calibration fitted on some of the scenes."""
        import pyarrow as pa

        from ovd_platform.detect.calibrate import fit_calibration

        return fit_calibration(
            pa.concat_tables([self.rows[scene_id] for scene_id in scene_ids]),
            [one for one in self.labels if one.scene_id in set(scene_ids)],
            self.vocabulary,
            self.text_kd,
            self.background_bd,
            labelled_scenes=scene_ids,
            seed=seed,
        )


def gather(ws: Workspace, modality: str, proposer: str, encoder_version: str, *, run_id: str = "cli") -> Evidence:
    """Proposals and vectors of the calibration scenes by one proposer and one encoder, made where they are missing."""
    from ovd_platform.detect.prototypes import vocabulary_vectors

    judged, labels, note = calibration_scenes(ws, modality)
    split = load_split(ws, modality)
    beside = [one for one in load_annotations_of(ws, modality) if one.scene_id in split.train and one.scene_id not in judged]
    alone = len({split.unit_of.get(one.scene_id, one.scene_id) for one in labels}) < 2
    support = sorted({one.scene_id for one in beside}) if alone else []
    scene_ids = [*judged, *support]
    proposals, embeddings = proposals_stage(proposer), embeddings_stage(proposer, encoder_version)
    rows, found = {}, {}
    for scene_id in scene_ids:
        proposed = proposals.materialize(ws, modality, scene_id, run_id=run_id, publish=False)
        embedded = embeddings.materialize(ws, modality, scene_id, run_id=run_id, publish=False)
        rows[scene_id] = load_rows(embedded.folder)
        found[scene_id] = load_proposals(proposed.folder, scene_id)
    vocabulary, encoder = models.vocabulary(ws), models.encoder(ws, modality, encoder_version)
    text = background = None
    if rows and "language" in rows[scene_ids[0]].column_names and len(vocabulary.classes):
        text, background = vocabulary_vectors(vocabulary, encoder.embed_text)
    labels = [*labels, *(beside if alone else ())]
    return Evidence(judged, support, labels, rows, found, vocabulary, text, background, note)


def scene_folds(evidence: Evidence, unit_of: Mapping[str, str], folds: int = FOLDS) -> list[list[str]]:
    """Scenes dealt into folds of about as many labels; scenes of one place stay together. Fewer than two: nothing to hold out."""
    counts = Counter(one.scene_id for one in evidence.labels)
    places: dict[str, list[str]] = {}
    for scene_id in sorted(evidence.judged):
        places.setdefault(unit_of.get(scene_id, scene_id), []).append(scene_id)
    dealt: list[list[str]] = [[] for _ in range(min(folds, len(places)))]
    for members in sorted(places.values(), key=lambda members: (-sum(counts[one] for one in members), members)):
        min(dealt, key=lambda fold: (sum(counts[one] for one in fold), len(fold))).extend(members)
    return [sorted(fold) for fold in dealt if fold]


def held_out_detections(ws: Workspace, modality: str, evidence: Evidence) -> dict[str, list[Detection]]:
    """Detections of every calibration scene by a calibration fitted on other places; empty where no other place is labelled.

    The others are the other folds, or the training side where all calibration scenes lie in one place.
    """
    from ovd_platform.detect.detect import detect_scene

    folds = scene_folds(evidence, load_split(ws, modality).unit_of)
    found: dict[str, list[Detection]] = {}
    for held in folds:
        others = [*(one for fold in folds if fold is not held for one in fold), *evidence.support]
        if not others:
            return {}
        fitted = evidence.fit(others, ws.config.seed)
        for scene_id in held:
            record = ws.scene(modality, scene_id)
            answers = detect_scene(
                evidence.rows[scene_id], record, evidence.vocabulary, fitted, evidence.text_kd, "held-out fold"
            )
            found[scene_id] = [one for one in answers if one.class_name]
    return found


def candidate_stats(ws: Workspace, modality: str, evidence: Evidence) -> "Stats":
    """Statistics of a pair of proposer and encoder on the calibration scenes, for the gate.

    Detections are of held-out folds, so that no threshold or head has seen the scene it is judged on. Proposer and encoder may have
    where training scenes joined; that flatters every candidate alike.
    """
    from ovd_platform.evaluate.inputs import EvaluationInput
    from ovd_platform.evaluate.stats import evaluate
    from ovd_platform.flow.evaluation_data import ground, in_words_of

    scene_ids = list(evidence.judged)
    labels = in_words_of(evidence.vocabulary, _by_scene(scene_ids, evidence.labels))
    ignored = frozenset(ws.config.evaluation.ignore_classes)
    named = {one.class_name for rows in labels.values() for one in rows} & set(evidence.vocabulary.names) - ignored
    found = held_out_detections(ws, modality, evidence) if named else {}
    note = "Detections are of calibrations fitted on other places."
    if not found:
        note = "Detections are not measured: one place, or no label of a class of the vocabulary."
    return evaluate(
        EvaluationInput(
            scenes=tuple(ws.scene(modality, scene_id) for scene_id in scene_ids),
            truth=labels,
            detections=found,
            proposals={scene_id: evidence.proposals[scene_id] for scene_id in scene_ids},
            release="candidate on the calibration scenes",
            class_names=tuple(sorted(named)),
            ignore_classes=ignored,
            notes=(evidence.note, note),
            **ground(ws, modality, scene_ids),
        ),
        replicates=min(DRAWS, ws.config.evaluation.replicates),
        seed=ws.config.seed,
    )


def _by_scene(scene_ids: Sequence[str], labels: Sequence[Annotation]) -> dict[str, list[Annotation]]:
    found: dict[str, list[Annotation]] = {scene_id: [] for scene_id in scene_ids}
    for one in labels:
        if one.scene_id in found:
            found[one.scene_id].append(one)
    return found


def _build_calibration(task: Task) -> Built:
    from ovd_platform.evaluate.compare import metric_at

    ws, modality = task.ws, task.modality
    if not calibration_scenes(ws, modality)[1]:
        return Built({"note": "no labels: detections need `ovd search` or labels"}, version=models.NO_MODEL)
    evidence = gather(ws, modality, task.inputs["proposer"], task.inputs["encoder"], run_id=task.run_id)
    calibration = evidence.fit(evidence.judged, ws.config.seed)
    calibration.save(task.folder)
    if evidence.text_kd is not None:
        np.save(task.folder / "text_vectors.npy", evidence.text_kd)
    stats = candidate_stats(ws, modality, evidence)
    stats["folds"] = calibration_folds(calibration.classes)
    write_json(task.folder / "stats.json", stats)
    # Stage outputs are pruned; a release in force needs its calibration after any number of refused candidates.
    kept = ws.home.models / f"{modality}-calibration" / calibration.version
    _keep(task.folder, kept)
    labels = sum(one.scene_id in evidence.judged for one in evidence.labels)
    facts = {"scenes": len(evidence.judged), "labels": labels, "note": evidence.note}
    figures = {
        "proposal_recall": metric_at(stats, "proposals.recall.all.at_100"),
        "held_out_ap50": metric_at(stats, "detection.ap50"),
    }
    return Built({**facts, **figures}, calibration.version)


def _keep(folder: Path, kept: Path) -> None:
    """Copy a calibration to where releases find it, in one rename."""
    working = kept.with_name(f".{kept.name}.{os.getpid()}")
    shutil.copytree(folder, working)
    shutil.rmtree(kept, ignore_errors=True)
    working.replace(kept)


def calibration_folds(classes: "Sequence[ClassCalibration]") -> dict[str, Any]:
    """What each class reached on the folds its fit did not see, as the fit states it (proposals ranked, not scenes evaluated)."""
    per_class = {
        entry.name: {"average_precision": entry.average_precision, "precision": entry.precision, "recall": entry.recall}
        for entry in classes
    }
    known = [entry.average_precision for entry in classes if entry.average_precision is not None]
    return {"mean_average_precision": float(np.mean(known)) if known else None, "per_class": per_class}


def stats_of(ws: Workspace, modality: str, version: str) -> dict[str, Any]:
    """Statistics of a calibration on its scenes; empty where nothing was measured."""
    path = models.calibration_folder(ws, modality, version) / "stats.json"
    if path.is_file():
        found: dict[str, Any] = read_json(path)
        return found
    return {}


CALIBRATION = Stage("calibration", "4", _calibration_inputs, _build_calibration)
