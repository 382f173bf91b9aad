"""What reading tiles costs: the bare codec, a rasterio window loop, the sweep; exact percentiles; normalisation.

CPU seconds of one thread, all in one process, each measured several times in turn; the A/A control is the sweep against itself.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.made_scenes import BLOCK_PX, noisy_scene
from benchmarks.outcome import Outcome
from benchmarks.workspaces import BENCH_HOME, save_result
from ovd_platform.guarded import peak_bytes
from ovd_platform.raster.histogram import BandHistogram, Extent
from ovd_platform.raster.radiometry import InstrumentProfile, normalise, profile_from_histograms
from ovd_platform.raster.scene import open_scene
from ovd_platform.raster.sweep import sweep
from ovd_platform.records.window import Window
from ovd_platform.tiles.scan import scan_scene

SIZE_PX = (20480, 8192)
TILE_PX, STRIDE_PX = 512, 384  # A quarter of each tile is shared with the next.
ROUNDS = 3
WIDE_PX = (100_352, 2048)


def run(arguments: list[str]) -> list[Outcome]:
    """Measure; ``memory PATH`` is the child that reports its peak."""
    if arguments[:1] == ["memory"]:
        return _memory(Path(arguments[1]))
    path = noisy_scene(BENCH_HOME / "reading" / "scene.tif", *SIZE_PX)
    wide = noisy_scene(BENCH_HOME / "reading" / "wide.tif", *WIDE_PX)
    windows = tile_windows(*SIZE_PX)
    jobs: dict[str, Callable[[], object]] = {
        "codec": lambda: _codec(path),
        "sweep": lambda: _sweep(path, windows),
        "rasterio": lambda: _rasterio(path, windows),
        "cores": lambda: _cores(path, count=False),
        "cores counted": lambda: _cores(path, count=True),
        "sweep again": lambda: _sweep(path, windows),
        "tiling pass": lambda: _tiling_pass(path, count=True),
        "tiling pass without histograms": lambda: _tiling_pass(path, count=False),
    }
    seconds = {name: float("inf") for name in jobs}
    _cores(path, count=True)  # Compiles and warms up.
    _tiling_pass(path, count=False)
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            started = time.process_time()
            job()
            seconds[name] = min(seconds[name], time.process_time() - started)
    control = abs(seconds["sweep again"] / seconds["sweep"] - 1.0)
    once = blocks_per_read(path, windows)
    peaks = {name: _child_peak_mb(scene) for name, scene in (("narrow", path), ("wide", wide))}
    speed, difference = _normalisation()
    figures = {
        "codec_ratio": seconds["sweep"] / seconds["codec"],
        "rasterio_ratio": seconds["rasterio"] / seconds["sweep"],
        "percentiles_share": max(0.0, seconds["tiling pass"] / seconds["tiling pass without histograms"] - 1.0),
        "percentiles_share_of_reading": max(0.0, seconds["cores counted"] / seconds["cores"] - 1.0),
        "blocks_decoded_per_block": once,
        "normalise_speedup": speed,
        "normalise_difference_dn": difference,
        "peak_over_imports_mb": peaks,
        "a_a_control": control,
    }
    print({name: round(value, 3) for name, value in seconds.items()}, figures)
    if control > 0.05:
        print(f"inconclusive: the A/A control differs by {control:.0%}")
    save_result("reading", {"command": "uv run python -m benchmarks reading", "cpu_s": seconds, **figures, **machine()})
    return [
        Outcome("CPU against the bare codec", figures["codec_ratio"], 1.30, at_least=False),
        Outcome("CPU of a rasterio window loop against ours", figures["rasterio_ratio"], 1.35),
        Outcome("blocks decoded per block", once, 1.0, at_least=False),
        Outcome("exact percentiles, share added to the tiling pass", figures["percentiles_share"], 0.10, at_least=False),
        Outcome("normalisation against np.percentile", speed, 10.0),
        Outcome("normalisation difference DN", difference, 1.0, at_least=False),
        Outcome("peak over imports MB, 20k wide", peaks["narrow"], 300, at_least=False),
        Outcome("peak over imports MB, 100k wide", peaks["wide"], 300, at_least=False),
        Outcome("A/A control", control, 0.05, at_least=False),
    ]


def machine() -> dict[str, object]:
    """What a timed figure was measured on."""
    return {"cpus": os.cpu_count(), "load_1min": round(os.getloadavg()[0], 2)}


def tile_windows(width_px: int, height_px: int, tile_px: int = TILE_PX, stride_px: int = STRIDE_PX) -> list[Window]:
    """Overlapping tiles in reading order; the last ones reach past the edge."""
    return [
        Window(left, top, tile_px, tile_px) for top in range(0, height_px, stride_px) for left in range(0, width_px, stride_px)
    ]


def _codec(path: Path) -> int:
    """Decode every block once with nothing around it."""
    import imagecodecs
    import rasterio

    total = 0
    with rasterio.open(path) as dataset:
        rows, cols = -(-dataset.height // BLOCK_PX), -(-dataset.width // BLOCK_PX)
        places = [
            (int(dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1)),
             int(dataset.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=1)))
            for row in range(rows) for col in range(cols)
        ]  # fmt: skip
    out = bytearray(BLOCK_PX * BLOCK_PX * 2)
    started = time.process_time()
    with path.open("rb") as stream:
        for offset, size in places:
            stream.seek(offset)
            total += len(imagecodecs.zstd_decode(stream.read(size), out=out))
    _codec.seconds = time.process_time() - started  # type: ignore[attr-defined]
    return total


def _rasterio(path: Path, windows: list[Window]) -> int:
    import rasterio
    from rasterio.windows import Window as RasterioWindow

    total = 0
    with rasterio.open(path) as dataset:
        for window in windows:
            inside = window.clipped(dataset.width, dataset.height)
            total += dataset.read(window=RasterioWindow(inside.col_px, inside.row_px, inside.width_px, inside.height_px)).nbytes
    return total


def _sweep(path: Path, windows: list[Window]) -> None:
    """Every tile as a chip."""
    with open_scene(str(path), version="") as scene:
        for _ in sweep(scene, windows):
            pass


def _cores(path: Path, *, count: bool) -> None:
    """Every core as a chip; with ``count`` its pixels go into the histogram and nothing else is done."""
    with open_scene(str(path), version="") as scene:
        record = scene.record
        histograms = [BandHistogram.for_dtype(record.dtype) for _ in record.bands]
        for _, chip in sweep(scene, tile_windows(record.width_px, record.height_px, TILE_PX, TILE_PX)):
            for band_hw, histogram in zip(chip.pixels_chw if count else (), histograms, strict=False):
                histogram.accumulate_band(band_hw, None)


def _tiling_pass(path: Path, *, count: bool) -> None:
    """The tiles stage's pass over the scene; without ``count`` extremes and means, which screening needs, come from a loop of their own."""
    kept = BandHistogram.accumulate_band
    if not count:
        BandHistogram.accumulate_band = _extent_alone  # type: ignore[method-assign]
    try:
        with open_scene(str(path), version="") as scene:
            scan_scene(scene)
    finally:
        BandHistogram.accumulate_band = kept  # type: ignore[method-assign]


