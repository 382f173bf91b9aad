"""Speed of proposing: the built-in detector, in both sizes, against Faster R-CNN MobileNet, and the whole stage against its own forward pass.

One thread, CPU seconds, one real scene of 6.6 Mpx as a tiled GeoTIFF, all networks at the scale of the scene and as their proposers run
them: the built-in ones in bfloat16 where the processor has it (float32 beside it), the peer in float32 as torchvision does. The recall all
reach after equal training is in the results of `detect-airbus`, which also leaves the weights of the lean network; without it they are
fresh ones that find little. Speeds of networks do not depend on weights (the peer's answers are capped alike).
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch

from benchmarks.detect_airbus import LEAN, LEAN_MODEL
from benchmarks.outcome import Outcome, shared_data
from benchmarks.peers import as_detector, fresh
from benchmarks.workspaces import BENCH_HOME, RESULTS, save_result
from ovd_platform.flow.models import Starter
from ovd_platform.models.light_detector import SIZES, LightDetector
from ovd_platform.propose.light import LightProposer
from ovd_platform.raster.radiometry import normalise
from ovd_platform.raster.scene import open_scene
from ovd_platform.records.window import Window
from ovd_platform.stores.home import read_json
from ovd_platform.stores.models import load_model_dir
from ovd_platform.tiles.scan import scan_scene

SIDE_PX = 1024


def run(arguments: list[str]) -> list[Outcome]:
    """Networks on one pre-read piece at the same scale; then the stage."""
    torch.set_num_threads(1)
    folder = Starter.of("optical-proposer").folder
    assert folder is not None
    state, card = load_model_dir(folder)
    own = LightProposer(state, card, "starter", scales=(1.0,))
    plain = LightProposer(state, card, "starter", scales=(1.0,), reduced=False)
    with open_scene(str(_tiled())) as scene:
        scan = scan_scene(scene)
        chip = scene.read(Window(512, 512, SIDE_PX, SIDE_PX))
        pixels_chw = normalise(chip.pixels_chw, chip.valid_hw, scan.profile)
        peer, planes = as_detector("faster-rcnn-mobilenet", fresh("faster-rcnn-mobilenet")), torch.from_numpy(pixels_chw)[None]
        fast, again = (_fastest(lambda: own.image_boxes(pixels_chw), 7) for _ in range(2))
        slow = _fastest(lambda: peer(planes), 3)
        exact = _fastest(lambda: plain.image_boxes(pixels_chw), 3)
        lean = _lean(card)
        leaner = _fastest(lambda: lean.image_boxes(pixels_chw), 7)
        lean_share, lean_seconds = _stage(lean, scene, scan)
        lean_bare = _bare(lean, scene, scan)
        share, seconds = _stage(own, scene, scan)
        bare = _bare(own, scene, scan)
    mpx = SIDE_PX**2 / 1e6
    facts: dict[str, Any] = {
        "built_in_mpx_per_s": mpx / fast,
        "built_in_again_over_first": again / fast,
        "built_in_float32_mpx_per_s": mpx / exact,
        "faster_rcnn_mobilenet_mpx_per_s": mpx / slow,
        "ratio": slow / fast,
        "ratio_in_float32": slow / exact,
        "scene_mpx": scene.record.area_mpx,
        "forward_share_of_stage": share,
        "stage_cpu_s": seconds,
        "bare_forward_of_tiles_cpu_s": bare,
        "stage_rate_over_bare_forward_of_tiles": bare / seconds,
        "lean_mpx_per_s": mpx / leaner,
        "lean_ratio": slow / leaner,
        "lean_forward_share_of_stage": lean_share,
        "lean_stage_rate_over_bare_forward_of_tiles": lean_bare / lean_seconds,
        "lean_weights": "detect-airbus" if LEAN_MODEL.is_dir() else "fresh",
        "command": "uv run python -m benchmarks propose-speed",
    }
    outcomes = [
        Outcome("times the Mpx/s of Faster R-CNN MobileNet, light", slow / fast, 5.0),
        Outcome("times the Mpx/s of Faster R-CNN MobileNet, lean", slow / leaner, 15.0),
        Outcome("rate of the stage over the bare forward pass on pre-read tiles", bare / seconds, 0.85),
        Outcome("share of the stage that is its forward pass", share, 0.85),
    ]
    if (RESULTS / "detect-airbus.json").is_file():
        table = read_json(RESULTS / "detect-airbus.json")["class_agnostic_table"]
        if "faster-rcnn-mobilenet" in table:
            before = table["faster-rcnn-mobilenet"]["recall_100_per_mpx"]
            outcomes += [
                Outcome(
                    f"recall of {name} over Faster R-CNN MobileNet after equal minutes",
                    table[name]["recall_100_per_mpx"] - before,
                    0.0,
                )
                for name in ("built-in", LEAN)
                if name in table
            ]
    print(facts)
    save_result("propose-speed", facts)
    return outcomes


def _lean(card: dict[str, Any]) -> LightProposer:
    """The lean network with the weights `detect-airbus` trained, else fresh ones whose heat is low nearly everywhere."""
    if LEAN_MODEL.is_dir():
        return LightProposer(*load_model_dir(LEAN_MODEL), "lean", scales=(1.0,))
    torch.manual_seed(0)
    network = LightDetector(SIZES["lean"], tuple(card["band_counts"]))
    with torch.no_grad():
        assert network.out.bias is not None
        network.out.bias[0] = -8.0
    return LightProposer(network.state_dict(), {**card, "config": SIZES["lean"].to_dict()}, "lean", scales=(1.0,))


def _tiled() -> Path:
    """One real scene, rewritten once as a tiled file: its JPEG would be decoded whole at every window."""
    path = BENCH_HOME / "speed.tif"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    source = sorted((shared_data() / "airbus_aircraft" / "images").glob("*.jpg"))[0]
    with rasterio.open(source) as file:
        pixels, facts = file.read(), file.profile
    facts.update(
        driver="GTiff", tiled=True, blockxsize=512, blockysize=512, compress="zstd", photometric="RGB", interleave="pixel"
    )
    with rasterio.open(path, "w", **facts) as file:
        file.write(pixels)
    return path


class _Timed(torch.nn.Module):
    """A network and the CPU seconds it took."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network, self.seconds = network, 0.0

    def forward(self, x_bchw: torch.Tensor) -> Any:
        started = time.process_time()
        answer = self.network(x_bchw)
        self.seconds += time.process_time() - started
        return answer


