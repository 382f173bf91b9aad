"""Search on synthetic clusters: by words, chips, both, with negatives, filters, in two stages."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ovd_platform.errors import InputError, StaleError, VersionMismatchError
from ovd_platform.records.prompt import Hit, Prompt, SearchFilter
from ovd_platform.search.query import search_objects

Corpus = Any


def precision(corpus: Corpus, hits: list[Hit], name: str) -> float:
    return float(np.mean([corpus.truth[hit.proposal_id] == name for hit in hits]))


def ask(corpus: Corpus, top: int = 20, **values: Any) -> list[Hit]:
    options = {
        name: values.pop(name)
        for name in ("two_stage", "exact_rows", "collapse_revisits", "coarse", "centre")
        if name in values
    }
    prompt = Prompt(model_version=values.pop("model_version", "enc1"), **values)
    return search_objects(corpus.tables, prompt, corpus.embed_text, modality="optical", top=top, **options)


@pytest.mark.parametrize("name", ["ship", "aircraft", "tank"])
def test_words_find_their_cluster(corpus: Corpus, name: str) -> None:
    hits = ask(corpus, text=name)
    assert len(hits) == 20
    assert precision(corpus, hits, name) >= 0.9
    assert [hit.rank for hit in hits] == list(range(1, 21))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.rendered and hit.model_version == "enc1" and hit.lonlat for hit in hits)


def test_chips_find_their_cluster_and_both_are_no_worse_than_one(corpus: Corpus) -> None:
    chips = corpus.chips("tank", 3)
    assert precision(corpus, ask(corpus, chip_vectors_nd=chips), "tank") >= 0.9
    assert precision(corpus, ask(corpus, text="tank", chip_vectors_nd=chips), "tank") >= 0.9


def test_negatives_push_their_cluster_down(corpus: Corpus) -> None:
    both = np.concatenate([corpus.chips("ship", 2), corpus.chips("tank", 2)])
    plain = ask(corpus, 40, chip_vectors_nd=both)
    without = ask(corpus, 40, chip_vectors_nd=both, negative_vectors_nd=corpus.chips("tank", 5, seed=7))
    assert precision(corpus, plain, "tank") > 0.2
    assert precision(corpus, without, "tank") < 0.05
    assert precision(corpus, without, "ship") > precision(corpus, plain, "ship")


def test_taking_the_background_away_beats_raw_cosines_of_a_narrow_cone(corpus: Corpus) -> None:
    centred = precision(corpus, ask(corpus, 50, text="tank"), "tank")
    raw = precision(corpus, ask(corpus, 50, text="tank", centre=False), "tank")
    assert centred >= raw + 0.05


def test_two_stages_find_what_the_exact_scan_finds(corpus: Corpus) -> None:
    exact = {hit.proposal_id for hit in ask(corpus, text="aircraft")}
    staged = {hit.proposal_id for hit in ask(corpus, text="aircraft", exact_rows=10)}
    alone = {hit.proposal_id for hit in ask(corpus, text="aircraft", exact_rows=10, two_stage=False)}
    assert len(exact & staged) >= 19
    assert len(exact & alone) >= 18


@pytest.mark.parametrize("exact_rows", [10, 200_000])
def test_filters_hold_before_the_search(corpus: Corpus, exact_rows: int) -> None:
    hits = ask(corpus, text="ship", filter=SearchFilter(scene_ids=("b",)), exact_rows=exact_rows)
    assert len(hits) == 20
    assert {hit.scene_id for hit in hits} == {"b"}
    hits = ask(corpus, text="ship", filter=SearchFilter(min_objectness=0.9, instruments=("pan",)), exact_rows=exact_rows)
    assert hits
    assert min(hit.objectness for hit in hits) >= 0.9
    assert ask(corpus, text="ship", filter=SearchFilter(from_utc="2024-05-02"), exact_rows=exact_rows) == []
    assert ask(corpus, text="ship", filter=SearchFilter(instruments=("sar",)), exact_rows=exact_rows) == []
    box = (10.0, 49.9995, 10.002, 50.0)
    hits = ask(corpus, text="ship", filter=SearchFilter(bbox_lonlat=box, to_utc="2024-05-01"), exact_rows=exact_rows)
    assert hits
    assert all(hit.lonlat and box[0] <= hit.lonlat[0] <= box[2] and box[1] <= hit.lonlat[1] <= box[3] for hit in hits)


def test_wrong_questions_say_what_to_do(corpus: Corpus, make_corpus: Callable[[], Corpus]) -> None:
    with pytest.raises(VersionMismatchError, match="enc2"):
        ask(corpus, text="ship", model_version="enc2")
    with pytest.raises(VersionMismatchError, match="length"):
        ask(corpus, chip_vectors_nd=np.ones((1, 7), np.float32))
    with pytest.raises(InputError, match="--chip"):
        search_objects(corpus.tables, Prompt(text="ship", model_version="enc1"), None, modality="optical", top=3)
    with pytest.raises(InputError, match="model_version"):
        ask(corpus, text="ship", model_version="")
    with pytest.raises(StaleError):
        ask(make_corpus(), text="ship")


def test_an_emptied_table_answers_with_nothing(corpus: Corpus, make_corpus: Callable[[], Corpus]) -> None:
    empty = make_corpus()
    rows = corpus.tables.read("proposal", "optical", "enc1", "scene_id = 'a'")
    empty.tables.replace_scene("proposal", "optical", "enc1", "a", rows)
    empty.tables.replace_scene("proposal", "optical", "enc1", "a", rows.slice(0, 0))
    assert ask(empty, text="ship", chip_vectors_nd=corpus.chips("ship", 1)) == []
