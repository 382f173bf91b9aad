"""What screening costs in labelled objects, on real scenes: Pleiades aircraft, Sentinel-2 ships, SAR ships.

Small cores (128 px) besides the default: the smaller a tile, the more of them are empty and the more an object in one depends on being seen.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.outcome import Outcome, shared_data
from benchmarks.workspaces import save_result
from ovd_platform.config import TilesConfig
from ovd_platform.datasets.formats.load import load_annotations
from ovd_platform.raster.scene import open_scene, read_scene_record
from ovd_platform.tiles.scan import scan_scene
from ovd_platform.tiles.screening import kept_objects

CORES_PX = (512, 128)
AIRBUS_SCENES = 15


def run(arguments: list[str]) -> list[Outcome]:
    """Scan all scenes; objects and area kept, by data set and core."""
    data, settings = shared_data(), TilesConfig()
    rows: dict[str, dict[str, object]] = {}
    outcomes = []
    for name, scenes in (("airbus_aircraft", _airbus(data)), ("sen2ships", _sen2ships(data)), ("hrsid", _hrsid(data))):
        objects: dict[int, Counter[str]] = {core: Counter() for core in CORES_PX}
        tiles: dict[int, Counter[str]] = {core: Counter() for core in CORES_PX}
        for uri, boxes_n4 in scenes:
            for core in CORES_PX:
                with open_scene(uri, version="") as scene:
                    scan = scan_scene(
                        scene,
                        core_px=core,
                        halo_px=32,
                        min_valid_fraction=settings.min_valid_fraction,
                        min_edge_density=settings.min_edge_density,
                        cloud_brightness=settings.cloud_brightness,
                    )
                objects[core].update(kept_objects(scan.tiles, boxes_n4))
                tiles[core].update(tile.reason or "kept" for tile in scan.tiles)
        for core in CORES_PX:
            looked = objects[core].total() - objects[core]["outside"]
            recall = objects[core]["kept"] / looked
            rows[f"{name}, core {core} px"] = {"objects": dict(objects[core]), "tiles": dict(tiles[core]), "recall": recall}
            print(f"{name}, core {core} px: objects {dict(objects[core])}, tiles {dict(tiles[core])}", flush=True)
            outcomes.append(Outcome(f"recall of labelled objects, {name}, core {core} px", recall, 0.99))
    save_result("screening", {"command": "uv run python -m benchmarks screening", "sets": rows})
    return outcomes


def _airbus(data: Path) -> Iterator[tuple[str, NDArray[np.float64]]]:
    paths = sorted((data / "airbus_aircraft" / "images").glob("*.jpg"))[:AIRBUS_SCENES]
    records = {path.stem: read_scene_record(str(path), scene_id=path.stem, mode="sampled") for path in paths}
    labels, _ = load_annotations(data / "airbus_aircraft" / "annotations.csv", records)
    for path in paths:
        boxes = [one.box_scene_xyxy for one in labels if one.scene_id == path.stem]
        yield str(path), np.asarray(boxes, dtype=np.float64).reshape(-1, 4)


def _sen2ships(data: Path) -> Iterator[tuple[str, NDArray[np.float64]]]:
    content = json.loads((data / "sen2ships" / "coco.json").read_text())
    for image in content["images"]:
        port = str(image["file_name"]).split("_")[0]
        uri = "|".join(str(path) for path in sorted((data / "sen2ships" / port).glob("*.tiff")))
        boxes = [one["bbox"] for one in content["annotations"] if one["image_id"] == image["id"]]
        yield uri, np.array([[x, y, x + width, y + height] for x, y, width, height in boxes], dtype=np.float64).reshape(-1, 4)


def _hrsid(data: Path) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Boxes from the colours of the instance masks; the ground is black."""
    for mask_path in sorted((data / "hrsid").glob("*_instance_id_RGB.png")):
        mask_hwc = cv2.imread(str(mask_path)).astype(np.int64)
        key_hw = mask_hwc[..., 0] << 16 | mask_hwc[..., 1] << 8 | mask_hwc[..., 2]
        boxes = []
        for key in np.unique(key_hw[key_hw > 0]):
            rows, cols = np.nonzero(key_hw == key)
            boxes.append((cols.min(), rows.min(), cols.max() + 1, rows.max() + 1))
        uri = str(mask_path).replace("_instance_id_RGB", "")
        yield uri, np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
