"""Eight writers upsert overlapping scenes, some die by SIGKILL, one more compacts; a reader and a search look on all the time.

Every scene's rows carry in `scene_version` who wrote them and how many there are, so that one look tells whether a scene is whole.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.outcome import Outcome
from benchmarks.workspaces import save_result
from ovd_platform.records.prompt import Prompt
from ovd_platform.search.query import answer
from ovd_platform.stores.tables import VectorTables
from ovd_platform.stores.vector_rows import conform_rows, units, vector_array

WRITERS, SCENES, SECONDS = 8, 12, 60.0
DIM, MODALITY, ENCODER = 64, "optical", "enc1"
_KILL_EVERY_S = 2.0


def run(arguments: list[str]) -> list[Outcome]:
    """Let them write for a minute (or the seconds given), look on, and count what is wrong at the end."""
    seconds = float(arguments[0]) if arguments else SECONDS
    folder = Path(tempfile.mkdtemp(prefix="writers-"))
    try:
        facts = _contest(folder, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    save_result("writers", {**facts, "command": "uv run python -m benchmarks writers"})
    print(json.dumps(facts, indent=1))
    return [
        Outcome("writers killed", facts["killed"], 5),
        Outcome("duplicate keys", facts["duplicate_keys"], 0, at_least=False),
        Outcome("lost scenes", facts["lost_scenes"], 0, at_least=False),
        Outcome("half scenes seen by readers", facts["half_scenes_seen"], 0, at_least=False),
        Outcome("reads or searches that erred", facts["reader_errors"], 0, at_least=False),
        Outcome("reads and searches", facts["reads"] + facts["searches"], 50),
    ]


def rows_of(scene_id: str, tag: str, seed: int) -> pa.Table:
    """Rows of one scene as one writer makes them: 40 to 160, the number is part of the version."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(40, 160))
    corner = rng.random((n, 2)).astype(np.float32) * 900
    columns: dict[str, Any] = {
        # The first 40 keys are the same for every writer of the scene, the others are not.
        "key": [f"{scene_id}:{i if i < 40 else f'{tag}-{i}'}" for i in range(n)],
        "scene_id": [scene_id] * n,
        "scene_version": [f"{tag}/{n}"] * n,
        "tile_id": [f"{scene_id}/0"] * n,
        "x0": corner[:, 0], "y0": corner[:, 1], "x1": corner[:, 0] + 20, "y1": corner[:, 1] + 20,
        "objectness": rng.random(n), "model_version": [ENCODER] * n, "rendered": [True] * n,
        "visual": vector_array(units(rng.normal(size=(n, DIM)))),
    }  # fmt: skip
    columns["proposal_id"] = columns["key"]
    return conform_rows(pa.table(columns))


def write_until(folder: Path, writer: int, attempt: int, until: float) -> None:
    """One writer: any scene, again and again; a line in its log after each commit."""
    tables = VectorTables(folder / "tables")
    rng = np.random.default_rng([writer, attempt])
    with (folder / f"writer-{writer}-{attempt}.log").open("a", buffering=1) as log:
        turn = 0
        while time.time() < until:
            scene_id, turn = f"scene{rng.integers(SCENES):02d}", turn + 1
            rows = rows_of(scene_id, f"w{writer}a{attempt}t{turn}", int(rng.integers(1 << 31)))
            for level in ("tile", "proposal"):
                tables.replace_scene(level, MODALITY, ENCODER, scene_id, rows)  # type: ignore[arg-type]
            log.write(f"{scene_id}\n")


def compact_until(folder: Path, until: float) -> None:
    """Compaction and index upkeep in the middle of it."""
    tables = VectorTables(folder / "tables")
    while time.time() < until:
        if tables.has("proposal", MODALITY, ENCODER):
            tables.optimise("proposal", MODALITY, ENCODER, ann_min_rows=300)
        time.sleep(1.0)


