"""`ovd lineage` of a detection of the demo, beside what the Dagster instance recorded."""

import json

from dagster import AssetKey

from assets.launch import open_instance
from benchmarks.demo import DEMO_HOME
from benchmarks.outcome import Outcome
from benchmarks.workspaces import ovd
from ovd_platform.flow.report import load_detections
from ovd_platform.flow.workspace import Workspace

WANTED = ("scene_version", "tile_id", "proposer", "encoder", "vocabulary", "release")


def run(arguments: list[str]) -> list[Outcome]:
    """Trace the first accepted detection and hold every named run against the event log."""
    ws = Workspace.open(DEMO_HOME)
    scenes = [record.scene_id for record in ws.scenes("optical")]
    detection = next(one for scene_id in scenes for one in load_detections(ws, "optical", scene_id) if one.accepted)
    found = json.loads(ovd("lineage", detection.detection_id, "-C", str(DEMO_HOME)))
    named = sum(bool(found["detection"].get(name)) for name in WANTED)
    with open_instance(ws) as instance:
        keys = [AssetKey(["optical", name]) for name in (*found["stages"], "calibration")]
        recorded = {record.run_id for key in keys for record in instance.fetch_materializations(key, limit=1000).records}
    known = [run_id for run_id in found["runs"] if run_id in recorded]
    return [
        Outcome("facts named", named, len(WANTED)),
        Outcome("runs named that the instance knows", len(known) / max(len(found["runs"]), 1), 1),
    ]