def _stage(own: LightProposer, scene: Any, scan: Any) -> tuple[float, float]:
    """Share of the whole stage (reading, normalising, resampling, decoding, merging) that its network takes; and its CPU seconds."""
    best = (0.0, 0.0)
    network = own._model
    for _ in range(3):
        own._model = timed = _Timed(network)  # type: ignore[assignment]
        started = time.process_time()
        own.propose(scene, scan.tiles, scan.profile, max_per_mpx=100)
        seconds = time.process_time() - started
        best = max(best, (timed.seconds / seconds, seconds))
    own._model = network
    return best


def _bare(own: LightProposer, scene: Any, scan: Any) -> float:
    """CPU seconds of the network alone on every tile with its halo, read, normalised and laid out beforehand."""
    batches = []
    for tile in scan.tiles:
        chip = scene.read(tile.core.grown(tile.halo_px))
        pixels = torch.from_numpy(normalise(chip.pixels_chw, chip.valid_hw, scan.profile))[None]
        batches.append(pixels.to(own._dtype).contiguous(memory_format=torch.channels_last))

    def forward() -> None:
        with torch.inference_mode():
            for batch in batches:
                own._model(batch)

    return _fastest(forward, 3)


def _fastest(call: Callable[[], object], turns: int) -> float:
    call()
    best = np.inf
    for _ in range(turns):
        started = time.process_time()
        call()
        best = min(best, time.process_time() - started)
    return float(best)
