"""Sensor model, Poisson blending, masks, one paste."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.datasets.polygons import box_corners
from ovd_platform.errors import InputError, ShapeError
from ovd_platform.synthesis.chip_library import ObjectChip
from ovd_platform.synthesis.object_masks import refine_mask
from ovd_platform.synthesis.paste import Pose, paste_object, poisson_blend, warp_object
from ovd_platform.synthesis.quality import HashBook, QualityGates, contrast, difference_hash, judge, measure_paste, seam_ratio
from ovd_platform.synthesis.sensor_model import (
    SensorModel,
    add_noise,
    apply_mtf,
    equivalent_looks,
    match_noise,
    match_speckle,
    noise_sigma,
    quantise,
    resample_gsd,
)


def disc(size: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.hypot(x, y) <= radius


def domain_in(size: int) -> np.ndarray:
    domain = disc(size, size / 3)
    return domain


def cross_chip(bands: int = 1, level: float = 900.0, bright: float = 1800.0, noise: float = 8.0, **more: object) -> ObjectChip:
    """A cross of a 12-bit instrument on plain ground."""
    generator = np.random.default_rng(7)
    mask = np.zeros((40, 40), dtype=bool)
    mask[17:22, 8:32] = True
    mask[10:28, 18:23] = True
    pixels = np.where(mask, bright, level)[None] + generator.normal(0, noise, (bands, 40, 40))
    fields = {"modality": "optical", "bits_effective": 12, **more}
    return ObjectChip(
        "c1",
        "plane",
        "donor",
        np.rint(pixels).astype(np.uint16),
        mask,
        np.ones((40, 40), bool),
        box_corners(8, 10, 32, 28),
        instrument="pan-1x12",
        gsd_m=0.5,
        mask_source="refined",
        **fields,
    )


def ground(level: float = 2200.0, noise: float = 20.0, bands: int = 1, size: int = 96) -> np.ndarray:
    generator = np.random.default_rng(8)
    return np.rint(level + generator.normal(0, noise, (bands, size, size))).astype(np.uint16)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(-500, 500))
def test_blend_of_an_offset_copy_gives_the_ground(seed: int, offset: float) -> None:
    target = np.random.default_rng(seed).uniform(0, 4095, (2, 24, 24))
    assert np.allclose(poisson_blend(target, target + offset, domain_in(24)), target, atol=1e-6)


def test_blend_keeps_laplacian_inside_and_ground_outside() -> None:
    from scipy import ndimage

    generator = np.random.default_rng(0)
    target, source = generator.uniform(0, 4095, (2, 1, 32, 32))
    domain = domain_in(32)
    result = poisson_blend(target, source, domain)
    assert (result[:, ~domain] == target[:, ~domain]).all()
    inner = ndimage.binary_erosion(domain)
    assert np.allclose(ndimage.laplace(result[0])[inner], ndimage.laplace(source[0])[inner], atol=1e-6)


def test_blend_refuses_the_edge_and_other_shapes() -> None:
    target = np.zeros((1, 8, 8))
    with pytest.raises(ShapeError):
        poisson_blend(target, target, np.ones((8, 8), bool))
    with pytest.raises(ShapeError):
        poisson_blend(target, np.zeros((2, 8, 8)), np.zeros((8, 8), bool))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("turn", [0.0, 90.0, 180.0, 270.0])
def test_quarter_turns_are_exact(turn: float, flip: bool) -> None:
    chip = cross_chip()
    warped = warp_object(chip, Pose(50.0, 50.0, turn, flip))
    rows, columns = np.nonzero(warped.mask_hw)
    expected = chip.mask_hw[:, ::-1] if flip else chip.mask_hw
    expected = np.rot90(expected, -round(turn / 90))
    r, c = np.nonzero(expected)
    cut = warped.mask_hw[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert (cut == expected[r.min() : r.max() + 1, c.min() : c.max() + 1]).all()
    xs, ys = np.array(warped.corners_ground_xy).T
    assert (xs.min(), ys.min()) == pytest.approx((columns.min() + warped.left_px, rows.min() + warped.top_px))
    assert (xs.max(), ys.max()) == pytest.approx((columns.max() + 1 + warped.left_px, rows.max() + 1 + warped.top_px))


@settings(max_examples=12, deadline=None)
@given(st.floats(0, 360), st.floats(0.5, 1.5), st.booleans())
def test_warp_keeps_area_and_place(turn: float, scale: float, flip: bool) -> None:
    chip = cross_chip()
    warped = warp_object(chip, Pose(60.25, 55.5, turn, flip, scale))
    assert warped.mask_hw.sum() == pytest.approx(chip.mask_hw.sum() * scale**2, rel=0.15, abs=10)
    rows, columns = np.nonzero(warped.mask_hw)
    assert abs(columns.mean() + 0.5 + warped.left_px - 60.25) < 2.5
    assert abs(rows.mean() + 0.5 + warped.top_px - 55.5) < 2.5


def test_paste_keeps_depth_contrast_and_noise() -> None:
    chip, base = cross_chip(), ground()
    result = paste_object(base, chip, Pose(48, 48, 30.0), np.random.default_rng(1), max_value=4095)
    assert not isinstance(result, str)
    assert result.pixels_chw.max() > 255  # nothing went through 8 bits
    assert (result.pixels_chw[:, ~result.domain_hw] == base[:, ~result.domain_hw]).all()
    step = result.pixels_chw[0][result.mask_hw].mean() - base.mean()
    assert step == pytest.approx(900, rel=0.12)  # the donor's contrast, on other ground
    values = len(np.unique(np.rint(result.pixels_chw[0][result.mask_hw])))
    assert values > 60  # many grey levels survive
    measures = measure_paste(result)
    assert judge(measures, QualityGates(), 96, "plane", HashBook()) == ""


def test_paste_on_noisier_ground_gets_its_noise() -> None:
    mask = disc(60, 18)
    donor = np.rint(np.where(mask, 1500, 900) + np.random.default_rng(0).normal(0, 5, (1, 60, 60))).astype(np.uint16)
    chip = ObjectChip(
        "c", "tank", "donor", donor, mask, np.ones((60, 60), bool), box_corners(12, 12, 48, 48), "optical", "i", 0.5, 12
    )
    result = paste_object(ground(noise=30.0), chip, Pose(48, 48), np.random.default_rng(2), max_value=4095)
    assert not isinstance(result, str)
    assert noise_sigma(result.pixels_chw, disc(96, 15))[0] == pytest.approx(30, rel=0.2)


def test_paste_says_why_not() -> None:
    generator = np.random.default_rng(1)
    assert paste_object(ground(), cross_chip(), Pose(3, 3), generator, max_value=4095) == "outside the tile"
    with pytest.raises(ShapeError, match="bands"):
        paste_object(ground(bands=3), cross_chip(), Pose(48, 48), generator, max_value=4095)
    with pytest.raises(InputError):
        warp_object(cross_chip(), Pose(1, 1, scale=0.0))
    bright = paste_object(ground(3900), cross_chip(), Pose(48, 48), generator, max_value=4095)
    assert not isinstance(bright, str)
    assert bright.pixels_chw.max() <= 4095
    assert judge(measure_paste(bright), QualityGates(), 96, "plane", HashBook()) == "clipped"


def test_sar_paste_matches_speckle() -> None:
    generator = np.random.default_rng(3)
    clutter = np.sqrt(generator.gamma(1.0, 100.0**2, (1, 96, 96))).astype(np.float32)
    smooth = np.sqrt(generator.gamma(16.0, 50.0**2 / 16, (1, 40, 40))).astype(np.float32)
    mask = disc(40, 14)
    smooth[0][mask] *= 8
    chip = ObjectChip(
        "c",
        "ship",
        "donor",
        smooth,
        mask,
        np.ones((40, 40), bool),
        box_corners(6, 6, 34, 34),
        "sar",
        "x-vv",
        None,
        None,
        "refined",
    )
    result = paste_object(clutter, chip, Pose(48, 48), generator, max_value=None, log=True)
    assert not isinstance(result, str)
    assert (result.pixels_chw > 0).all()
    looks = equivalent_looks(result.pixels_chw[0], disc(96, 12))
    assert looks < 4  # the ground has 1, the donor had 16
    ratio = np.median(result.pixels_chw[0][disc(96, 12)]) / np.median(clutter)
    assert 4 < ratio < 16


def test_sensor_model_statistics() -> None:
    generator = np.random.default_rng(0)
    flat = np.full((1, 200, 200), 1000.0)
    noisy = add_noise(flat, 0.5, 10.0, generator)
    assert noisy.std() == pytest.approx(np.sqrt(600), rel=0.03)
    assert noise_sigma(noisy, np.ones((200, 200), bool))[0] == pytest.approx(np.sqrt(600), rel=0.06)
    image = SensorModel(0.8, 0.5, 0.5, 10.0, 12).apply(flat, generator)
    assert ((image == np.rint(image)) & (image >= 0) & (image <= 4095)).all()
    point = np.zeros((1, 31, 31))
    point[0, 15, 15] = 1
    spread = apply_mtf(point, 2.0, 1.0)[0]
    offset = np.arange(31) - 15
    assert spread.sum() == pytest.approx(1)
    assert (spread.sum(axis=0) * offset**2).sum() == pytest.approx(4, rel=0.02)
    assert (spread.sum(axis=1) * offset**2).sum() == pytest.approx(1, rel=0.02)
    with pytest.raises(InputError):
        quantise(flat, 0)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.25, 3.0))
def test_resampling_keeps_size_and_mean(factor: float) -> None:
    signal = np.random.default_rng(2).uniform(100, 200, (2, 60, 48))
    resampled = resample_gsd(signal, factor, 1.0)
    assert resampled.shape == (2, round(60 * factor), round(48 * factor))
    assert resampled.mean() == pytest.approx(signal.mean(), rel=0.03)


def test_noise_and_speckle_matching_reach_their_target() -> None:
    generator = np.random.default_rng(4)
    where = np.ones((200, 200), bool)
    quiet = 1000 + generator.normal(0, 5, (1, 200, 200))
    matched = match_noise(quiet, where, np.array([5.0]), np.array([20.0]), generator)
    assert matched.std() == pytest.approx(20, rel=0.03)
    assert (match_noise(quiet, where, np.array([30.0]), np.array([20.0]), generator) == quiet).all()
    smooth = np.sqrt(generator.gamma(8.0, 1 / 8, (1, 200, 200)))
    rough = match_speckle(smooth, where, 8.0, 2.0, generator)[0] ** 2
    assert rough.mean() ** 2 / rough.var() == pytest.approx(2.0, rel=0.08)


def test_mask_follows_the_object_at_twelve_bits() -> None:
    chip = cross_chip(bands=3)
    inside = np.zeros((40, 40), bool)
    inside[10:28, 8:32] = True
    mask, how = refine_mask(chip.pixels_chw, inside, chip.valid_hw)
    assert how == "refined"
    assert (mask & chip.mask_hw).sum() / (mask | chip.mask_hw).sum() > 0.9
    part = np.full((1, 40, 40), 900, np.uint16) + np.arange(40, dtype=np.uint16) % 7
    part[0, 10:20, 8:20] = 3000  # a superstructure on a hull that does not stand out
    assert refine_mask(part, inside, chip.valid_hw)[1] == "polygon: silhouette is only a part"
    same, how = refine_mask(np.full((1, 40, 40), 7, np.uint16), inside, chip.valid_hw)
    assert how.startswith("polygon")
    assert (same == inside).all()


def test_gates_tell_objects_from_noise_and_seams() -> None:
    generator = np.random.default_rng(5)
    noise = generator.normal(1000, 10, (1, 80, 80))
    mask, domain = disc(80, 12), disc(80, 15)
    assert contrast(noise, mask, domain) < 1.6
    assert contrast(noise + 40 * mask, mask, domain) > 3
    assert seam_ratio(noise, domain) < 1.3
    assert seam_ratio(noise + 300 * domain, domain) > 2.5
    picture = generator.random((40, 40))
    assert difference_hash(picture) == difference_hash(picture * 900 + 12)
    book = HashBook()
    book.add("plane", difference_hash(picture))
    assert book.nearest("plane", difference_hash(picture)) == 0
    assert book.nearest("ship", difference_hash(picture)) == 65
    assert book.nearest("plane", difference_hash(generator.random((40, 40)))) > 5
