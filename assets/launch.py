"""Run the graph from the command line, in this process: everything that is missing or no longer true, nothing else.

The same jobs run from the Dagster UI; both write to the same instance. Each scene is one run, so one failing scene costs
itself only, and a killed command goes on where it stopped.
"""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dagster import AssetKey, AssetMaterialization, DagsterInstance, ExecuteInProcessResult, JobDefinition
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.instance.ref import InstanceRef

from assets.observe import register_and_observe
from assets.partitions import set_name
from assets.stage_asset import asset_metadata
from ovd_platform.flow import (
    archive,
    calibration,
    documents,
    labels,
    proposer_training,
    release,
    report,
    saved_classes,
    scenes,
    synthetic,
    training,
)
from ovd_platform.flow.ingest import IngestReport
from ovd_platform.flow.stage import Output, Stage, current, current_or_none, partitions_of
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.scene import MODALITIES
from resources.workspace import HOME_VARIABLE

Progress = Callable[[str], None]
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_NO_OUTPUT: Any = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}
_DAGSTER_YAML = """\
# Instance of one workspace: SQLite, local runs. Move to Postgres when several machines write (see docs/runbook.md).
telemetry: {enabled: false}
nux: {enabled: false}  # no invitations in the UI
python_logs: {managed_python_loggers: [ovd_platform], python_log_level: INFO}
run_monitoring: {enabled: true}
run_retries: {retry_on_asset_or_op_failure: false}
concurrency:
  pools: {default_limit: 1, granularity: run}
"""


@dataclass(slots=True)
class Summary:
    """What a command did.

    Attributes:
        ingest: What the look at the imagery found.
        materialized: Asset keys with partition that were materialized.
        stale_training: Trained artifacts that are older than their inputs; `ovd train` renews them.
        failed: Reason by asset key for what failed; the rest went on.
    """

    ingest: IngestReport = field(default_factory=IngestReport)
    materialized: list[str] = field(default_factory=list)
    stale_training: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def open_instance(ws: Workspace, *, capture_output: bool = True) -> DagsterInstance:
    """The workspace's Dagster instance; made on first use.

    Args:
        ws: The workspace.
        capture_output: Keep what steps print for the UI. It takes two processes a stream and step, which answer Ctrl-C with
            tracebacks of their own; a run in this process can do without: the library's log reaches the UI either way.
    """
    folder = ws.home.dagster
    config = folder / "dagster.yaml"
    if not config.is_file():
        config.write_text(_DAGSTER_YAML)
    os.environ["DAGSTER_HOME"] = str(folder)
    os.environ[HOME_VARIABLE] = str(ws.home.root)
    if capture_output:
        return DagsterInstance.get()
    return DagsterInstance.from_ref(InstanceRef.from_dir(str(folder), overrides=_NO_OUTPUT))


@dataclass(slots=True)
class Launcher:
    """Runs parts of the graph against one workspace and one instance."""

    ws: Workspace
    instance: DagsterInstance
    say: Progress
    retrain: bool
    summary: Summary = field(default_factory=Summary)

    def ingest(self) -> None:
        """Register scenes."""
        self.summary.ingest = register_and_observe(self.instance, self.ws)

    def ensure(self, stage: Stage, modality: str, partition: str = "all", *, trained: bool = False) -> bool:
        """Materialize one asset (partition) unless it is current; returns whether it is current afterwards."""
        return self.ensure_all([stage], modality, partition, trained=trained)

    def ensure_all(self, stages: list[Stage], modality: str, partition: str = "all", *, trained: bool = False) -> bool:
        """Materialize, in one run, the first stage that is not current and all behind it."""
        for index, stage in enumerate(stages):
            name = f"{modality}/{stage.name}"
            if trained and not self.retrain and current_or_none(self.ws, modality, stage.name, partition) is not None:
                if not stage.is_current(self.ws, modality, partition):
                    self.summary.stale_training.append(name)
                continue
            if not stage.is_current(self.ws, modality, partition) or not self._known(modality, stage.name, partition):
                return self._run(stages[index:], modality, partition)
        return True

    def _known(self, modality: str, name: str, partition: str) -> bool:
        """Whether the instance shows the asset materialized (a copied workspace may come without its instance)."""
        asset_key = AssetKey([modality, name])
        if partition == "all":
            return self.instance.get_latest_materialization_event(asset_key) is not None
        return partition in self._partitions(asset_key)

    def _partitions(self, asset_key: AssetKey) -> set[str]:
        return set(self.instance.get_materialized_partitions(asset_key))

    def _run(self, stages: list[Stage], modality: str, partition: str) -> bool:
        names = [f"{modality}/{stage.name}" + ("" if partition == "all" else f"[{partition}]") for stage in stages]
        self.say(
            ", ".join(stage.name for stage in stages) + f" of {modality}" + ("" if partition == "all" else f" {partition}")
        )
        outcome = _job().execute_in_process(
            instance=self.instance,
            asset_selection=[AssetKey([modality, stage.name]) for stage in stages],
            partition_key=None if partition == "all" else partition,
            run_config=_QUIET,
            raise_on_error=False,
        )
        if outcome.success:
            self.summary.materialized += names
            return True
        if _interrupted(outcome):
            raise KeyboardInterrupt
        self.summary.failed[names[0]] = _first_reason(outcome)
        return False


