"""The same 12-bit scene through SAHI's slicing, supervision's slicer and ours: time, memory, and what of the source reaches the model.

Needs the dependency group ``peers`` (sahi, supervision). Each runs in a process of its own; what a model would be handed is compared with the
source pixels by correlation over all tiles. A tool that fails is listed with its error: that is its result. SAHI and supervision cut; reading the whole
scene into an array is done for them (but for `sahi of a file`), and they neither gather statistics nor normalise, which ours does.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.made_scenes import noisy_scene
from benchmarks.outcome import Outcome
from benchmarks.reading import STRIDE_PX, TILE_PX, machine
from benchmarks.workspaces import BENCH_HOME, save_result

SIZE_PX = (4096, 4096)
BANDS = (1, 3, 4, 8)
TOOLS = ("ours", "sahi of a file", "sahi of an array", "supervision of an array")


def run(arguments: list[str]) -> list[Outcome]:
    """Measure all; ``one TOOL PATH`` is a child."""
    if arguments[:1] == ["one"]:
        print(json.dumps(_one(arguments[1], Path(arguments[2]))))
        return []
    table: dict[str, dict[str, dict[str, object]]] = {}
    for bands in BANDS:
        path = noisy_scene(BENCH_HOME / "peers" / f"scene{bands}.tif", *SIZE_PX, bands=bands)
        table[str(bands)] = {tool: _child(tool, path) for tool in TOOLS}
        for tool, row in table[str(bands)].items():
            print(f"{bands} bands, {tool}: {json.dumps(row)}", flush=True)
    save_result("reading-peers", {"command": "uv run python -m benchmarks reading-peers", "bands": table, **machine()})
    ours = [float(str(rows["ours"].get("correlation", 0.0))) for rows in table.values()]
    return [Outcome("correlation of our input with the source, worst band count", min(ours), 0.98)]


def _child(tool: str, path: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "benchmarks", "reading-peers", "one", tool, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("{")), None)
    if line is None:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1][:200]}
    facts: dict[str, object] = json.loads(line)
    return facts


def _one(tool: str, path: Path) -> dict[str, object]:
    from ovd_platform.guarded import peak_bytes

    before = peak_bytes()
    started = time.process_time()
    ways = {
        "ours": _ours,
        "sahi of a file": lambda given: _sahi(str(given)),
        "sahi of an array": lambda given: _sahi(_squeezed(_whole(given))),
        "supervision of an array": _supervision,
    }
    seen = ways[tool](path)
    seconds = time.process_time() - started
    return {
        "cpu_s": round(seconds, 3),
        "peak_over_start_mb": round((peak_bytes() - before) / 2**20, 1),
        "correlation": _correlation(seen, path),
        "tiles": len(seen),
    }


Seen = list[tuple[int, int, NDArray[np.float32]]]
"""Left, top and a thinned (C, h, w) view of what the model would get, every 16th pixel."""


def _ours(path: Path) -> Seen:
    from ovd_platform.raster.radiometry import normalise
    from ovd_platform.raster.scene import open_scene
    from ovd_platform.raster.sweep import sweep
    from ovd_platform.tiles.scan import scan_scene

    with open_scene(str(path), version="") as scene:
        profile = scan_scene(scene).profile
        windows = _windows()
        seen: Seen = []
        for index, chip in sweep(scene, windows):
            values = normalise(chip.pixels_chw, chip.valid_hw, profile)
            seen.append((windows[index].col_px, windows[index].row_px, values[:, ::16, ::16].copy()))
    return seen


def _windows() -> list:  # type: ignore[type-arg]
    from ovd_platform.records.window import Window

    last = SIZE_PX[0] - TILE_PX
    starts = [*range(0, last, STRIDE_PX), last]
    return [Window(left, top, TILE_PX, TILE_PX) for top in starts for left in starts]


def _whole(path: Path) -> NDArray[np.uint16]:
    """The scene as users of these tools hand it over: whole, bands last."""
    import rasterio

    with rasterio.open(path) as dataset:
        return np.moveaxis(dataset.read(), 0, -1)


def _squeezed(image_hwc: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return image_hwc if image_hwc.shape[2] > 1 else image_hwc[..., 0]


def _sahi(image: "str | NDArray[np.uint16]") -> Seen:
    from sahi.slicing import slice_image

    result = slice_image(
        image, slice_height=TILE_PX, slice_width=TILE_PX,
        overlap_height_ratio=0.25, overlap_width_ratio=0.25, verbose=False,
    )  # fmt: skip
    return [
        (left, top, np.atleast_3d(np.asarray(image))[::16, ::16].transpose(2, 0, 1).astype(np.float32))
        for image, (left, top) in zip(result.images, result.starting_pixels, strict=True)
    ]


def _supervision(path: Path) -> Seen:
    import supervision

    image_hwc = _whole(path)
    seen: Seen = []

    def callback(tile_hwc: NDArray[np.uint16]) -> "supervision.Detections":
        tile = np.atleast_3d(tile_hwc)
        place = len(seen)
        seen.append((place, 0, tile[::16, ::16].transpose(2, 0, 1).astype(np.float32)))
        return supervision.Detections.empty()

    overlap = TILE_PX - STRIDE_PX
    supervision.InferenceSlicer(callback, slice_wh=(TILE_PX, TILE_PX), overlap_wh=(overlap, overlap), thread_workers=1)(
        image_hwc
    )
    starts = [(window.col_px, window.row_px) for window in _windows()]
    return [(*starts[index], values) for index, (_, _, values) in enumerate(seen) if index < len(starts)]


def _correlation(seen: Seen, path: Path) -> float | None:
    """Pearson correlation of what the model gets with the source; None if no tile has the source's bands, 0 if all values are one."""
    source_hwc = _whole(path)
    given, wanted = [], []
    for left, top, values_chw in seen:
        part = source_hwc[top : top + TILE_PX : 16, left : left + TILE_PX : 16].transpose(2, 0, 1)
        if values_chw.shape == part.shape:
            given.append(values_chw.ravel())
            wanted.append(part.ravel())
    if not given:
        return None
    got = np.concatenate(given)
    return 0.0 if got.min() == got.max() else round(float(np.corrcoef(got, np.concatenate(wanted))[0, 1]), 4)
