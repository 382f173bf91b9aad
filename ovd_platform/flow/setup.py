"""Make a workspace folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ovd_platform.config import CONFIG_NAME, OvdConfig
from ovd_platform.errors import InputError
from ovd_platform.flow.workspace import Workspace


def make_workspace(
    directory: Path,
    *,
    imagery: Sequence[str],
    documents: Sequence[str] = (),
    labels: Sequence[str] = (),
    vocabulary: Path | None = None,
    **settings: Any,
) -> Workspace:
    """Write `ovd.yaml` and open the workspace.

    Args:
        directory: Folder to make; it may exist, but not hold a workspace already.
        imagery: Scene files, folders or globs; made absolute.
        documents: PDFs, folders or globs.
        labels: Label files or folders.
        vocabulary: Vocabulary file, or None.
        **settings: Further sections of the configuration.

    Raises:
        InputError: If the folder holds a workspace already, or no scene file is found.
    """
    if (directory / CONFIG_NAME).exists():
        raise InputError(
            f"Cannot make a workspace in {directory}: expected no {CONFIG_NAME}, found one. Edit it, or choose another folder."
        )
    directory.mkdir(parents=True, exist_ok=True)
    config = OvdConfig(
        imagery=tuple(_absolute(entry) for entry in imagery),
        documents=tuple(_absolute(entry) for entry in documents),
        labels=tuple(_absolute(entry) for entry in labels),
        vocabulary=str(vocabulary.resolve()) if vocabulary else None,
        **settings,
    )
    config.save(directory)
    ws = Workspace.open(directory)
    if not ws.imagery_files():
        (directory / CONFIG_NAME).unlink()
        raise InputError(
            f"Cannot make a workspace from {', '.join(imagery)}: expected rasters there, found none. Correct --imagery."
        )
    return ws


def _absolute(entry: str) -> str:
    if entry.startswith("/vsi") or "://" in entry or "|" in entry:
        return entry
    return str(Path(entry).absolute())
