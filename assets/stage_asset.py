"""How a library stage becomes an asset: one place for owners, versions, lineage and metadata."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AutomationCondition,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    asset,
)

from ovd_platform.flow.stage import Output, Stage
from ovd_platform.flow.workspace import Workspace
from resources.workspace import WorkspaceResource

OWNER = "team:remote-sensing"
After = Callable[[AssetExecutionContext, Workspace, Output], None]


def stage_asset(
    stage: Stage,
    modality: str,
    description: str,
    *,
    deps: Sequence[AssetKey] = (),
    kinds: set[str],
    partitions: PartitionsDefinition | None = None,
    condition: AutomationCondition | None = None,
    pool: str | None = None,
    after: After | None = None,
) -> AssetsDefinition:
    """The asset of one library stage.

    Args:
        stage: The stage; its name is the asset's name.
        modality: Key prefix and group: ``optical``, ``sar`` or ``shared``.
        description: What it is, for people.
        deps: Upstream assets.
        kinds: Dagster kinds.
        partitions: Partition set, or None.
        condition: Automation condition, or None for "on request".
        pool: Concurrency pool.
        after: Called when the output is current: publishing, registering partitions.
    """

    @asset(
        name=stage.name,
        key_prefix=modality,
        group_name=modality,
        description=description,
        deps=list(deps),
        kinds=kinds,
        owners=[OWNER],
        code_version=stage.code_version,
        partitions_def=partitions,
        automation_condition=condition,
        pool=pool,
    )
    def materialize_stage(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult:
        ws = workspace.open()
        partition = context.partition_key if context.has_partition_key else "all"
        output = stage.materialize(ws, modality, partition, run_id=context.run.run_id)
        if after is not None:
            after(context, ws, output)
        return MaterializeResult(data_version=DataVersion(output.version), metadata=asset_metadata(output))

    return materialize_stage


def asset_metadata(output: Output) -> dict[str, Any]:
    """Metadata of an output for the UI: numbers plot, pictures show, lineage is one JSON record."""
    metadata: dict[str, Any] = {name: value for name, value in output.metadata.items() if value is not None}
    for name in ("proposal_vectors", "annotations", "pairs", "detections", "proposals", "tiles"):
        if name in metadata:
            metadata["dagster/row_count"] = int(metadata[name])
            break
    metadata["dagster/uri"] = str(output.folder)
    metadata["reused"] = output.reused
    metadata["lineage"] = MetadataValue.json(
        {
            "key": output.key,
            "version": output.version,
            "inputs": output.inputs,
            "made_by_run": output.run_id,
            "made_utc": output.made_utc,
        }
    )
    for name, picture in pictures(output.folder).items():
        metadata[name] = MetadataValue.md(picture)
    return metadata


def pictures(folder: Path, limit_bytes: int = 200_000) -> dict[str, str]:
    """Markdown of the small pictures an output holds, by name."""
    found: dict[str, str] = {}
    for path in sorted([*folder.glob("*.jpg"), *folder.glob("*.png")]):
        if path.stat().st_size <= limit_bytes:
            kind = "jpeg" if path.suffix == ".jpg" else "png"
            found[path.stem] = f"![{path.stem}](data:image/{kind};base64,{b64encode(path.read_bytes()).decode()})"
    return found


def key(modality: str, name: str) -> AssetKey:
    """Asset key of a stage."""
    return AssetKey([modality, name])
