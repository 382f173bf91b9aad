"""`ovd lineage` of a detection, against what really ran."""

from dagster import AssetKey

from assets.launch import open_instance
from ovd_platform.flow import models
from ovd_platform.flow.lineage import lineage
from ovd_platform.flow.report import load_detections
from ovd_platform.flow.stage import version_of
from ovd_platform.flow.workspace import Workspace


def test_a_detection_names_everything_that_made_it(ran: Workspace) -> None:
    scene_id = next(record.scene_id for record in ran.scenes("optical") if load_detections(ran, "optical", record.scene_id))
    detection = load_detections(ran, "optical", scene_id)[0]
    found = lineage(ran, detection.detection_id)
    release = models.released(ran, "optical")
    assert found["kind"] == "detection"
    assert found["scene"]["version"] == ran.scene("optical", scene_id).version
    assert found["detection"]["tile_id"].startswith(f"{scene_id}/")
    assert found["detection"]["proposer"] == release["proposer"]
    assert found["detection"]["encoder"] == release["encoder"]
    assert found["detection"]["release"] == release["version"]
    assert found["detection"]["vocabulary"] == version_of(ran, "shared", "vocabulary")
    with open_instance(ran) as instance:
        for stage in ("tiles", "proposals", "embeddings", "detections"):
            records = instance.fetch_materializations(AssetKey(["optical", stage]), limit=100).records
            runs = {record.run_id for record in records if record.partition_key == scene_id}
            assert found["stages"][stage]["run_id"] in runs | set(_calibration_runs(instance)), stage


def _calibration_runs(instance: object) -> list[str]:
    """Calibration computes proposals and embeddings of its scenes before the release; its run made those outputs."""
    records = instance.fetch_materializations(AssetKey(["optical", "calibration"]), limit=100).records  # type: ignore[attr-defined]
    return [record.run_id for record in records]
