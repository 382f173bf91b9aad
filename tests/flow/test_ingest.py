"""Ingest: named refusals that are not read again, STAC entries, tiled copies; failures of stages show in the status."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from ovd_platform.errors import DamagedRasterError, InputError
from ovd_platform.flow import ingest as module
from ovd_platform.flow.ingest import ingest, refused_files
from ovd_platform.flow.scenes import TILES, load_tiles, open_registered
from ovd_platform.flow.setup import make_workspace
from ovd_platform.flow.status import workspace_status
from ovd_platform.records.window import Window


def write(path: Path, side: int = 1200) -> Path:
    values = np.random.default_rng(0).integers(0, 4096, (1, side, side)).astype(np.uint16)
    with rasterio.open(path, "w", driver="GTiff", count=1, width=side, height=side, dtype="uint16", compress="zstd") as out:
        out.write(values)
    return path


def test_bad_files_are_refused_once_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imagery = tmp_path / "imagery"
    imagery.mkdir()
    good, cut = write(imagery / "good.tif"), write(imagery / "cut.tif")
    broken = bytearray(cut.read_bytes())
    broken[40_000:60_000] = bytes(20_000)
    cut.write_bytes(bytes(broken))
    (imagery / "words.tif").write_text("words")
    ws = make_workspace(tmp_path / "home", imagery=[str(imagery)], guard={"tiled_copies": True})
    report = ingest(ws)
    assert refused_files(ws)[str(imagery / "words.tif")].startswith("NotARasterError: Cannot open")
    assert ("optical", "good") in report.new
    entry = ws.scene_entry("optical", "good")
    assert entry["record"]["uri"] == str(good)
    reads: list[str] = []
    monkeypatch.setattr(module, "_read", lambda ws, uri, *rest: reads.append(uri))
    assert ingest(ws).refused == report.refused
    assert reads == [], "unchanged files, refused ones too, are not read again"
    monkeypatch.undo()
    output = TILES.materialize(ws, "optical", "good")
    assert (output.metadata["bits"], output.metadata["bits_from"]) == (12, "histogram")
    with open_registered(ws, "optical", "good") as scene:
        assert scene.read(Window(0, 0, 9, 9)).pixels_chw.shape == (1, 9, 9)
    if "cut" in {record.scene_id for record in ws.scenes("optical")}:
        with pytest.raises(DamagedRasterError):
            TILES.materialize(ws, "optical", "cut")
        failed = workspace_status(ws)["modalities"]["optical"]["assets"]["tiles"]["failed"]
        assert failed["cut"].startswith("DamagedRasterError: Cannot decode")
    else:
        assert refused_files(ws)[str(cut)].startswith("DamagedRasterError")


def test_a_single_block_scene_gets_one_tiled_copy_that_is_read(tmp_path: Path) -> None:
    imagery = tmp_path / "imagery"
    imagery.mkdir()
    values = np.random.default_rng(1).integers(0, 4096, (1, 1000, 1100)).astype(np.uint16)
    with rasterio.open(
        imagery / "slow.tif", "w", driver="GTiff", count=1, width=1100, height=1000, dtype="uint16", tiled=True, blockxsize=1104,
        blockysize=1008, nodata=0,
    ) as out:  # fmt: skip
        out.write(values)
    ws = make_workspace(tmp_path / "home", imagery=[str(imagery)])
    ingest(ws)
    assert ws.scene_entry("optical", "slow")["tiled_copy"] is None, "only on request"
    ws = make_workspace(tmp_path / "asked", imagery=[str(imagery)], guard={"tiled_copies": True})
    ingest(ws)
    entry = ws.scene_entry("optical", "slow")
    with rasterio.open(entry["tiled_copy"]) as made:
        assert made.block_shapes == [(512, 512)]
    assert entry["record"]["uri"] == str(imagery / "slow.tif")
    Path(entry["record"]["uri"]).rename(imagery / "hidden.bak")
    with open_registered(ws, "optical", "slow") as scene:  # The original is not there: it is the copy that is read.
        chip = scene.read(Window(300, 400, 50, 60))
        assert np.array_equal(chip.pixels_chw, values[:, 400:460, 300:350])
        assert np.array_equal(chip.valid_hw, values[0, 400:460, 300:350] != 0)


def test_halos_in_metres_follow_the_pixels_of_a_scene(tmp_path: Path) -> None:
    imagery = tmp_path / "imagery"
    imagery.mkdir()
    for name, step in (("fine", 0.5), ("coarse", 5.0)):
        with rasterio.open(
            imagery / f"{name}.tif", "w", driver="GTiff", count=1, width=90, height=70, dtype="uint8", crs="EPSG:32631",
            transform=rasterio.Affine(step, 0, 593000, 0, -step, 5749000),
        ) as out:  # fmt: skip
            out.write(np.random.default_rng(2).integers(0, 255, (1, 70, 90)).astype(np.uint8))
    ws = make_workspace(tmp_path / "home", imagery=[str(imagery)], tiles={"halo_m": 20.0, "largest_object_m": 60.0})
    ingest(ws)
    halos = {}
    for scene_id in ("fine", "coarse"):
        TILES.materialize(ws, "optical", scene_id)
        halos[scene_id] = {tile.halo_px for tile in load_tiles(ws, "optical", scene_id)}
    assert halos == {"fine": {60}, "coarse": {6}}, "half of the largest object, in pixels of each scene"
    ws = make_workspace(tmp_path / "wide", imagery=[str(imagery)], tiles={"halo_m": 400.0})
    ingest(ws)
    with pytest.raises(InputError, match=r"tiles\.core_px"):
        TILES.materialize(ws, "optical", "fine")
