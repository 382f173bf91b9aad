"""Radiometry settings in the flow: they reach the pixels every stage reads, and models of other settings are refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from ovd_platform.config import RadiometryConfig
from ovd_platform.errors import StaleError
from ovd_platform.flow.ingest import ingest
from ovd_platform.flow.radiometry import check_trained_with, settings_of_models
from ovd_platform.flow.scenes import TILES, instrument_profiles, load_profile, open_registered
from ovd_platform.flow.setup import make_workspace
from ovd_platform.flow.workspace import Workspace
from ovd_platform.raster.radiometry import normalise
from ovd_platform.records.window import Window


def test_complex_scenes_are_encoded_for_models_and_stored_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "imagery").mkdir()
    rng = np.random.default_rng(0)
    slc = (rng.normal(0, 50, (1, 200, 200)) + 1j * rng.normal(0, 50, (1, 200, 200))).astype(np.complex64)
    path = tmp_path / "imagery" / "slc.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, width=200, height=200, dtype="complex64") as out:
        out.write(slc)
    path.with_name("slc.ovd.json").write_text(json.dumps({"modality": "sar", "instrument": "x-band"}))
    settings = {"sar": {"slc": "log_polar"}, "x-band": {"slc": "re_im", "curve": "log1p"}}
    ws = make_workspace(tmp_path / "home", imagery=[str(tmp_path / "imagery")], radiometry=settings)
    ingest(ws)
    plain = TILES.materialize(ws, "sar", "slc")
    profile = load_profile(ws, "sar", "slc")
    assert (len(profile.low_c), profile.curve, profile.log) == (2, "log1p", False)
    with open_registered(ws, "sar", "slc") as scene, open_registered(ws, "sar", "slc", as_stored=True) as stored:
        chip = scene.read(Window(0, 0, 50, 50))
        assert np.array_equal(chip.pixels_chw[0] + 1j * chip.pixels_chw[1], slc[0, :50, :50])
        assert normalise(chip.pixels_chw, chip.valid_hw, profile).shape == (2, 50, 50)
        assert stored.record.dtype == "complex64"
    assert list(instrument_profiles(ws, "sar", ["slc"])) == ["x-band"]
    card = {"radiometry": settings_of_models(ws, "sar")}
    check_trained_with(ws, "sar", "x-band", card, "this encoder")
    changed = ws.config.model_copy(update={"radiometry": {"x-band": RadiometryConfig(slc="re_im")}})
    changed.save(ws.home.root)
    again = Workspace.open(ws.home.root)
    assert not TILES.is_current(again, "sar", "slc"), "tiles and their profile follow the settings"
    assert TILES.materialize(again, "sar", "slc").version != plain.version
    with pytest.raises(StaleError, match="curve log1p -> linear"):
        check_trained_with(again, "sar", "x-band", card, "this encoder")
    with pytest.raises(StaleError, match="slc magnitude -> re_im"):
        check_trained_with(again, "sar", "x-band", {}, "this encoder")
