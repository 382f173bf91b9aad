"""How alike a row is to a prompt. Belongs here: the arithmetic of one search on arrays; reading rows is `query`'s.

``score = similarity - NEGATIVE_WEIGHT * max(0, cosine to the nearest negative) + OBJECTNESS_WEIGHT * objectness``

Similarity is a cosine after the corpus mean was taken away from the vectors (and the mean of background words from the
text); looks are also decorrelated by the corpus covariance, so that what most proposals have in common counts little (after Hariharan et
al. 2012, "Discriminative decorrelation for clustering and classification"). By chips it is the mean of the nearest chip's cosine and the prototype's; by words and chips it is the mean of both
weighted by the inverse of their spread over the corpus, so that neither drowns the other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError, ShapeError, VersionMismatchError
from ovd_platform.records.prompt import Prompt
from ovd_platform.stores.vector_rows import centred_units, units

OBJECTNESS_WEIGHT = 0.2
"""A real object outranks a look-alike patch of background; chosen on the calibration scenes of the Airbus set, where P@50 by five
examples rises with it and has levelled off here. An unlike object still loses: cosines of unlike things differ by more."""
NEGATIVE_WEIGHT = 0.5
WHITENING_SHRINKAGE = 0.5
"""Added to the eigenvalues of the corpus covariance, in units of their mean. Large values come to plain cosines, small ones follow
noise. On rendered scenes P@10 by five examples of a class nobody trained on rises from 0.22 (plain) to 0.6 and stays within a few
hundredths for the classes the weights know."""
_ROWS_PER_DIM = 4
BACKGROUND_WORDS = ("satellite image", "ground", "water", "vegetation", "buildings", "road", "an object")
EmbedText = Callable[[list[str]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class CompiledPrompt:
    """A prompt turned into vectors in the centred space of one table.

    Attributes:
        text_d: Unit language vector, or None.
        chips_nd: Unit visual vectors of the chips, or None.
        prototype_d: Unit mean of the chips, or None.
        negatives_nd: Unit visual vectors of what is not meant, shape (0, D) if there are none.
        language_mean_d: Mean of the corpus, or None without centring.
        visual_mean_d: Mean of the corpus, or None without centring.
        whitening_dd: What looks are multiplied by after the mean was taken away, symmetric; None for nothing.
        text_share: Weight of the words, [0, 1].
    """

    text_d: NDArray[np.float32] | None
    chips_nd: NDArray[np.float32] | None
    prototype_d: NDArray[np.float32] | None
    negatives_nd: NDArray[np.float32]
    language_mean_d: NDArray[np.float32] | None
    visual_mean_d: NDArray[np.float32] | None
    whitening_dd: NDArray[np.float32] | None
    text_share: float

    @property
    def columns(self) -> tuple[str, ...]:
        """Vector columns that are needed to score a row."""
        language = ("language",) if self.text_d is not None else ()
        visual = ("visual",) if self.chips_nd is not None or len(self.negatives_nd) else ()
        return (*language, *visual)


def compile_prompt(
    prompt: Prompt,
    embed_text: EmbedText | None,
    background: dict[str, NDArray[np.float32]],
    *,
    centre: bool = True,
) -> CompiledPrompt:
    """Turn a prompt into vectors.

    Args:
        prompt: The question.
        embed_text: Text tower of the encoder whose version the prompt names; None if it has none.
        background: Sample of the corpus per vector column, each (M, D); a missing column has no vectors in the table.
        centre: Take the corpus mean away.

    Raises:
        InputError: If there are words but no language tower, or no language vectors.
        VersionMismatchError: If the prompt's vectors and the table's differ in length.
    """
    means = {name: sample.mean(axis=0) if centre and len(sample) > 1 else None for name, sample in background.items()}
    whitening = whitening_of(background["visual"]) if centre and "visual" in background else None
    text_d = _text_vector(prompt, embed_text, background, centre=centre) if prompt.text else None
    chips = _visual_vectors(prompt.chip_vectors_nd, background, means.get("visual"), whitening)
    negatives = _visual_vectors(prompt.negative_vectors_nd, background, means.get("visual"), whitening)
    has_chips = chips is not None and len(chips) > 0
    if text_d is None and not has_chips:
        raise InputError("Cannot search: expected words or at least one example chip, got neither. Give --text or --chip.")
    compiled = CompiledPrompt(
        text_d=text_d,
        chips_nd=chips if has_chips else None,
        prototype_d=units(chips.mean(axis=0)) if chips is not None and has_chips else None,
        negatives_nd=negatives if negatives is not None else np.zeros((0, 1), dtype=np.float32),
        language_mean_d=means.get("language"),
        visual_mean_d=means.get("visual"),
        whitening_dd=whitening,
        text_share=1.0 if not has_chips else 0.0,
    )
    if text_d is None or not has_chips or not len(background["visual"]):
        return compiled
    if prompt.text_share is not None:
        return replace(compiled, text_share=prompt.text_share)
    words, looks = _text_cosine(compiled, background["language"]), _chip_cosine(compiled, background["visual"])
    spread_words, spread_looks = max(float(words.std()), 1e-3), max(float(looks.std()), 1e-3)
    share = (1 / spread_words) / (1 / spread_words + 1 / spread_looks)
    return replace(compiled, text_share=share)


def whitening_of(sample_md: NDArray[np.float32], shrinkage: float = WHITENING_SHRINKAGE) -> NDArray[np.float32] | None:
    """Inverse square root of a corpus' covariance, eigenvalues raised by ``shrinkage`` times their mean.

    Args:
        sample_md: Vectors of the corpus, shape (M, D).
        shrinkage: See `WHITENING_SHRINKAGE`.

    Returns:
        Shape (D, D), float32, symmetric, scaled so that a mean direction keeps its length; None for a sample too small to tell
        directions apart.
    """
    if len(sample_md) < _ROWS_PER_DIM * sample_md.shape[1]:
        return None
    covariance = np.cov(sample_md.astype(np.float64), rowvar=False)
    values, axes = np.linalg.eigh(covariance)
    mean = max(float(values.mean()), 1e-12)
    factors = np.sqrt((1 + shrinkage) * mean / (np.maximum(values, 0) + shrinkage * mean))
    return np.asarray((axes * factors) @ axes.T, dtype=np.float32)


def looks(
    vectors_nd: NDArray[np.float32], mean_d: NDArray[np.float32] | None, whitening_dd: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Unit visual vectors in the space in which they are compared, new array (N, D)."""
    if whitening_dd is None or mean_d is None:
        return centred_units(vectors_nd, mean_d)
    return units((vectors_nd - mean_d) @ whitening_dd)


