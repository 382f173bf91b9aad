"""Rasters made for these tests, and the place of the real ones."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("OVD_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"real data not found at {path}")
    return path


@pytest.fixture
def make_tif(tmp_path: Path) -> Callable[..., Path]:
    """Writes a GeoTIFF: pixels (C, H, W), name, and rasterio profile entries."""

    def make(pixels_chw: np.ndarray, name: str = "scene.tif", **profile: Any) -> Path:
        path = tmp_path / name
        tags = profile.pop("ovd_tags", {})
        profile.setdefault("transform", Affine(0.5, 0, 593000, 0, -0.5, 5749000))
        profile.setdefault("crs", "EPSG:32631")
        count, height, width = pixels_chw.shape
        with rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels_chw.dtype, **profile
        ) as out:
            out.write(pixels_chw)
            out.update_tags(ns="OVD", **tags)
        return path

    return make
