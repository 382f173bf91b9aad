"""A small text tower without a vocabulary file: words and their trigrams hashed into buckets (Bojanowski et al. 2017).

Belongs here: normalisation, hashing, the tower. Does not belong here: which texts train it (learn.clip).
"""

import re
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ovd_platform.models.vit import transformer

BUCKETS = 4096
MAX_WORDS = 40
_PIECES = 24
_STOP = frozenset(
    ("a", "an", "the", "of", "on", "in", "at", "to", "and", "or", "is", "are", "was", "be", "by", "for", "with", "from", "this")
)
_UNCHANGED = frozenset({"aircraft", "gas", "bus", "canvas", "bias", "debris", "axis", "analysis", "us", "series", "species"})


def singular(word: str) -> str:
    """Singular of a lower-case English noun by rule: wrong for some words, but the same for text and prompt."""
    if word in _UNCHANGED or len(word) <= 3 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") else word


def words_of(text: str) -> list[str]:
    """Normalised content words: lower case, singular, no punctuation, at most `MAX_WORDS`."""
    raw = re.findall(r"[^\W_]+", text.lower())
    kept = [singular(word) for word in raw if word not in _STOP]
    return (kept or [singular(word) for word in raw] or ["nothing"])[:MAX_WORDS]


def hash_pieces(word: str) -> list[int]:
    """Buckets of a word: 1 + hash for the word itself and for its trigrams with boundary marks; 0 is padding."""
    marked = f"<{word}>"
    pieces = [marked] + [marked[start : start + 3] for start in range(len(marked) - 2)]
    return [1 + zlib.crc32(piece.encode()) % BUCKETS for piece in pieces[:_PIECES]]


def tokenize(texts: Sequence[str]) -> Tensor:
    """Hashed pieces, shape (N, T, S), int64, 0 where there is none."""
    hashed = [[hash_pieces(word) for word in words_of(text)] for text in texts]
    longest = max((len(words) for words in hashed), default=1)
    widest = max((len(pieces) for words in hashed for pieces in words), default=1)
    ids_nts = torch.zeros(len(texts), longest, widest, dtype=torch.int64)
    for n, words in enumerate(hashed):
        for t, pieces in enumerate(words):
            ids_nts[n, t, : len(pieces)] = torch.tensor(pieces)
    return ids_nts


class TextTower(nn.Module):
    """Words as means of their pieces, two transformer layers, masked mean, projection to a unit vector."""

    def __init__(self, dim: int = 192, depth: int = 2, heads: int = 3, out_dim: int = 192) -> None:
        """Make the tower; sizes are those of the image tower's vectors by default."""
        super().__init__()
        self.pieces = nn.Embedding(BUCKETS + 1, dim, padding_idx=0)
        nn.init.normal_(self.pieces.weight, std=0.5)
        with torch.no_grad():
            self.pieces.weight[0].zero_()
        self.positions = nn.Parameter(torch.randn(MAX_WORDS, dim) * 0.02)
        self.blocks = transformer(dim, depth, heads)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(2 * dim, out_dim)

    def forward(self, ids_nts: Tensor) -> Tensor:
        """Unit vectors of tokenized texts, shape (N, out_dim)."""
        piece_mask = (ids_nts > 0).float()
        word_mask_nt = piece_mask.sum(2) > 0
        words_ntd = self.pieces(ids_nts).sum(2) / piece_mask.sum(2, keepdim=True).clamp_min(1).sqrt()
        tokens = words_ntd + self.positions[: ids_nts.shape[1]]
        for block in self.blocks.layers:
            tokens = block(tokens, src_key_padding_mask=~word_mask_nt)
        tokens = self.norm(tokens)
        weight = word_mask_nt[:, :, None].to(tokens.dtype)
        count = weight.sum(1).clamp_min(1)
        # The bag of words goes straight to the head too: a one-word prompt then lies near captions that hold the word.
        joined = torch.cat([(tokens * weight).sum(1) / count, (words_ntd * weight).sum(1) / count], dim=1)
        return F.normalize(self.head(joined), dim=1)