def _interrupted(outcome: ExecuteInProcessResult) -> bool:
    """Whether Ctrl-C ended the run: Dagster turns it into the failure of a step."""
    errors = [event.step_failure_data.error for event in outcome.get_step_failure_events()]
    return any(error is not None and error.cls_name == DagsterExecutionInterruptedError.__name__ for error in errors)


def _first_reason(outcome: ExecuteInProcessResult) -> str:
    """The library's own message of the first failure, without Dagster's wrapping."""
    for event in outcome.get_step_failure_events():
        error = event.step_failure_data.error
        if error is not None:
            cause = error.cause or error
            return f"{event.step_key}: {cause.message.strip()}"
    return "the run failed before a step started; see its log in the UI"


def _job() -> JobDefinition:
    from definitions import defs

    return defs.resolve_implicit_global_asset_job_def()


def run_graph(ws: Workspace, *, say: Progress, retrain: bool = False, only_training: bool = False) -> Summary:
    """Materialize everything that is missing or out of date.

    Args:
        ws: The workspace.
        say: Called with a line for each run that starts.
        retrain: Also renew trained artifacts whose inputs changed (`ovd train`); otherwise they are only made when missing.
        only_training: Stop after the release.

    Returns:
        What was done, what is stale and what failed.
    """
    logging.getLogger("dagster").setLevel(logging.ERROR)
    with open_instance(ws, capture_output=False) as instance:
        launcher = Launcher(ws, instance, say, retrain)
        launcher.ingest()
        modalities = [modality for modality in MODALITIES if ws.scenes(modality)]
        for modality, scene_id in _scenes(ws, modalities):
            launcher.ensure(scenes.TILES, modality, scene_id)
        _documents_and_labels(launcher, modalities)
        for modality in modalities:
            _training(launcher, modality)
        if only_training:
            return launcher.summary
        for modality, scene_id in _scenes(ws, modalities):
            if current_or_none(ws, modality, "release") is not None:
                chain = [scenes.proposals_stage(), scenes.embeddings_stage(), scenes.DETECTIONS]
                live = ws.scene_entry(modality, scene_id)["state"] != "aged_off"
                launcher.ensure_all(
                    [*chain, archive.ARCHIVE] if live and ws.config.archive.enabled else chain, modality, scene_id
                )
        for modality in modalities:
            _saved_classes(launcher, modality)
            _finish(launcher, modality)
        return launcher.summary


def renew_manifests(ws: Workspace, say: Progress) -> Summary:
    """After age-off: the manifest and the index, which are all that moves."""
    with open_instance(ws) as instance:
        launcher = Launcher(ws, instance, say, retrain=False)
        for modality in [name for name in MODALITIES if ws.scenes(name)]:
            launcher.ensure(release.SCENE_MANIFEST, modality)
            launcher.ensure(release.SEARCH_INDEX, modality)
        return launcher.summary


def renew_saved_classes(ws: Workspace, modality: str, say: Progress) -> Summary:
    """After a class was kept or forgotten: its fit, and what the embedded scenes show of it."""
    with open_instance(ws) as instance:
        launcher = Launcher(ws, instance, say, retrain=False)
        _saved_classes(launcher, modality)
        return launcher.summary


