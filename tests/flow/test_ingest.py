"""Ingest: named refusals that are not read again, STAC entries, tiled copies; failures of stages show in the status."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from ovd_platform.errors import DamagedRasterError
from ovd_platform.flow import ingest as module
from ovd_platform.flow.ingest import ingest, refused_files
from ovd_platform.flow.scenes import TILES, open_registered
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
