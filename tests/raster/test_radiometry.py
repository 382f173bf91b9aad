"""DN -> model input: monotone at every depth, per instrument and never per chip; histograms exact and additive."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.errors import InputError, ShapeError
from ovd_platform.raster.histogram import BandHistogram
from ovd_platform.raster.radiometry import (
    InstrumentProfile,
    band_wavelengths,
    display_bands,
    merge_histograms,
    normalise,
    profile_from_histograms,
)
from ovd_platform.records.scene import Band, SceneRecord


@pytest.mark.parametrize("bits", [8, 11, 12, 14, 16])
@pytest.mark.parametrize("bands", [1, 3, 4, 8])
def test_normalise_is_monotone_in_the_digital_number(bits: int, bands: int) -> None:
    rng = np.random.default_rng(bits * 10 + bands)
    dtype = np.uint8 if bits == 8 else np.uint16
    values = rng.integers(0, 2**bits, size=(bands, 4000)).astype(dtype)
    histograms = [BandHistogram.for_dtype(dtype) for _ in range(bands)]
    for histogram, row in zip(histograms, values, strict=True):
        histogram.accumulate(row)
    profile = profile_from_histograms(histograms, "opt")
    ramp_chw = np.broadcast_to(np.arange(2**bits).astype(dtype)[None, None], (bands, 1, 2**bits))
    out = normalise(ramp_chw, np.ones((1, 2**bits), bool), profile)
    steps = np.diff(out[:, 0], axis=1)
    assert out.dtype == np.float32
    assert steps.min() >= 0
    assert out.min() == 0.0
    assert out.max() <= 1.25
    low, high = int(profile.low_c[0]), int(profile.high_c[0])
    assert (steps[0, low:high] > 0).all(), "values between P1 and P99 must stay distinct"


def test_normalisation_does_not_depend_on_the_chip() -> None:
    profile = InstrumentProfile("opt", (100.0,), (3000.0,))
    quiet = np.full((1, 4, 4), 400, np.uint16)
    busy = quiet.copy()
    busy[0, 0, 0] = 4095
    valid = np.ones((4, 4), bool)
    assert np.array_equal(normalise(quiet, valid, profile)[0, 1:], normalise(busy, valid, profile)[0, 1:])


def test_invalid_pixels_and_nan_are_zero() -> None:
    pixels = np.array([[[np.nan, 5.0, 7.0]]], np.float32)
    out = normalise(pixels, np.array([[False, True, False]]), InstrumentProfile("f", (0.0,), (10.0,)))
    assert out[0, 0].tolist() == [0.0, 0.5, 0.0]


def test_sar_is_normalised_in_decibels_and_complex_by_magnitude() -> None:
    profile = InstrumentProfile("sar", (0.0,), (40.0,), log=True)
    amplitude = np.array([[[1.0, 10.0, 100.0]]], np.float32)
    valid = np.ones((1, 3), bool)
    assert np.allclose(normalise(amplitude, valid, profile), [[[0.0, 0.5, 1.0]]], atol=1e-6)
    phase = np.exp(1j * np.array([0.3, 2.0, -1.0])).astype(np.complex64)
    assert np.allclose(normalise(amplitude * phase, valid, profile), normalise(amplitude, valid, profile), atol=1e-5)
    with pytest.raises(InputError, match="complex"):
        normalise(amplitude * phase, valid, InstrumentProfile("sar", (0.0,), (40.0,)))


def test_wrong_bands_are_refused() -> None:
    with pytest.raises(ShapeError, match="profile of opt"):
        normalise(np.zeros((2, 3, 3), np.uint8), np.ones((3, 3), bool), InstrumentProfile("opt", (0.0,), (1.0,)))
    with pytest.raises(InputError):
        InstrumentProfile("opt", (5.0,), (5.0,))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=60), st.floats(0, 1))
def test_integer_percentiles_are_exact(values: list[int], q: float) -> None:
    histogram = BandHistogram.for_dtype("int16")
    histogram.accumulate(np.array(values, np.int16))
    assert histogram.percentile(q) == sorted(values)[max(0, int(np.ceil(q * len(values))) - 1)]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0.008), ("float64", 0.008)])
def test_float_percentiles_are_close_and_negative_values_sort(dtype: str, tolerance: float) -> None:
    values = np.random.default_rng(1).normal(0, 1000, 20001).astype(dtype)
    histogram = BandHistogram.for_dtype(dtype)
    histogram.accumulate(values)
    for q in (0.01, 0.2, 0.8, 0.99):
        assert histogram.percentile(q) == pytest.approx(np.quantile(values, q), rel=tolerance)


def test_merging_equals_counting_together_and_round_trips() -> None:
    rng = np.random.default_rng(2)
    left, right = rng.integers(0, 4096, (2, 500)).astype(np.uint16)
    parts = [BandHistogram.for_dtype("uint16") for _ in range(3)]
    parts[0].accumulate(left)
    parts[1].accumulate(right)
    parts[2].accumulate(np.concatenate([left, right]))
    merged = merge_histograms([[parts[0]], [parts[1]]])[0]
    assert np.array_equal(merged.counts, parts[2].counts)
    assert np.array_equal(BandHistogram.from_dict(merged.to_dict()).counts, merged.counts)
    with pytest.raises(InputError):
        merged.merged(BandHistogram("db"))


def test_profile_round_trip_and_constant_scene() -> None:
    histogram = BandHistogram.for_dtype("uint16")
    histogram.accumulate(np.full(10, 7, np.uint16))
    profile = profile_from_histograms([histogram], "opt")
    assert (profile.low_c, profile.high_c) == ((7.0,), (8.0,))
    assert InstrumentProfile.from_dict(profile.to_dict()) == profile


def test_wavelengths_come_from_the_record_or_colour_names_only() -> None:
    bands = (Band("blue"), Band("green"), Band("red", 0.65), Band("band4"))
    record = SceneRecord("s", "s", "v", "optical", "i", 5, 5, bands, "uint8")
    assert band_wavelengths(record) == [0.49, 0.56, 0.65, None]
    assert display_bands(record) == (2, 1, 0)
