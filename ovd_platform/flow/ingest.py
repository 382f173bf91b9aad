"""Register scenes: what is new, what changed, what cannot be read. Pixels are not looked at here."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ovd_platform.errors import OvdError, UnreachableRasterError
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.scene import SceneRecord
from ovd_platform.stores.catalogue import read_entry
from ovd_platform.stores.home import read_json, write_json

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one look at the imagery found.

    Attributes:
        new: Scenes seen for the first time, (modality, scene id).
        changed: Scenes whose pixels differ from the registered ones.
        unchanged: Scenes that are as registered.
        refused: Reason by file for what could not be registered.
    """

    new: tuple[tuple[str, str], ...] = ()
    changed: tuple[tuple[str, str], ...] = ()
    unchanged: tuple[tuple[str, str], ...] = ()
    refused: dict[str, str] = field(default_factory=dict)


def ingest(ws: Workspace, progress: Progress | None = None) -> IngestReport:
    """Register every scene file the configuration names.

    Files are read in a guarded process. One that cannot be read is recorded with the name of its error and the reason in
    ``catalog/refused.json`` and the rest goes on. A file whose size and time of change are as they were, registered or refused, is
    not read again; one whose server did not answer is. Scenes whose file is gone stay registered (age-off removes originals).

    Returns:
        The report; it is also kept as ``catalog/ingest.json``.
    """
    from ovd_platform.raster.identity import scene_slug

    known, refused_before = _known_by_uri(ws), _refusals(ws)
    taken = {entry["record"]["scene_id"] for entry in known.values()}
    new, changed, unchanged = [], [], []
    refused: dict[str, dict[str, Any]] = {}
    files = ws.imagery_files()
    for done, uri in enumerate(files):
        if progress:
            progress(done, len(files), uri)
        stamp = _stamp(uri)
        entry = known.get(uri)
        if entry is not None and entry["stamp"] == stamp:
            unchanged.append((entry["record"]["modality"], entry["record"]["scene_id"]))
            continue
        before = refused_before.get(uri, {})
        if entry is None and before.get("stamp") == stamp and before["error"] != UnreachableRasterError.__name__:
            refused[uri] = before
            continue
        scene_id = entry["record"]["scene_id"] if entry else scene_slug(uri, taken)
        generation = entry["generation"] if entry else 0
        try:
            record = _read(ws, uri, scene_id, generation)
        except OvdError as error:
            refused[uri] = {"error": type(error).__name__, "reason": str(error), "stamp": stamp}
            logger.warning("refused %s: %s", uri, error)
            continue
        taken.add(scene_id)
        name = (record.modality, record.scene_id)
        if entry is None:
            new.append(name)
        elif entry["record"]["version"] == record.version:
            unchanged.append(name)
        else:
            changed.append(name)
        _write(ws, record, stamp, generation, _tiled_copy(ws, record))
    write_json(ws.home.catalog / "refused.json", refused)
    return IngestReport(tuple(new), tuple(changed), tuple(unchanged), refused_files(ws))


def refused_files(ws: Workspace) -> dict[str, str]:
    """``Error: reason`` by file for what the last ingest could not register."""
    return {uri: f"{facts['error']}: {facts['reason']}" for uri, facts in _refusals(ws).items()}


def _refusals(ws: Workspace) -> dict[str, dict[str, Any]]:
    path = ws.home.catalog / "refused.json"
    found = read_json(path) if path.is_file() else {}
    # Older workspaces kept the text alone; such a file is read again.
    return {uri: facts for uri, facts in found.items() if isinstance(facts, dict)}


def _read(ws: Workspace, uri: str, scene_id: str, generation: int) -> SceneRecord:
    from ovd_platform.flow.guard import worker

    record = worker(ws).call(
        "ovd_platform.raster.admission:admit",
        about=uri,
        uri=uri,
        scene_id=scene_id,
        mode=ws.config.version_mode,
        generation=generation,
        largest_mpx=ws.config.guard.largest_mpx,
    )
    return SceneRecord.from_dict(record)


def _known_by_uri(ws: Workspace) -> dict[str, dict[str, Any]]:
    entries = [read_entry(path) for path in sorted(ws.home.catalog.glob("*/*.json"))]
    return {entry["source_uri"]: entry for entry in entries}


def _stamp(uri: str) -> list[list[float]]:
    """Size and time of change of every file behind a scene; enough to notice an edit without reading it."""
    from ovd_platform.raster.identity import side_files, source_files

    stamps = []
    for part in uri.split("|"):
        for file in (Path(part), *side_files(part), *source_files(part)):
            if file.exists():
                facts = file.stat()
                stamps.append([facts.st_size, facts.st_mtime])
    return stamps


def _tiled_copy(ws: Workspace, record: SceneRecord) -> str | None:
    """Path of a tiled copy of a scene that is slow to read by windows; None if none is needed, wanted or possible."""
    from ovd_platform.flow.guard import worker
    from ovd_platform.raster.rewrite import is_slow_by_windows

    if not ws.config.guard.tiled_copies or "|" in record.uri or not is_slow_by_windows(record):
        return None
    target = ws.home.root / "copies" / f"{record.scene_id}-{record.version}.tif"
    if target.is_file():
        return str(target)
    try:
        made = worker(ws).call(
            "ovd_platform.raster.rewrite:rewrite_tiled", about=record.uri, uri=record.uri, target=str(target)
        )
    except OvdError as error:
        logger.warning("%s is read as it is: %s", record.uri, error)
        return None
    return str(made)


def _write(ws: Workspace, record: SceneRecord, stamp: list[list[float]], generation: int, tiled_copy: str | None) -> None:
    ws.write_scene_entry(
        {
            "record": record.to_dict(),
            "source_uri": record.uri,
            "stamp": stamp,
            "generation": generation,
            "state": "live",
            "archive": None,
            "tiled_copy": tiled_copy,
            "registered_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
