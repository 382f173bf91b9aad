"""CFAR: the stated false-alarm rate on simulated clutter, and speed against OpenCV and skimage with the same mask."""

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.outcome import Outcome
from benchmarks.workspaces import save_result
from ovd_platform.propose.cfar import CfarSettings, detect_targets
from ovd_platform.propose.cfar_kernel import ring_means_whole, ring_orders
from ovd_platform.propose.clutter import Clutter, cell_statistics, estimate_clutter

SIDE_PX, DRAWS = 2048, 3
CASES = {
    "Rayleigh": Clutter(1.0),
    "4 looks": Clutter(4.0),
    "K, 1 look, texture 2": Clutter(1.0, 2.0),
    "K, 3 looks, texture 1.5": Clutter(3.0, 1.5),
    "K, 4.4 looks, texture 8": Clutter(4.4, 8.0),
}
RATES = {"ca": (1e-3, 1e-4), "os": (1e-3,)}
GUARD_PX, TRAIN_PX, OS_SIDE_PX = 20, 32, 700


def run(arguments: list[str]) -> list[Outcome]:
    """Rates with everything estimated from the pixels; then times."""
    rates = _rates()
    worst = max(abs(row["achieved_over_stated"] - 1) for row in rates)
    ca, order = _ca_times(), _os_times()
    for row in rates:
        print(row)
    print(ca, order)
    facts = {"rates": rates, "ca": ca, "os": order}
    save_result("cfar", {**facts, "command": "uv run --with scikit-image python -m benchmarks cfar"})
    outcomes = [
        Outcome("largest departure from the stated false-alarm rate", worst, 0.10, at_least=False),
        Outcome("CA over OpenCV box filters", ca["opencv_over_own"], 1.5),
        Outcome("CA mask identical to OpenCV's", float(ca["identical_mask"]), 1.0),
    ]
    if "skimage_over_own" in order:
        outcomes.append(Outcome("OS over skimage", order["skimage_over_own"], 2.0))
        outcomes.append(Outcome("OS: largest difference to skimage, dB", order["largest_difference_db"], 0.26, at_least=False))
    return outcomes


