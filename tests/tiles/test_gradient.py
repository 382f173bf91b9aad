"""The compiled gradient histogram against a slow one."""

import numpy as np
import pytest

from ovd_platform.tiles.gradient import BINS, bin_edge, bin_of, gradient_counts


def test_counts_equal_a_plain_computation() -> None:
    rng = np.random.default_rng(0)
    band = rng.normal(0, 10.0 ** rng.integers(-2, 4, (23, 31))).astype(np.float32)
    band[5:9] = 3.0
    valid = rng.random((23, 31)) > 0.1
    counts = gradient_counts(band, valid)
    expected = np.zeros(BINS, int)
    for row, col in np.argwhere(valid):
        right = band[row, col + 1] - band[row, col] if col < 30 and valid[row, col + 1] else np.float32(0)
        below = band[row + 1, col] - band[row, col] if row < 22 and valid[row + 1, col] else np.float32(0)
        expected[bin_of(float(np.sqrt(np.float64(right) ** 2 + np.float64(below) ** 2)))] += 1
    assert np.abs(counts - expected).sum() <= 2, "rounding may move a value across an edge"
    assert counts.sum() == valid.sum()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (17, 30)])
def test_without_a_mask_the_same_is_counted(dtype: str, shape: tuple[int, int]) -> None:
    whole = np.random.default_rng(1).integers(0, 255, (20, 40)).astype(dtype)
    whole[3:6] = 77
    band = whole[1 : 1 + shape[0], 2 : 2 + shape[1]]
    counts = gradient_counts(band, None)
    assert np.array_equal(counts, gradient_counts(band, np.ones(shape, bool)))
    assert counts.sum() == band.size


def test_edges_and_bins_agree() -> None:
    edges = [bin_edge(key) for key in range(BINS)]
    assert edges == sorted(edges)
    for key in range(2, BINS - 1):
        assert bin_of(bin_edge(key) * 1.001) == key
        assert bin_of(bin_edge(key) * 0.999) == key - 1
