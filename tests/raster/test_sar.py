"""Complex encodings keep everything; calibration equals its formula; slow layouts are rewritten without loss."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ovd_platform.errors import DataError, ShapeError
from ovd_platform.raster.rewrite import is_slow_by_windows, layout_of, rewrite_tiled
from ovd_platform.raster.sar import SigmaNought, encode_slc
from ovd_platform.raster.scene import open_scene, read_scene_record
from ovd_platform.records.window import Window

VECTOR = "<calibrationVector><line>{}</line><pixel>0 40 80</pixel><sigmaNought>{}</sigmaNought></calibrationVector>"


def test_slc_encodings() -> None:
    rng = np.random.default_rng(0)
    slc = (rng.normal(size=(2, 5, 6)) + 1j * rng.normal(size=(2, 5, 6))).astype(np.complex64)
    slc[0, 0, 0] = 0
    parts = encode_slc(slc, "re_im")
    assert np.array_equal(parts[0::2] + 1j * parts[1::2], slc)
    polar = encode_slc(slc, "log_polar").reshape(2, 3, 5, 6)
    back = 10 ** (polar[:, 0] / 20) * (polar[:, 1] + 1j * polar[:, 2])
    assert np.abs(back - slc).max() < 1e-4
    assert np.abs(np.hypot(polar[:, 1], polar[:, 2]) - (np.abs(slc) > 0)).max() < 1e-6
    with pytest.raises(ShapeError, match="complex"):
        encode_slc(slc.real, "re_im")


def test_sigma_nought_is_interpolated_between_vectors(tmp_path: Path) -> None:
    path = tmp_path / "calibration.xml"
    path.write_text(f"<calibration>{VECTOR.format(0, '100 200 300')}{VECTOR.format(100, '300 400 500')}</calibration>")
    table = SigmaNought.read(path)
    values = np.full((2, 3), 50.0)
    # Row 50, column 20: halfway down between 150 and 350.
    found = table.decibels(values, Window(20, 50, 3, 2))
    assert found[0, 0] == pytest.approx(10 * np.log10(50.0**2 / 250.0**2), abs=1e-4)
    assert found[0, 2] < found[0, 0]
    path.write_text("<calibration/>")
    with pytest.raises(DataError, match="sigmaNought"):
        SigmaNought.read(path)


def test_striped_scenes_are_rewritten_without_loss(make_tif: Callable[..., Path], tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 4096, (1, 1100, 1300)).astype(np.uint16)
    path = make_tif(pixels, nodata=7)
    record = read_scene_record(str(path))
    assert layout_of(record) == "striped"
    assert layout_of(replace(record, block_px=(1300, 1100))) == "single_block"
    assert is_slow_by_windows(replace(record, block_px=(1300, 1100)))
    copy = rewrite_tiled(str(path), str(tmp_path / "copies" / "scene.tif"))
    with open_scene(copy) as made, open_scene(str(path)) as source:
        assert layout_of(made.record) == "tiled"
        assert (made.record.crs, made.record.transform, made.record.nodata) == (record.crs, record.transform, 7)
        window = Window(0, 0, 1300, 1100)
        assert np.array_equal(made.read(window).pixels_chw, pixels)
        assert np.array_equal(made.read(window).valid_hw, source.read(window).valid_hw)
    assert [item.name for item in (tmp_path / "copies").iterdir()] == ["scene.tif"]
