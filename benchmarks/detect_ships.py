"""Ships: Sentinel-2 by leave-one-port-out, and CFAR on real SAR chips at false alarms per km2.

Five ports, 117 ships, 98 % smaller than 32 px at 10 m: `detect-ships MINUTES` trains on four ports that many minutes (default 2; 0 takes
the starter weights as they are) and judges on the fifth. Objectness ranks; a ship is found where the centre of a box lies within 3
pixels (30 m), one box a ship. Of the HRSID chips nothing says the pixel size: areas take the 3 m that most of HRSID has.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.hits import average_precision
from benchmarks.outcome import Outcome, shared_data
from benchmarks.workspaces import BENCH_HOME, save_result
from ovd_platform.flow.models import Starter
from ovd_platform.geometry.boxes import centre, iou_matrix
from ovd_platform.learn.proposer import ProposerRecipe, train_proposer
from ovd_platform.propose.cfar import CfarProposer, CfarSettings
from ovd_platform.propose.light import LightProposer
from ovd_platform.propose.proposer import Proposer
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.raster.scene import Scene, open_scene
from ovd_platform.stores.models import load_model_dir
from ovd_platform.tiles.scan import scan_scene

BANDS = ("B02", "B03", "B04", "B08")
NEAR_PX, SAR_GSD_M, SCALE = 3.0, 3.0, 4.0
RATES_KM2 = (0.01, 0.1, 1.0, 10.0)
DRAWS = 500


@dataclass(frozen=True)
class Answers:
    """Ranked answers of one scene: scores, which ship each found first (-1 for none), ships, and ground."""

    score_n: NDArray[np.float64]
    ship_n: NDArray[np.int64]
    ships: int
    km2: float


def run(arguments: list[str]) -> list[Outcome]:
    """Five folds of Sentinel-2, then CFAR on HRSID."""
    minutes = float(arguments[0]) if arguments else 2.0
    ports = _sentinel(minutes)
    optical = _figures(ports)
    sar = {method: _hrsid(method) for method in ("ca", "os")}
    print(optical)
    print(sar)
    save_result(
        "detect-ships",
        {
            "sentinel2": {"minutes_a_fold": minutes, "ports": len(ports), "ships": sum(one.ships for one in ports), **optical},
            "hrsid_cfar": sar,
            "hrsid_gsd_m_assumed": SAR_GSD_M,
            "command": f"uv run python -m benchmarks detect-ships {minutes:g}",
        },
    )
    best = max(row["recall_at_10_per_km2"] for row in sar.values())
    return [
        Outcome("Sentinel-2: recall, 100 boxes a Mpx", optical["recall"]["value"], 0.8),
        Outcome("Sentinel-2: centre-distance AP", optical["ap"]["value"], 0.5),
        Outcome("HRSID: CFAR recall at 10 false alarms per km2", best, 0.7),
    ]


# --- Sentinel-2 --------------------------------------------------------------------------------------------------------------


def _sentinel(minutes: float) -> list[Answers]:
    """Answers at each port of a proposer that has not seen it."""
    root = shared_data() / "sen2ships"
    labels = json.loads((root / "coco.json").read_text())
    boxes: dict[str, NDArray[np.float32]] = {}
    for image in labels["images"]:
        port = image["file_name"].split("_")[0]
        if (root / port).is_dir():
            own = [entry["bbox"] for entry in labels["annotations"] if entry["image_id"] == image["id"]]
            boxes[port] = np.array([(x, y, x + w, y + h) for x, y, w, h in own], np.float32).reshape(-1, 4)
    scenes = {port: open_scene("|".join(str(root / port / f"{band}.tiff") for band in BANDS), scene_id=port) for port in boxes}
    scans = {port: scan_scene(scene, min_edge_density=0.0) for port, scene in scenes.items()}
    answers = []
    for port, scene in scenes.items():
        others = [(scenes[name], scans[name].profile) for name in scenes if name != port]
        proposer = _proposer(others, {name: boxes[name] for name in scenes if name != port}, minutes)
        found = proposer.propose(scene, scans[port].tiles, scans[port].profile, max_per_mpx=100)
        km2 = scene.record.area_mpx * float(scene.record.gsd_m or 10.0) ** 2
        answers.append(_answers(found.boxes_scene_xyxy, found.objectness_n, boxes[port], km2))
        print(
            f"{port}: {len(boxes[port])} ships, {int((answers[-1].ship_n >= 0).sum())} found by {len(found)} boxes", flush=True
        )
    for scene in scenes.values():
        scene.close()
    return answers


def _proposer(scenes: list[tuple[Scene, InstrumentProfile]], boxes: dict[str, NDArray[np.float32]], minutes: float) -> Proposer:
    folder = Starter.of("optical-proposer").folder
    assert folder is not None
    state, card = load_model_dir(folder)
    if minutes <= 0:
        return LightProposer(state, card, "starter", scales=(2.0, 4.0))
    recipe = ProposerRecipe(learning_rate=5e-4, zoom=(0.7, 1.4))
    trained = train_proposer(scenes, boxes, minutes=minutes, init_state=state, input_scale=SCALE, recipe=recipe)
    return LightProposer(trained.state, trained.card, "trained", scales=(SCALE,))


# --- SAR ---------------------------------------------------------------------------------------------------------------------


def _hrsid(method: str) -> dict[str, Any]:
    """Recall of CFAR by IoU at false alarms per km2; a box on a ship that another box found already is no false alarm."""
    rows = []
    for picture in sorted((shared_data() / "hrsid").glob("*_instance_id_RGB.png")):
        truth = _instances(picture)
        path = _as_array(picture.with_name(picture.name.replace("_instance_id_RGB", "")))
        with open_scene(str(path)) as scene:
            scan = scan_scene(scene, min_edge_density=0.0)
            settings = CfarSettings(method, 1e-5)  # type: ignore[arg-type]
            found = CfarProposer(settings).propose(scene, scan.tiles, scan.profile, max_per_mpx=3000)
            km2 = scene.record.area_mpx * SAR_GSD_M**2
        overlap = iou_matrix(found.boxes_scene_xyxy, truth)
        near = overlap.max(1) if len(truth) else np.zeros(len(found))
        rows.append((found.objectness_n, np.where(near >= 0.5, overlap.argmax(1), -1), near < 0.1, len(truth), km2))
    return _sar_figures(rows)


def _sar_figures(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    score_n = np.concatenate([row[0] for row in rows])
    false_n = np.concatenate([row[2] for row in rows])
    starts = np.cumsum([0, *[row[3] for row in rows]])
    ship_n = np.concatenate([np.where(row[1] >= 0, row[1] + start, -1) for row, start in zip(rows, starts, strict=False)])
    order = np.argsort(-score_n, kind="stable")
    km2 = sum(row[4] for row in rows)
    alarms = np.cumsum(false_n[order])
    figures: dict[str, Any] = {"ships": int(starts[-1]), "km2": km2, "boxes": len(score_n)}
    for rate in RATES_KM2:
        reached = ship_n[order][alarms <= rate * km2]
        figures[f"recall_at_{rate:g}_per_km2"] = len(np.unique(reached[reached >= 0])) / max(int(starts[-1]), 1)
    figures["recall_of_all_boxes"] = len(np.unique(ship_n[ship_n >= 0])) / max(int(starts[-1]), 1)
    return figures


def _instances(path: Path) -> NDArray[np.float32]:
    """Boxes of the colours of an instance picture; black is ground."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert picture is not None, path
    codes = picture.astype(np.int64) @ np.array([1, 256, 65536])
    boxes = []
    for code in np.unique(codes[codes > 0]):
        rows, cols = np.nonzero(codes == code)
        boxes.append((cols.min(), rows.min(), cols.max() + 1, rows.max() + 1))
    return np.array(boxes, np.float32).reshape(-1, 4)