def _contest(folder: Path, seconds: float) -> dict[str, Any]:
    attempts = [0] * WRITERS
    crew = [_start(folder, "write", writer, 0) for writer in range(WRITERS)]
    compactor = _start(folder, "compact", 0, 0)
    while len(list(folder.glob("ready-*"))) <= WRITERS:  # all start together: loading takes seconds
        time.sleep(0.2)
    until = time.time() + seconds
    (folder / ".go").write_text(str(until))
    (folder / ".go").rename(folder / "go")
    eyes = _Onlooker(folder)
    rng, killed, last_kill = np.random.default_rng(7), 0, time.time()
    while time.time() < until:
        eyes.look()
        if time.time() - last_kill > _KILL_EVERY_S:
            last_kill, writer = time.time(), int(rng.integers(WRITERS))
            if crew[writer].poll() is None and any(folder.glob(f"writer-{writer}-{attempts[writer]}.log")):
                crew[writer].send_signal(signal.SIGKILL)
                crew[writer].wait()
                killed += 1
                attempts[writer] += 1
                crew[writer] = _start(folder, "write", writer, attempts[writer])
    codes = [process.wait(timeout=180) for process in (*crew, compactor)]
    eyes.look()
    keys = eyes.tables.read("proposal", MODALITY, ENCODER, columns=["key"])["key"].to_pylist()
    commits = Counter(line for path in folder.glob("writer-*.log") for line in path.read_text().split())
    present = set(eyes.tables.scene_versions("proposal", MODALITY, ENCODER))
    return {
        "writers": WRITERS, "scenes": SCENES, "seconds": seconds, "killed": killed, "commits": sum(commits.values()),
        "ended_badly": sum(code != 0 for code in codes), "rows": len(keys), "duplicate_keys": len(keys) - len(set(keys)),
        "lost_scenes": len(set(commits) - present), "half_scenes_seen": eyes.half, "reader_errors": len(eyes.errors) + sum(code != 0 for code in codes),
        "errors": eyes.errors[:5], "reads": eyes.reads, "searches": eyes.searches,
        "slowest_search_ms": round(1000 * max(eyes.times, default=0.0)), "median_search_ms": round(1000 * float(np.median(eyes.times or [0.0]))),
    }  # fmt: skip


class _Onlooker:
    """Reads whole scenes and searches, and remembers what was not right."""

    def __init__(self, folder: Path) -> None:
        self.tables = VectorTables(folder / "tables")
        self.half = self.reads = self.searches = 0
        self.errors: list[str] = []
        self.times: list[float] = []
        self._query = units(np.random.default_rng(1).normal(size=(1, DIM)))

    def look(self) -> None:
        if not self.tables.has("proposal", MODALITY, ENCODER):
            time.sleep(0.1)
            return
        try:
            rows = self.tables.read("proposal", MODALITY, ENCODER, columns=["scene_id", "scene_version"])
            counts = Counter(zip(rows["scene_id"].to_pylist(), rows["scene_version"].to_pylist(), strict=True))
            versions = Counter(scene for scene, _ in counts)
            wrong_size = sum(int(version.rsplit("/", 1)[1]) != n for (_, version), n in counts.items())
            self.half += wrong_size + sum(n > 1 for n in versions.values())
            self.reads += 1
            started = time.perf_counter()
            prompt = Prompt(chip_vectors_nd=self._query, model_version=ENCODER)
            for exact_rows in (200_000, 10):
                found = answer(self.tables, prompt, None, modality=MODALITY, top=10, exact_rows=exact_rows)
                if len(found.hits) < min(10, len(rows)):
                    self.errors.append(f"{len(found.hits)} hits of {len(rows)} rows by {found.plan.way}")
            self.searches += 2
            self.times.append((time.perf_counter() - started) / 2)
        except Exception as error:
            self.errors.append(f"{type(error).__name__}: {str(error)[:200]}")


def _start(folder: Path, what: str, writer: int, attempt: int) -> "subprocess.Popen[bytes]":
    words = [what, str(folder), str(writer), str(attempt)]
    code = "import sys; from benchmarks.writers import child; child(sys.argv[1:])"
    environment = {**os.environ, "LANCE_IO_THREADS": "2", "LANCE_CPU_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code, *words], env=environment)


def child(words: list[str]) -> None:
    """Entry of a child process: says that it is ready, waits for the start, works until the end."""
    what, folder, writer, attempt = words[0], Path(words[1]), int(words[2]), int(words[3])
    (folder / f"ready-{what}-{writer}-{attempt}").touch()
    while not (folder / "go").is_file():
        time.sleep(0.05)
    until = float((folder / "go").read_text())
    if what == "write":
        write_until(folder, writer, attempt, until)
    else:
        compact_until(folder, until)
