"""Input-addressed stage outputs: the mechanism that makes every stage resumable, repeatable and cheap to ask twice.

A stage's *key* is the hash of its name, its code version and the versions of its inputs. Its output lies in
``stages/<modality>/<stage>/<partition>/<key>/`` and appears there in one rename, so a killed run leaves nothing half made.
A pointer beside it names the current output. Asking for an output that exists is free.
"""

import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ovd_platform.errors import OvdError, StaleError
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import content_hash, read_json, write_json

logger = logging.getLogger(__name__)

Inputs = Mapping[str, str]
_DONE = "stage.json"
_FAILED = ".failed"
_KEPT_OUTPUTS = 2


@dataclass(frozen=True, slots=True)
class Built:
    """What a build function returns.

    Attributes:
        metadata: JSON-ready facts for people: counts with units, scores, paths; the seconds it took join them as ``compute_s``.
        version: Content version of the artifact where it differs from the key (trained weights); None to use the key.
    """

    metadata: dict[str, Any] = field(default_factory=dict)
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """A finished stage output.

    Attributes:
        stage: Name of the stage.
        modality: ``optical``, ``sar`` or ``shared``.
        partition: Scene, bucket, class; ``all`` where there is none.
        key: Hash of code and inputs.
        version: Data version of the artifact.
        inputs: Versions of the inputs by name.
        folder: Where its files lie.
        run_id: Run that made it (not the run that found it made).
        made_utc: When it was made.
        metadata: Facts for people.
        reused: True if nothing had to be computed this time.
    """

    stage: str
    modality: str
    partition: str
    key: str
    version: str
    inputs: dict[str, str]
    folder: Path
    run_id: str
    made_utc: str
    metadata: dict[str, Any]
    reused: bool = False

    def record(self) -> dict[str, Any]:
        """JSON-ready form, without the folder (a workspace can be moved)."""
        return {
            "stage": self.stage,
            "modality": self.modality,
            "partition": self.partition,
            "key": self.key,
            "version": self.version,
            "inputs": self.inputs,
            "run_id": self.run_id,
            "made_utc": self.made_utc,
            "metadata": self.metadata,
        }


