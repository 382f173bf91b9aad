"""Vocabulary: names are folded, versions follow content, errors say what to do."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.detect.vocabulary import Vocabulary, load_vocabulary, plural, save_vocabulary, singular, vocabulary_from_dict
from ovd_platform.errors import DataError, InputError

WORDS = [
    "ship",
    "storage tank",
    "bus",
    "aircraft",
    "ferry",
    "glass house",
    "wharf",
    "dish",
    "box",
    "bridge",
    "crane",
    "harbour",
]


@pytest.mark.parametrize("word", WORDS)
def test_plural_and_singular_are_inverse(word: str) -> None:
    assert singular(plural(word)) == word
    assert singular(word) == word
    assert plural(plural(word)) == plural(word)


def test_names_are_folded() -> None:
    assert singular("Storage_Tanks ") == "storage tank"
    assert singular("small-vehicles") == "small-vehicle"
    assert singular("buses") == "bus"
    assert plural("ferry") == "ferries"


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="abcdehinosuxyz ", min_size=1, max_size=14).filter(lambda text: text.strip()))
def test_singular_and_plural_never_crash_and_keep_the_head(text: str) -> None:
    once = singular(text)
    assert once == once.lower().strip()
    assert singular(text.upper()) == once
    assert plural(text)


def test_labels_resolve_through_case_plurals_and_synonyms(vocabulary: Vocabulary) -> None:
    assert vocabulary.names == ("ship", "aircraft", "tank")
    assert [vocabulary.resolve(label) for label in ("SHIPS", "Vessel", "Tank", "aircraft", "car")] == [
        "ship",
        "ship",
        "tank",
        "aircraft",
        None,
    ]
    assert [entry.coco_id for entry in vocabulary.classes] == [7, 1, 2]
    assert vocabulary.classes[0].prompts == ("ship", "vessel")


def test_files_round_trip_and_the_version_follows_the_content(vocabulary: Vocabulary, tmp_path: Path) -> None:
    again = load_vocabulary(save_vocabulary(vocabulary, tmp_path / "v.yaml"))
    assert again == vocabulary
    assert again.version == vocabulary.version
    values = vocabulary.to_dict()
    values["background"].append("cloud")
    assert vocabulary_from_dict(values).version != vocabulary.version


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"classes": ["ship", "ships"]}, "distinct names"),
        ({"classes": ["ship", {"name": "boat", "synonyms": ["Ships"]}]}, "each name once"),
        ({"classes": [{"name": "ship", "prompt": ["x"]}]}, "prompt"),
        ({"classes": [{"name": "ship", "coco_id": "7"}]}, "whole number"),
        ({"classes": [{"name": "ship", "prompts": "a ship"}]}, "list of words"),
        ({"classes": ["ship"], "target_precision": 1.5}, "target precision"),
        ({"classes": [3]}, "with a name"),
        ([], "mapping"),
    ],
)
def test_broken_vocabularies_are_refused_with_a_reason(values: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        vocabulary_from_dict(values)


def test_broken_files_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Check the path"):
        load_vocabulary(tmp_path / "none.yaml")
    path = tmp_path / "v.yaml"
    path.write_text("classes: [}")
    with pytest.raises(DataError):
        load_vocabulary(path)
    path.write_text("classes: [ship, ships]")
    with pytest.raises(DataError, match="distinct"):
        load_vocabulary(path)


def test_no_classes_yet_is_a_vocabulary_too() -> None:
    vocabulary = vocabulary_from_dict({"classes": []})
    assert vocabulary.classes == ()
    assert vocabulary.version != vocabulary_from_dict({"classes": ["ship"]}).version
