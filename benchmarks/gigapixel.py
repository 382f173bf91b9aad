"""A scene of 50,000 x 100,000 px through tiles and proposals in constant memory, killed half-way and resumed.

Each stage runs in a process of its own that reports its peak; the tiny proposer (the starter weights) looks at one band of tiles.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.made_scenes import huge_scene
from benchmarks.outcome import Outcome
from benchmarks.reading import machine
from benchmarks.workspaces import BENCH_HOME, save_result

LARGE_PX, SMALL_PX = (50_000, 100_000), (12_500, 25_000)
BAND_ROWS = (10, 12)
"""Rows of tiles the proposer looks at."""


def run(arguments: list[str]) -> list[Outcome]:
    """Make both scenes, run their stages; ``stage NAME HOME ID`` is a child."""
    if arguments[:1] == ["stage"]:
        return _stage(*arguments[1:])
    figures = {}
    for name, size in (("small", SMALL_PX), ("large", LARGE_PX)):
        home = BENCH_HOME / "gigapixel" / name
        path = huge_scene(home / "imagery" / f"{name}.tif", *size, busy_rows=(BAND_ROWS[0] * 512, BAND_ROWS[1] * 512))
        shutil.rmtree(home / "workspace", ignore_errors=True)
        workspace = _workspace(home / "workspace", path)
        killed = _killed("tiles", workspace, name, 0.5) if name == "large" else None
        tiles = _child("tiles", workspace, name)
        stopped = _killed("proposals", workspace, name, 0.5) if name == "large" else None
        proposals = _child("proposals", workspace, name)
        again = _child("proposals", workspace, name)
        figures[name] = {
            "size_px": size, "tiles": tiles, "proposals": proposals, "again": again, "killed_tiles": killed,
            "killed_proposals": stopped,
        }  # fmt: skip
        print(json.dumps({name: figures[name]}, indent=1), flush=True)
    large, small = figures["large"], figures["small"]
    peaks = {name: max(facts["tiles"]["peak_mb"], facts["proposals"]["peak_mb"]) for name, facts in figures.items()}
    resumed = bool(
        large["killed_tiles"]["left"] == 0 and large["again"]["reused"] and large["proposals"]["tiles_reused"]
        and large["tiles"]["tiles"] == -(-LARGE_PX[0] // 512) * -(-LARGE_PX[1] // 512)
    )  # fmt: skip
    save_result(
        "gigapixel", {"command": "uv run python -m benchmarks gigapixel", "scenes": figures, "peak_rss_mb": peaks, **machine()}
    )
    return [
        Outcome("peak RSS GiB", peaks["large"] / 1024, 1.5, at_least=False),
        Outcome("peak RSS against a scene 16 times smaller", abs(peaks["large"] / peaks["small"] - 1), 0.10, at_least=False),
        Outcome("resumes after kills", float(resumed), 1),
        Outcome("proposals in the band", large["proposals"]["proposals"], small["proposals"]["proposals"]),
    ]


def _workspace(home: Path, path: Path) -> Path:
    from ovd_platform.flow.ingest import ingest
    from ovd_platform.flow.setup import make_workspace

    ws = make_workspace(home, imagery=[str(path)], version_mode="sampled")
    report = ingest(ws)
    assert not report.refused, report.refused
    return home


def _command(stage: str, home: Path, scene_id: str) -> list[str]:
    # OVD_BENCH_PREFIX may name a command that takes turns on a shared machine.
    prefix = os.environ.get("OVD_BENCH_PREFIX", "").split()
    return [*prefix, sys.executable, "-m", "benchmarks", "gigapixel", "stage", stage, str(home), scene_id]


def _child(stage: str, home: Path, scene_id: str) -> dict[str, object]:
    started = time.monotonic()
    done = subprocess.run(_command(stage, home, scene_id), stdout=subprocess.PIPE, text=True, check=True)
    facts: dict[str, object] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return {**facts, "seconds": round(time.monotonic() - started, 1)}


def _killed(stage: str, home: Path, scene_id: str, seconds: float) -> dict[str, object]:
    """Start a stage, wait until it is at work, and kill it without warning; says how many outputs it left."""
    child = subprocess.Popen(_command(stage, home, scene_id), stdout=subprocess.PIPE, text=True, start_new_session=True)
    folder = home / "stages" / "optical" / stage / scene_id
    deadline = time.monotonic() + 300
    while not (folder.is_dir() and any(folder.iterdir())) and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.1)
    time.sleep(seconds)
    running = child.poll() is None
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    return {"was_running": running, "left": sum(not path.name.startswith(".") for path in folder.iterdir())}


def _stage(name: str, home: str, scene_id: str) -> list[Outcome]:
    """One stage in this process: prints its facts and the peak of this process and its worker."""
    from ovd_platform.flow import guard, scenes
    from ovd_platform.flow.workspace import Workspace
    from ovd_platform.guarded import peak_bytes

    ws = Workspace.open(home)
    if name == "tiles":
        output = scenes.TILES.materialize(ws, "optical", scene_id)
        facts = {"tiles": output.metadata["tiles"], "kept": output.metadata["tiles_kept"], "reused": output.reused}
    else:
        facts = _proposals(ws, scene_id)
    own = peak_bytes() / 2**20
    print(json.dumps({**facts, "peak_mb": round(max(own, guard.worker(ws).peak_bytes / 2**20), 1)}))
    return []


def _proposals(ws: object, scene_id: str) -> dict[str, object]:
    """Proposals of one band of tiles, stored as a stage of its own so that a kill and a second asking can be seen."""
    from safetensors.torch import load_file

    from ovd_platform.flow import scenes
    from ovd_platform.flow.stage import Built, Inputs, Stage, Task, version_of
    from ovd_platform.flow.workspace import Workspace
    from ovd_platform.propose.light import LightProposer

    assert isinstance(ws, Workspace)
    tiles = scenes.TILES.materialize(ws, "optical", scene_id)

    def inputs(ws: Workspace, modality: str, scene_id: str) -> Inputs:
        return {"tiles": version_of(ws, modality, "tiles", scene_id), "rows": str(BAND_ROWS)}

    def build(task: Task) -> Built:
        band = [tile for tile in scenes.load_tiles(ws, "optical", scene_id) if BAND_ROWS[0] <= tile.row < BAND_ROWS[1]]
        folder = Path(__file__).parents[1] / "ovd_platform" / "starter" / "optical-proposer"
        card = json.loads((folder / "card.json").read_text())
        proposer = LightProposer(load_file(folder / "model.safetensors"), card, "starter")
        with scenes.open_registered(ws, "optical", scene_id) as scene:
            found = proposer.propose(scene, band, scenes.load_profile(ws, "optical", scene_id), max_per_mpx=100.0)
        return Built({"proposals": len(found), "tiles": len(band)})

    output = Stage("proposals", "bench", inputs, build).materialize(ws, "optical", scene_id)
    return {**output.metadata, "reused": output.reused, "tiles_reused": tiles.reused}
