"""A class from a handful of examples, after the fact: no pixel is read, only rows of the vector table.

Belongs here: scorers made of 5 to 20 examples. Does not belong here: what scores are worth (`worth`), classes with a vocabulary, kept
and calibrated (`calibrate`, `marked`), searching tables (`search`).

Everything that is not an example is taken as background. That is wrong for the rest of the class, which is rare, so every
scorer is strongly regularised towards the corpus' own shape (Hariharan et al. 2012).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError
from ovd_platform.search.ranking import looks, whitening_of
from ovd_platform.stores.vector_rows import units

FloatArray = NDArray[np.float32]
Scorer = Literal["prototype", "logistic", "mlp"]
FEWEST_EXAMPLES = 3
BACKGROUND = 2000
_SHRINKAGE = 0.43
_HIDDEN = 32


@dataclass(frozen=True, eq=False)
class Corpus:
    """Shape of all vectors of a table, which every few-shot scorer is measured against.

    Attributes:
        mean_d: Mean, shape (D,).
        whitening_dd: What decorrelates vectors (`search.ranking.whitening_of`), shape (D, D); the identity where they are too few to tell.
        background_nd: A sample of whitened unit vectors, shape (N, D).
    """

    mean_d: FloatArray
    whitening_dd: FloatArray
    background_nd: FloatArray

    @classmethod
    def of(cls, vectors_nd: FloatArray, *, seed: int = 0, sample: int = BACKGROUND) -> "Corpus":
        """Measure vectors of a table.

        Args:
            vectors_nd: Unit vectors, shape (N, D).
            seed: Of the sample.
            sample: Vectors kept as background.

        Raises:
            InputError: With fewer than two vectors.
        """
        if len(vectors_nd) < 2:
            raise InputError(f"Cannot measure a corpus of {len(vectors_nd)} vectors: expected at least two. Embed more scenes.")
        mean_d = vectors_nd.mean(0)
        whitening = whitening_of(vectors_nd, _SHRINKAGE)
        if whitening is None:
            whitening = np.eye(len(mean_d), dtype=np.float32)
        made = cls(mean_d.astype(np.float32), whitening, np.zeros((0, len(mean_d)), np.float32))
        chosen = np.sort(np.random.default_rng(seed).permutation(len(vectors_nd))[:sample])
        return cls(made.mean_d, made.whitening_dd, made.whitened(vectors_nd[chosen]))

    def whitened(self, vectors_nd: FloatArray) -> FloatArray:
        """Vectors without the corpus' mean and correlations, unit, shape (N, D)."""
        return looks(vectors_nd, self.mean_d, self.whitening_dd)


@dataclass(frozen=True, eq=False)
class FewShotClass:
    """A class made of examples.

    Attributes:
        kind: What scores.
        examples: Number of examples.
        score: Whitened vectors to scores.
        corpus: What the vectors are measured against.
    """

    kind: Scorer
    examples: int
    score: Callable[[FloatArray], NDArray[np.float64]]
    corpus: Corpus

    def __call__(self, vectors_nd: FloatArray) -> NDArray[np.float64]:
        """Scores of rows, shape (N,), comparable inside the class only.

        Args:
            vectors_nd: Unit vectors of the corpus' encoder, shape (N, D).
        """
        return self.score(self.corpus.whitened(vectors_nd))


def fit_few_shot(examples_nd: FloatArray, corpus: Corpus, kind: Scorer | None = None, *, seed: int = 0) -> FewShotClass:
    """Make a scorer from examples.

    Args:
        examples_nd: Unit vectors of the examples, shape (N, D).
        corpus: Of the table that is searched.
        kind: ``prototype`` (cosine to their mean), ``logistic`` or ``mlp``; None takes whichever ranks left-out examples best.
        seed: Of the MLP's start.

    Raises:
        InputError: With fewer than `FEWEST_EXAMPLES` examples.
    """
    if len(examples_nd) < FEWEST_EXAMPLES:
        raise InputError(
            f"Cannot make a class of {len(examples_nd)} examples: expected at least {FEWEST_EXAMPLES}. "
            "Mark more, or search by the examples you have."
        )
    white = corpus.whitened(examples_nd)
    if kind is None:
        kinds: tuple[Scorer, ...] = ("prototype", "logistic")
        ranks = [_left_out(white, corpus, one, seed) for one in kinds]
        kind = kinds[int(np.argmax(ranks))]  # A draw goes to the prototype.
    return FewShotClass(kind, len(white), _scorer(white, corpus, kind, seed), corpus)


def _scorer(white_nd: FloatArray, corpus: Corpus, kind: Scorer, seed: int) -> Callable[[FloatArray], NDArray[np.float64]]:
    if kind == "prototype":
        centre_d = units(white_nd.mean(0, keepdims=True))[0]
        return lambda vectors: np.asarray(vectors @ centre_d, dtype=np.float64)
    features = np.concatenate([white_nd, corpus.background_nd]) * np.sqrt(white_nd.shape[1])
    true = np.arange(len(features)) < len(white_nd)
    scale = np.sqrt(white_nd.shape[1])
    if kind == "logistic":
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=0.003, class_weight="balanced", max_iter=300).fit(features, true)
        weights_d, constant = model.coef_[0] * scale, float(model.intercept_[0])
        return lambda vectors: np.asarray(vectors @ weights_d + constant, dtype=np.float64)
    from sklearn.neural_network import MLPClassifier

    # Examples are repeated until they weigh as much as the background: the MLP knows no class weights.
    repeats = max(1, len(corpus.background_nd) // len(white_nd) // 4)
    rows = np.concatenate([np.repeat(np.flatnonzero(true), repeats), np.flatnonzero(~true)])
    network = MLPClassifier((_HIDDEN,), alpha=1.0, max_iter=30, early_stopping=False, random_state=seed, tol=0.0)
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # A fixed, short training is part of the regularisation.
        network.fit(features[rows], true[rows])
    return lambda vectors: np.log(np.clip(network.predict_proba(vectors * scale), 1e-12, 1)) @ np.array([-1.0, 1.0])


def _left_out(white_nd: FloatArray, corpus: Corpus, kind: Scorer, seed: int) -> float:
    """Mean reciprocal rank among the background of examples that were left out, in at most five parts."""
    parts = np.array_split(np.arange(len(white_nd)), min(5, len(white_nd)))
    ranks = []
    for part in parts:
        rest = np.delete(white_nd, part, axis=0)
        score = _scorer(rest, corpus, kind, seed)
        above = score(corpus.background_nd)[None] > score(white_nd[part])[:, None]
        ranks.extend((1.0 / (1.0 + above.sum(1))).tolist())
    return float(np.mean(ranks))
