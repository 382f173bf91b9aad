"""Vectors that stand for classes and for background, and margins to them.

Belongs here: making prototypes from words and examples, and the margin of a row to a class. Does not belong here: fitting
weights, probabilities and thresholds (`calibrate`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ovd_platform.detect.vocabulary import Vocabulary
from ovd_platform.errors import VersionMismatchError
from ovd_platform.stores.vector_rows import centred_units, units, vectors_of

FloatArray = NDArray[np.float32]
MANY_EXAMPLES = 20
MAX_PROTOTYPES = 6
BACKGROUND_PROTOTYPES = 8


def vocabulary_vectors(vocabulary: Vocabulary, embed_text: Callable[[list[str]], FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Language vectors of a vocabulary: one per class (mean of its prompts, unit) and one per background phrase.

    Args:
        vocabulary: The vocabulary, K classes, B background phrases.
        embed_text: Words to unit vectors, (list of M) -> (M, D).

    Returns:
        ``text_vectors_kd`` of shape (K, D) and ``background_bd`` of shape (B, D), float32.
    """
    phrases = [phrase for entry in vocabulary.classes for phrase in entry.prompts]
    vectors = np.asarray(embed_text([*phrases, *vocabulary.background]), dtype=np.float32)
    ends = np.cumsum([len(entry.prompts) for entry in vocabulary.classes])
    text_kd = np.stack([part.mean(axis=0) for part in np.split(vectors[: len(phrases)], ends[:-1])])
    return units(text_kd), units(vectors[len(phrases) :])


def visual_prototypes(examples_nd: FloatArray, seed: int = 0) -> FloatArray:
    """Prototypes of examples: their mean, or several by k-means where there are more than `MANY_EXAMPLES`.

    Args:
        examples_nd: Unit vectors, shape (N, D).
        seed: Of k-means.

    Returns:
        Unit vectors, shape (P, D); P is 0 without examples.
    """
    n = len(examples_nd)
    if n == 0:
        return np.zeros((0, examples_nd.shape[1]), dtype=np.float32)
    if n <= MANY_EXAMPLES:
        return units(examples_nd.mean(axis=0, keepdims=True))
    return _k_means(examples_nd, min(MAX_PROTOTYPES, n // 10), seed)


def background_prototypes(vectors_nd: FloatArray, objectness_n: FloatArray, seed: int = 0, sample: int = 2000) -> FloatArray:
    """Prototypes of what is no object, from a random sample of the less object-like half of unlabelled proposals.

    Args:
        vectors_nd: Unit vectors of proposals that match no label, shape (N, D).
        objectness_n: Their objectness, shape (N,).
        seed: Of the sample and k-means.
        sample: Most vectors looked at.

    Returns:
        Unit vectors, shape (P, D), P at most `BACKGROUND_PROTOTYPES`; 0 below 10 vectors.
    """
    low = np.flatnonzero(objectness_n <= np.median(objectness_n)) if len(objectness_n) else np.zeros(0, np.int64)
    if len(low) < 10:
        return np.zeros((0, vectors_nd.shape[1]), dtype=np.float32)
    low = np.sort(np.random.default_rng(seed).permutation(low)[:sample])
    return _k_means(vectors_nd[low], min(BACKGROUND_PROTOTYPES, len(low) // 5), seed)


def _k_means(vectors_nd: FloatArray, clusters: int, seed: int) -> FloatArray:
    from sklearn.cluster import KMeans

    fitted = KMeans(n_clusters=max(1, clusters), n_init=3, random_state=seed).fit(vectors_nd)
    return units(fitted.cluster_centers_)


@dataclass(frozen=True, slots=True, eq=False)
class PrototypeSpace:
    """Where rows, words and prototypes are compared: everything centred, everything unit.

    Attributes:
        visual_mean_d: Mean of the corpus, shape (D,); length 0 means no centring.
        language_mean_d: Mean of the corpus, shape (E,); length 0 means no centring.
        text_mean_d: Mean of all words of the vocabulary, shape (E,); length 0 without a language tower.
        background_text_bd: Background words, shape (B, E), as embedded.
        background_visual_bd: Background prototypes, shape (P, D), centred unit.
    """

    visual_mean_d: FloatArray
    language_mean_d: FloatArray
    text_mean_d: FloatArray
    background_text_bd: FloatArray
    background_visual_bd: FloatArray

    def visual(self, rows: pa.Table) -> FloatArray:
        """Centred unit visual vectors of rows, shape (N, D)."""
        vectors = vectors_of(rows, "visual")
        self._check(vectors, self.visual_mean_d, "visual")
        return centred_units(vectors, self.visual_mean_d if len(self.visual_mean_d) else None)

    def text_margins(self, rows: pa.Table, text_vectors_kd: FloatArray | None) -> FloatArray:
        """Cosine of rows to the words of each class minus the cosine to the best background words.

        Args:
            rows: Rows of a vector table.
            text_vectors_kd: Words of each class as embedded, shape (K, E), or None without a language tower.

        Returns:
            Shape (N, K), float32; zeros where there is no language tower.
        """
        if text_vectors_kd is None:
            return np.zeros((len(rows), 0), dtype=np.float32)
        if "language" not in rows.column_names or not len(rows):
            return np.zeros((len(rows), len(text_vectors_kd)), dtype=np.float32)
        vectors = vectors_of(rows, "language")
        self._check(vectors, text_vectors_kd[0], "language")
        looks_nd = centred_units(vectors, self.language_mean_d if len(self.language_mean_d) else None)
        mean = self.text_mean_d if len(self.text_mean_d) else None
        margins = looks_nd @ centred_units(text_vectors_kd, mean).T
        if len(self.background_text_bd):
            margins -= (looks_nd @ centred_units(self.background_text_bd, mean).T).max(axis=1, keepdims=True)
        return np.asarray(margins, dtype=np.float32)

    def visual_margin(self, visual_nd: FloatArray, prototypes_pd: FloatArray) -> FloatArray:
        """Cosine of centred rows to the nearest prototype minus that to the best background prototype; shape (N,)."""
        if not len(prototypes_pd) or not len(visual_nd):
            return np.zeros(len(visual_nd), dtype=np.float32)
        margin = (visual_nd @ prototypes_pd.T).max(axis=1)
        if len(self.background_visual_bd):
            margin -= (visual_nd @ self.background_visual_bd.T).max(axis=1)
        return np.asarray(margin, dtype=np.float32)

    @staticmethod
    def _check(vectors_nd: FloatArray, like_d: FloatArray, column: str) -> None:
        if len(like_d) and vectors_nd.shape[1] != len(like_d):
            raise VersionMismatchError(
                f"Cannot compare {column} vectors: expected length {len(like_d)}, got {vectors_nd.shape[1]}. "
                "Use rows, words and calibration of one encoder version."
            )
