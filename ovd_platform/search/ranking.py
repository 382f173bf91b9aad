"""How alike a row is to a prompt. Belongs here: the arithmetic of one search on arrays; reading rows is `query`'s.

``score = similarity - NEGATIVE_WEIGHT * max(0, cosine to the nearest negative) + OBJECTNESS_WEIGHT * objectness``

Similarity is a cosine after the corpus mean was taken away from the vectors (and the mean of background words from the
text); looks are also decorrelated by the corpus covariance, so that what most proposals have in common counts little (after Hariharan et
al. 2012, "Discriminative decorrelation for clustering and classification"). By chips it is the mean of the nearest chip's cosine and the prototype's; by words and chips it is the mean of both
weighted by the inverse of their spread over the corpus, so that neither drowns the other. Marks add a learnt direction (`feedback`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError, ShapeError, VersionMismatchError
from ovd_platform.records.prompt import Prompt, Words
from ovd_platform.search.feedback import LearntDirection, learn_direction
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
        chip_weights_n: Weight of each chip, at most 1, or None for all alike.
        negative_weights_n: Weight of each negative, at most 1, or None for all alike.
        not_text_kd: Unit language vectors of phrases that are not meant, shape (K, E), or None.
        not_text_weights_k: Their weights.
        learnt: What marks taught, or None.
    """

    text_d: NDArray[np.float32] | None
    chips_nd: NDArray[np.float32] | None
    prototype_d: NDArray[np.float32] | None
    negatives_nd: NDArray[np.float32]
    language_mean_d: NDArray[np.float32] | None
    visual_mean_d: NDArray[np.float32] | None
    whitening_dd: NDArray[np.float32] | None
    text_share: float
    chip_weights_n: NDArray[np.float32] | None = None
    negative_weights_n: NDArray[np.float32] | None = None
    not_text_kd: NDArray[np.float32] | None = None
    not_text_weights_k: NDArray[np.float32] | None = None
    learnt: LearntDirection | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Vector columns that are needed to score a row."""
        language = ("language",) if self.text_d is not None or self.not_text_kd is not None else ()
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
    whitening = cached_whitening(background["visual"]) if centre and "visual" in background else None
    text_d, not_text = _text_vectors(prompt.words, prompt.model_version, embed_text, background, centre=centre)
    given, chip_weights = _joined(prompt.chip_vectors_nd, prompt.chip_weights_n, prompt.liked_nd)
    avoided, negative_weights = _joined(prompt.negative_vectors_nd, prompt.negative_weights_n, prompt.disliked_nd)
    chips = _visual_vectors(given, background, means.get("visual"), whitening)
    negatives = _visual_vectors(avoided, background, means.get("visual"), whitening)
    has_chips = chips is not None and len(chips) > 0
    if text_d is None and not has_chips:
        raise InputError("Cannot search: expected words or at least one example chip, got neither. Give --text or --chip.")
    compiled = CompiledPrompt(
        text_d=text_d,
        chips_nd=chips if has_chips else None,
        prototype_d=_prototype(chips, chip_weights) if chips is not None and has_chips else None,
        negatives_nd=negatives if negatives is not None else np.zeros((0, 1), dtype=np.float32),
        language_mean_d=means.get("language"),
        visual_mean_d=means.get("visual"),
        whitening_dd=whitening,
        text_share=1.0 if not has_chips else 0.0,
        chip_weights_n=chip_weights,
        negative_weights_n=negative_weights,
        not_text_kd=not_text[0] if not_text else None,
        not_text_weights_k=not_text[1] if not_text else None,
    )
    if text_d is not None and has_chips and len(background["visual"]):
        compiled = replace(compiled, text_share=_text_share(compiled, prompt, background))
    return _with_feedback(compiled, prompt, background)


def _text_share(compiled: CompiledPrompt, prompt: Prompt, background: dict[str, NDArray[np.float32]]) -> float:
    if prompt.text_share is not None:
        return prompt.text_share
    words, looks = _text_cosine(compiled, background["language"]), _chip_cosine(compiled, background["visual"])
    spread_words, spread_looks = max(float(words.std()), 1e-3), max(float(looks.std()), 1e-3)
    return (1 / spread_words) / (1 / spread_words + 1 / spread_looks)


def _with_feedback(compiled: CompiledPrompt, prompt: Prompt, background: dict[str, NDArray[np.float32]]) -> CompiledPrompt:
    """Learn from marks: only where a person marked answers, and visual vectors are there to learn on."""
    liked, disliked = _count(prompt.liked_nd), _count(prompt.disliked_nd)
    if not liked + disliked or "visual" not in background or compiled.chips_nd is None:
        return compiled
    examples_nd = compiled.chips_nd
    if compiled.text_d is not None:  # words count as two examples beside what was marked right
        compiled = replace(compiled, text_share=compiled.text_share * 2.0 / (2.0 + liked))
    sample_nd = looks(background["visual"], compiled.visual_mean_d, compiled.whitening_dd)
    similarity_m = _chip_cosine(compiled, background["visual"])
    wrong_nd = compiled.negatives_nd if len(compiled.negatives_nd) else sample_nd[:0]
    learnt = learn_direction(examples_nd, wrong_nd, sample_nd, similarity_m, right_weights_n=compiled.chip_weights_n)
    return replace(compiled, learnt=learnt)


def _count(vectors_nd: NDArray[np.float32] | None) -> int:
    return 0 if vectors_nd is None else len(vectors_nd)


def _joined(
    vectors_nd: NDArray[np.float32] | None, weights_n: NDArray[np.float32] | None, marked_nd: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """Examples and marked answers as one list, with weights of at most 1; None for the weights where all are alike."""
    parts = [part for part in (vectors_nd, marked_nd) if part is not None and len(part)]
    joined = np.concatenate(parts) if parts else None
    if weights_n is None or joined is None:
        return joined, None
    weights = np.ones(len(joined), dtype=np.float32)
    weights[: len(weights_n)] = weights_n
    return joined, weights / weights.max()


def _prototype(chips_nd: NDArray[np.float32], weights_n: NDArray[np.float32] | None) -> NDArray[np.float32]:
    return units(chips_nd.mean(axis=0) if weights_n is None else weights_n @ chips_nd)


_WHITENING: dict[tuple[int, int], tuple[NDArray[np.float32], NDArray[np.float32] | None]] = {}
_MOST_WHITENINGS = 4


def cached_whitening(sample_md: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """`whitening_of` a sample, remembered for the few samples asked last: its eigenvectors take most of a search's time."""
    place = (id(sample_md), len(sample_md))
    known = _WHITENING.get(place)
    if known is None or known[0] is not sample_md:
        known = (sample_md, whitening_of(sample_md))
        while len(_WHITENING) >= _MOST_WHITENINGS:
            _WHITENING.pop(next(iter(_WHITENING)), None)
        _WHITENING[place] = known
    return known[1]


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
    if compiled.learnt is not None or len(compiled.negatives_nd):
        rows_nd = looks(vectors["visual"], compiled.visual_mean_d, compiled.whitening_dd)
        if len(compiled.negatives_nd):
            result = result - NEGATIVE_WEIGHT * np.maximum(
                _nearest(rows_nd, compiled.negatives_nd, compiled.negative_weights_n), 0.0
            )
        if compiled.learnt is not None:
            share = compiled.learnt.share
            result = (1 - share) * result + share * (compiled.learnt.score(rows_nd) + OBJECTNESS_WEIGHT * objectness_n)
    if compiled.not_text_kd is not None:
        words_nd = centred_units(vectors["language"], compiled.language_mean_d)
        result = result - NEGATIVE_WEIGHT * np.maximum(
            _nearest(words_nd, compiled.not_text_kd, compiled.not_text_weights_k), 0.0
        )
    return np.asarray(result, dtype=np.float32)


