"""Which language a text is in, guessed from stop words and script. Belongs here: the guess only; never a translation."""

import re
from collections import Counter

_STOP_TEXT = {
    "en": "the of and to in is that for with on are as was by this from at an be which it over near or were a",
    "de": "der die das und ist von mit den dem ein eine im auf für nicht sich des zu bei als sind wird am über aus",
    "fr": "le la les des et est une dans pour que sur avec du au par sont aux cette un ce près en ne pas ou",
    "es": "el la los las de y en que una con por para del se es al un como su sobre cerca más lo son este",
    "it": "il lo la gli di e che un una per con del della nel sono al dei le è da alla questo si su anche",
    "pt": "os de em que um uma com por para da na ao dos das é não se mais como são sobre",
    "nl": "de het een van en in is dat op te met voor zijn aan niet door bij ook er uit naar over als wordt",
}
_STOP_WORDS = {code: frozenset(text.split()) for code, text in _STOP_TEXT.items()}
_MINIMUM_SHARE = 0.1  # running text has two to four times as many stop words
_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = tuple(
    (code, re.compile(f"[{low}-{high}]"))
    for code, low, high in (
        ("ru", "\u0400", "\u04ff"), ("el", "\u0370", "\u03ff"), ("ar", "\u0600", "\u06ff"), ("he", "\u0590", "\u05ff"),
        ("ja", "\u3040", "\u30ff"), ("ko", "\uac00", "\ud7af"), ("zh", "\u4e00", "\u9fff"),
    )
)  # fmt: skip


def guess_language(text: str, minimum_hits: int = 2) -> str:
    """ISO 639-1 code of a text, or "und" where there is too little to go by.

    Args:
        text: Any text; a caption alone is often too short, so give it with its context.
        minimum_hits: Stop words needed before a language is named.

    Returns:
        Two letters, or "und" when fewer stop words were seen or two languages are level.
    """
    if not text.isascii():
        letters = sum(map(str.isalpha, text))
        for code, foreign in _SCRIPTS:
            if len(foreign.findall(text)) > 0.2 * letters:
                return code
    counts = Counter(_WORD.findall(text.lower()))
    hits = {code: sum(counts[word] for word in stop_words & counts.keys()) for code, stop_words in _STOP_WORDS.items()}
    ranked = sorted(hits.items(), key=lambda item: (-item[1], item[0]))
    (best, count), (_, second) = ranked[0], ranked[1]
    enough = count >= max(minimum_hits, _MINIMUM_SHARE * counts.total())
    return best if enough and count > second else "und"
