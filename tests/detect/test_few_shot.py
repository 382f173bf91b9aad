"""A class from a few examples, and what its scores are worth."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.detect.few_shot import Corpus, fit_few_shot
from ovd_platform.detect.probability import fit_probability
from ovd_platform.detect.thresholds import threshold_at_precision
from ovd_platform.detect.worth import FEWEST_JUDGED, judge
from ovd_platform.errors import InputError
from ovd_platform.stores.vector_rows import units


def corpus_with_a_class(seed=0, rare=30):
    """Vectors that vary mostly along a few directions; the class differs along a quiet one."""
    rng = np.random.default_rng(seed)
    spread = np.concatenate([np.full(4, 3.0), np.full(28, 0.5)])
    vectors = rng.normal(size=(1500, 32)) * spread + 4.0
    vectors[:rare, 20:23] += 1.6
    return units(vectors.astype(np.float32)), np.arange(1500) < rare


@pytest.mark.parametrize("kind", ["prototype", "logistic", "mlp", None])
def test_a_quiet_difference_is_found_by_every_scorer(kind):
    from sklearn.metrics import average_precision_score

    vectors, true = corpus_with_a_class()
    corpus = Corpus.of(vectors)
    made = fit_few_shot(vectors[:8], corpus, kind)
    rest = np.arange(8, len(vectors))
    plain = vectors[rest] @ units(vectors[:8].mean(0, keepdims=True))[0]
    own = average_precision_score(true[rest], made(vectors[rest]))
    assert own > 0.5
    assert own > 2 * average_precision_score(true[rest], plain), "the corpus' own shape is taken into account"


def test_too_few_examples_are_refused():
    vectors, _ = corpus_with_a_class()
    with pytest.raises(InputError, match="at least"):
        fit_few_shot(vectors[:2], Corpus.of(vectors))


def draw(count, share, seed, sharpness=1.5):
    rng = np.random.default_rng(seed)
    true = rng.random(count) < share
    return rng.normal(sharpness * true, 1.0), true


@pytest.mark.parametrize("kind", ["platt", "beta", "isotonic", None])
@pytest.mark.parametrize(("count", "share"), [(400, 0.1), (20_000, 0.2)])
def test_probabilities_are_calibrated_and_rise(kind, count, share):
    score, true = draw(count, share, 1)
    fitted = fit_probability(score, true, kind)
    assert fitted is not None
    if kind is None:
        assert fitted.kind == ("isotonic" if count > 5000 else "beta" if true.sum() >= 40 else "platt")
    fresh, answers = draw(20_000, share, 2)
    said = fitted(fresh)
    assert ((said > 0) & (said < 1)).all()
    edges = np.quantile(said, [0, 0.5, 0.8, 0.95, 1])
    for low, high in itertools.pairwise(edges):
        inside = (said >= low) & (said <= high)
        assert said[inside].mean() == pytest.approx(answers[inside].mean(), abs=0.03 if count > 5000 else 0.12)
    assert (np.diff(fitted(np.linspace(-4, 6, 200))) >= -1e-12).all()


def test_the_free_curve_follows_what_a_logistic_cannot():
    rng = np.random.default_rng(3)
    score = rng.uniform(0, 1, 30_000)
    truth = np.where(score < 0.5, 0.1, 0.6)
    true = rng.random(30_000) < truth
    errors = {}
    for kind in ("platt", "isotonic"):
        fitted = fit_probability(score, true, kind)
        assert fitted is not None
        errors[kind] = np.abs(fitted(score) - truth).mean()
    assert errors["isotonic"] < 0.3 * errors["platt"]


def test_a_score_that_means_the_opposite_abstains():
    score, true = draw(500, 0.3, 4)
    assert fit_probability(-score, true) is None
    assert judge(-score, true, 0.9).reason.startswith("abstains")
    with pytest.raises(InputError, match="right and wrong"):
        fit_probability(score, np.ones(500, bool))


def test_judging_abstains_without_evidence_and_states_an_interval():
    score, true = draw(4000, 0.2, 5, sharpness=3.5)
    few = np.flatnonzero(true)[FEWEST_JUDGED - 1 :]
    assert judge(np.delete(score, few), np.delete(true, few), 0.9).threshold is None
    worth = judge(score, true, 0.9)
    assert worth.threshold is not None
    assert worth.precision_low < worth.precision < worth.precision_high
    fresh, answers = draw(40_000, 0.2, 6, sharpness=3.5)
    assert answers[fresh >= worth.threshold].mean() >= 0.88
    hard, hopeless = draw(4000, 0.02, 7, sharpness=0.3)
    assert "accepts nothing" in judge(hard, hopeless, 0.95).reason


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_assurance_only_raises_the_threshold(seed):
    score, true = draw(300, 0.4, seed)
    bold, careful = threshold_at_precision(score, true, 0.6), threshold_at_precision(score, true, 0.6, assurance=1.0)
    if careful is not None:
        assert bold is not None
        assert careful[0] >= bold[0]
