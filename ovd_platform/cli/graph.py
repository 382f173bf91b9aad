"""The one door from the command to the asset graph: run it, show it."""

import os
import subprocess
import sys
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


def serve(ws: Workspace, host: str, port: int) -> int:
    """Start the Dagster UI and daemon on a workspace; returns its exit code."""
    from assets.launch import open_instance

    with open_instance(ws):
        pass
    environment = {**os.environ, "OVD_HOME": str(ws.home.root), "DAGSTER_HOME": str(ws.home.dagster)}
    quiet = ("-W", "ignore:Function `dev_command` is superseded")  # its successor wants a project layout of its own
    command = [sys.executable, *quiet, "-m", "dagster", "dev", "-w", str(PROJECT / "workspace.yaml")]
    command += ["-h", host, "-p", str(port)]
    return subprocess.call(command, env=environment, cwd=ws.home.dagster)