def _drawn(clutter: Clutter, side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    speckle = rng.gamma(clutter.looks, 1 / clutter.looks, (side, side)).astype(np.float32)
    if np.isfinite(clutter.texture):
        speckle *= rng.gamma(clutter.texture, 1 / clutter.texture, (side, side)).astype(np.float32)
    return speckle * np.float32(250.0)


def _rates() -> list[dict[str, Any]]:
    """Alarms a pixel over the stated rate, the decision alone (no regrowth, no second pass)."""
    rows = []
    for name, clutter in CASES.items():
        for method, stated in RATES.items():
            side, edge = (SIDE_PX, 16) if method == "ca" else (SIDE_PX // 2, 10)
            alarms = dict.fromkeys(stated, 0)
            for draw in range(DRAWS):
                pixels_hw = _drawn(clutter, side, np.random.default_rng([draw, side]))
                valid_hw = np.ones(pixels_hw.shape, np.bool_)
                found = estimate_clutter([cell_statistics(pixels_hw, valid_hw)])
                for rate in stated:
                    settings = CfarSettings(method, rate, guard_px=4, train_px=edge, censor=False)  # type: ignore[arg-type]
                    alarms[rate] += int(detect_targets(pixels_hw, valid_hw, settings, found).detected_hw.sum())
            pixels = DRAWS * (side - 2 * edge) ** 2
            for rate, count in alarms.items():
                rows.append(
                    {
                        "clutter": name,
                        "method": method,
                        "stated": rate,
                        "alarms": count,
                        "achieved_over_stated": count / pixels / rate,
                        "counting_error": 1 / np.sqrt(max(count, 1)),
                        "estimated": [round(found.looks, 2), round(min(found.texture, 1e6), 2)],
                    }
                )
    return rows


def _with_opencv(intensity_hw: NDArray[np.float32], factor: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    outer = cv2.boxFilter(intensity_hw, cv2.CV_64F, (2 * TRAIN_PX + 1,) * 2, normalize=False)
    inner = cv2.boxFilter(intensity_hw, cv2.CV_64F, (2 * GUARD_PX + 1,) * 2, normalize=False)
    number = (2 * TRAIN_PX + 1) ** 2 - (2 * GUARD_PX + 1) ** 2
    mean_hw = ((outer - inner) * (1.0 / number)).astype(np.float32)
    return mean_hw, intensity_hw > np.float32(factor) * mean_hw


def _ca_times() -> dict[str, float]:
    cv2.setNumThreads(1)
    pixels_hw = _drawn(Clutter(1.0), SIDE_PX, np.random.default_rng(0))
    inside = np.s_[TRAIN_PX:-TRAIN_PX, TRAIN_PX:-TRAIN_PX]
    factor = 7.0
    ours, theirs = ring_means_whole(pixels_hw, GUARD_PX, TRAIN_PX, factor)[1], _with_opencv(pixels_hw, factor)[1]
    own = _fastest(lambda: ring_means_whole(pixels_hw, GUARD_PX, TRAIN_PX, factor))
    opencv = _fastest(lambda: _with_opencv(pixels_hw, factor))
    again = _fastest(lambda: ring_means_whole(pixels_hw, GUARD_PX, TRAIN_PX, factor))
    return {
        "own_mpx_per_s": pixels_hw.size / own / 1e6,
        "opencv_mpx_per_s": pixels_hw.size / opencv / 1e6,
        "opencv_over_own": opencv / own,
        "own_again_over_first": again / own,
        "identical_mask": float(np.array_equal(ours[inside], theirs[inside])),
    }


def _os_times() -> dict[str, float]:
    """The same order statistic by skimage's rank filter: it takes integers, so both work on levels of an eighth of a decibel."""
    pixels_hw = _drawn(Clutter(1.0), OS_SIDE_PX, np.random.default_rng(1))
    level_hw = (10 * np.log10(pixels_hw) * 8 + 400).astype(np.float32)
    bins, rank = 1024, 0.75
    level_hw = np.clip(level_hw, 0, bins - 1)
    valid_hw = np.ones(level_hw.shape, np.bool_)
    small = np.ascontiguousarray(level_hw[:128, :128])
    ring_orders(small, valid_hw[:128, :128].copy(), GUARD_PX, TRAIN_PX, rank, bins)
    own = _fastest(lambda: ring_orders(level_hw, valid_hw, GUARD_PX, TRAIN_PX, rank, bins), 2)
    times = {"own_mpx_per_s": level_hw.size / own / 1e6}
    try:
        from skimage.filters import rank as peer
    except ImportError:
        print("skimage is not installed: `uv run --with scikit-image python -m benchmarks cfar` compares with it")
        return times
    ring = np.ones((2 * TRAIN_PX + 1,) * 2, np.uint8)
    ring[TRAIN_PX - GUARD_PX : TRAIN_PX + GUARD_PX + 1, TRAIN_PX - GUARD_PX : TRAIN_PX + GUARD_PX + 1] = 0
    whole_hw = level_hw.astype(np.uint16)
    started = time.process_time()
    theirs_hw = peer.percentile(whole_hw, ring, p0=rank)
    skimage = time.process_time() - started
    ours_hw, _ = ring_orders(level_hw, valid_hw, GUARD_PX, TRAIN_PX, rank, bins)
    inside = np.s_[TRAIN_PX:-TRAIN_PX, TRAIN_PX:-TRAIN_PX]
    away = np.abs(ours_hw[inside] - theirs_hw[inside].astype(np.float32)).max() / 8
    return {
        **times,
        "skimage_mpx_per_s": level_hw.size / skimage / 1e6,
        "skimage_over_own": skimage / own,
        "largest_difference_db": float(away),
    }


def _fastest(call: Callable[[], object], turns: int = 5) -> float:
    call()
    best = np.inf
    for _ in range(turns):
        started = time.process_time()
        call()
        best = min(best, time.process_time() - started)
    return float(best)
