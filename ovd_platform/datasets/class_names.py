"""Canonical class names: lower case, singular, one space between words.

Belongs here: the spelling of class names. Does not belong here: what a detector is asked for (that is detect's vocabulary).
"""

import re
from collections.abc import Mapping

_IRREGULAR = {"aircraft": "aircraft", "buses": "bus", "people": "person", "men": "man", "vehicles": "vehicle", "axes": "axis"}
_KEEP_FINAL_S = ("ss", "us", "is", "gas", "lens", "canvas", "chassis", "series", "species", "debris")
_VES = {"shelves": "shelf", "wharves": "wharf", "leaves": "leaf", "knives": "knife"}


def canonical_class(name: str, synonyms: Mapping[str, str] | None = None) -> str:
    """Lower case, singular form of a class name.

    Args:
        name: Name as a label file spells it; ``-`` and ``_`` count as spaces.
        synonyms: Further mapping applied last; keys and values may be spelt freely, ``{"airplane": "aircraft"}``.

    Returns:
        The canonical name; "" for an empty name. Applying the function to its own result changes nothing.
    """
    words = re.sub(r"[\s_\-]+", " ", name).strip().lower()
    if not words:
        return ""
    head, _, last = words.rpartition(" ")
    canonical = f"{head} {_singular(last)}".strip()
    if synonyms:
        table = {canonical_class(key): canonical_class(value) for key, value in synonyms.items()}
        canonical = table.get(canonical, canonical)
    return canonical


def _singular(word: str) -> str:
    """Singular of one English noun by rule; unknown words that do not look plural stay as they are."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _VES:
        return _VES[word]
    if len(word) <= 3 or not word.endswith("s") or word.endswith(_KEEP_FINAL_S):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    return word[:-1]
