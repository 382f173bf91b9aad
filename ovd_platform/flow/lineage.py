"""Which scene version, which models, which labels and which runs made something: a walk over the stage records."""

from typing import Any

from ovd_platform.errors import InputError
from ovd_platform.flow.stage import current_or_none, partitions_of
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.scene import MODALITIES
from ovd_platform.stores.home import read_json

_SCENE_CHAIN = ("tiles", "proposals", "embeddings", "detections", "archive")
_MODEL_STAGES = ("backbone", "domain_clip", "proposer", "calibration", "release")


def lineage(ws: Workspace, identifier: str) -> dict[str, Any]:
    """Everything behind a detection, hit, scene, model, release or report.

    Args:
        ws: The workspace.
        identifier: Detection id, proposal id, scene id, or the version of a model, release or report.

    Returns:
        JSON-ready mapping: ``kind``, ``id`` and the records of every stage involved, each with version, inputs and run.

    Raises:
        InputError: If nothing of that name is known.
    """
    for modality in MODALITIES:
        scene_id = identifier.split(":", 1)[0]
        if ws.scene_path(modality, scene_id).is_file():
            return _of_scene(ws, modality, scene_id, identifier)
        found = _of_model(ws, modality, identifier)
        if found is not None:
            return found
    raise InputError(
        f"Cannot trace {identifier!r}: expected the id of a detection, proposal or scene, or a model, release or report version. "
        "`ovd status` and the detection files list them."
    )


def _of_scene(ws: Workspace, modality: str, scene_id: str, identifier: str) -> dict[str, Any]:
    entry = ws.scene_entry(modality, scene_id)
    stages = {name: output.record() for name in _SCENE_CHAIN if (output := current_or_none(ws, modality, name, scene_id))}
    result: dict[str, Any] = {
        "kind": "scene",
        "id": identifier,
        "scene": {
            "scene_id": scene_id,
            "version": entry["record"]["version"],
            "uri": entry["record"]["uri"],
            "state": entry["state"],
        },
        "stages": stages,
        "models": _models(ws, modality),
        "runs": sorted({record["run_id"] for record in stages.values()}),
        "rendered": entry["record"]["rendered"],
    }
    if ":" in identifier:
        result |= _of_detection(ws, modality, scene_id, identifier)
    return result


def _of_detection(ws: Workspace, modality: str, scene_id: str, identifier: str) -> dict[str, Any]:
    import pyarrow.parquet as pq

    from ovd_platform.detect.export import detections_from_table

    output = current_or_none(ws, modality, "detections", scene_id)
    detections = detections_from_table(pq.read_table(output.folder / "detections.parquet")) if output else []
    for detection in detections:
        if identifier in (detection.detection_id, detection.proposal_id):
            return {
                "kind": "detection",
                "detection": {
                    "class": detection.class_name,
                    "tile_id": detection.tile_id,
                    "scene_version": detection.scene_version,
                    "proposer": detection.proposer,
                    "encoder": detection.encoder,
                    "vocabulary": detection.vocabulary,
                    "release": detection.release,
                    "probability": detection.probability,
                    "box_scene_xyxy": list(detection.box_scene_xyxy),
                },
            }
    embedded = current_or_none(ws, modality, "embeddings", scene_id)
    if embedded is not None:
        rows = pq.read_table(embedded.folder / "proposals.parquet", columns=["proposal_id", "tile_id"])
        for row in rows.to_pylist():
            if row["proposal_id"] == identifier:
                return {"kind": "proposal", "proposal": row}
    raise InputError(
        f"Cannot trace {identifier!r}: scene {scene_id} is known, this object of it is not. It may be of an older release."
    )


def _models(ws: Workspace, modality: str) -> dict[str, Any]:
    release = current_or_none(ws, modality, "release")
    if release is None:
        return {}
    components = read_json(release.folder / "release.json")
    records = {name: output.record() for name in _MODEL_STAGES if (output := current_or_none(ws, modality, name))}
    return {"release": release.version, "components": components, "records": records}


def _of_model(ws: Workspace, modality: str, identifier: str) -> dict[str, Any] | None:
    for name in (*_MODEL_STAGES, "evaluation_report", "training_shards", "annotations", "merged_dataset", "scene_manifest"):
        for partition in partitions_of(ws, modality, name):
            output = current_or_none(ws, modality, name, partition)
            if output is not None and identifier in (output.version, output.key, f"{modality}/{name}"):
                return {
                    "kind": name,
                    "id": identifier,
                    "record": output.record(),
                    "upstream": _upstream(ws, modality, output.inputs),
                }
    return None


def _upstream(ws: Workspace, modality: str, inputs: dict[str, str]) -> dict[str, Any]:
    """Records of the stages an artifact was made from, as far as they are still current."""
    found = {}
    for name, version in inputs.items():
        for owner in (modality, "shared"):
            output = current_or_none(ws, owner, name)
            if output is not None and output.version == version:
                found[name] = output.record() | {"upstream": _upstream(ws, owner, output.inputs)}
                break
    return found
