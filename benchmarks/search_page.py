"""The search page in a real browser on the demo: words, chip, drawn box, marks, class, exports, map, a narrow window.

Needs the workspace of the benchmark `demo` (in OVD_BENCH_HOME) and Chromium. Nothing is written into it: the walk works in a folder of links. The
screenshots go to ``build/search-page/``, to be looked at.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.chromium import Chromium
from benchmarks.outcome import Outcome
from benchmarks.page_walk import running, walk
from benchmarks.workspaces import BENCH_HOME, save_result
from ovd_platform.flow.workspace import Workspace
from ovd_platform.serve.open_scenes import OpenScenes
from ovd_platform.serve.overviews import Pyramids
from ovd_platform.serve.pictures import crop_picture, encoded

SHOTS = Path("build") / "search-page"
_LINKED = ("catalog", "models", "reports", "stages", "tables", "world", "dagster")
_WORDS = "aircraft parked on an apron"


@contextmanager
def borrowed(home: Path) -> Iterator[Workspace]:
    """A finished workspace to use and not to change: its folders as links, a folder of its own for what people add."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "ovd.yaml").write_text((home / "ovd.yaml").read_text())
        for folder in _LINKED:
            if (home / folder).exists():
                (root / folder).symlink_to((home / folder).resolve())
        yield Workspace.open(root)


def a_chip(ws: Workspace, path: Path) -> Path:
    """A PNG cut out of the first scene, as a person would drop it."""
    scenes, pyramids = OpenScenes(ws), Pyramids(ws)
    scene_id = ws.scenes("optical")[0].scene_id
    with scenes.borrow(scene_id) as shown:
        path.write_bytes(
            encoded(crop_picture(shown, pyramids, (200, 200, 264, 264), 96, context=1.0, outline=False), exact=True)[0]
        )
    scenes.close()
    pyramids.close()
    return path


def run(arguments: list[str]) -> list[Outcome]:
    """Take the walk; the browser must not complain of anything."""
    with borrowed(BENCH_HOME / "demo") as ws, running(ws) as address, Chromium() as browser:
        facts = walk(browser, address, _WORDS, a_chip(ws, ws.home.root / "chip.png"), SHOTS)
    save_result("search-page", {**facts, "command": "uv run python -m benchmarks search-page"})
    print(json.dumps(facts, indent=1))
    narrow = facts["narrow"]
    return [
        Outcome("answers to words", facts["text_answers"], 20),
        Outcome("answers to a chip", facts["chip_answers"], 20),
        Outcome("answers to a drawn box", facts["drawn_answers"], 20),
        Outcome("order changed by marks", facts["refined"]["order_changed"], 1),
        Outcome("marks kept in the class", facts["class"]["right"] + facts["class"]["wrong"], 4),
        Outcome("files exported", len(facts["exports"]), 3),
        Outcome("answers to 1,000 asked for", facts["thousand"]["answers"], 1000),
        Outcome("one step by keyboard among them, ms", facts["thousand"]["ms_a_step"], 100, at_least=False),
        Outcome("console errors", len(facts["complaints"]), 0, at_least=False),
        Outcome("pages wider than their window", sum(one["page"] > one["window"] for one in narrow), 0, at_least=False),
        Outcome("texts below 11 px", sum(one["small"] for one in narrow), 0, at_least=False),
        Outcome("controls without a name", sum(one["unnamed"] for one in narrow), 0, at_least=False),
    ]
