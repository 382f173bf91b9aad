"""Real files: each reads right, or fails with a clear error."""

import csv
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ovd_platform.errors import OvdError
from ovd_platform.geometry.affine import crs_to_pixel
from ovd_platform.geometry.footprint import area_km2, lonlat_to_pixel, pixel_to_lonlat, split_antimeridian
from ovd_platform.raster.scene import open_scene, read_scene_record
from ovd_platform.records.window import Window

HOSTILE = ("crash-", "oom-", "seek_too_large", "corrupt", "not_enough_data")


def test_airbus_jpeg_has_no_place(shared_data: Path) -> None:
    path = sorted((shared_data / "airbus_aircraft" / "images").glob("*.jpg"))[0]
    with open_scene(str(path)) as scene:
        record = scene.record
        assert (record.width_px, record.height_px, record.instrument) == (2560, 2560, "opt-3x8")
        assert (record.georeference, record.footprint_lonlat, record.gsd_m) == ("none", (), None)
        assert scene.read(Window(1000, 1000, 64, 64)).pixels_chw.std() > 0


def test_urban_trees_pixels_meet_the_ground(shared_data: Path) -> None:
    """Tree points are known in UTM and in whole pixels (floored): they must agree within the pixel."""
    checked = 0
    for path in sorted((shared_data / "urban_trees" / "images").glob("*.tif"))[:12]:
        record = read_scene_record(str(path), mode="sampled")
        assert record.transform is not None
        features = json.loads((shared_data / "urban_trees" / "json" / f"{path.stem}.json").read_text())["features"]
        with (shared_data / "urban_trees" / "csv" / f"{path.stem}.csv").open() as stream:
            floored = np.array([[int(row["x"]), int(row["y"])] for row in csv.DictReader(stream)])
        pixels = crs_to_pixel(record.transform, [feature["geometry"]["coordinates"][:2] for feature in features])
        assert len(pixels) == len(floored)
        assert np.abs(pixels - (floored + 0.5)).max() < 1.0
        assert np.abs(lonlat_to_pixel(record, pixel_to_lonlat(record, pixels)) - pixels).max() < 0.01
        checked += len(pixels)
    assert checked > 50


def test_sentinel_2_bands_stack(shared_data: Path) -> None:
    uri = "|".join(str(path) for path in sorted((shared_data / "sen2ships" / "casablanca").glob("*.tiff")))
    with open_scene(uri) as scene:
        assert scene.record.scene_id == "casablanca"
        assert [band.name for band in scene.record.bands] == ["B02", "B03", "B04", "B08", "B11"]
        assert scene.record.gsd_m == pytest.approx(8.3, abs=0.1), "10 m of Mercator are 8.3 m on the ground at 33.6 degrees"
        assert scene.read(Window(0, 0, 64, 64)).pixels_chw.shape == (5, 64, 64)


def test_slc_chips_and_hrsid_with_a_side_file(shared_data: Path, tmp_path: Path) -> None:
    chip = sorted((shared_data / "sar_slc_opensarship" / "Cargo").glob("*.npy"))[0]
    assert read_scene_record(str(chip)).modality == "sar"
    link = tmp_path / "hrsid.png"
    link.symlink_to(shared_data / "hrsid" / "P0094_0_800_3000_3800.png")
    (tmp_path / "hrsid.ovd.json").write_text(json.dumps({"modality": "sar", "gsd_m": 1.0}))
    record = read_scene_record(str(link))
    assert (record.modality, record.instrument, record.gsd_m) == ("sar", "sar-3x8", 1.0)


@pytest.mark.parametrize(
    ("name", "kind", "gsd"),
    [
        ("sar_quadpol/sar_hh.tif", "affine", 2.5),
        ("sar_quadpol/s1_slc_cint16_gcps.tif", "gcp", None),
        ("rasters/riotiler_tests/cog_gcps.tif", "gcp", 201.8),
        ("rasters/s2p/img_01.tif", "rpc", 0.5),
        ("rasters/shareloc/PHR1B_P_201709281038393_SEN_PRG_FC_178609-001.tif", "rpc", 0.52),
        ("rasters/shareloc/wv3_20.NTF", "rpc", 0.33),
    ],
)
def test_every_kind_of_georeference(shared_data: Path, name: str, kind: str, gsd: float | None) -> None:
    with open_scene(str(shared_data / name)) as scene:
        assert scene.record.georeference == kind
        assert len(scene.record.footprint_lonlat) > 4
        assert (scene.record.ground_control is not None) == (kind != "affine")
        assert scene.record.position_error_m == 0 if kind == "affine" else scene.record.position_error_m > 0
        if gsd:
            assert scene.record.gsd_m == pytest.approx(gsd, rel=0.03)


def test_antimeridian_scene_is_cut_in_two(shared_data: Path) -> None:
    record = read_scene_record(str(shared_data / "rasters/riotiler_tests/cog_dateline.tif"))
    parts = split_antimeridian(record.footprint_lonlat)
    assert len(parts) == 2
    assert record.gsd_m is not None
    assert sum(map(area_km2, parts)) == pytest.approx(record.area_mpx * record.gsd_m**2, rel=0.01)


def test_mars_has_no_place_on_earth(shared_data: Path) -> None:
    record = read_scene_record(str(shared_data / "rasters/riotiler_tests/cog_hirise_mars.tif"))
    assert (record.footprint_lonlat, record.gsd_m) == ((), None)


def test_declared_bits_are_read(shared_data: Path) -> None:
    assert read_scene_record(str(shared_data / "rasters/nitf_codice/file6_jp2.ntf")).bits_effective == 12


def test_every_ordinary_raster_reads_or_says_why(shared_data: Path) -> None:
    read, refused = 0, []
    for path in sorted((shared_data / "rasters").glob("*/*")):
        if path.name.startswith(HOSTILE) or path.suffix not in (".tif", ".tiff", ".ntf", ".NTF", ".vrt", ".r3", ".nc"):
            continue
        try:
            with open_scene(str(path)) as scene:
                chip = scene.read(Window(-4, -4, 48, 48))
                assert chip.pixels_chw.shape[0] == len(scene.record.bands)
                read += 1
        except OvdError as error:
            refused.append(str(error))
    assert read >= 35
    assert len(refused) <= 3, refused
    assert all(message.startswith("Cannot ") for message in refused)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


def test_hostile_rasters_fail_cleanly_in_bounded_memory(shared_data: Path) -> None:
    """All in one child process with a memory limit: an error each, or pixels, never a crash."""
    paths = [str(p) for p in sorted((shared_data / "rasters").glob("*/*")) if p.name.startswith(HOSTILE)]
    code = (
        "import sys\nfrom ovd_platform.errors import UnreadableRasterError\n"
        "from ovd_platform.raster.scene import open_scene\nfrom ovd_platform.records.window import Window\n"
        "for path in sys.argv[1:]:\n    try:\n        with open_scene(path) as scene:\n"
        "            scene.read(Window(0, 0, 256, 256))\n"
        "    except UnreadableRasterError as error:\n        print('refused', error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, preexec_fn=_limit, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("refused Cannot ") >= 4
