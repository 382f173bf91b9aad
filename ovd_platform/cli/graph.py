"""The one door from the command to the asset graph: run it, show it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ovd_platform.flow.workspace import Workspace

if TYPE_CHECKING:
    from assets.launch import Summary

PROJECT = Path(__file__).parents[2]


def run(ws: Workspace, *, retrain: bool, only_training: bool, say: "object") -> "Summary":
    """Run the graph in this process; see `assets.launch.run_graph`."""
    from assets.launch import run_graph

    return run_graph(ws, say=say, retrain=retrain, only_training=only_training)  # type: ignore[arg-type]


def ingest(ws: Workspace) -> "Summary":
    """Register scenes and tell the instance."""
    from assets.launch import Launcher, open_instance

    with open_instance(ws) as instance:
        launcher = Launcher(ws, instance, print, retrain=False)
        launcher.ingest()
        return launcher.summary


def renew_manifests(ws: Workspace) -> "Summary":
    """After age-off: renew the manifest and the index."""
    from assets.launch import renew_manifests as renew

    return renew(ws, say=print)


def renew_saved_classes(ws: Workspace, modality: str) -> "Summary":
    """After a class was kept or forgotten: fit the kept classes and look for them in the embedded scenes."""
    from assets.launch import renew_saved_classes as renew

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
    children = {
        name: subprocess.Popen(
            command, env=environment, cwd=ws.home.dagster, stdout=subprocess.DEVNULL if name == "search page" else None
        )
        for name, command in commands.items()
    }
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _watch(children)
    except KeyboardInterrupt:
        return 0
    finally:
        _end(children)


def _watch(children: "dict[str, subprocess.Popen[bytes]]") -> int:
    """Wait for all; say so when one ends by itself."""
    left, worst = dict(children), 0
    while left:
        for name in [name for name, child in left.items() if child.poll() is not None]:
            code = left.pop(name).returncode
            worst = worst or code
            if left:
                print(f"{name} ended with code {code}; still running: {', '.join(left)}.", file=sys.stderr)
        time.sleep(0.3)
    return worst


def _end(children: "dict[str, subprocess.Popen[bytes]]", patience_s: tuple[float, ...] = (3.0, 8.0, 3.0)) -> None:
    """Let all end by themselves (the terminal tells them of Ctrl-C too), then ask as Ctrl-C would, then insist, then end them."""
    for signal_, seconds in zip((None, signal.SIGINT, signal.SIGTERM), patience_s, strict=True):
        for child in children.values():
            if signal_ is not None and child.poll() is None:
                with contextlib.suppress(OSError):
                    child.send_signal(signal_)
        until = time.monotonic() + seconds
        while time.monotonic() < until and any(child.poll() is None for child in children.values()):
            time.sleep(0.1)
    for child in children.values():
        if child.poll() is None:
            child.kill()
        child.wait()


def _interrupt(*_: object) -> None:
    """SIGTERM ends as Ctrl-C does: no child stays behind."""
    raise KeyboardInterrupt
