"""The archive: exact where promised, within policy elsewhere, readable as a scene, and no deletion without verification."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine
from scipy.ndimage import gaussian_filter

from ovd_platform.archive.age_off import age_off
from ovd_platform.archive.policy import CodecPolicy
from ovd_platform.archive.verify import verify_archive
from ovd_platform.archive.write import ArchiveResult, archive_scene
from ovd_platform.errors import InputError, StaleError, UnreadableRasterError, VerificationError
from ovd_platform.raster.archive_index import DATA_NAME, read_index
from ovd_platform.raster.codec import Codec, decode, encode, same_bytes
from ovd_platform.raster.scene import open_record, open_scene, read_scene_record
from ovd_platform.records.window import Window
from ovd_platform.tiles.scan import scan_scene


def scenery(bands: int, bits: int, size: tuple[int, int] = (150, 200), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    # Bands of one ground are alike, as in real imagery.
    smooth = gaussian_filter(rng.normal(size=(1, *size)) + 0.2 * rng.normal(size=(bands, *size)), (0, 6, 6))
    values = (0.4 + 3 * smooth + 0.004 * rng.normal(size=smooth.shape)) * 2**bits
    return np.clip(values, 1, 2**bits - 1).astype(np.uint8 if bits <= 8 else np.uint16)


def write_tif(path: Path, pixels_chw: np.ndarray, bits: int, nodata: float | None = None) -> str:
    count, height, width = pixels_chw.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels_chw.dtype, nodata=nodata,
        crs="EPSG:32631", transform=Affine(0.5, 0, 593000, 0, -0.5, 5749000), photometric="MINISBLACK",
    ) as out:  # fmt: skip
        out.write(pixels_chw)
    path.with_name(f"{path.stem}.ovd.json").write_text(json.dumps({"bits_effective": bits}))
    return str(path)


def archive(uri: str, policy: CodecPolicy, protected: tuple[Window, ...] = ()) -> ArchiveResult:
    record = read_scene_record(uri)
    with open_record(record) as scene:
        tiles = scan_scene(scene, core_px=64, halo_px=8).tiles
        destination = Path(uri.split("|")[0]).parent / f"{record.scene_id}.ovdx"
        return archive_scene(scene, tiles, protected, destination, policy)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([1, 3, 4, 8]), st.integers(9, 16), st.integers(0, 1000))
def test_jpeg_xl_lossless_is_bit_exact(bands: int, bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 2**bits, (bands, 17, 23)).astype(np.uint16)
    payload = encode(pixels, "jxl-lossless", bits=12)
    assert np.array_equal(decode(payload, "jxl-lossless", "uint16", pixels.shape), pixels)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int16", "uint32"])
def test_everything_else_is_exact_too(dtype: str) -> None:
    pixels = np.random.default_rng(0).normal(0, 500, (2, 9, 11)).astype(dtype)
    if pixels.dtype.kind == "f":
        pixels[0, 0, :2] = np.nan, -0.0
    assert same_bytes(decode(encode(pixels, "blosc2-zstd"), "blosc2-zstd", dtype, pixels.shape), pixels)


@pytest.mark.parametrize("codec", ["jxl-lossless", "blosc2-zstd", "constant"])
def test_broken_bytes_are_an_error_not_pixels(codec: Codec) -> None:
    with pytest.raises(UnreadableRasterError, match="Cannot decode"):
        decode(b"\x01\x05\x00\x00\x00nonsense", codec, "uint16", (2, 8, 8))


@pytest.mark.parametrize("bands", [1, 3, 4, 8])
def test_gold_archive_equals_the_original(tmp_path: Path, bands: int) -> None:
    pixels = scenery(bands, 12)
    pixels[:, :40, :30] = 0
    uri = write_tif(tmp_path / "s.tif", pixels, 12, nodata=0)
    result = archive(uri, CodecPolicy(gold=True))
    assert result.lossy_tiles == 0
    assert result.ratio > 1.2
    with open_record(read_scene_record(uri)) as scene, open_scene(str(result.path)) as archived:
        assert verify_archive(scene, result.path).problems == ()
        for window in (Window(0, 0, 200, 150), Window(60, 50, 71, 33), Window(-9, 140, 30, 30)):
            expected, got = scene.read(window), archived.read(window)
            assert np.array_equal(expected.pixels_chw, got.pixels_chw)
            assert np.array_equal(expected.valid_hw, got.valid_hw)
        assert np.array_equal(archived.read(Window(5, 70, 90, 20), [bands - 1]).pixels_chw[0], pixels[-1, 70:90, 5:95])


@pytest.mark.parametrize(("bands", "bits"), [(1, 12), (3, 8), (4, 12), (8, 11)])
def test_lossy_background_is_within_policy_and_protected_tiles_are_exact(tmp_path: Path, bands: int, bits: int) -> None:
    uri = write_tif(tmp_path / "s.tif", scenery(bands, bits), bits)
    result = archive(uri, CodecPolicy(lossless_edge_density=1.0), (Window(70, 10, 4, 4),))
    assert result.lossy_tiles == 11
    with open_record(read_scene_record(uri)) as scene:
        report = verify_archive(scene, result.path)
    assert report.ok, report.problems
    assert report.worst_psnr_db > 36
    assert 0 < report.max_error < 0.15 * 2**bits
    entries = read_index(result.path).tiles
    assert [entry.reason for entry in entries if entry.lossless] == ["protected"]
    assert {entry.bits for entry in entries} == {bits}
    assert {entry.distance for entry in entries if not entry.lossless} == {1.0}


def test_declaring_the_bits_matters(tmp_path: Path) -> None:
    """Twelve bits declared as twelve: several dB better than a sixteen-bit container at the same distance."""
    pixels = scenery(1, 12)
    errors = []
    for bits in (12, 16):
        decoded = decode(encode(pixels, "jxl-lossy", bits=bits, effort=3), "jxl-lossy", "uint16", pixels.shape)
        errors.append(float(((decoded.astype(float) - pixels) ** 2).mean()))
    assert 10 * np.log10(errors[1] / errors[0]) > 2.0


def test_a_strict_policy_falls_back_to_lossless(tmp_path: Path) -> None:
    uri = write_tif(tmp_path / "s.tif", scenery(1, 12), 12)
    result = archive(uri, CodecPolicy(distance=8.0, min_psnr_db=70.0, lossless_edge_density=1.0))
    assert (result.lossy_tiles, result.fallback_tiles) == (0, 12)


def test_complex_sar_is_lossless_whatever_the_policy(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    array = (rng.normal(size=(2, 80, 90)) + 1j * rng.normal(size=(2, 80, 90))).astype(np.complex64)
    np.save(tmp_path / "slc.npy", array)
    result = archive(str(tmp_path / "slc.npy"), CodecPolicy(lossy_sar=True, lossless_edge_density=1.0))
    assert result.lossy_tiles == 0
    with open_scene(str(result.path)) as archived:
        assert np.array_equal(archived.read(Window(0, 0, 90, 80)).pixels_chw, array)


def test_the_record_and_ground_control_survive(tmp_path: Path) -> None:
    pixels = scenery(1, 12)
    uri = write_tif(tmp_path / "s.tif", pixels, 12)
    points = [rasterio.control.GroundControlPoint(r, c, 2 + c * 1e-5, 48 - r * 1e-5) for r in (0, 150) for c in (0, 200)]
    with rasterio.open(
        uri, "w", driver="GTiff", count=1, height=150, width=200, dtype="uint16", gcps=points, crs="EPSG:4326"
    ) as out:
        out.write(pixels)
    record = read_scene_record(uri)
    result = archive(uri, CodecPolicy())
    with open_record(replace(record, uri=str(result.path))) as archived:
        assert archived.record == replace(record, uri=str(result.path)), "an archived scene keeps id, version and place"
        assert archived.record.ground_control is not None
        assert len(archived.record.ground_control.points) == 4
    with pytest.raises(StaleError, match="expected version other"):
        open_scene(str(result.path), version="other")


def test_archiving_twice_gives_the_same_archive_and_tiles_must_cover(tmp_path: Path) -> None:
    uri = write_tif(tmp_path / "s.tif", scenery(1, 12), 12)
    first, second = archive(uri, CodecPolicy()), archive(uri, CodecPolicy())
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.ovd.json", "s.ovdx", "s.tif"], "no drafts stay behind"
    with open_scene(uri) as scene:
        tiles = scan_scene(scene, core_px=64, halo_px=8).tiles
        for wrong in (tiles[1:], tiles[:-1], tiles[::-1], [*tiles, tiles[0]]):
            with pytest.raises(InputError, match="covering each pixel once"):
                archive_scene(scene, wrong, [], tmp_path / "x.ovdx", CodecPolicy())
    with open_scene(str(first.path)) as scene, pytest.raises(InputError, match="read from there"):
        archive_scene(scene, tiles, [], first.path, CodecPolicy())


@pytest.fixture
def archived_pair(tmp_path: Path) -> tuple[str, Path]:
    uri = write_tif(tmp_path / "s.tif", scenery(3, 12), 12)
    return uri, archive(uri, CodecPolicy(lossless_edge_density=0.5)).path


def test_age_off_verifies_then_deletes_and_the_scene_stays_readable(archived_pair: tuple[str, Path]) -> None:
    uri, path = archived_pair
    before = read_scene_record(uri)
    dry = age_off(uri, path)
    assert dry.dry_run
    assert Path(uri).exists()
    report = age_off(uri, path, dry_run=False)
    assert report.verification.ok
    assert report.files == (uri,)
    assert report.freed_bytes > 0
    assert not Path(uri).exists()
    after = read_scene_record(str(path))
    assert after == replace(before, uri=str(path))
    with open_record(after) as scene:
        assert len(scan_scene(scene, core_px=64, halo_px=8).tiles) == 12


def _flip_a_byte(uri: str, path: Path) -> None:
    data = bytearray((path / DATA_NAME).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (path / DATA_NAME).write_bytes(bytes(data))


def _truncate(uri: str, path: Path) -> None:
    data = (path / DATA_NAME).read_bytes()
    (path / DATA_NAME).write_bytes(data[:-10])


def _change_the_original(uri: str, path: Path) -> None:
    with rasterio.open(uri, "r+") as out:
        out.write(out.read() + 1)


def _lose_the_index(uri: str, path: Path) -> None:
    (path / "index.json").unlink()


def _swap_in_another_scene(uri: str, path: Path) -> None:
    """An archive whose hashes all hold but whose pixels are those of another acquisition."""
    other = write_tif(Path(uri).parent / "other.tif", scenery(3, 12, seed=9), 12)
    record = read_scene_record(uri)
    with open_scene(other, scene_id=record.scene_id, version=record.version) as scene:
        tiles = scan_scene(scene, core_px=64, halo_px=8).tiles
        archive_scene(scene, tiles, [], path, CodecPolicy(lossless_edge_density=0.5))


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (_flip_a_byte, VerificationError),
        (_swap_in_another_scene, VerificationError),
        (_change_the_original, StaleError),
        (_truncate, UnreadableRasterError),
        (_lose_the_index, UnreadableRasterError),
    ],
)
def test_age_off_refuses_and_deletes_nothing(
    archived_pair: tuple[str, Path], damage: Callable[[str, Path], None], error: type[Exception]
) -> None:
    uri, path = archived_pair
    damage(uri, path)
    with pytest.raises(error, match="Cannot"):
        age_off(uri, path, dry_run=False)
    assert Path(uri).exists()


def test_age_off_refuses_archives_and_links(archived_pair: tuple[str, Path]) -> None:
    uri, path = archived_pair
    link = Path(uri).with_name("link.tif")
    link.symlink_to(uri)
    for wrong in (str(path), str(link), str(path / DATA_NAME), "/vsicurl/http://example.org/a.tif"):
        with pytest.raises(InputError, match="Cannot age off"):
            age_off(wrong, path, dry_run=False)
    assert Path(uri).exists()


def test_a_stack_is_aged_off_whole(tmp_path: Path) -> None:
    folder = tmp_path / "port"
    folder.mkdir()
    uris = [write_tif(folder / f"B0{index}.tif", scenery(1, 12, seed=index), 12) for index in range(3)]
    result = archive("|".join(uris), CodecPolicy())
    report = age_off("|".join(uris), result.path, dry_run=False)
    assert len(report.files) == 3
    assert not any(Path(uri).exists() for uri in uris)
