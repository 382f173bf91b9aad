"""Tiles: cores cover each pixel once; one scan gives exact histograms, honest screening and refuses impossible values."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from ovd_platform.errors import BitDepthError, InputError
from ovd_platform.raster.scene import open_scene
from ovd_platform.tiles.plan import plan_tiles, tile_of_pixel
from ovd_platform.tiles.scan import SceneScan, scan_scene
from ovd_platform.tiles.screening import kept_objects


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40))
def test_cores_cover_each_pixel_exactly_once(width: int, height: int, core: int) -> None:
    counts = np.zeros((height, width), dtype=int)
    owner = np.zeros((height, width), dtype=int)
    for index, (_, _, window) in enumerate(plan_tiles(width, height, core, 0)):
        x0, y0, x1, y1 = window.xyxy
        counts[y0:y1, x0:x1] += 1
        owner[y0:y1, x0:x1] = index
    assert (counts == 1).all()
    for x, y in ((0, 0), (width - 1, height - 1), (width // 2, height // 3)):
        assert tile_of_pixel(x + 0.5, y + 0.5, width, height, core) == owner[y, x]


def test_plans_need_sensible_sizes() -> None:
    with pytest.raises(InputError, match="halo"):
        plan_tiles(100, 100, 32, 33)


def write_scene(
    path: Path, pixels_chw: np.ndarray, facts: dict[str, object] | None = None, nodata: float | None = None
) -> Path:
    count, height, width = pixels_chw.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels_chw.dtype, nodata=nodata,
        crs="EPSG:32631", transform=Affine(0.5, 0, 593000, 0, -0.5, 5749000),
    ) as out:  # fmt: skip
        out.write(pixels_chw)
    if facts:
        path.with_name(f"{path.stem}.ovd.json").write_text(json.dumps(facts))
    return path


def scan(path: Path) -> SceneScan:
    with open_scene(str(path)) as scene:
        return scan_scene(scene, core_px=64, halo_px=8)


def test_histograms_are_exact_and_blank_and_nodata_tiles_are_dropped(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # Water with a little noise everywhere, a busy harbour, one small bright ship alone, and a corner without data.
    pixels = (300 + rng.normal(0, 2, (1, 200, 256))).astype(np.uint16)
    pixels[0, :64, :64] = rng.integers(200, 3000, (64, 64))
    pixels[0, 90:93, 150:156] = 1500
    pixels[0, 128:192, 192:] = 0
    result = scan(write_scene(tmp_path / "sea.tif", pixels, {"bits_effective": 12}, nodata=0))
    valid = pixels[pixels > 0]
    assert np.array_equal(result.histograms[0].counts, np.bincount(valid, minlength=65536))
    assert result.valid_px == valid.size
    assert result.bits_observed == 12
    assert result.profile.low_c == (float(np.sort(valid)[int(np.ceil(0.01 * valid.size)) - 1]),)
    reasons = {(tile.row, tile.col): tile.reason for tile in result.tiles}
    assert len(reasons) == 16
    assert reasons[0, 0] == ""
    assert reasons[1, 2] == "", "a lone ship on calm water must not be screened away"
    assert reasons[2, 3] == "nodata"
    assert [reasons[0, 2], reasons[1, 0], reasons[2, 1]] == ["water"] * 3
    first = result.tiles[0]
    assert first.tile_id == "sea/g64h8/0/0"
    assert len(first.geohash) == 9
    assert len(first.footprint_lonlat) == 5
    assert first.edge_density > 0.5
    assert result.thumbnail_hwc.shape == (200, 256, 3)
    assert scan(tmp_path / "sea.tif").tiles == result.tiles


def test_values_above_the_declared_bits_stop_the_scan(tmp_path: Path) -> None:
    pixels = np.full((1, 70, 70), 4096, np.uint16)
    with pytest.raises(BitDepthError, match=r"4095 \(12 bits\), got 4096"):
        scan(write_scene(tmp_path / "deep.tif", pixels, {"bits_effective": 12}))


def test_saturated_tiles_are_dropped(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (3, 64, 128)).astype(np.uint8)
    pixels[:, :, 64:] = 255
    assert [tile.reason for tile in scan(write_scene(tmp_path / "glint.tif", pixels)).tiles] == ["", "saturated"]


def test_bright_soft_tiles_are_cloud_and_what_outstands_in_them_is_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    pixels = rng.integers(100, 900, (3, 64, 320)).astype(np.uint16)
    soft = 3000 + 200 * np.sin(np.mgrid[:64, :64][1] / 20)
    pixels[:, :, 64:128] = soft + rng.normal(0, 3, (3, 64, 64))
    pixels[:, :, 128:192] = pixels[:, :, 64:128]
    pixels[:, 30:34, 150:160] = 200  # a dark aircraft above a white apron
    pixels[:, :, 192:256] = rng.integers(2500, 3400, (3, 64, 64))  # bright and rough: a town, not a cloud
    pixels[:, :, 256:] = 500 + rng.normal(0, 1, (3, 64, 64))
    path = write_scene(tmp_path / "clouds.tif", pixels)
    assert [tile.reason for tile in scan(path).tiles] == ["", "cloud", "", "", "water"]
    with open_scene(str(path)) as scene:
        kept = scan_scene(scene, core_px=64, halo_px=8, cloud_brightness=2.0).tiles
    assert [tile.reason for tile in kept][1] != "cloud"
    boxes = np.array([[150, 30, 160, 34], [70, 5, 80, 9], [10, 10, 12, 12], [400, 0, 410, 9], [300, 20, 310, 30]])
    assert kept_objects(scan(path).tiles, boxes) == {"kept": 2, "cloud": 1, "outside": 1, "water": 1}


def test_a_large_thumbnail_is_decimated_on_one_lattice(tmp_path: Path) -> None:
    rows, cols = np.mgrid[:700, :1100]
    pixels = ((rows + cols) % 251).astype(np.uint8)[None]
    with open_scene(str(write_scene(tmp_path / "big.tif", pixels))) as scene:
        small = scan_scene(scene, core_px=100, halo_px=0)
    assert small.thumbnail_hwc.shape == (234, 367, 3)
    shown = small.thumbnail_hwc[..., 0].astype(float)
    assert np.corrcoef(shown.ravel(), pixels[0, ::3, ::3].ravel())[0, 1] > 0.99


def test_complex_scenes_scan_in_decibels(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    array = ((rng.normal(size=(80, 80)) + 1j * rng.normal(size=(80, 80))) * 100).astype(np.complex64)
    np.save(tmp_path / "slc.npy", array)
    result = scan(tmp_path / "slc.npy")
    assert result.profile.log
    expected = np.quantile(20 * np.log10(np.abs(array)), [0.01, 0.99])
    assert np.allclose([result.profile.low_c[0], result.profile.high_c[0]], expected, atol=0.3)
    assert all(tile.kept for tile in result.tiles)
