"""Opening and reading: padding, validity, stacks, facts from side files and tags, identity, clear errors."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import Affine

from ovd_platform.errors import InputError, UnreadableRasterError
from ovd_platform.raster.identity import scene_slug, scene_version, unique_slugs
from ovd_platform.raster.scene import open_record, open_scene, read_scene_record
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.window import Window

MakeTif = Callable[..., Path]


@pytest.fixture
def pixels_chw() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 4096, size=(4, 90, 120)).astype(np.uint16)


def test_windows_reaching_outside_are_padded_and_invalid(make_tif: MakeTif, pixels_chw: np.ndarray) -> None:
    with open_scene(str(make_tif(pixels_chw))) as scene:
        chip = scene.read(Window(-8, 80, 30, 40))
        assert chip.pixels_chw.dtype == np.uint16
        assert np.array_equal(chip.pixels_chw[:, :10, 8:], pixels_chw[:, 80:, :22])
        assert chip.valid_hw[:10, 8:].all()
        assert chip.valid_hw.sum() == 10 * 22
        assert chip.pixels_chw[:, ~chip.valid_hw].max() == 0
        nothing = scene.read(Window(500, 500, 5, 5))
        assert not nothing.valid_hw.any()


def test_bands_are_chosen_in_order_and_checked(make_tif: MakeTif, pixels_chw: np.ndarray) -> None:
    with open_scene(str(make_tif(pixels_chw))) as scene:
        chip = scene.read(Window(3, 4, 5, 6), [2, 0])
        assert np.array_equal(chip.pixels_chw, pixels_chw[[2, 0], 4:10, 3:8])
        with pytest.raises(InputError, match="0-based"):
            scene.read(Window(0, 0, 2, 2), [4])


def test_nodata_and_nan_are_invalid(make_tif: MakeTif) -> None:
    pixels = np.full((1, 10, 10), 5.0, np.float32)
    pixels[0, 0, 0], pixels[0, 1, 1] = np.nan, -9999.0
    with open_scene(str(make_tif(pixels, nodata=-9999.0))) as scene:
        valid = scene.read(Window(0, 0, 10, 10)).valid_hw
        assert not valid[0, 0]
        assert not valid[1, 1]
        assert valid.sum() == 98


def test_alpha_is_a_mask_but_data_stored_as_alpha_is_a_band(make_tif: MakeTif) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (4, 64, 64)).astype(np.uint8)
    with open_scene(str(make_tif(pixels, "nir.tif", photometric="RGB", alpha="yes"))) as scene:
        assert len(scene.record.bands) == 4
    pixels[3] = 255
    pixels[3, :8] = 0
    with open_scene(str(make_tif(pixels, "mask.tif", photometric="RGB", alpha="yes"))) as scene:
        assert [band.name for band in scene.record.bands] == ["red", "green", "blue"]
        assert scene.read(Window(0, 0, 64, 64)).valid_hw.sum() == 56 * 64


def test_a_stack_of_files_is_one_scene(make_tif: MakeTif, pixels_chw: np.ndarray) -> None:
    paths = [make_tif(band[None], f"B0{index}.tif") for index, band in enumerate(pixels_chw[:3])]
    uri = "|".join(map(str, paths))
    with open_scene(uri) as scene:
        assert [band.name for band in scene.record.bands] == ["B00", "B01", "B02"]
        assert scene.record.scene_id == scene_slug(uri)
        assert np.array_equal(scene.read(Window(0, 0, 120, 90)).pixels_chw, pixels_chw[:3])
    small = make_tif(pixels_chw[:1, :50], "B09.tif")
    with pytest.raises(UnreadableRasterError, match="one size"):
        open_scene(f"{uri}|{small}")


def test_side_file_and_tags_override_the_raster(make_tif: MakeTif, pixels_chw: np.ndarray) -> None:
    path = make_tif(pixels_chw[:2], NBITS=12, ovd_tags={"modality": "sar", "gsd_m": "2.5"})
    record = read_scene_record(str(path))
    assert (record.modality, record.gsd_m, record.bits_effective) == ("sar", 2.5, 12)
    assert record.instrument == "sar-2x12"
    facts = {
        "modality": "optical", "instrument": "pan-x", "bits_effective": 12, "rendered": True,
        "bands": [{"name": "pan", "wavelength_um": 0.6}, {"name": "nir"}],
        "view": {"acquired_utc": "2024-05-01T10:00:00+00:00", "off_nadir_deg": 12.0},
    }  # fmt: skip
    path.with_name("scene.ovd.json").write_text(json.dumps(facts))
    changed = read_scene_record(str(path))
    assert (changed.modality, changed.instrument, changed.rendered, changed.gsd_m) == ("optical", "pan-x", True, 2.5)
    assert changed.bands[0].wavelength_um == 0.6
    assert changed.view.off_nadir_deg == 12.0
    assert changed.version != record.version, "facts are part of a scene's content"
    assert SceneRecord.from_dict(json.loads(json.dumps(changed.to_dict()))) == changed


@pytest.mark.parametrize(
    "facts", ["[]", "{", '{"colour": 1}', '{"modality": "lidar"}', '{"bands": [{"name": "a"}]}', '{"view": {"x": 1}}']
)
def test_wrong_side_files_are_refused(make_tif: MakeTif, pixels_chw: np.ndarray, facts: str) -> None:
    path = make_tif(pixels_chw)
    path.with_name("scene.ovd.json").write_text(facts)
    with pytest.raises(UnreadableRasterError, match="Cannot"):
        open_scene(str(path))


def test_npy_is_a_complex_sar_scene(tmp_path: Path) -> None:
    array = (np.arange(20).reshape(4, 5) + 2j).astype(np.complex128)
    np.save(tmp_path / "slc.npy", array)
    with open_scene(str(tmp_path / "slc.npy")) as scene:
        assert (scene.record.modality, scene.record.dtype, scene.record.footprint_lonlat) == ("sar", "complex128", ())
        assert np.array_equal(scene.read(Window(1, 1, 3, 2)).pixels_chw[0], array[1:3, 1:4])


def test_rotated_and_south_up_transforms_survive(make_tif: MakeTif, pixels_chw: np.ndarray) -> None:
    transform = Affine(0.4, 0.3, 593000, 0.3, 0.4, 5749000)
    record = read_scene_record(str(make_tif(pixels_chw, transform=transform)))
    assert record.transform == tuple(transform)[:6]
    assert record.gsd_m == pytest.approx(0.5, rel=2e-3)


def test_slugs_are_safe_short_and_distinct() -> None:
    assert scene_slug("/a/My scene (1).tif") == "My-scene-1"
    assert len(scene_slug("/a/" + "x" * 100 + ".tif")) == 63
    assert scene_slug("/a/x" + "y" * 100 + "1.tif") != scene_slug("/a/x" + "y" * 100 + "2.tif")
    ids = unique_slugs(["/b/one.tif", "/a/one.tif", "/a/one.jp2"])
    assert len(set(ids.values())) == 3
    assert ids == unique_slugs(["/a/one.jp2", "/b/one.tif", "/a/one.tif"])
    assert scene_slug("/x/port/B02.tif|/x/port/B03.tif") == "port"
    assert ".." not in scene_slug("a...b.tif")


def test_versions_follow_content_mode_and_generation(make_tif: MakeTif, pixels_chw: np.ndarray) -> None:
    path = make_tif(pixels_chw)
    version = scene_version(str(path))
    assert version == scene_version(str(path))
    assert scene_version(str(path), generation=1) != version
    assert scene_version(str(path), "sampled").startswith("s")
    make_tif(pixels_chw + 1)
    assert scene_version(str(path)) != version
    with open_record(read_scene_record(str(path))) as scene:
        assert scene.record.version == scene_version(str(path))


@pytest.mark.parametrize("kind", [0, 14, 16, 17, 19])
def test_a_private_tag_nobody_can_read_costs_no_pixels(tmp_path: Path, kind: int) -> None:
    pixels = np.arange(100 * 100, dtype="<u2").reshape(1, 100, 100)
    tags = [(256, 100), (257, 100), (258, 16), (259, 1), (262, 1), (273, 150), (277, 1), (278, 100), (279, pixels.nbytes)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags) + struct.pack("<HHII", 2048, kind, 1, 7)
    path = tmp_path / "private.tif"
    path.write_bytes((b"II*\0" + struct.pack("<IH", 8, len(tags) + 1) + entries).ljust(150, b"\0") + pixels.tobytes())
    with open_scene(str(path)) as scene:
        assert np.array_equal(scene.read(Window(0, 0, 100, 100)).pixels_chw, pixels)


def test_half_an_rpc_is_none(make_tif: MakeTif, pixels_chw: np.ndarray) -> None:
    """A model without some of its coefficients places nothing, and the pixels are still read."""
    source = make_tif(pixels_chw[:1], crs=None, transform=None)
    path = source.with_name("half.vrt")
    path.write_text(
        '<VRTDataset rasterXSize="120" rasterYSize="90"><Metadata domain="RPC"><MDI key="LINE_OFF">45</MDI></Metadata>'
        '<VRTRasterBand dataType="UInt16" band="1"><SimpleSource><SourceFilename relativeToVRT="1">scene.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with open_scene(str(path)) as scene:
        assert (scene.record.georeference, scene.record.ground_control) == ("none", None)
        assert np.array_equal(scene.read(Window(0, 0, 120, 90)).pixels_chw, pixels_chw[:1])


def test_missing_and_closed_scenes_say_so(make_tif: MakeTif, pixels_chw: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(UnreadableRasterError, match="nowhere"):
        open_scene(str(tmp_path / "nowhere.tif"))
    (tmp_path / "text.tif").write_text("not a raster")
    with pytest.raises(UnreadableRasterError, match=r"text\.tif"):
        open_scene(str(tmp_path / "text.tif"))
    scene = open_scene(str(make_tif(pixels_chw)))
    scene.close()
    with pytest.raises(UnreadableRasterError, match="closed"):
        scene.read(Window(0, 0, 2, 2))


def test_importing_the_scene_module_is_light() -> None:
    code = (
        "import sys, ovd_platform.raster.scene; print([m for m in ('rasterio', 'numba', 'torch', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
