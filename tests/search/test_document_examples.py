import pytest

from ovd_platform.search.document_examples import matching_captions

CAPTIONS = [
    "Satellite view of a small building with a dome roof near the shore.",
    "A house beside a street",
    "Two oil tanks in a tank farm.",
    "A domed building in a field.",
    "An aircraft parked on an apron, as seen by the satellite.",
    "A building seen from above, beside a street.",
]


@pytest.mark.parametrize(
    ("words", "first", "among"),
    [
        ("small building with a dome roof", 0, {0, 3, 5}),
        ("domes", 3, {0, 3}),
        ("aircraft on an apron", 4, {4}),
        ("oil tank", 2, {2}),
    ],
)
def test_captions_that_say_it_are_found(words, first, among):
    found = matching_captions(CAPTIONS, words).tolist()
    assert found[0] == first
    assert set(found) <= among


@pytest.mark.parametrize("words", ["", "   ", "zyx qqq", "ox"])
def test_nothing_similar_nothing_found(words):
    assert not len(matching_captions(CAPTIONS, words))
    assert not len(matching_captions([], words))


def test_at_most_so_many():
    assert len(matching_captions(["a domed building"] * 50, "domed building", most=7)) == 7
