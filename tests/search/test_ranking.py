"""Decorrelated looks: what most of a corpus has in common counts little."""

import numpy as np
import pytest

from ovd_platform.search.ranking import looks, whitening_of
from ovd_platform.stores.vector_rows import units

DIM = 16


def corpus(rows: int = 600) -> np.ndarray:
    """Vectors that vary much along one axis and little along the others."""
    rng = np.random.default_rng(0)
    spread = np.full(DIM, 0.05)
    spread[0] = 1.0
    return (rng.normal(size=(rows, DIM)) * spread + 0.3).astype(np.float32)


def test_a_rare_direction_outweighs_a_common_one():
    sample = corpus()
    mean, whitening = sample.mean(axis=0), whitening_of(sample, 0.1)
    rare, common = np.zeros(DIM), np.zeros(DIM)
    rare[3], common[0] = 0.3, 0.3
    example = mean + rare + common
    plain = looks(np.stack([mean + rare, mean + common]).astype(np.float32), mean, None) @ looks(example[None], mean, None)[0]
    white = (
        looks(np.stack([mean + rare, mean + common]).astype(np.float32), mean, whitening)
        @ looks(example[None], mean, whitening)[0]
    )
    assert plain[0] == pytest.approx(plain[1], abs=1e-4)
    assert white[0] > white[1] + 0.3


def test_large_shrinkage_comes_to_plain_cosines_and_a_round_corpus_stays_as_it_is():
    sample = corpus()
    mean = sample.mean(axis=0)
    np.testing.assert_allclose(looks(sample, mean, whitening_of(sample, 1e6)), units(sample - mean), atol=1e-3)
    round_corpus = np.random.default_rng(1).normal(size=(20_000, DIM)).astype(np.float32)
    np.testing.assert_allclose(whitening_of(round_corpus), np.eye(DIM), atol=0.05)


def test_a_small_sample_is_not_decorrelated():
    assert whitening_of(corpus(DIM)) is None