def _as_array(path: Path) -> Path:
    """The amplitude of a chip as a scene that says it is SAR."""
    target = BENCH_HOME / "hrsid" / f"{path.stem}.npy"
    target.parent.mkdir(parents=True, exist_ok=True)
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None, path
    np.save(target, picture if picture.ndim == 2 else picture[..., 0])
    target.with_name(f"{path.stem}.ovd.json").write_text(json.dumps({"modality": "sar", "instrument": "hrsid"}))
    return target


# --- figures -----------------------------------------------------------------------------------------------------------------


def _answers(boxes: NDArray[np.float32], score_n: NDArray[np.float32], truth: NDArray[np.float32], km2: float) -> Answers:
    """Match by falling score: the nearest ship still free whose centre is near."""
    apart = np.linalg.norm(centre(boxes)[:, None] - centre(truth)[None], axis=2) if len(truth) else np.zeros((len(boxes), 0))
    free, ship_n = np.ones(len(truth), np.bool_), np.full(len(boxes), -1, np.int64)
    for index in np.argsort(-score_n, kind="stable"):
        reach = np.where(free, apart[index], np.inf)
        if len(truth) and reach.min() <= NEAR_PX:
            ship_n[index] = int(reach.argmin())
            free[ship_n[index]] = False
    return Answers(score_n.astype(np.float64), ship_n, len(truth), km2)


def _figures(ports: list[Answers]) -> dict[str, Any]:
    """Recall, AP and recall at false alarms per km2, with intervals over ports."""
    rng = np.random.default_rng(0)
    draws = [[ports[int(i)] for i in rng.integers(0, len(ports), len(ports))] for _ in range(DRAWS)]

    def spread(measure: Any) -> dict[str, float]:
        low, high = np.quantile([measure(draw) for draw in draws], [0.025, 0.975])
        return {"value": float(measure(ports)), "low": float(low), "high": float(high)}

    figures = {"recall": spread(_recall), "ap": spread(_average_precision)}
    for rate in RATES_KM2:
        figures[f"recall_at_{rate:g}_per_km2"] = spread(lambda parts, rate=rate: _recall_at(parts, rate))
    return figures


def _recall(parts: list[Answers]) -> float:
    return sum(int((one.ship_n >= 0).sum()) for one in parts) / max(sum(one.ships for one in parts), 1)


def _ranked(parts: list[Answers]) -> NDArray[np.bool_]:
    score_n = np.concatenate([one.score_n for one in parts])
    right_n = np.concatenate([one.ship_n >= 0 for one in parts])
    return np.asarray(right_n[np.argsort(-score_n, kind="stable")])


def _average_precision(parts: list[Answers]) -> float:
    score_n = np.concatenate([one.score_n for one in parts])
    right_n = np.concatenate([one.ship_n >= 0 for one in parts])
    return average_precision(score_n, right_n, sum(one.ships for one in parts))


def _recall_at(parts: list[Answers], rate: float) -> float:
    right = _ranked(parts)
    allowed = np.cumsum(~right) <= rate * sum(one.km2 for one in parts)
    return float(right[allowed].sum() / max(sum(one.ships for one in parts), 1))
