"""Reading many windows: the same pixels as one by one, each block once; plain GeoTIFF blocks equal GDAL's; counting is exact."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.errors import DamagedRasterError
from ovd_platform.raster.histogram import BandHistogram, magnitude_db
from ovd_platform.raster.kernels import count_values
from ovd_platform.raster.scene import open_scene
from ovd_platform.raster.sweep import sweep
from ovd_platform.records.window import Window

MakeTif = Callable[..., Path]
SIZE = (210, 130)


def pixels(bands: int, dtype: str = "uint16") -> np.ndarray:
    return (np.random.default_rng(3).random((bands, SIZE[1], SIZE[0])) * 250).astype(dtype)


def grid(tile: int, stride: int) -> list[Window]:
    return [Window(x, y, tile, tile) for y in range(-9, SIZE[1], stride) for x in range(-9, SIZE[0], stride)]


@settings(max_examples=25, deadline=None)
@given(tile=st.integers(5, 90), stride=st.integers(20, 90), budget=st.sampled_from([1, 30_000, 1 << 24]))
def test_a_sweep_gives_what_single_reads_give(shared_tif: Path, tile: int, stride: int, budget: int) -> None:
    windows = grid(tile, stride)
    with open_scene(str(shared_tif)) as scene:
        seen = set()
        for index, chip in sweep(scene, windows, budget_bytes=budget):
            alone = scene.read(windows[index])
            assert np.array_equal(chip.pixels_chw, alone.pixels_chw)
            assert np.array_equal(chip.valid_hw, alone.valid_hw)
            seen.add(index)
        assert seen == set(range(len(windows)))


@pytest.fixture(scope="module")
def shared_tif(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import rasterio

    path = tmp_path_factory.mktemp("sweep") / "holes.tif"
    values = pixels(2)
    values[:, 40:70, 50:120] = 0
    with rasterio.open(
        path, "w", driver="GTiff", count=2, width=SIZE[0], height=SIZE[1], dtype="uint16", nodata=0, tiled=True, blockxsize=64,
        blockysize=32, compress="zstd",
    ) as out:  # fmt: skip
        out.write(values)
    return path


def test_each_block_is_read_once(shared_tif: Path) -> None:
    touched: dict[tuple[int, int], int] = {}
    with open_scene(str(shared_tif)) as scene:
        read_into = scene.read_into

        def counting(window: Window, out_chw: np.ndarray) -> np.ndarray:
            for row, col in itertools.product(
                range(window.row_px // 32, -(-window.bottom_px // 32)), range(window.col_px // 64, -(-window.right_px // 64))
            ):
                touched[row, col] = touched.get((row, col), 0) + 1
            return read_into(window, out_chw)

        scene.read_into = counting
        assert len(list(sweep(scene, grid(48, 36)))) == len(grid(48, 36))
    assert set(touched.values()) == {1}
    assert len(touched) == 5 * 4


@pytest.mark.parametrize("compress", ["none", "zstd", "deflate", "lzw"])
@pytest.mark.parametrize("layout", [{"tiled": True, "blockxsize": 64, "blockysize": 64}, {}])
def test_plain_blocks_equal_what_was_written(make_tif: MakeTif, compress: str, layout: dict[str, object]) -> None:
    for dtype, bands, interleave, predictor in itertools.product(
        ("uint8", "int16", "float32"), (1, 3), ("pixel", "band"), (1, 2)
    ):
        if predictor == 2 and (compress == "none" or dtype == "float32"):
            continue
        values = pixels(bands, dtype)
        codec = {} if compress == "none" else {"compress": compress, "predictor": predictor}
        path = make_tif(values, f"{dtype}{bands}{interleave}{predictor}.tif", interleave=interleave, **codec, **layout)
        with open_scene(str(path)) as scene:
            assert scene._members[0].blocks is not None, "GDAL was asked where the file itself would do"
            assert np.array_equal(scene.read(Window(0, 0, *SIZE)).pixels_chw, values)
            assert np.array_equal(scene.read(Window(70, 33, 80, 90)).pixels_chw, values[:, 33:123, 70:150])


def test_sparse_blocks_and_layouts_left_to_gdal(make_tif: MakeTif, tmp_path: Path) -> None:
    import rasterio

    path = tmp_path / "sparse.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, width=128, height=128, dtype="uint16", tiled=True, blockxsize=64, blockysize=64,
        sparse_ok=True, compress="zstd",
    ) as out:  # fmt: skip
        out.write(np.full((64, 64), 7, np.uint16), 1, window=rasterio.windows.Window(0, 0, 64, 64))
    with open_scene(str(path)) as scene:
        assert scene.read(Window(0, 0, 128, 128)).pixels_chw.sum() == 7 * 64 * 64
    packed = make_tif(pixels(1), "packed.tif", NBITS=12)
    with open_scene(str(packed)) as scene:
        assert scene._members[0].blocks is None
        assert np.array_equal(scene.read(Window(0, 0, *SIZE)).pixels_chw, pixels(1))


def test_a_cut_off_block_is_damage(make_tif: MakeTif) -> None:
    path = make_tif(pixels(1), compress="zstd", tiled=True, blockxsize=64, blockysize=64)
    whole = path.read_bytes()
    broken = bytearray(whole)
    broken[len(whole) // 2 : len(whole) // 2 + 3000] = bytes(3000)
    path.write_bytes(bytes(broken))
    with pytest.raises(DamagedRasterError, match="Cannot decode"), open_scene(str(path)) as scene:
        scene.read(Window(0, 0, *SIZE))


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["uint8", "uint16", "int16"]), st.integers(1, 23), st.integers(1, 9), st.integers(0, 3), st.booleans(),
    st.integers(0, 2**16),
)  # fmt: skip
def test_counting_views_is_exact(dtype: str, width: int, height: int, left: int, masked: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    whole = rng.integers(info.min, info.max, (height + 2, width + left), endpoint=True).astype(dtype)
    band, valid = whole[1:-1, left:], rng.random((height, width)) > 0.3
    offset = 32768 if dtype == "int16" else 0
    counts = np.zeros(65536, np.int64)
    lowest, highest, number, total = count_values(band, valid if masked else None, counts, offset)
    expected = (band[valid] if masked else band.ravel()).astype(int) + offset
    assert np.array_equal(counts, np.bincount(expected, minlength=65536))
    assert number == len(expected)
    if number:
        assert (lowest, highest, total) == (expected.min(), expected.max(), expected.sum())


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["uint8", "uint16", "int16", "float32", "int32", "float64"]), st.integers(1, 23), st.integers(1, 9),
    st.booleans(), st.integers(0, 2**16),
)  # fmt: skip
def test_counting_a_band_tells_its_extent(dtype: str, width: int, height: int, masked: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    band = (rng.normal(0, 10.0 ** rng.integers(0, 6), (height, width)) % 30000 - (0 if dtype[0] == "u" else 9000)).astype(dtype)
    valid = rng.random((height, width)) > 0.3
    histogram = BandHistogram.for_dtype(dtype)
    extent = histogram.accumulate_band(band, valid if masked else None)
    values = band[valid] if masked else band.ravel()
    assert histogram.total == values.size
    if values.size:
        assert extent[:2] == (values.min(), values.max())
        assert extent.mean == pytest.approx(values.mean(dtype=np.float64), rel=1e-5, abs=1e-3)


def test_decibels_are_counted_by_their_bins() -> None:
    amplitudes = np.abs(np.random.default_rng(4).normal(0, 300, (40, 50))).astype(np.float32)
    whole, made = BandHistogram("db"), BandHistogram("db")
    extent = whole.accumulate_band(amplitudes, None)
    decibels = magnitude_db(amplitudes)
    assert made.accumulate_decibels(decibels, None) == extent
    assert np.array_equal(whole.counts, made.counts)
    assert whole.percentile(0.5) == pytest.approx(np.quantile(decibels, 0.5, method="inverted_cdf"), abs=1 / 512)
    assert extent == pytest.approx((decibels.min(), decibels.max(), decibels.mean(dtype=np.float64)))