def _saved_classes(launcher: Launcher, modality: str) -> None:
    """Fit the kept classes and look for them in every embedded scene; with none kept, events say that there is nothing to look for."""
    ws = launcher.ws
    if current_or_none(ws, modality, "release") is None:
        return
    fit, known = saved_classes.SAVED_CLASSES, launcher._known(modality, "saved_classes", "all")
    kept = bool(saved_classes.saved_classes(ws, modality))
    if not kept and not known:
        _report(launcher, fit.materialize(ws, modality))
    elif not launcher.ensure(fit, modality):
        return
    for scene_id in partitions_of(ws, modality, "embeddings"):
        if kept:
            launcher.ensure(saved_classes.WATCH, modality, scene_id)
        elif not saved_classes.WATCH.is_current(ws, modality, scene_id) or not launcher._known(modality, "watch", scene_id):
            _report(launcher, saved_classes.WATCH.materialize(ws, modality, scene_id))


def _report(launcher: Launcher, output: Output) -> None:
    """Tell the instance of an output that needed no run."""
    event = AssetMaterialization(
        AssetKey([output.modality, output.stage]),
        partition=None if output.partition == "all" else output.partition,
        metadata=asset_metadata(output),
        tags={"dagster/data_version": output.version},
    )
    launcher.instance.report_runless_asset_event(event)


def _scenes(ws: Workspace, modalities: list[str]) -> Iterator[tuple[str, str]]:
    for modality in modalities:
        for record in ws.scenes(modality):
            yield modality, record.scene_id


def _documents_and_labels(launcher: Launcher, modalities: list[str]) -> None:
    ws = launcher.ws
    filled = documents.documents_by_bucket(ws)
    for bucket in sorted({*filled, *partitions_of(ws, "shared", "pdf_pairs")}):
        launcher.ensure(documents.PDF_PAIRS, "shared", bucket)
    _report_empty_buckets(launcher, set(filled))
    launcher.ensure(documents.PAIR_DATASET, "shared")
    for modality in modalities:
        launcher.ensure(release.SCENE_MANIFEST, modality)
        launcher.ensure(labels.ANNOTATIONS, modality)
    launcher.ensure(labels.VOCABULARY, "shared")


def _report_empty_buckets(launcher: Launcher, filled: set[str]) -> None:
    """Empty buckets need no run: an event says that they are empty and up to date."""
    asset_key = AssetKey(["shared", "pdf_pairs"])
    known = set(launcher.instance.get_materialized_partitions(asset_key))
    for number in range(documents.BUCKETS):
        bucket = documents.bucket_name(number)
        if bucket not in filled and bucket not in known:
            _report(launcher, documents.PDF_PAIRS.materialize(launcher.ws, "shared", bucket))


def _training(launcher: Launcher, modality: str) -> None:
    ws = launcher.ws
    ready = launcher.ensure(training.TRAINING_SHARDS, modality, trained=True)
    ready = ready and launcher.ensure(training.BACKBONE, modality, trained=True)
    ready = ready and launcher.ensure(training.DOMAIN_CLIP, modality, trained=True)
    ready = ready and launcher.ensure_all([labels.COCO_DATASET, synthetic.CHIP_LIBRARY], modality, trained=True)
    if not ready:
        return
    wanted = list(synthetic.targets(ws, modality))
    launcher.instance.add_dynamic_partitions(set_name("targets", modality), wanted)
    for target in wanted:
        launcher.ensure(synthetic.SYNTHETIC_COCO, modality, target, trained=True)
    launcher.ensure(synthetic.MERGED_DATASET, modality, trained=True)
    launcher.ensure(archive.CODEC_POLICY, modality, trained=True)
    if launcher.ensure(proposer_training.PROPOSER, modality, trained=True):
        launcher.ensure_all([calibration.CALIBRATION, release.RELEASE], modality, trained=True)


def _finish(launcher: Launcher, modality: str) -> None:
    ws = launcher.ws
    if current_or_none(ws, modality, "release") is None:
        return
    launcher.ensure(release.SCENE_MANIFEST, modality)
    launcher.ensure(release.SEARCH_INDEX, modality)
    launcher.ensure(report.PSEUDO_LABELS, modality)
    version = current(ws, modality, "release").version
    launcher.instance.add_dynamic_partitions(set_name("releases", modality), [version])
    launcher.ensure(report.EVALUATION_REPORT, modality, version)
