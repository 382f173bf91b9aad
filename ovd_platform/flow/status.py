"""What a workspace holds: assets, versions, refusals."""

from typing import Any

from ovd_platform.flow.ingest import refused_files
from ovd_platform.flow.stage import current_or_none, failures_of, partitions_of
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.scene import MODALITIES


def workspace_status(ws: Workspace) -> dict[str, Any]:
    """JSON-ready facts: per modality the scenes, the release and every asset with partitions, version and time."""
    facts: dict[str, Any] = {
        "home": str(ws.home.root),
        "rendered": ws.config.rendered,
        "refused": refused_files(ws),
        "modalities": {},
    }
    for modality in (*MODALITIES, "shared"):
        folder = ws.home.root / "stages" / modality
        if not folder.is_dir():
            continue
        assets = {}
        for stage in sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != "checkpoints"):
            partitions = partitions_of(ws, modality, stage)
            newest = max(
                (output for name in partitions if (output := current_or_none(ws, modality, stage, name))),
                key=lambda o: o.made_utc,
                default=None,
            )
            assets[stage] = {
                "partitions": len(partitions),
                "version": newest.version if newest else "",
                "made_utc": newest.made_utc if newest else "",
                "failed": failures_of(ws, modality, stage),
            }
        release = current_or_none(ws, modality, "release")
        states: dict[str, int] = {}
        for record in ws.scenes(modality):
            state = ws.scene_entry(modality, record.scene_id)["state"]
            states[state] = states.get(state, 0) + 1
        facts["modalities"][modality] = {
            "scenes": len(ws.scenes(modality)),
            "states": states,
            "release": release.version if release else None,
            "assets": assets,
        }
    return facts