def similarity(compiled: CompiledPrompt, vectors: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Similarity of rows to the prompt.

    Args:
        compiled: The prompt.
        vectors: Vectors of the rows per column, each (N, D), at least the columns the prompt needs.

    Returns:
        New array, shape (N,), float32, in [-1, 1].
    """
    parts = []
    if compiled.text_d is not None:
        parts.append((compiled.text_share, _text_cosine(compiled, vectors["language"])))
    if compiled.chips_nd is not None:
        parts.append((1.0 - compiled.text_share, _chip_cosine(compiled, vectors["visual"])))
    return np.asarray(sum(share * values for share, values in parts), dtype=np.float32)


def score(
    compiled: CompiledPrompt,
    similarity_n: NDArray[np.float32],
    vectors: dict[str, NDArray[np.float32]],
    objectness_n: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Rank value of rows: similarity less negatives plus a little objectness; shape (N,), float32."""
    result = similarity_n + OBJECTNESS_WEIGHT * objectness_n
    if len(compiled.negatives_nd):
        rows_nd = looks(vectors["visual"], compiled.visual_mean_d, compiled.whitening_dd)
        nearest = (rows_nd @ compiled.negatives_nd.T).max(axis=1) if len(rows_nd) else np.zeros(0, dtype=np.float32)
        result = result - NEGATIVE_WEIGHT * np.maximum(nearest, 0.0)
    return np.asarray(result, dtype=np.float32)


def _text_cosine(compiled: CompiledPrompt, language_nd: NDArray[np.float32]) -> NDArray[np.float32]:
    assert compiled.text_d is not None
    return np.asarray(centred_units(language_nd, compiled.language_mean_d) @ compiled.text_d, dtype=np.float32)


def _chip_cosine(compiled: CompiledPrompt, visual_nd: NDArray[np.float32]) -> NDArray[np.float32]:
    assert compiled.chips_nd is not None
    assert compiled.prototype_d is not None
    if not len(visual_nd):
        return np.zeros(0, dtype=np.float32)
    rows_nd = looks(visual_nd, compiled.visual_mean_d, compiled.whitening_dd)
    nearest = (rows_nd @ compiled.chips_nd.T).max(axis=1)
    return np.asarray(0.5 * (nearest + rows_nd @ compiled.prototype_d), dtype=np.float32)


def _text_vector(
    prompt: Prompt, embed_text: EmbedText | None, background: dict[str, NDArray[np.float32]], *, centre: bool
) -> NDArray[np.float32]:
    if embed_text is None or "language" not in background:
        raise InputError(
            f"Cannot search for {prompt.text!r} with encoder {prompt.model_version}: expected an encoder with a language "
            "tower, got one without. Give example chips (--chip), or embed the scenes with a trained domain CLIP."
        )
    words = np.asarray(embed_text([prompt.text, *BACKGROUND_WORDS]), dtype=np.float32)
    _check_length(words, background["language"], "language")
    return units(words[0] - words[1:].mean(axis=0) if centre else words[0])


def _visual_vectors(
    vectors_nd: NDArray[np.float32] | None,
    background: dict[str, NDArray[np.float32]],
    mean_d: NDArray[np.float32] | None,
    whitening_dd: NDArray[np.float32] | None,
) -> NDArray[np.float32] | None:
    if vectors_nd is None:
        return None
    if vectors_nd.ndim != 2:
        raise ShapeError(f"Cannot search by chips: expected vectors of shape (N, D), got {vectors_nd.shape}.")
    _check_length(vectors_nd, background["visual"], "visual")
    return looks(units(vectors_nd), mean_d, whitening_dd)


def _check_length(vectors_nd: NDArray[np.float32], corpus_nd: NDArray[np.float32], column: str) -> None:
    if vectors_nd.shape[1] != corpus_nd.shape[1]:
        raise VersionMismatchError(
            f"Cannot compare {column} vectors: expected length {corpus_nd.shape[1]} as stored, got {vectors_nd.shape[1]}. "
            "Make the prompt with the encoder whose version the table carries."
        )
