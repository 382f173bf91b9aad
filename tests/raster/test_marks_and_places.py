"""Mask bands, colour tables, scale and offset; RPC in side files, with a constant height and with an elevation model."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from ovd_platform.errors import UnreadableRasterError
from ovd_platform.geometry.place import lonlat_to_pixel, pixel_to_lonlat
from ovd_platform.raster.scene import open_scene, read_scene_record
from ovd_platform.records.window import Window
from ovd_platform.stores.catalogue import stac_item

MakeTif = Callable[..., Path]
PIXELS = np.random.default_rng(5).integers(1, 250, (1, 60, 80)).astype(np.uint8)
OFFSETS = {"LINE_OFF": 30, "SAMP_OFF": 40, "LAT_OFF": 45.0, "LONG_OFF": 10.0, "HEIGHT_OFF": 200.0}
SCALES = {"LINE_SCALE": 30, "SAMP_SCALE": 40, "LAT_SCALE": 3e-4, "LONG_SCALE": 4e-4, "HEIGHT_SCALE": 500.0}


def coefficients() -> dict[str, list[float]]:
    """A sensor looking sideways: height moves samples."""
    line, samp, one = [0.0] * 20, [0.0] * 20, [1.0] + [0.0] * 19
    line[2], samp[1], samp[3] = -1.0, 1.0, 0.4
    return {"LINE_NUM_COEFF": line, "LINE_DEN_COEFF": one, "SAMP_NUM_COEFF": samp, "SAMP_DEN_COEFF": one}


def rpc_text() -> str:
    """The model as `_rpc.txt`."""
    lines = [f"{key}: {value}" for key, value in {**OFFSETS, **SCALES}.items()]
    lines += [f"{key}_{index + 1}: {value}" for key, values in coefficients().items() for index, value in enumerate(values)]
    return "\n".join(lines) + "\n"


def rpb_text() -> str:
    """The same model as `.RPB`."""
    names = {"LAT": "lat", "LONG": "long", "LINE": "line", "SAMP": "samp", "HEIGHT": "height"}
    lines = [
        f"\t{names[key.rsplit('_', 1)[0]]}{'Offset' if key.endswith('OFF') else 'Scale'} = {value};"
        for key, value in {**OFFSETS, **SCALES}.items()
    ]
    for key, values in coefficients().items():
        side, part = key.split("_")[:2]
        name = f"{side.lower()}{part.capitalize()}Coef"
        lines.append(f"\t{name} = (\n\t\t\t" + ",\n\t\t\t".join(map(str, values)) + ");")
    return 'satId = "X";\nBEGIN_GROUP = IMAGE\n' + "\n".join(lines) + "\nEND_GROUP = IMAGE\nEND;\n"


def test_a_mask_band_marks_what_is_missing(make_tif: MakeTif) -> None:
    path = make_tif(PIXELS)
    mask_hw = np.full(PIXELS.shape[1:], 255, np.uint8)
    mask_hw[10:20, 30:50] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as out:
        out.write_mask(mask_hw)
    with open_scene(str(path)) as scene:
        chip = scene.read(Window(0, 0, 80, 60))
        assert np.array_equal(chip.valid_hw, mask_hw > 0)
        assert np.array_equal(chip.pixels_chw, PIXELS), "masked values stay what they are"


def test_a_colour_table_gives_colours_and_transparent_ones_are_missing(make_tif: MakeTif) -> None:
    path = make_tif(PIXELS % 3)
    with rasterio.open(path, "r+") as out:
        out.write_colormap(1, {0: (255, 0, 10, 255), 1: (0, 200, 20, 255), 2: (9, 9, 9, 255)})
    with open_scene(str(path)) as scene:
        assert ([band.name for band in scene.record.bands], scene.record.bits_effective) == (["red", "green", "blue"], 8)
        chip = scene.read(Window(5, 6, 20, 10))
        index_hw = PIXELS[0, 6:16, 5:25] % 3
        assert np.array_equal(chip.pixels_chw[0], np.array([255, 0, 9])[index_hw])
        assert np.array_equal(chip.pixels_chw[2], np.array([10, 20, 9])[index_hw])
        assert chip.valid_hw.all()


def test_scale_and_offset_are_told_and_not_applied(make_tif: MakeTif) -> None:
    path = make_tif(PIXELS)
    with rasterio.open(path, "r+") as out:
        out.scales, out.offsets = (0.01,), (-3.5,)
    with open_scene(str(path)) as scene:
        assert (scene.record.bands[0].scale, scene.record.bands[0].offset) == (0.01, -3.5)
        assert np.array_equal(scene.read(Window(0, 0, 80, 60)).pixels_chw, PIXELS)
        entry = {"record": scene.record.to_dict(), "source_uri": scene.record.uri, "archive": None, "registered_utc": "2024"}
    band = stac_item(entry)["assets"]["pixels"]["raster:bands"][0]
    assert (band["scale"], band["offset"]) == (0.01, -3.5)


@pytest.mark.parametrize(("suffix", "text"), [("_rpc.txt", rpc_text), ("_RPC.TXT", rpc_text), (".RPB", rpb_text)])
def test_rpc_in_a_side_file_places_a_scene(make_tif: MakeTif, suffix: str, text: Callable[[], str]) -> None:
    path = make_tif(PIXELS, crs=None, transform=None)
    before = read_scene_record(str(path))
    assert before.georeference == "none"
    path.with_name(f"scene{suffix}").write_text(text())
    record = read_scene_record(str(path))
    assert (record.georeference, record.version != before.version) == ("rpc", True)
    points = np.array([[40.0, 30.0], [3.0, 55.0]])
    lonlat = pixel_to_lonlat(record, points)
    assert lonlat[0] == pytest.approx([10.0, 45.0], abs=2e-5)
    assert np.abs(lonlat_to_pixel(record, lonlat) - points).max() < 0.01


def test_heights_of_the_user_move_an_rpc_scene(make_tif: MakeTif, tmp_path: Path) -> None:
    path = make_tif(PIXELS, crs=None, transform=None)
    path.with_name("scene_rpc.txt").write_text(rpc_text())
    dem = {"driver": "GTiff", "count": 1, "width": 50, "height": 50, "dtype": "float32", "crs": "EPSG:4326"}
    for name, west in (("dem.tif", 9.99), ("elsewhere.tif", 50.0)):
        with rasterio.open(tmp_path / name, "w", transform=Affine(4e-4, 0, west, 0, -4e-4, 45.01), **dem, nodata=-1) as out:
            out.write(np.full((1, 50, 50), 700.0, np.float32))
    plain = read_scene_record(str(path))

    def with_facts(**facts: object) -> object:
        path.with_name("scene.ovd.json").write_text(json.dumps(facts))
        return read_scene_record(str(path))

    by_height, by_model = with_facts(height_m=700), with_facts(dem="dem.tif")
    middle = [[40.0, 30.0]]
    # An RPC counts from the middle of the first pixel: half a pixel of 1e-5 degrees.
    assert pixel_to_lonlat(by_height, middle)[0, 0] == pytest.approx(10.0 - 0.4 * 4e-4 - 0.5e-5, abs=1e-8)
    assert pixel_to_lonlat(by_model, middle) == pytest.approx(pixel_to_lonlat(by_height, middle), abs=1e-7)
    assert by_model.position_error_m < plain.position_error_m / 5, "known heights leave less to be wrong about"
    with pytest.raises(UnreadableRasterError, match="cover the scene"):
        with_facts(dem="elsewhere.tif")
