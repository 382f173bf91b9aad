"""The one door from the command to the asset graph: run it, show it."""

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ovd_platform.errors import ResourceError
from ovd_platform.flow.workspace import Workspace

if TYPE_CHECKING:
    from assets.launch import Summary

PROJECT = Path(__file__).parents[2]
_FULL_BYTES = 1 << 20


@contextlib.contextmanager
def _room(ws: Workspace) -> Iterator[None]:
    """Names a full disk, which reaches us as an error of whatever wrote last (a database, a table, a file)."""
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSPC or shutil.disk_usage(ws.home.root).free < _FULL_BYTES:
            raise ResourceError(
                f"Cannot write to {ws.home.root}: expected room, the disk is full ({type(error).__name__}). Free some space; what "
                "was finished is kept, and the same command goes on from there."
            ) from error
        raise


def run(ws: Workspace, *, retrain: bool, only_training: bool, say: "object") -> "Summary":
    """Run the graph in this process; see `assets.launch.run_graph`."""
    from assets.launch import run_graph

    with _room(ws):
        return run_graph(ws, say=say, retrain=retrain, only_training=only_training)  # type: ignore[arg-type]


def ingest(ws: Workspace) -> "Summary":
    """Register scenes and tell the instance."""
    from assets.launch import Launcher, open_instance

    with _room(ws), open_instance(ws) as instance:
        launcher = Launcher(ws, instance, print, retrain=False)
        launcher.ingest()
        return launcher.summary


def renew_manifests(ws: Workspace) -> "Summary":
    """After age-off: renew the manifest and the index."""
    from assets.launch import renew_manifests as renew

    with _room(ws):
        return renew(ws, say=print)


def renew_saved_classes(ws: Workspace, modality: str) -> "Summary":
    """After a class was kept or forgotten: fit the kept classes and look for them in the embedded scenes."""
    from assets.launch import renew_saved_classes as renew

    with _room(ws):
        return renew(ws, modality, say=print)


def serve(ws: Workspace, host: str, port: int, *, page_port: int, token: str) -> int:
    """Run the search page and the Dagster UI and daemon on a workspace until Ctrl-C, or until both have ended.

    Each is a process of its own: if one ends, the other goes on.

    Args:
        ws: The workspace.
        host: Address both listen on.
        port: Port of the Dagster UI.
        page_port: Port of the page.
        token: Secret of the page, or "".

    Returns:
        0 after Ctrl-C, else the first exit code that was not 0.

    Raises:
        ResourceError: If the page's port is taken.
    """
    from assets.launch import open_instance
    from ovd_platform.cli.processes import run_beside
    from ovd_platform.serve.server import check_port

    check_port(host, page_port)
    with open_instance(ws):
        pass
    environment = {**os.environ, "OVD_HOME": str(ws.home.root), "DAGSTER_HOME": str(ws.home.dagster), "OVD_TOKEN": token}
    page = [sys.executable, "-c", "from ovd_platform.cli.main import main; main()", "page", "-C", str(ws.home.root)]
    quiet = ("-W", "ignore:Function `dev_command` is superseded")  # its successor wants a project layout of its own
    dagster = [sys.executable, *quiet, "-m", "dagster", "dev", "-w", str(PROJECT / "workspace.yaml")]
    commands = {
        "search page": [*page, "--host", host, "--port", str(page_port)],
        "Dagster": [*dagster, "-h", host, "-p", str(port)],
    }
    return run_beside(commands, environment, ws.home.dagster, silent="search page")
