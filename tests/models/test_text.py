import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.models.text import BUCKETS, MAX_WORDS, TextTower, hash_pieces, singular, tokenize, words_of


def test_case_and_plural_do_not_matter():
    assert words_of("The SHIPS, at two quays!") == words_of("ship two quay")
    for plural, one in (
        ("ferries", "ferry"),
        ("boxes", "box"),
        ("aircraft", "aircraft"),
        ("churches", "church"),
        ("glass", "glass"),
    ):
        assert singular(plural) == one


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=300))
def test_any_text_gives_tokens_in_range(text):
    ids = tokenize([text])
    assert ids.shape[0] == 1
    assert 1 <= ids.shape[1] <= MAX_WORDS
    assert int(ids.max()) <= BUCKETS
    assert int(ids.max()) > 0


def test_hashing_is_fixed_for_ever():
    assert hash_pieces("ship") == [1909, 1722, 1865, 601, 3553]


def test_padding_does_not_change_a_vector():
    torch.manual_seed(0)
    tower = TextTower(48, 2, 3, 32).eval()
    alone = tower(tokenize(["storage tank"]))
    beside = tower(tokenize(["storage tank", "a container ship with cranes moored along the northern quay of a large port"]))[
        :1
    ]
    assert torch.allclose(alone, beside, atol=1e-5)
    assert torch.allclose(alone.norm(dim=1), torch.ones(1), atol=1e-5)


def test_words_that_share_trigrams_lie_nearer_than_others_before_training():
    torch.manual_seed(0)
    tower = TextTower().eval()
    boat, sailboat, tank = tower(tokenize(["boat", "sailboat", "tank"]))
    assert boat @ sailboat > boat @ tank