@dataclass(frozen=True, slots=True)
class Task:
    """What a build function gets.

    Attributes:
        ws: The workspace.
        modality: ``optical``, ``sar`` or ``shared``.
        partition: Scene, bucket, class; ``all`` where there is none.
        folder: Empty folder to write to; it becomes the output when the build returns.
        inputs: Versions of the inputs by name.
        run_id: Run that asks.
    """

    ws: Workspace
    modality: str
    partition: str
    folder: Path
    inputs: Inputs
    run_id: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One kind of artifact.

    Attributes:
        name: Noun, equal to the asset's name.
        code_version: Raised when the same inputs give another output.
        inputs: Versions of the inputs of one partition; raises `StaleError` when one is missing.
        build: Makes the output.
    """

    name: str
    code_version: str
    inputs: Callable[[Workspace, str, str], Inputs]
    build: Callable[[Task], Built]

    def key(self, ws: Workspace, modality: str, partition: str = "all") -> str:
        """Key the output would have now."""
        return content_hash(self.name, self.code_version, modality, partition, dict(self.inputs(ws, modality, partition)))

    def is_current(self, ws: Workspace, modality: str, partition: str = "all") -> bool:
        """Whether the pointer names the output of the present inputs."""
        pointer = _pointer(ws, modality, self.name, partition)
        if not pointer.is_file():
            return False
        try:
            return bool(read_json(pointer)["key"] == self.key(ws, modality, partition))
        except StaleError:
            return False

    def materialize(
        self, ws: Workspace, modality: str, partition: str = "all", *, run_id: str = "cli", publish: bool = True
    ) -> Output:
        """Make the output, or find it made.

        Args:
            ws: The workspace.
            modality: ``optical``, ``sar`` or ``shared``.
            partition: Scene, bucket, class; ``all`` where there is none.
            run_id: Written into the output's record.
            publish: False leaves the current output current (a candidate is tried out).

        Returns:
            The output; `Output.reused` says whether anything was computed.
        """
        inputs = dict(self.inputs(ws, modality, partition))
        key = content_hash(self.name, self.code_version, modality, partition, inputs)
        parent = ws.home.stage(modality, self.name) / partition
        folder = parent / key
        reused = (folder / _DONE).is_file()
        if not reused:
            working = parent / f".{key}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
            working.mkdir(parents=True)
            failure = _failure_path(ws, modality, self.name, partition)
            try:
                started = time.monotonic()
                built = self.build(Task(ws, modality, partition, working, inputs, run_id))
                facts = {**built.metadata, "compute_s": round(time.monotonic() - started, 3)}
                output = Output(
                    self.name, modality, partition, key, built.version or key, inputs, folder, run_id,
                    datetime.now(UTC).isoformat(timespec="seconds"), facts,
                )  # fmt: skip
                write_json(working / _DONE, output.record())
                if folder.exists():
                    shutil.rmtree(folder)
                working.replace(folder)
            except OvdError as error:
                write_json(failure, {"key": key, "error": type(error).__name__, "message": str(error), "run_id": run_id})
                raise
            else:
                failure.unlink(missing_ok=True)
            finally:
                shutil.rmtree(working, ignore_errors=True)
        output = _load(folder, reused=reused)
        if publish:
            write_json(_pointer(ws, modality, self.name, partition), output.record())
            _prune(parent, keep=key)
        return output


def current(ws: Workspace, modality: str, stage: str, partition: str = "all") -> Output:
    """The current output of a stage.

    Raises:
        StaleError: If it was never made.
    """
    pointer = _pointer(ws, modality, stage, partition)
    if not pointer.is_file():
        where = "" if partition == "all" else f"[{partition}]"
        raise StaleError(f"Cannot read {modality}/{stage}{where}: expected a materialized artifact, found none. Run `ovd run`.")
    record = read_json(pointer)
    return _load(ws.home.stage(modality, stage) / partition / record["key"], reused=True)


def current_or_none(ws: Workspace, modality: str, stage: str, partition: str = "all") -> Output | None:
    """The current output of a stage, or None if it was never made."""
    try:
        return current(ws, modality, stage, partition)
    except StaleError:
        return None


def version_of(ws: Workspace, modality: str, stage: str, partition: str = "all", *, default: str | None = None) -> str:
    """Version of a stage's current output; `default` (if given) where it was never made."""
    output = current_or_none(ws, modality, stage, partition)
    if output is not None:
        return output.version
    if default is not None:
        return default
    return current(ws, modality, stage, partition).version


def failures_of(ws: Workspace, modality: str, stage: str) -> dict[str, str]:
    """``Error: message`` by partition for what failed when it was last tried."""
    found = {}
    for path in sorted(ws.home.stage(modality, stage).glob(f"*{_FAILED}")):
        record = read_json(path)
        found[path.name.removesuffix(_FAILED)] = f"{record['error']}: {record['message']}"
    return found


def partitions_of(ws: Workspace, modality: str, stage: str) -> list[str]:
    """Partitions of a stage that have an output."""
    return sorted(path.name.removesuffix(".json") for path in ws.home.stage(modality, stage).glob("*.json"))


def _pointer(ws: Workspace, modality: str, stage: str, partition: str) -> Path:
    return ws.home.stage(modality, stage) / f"{partition}.json"


def _failure_path(ws: Workspace, modality: str, stage: str, partition: str) -> Path:
    return ws.home.stage(modality, stage) / f"{partition}{_FAILED}"


def _load(folder: Path, *, reused: bool) -> Output:
    record = read_json(folder / _DONE)
    return Output(folder=folder, reused=reused, **record)


def _prune(parent: Path, keep: str) -> None:
    """Remove outputs older than the newest few; the current one always stays."""
    folders = [path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]
    folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in [path for path in folders if path.name != keep][_KEPT_OUTPUTS - 1 :]:
        shutil.rmtree(path, ignore_errors=True)
