"""Age-off: originals go only after their archive was decoded and compared, in the same call."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ovd_platform.errors import OvdError
from ovd_platform.flow.stage import current_or_none
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.scene import MODALITIES, SceneRecord


def due_scenes(ws: Workspace, older_than_days: float) -> list[SceneRecord]:
    """Live scenes whose acquisition (or, where that is unknown, registration) is older than so many days."""
    limit = datetime.now(UTC) - timedelta(days=older_than_days)
    found = []
    for modality in MODALITIES:
        for record in ws.scenes(modality):
            entry = ws.scene_entry(modality, record.scene_id)
            moment = record.acquired or datetime.fromisoformat(entry["registered_utc"])
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            if entry["state"] != "aged_off" and moment < limit:
                found.append(record)
    return found


def age_off_scenes(ws: Workspace, older_than_days: float, *, dry_run: bool = True) -> Iterator[str]:
    """Age off every scene that is due; yields a line for each.

    Args:
        ws: The workspace.
        older_than_days: Age of the acquisition.
        dry_run: Verify, but delete nothing.
    """
    due = due_scenes(ws, older_than_days)
    if not due:
        yield f"No live scene is older than {older_than_days:g} days."
    for record in due:
        try:
            yield age_off_scene(ws, record, dry_run=dry_run)
        except OvdError as error:
            yield f"kept {record.scene_id}: {error}"


def age_off_scene(ws: Workspace, record: SceneRecord, *, dry_run: bool = True) -> str:
    """Age off one scene: verify the archive against the original, delete the original, register the archive in its place.

    Returns:
        A line that says what was done.

    Raises:
        VerificationError: If the archive does not decode to the original; nothing was deleted.
        StaleError: If the scene has no archive, or the original changed since.
    """
    from ovd_platform.archive.age_off import age_off
    from ovd_platform.errors import StaleError
    from ovd_platform.stores.tables import VectorTables

    output = current_or_none(ws, record.modality, "archive", record.scene_id)
    if output is None or output.inputs["scene"] != record.version:
        raise StaleError(
            f"Cannot age off {record.scene_id}: expected a verified archive of version {record.version}. Run `ovd run`."
        )
    path = output.folder / f"{record.scene_id}.ovdx"
    entry = ws.scene_entry(record.modality, record.scene_id)
    if not dry_run:
        # Named before anything is deleted: whatever dies in between, the scene stays readable from its archive.
        ws.write_scene_entry({**entry, "archive": str(path)})
    report = age_off(record.uri, path, dry_run=dry_run)
    size = f"{report.freed_bytes / 1e6:.1f} MB"
    if dry_run:
        return f"would delete {record.uri} ({size}); archive {path} verified"
    ws.write_scene_entry({**entry, "state": "aged_off", "archive": str(path)})
    VectorTables(ws.home.tables).mark_uri(record.scene_id, str(path))
    return f"deleted {record.uri} ({size}); readable and searchable from {path}"
