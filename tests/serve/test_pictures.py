"""Tiles: cover a scene exactly, agree with the native pixels, fall on their place on the map; pyramids of scenes that hold none."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ovd_platform.errors import InputError, UnknownNameError
from ovd_platform.flow.workspace import Workspace
from ovd_platform.geometry.place import pixel_to_lonlat
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.raster.scene import open_scene
from ovd_platform.records.window import Window
from ovd_platform.serve.map_tiles import map_tile, meets, scene_bounds, tile_bounds
from ovd_platform.serve.open_scenes import OpenScenes, Shown
from ovd_platform.serve.overviews import Pyramids, write_pyramid
from ovd_platform.serve.pictures import TILE_PX, crop_picture, max_zoom, reduced, scene_tile


def write(path: Path, width: int, height: int, *, overviews: bool = False, hole: bool = False) -> Path:
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.transform import from_origin

    row, col = np.mgrid[0:height, 0:width]
    values = (200 + 3000 * (col / width) + 500 * (row / height)).astype(np.uint16)[None]
    if hole:
        values[:, : height // 4, : width // 4] = 0
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint16", tiled=True, blockxsize=256, blockysize=256, nodata=0,
        crs="EPSG:32631", transform=from_origin(500_000, 5_600_000, 0.5, 0.5),
    ) as out:  # fmt: skip
        out.write(values)
    if overviews:
        with rasterio.open(path, "r+") as out:
            out.build_overviews([2, 4, 8, 16], Resampling.average)
    return path


@pytest.fixture
def shown_of(tmp_path: Path) -> Any:
    opened = []

    def make(**options: Any) -> Shown:
        scene = open_scene(str(write(tmp_path / f"{len(opened)}.tif", **options)))
        profile = InstrumentProfile("pan", (0.0,), (4000.0,))
        opened.append(Shown(scene, scene.record, (0,), profile))
        return opened[-1]

    yield make
    for shown in opened:
        shown.close()


def whole(shown: Shown, pyramids: Pyramids, z: int) -> np.ndarray[Any, Any]:
    side = TILE_PX << (max_zoom(shown.record) - z)
    rows = [
        np.concatenate([scene_tile(shown, pyramids, z, x, y) for x in range(-(-shown.record.width_px // side))], axis=1)
        for y in range(-(-shown.record.height_px // side))
    ]
    return np.concatenate(rows)


@pytest.mark.parametrize("overviews", [False, True])
def test_tiles_cover_a_scene_and_agree_over_zooms(shown_of: Any, tmp_path: Path, overviews: bool) -> None:
    shown = shown_of(width=1300, height=700, overviews=overviews)
    pyramids = Pyramids(Workspace.__new__(Workspace))
    native = whole(shown, pyramids, max_zoom(shown.record))
    assert native.shape == (700, 1300, 4)
    assert (native[..., 3] == 255).all()
    half = whole(shown, pyramids, max_zoom(shown.record) - 1)
    assert half.shape == (350, 650, 4)
    averaged = native.reshape(350, 2, 650, 2, 4).mean(axis=(1, 3))
    assert np.abs(half.astype(float) - averaged).max() <= 2.0
    for z, x, y in ((-1, 0, 0), (max_zoom(shown.record) + 1, 0, 0), (0, 1, 0), (1, 0, -1)):
        with pytest.raises(UnknownNameError):
            scene_tile(shown, pyramids, z, x, y)


def test_missing_pixels_are_transparent(shown_of: Any) -> None:
    shown = shown_of(width=600, height=600, hole=True)
    pyramids = Pyramids(Workspace.__new__(Workspace))
    tile = scene_tile(shown, pyramids, 0, 0, 0)
    assert tile[10, 10, 3] == 0
    assert tile[-10, -10, 3] == 255
    assert tile[37, 20, :3].min() > 20, "a pixel at the edge of the hole must not be darkened by it"


def test_a_pyramid_of_our_own_equals_native_averages(shown_of: Any, tmp_path: Path) -> None:
    import rasterio

    shown = shown_of(width=5000, height=2500)
    made = write_pyramid(tmp_path / "made.tif", shown.scene, shown)
    with rasterio.open(made) as file:
        assert (file.width, file.height, file.count) == (625, 313, 4)
        got = np.moveaxis(file.read(), 0, -1)
    want = reduced(shown, Pyramids(Workspace.__new__(Workspace)), Window(0, 0, 5000, 2500), 8)
    assert np.abs(got[:312].astype(int) - want[:312].astype(int)).max() <= 1


def test_a_scene_without_overviews_gets_them(searchable: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every zoom of a scene of the workspace can be shown, whatever its file holds."""
    monkeypatch.setattr("ovd_platform.serve.overviews.NATIVE_PX", 0)
    scenes, pyramids = OpenScenes(searchable), Pyramids(searchable)
    with scenes.borrow("scene_0") as shown:
        assert reduced(shown, pyramids, Window(0, 0, 384, 384), 16).shape == (24, 24, 4)
        near, far = reduced(shown, pyramids, Window(0, 0, 384, 384), 8), reduced(shown, pyramids, Window(0, 0, 384, 384), 16)
    assert np.abs(near.reshape(24, 2, 24, 2, 4).mean(axis=(1, 3)) - far).max() < 8
    assert list((searchable.home.root / "cache" / "overviews" / "optical").glob("scene_0-*.tif"))
    scenes.close()
    pyramids.close()


