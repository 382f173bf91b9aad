"""Codec policy and archive: what must stay exact, what may be lossy, and the proof that the archive decodes."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ovd_platform.errors import StaleError
from ovd_platform.flow.labels import load_annotations_of
from ovd_platform.flow.scenes import load_proposals, load_tiles, open_registered
from ovd_platform.flow.stage import Built, Inputs, Output, Stage, Task, current, current_or_none, version_of
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.window import Window
from ovd_platform.stores.home import content_hash, read_json, write_json

if TYPE_CHECKING:
    from ovd_platform.archive.policy import CodecPolicy

_SAMPLED_SCENES = 4
_PROTECTED_OBJECTNESS = 0.1


# --- codec policy ------------------------------------------------------------------------------------------------------------


def _policy_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    return {
        "training_shards": version_of(ws, modality, "training_shards"),
        "config": content_hash(ws.config.archive.model_dump(exclude={"retention_days"})),
    }


def _build_policy(task: Task) -> Built:
    """Write the policy and measure it on background tiles of a few scenes, one instrument each where possible."""
    from ovd_platform.archive.policy import CodecPolicy
    from ovd_platform.archive.verify import verify_archive
    from ovd_platform.archive.write import archive_scene

    ws, modality, settings = task.ws, task.modality, task.ws.config.archive
    policy = CodecPolicy(distance=settings.distance, lossless_edge_density=settings.lossless_edge_density)
    measured: list[dict[str, Any]] = []
    by_instrument = {
        record.instrument: record for record in ws.scenes(modality) if current_or_none(ws, modality, "tiles", record.scene_id)
    }
    for record in list(by_instrument.values())[:_SAMPLED_SCENES]:
        if ws.scene_entry(modality, record.scene_id)["state"] == "aged_off" or record.area_mpx > 100:
            continue
        with open_registered(ws, modality, record.scene_id, as_stored=True) as scene:
            path = task.folder / "sample.ovdx"
            seen = with_observed_bits(policy, record, current(ws, modality, "tiles", record.scene_id))
            result = archive_scene(scene, load_tiles(ws, modality, record.scene_id), [], path, seen)
            report = verify_archive(scene, path)
        measured.append(
            {
                "instrument": record.instrument,
                "scene_id": record.scene_id,
                "lossy_tiles": result.lossy_tiles,
                "lossless_tiles": result.lossless_tiles,
                "ratio": result.raw_bytes / max(result.archive_bytes, 1),
                "max_error": report.max_error,
                "worst_psnr_db": None if report.worst_psnr_db == float("inf") else report.worst_psnr_db,
            }
        )
    write_json(task.folder / "policy.json", policy.to_dict())
    write_json(task.folder / "measured.json", measured)
    facts = {f"{row['instrument']} worst PSNR (dB)": row["worst_psnr_db"] for row in measured if row["worst_psnr_db"]}
    ratios = {f"{row['instrument']} ratio": round(float(row["ratio"]), 3) for row in measured}
    return Built({"distance": policy.distance, **facts, **ratios}, version=content_hash(policy.to_dict()))


CODEC_POLICY = Stage("codec_policy", "1", _policy_inputs, _build_policy)


# --- archive -----------------------------------------------------------------------------------------------------------------


def _archive_inputs(ws: Workspace, modality: str, scene_id: str) -> Inputs:
    if ws.scene_entry(modality, scene_id)["state"] == "aged_off":
        # The archive is the only copy now: it is what it is, whatever is re-made around it.
        return current(ws, modality, "archive", scene_id).inputs
    version_of(ws, modality, "embeddings", scene_id)  # Vectors are made from originals before anything is compressed.
    return {
        "scene": ws.scene(modality, scene_id).version,
        "tiles": version_of(ws, modality, "tiles", scene_id),
        "codec_policy": version_of(ws, modality, "codec_policy"),
    }


def _build_archive(task: Task) -> Built:
    from ovd_platform.archive.policy import CodecPolicy
    from ovd_platform.archive.verify import verify_archive
    from ovd_platform.archive.write import archive_scene

    ws, modality, scene_id = task.ws, task.modality, task.partition
    if ws.scene_entry(modality, scene_id)["state"] == "aged_off":
        raise StaleError(
            f"Cannot archive {scene_id} again: expected its original, it was aged off. Its archive must not be removed."
        )
    policy = CodecPolicy.from_dict(read_json(current(ws, modality, "codec_policy").folder / "policy.json"))
    with open_registered(ws, modality, scene_id, as_stored=True) as scene:
        path = task.folder / f"{scene_id}.ovdx"
        policy = with_observed_bits(policy, scene.record, current(ws, modality, "tiles", scene_id))
        result = archive_scene(
            scene, load_tiles(ws, modality, scene_id), protected_windows(ws, modality, scene_id), path, policy
        )
        report = verify_archive(scene, path)
    report.raise_if_failed()
    return Built(
        {
            "archive_bytes": result.archive_bytes,
            "ratio": round(result.raw_bytes / max(result.archive_bytes, 1), 3),
            "lossless_tiles": result.lossless_tiles,
            "lossy_tiles": result.lossy_tiles,
            "max_error": report.max_error,
            "verified": True,
        }
    )


ARCHIVE = Stage("archive", "2", _archive_inputs, _build_archive)


def with_observed_bits(policy: "CodecPolicy", record: SceneRecord, tiles: Output) -> "CodecPolicy":
    """The policy with the bits the tiling pass found, for a scene that does not declare its own.

    A lossy 12-bit picture in an undeclared 16-bit container would lose several dB.
    """
    observed = int(tiles.metadata.get("bits_observed", 0))
    return policy if record.bits_declared or not observed else replace(policy, bits=observed)


def protected_windows(ws: Workspace, modality: str, scene_id: str) -> list[Window]:
    """Pixels that must stay exact: labels, and proposals that are likely objects."""
    boxes = [one.box_scene_xyxy for one in load_annotations_of(ws, modality) if one.scene_id == scene_id]
    output = current_or_none(ws, modality, "proposals", scene_id)
    if output is not None:
        proposals = load_proposals(output.folder, scene_id)
        likely = proposals.boxes_scene_xyxy[proposals.objectness_n >= _PROTECTED_OBJECTNESS]
        boxes += [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in likely]
    return [Window(int(x0), int(y0), max(1, int(x1 + 1) - int(x0)), max(1, int(y1 + 1) - int(y0))) for x0, y0, x1, y1 in boxes]
