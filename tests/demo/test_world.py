"""The world on disk: files, tags, labels. A one-scene world keeps it fast; the preset's plan is checked without rendering."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from pyproj import Transformer

from ovd_platform.demo import world
from ovd_platform.demo.scene import SceneRecipe
from ovd_platform.errors import InputError


@pytest.fixture
def small_world(tmp_path, monkeypatch):
    entries = [
        replace(entry, recipe=SceneRecipe(7, 7, entry.recipe.instrument, 320, 0.8, "country", 2, 1))
        for entry in (world._entries(7, "tiny")[0], world._entries(7, "tiny")[9], world._entries(7, "tiny")[-1])
    ]
    entries = [replace(entry, labelled=True) for entry in entries]
    monkeypatch.setattr(world, "_entries", lambda seed, preset: entries)
    monkeypatch.setitem(world._SIZES, "tiny", (256, 256, 1))
    calls = []
    manifest = world.build_world(tmp_path, seed=7, preset="tiny", progress=lambda *call: calls.append(call))
    assert calls[-1][0] == calls[-1][1]
    return tmp_path, manifest


def test_every_raster_says_it_is_rendered(small_world):
    root, manifest = small_world
    for name in (*manifest.optical, *manifest.sar):
        sidecar = json.loads((root / name).with_suffix(".ovd.json").read_text())
        assert sidecar["rendered"] is True
        with rasterio.open(root / name) as file:
            assert file.tags(ns="OVD")["rendered"] == "true"
            assert file.profile["tiled"]
            assert file.crs.is_projected
            pixels = file.read()
        if sidecar["bits_effective"] == 12:
            assert pixels.max() <= 4095
    with rasterio.open(root / manifest.optical[1]) as file:  # the scene with a collar
        assert (file.read(1) == 0).mean() > 0.01


def test_labels_lie_where_the_pixels_are_and_name_no_dome(small_world):
    root, manifest = small_world
    assert manifest.labels
    for name in manifest.labels:
        text = (root / name).read_text()
        assert "dome" not in text
        features = json.loads(text)["features"]
        assert features
        stem = name.split("/")[1].removesuffix(".geojson")
        raster = next(path for path in (*manifest.optical, *manifest.sar) if stem in path)
        with rasterio.open(root / raster) as file:
            to_map = Transformer.from_crs("OGC:CRS84", file.crs, always_xy=True)
            for feature in features:
                ring = np.array(feature["geometry"]["coordinates"][0])
                x, y = to_map.transform(ring[:, 0], ring[:, 1])
                col, row = ~file.transform * (x, y)
                corners = np.array(feature["properties"]["corners_px"])
                assert np.allclose(np.sort(col[:-1]), np.sort(corners[:, 0]), atol=0.05)
                assert np.allclose(np.sort(row[:-1]), np.sort(corners[:, 1]), atol=0.05)
    truth = json.loads((root / "truth" / f"{manifest.optical[0].split('/')[-1][:-4]}.json").read_text())
    domes = [item for item in truth["objects"] if item["class_name"] == "dome building"]
    assert not any(item["labelled"] for item in domes)


def test_the_tiny_preset_has_what_the_demo_needs():
    entries = world._entries(3, "tiny")
    optical = [entry for entry in entries if entry.folder == "optical"]
    assert len(optical) == 12
    assert len([entry for entry in entries if entry.folder == "sar"]) == 4
    assert len([entry for entry in optical if entry.recipe.domes >= 4]) >= 8
    assert 7 <= len([entry for entry in optical if entry.labelled]) <= 9
    instruments = [entry.recipe.instrument for entry in optical]
    assert instruments.count("pan-1x12") >= 7
    assert {"ms-4x12", "ms-8x12", "rgb-3x8"} <= set(instruments)
    assert len({entry.scene_id for entry in entries}) == len(entries)
    frames = {entry.block: world._frame(entry, 0.8) for entry in entries}
    for one, first in frames.items():
        for other, second in frames.items():
            if one < other and first.epsg == second.epsg:
                assert np.hypot(first.west_m - second.west_m, first.north_m - second.north_m) > 6000


def test_unknown_preset_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="tiny or small"):
        world.build_world(tmp_path, seed=1, preset="huge")  # type: ignore[arg-type]
