"""What marks teach a search: a direction that parts the answers marked right from those marked wrong and from the corpus.

Belongs here: fitting that direction live, in milliseconds. Does not belong here: prompts and ranking (`ranking`), classes that stay
(`detect.saved`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
_RIDGE = 0.3
_BACKGROUND_WEIGHT = 1.0
_BACKGROUND_ROWS = 2000
_TOO_ALIKE = 0.02
_MARKS_HALF = 6.0
MOST_SHARE = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class LearntDirection:
    """A linear score learnt from marks.

    Attributes:
        direction_d: What unit visual vectors (in the space of `ranking.looks`) are multiplied by, shape (D,).
        offset: Added to the product, so that the corpus has mean 0.
        share: Weight beside the similarity to the examples, [0, 1); rises with the number of marks.
    """

    direction_d: FloatArray
    offset: float
    share: float

    def score(self, looks_nd: FloatArray) -> FloatArray:
        """Learnt score of vectors, shape (N,), float32; its spread over the corpus is that of the similarity it joins."""
        return np.asarray(looks_nd @ self.direction_d + self.offset, dtype=np.float32)


def learn_direction(
    right_nd: FloatArray,
    wrong_nd: FloatArray,
    background_nd: FloatArray,
    similarity_m: FloatArray,
    *,
    right_weights_n: FloatArray | None = None,
) -> LearntDirection | None:
    """Fit a direction by ridge regression (regularised least squares, Rifkin et al. 2003) to targets 1 and -1.

    The corpus joins as weak negatives, without those rows that are most alike to what was marked right: they are what is looked for.

    Args:
        right_nd: Examples and answers marked right, in the space of `ranking.looks`, shape (P, D), unit.
        wrong_nd: Answers marked wrong, shape (Q, D), unit.
        background_nd: Sample of the corpus, shape (M, D), unit.
        similarity_m: Similarity of the sample to the prompt, shape (M,): sets the scale of the learnt score.
        right_weights_n: Weight of each right one, shape (P,); None weighs all alike.

    Returns:
        The direction; None with fewer than three marks and examples, without a right one, or where the corpus is too small.
    """
    marks = len(right_nd) + len(wrong_nd)
    if len(right_nd) < 1 or marks < 3 or len(background_nd) < 32:
        return None
    near_m = (background_nd @ right_nd.T).max(axis=1)
    quiet = np.flatnonzero(near_m <= np.quantile(near_m, 1 - _TOO_ALIKE))
    chosen = quiet[:: max(1, len(quiet) // _BACKGROUND_ROWS)]
    parts = [(right_nd, 1.0, 1.0), (wrong_nd, -1.0, 1.0), (background_nd[chosen], -1.0, _BACKGROUND_WEIGHT)]
    parts = [part for part in parts if len(part[0])]
    rows_nd = np.concatenate([rows for rows, _, _ in parts]).astype(np.float64)
    target_n = np.concatenate([np.full(len(rows), target) for rows, target, _ in parts])
    weight_n = np.concatenate([np.full(len(rows), weight / len(rows)) for rows, _, weight in parts])
    if right_weights_n is not None:
        weight_n[: len(right_nd)] = right_weights_n / right_weights_n.sum()
    centre_d = weight_n @ rows_nd / weight_n.sum()
    shifted_nd = rows_nd - centre_d
    middle = float(weight_n @ target_n / weight_n.sum())
    gram_dd = (shifted_nd * weight_n[:, None]).T @ shifted_nd
    ridge = _RIDGE * max(float(np.trace(gram_dd)) / len(gram_dd), 1e-9) * np.sqrt(len(gram_dd))
    direction_d = np.linalg.solve(gram_dd + ridge * np.eye(len(gram_dd)), shifted_nd.T @ (weight_n * (target_n - middle)))
    scored_m = background_nd @ direction_d
    scale = max(float(similarity_m.std()), 1e-3) / max(float(scored_m.std()), 1e-9)
    share = MOST_SHARE * marks / (marks + _MARKS_HALF)
    return LearntDirection((direction_d * scale).astype(np.float32), float(-scored_m.mean() * scale), share)