def _nearest(
    rows_nd: NDArray[np.float32], others_md: NDArray[np.float32], weights_m: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Highest weighted cosine of each row to any of the others, shape (N,)."""
    cosine_nm = rows_nd @ others_md.T
    return np.asarray((cosine_nm if weights_m is None else cosine_nm * weights_m).max(axis=1), dtype=np.float32)


def _text_cosine(compiled: CompiledPrompt, language_nd: NDArray[np.float32]) -> NDArray[np.float32]:
    assert compiled.text_d is not None
    return np.asarray(centred_units(language_nd, compiled.language_mean_d) @ compiled.text_d, dtype=np.float32)


def _chip_cosine(compiled: CompiledPrompt, visual_nd: NDArray[np.float32]) -> NDArray[np.float32]:
    assert compiled.chips_nd is not None
    assert compiled.prototype_d is not None
    if not len(visual_nd):
        return np.zeros(0, dtype=np.float32)
    rows_nd = looks(visual_nd, compiled.visual_mean_d, compiled.whitening_dd)
    nearest = _nearest(rows_nd, compiled.chips_nd, compiled.chip_weights_n)
    return np.asarray(0.5 * (nearest + rows_nd @ compiled.prototype_d), dtype=np.float32)


def _text_vectors(
    words: tuple[Words, ...],
    model_version: str,
    embed_text: EmbedText | None,
    background: dict[str, NDArray[np.float32]],
    *,
    centre: bool,
) -> tuple[NDArray[np.float32] | None, tuple[NDArray[np.float32], NDArray[np.float32]] | None]:
    """Unit direction of what the words mean together, and directions with weights of what they do not mean."""
    if not words:
        return None, None
    if embed_text is None or "language" not in background:
        raise InputError(
            f"Cannot search for {words[0].text!r} with encoder {model_version}: expected an encoder with a language "
            "tower, got one without. Give example chips (--chip), or embed the scenes with a trained domain CLIP."
        )
    phrases = [one.text for one in words]
    vectors = np.asarray(embed_text([*phrases, *BACKGROUND_WORDS]), dtype=np.float32)
    _check_length(vectors, background["language"], "language")
    asked, usual = vectors[: len(phrases)], vectors[len(phrases) :]
    asked = units(asked - usual.mean(axis=0) if centre else asked)
    weights = np.array([one.weight for one in words], dtype=np.float32)
    meant, not_meant = weights > 0, weights < 0
    text_d = units(weights[meant] @ asked[meant]) if meant.any() else None
    if not not_meant.any():
        return text_d, None
    return text_d, (asked[not_meant], np.minimum(-weights[not_meant], 1.0))


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
