"""Words looked up in the documents: which pictures were captioned with words like these.

Belongs here: matching words to captions. Does not belong here: embedding pictures (flow), ranking.

A text tower trained on a few hundred captions knows little, but a caption that says what is asked stands beside a picture of it. The
pictures' objects then serve as example chips (query expansion by documents).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_EXAMPLES = 24
_LEAST_SIMILARITY = 0.2
_OF_BEST = 0.5


def matching_captions(captions: Sequence[str], words: str, *, most: int = MOST_EXAMPLES) -> NDArray[np.int64]:
    """Captions that say what the words say.

    Cosine of TF-IDF vectors of character trigrams to pentagrams inside word borders, so that "dome", "domed" and "domes" meet, and words
    that every caption has count little.

    Args:
        captions: One a picture.
        words: What is asked.
        most: At most this many.

    Returns:
        Rows of ``captions``, most similar first; only those at least half as similar as the best; empty where none is similar.
    """
    if not captions or not words.strip():
        return np.zeros(0, dtype=np.int64)
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectoriser = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, strip_accents="unicode")
    try:
        rows = vectoriser.fit_transform(captions)
    except ValueError:  # no caption has three letters
        return np.zeros(0, dtype=np.int64)
    similarity_n = (rows @ vectoriser.transform([words]).T).toarray()[:, 0]
    order = np.argsort(-similarity_n, kind="stable")[:most]
    best = similarity_n[order[0]]
    chosen: NDArray[np.int64] = order[(similarity_n[order] >= _OF_BEST * best) & (best >= _LEAST_SIMILARITY)]
    return chosen
