"""Evaluation of a release on the held-out side of the split, and pseudo-labels from confident detections."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ovd_platform.errors import InputError, OvdError
from ovd_platform.flow import evaluation_data, models, second_answers
from ovd_platform.flow.labels import load_annotations_of, load_split
from ovd_platform.flow.masks import masks_version
from ovd_platform.flow.query import Question, search
from ovd_platform.flow.scenes import load_profile, load_proposals, open_registered
from ovd_platform.flow.stage import Built, Inputs, Stage, Task, current, current_or_none, version_of
from ovd_platform.flow.truth import load_truth, truth_contexts, truth_version
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.detection import Detection
from ovd_platform.records.prompt import SearchFilter
from ovd_platform.stores.home import content_hash, read_json, write_json

if TYPE_CHECKING:
    from ovd_platform.evaluate.inputs import EvaluationInput
    from ovd_platform.evaluate.retrieval import RetrievalQuery
    from ovd_platform.evaluate.stats import Stats

_EXAMPLES = 5
_TOP = 100
_PSEUDO_PROBABILITY = 0.9
_HEADLINE = {
    "AP50": "detection.ap50",
    "AP": "detection.ap",
    "AP75": "detection.ap75",
    "class-agnostic AP50": "class_agnostic.ap50",
    "base AP50": "detection.base_ap50",
    "novel AP50": "detection.novel_ap50",
    "harmonic AP50": "detection.harmonic_ap50",
    "proposal recall at 100 per Mpx": "proposals.recall.all.at_100",
    "recall at 1 false alarm per km2": "froc.per_km2.mean.at_1",
    "recall at 1 false alarm per Mpx": "froc.per_mpx.mean.at_1",
    "retrieval AP": "retrieval.mean_ap",
    "P@10": "retrieval.mean_p_at_10",
    "5-shot AP": "few_shot.mean_ap_5_shot",
    "ECE": "calibration.ece",
    "duplicates per 1000 detections": "duplicates.detections.per_1000",
    "found again on a shifted grid": "stability.found_again",
    "detections found again on a shifted grid": "stability.detections.found_again",
    "leaked test scenes": "health.leak.leaked_scenes",
    "EUR per 1000 km2": "costs.eur_per_1000_km2",
}


def load_detections(ws: Workspace, modality: str, scene_id: str) -> list[Detection]:
    """Detections of a scene, accepted or not; empty if none were made."""
    import pyarrow.parquet as pq

    from ovd_platform.detect.export import detections_from_table

    output = current_or_none(ws, modality, "detections", scene_id)
    return [] if output is None else detections_from_table(pq.read_table(output.folder / "detections.parquet"))


# --- pseudo-labels -----------------------------------------------------------------------------------------------------------


def _pseudo_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    return {
        record.scene_id: version_of(ws, modality, "detections", record.scene_id, default="none")
        for record in ws.scenes(modality)
    }


def _build_pseudo(task: Task) -> Built:
    from ovd_platform.datasets.canonical import write_annotations

    ws, modality = task.ws, task.modality
    labelled = {one.scene_id for one in load_annotations_of(ws, modality)}
    held_out = set(load_split(ws, modality).test) | set(load_split(ws, modality).calibration)
    found = []
    for scene_id in task.inputs:
        if scene_id in labelled or scene_id in held_out:
            continue
        for detection in load_detections(ws, modality, scene_id):
            if detection.accepted and (detection.probability or 0.0) >= _PSEUDO_PROBABILITY:
                x0, y0, x1, y1 = detection.box_scene_xyxy
                corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
                found.append(
                    Annotation(content_hash(detection.detection_id), scene_id, detection.class_name, corners, source="pseudo")
                )
    write_annotations(found, task.folder / "annotations.parquet")
    return Built({"annotations": len(found), "scenes": len({one.scene_id for one in found})})


PSEUDO_LABELS = Stage("pseudo_labels", "1", _pseudo_inputs, _build_pseudo)


# --- evaluation --------------------------------------------------------------------------------------------------------------


def _report_inputs(ws: Workspace, modality: str, release: str) -> Inputs:
    test = load_split(ws, modality).test
    return {
        "release": release,
        "annotations": version_of(ws, modality, "annotations"),
        "truth": truth_version(ws),
        "evaluation": content_hash(ws.config.evaluation.model_dump()),
        "masks": masks_version(ws),
        "search_index": version_of(ws, modality, "search_index", default="none"),
        **{f"detections/{scene_id}": version_of(ws, modality, "detections", scene_id, default="none") for scene_id in test},
    }


def _build_report(task: Task) -> Built:
    from ovd_platform.evaluate.pictures import make_pictures, select_pictures
    from ovd_platform.evaluate.report import write_report
    from ovd_platform.evaluate.stats import evaluate

    given = evaluation_input(task.ws, task.modality)
    if given is None:
        note = "no held-out scene carries labels: nothing can be measured. Add labels, or raise split.holdout_fraction."
        write_json(task.folder / "stats.json", {"notes": [note]})
        (task.folder / "report.md").write_text(f"# Evaluation\n\n{note}\n")
        (task.folder / "report.html").write_text(f"<!doctype html><title>Evaluation</title><p>{note}</p>")
        return Built({"note": note})
    ws, modality = task.ws, task.modality
    stats = evaluate(
        given,
        replicates=ws.config.evaluation.replicates,
        seed=ws.config.seed,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        few_shot_draws=ws.config.evaluation.few_shot_draws,
    )
    pictures = make_pictures(
        select_pictures(given),
        lambda scene_id: open_registered(ws, modality, scene_id),
        lambda scene_id: load_profile(ws, modality, scene_id),
    )
    write_report(stats, pictures, task.folder, comparison=_against_previous(task, stats))
    return Built({"scenes": len(given.scenes), **headline(stats)})


def _against_previous(task: Task, stats: "Stats") -> dict[str, Any] | None:
    """Comparison with the newest report of another release on the same labels; None where there is none."""
    from ovd_platform.evaluate.compare import compare_stats

    folder = task.ws.home.stage(task.modality, "evaluation_report")
    earlier = [path for path in folder.glob("*/*/stats.json") if path.parts[-3] != task.partition]
    for path in sorted(earlier, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            return compare_stats(read_json(path), stats)
        except (InputError, KeyError):  # Other labels, scenes or protocol, or a report that measured nothing.
            continue
    return None


EVALUATION_REPORT = Stage("evaluation_report", "3", _report_inputs, _build_report)


def headline(stats: "Stats") -> dict[str, float]:
    """The few figures that plot over releases."""
    from ovd_platform.evaluate.compare import metric_at

    found = {name: metric_at(stats, path) for name, path in _HEADLINE.items()}
    return {name: round(value, 4) for name, value in found.items() if value is not None}


def evaluation_input(ws: Workspace, modality: str) -> "EvaluationInput | None":
    """Held-out scenes with their truth and everything that was answered in them; None if no held-out scene is labelled."""
    from ovd_platform.evaluate.inputs import EvaluationInput

    split = load_split(ws, modality)
    truth = evaluation_data.in_words_of(models.vocabulary(ws), load_truth(ws, modality))
    scenes = [record for record in ws.scenes(modality) if record.scene_id in split.test and record.scene_id in truth]
    if not scenes:
        return None
    release = models.released(ws, modality)
    proposals = {}
    for record in scenes:
        output = current_or_none(ws, modality, "proposals", record.scene_id)
        if output is not None:
            proposals[record.scene_id] = load_proposals(output.folder, record.scene_id)
    ids = [record.scene_id for record in scenes]
    named = {one.class_name for scene_id in ids for one in truth[scene_id]} - {""} - set(ws.config.evaluation.ignore_classes)
    learnt = {one.class_name for one in load_annotations_of(ws, modality) if one.scene_id not in split.test}
    answerable = named & (learnt | set(models.vocabulary(ws).names))
    settings = ws.config.evaluation
    shifted, shifted_found = second_answers.on_shifted_grid(ws, modality, scenes, settings.shifted_scenes)
    archived, drift = second_answers.on_archived_pixels(ws, modality, scenes, settings.archived_scenes)
    ground = evaluation_data.ground(ws, modality, ids)
    few_shot = evaluation_data.few_shot_data(ws, modality, truth, ids)
    return EvaluationInput(
        scenes=tuple(scenes),
        truth={scene_id: truth[scene_id] for scene_id in ids},
        detections={scene_id: [one for one in load_detections(ws, modality, scene_id) if one.class_name] for scene_id in ids},
        proposals=proposals,
        queries=tuple(class_queries(ws, modality, ids)),
        release=release["version"],
        versions={name: version for name, version in release.items() if name != "version"},
        lineage={
            "annotations": version_of(ws, modality, "annotations"),
            "split": split.version,
            "training_shards": version_of(ws, modality, "training_shards"),
            "run": current(ws, modality, "release").run_id,
        },
        class_names=tuple(sorted(answerable)),
        novel_classes=frozenset(answerable - learnt),
        tags=truth_contexts(ws),
        asked_precision=evaluation_data.asked_precision(ws, modality, release["calibration"]),
        ignore_classes=frozenset(ws.config.evaluation.ignore_classes),
        training_scenes=evaluation_data.training_scenes(ws, modality),
        class_scores=evaluation_data.class_scores(ws, modality, ids, release["calibration"]),
        shifted_proposals=shifted,
        shifted_detections=shifted_found,
        archived_detections=archived,
        archived_drift=drift,
        few_shot=few_shot,
        filtered=tuple(evaluation_data.filtered_searches(ws, modality, few_shot, ids)),
        costs=evaluation_data.costs(ws, modality, ids),
        notes=(
            *_notes(ws, named - answerable, masked=len(ground["masks"]), scenes=len(ids)),
            *_novel_note(ws, modality, answerable - learnt),
        ),
        **ground,
    )


def _notes(ws: Workspace, unanswerable: set[str], *, masked: int, scenes: int) -> tuple[str, ...]:
    """What a reader has to know before the figures."""
    notes = []
    if ws.config.rendered:
        notes.append("The imagery is rendered: figures say how the parts work together, not how well they do on real scenes.")
    if unanswerable:
        names = ", ".join(sorted(unanswerable))
        notes.append(
            f"Neither a label of training nor the vocabulary names {names}: detections are not judged on them, searches are."
        )
    if ws.config.evaluation.masks is not None:
        notes.append(f"{masked} of {scenes} scenes have a mask of ground that is not judged.")
    return tuple(notes)


def _novel_note(ws: Workspace, modality: str, novel: set[str]) -> tuple[str, ...]:
    """Whether words of the novel classes were seen in training, which labels do not tell."""
    if not novel:
        return ()
    read = evaluation_data.named_in_documents(ws, modality, novel)
    named = f"documents of the training name {', '.join(sorted(read))}" if read else "no document of the training names one"
    return (f"Novel to labels: {', '.join(sorted(novel))}; {named}.",)


def class_queries(ws: Workspace, modality: str, scene_ids: list[str]) -> "list[RetrievalQuery]":
    """For each class of the truth: one search by its name and one by five examples from other scenes."""
    from ovd_platform.evaluate.retrieval import RetrievalQuery

    truth = load_truth(ws, modality)
    names = sorted({one.class_name for scene_id in scene_ids for one in truth[scene_id] if one.class_name})
    where = SearchFilter(scene_ids=tuple(scene_ids))
    queries = []
    for name in names:
        asked = {"text": Question(text=name, modality=modality, top=_TOP, filter=where)}
        examples = example_boxes(ws, modality, name, exclude=set(scene_ids))
        if examples:
            asked["chip"] = Question(chips=examples, modality=modality, top=_TOP, filter=where)
        for kind, question in asked.items():
            try:
                hits = search(ws, question)
            except OvdError:  # Words without a text tower: the class is then asked by example only.
                continue
            prompt = name if kind == "text" else f"{len(examples)} examples of {name}"
            queries.append(RetrievalQuery(f"{name}/{kind}", prompt, kind, name, tuple(hits)))  # type: ignore[arg-type]
    return queries


def example_boxes(
    ws: Workspace, modality: str, class_name: str, exclude: set[str], count: int = _EXAMPLES, seed: int = 0
) -> tuple[str, ...]:
    """Example boxes of a class in the form `ovd search --chip` takes, from scenes that are not searched."""
    rows = [
        one
        for scene_id, labels in load_truth(ws, modality).items()
        if scene_id not in exclude
        for one in labels
        if one.class_name == class_name and not one.difficult
    ]
    generator = np.random.default_rng([seed, *class_name.encode()])
    picked = generator.permutation(len(rows))[:count]
    return tuple(f"{rows[i].scene_id}:" + ",".join(f"{value:.2f}" for value in rows[i].box_scene_xyxy) for i in sorted(picked))
