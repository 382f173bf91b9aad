"""A small classifier of figures: logistic regression on picture statistics and an embedding, joined with what the words say.

Belongs here: features, training, judging with a trained model. Does not belong here: measuring pixels (image_statistics), rules for documents
without a model (kind), where pictures for training come from (flow).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.image_statistics import ImageStatistics
from ovd_platform.documents.kind import Judgement, radar_or_optical, word_evidence
from ovd_platform.errors import DataError, InputError, ShapeError
from ovd_platform.records.pair import FigureKind

KINDS: tuple[FigureKind, ...] = get_args(FigureKind)
_DRAWN_BY_PAGE = {"diagram": 2.5, "map": 1.0, "satellite": -4.0, "photograph": -4.0, "other": 0.0}
_FEWEST = 8


@dataclass(frozen=True, slots=True)
class KindModel:
    """Trained weights.

    Attributes:
        mean_f: Mean of each feature in training.
        scale_f: Standard deviation of each feature in training.
        weights_kf: One row a kind, in the order of `KINDS`; -inf bias where training held no picture of a kind.
        bias_k: Bias of each kind.
        embedding: Version of the network that made the embedding part; "" if features are statistics only.
        facts: How it was trained and what it scored on pictures it had not seen.
    """

    mean_f: tuple[float, ...]
    scale_f: tuple[float, ...]
    weights_kf: tuple[tuple[float, ...], ...]
    bias_k: tuple[float, ...]
    embedding: str
    facts: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            DataError: If fields are missing.
        """
        try:
            return cls(
                tuple(values["mean_f"]),
                tuple(values["scale_f"]),
                tuple(tuple(row) for row in values["weights_kf"]),
                tuple(values["bias_k"]),
                str(values["embedding"]),
                dict(values["facts"]),
            )
        except KeyError as error:
            raise DataError(f"Cannot read a figure classifier: expected {error}, got none. Train it again.") from error


def features(statistics: ImageStatistics, embedding_d: NDArray[np.float32] | None) -> NDArray[np.float64]:
    """What the classifier looks at, shape (F,): statistics, bounded, and the embedding where there is one.

    Args:
        statistics: Of the picture.
        embedding_d: Unit vector, shape (D,), or None.
    """
    s = statistics
    numbers = [
        s.flat, s.exact, s.palette, s.white, s.saturation, s.contrast, float(np.clip(s.tilt, -3, 3)), float(np.clip(s.uneven, 0, 3)), s.vertical,
        float(np.log1p(20 * s.noise)), float(s.grey), s.flat * s.white, s.palette * s.flat,
    ]  # fmt: skip
    rest = [] if embedding_d is None else np.sqrt(len(embedding_d)) * np.asarray(embedding_d, dtype=np.float64)
    return np.array([*numbers, *rest], dtype=np.float64)


def train_kind_model(
    features_nf: NDArray[np.float64],
    kinds: Sequence[FigureKind],
    *,
    embedding: str,
    strength: float = 0.05,
    facts: dict[str, Any] | None = None,
) -> KindModel:
    """Fit the classifier; kinds count alike, however many pictures each has.

    Args:
        features_nf: Rows of `features`.
        kinds: Kind of each row.
        embedding: Version of the network behind the embedding part.
        strength: Inverse of the regularisation.
        facts: Kept with the model.

    Raises:
        ShapeError: If the arguments disagree in length.
        InputError: If fewer than two kinds have at least eight pictures.
    """
    from sklearn.linear_model import LogisticRegression

    if len(features_nf) != len(kinds):
        raise ShapeError(
            f"Cannot train on figures: expected one kind a row, got {len(features_nf)} rows and {len(kinds)} kinds."
        )
    known = [kind for kind in KINDS if sum(kind == other for other in kinds) >= _FEWEST]
    if len(known) < 2:
        raise InputError(
            f"Cannot train on figures: expected {_FEWEST} pictures of two kinds at least, got {sorted(set(kinds))}. Give more."
        )
    rows = np.array([kind in known for kind in kinds])
    mean_f, scale_f = features_nf[rows].mean(axis=0), np.maximum(features_nf[rows].std(axis=0), 1e-3)
    fit = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
    fit.fit((features_nf[rows] - mean_f) / scale_f, [KINDS.index(kind) for kind, row in zip(kinds, rows, strict=True) if row])
    coefficients, intercepts = fit.coef_, fit.intercept_
    if len(known) == 2:  # two classes come as one row
        coefficients, intercepts = np.vstack([-coefficients, coefficients]) / 2, np.array([-intercepts[0], intercepts[0]]) / 2
    weights, bias = np.zeros((len(KINDS), features_nf.shape[1])), np.full(len(KINDS), -30.0)
    for row, label in enumerate(fit.classes_):
        weights[label], bias[label] = coefficients[row], intercepts[row]
    return KindModel(
        tuple(mean_f.tolist()), tuple(scale_f.tolist()), tuple(tuple(row) for row in weights.tolist()), tuple(bias.tolist()), embedding, facts or {}
    )  # fmt: skip


def logits(model: KindModel, features_nf: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unnormalised log probabilities, shape (N, K) in the order of `KINDS`.

    Raises:
        ShapeError: If the features are not those the model was trained on.
    """
    if features_nf.ndim != 2 or features_nf.shape[1] != len(model.mean_f):
        raise ShapeError(
            f"Cannot judge figures: expected (N, {len(model.mean_f)}) features, got {features_nf.shape}. Train the classifier again."
        )
    scaled = np.clip((features_nf - np.array(model.mean_f)) / np.array(model.scale_f), -6, 6)
    return np.asarray(scaled @ np.array(model.weights_kf).T + np.array(model.bias_k))


def judge_with(
    model: KindModel,
    looks_k: NDArray[np.float64],
    *,
    caption: str,
    nearby: str,
    vector: bool,
    grey: bool,
    temperature: float = 1.5,
) -> Judgement:
    """Kind of a figure from its looks and its words.

    Args:
        model: The trained classifier.
        looks_k: Its row of `logits`.
        caption: Caption and call-outs.
        nearby: Text that mentions it.
        vector: True if the page drew it.
        grey: Whether all channels are equal.
        temperature: Looks are divided by this: the classifier is surer of itself than it may be on documents of another house.
    """
    words = word_evidence(caption, nearby)
    total = np.array(
        [
            looks_k[index] / temperature + words[kind] + (_DRAWN_BY_PAGE[kind] if vector else 0.0)
            for index, kind in enumerate(KINDS)
        ]
    )
    share = np.exp(total - total.max())
    share /= share.sum()
    best = int(share.argmax())
    kind = KINDS[best]
    modality = radar_or_optical(caption, nearby, grey) if kind == "satellite" else "optical"
    said = max(words, key=lambda name: words[name])
    reason = f"classifier {share[best]:.2f}" + (f", words say {said}" if words[said] > 0 else "")
    return Judgement(kind, modality, round(float(share[best]), 3), reason)


def with_facts(model: KindModel, facts: dict[str, Any]) -> KindModel:
    """The same weights with other facts."""
    return replace(model, facts=facts)
