"""Which language a text is in, guessed from stop words and script. Belongs here: the guess only; never a translation."""

import re

_STOP_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset("the of and to in is that for with on are as was by this from at an be which it over near or were".split()),
    "de": frozenset("der die das und ist von mit den dem ein eine im auf für nicht sich des zu bei als sind wird am über aus".split()),
    "fr": frozenset("le la les des et est une dans pour que sur avec du au par sont aux cette un ce près en ne pas ou".split()),
    "es": frozenset("el la los las de y en que una con por para del se es al un como su sobre cerca más lo son este".split()),
    "it": frozenset("il lo la gli di e che un una per con del della nel sono al dei le è da alla questo si su anche".split()),
    "pt": frozenset("o a os as de e em que um uma com por para do da no na ao dos das é não se mais como são sobre".split()),
    "nl": frozenset("de het een van en in is dat op te met voor zijn aan niet door bij ook er uit naar over als wordt".split()),
}
_SCRIPTS = (("ru", "\u0400", "\u04ff"), ("el", "\u0370", "\u03ff"), ("ar", "\u0600", "\u06ff"), ("he", "\u0590", "\u05ff"))
_CJK = (("ja", "\u3040", "\u30ff"), ("ko", "\uac00", "\ud7af"), ("zh", "\u4e00", "\u9fff"))


def guess_language(text: str, minimum_hits: int = 2) -> str:
    """ISO 639-1 code of a text, or "und" where there is too little to go by.

    Args:
        text: Any text; a caption alone is often too short, so give it with its context.
        minimum_hits: Stop words needed before a language is named.

    Returns:
        Two letters, or "und" when fewer stop words were seen or two languages are level.
    """
    letters = [char for char in text if char.isalpha()]
    if not letters:
        return "und"
    for code, low, high in (*_SCRIPTS, *_CJK):
        if sum(low <= char <= high for char in letters) > 0.2 * len(letters):
            return code
    words = re.findall(r"[^\W\d_]+", text.lower())
    hits = {code: sum(word in stop_words for word in words) for code, stop_words in _STOP_WORDS.items()}
    ranked = sorted(hits.items(), key=lambda item: (-item[1], item[0]))
    (best, count), (_, second) = ranked[0], ranked[1]
    return best if count >= minimum_hits and count > second else "und"
