"""Register scenes: what is new, what changed, what cannot be read. Pixels are not looked at here."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ovd_platform.errors import OvdError
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.scene import SceneRecord
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

    A file that cannot be read is recorded with its reason in ``catalog/refused.json`` and the rest goes on. A file whose size and
    time of change are as registered is not read again. Scenes whose file is gone stay registered (age-off removes originals).

    Returns:
        The report; it is also kept as ``catalog/ingest.json``.
    """
    from ovd_platform.raster.identity import scene_slug

    known = _known_by_uri(ws)
    taken = {entry["record"]["scene_id"] for entry in known.values()}
    new, changed, unchanged = [], [], []
    refused: dict[str, str] = {}
    files = ws.imagery_files()
    for done, uri in enumerate(files):
        if progress:
            progress(done, len(files), uri)
        stamp = _stamp(uri)
        entry = known.get(uri)
        if entry is not None and entry["stamp"] == stamp:
            unchanged.append((entry["record"]["modality"], entry["record"]["scene_id"]))
            continue
        scene_id = entry["record"]["scene_id"] if entry else scene_slug(uri, taken)
        generation = entry["generation"] if entry else 0
        try:
            record = _read(ws, uri, scene_id, generation)
        except OvdError as error:
            refused[uri] = f"{type(error).__name__}: {error}"
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
        _write(ws, record, stamp, generation)
    write_json(ws.home.catalog / "refused.json", refused)
    return IngestReport(tuple(new), tuple(changed), tuple(unchanged), refused)


def refused_files(ws: Workspace) -> dict[str, str]:
    """Reason by file for what the last ingest could not register."""
    path = ws.home.catalog / "refused.json"
    return dict(read_json(path)) if path.is_file() else {}


def _read(ws: Workspace, uri: str, scene_id: str, generation: int) -> SceneRecord:
    from ovd_platform.raster.scene import read_scene_record

    return read_scene_record(uri, scene_id=scene_id, mode=ws.config.version_mode, generation=generation)


def _known_by_uri(ws: Workspace) -> dict[str, dict[str, Any]]:
    return {
        entry["source_uri"]: entry
        for path in sorted(ws.home.catalog.glob("*/*.json"))
        for entry in [read_json(path)]
    }  # fmt: skip


def _stamp(uri: str) -> list[list[float]]:
    """Size and time of change of every file behind a scene; enough to notice an edit without reading it."""
    stamps = []
    for part in uri.split("|"):
        path = Path(part)
        for file in (path, path.with_name(f"{path.stem}.ovd.json")):
            if file.is_file():
                facts = file.stat()
                stamps.append([facts.st_size, facts.st_mtime])
    return stamps


def _write(ws: Workspace, record: SceneRecord, stamp: list[list[float]], generation: int) -> None:
    write_json(
        ws.scene_path(record.modality, record.scene_id),
        {
            "record": record.to_dict(),
            "source_uri": record.uri,
            "stamp": stamp,
            "generation": generation,
            "state": "live",
            "archive": None,
            "registered_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