def _extent_alone(histogram: BandHistogram, band_hw: NDArray[np.uint16], valid_hw: object) -> Extent:
    low, high, total = _extent(band_hw)
    return Extent(float(low), float(high), float(total / band_hw.size))


@njit(cache=True)
def _extent(band_hw):  # type: ignore[no-untyped-def]  # numba compiles it
    low = band_hw[0, 0]
    high = band_hw[0, 0]
    total = np.int64(0)
    for row in range(band_hw.shape[0]):
        line = band_hw[row]
        part = np.int64(0)
        for col in range(line.shape[0]):
            low = min(low, line[col])
            high = max(high, line[col])
            part += np.int64(line[col])
        total += part
    return low, high, total


def blocks_per_read(path: Path, windows: list[Window]) -> float:
    """Blocks touched by all reads of a sweep, over the blocks of the scene: 1 means that each is decoded once."""
    touched: dict[tuple[int, int], int] = {}
    with open_scene(str(path), version="") as scene:
        width, height = scene.record.block_px or (BLOCK_PX, BLOCK_PX)
        read_into = scene.read_into

        def counting(window: Window, out_chw: np.ndarray) -> np.ndarray:
            for row in range(window.row_px // height, -(-window.bottom_px // height)):
                for col in range(window.col_px // width, -(-window.right_px // width)):
                    touched[row, col] = touched.get((row, col), 0) + 1
            return read_into(window, out_chw)

        scene.read_into = counting  # type: ignore[method-assign]
        for _ in sweep(scene, windows):
            pass
    return sum(touched.values()) / len(touched)


def _memory(path: Path) -> list[Outcome]:
    """Peak of a sweep over a scene in this process, over what its imports take."""
    import rasterio

    _sweep(path, tile_windows(512, 512)[:1])
    before = peak_bytes()
    with rasterio.open(path) as dataset:
        size = (dataset.width, dataset.height)
    _sweep(path, tile_windows(*size))
    return [Outcome("peak over imports MB", (peak_bytes() - before) / 2**20, 300, False)]


def _child_peak_mb(path: Path) -> float:
    command = [sys.executable, "-m", "benchmarks", "reading", "memory", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(next(line for line in done.stdout.splitlines() if line.startswith("RESULT")).split()[-3])


def _normalisation() -> tuple[float, float]:
    """Speed against ``np.percentile`` and arithmetic over the same pixels, and the largest difference in source values."""
    rng = np.random.default_rng(1)
    pixels_chw = np.clip(rng.normal(1200, 400, (4, 1024, 1024)), 0, 4095).astype(np.uint16)
    valid_hw = np.ones(pixels_chw.shape[1:], dtype=bool)
    profile = InstrumentProfile("x", (0.0,) * 4, (1.0,) * 4)

    def ours() -> tuple[InstrumentProfile, np.ndarray]:
        histograms = [BandHistogram.for_dtype(pixels_chw.dtype) for _ in pixels_chw]
        for band_hw, histogram in zip(pixels_chw, histograms, strict=True):
            histogram.accumulate_band(band_hw, None)
        found = profile_from_histograms(histograms, "x")
        return found, normalise(pixels_chw, valid_hw, found)

    def theirs() -> tuple[np.ndarray, np.ndarray]:
        low_c, high_c = np.percentile(pixels_chw, [1, 99], axis=(1, 2))
        values = (pixels_chw.astype(np.float32) - low_c[:, None, None]) / (high_c - low_c)[:, None, None]
        return high_c - low_c, np.clip(values, 0, 1.25)

    ours()
    best = {"ours": float("inf"), "theirs": float("inf")}
    for _ in range(ROUNDS):
        for name, job in (("ours", ours), ("theirs", theirs)):
            started = time.process_time()
            result = job()
            best[name] = min(best[name], time.process_time() - started)
            if name == "ours":
                profile, values_chw = result  # type: ignore[assignment]
            else:
                spans_c, wanted_chw = result
    difference = np.abs(values_chw - wanted_chw) * np.asarray(spans_c)[:, None, None]
    assert profile.high_c[0] > 1
    return best["theirs"] / best["ours"], float(difference.max())
