"""The figure classifier: learns, refuses what it was not trained on, and listens to rules and words."""

from dataclasses import replace

import numpy as np
import pytest

from ovd_platform.demo.figures import photographs, training_pictures
from ovd_platform.documents.image_statistics import measure
from ovd_platform.documents.kind_model import KINDS, KindModel, features, judge_with, logits, train_kind_model
from ovd_platform.errors import DataError, InputError, ShapeError
from ovd_platform.records.pair import FigureKind, Pair

PAIR = Pair("p", "doc", "v", 0, (0.0, 0.0, 9.0, 9.0), "doc/p.png", "", kind="satellite", confidence=0.8)


@pytest.fixture(scope="module")
def made() -> list[tuple[FigureKind, np.ndarray]]:
    return list(training_pictures(4, 14))


@pytest.fixture(scope="module")
def model(made: list[tuple[FigureKind, np.ndarray]]) -> KindModel:
    rows = np.stack([features(measure(picture), None) for _, picture in made])
    return train_kind_model(rows, [kind for kind, _ in made], embedding="")


def test_it_tells_unseen_pictures_apart(model: KindModel) -> None:
    unseen = list(training_pictures(5, 10))
    rows = np.stack([features(measure(picture), None) for _, picture in unseen])
    best = [KINDS[index] for index in logits(model, rows).argmax(axis=1)]
    right = sum(kind == said for (kind, _), said in zip(unseen, best, strict=True))
    assert right >= 0.6 * len(unseen)  # five kinds: chance is 0.2


def test_every_kind_is_made_and_repeats(made: list[tuple[FigureKind, np.ndarray]]) -> None:
    assert {kind for kind, _ in made} == set(KINDS)
    again = list(training_pictures(4, 1))
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(made[:5], again, strict=True))
    assert len(photographs(held_out=True)) == 1
    assert len(photographs()) == 2


def test_it_survives_the_disk(model: KindModel) -> None:
    assert KindModel.from_dict(model.to_dict()) == model
    with pytest.raises(DataError, match="Train it again"):
        KindModel.from_dict({"mean_f": []})


def test_other_features_are_refused(model: KindModel) -> None:
    with pytest.raises(ShapeError, match="Train the classifier again"):
        logits(model, np.zeros((1, 5)))
    with pytest.raises(InputError, match="two kinds"):
        train_kind_model(np.zeros((9, 3)), ["map"] * 9, embedding="")
    with pytest.raises(ShapeError, match="one kind a row"):
        train_kind_model(np.zeros((9, 3)), ["map"] * 8, embedding="")


def test_words_and_rules_have_their_say(model: KindModel) -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    statistics = measure(grey)
    nothing = np.zeros(len(KINDS))
    assert judge_with(model, nothing, pair=PAIR, statistics=statistics).kind == "satellite"
    drawn = replace(PAIR, kind="diagram", caption="Map of the study area", evidence="drawn by the page")
    assert judge_with(model, nothing, pair=drawn, statistics=statistics).kind in ("map", "diagram")
    sure = np.array([30.0 if kind == "other" else 0.0 for kind in KINDS])
    assert judge_with(model, sure, pair=PAIR, statistics=statistics).kind == "other"
    radar = replace(PAIR, caption="SAR image of a ship")
    assert judge_with(model, nothing, pair=radar, statistics=statistics).modality == "sar"
