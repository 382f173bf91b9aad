"""Scenes in other values than the stored ones: encoded, calibrated; curves stay monotone."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.errors import DataError, InputError
from ovd_platform.raster.presented import PresentedScene, RadiometrySettings, present
from ovd_platform.raster.radiometry import InstrumentProfile, normalise, uses_log
from ovd_platform.raster.sar import encode_slc
from ovd_platform.raster.scene import open_scene
from ovd_platform.raster.sweep import sweep
from ovd_platform.records.window import Window
from ovd_platform.tiles.scan_files import load_profile, scan_to_folder

VECTOR = "<calibrationVector><line>{}</line><pixel>0 40 80</pixel><sigmaNought>{}</sigmaNought></calibrationVector>"


@pytest.mark.parametrize("encoding", ["re_im", "log_polar"])
def test_an_encoded_scene_reads_the_same_by_windows_and_in_a_sweep(make_tif: Callable[..., Path], encoding: str) -> None:
    rng = np.random.default_rng(0)
    slc = (rng.normal(size=(2, 90, 110)) + 1j * rng.normal(size=(2, 90, 110))).astype(np.complex64)
    slc[:, 20:30, 5:9] = np.nan
    path = make_tif(slc, ovd_tags={"modality": "sar", "bands": json.dumps([{"name": "VV"}, {"name": "VH"}])})
    with present(open_scene(str(path)), RadiometrySettings(slc=encoding)) as scene:  # type: ignore[arg-type]
        record = scene.record
        assert (record.dtype, record.bits_effective) == ("float32", None)
        assert not uses_log(record)
        assert len(record.bands) == (4 if encoding == "re_im" else 6)
        whole = scene.read(Window(0, 0, 110, 90))
        held = whole.valid_hw
        assert not held[20:30, 5:9].any()
        assert held.sum() == 90 * 110 - 40
        assert np.array_equal(whole.pixels_chw[:, held], encode_slc(slc, encoding)[:, held])  # type: ignore[arg-type]
        assert np.array_equal(scene.read(Window(0, 0, 110, 90), (1, 0)).pixels_chw[:, held], whole.pixels_chw[[1, 0]][:, held])
        windows = [Window(x, y, 40, 40) for y, x in itertools.product(range(-5, 90, 30), range(-5, 110, 30))]
        for index, chip in sweep(scene, windows):
            alone = scene.read(windows[index])
            assert np.array_equal(chip.valid_hw, alone.valid_hw)
            assert np.array_equal(chip.pixels_chw[:, chip.valid_hw], alone.pixels_chw[:, alone.valid_hw])


def safe_product(folder: Path, calibrated: bool = True) -> Path:
    """A small Sentinel-1 SAFE product: one measurement and its calibration."""
    (folder / "measurement").mkdir(parents=True)
    (folder / "annotation" / "calibration").mkdir(parents=True)
    path = folder / "measurement" / "s1a-iw-grd-vv.tiff"
    values = np.random.default_rng(0).integers(1, 900, (1, 70, 81)).astype(np.uint16)
    with rasterio.open(path, "w", driver="GTiff", count=1, width=81, height=70, dtype="uint16") as out:
        out.write(values)
    path.with_name("s1a-iw-grd-vv.ovd.json").write_text(json.dumps({"modality": "sar", "bands": [{"name": "VV"}]}))
    if calibrated:
        body = f"<calibration>{VECTOR.format(0, '100 200 300')}{VECTOR.format(100, '300 400 500')}</calibration>"
        (folder / "annotation" / "calibration" / "calibration-s1a-iw-grd-vv.xml").write_text(body)
    return path


def test_sigma_nought_is_read_where_the_product_states_it(tmp_path: Path) -> None:
    path = safe_product(tmp_path / "S1A.SAFE")
    with open_scene(str(path)) as source:
        stored = source.read(Window(0, 0, 81, 70)).pixels_chw[0].astype(float)
    with present(open_scene(str(path)), RadiometrySettings(sigma0=True)) as scene:
        assert [(band.name, band.unit) for band in scene.record.bands] == [("VV", "dB")]
        chip = scene.read(Window(20, 50, 10, 10))
    assert chip.pixels_chw[0, 0, 0] == pytest.approx(20 * np.log10(stored[50, 20] / 250.0), abs=1e-3)
    without = safe_product(tmp_path / "S1B.SAFE", calibrated=False)
    plain = present(open_scene(str(without)), RadiometrySettings(sigma0=True))
    assert not isinstance(plain, PresentedScene)
    assert uses_log(plain.record)
    copied = present(open_scene(str(without)), RadiometrySettings(sigma0=True), origin=str(path))
    assert isinstance(copied, PresentedScene), "calibration lies beside the original, not beside its copy"
    (path.parent.parent / "annotation" / "calibration" / "calibration-s1a-iw-grd-vv.xml").write_text("<calibration/>")
    with pytest.raises(DataError, match="sigmaNought"):
        present(open_scene(str(path)), RadiometrySettings(sigma0=True))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["linear", "log1p", "gamma"]), st.floats(0.2, 3.0), st.sampled_from([0.0, 0.02, 0.2]), st.booleans())
def test_every_curve_is_monotone_and_keeps_its_ends(curve: str, gamma: float, clip: float, log: bool) -> None:
    profile = InstrumentProfile("i", (0.0 if not log else 0.5,), (2000.0 if not log else 66.0,), log, "", curve, gamma, clip)  # type: ignore[arg-type]
    ramp_chw = np.arange(1, 4096, dtype=np.uint16)[None, None]
    valid_hw = np.ones(ramp_chw.shape[1:], bool)
    valid_hw[0, 7] = False
    out = normalise(ramp_chw, valid_hw, profile)[0, 0]
    steps = np.diff(np.delete(out, 7))
    assert steps.min() >= -1e-6
    assert out[7] == 0.0
    assert out.max() <= max(1.25, 1.25**gamma) + 1e-4
    if not clip and not log:
        assert out[1999] == pytest.approx(1.0, abs=1e-4), "the upper percentile maps to 1 on every curve"
    if clip:
        assert (out == out.max()).sum() >= clip * len(out) * 0.9
    assert InstrumentProfile.from_dict(profile.to_dict()) == profile


def test_profiles_refuse_what_they_cannot_do() -> None:
    with pytest.raises(InputError, match="curve"):
        InstrumentProfile("i", (0.0,), (1.0,), curve="root")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="tile_clip"):
        InstrumentProfile("i", (0.0,), (1.0,), tile_clip=0.5)


def test_a_scan_keeps_the_settings_in_its_profile(tmp_path: Path) -> None:
    path = safe_product(tmp_path / "S1A.SAFE")
    values = {"core_px": 64, "radiometry": RadiometrySettings(curve="gamma", gamma=0.7, sigma0=True).to_dict()}
    facts = scan_to_folder(str(path), "s", "v", str(tmp_path), values)
    assert facts["values"] == "dB"
    profile = load_profile(tmp_path)
    assert (profile.curve, profile.gamma, profile.log) == ("gamma", 0.7, False)
    assert profile.low_c[0] < profile.high_c[0] < 40
    assert "radiometry" in values
