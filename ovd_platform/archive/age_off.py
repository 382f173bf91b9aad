"""Deleting originals. Belongs here: the only code of the platform that deletes a user's imagery, and its conditions."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from ovd_platform.archive.verify import Progress, VerifyReport, verify_archive
from ovd_platform.errors import InputError, StaleError
from ovd_platform.raster.archive_index import read_index
from ovd_platform.raster.identity import HashMode, is_local, member_paths, scene_version
from ovd_platform.raster.scene import ARCHIVE_SUFFIX, open_scene

logger = logging.getLogger(__name__)

_VERSION = re.compile(r"([hs])[0-9a-f]{16}-g(\d+)")


@dataclass(frozen=True, slots=True)
class AgeOffReport:
    """What was, or would be, deleted.

    Attributes:
        scene_id: The scene.
        archive: The archive that now stands for it.
        files: Originals deleted, or that would be.
        freed_bytes: Their size.
        dry_run: True if nothing was deleted.
        verification: The comparison made immediately before.
    """

    scene_id: str
    archive: Path
    files: tuple[str, ...]
    freed_bytes: int
    dry_run: bool
    verification: VerifyReport


def _originals(original: str, archive: Path) -> list[Path]:
    """The files to delete, each an ordinary file outside of the archive.

    Raises:
        InputError: If one is not.
    """
    files = []
    for member in member_paths(original):
        path = Path(member)
        inside = archive.resolve() in path.resolve().parents
        if not is_local(member) or not path.is_file() or path.is_symlink() or path.suffix == ARCHIVE_SUFFIX or inside:
            raise InputError(
                f"Cannot age off {member}: expected an ordinary local file outside of {archive}, got something else. "
                "Delete other kinds of originals with the tool that owns them, after verify_archive."
            )
        files.append(path)
    return files


def _check_version(original: str, archived_version: str) -> None:
    """Make sure that the original has not changed since it was archived, as far as its version tells."""
    match = _VERSION.fullmatch(archived_version)
    if match is None:
        raise StaleError(
            f"Cannot age off {original}: expected the archive to name a content version, got {archived_version!r}. "
            "Archive the scene opened under the version of read_scene_record."
        )
    mode: HashMode = "sha256" if match.group(1) == "h" else "sampled"
    current = scene_version(original, mode, int(match.group(2)))
    if current != archived_version:
        raise StaleError(
            f"Cannot age off {original}: expected version {archived_version}, got {current}. Ingest and archive it again."
        )


def age_off(original: str, archive: Path, *, dry_run: bool = True, progress: Progress | None = None) -> AgeOffReport:
    """Delete an original after its archive was decoded and verified, in this call; there is no way around it.

    Side files (`.ovd.json`, RPC texts) stay: they are small, and the archive holds their facts as well.

    Args:
        original: Uri of the original; every file of a band stack is deleted.
        archive: Its `.ovdx` archive.
        dry_run: Verify and report only; the default, so that deletion is always asked for by name.
        progress: Called with (done, total, what).

    Returns:
        What was deleted, or would be.

    Raises:
        VerificationError: If the archive does not decode to the original; nothing is deleted.
        StaleError: If the original changed since; nothing is deleted.
        InputError: If the original is not made of ordinary local files; nothing is deleted.
        UnreadableRasterError: If either cannot be read; nothing is deleted.
    """
    files = _originals(original, archive)
    held = read_index(archive).record
    _check_version(original, held.version)
    with open_scene(original, scene_id=held.scene_id, version=held.version) as scene:
        report = verify_archive(scene, archive, progress)
    report.raise_if_failed()
    # Verification takes long: what is deleted must still be what was verified.
    _check_version(original, held.version)
    freed_bytes = sum(path.stat().st_size for path in files)
    if not dry_run:
        for path in files:
            path.unlink()
        logger.info("%s: deleted %d originals, %d bytes; archived in %s", held.scene_id, len(files), freed_bytes, archive)
    return AgeOffReport(held.scene_id, archive, tuple(str(path) for path in files), freed_bytes, dry_run, report)
