"""New imagery, new documents, retention: the three things that come from outside."""

import json

from dagster import (
    AssetKey,
    AssetSelection,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    define_asset_job,
    sensor,
)

from assets.observe import register_and_observe
from ovd_platform.errors import DataError
from ovd_platform.flow.ageoff import due_scenes
from ovd_platform.flow.documents import PDF_PAIRS, documents_by_bucket
from ovd_platform.flow.stage import partitions_of
from resources.workspace import WorkspaceResource


def source_sensors() -> list[SensorDefinition]:
    """The sensors of this module."""
    return [new_imagery, new_documents, retention]


@sensor(minimum_interval_seconds=60, description="Registers new and changed scenes; the conditions of the graph do the rest.")
def new_imagery(context: SensorEvaluationContext, workspace: WorkspaceResource) -> SkipReason:
    """Register keys and observe versions of what changed. Requests no runs: the scene assets have conditions."""
    report = register_and_observe(context.instance, workspace.open())
    if report.refused and not (report.new or report.changed or report.unchanged):
        raise DataError(
            f"Cannot register any of {len(report.refused)} scene files: expected readable rasters, got for the first "
            f"{next(iter(report.refused.values()))} Mend the files or `imagery` in ovd.yaml."
        )
    return SkipReason(
        f"{len(report.new)} new, {len(report.changed)} changed, {len(report.unchanged)} unchanged, {len(report.refused)} refused"
    )


@sensor(
    minimum_interval_seconds=120,
    job=define_asset_job("document_job", selection=AssetSelection.assets(AssetKey(["shared", "pdf_pairs"]))),
    description="Extracts document buckets whose files were added, changed or removed.",
)
def new_documents(context: SensorEvaluationContext, workspace: WorkspaceResource) -> SensorResult | SkipReason:
    """One run for each changed bucket."""
    ws = workspace.open()
    asked: dict[str, str] = json.loads(context.cursor or "{}")
    requests = []
    for bucket in sorted({*documents_by_bucket(ws), *partitions_of(ws, "shared", "pdf_pairs")}):
        wanted = PDF_PAIRS.key(ws, "shared", bucket)
        if asked.get(bucket) != wanted and not PDF_PAIRS.is_current(ws, "shared", bucket):
            requests.append(RunRequest(run_key=f"{bucket}-{wanted}", partition_key=bucket))
        asked[bucket] = wanted
    if not requests:
        return SkipReason("no bucket changed")
    return SensorResult(run_requests=requests, cursor=json.dumps(asked))


@sensor(minimum_interval_seconds=3600, description="Says which scenes are past their retention; `ovd age-off` lets them go.")
def retention(context: SensorEvaluationContext, workspace: WorkspaceResource) -> SkipReason:
    """Report what is due. Deleting stays a person's decision: it is never done by a tick."""
    ws = workspace.open()
    if ws.config.archive.retention_days is None:
        return SkipReason("archive.retention_days is not set")
    due = due_scenes(ws, ws.config.archive.retention_days)
    return SkipReason(f"{len(due)} scenes are past {ws.config.archive.retention_days} days: {', '.join(due[:10])}")