def test_a_crop_holds_its_box_in_the_middle(shown_of: Any) -> None:
    shown = shown_of(width=600, height=600)
    pyramids = Pyramids(Workspace.__new__(Workspace))
    plain = crop_picture(shown, pyramids, (100, 200, 140, 240), 120, outline=False)
    native = whole(shown, pyramids, max_zoom(shown.record))
    assert np.array_equal(plain[:, :, 0], native[160:280, 60:180, 0])
    outside = crop_picture(shown, pyramids, (-30, -30, 10, 10), 120, outline=False)
    assert outside[0, 0, 3] == 0
    assert outside[-1, -1, 3] == 255
    assert crop_picture(shown, pyramids, (0, 0, 600, 600), 64).shape == (64, 64, 4)
    for bad in ((5, 5, 5, 9), (700, 0, 720, 9), (0, 0, math.nan, 9)):
        with pytest.raises(InputError):
            crop_picture(shown, pyramids, bad, 64)


def test_the_map_shows_a_pixel_at_its_place(searchable: Workspace) -> None:
    scenes, pyramids = OpenScenes(searchable), Pyramids(searchable)
    entry = scenes.entry("scene_1")
    at = (150.5, 220.5)
    lon, lat = pixel_to_lonlat(entry.record, [at])[0]
    z = 20
    u = (lon + 180) / 360 * 2**z
    v = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**z
    tile = map_tile(scenes, pyramids, scenes.entries("optical"), z, int(u), int(v))
    assert tile is not None
    with scenes.borrow("scene_1") as shown:
        native = reduced(shown, pyramids, Window(150, 220, 1, 1), 1)[0, 0]
        around = reduced(shown, pyramids, Window(149, 219, 3, 3), 1)[..., 0].astype(int)
    got = tile[int((v - int(v)) * TILE_PX), int((u - int(u)) * TILE_PX)]
    assert got[3] == 255
    assert around.min() - 1 <= got[0] <= around.max() + 1
    assert abs(int(got[0]) - int(native[0])) <= max(12, int(np.ptp(around)) // 2)
    assert map_tile(scenes, pyramids, scenes.entries("optical"), z, 5, 5) is None
    scenes.close()
    pyramids.close()


def test_boxes_meet_over_the_antimeridian(searchable: Workspace) -> None:
    assert meets((170, -10, -170, 10), (-175, 0, -172, 5))
    assert meets((175, 0, 178, 5), (170, -10, -170, 10))
    assert not meets((170, -10, -170, 10), (0, -10, 10, 10))
    west, south, east, north = tile_bounds(1, 0, 0)
    assert (west, east) == (-180.0, 0.0)
    assert south == pytest.approx(0.0, abs=1e-9)
    assert north == pytest.approx(85.0511, abs=1e-3)
    assert scene_bounds(OpenScenes(searchable).entry("scene_0").record) is not None
