"""Masks of a workspace: polygons and rasters in scene pixels, and files that are no mask of their scene."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from ovd_platform.config import EvaluationConfig, OvdConfig
from ovd_platform.errors import DataError, InputError
from ovd_platform.flow.masks import load_mask, mask_files, masks_version
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.scene import Band, SceneRecord


def record() -> SceneRecord:
    return SceneRecord("s", "/nowhere", "v", "optical", "pan", 1000, 500, (Band("pan"),), "uint8")


def workspace(root: Path) -> Workspace:
    (root / "masks").mkdir()
    OvdConfig(evaluation=EvaluationConfig(masks="masks")).save(root)
    return Workspace.open(root)


def test_polygons_in_pixels_are_clipped_to_the_scene(tmp_path: Path) -> None:
    ws = workspace(tmp_path)
    ring = [[900, 400], [1100, 400], [1100, 600], [900, 600], [900, 400]]
    collection = {
        "type": "FeatureCollection",
        "frame": "pixel",
        "features": [{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}],
    }
    (tmp_path / "masks" / "s.geojson").write_text(json.dumps(collection))
    before = masks_version(ws)
    assert load_mask(mask_files(ws)["s"], record()).area == pytest.approx(100 * 100)
    collection["features"] = []
    (tmp_path / "masks" / "s.geojson").write_text(json.dumps(collection))
    assert load_mask(mask_files(ws)["s"], record()).is_empty
    assert masks_version(ws) != before


def write_raster(path: Path, mask: "np.ndarray[tuple[int, int], np.dtype[np.uint8]]") -> None:
    with rasterio.open(path, "w", driver="GTiff", width=mask.shape[1], height=mask.shape[0], count=1, dtype="uint8") as out:
        out.write(mask, 1)


def test_a_raster_of_another_size_covers_the_same_ground(tmp_path: Path) -> None:
    ws = workspace(tmp_path)
    mask = np.zeros((50, 100), dtype=np.uint8)
    mask[10:20, 30:60] = 255
    mask[12:14, 40:50] = 0  # a hole stays a hole
    write_raster(tmp_path / "masks" / "s.tif", mask)
    shape = load_mask(mask_files(ws)["s"], record())
    assert shape.bounds == (300.0, 100.0, 600.0, 200.0)
    assert shape.area == pytest.approx((300 - 20) * 100)


def test_what_is_no_mask_of_the_scene_is_named(tmp_path: Path) -> None:
    ws = workspace(tmp_path)
    write_raster(tmp_path / "masks" / "s.tif", np.ones((50, 50), dtype=np.uint8))
    with pytest.raises(DataError, match="the shape of its 1000 x 500"):
        load_mask(mask_files(ws)["s"], record())
    (tmp_path / "masks" / "s.tif").write_text("no raster")
    with pytest.raises(DataError, match="expected a raster"):
        load_mask(mask_files(ws)["s"], record())
    far = [[5000, 0], [5100, 0], [5100, 100], [5000, 0]]
    features = [{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [far]}}]
    path = tmp_path / "masks" / "t.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "frame": "pixel", "features": features}))
    with pytest.raises(DataError, match="inside of the scene"):
        load_mask(path, record())
    (tmp_path / "gone").mkdir()
    OvdConfig(evaluation=EvaluationConfig(masks="elsewhere")).save(tmp_path / "gone")
    with pytest.raises(InputError, match=r"evaluation\.masks"):
        mask_files(Workspace.open(tmp_path / "gone"))
    OvdConfig().save(tmp_path / "gone")
    assert masks_version(Workspace.open(tmp_path / "gone")) == "none"
