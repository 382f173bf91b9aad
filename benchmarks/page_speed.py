"""How fast the page answers: first view in a browser, words on the demo, crops, tiles of a scene of 50,000 x 100,000 px.

Belongs here: the page's part of `serve-speed`. Needs the workspace of the benchmark `demo` (OVD_BENCH_HOME); Chromium for the first view. The large
scene is made once (BENCH_HOME/made, 60 MB); figures are wall times over the loopback address, machine as it is.
"""

import json
import random
import statistics
import time
import urllib.request
from typing import Any

from benchmarks.chromium import Chromium, find_chromium
from benchmarks.made_scenes import huge_scene
from benchmarks.outcome import Outcome
from benchmarks.page_walk import running
from benchmarks.search_page import borrowed
from benchmarks.workspaces import BENCH_HOME, save_result
from ovd_platform.config import OvdConfig
from ovd_platform.flow.ingest import ingest
from ovd_platform.flow.scenes import TILES
from ovd_platform.flow.workspace import Workspace

_SIZE = (50_000, 100_000)
_TILES = 60
_SEARCHES = 20
_TEXTS = ("small building with a dome roof", "aircraft parked on an apron", "ship", "tank farm", "long building beside a road")


def run(arguments: list[str]) -> list[Outcome]:
    """Measure; the outcome lines carry the goals of the issue."""
    facts: dict[str, Any] = {"command": "uv run python -m benchmarks page-speed"}
    with borrowed(BENCH_HOME / "demo") as ws, running(ws) as address:
        _wait_warm(address)
        facts |= _searches(address)
        if find_chromium():
            facts["first_view_s"] = _first_view(address)
    facts["deep_zoom"] = _deep_zoom(large_workspace())
    save_result("page-speed", facts)
    print(json.dumps(facts, indent=1))
    found = [
        Outcome("text query on the demo, ms", facts["text_ms"], 300, at_least=False),
        Outcome("deep zoom tile, ms median", facts["deep_zoom"]["median_ms"], 200, at_least=False),
    ]
    if "first_view_s" in facts:
        found.append(Outcome("first page view, s", facts["first_view_s"], 2, at_least=False))
    return found


def _wait_warm(address: str) -> None:
    while not _get(f"{address}/api/status")[0]["warm"]:
        time.sleep(0.2)


def _get(url: str, body: Any = None) -> tuple[Any, float]:
    data = None if body is None else json.dumps(body).encode()
    started = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"}), timeout=300) as answer:
        raw = answer.read()
        kind = answer.headers["Content-Type"]
    seconds = time.perf_counter() - started
    return (json.loads(raw) if kind == "application/json" else raw), seconds


def _searches(address: str) -> dict[str, float]:
    seconds, crops = [], []
    for number in range(_SEARCHES):
        found, one = _get(f"{address}/api/search", {"text": _TEXTS[number % len(_TEXTS)], "top": 60})
        seconds.append(one)
        for hit in found["hits"][:3]:
            box = ",".join(f"{value:.1f}" for value in hit["box_scene_xyxy"])
            crops.append(_get(f"{address}/api/scenes/{hit['scene_id']}/crop?box={box}&size=192")[1])
    thousand = _get(f"{address}/api/search", {"text": _TEXTS[0], "top": 1000})[1]
    return {
        "text_ms": round(1e3 * statistics.median(seconds), 1),
        "text_p95_ms": round(1e3 * sorted(seconds)[int(0.95 * len(seconds))], 1),
        "text_1000_answers_ms": round(1e3 * thousand, 1),
        "crop_ms": round(1e3 * statistics.median(crops), 1),
    }


def _first_view(address: str) -> float:
    """From the address to a usable search field with the workspace's facts, empty browser cache."""
    with Chromium() as browser:
        started = time.monotonic()
        browser.open(address)
        browser.wait("document.querySelector('.state h1') !== null")
        return round(time.monotonic() - started, 3)


def large_workspace() -> Workspace:
    """A workspace of one scene of 50,000 x 100,000 px with overviews, scanned; made once."""
    import rasterio
    from rasterio.enums import Resampling

    root = BENCH_HOME / "page-large"
    path = huge_scene(BENCH_HOME / "made" / "page_50k_100k.tif", *_SIZE, busy_rows=(20_000, 24_000))
    with rasterio.open(path) as probe:
        has_overviews = bool(probe.overviews(1))
    if not has_overviews:
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4, 8, 16, 32, 64, 128, 256], Resampling.average)
    if not (root / "ovd.yaml").is_file():
        root.mkdir(parents=True, exist_ok=True)
        OvdConfig(imagery=(str(path.resolve()),), rendered=True).save(root)
    ws = Workspace.open(root)
    ingest(ws)
    TILES.materialize(ws, "optical", ws.scenes("optical")[0].scene_id)
    return ws


def _deep_zoom(ws: Workspace) -> dict[str, Any]:
    """Random tiles of every zoom, each asked for once: nothing comes from the picture cache."""
    draw, per_zoom = random.Random(0), {}
    with running(ws) as address:
        scene = _get(f"{address}/api/scenes")[0]["scenes"][0]
        for z in range(scene["max_zoom"] + 1):
            side = 256 << (scene["max_zoom"] - z)
            columns, rows = -(-scene["width_px"] // side), -(-scene["height_px"] // side)
            wanted = {(draw.randrange(columns), draw.randrange(rows)) for _ in range(_TILES)}
            per_zoom[z] = [1e3 * _get(f"{address}/api/scenes/{scene['id']}/tiles/{z}/{x}/{y}")[1] for x, y in sorted(wanted)]
    every = sorted(value for values in per_zoom.values() for value in values)
    return {
        "tiles": len(every),
        "median_ms": round(statistics.median(every), 1),
        "p95_ms": round(every[int(0.95 * len(every))], 1),
        "worst_ms": round(every[-1], 1),
        "median_ms_by_zoom": {str(z): round(statistics.median(values), 1) for z, values in per_zoom.items()},
    }
