"""Manifest, release and index: what is searched, and what is promoted."""

import json
from collections.abc import Mapping
from typing import Any

from ovd_platform.errors import InputError
from ovd_platform.flow import models
from ovd_platform.flow.calibration import candidate_encoder, candidate_stats, gather, stats_of
from ovd_platform.flow.stage import Built, Inputs, Stage, Task, current_or_none, partitions_of, version_of
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import content_hash, read_json, write_json

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
    components = {name: version for name, version in task.inputs.items() if name != "gate"}
    passed, reasons, against = _gate(ws, modality, components, present, task.run_id)
    chosen = components if passed or present is None else {name: present[name] for name in components}
    write_json(task.folder / "release.json", chosen)
    write_json(
        task.folder / "gate.json",
        {"passed": passed, "reasons": list(reasons), "candidate": components, "present": present, "against_present": against},
    )
    facts: dict[str, Any] = {
        "gate_passed": passed,
        "reasons": "; ".join(reasons),
        "components": json.dumps(chosen, sort_keys=True),
    }
    if against:
        facts["verdict"] = f"{against['verdict']['word']}: {against['verdict']['reason']}"
    return Built(facts, version=content_hash("release", modality, chosen))


def _gate(
    ws: Workspace, modality: str, components: Mapping[str, str], present: Mapping[str, str] | None, run_id: str
) -> tuple[bool, tuple[str, ...], dict[str, Any] | None]:
    """Judge a candidate on the calibration scenes: verdict, reasons, and the comparison with the release in force.

    Without labels there is nothing to measure and the gate stands open.
    """
    from ovd_platform.evaluate.compare import compare_stats
    from ovd_platform.evaluate.gate import GateRule, decide_release

    stats = stats_of(ws, modality, components["calibration"])
    rules = [GateRule(**rule.model_dump()) for rule in ws.config.gate.rules]
    if not stats or not rules:
        return True, ("nothing was measured: no labels or no rules",), None
    before = _stats_in_force(ws, modality, present, stats, run_id) if present else None
    decision = decide_release(stats, before, rules)
    return decision.passed, decision.reasons, compare_stats(before, stats) if before else None


def _stats_in_force(
    ws: Workspace, modality: str, present: Mapping[str, str], candidate: Mapping[str, Any], run_id: str
) -> Mapping[str, Any]:
    """Statistics of the release in force on the candidate's scenes and labels; its models answer again where labels have changed."""
    from ovd_platform.evaluate.compare import require_comparable

    kept = stats_of(ws, modality, present["calibration"])
    try:
        require_comparable(kept, candidate)
    except InputError:
        return candidate_stats(ws, modality, gather(ws, modality, present["proposer"], present["encoder"], run_id=run_id))
    return kept


RELEASE = Stage("release", "2", _release_inputs, _build_release)


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
