"""Tell a Dagster instance which scenes exist and which versions they have."""

from dagster import AssetKey, AssetObservation, DagsterInstance, MetadataValue

from assets.partitions import set_name
from ovd_platform.flow.ingest import IngestReport, Progress, ingest, refused_files
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.scene import MODALITIES

_DATA_VERSION_TAG = "dagster/data_version"


def register_and_observe(instance: DagsterInstance, ws: Workspace, progress: Progress | None = None) -> IngestReport:
    """Ingest, add partition keys, and observe the scenes that are new or changed (others would trigger needless ticks).

    Keys are added before observations are stored: in one tick Dagster would store the events first.
    """
    before = refused_files(ws)
    report = ingest(ws, progress)
    if report.refused != before:
        _show_refused(instance, report.refused)
    for modality in MODALITIES:
        name = set_name("scenes", modality)
        known = set(instance.get_dynamic_partitions(name))
        records = {record.scene_id: record for record in ws.scenes(modality)}
        missing = [scene_id for scene_id in records if scene_id not in known]
        if missing:
            instance.add_dynamic_partitions(name, missing)
        changed = {scene_id for kind, scene_id in report.changed if kind == modality}
        for scene_id in sorted({*missing, *changed}):
            record = records[scene_id]
            instance.report_runless_asset_event(
                AssetObservation(
                    AssetKey([modality, "scene"]),
                    partition=scene_id,
                    tags={_DATA_VERSION_TAG: record.version},
                    metadata={
                        "uri": record.uri,
                        "size": f"{record.width_px} x {record.height_px} px",
                        "instrument": record.instrument,
                        "rendered": record.rendered,
                    },
                )
            )
    return report


def _show_refused(instance: DagsterInstance, refused: dict[str, str]) -> None:
    """Put the files that could not be registered, with the name of each error, on the scene assets' pages."""
    lines = ["| file | why not |", "|---|---|", *(f"| {uri} | {reason} |" for uri, reason in sorted(refused.items()))]
    for modality in MODALITIES:
        metadata = {"refused": len(refused), "refused_files": MetadataValue.md("\n".join(lines))}
        instance.report_runless_asset_event(AssetObservation(AssetKey([modality, "scene"]), metadata=metadata))
