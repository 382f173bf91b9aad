"""The running text of a document, indexed once. Belongs here: which paragraph names a figure, which words stand above it."""

import re
from collections.abc import Iterable, Sequence

from ovd_platform.documents.captions import Caption
from ovd_platform.documents.page_boxes import Box, x_overlap
from ovd_platform.documents.page_text import Paragraph

_CONTEXT_LETTERS = 600
_MIN_CONTEXT_LETTERS = 12
_TAIL_LETTERS = 300
_ASIDE_PT = 60.0

_NUMBER = (
    r"(?:[A-Za-z]{1,8}\s?_\s?)?[A-Za-z]?\d+(?:[.\-–_/][A-Za-z]*_?\d+)*[a-z]?(?![A-Za-z])|[A-Z]+(?:\s?_[A-Za-z0-9]+)+|[IVXL]+\b"
)
# Any word before a number, looked up afterwards: an alternation of forty words would be tried at every letter of the document.
_MENTION = re.compile(
    rf"(?<![^\W_])(?P<word>[^\W\d_]{{3,13}})\.?\s*(?P<numbers>(?:{_NUMBER})(?:\s*(?:,|and|und|et|y|&|-|–|to|bis|à|a)\s*(?:{_NUMBER}))*)"
)
_STEMS = (
    "figur", "fig", "abb", "bild", "image", "photo", "plate", "chip", "map", "karte", "рис", "obr", "rys", "afbeelding", "scheme",
    "chart", "exhibit", "tafel", "carte", "foto",
)  # fmt: skip
_WORD = re.compile(rf"(?:{'|'.join(_STEMS)})[^\W\d_]{{0,6}}", re.IGNORECASE)
_EACH = re.compile(_NUMBER)


class DocumentText:
    """Paragraphs of a document by page, and where figures are named in them.

    Args:
        paragraphs: Of all pages, captions left out.
    """

    def __init__(self, paragraphs: Iterable[Paragraph]) -> None:
        self.paragraphs: list[Paragraph] = list(paragraphs)
        self._pages: dict[int, list[Paragraph]] = {}
        self._mentions: dict[str, list[tuple[Paragraph, int]]] = {}
        for paragraph in self.paragraphs:
            self._pages.setdefault(paragraph.page, []).append(paragraph)
            lowered = paragraph.text.lower()
            if not any(stem in lowered for stem in _STEMS):  # most paragraphs name no figure: plain search is far faster
                continue
            for found in _MENTION.finditer(paragraph.text):
                if not _WORD.fullmatch(found["word"]):
                    continue
                for number in _EACH.findall(found["numbers"]):
                    key = _key(number)
                    for name in {key, key.rstrip("abcdefgh")} if key[:1].isdigit() else {key}:
                        self._mentions.setdefault(name, []).append((paragraph, found.start()))

    def mention(self, caption: Caption, page: int) -> str:
        """The nearest paragraph that names the figure, the caption itself excepted; "" if there is none.

        Args:
            caption: Of the figure.
            page: Where it stands.
        """
        number = caption.label.partition(" ")[2]
        candidates = self._mentions.get(_key(number), []) if number else []
        for paragraph, position in sorted(candidates, key=lambda item: (abs(item[0].page - page), item[0].page < page)):
            own = paragraph.page == page and position == 0 and _overlaps(paragraph, caption)
            if not own:
                return _excerpt(paragraph.text, position)
        return ""

    def above(self, box: Box, page: int, caption: Caption | None = None) -> str:
        """The nearest words above a place on its page, or the last words before it; headings count.

        Args:
            box: The place, points.
            page: 0-based.
            caption: Its text is not taken.
        """
        same = [item for item in self._usable(page, caption) if item.box[3] <= box[1] + 8]
        if same:  # another column counts, but only if it is much nearer
            nearest = max(same, key=lambda item: item.box[3] - (0 if x_overlap(item.box, box) > 0 else _ASIDE_PT))
        else:
            earlier = next((items for before in range(page - 1, -1, -1) if (items := self._usable(before, caption))), [])
            if not earlier:
                return ""
            nearest = max(earlier, key=lambda item: item.box[3])
        tail = nearest.text[-_TAIL_LETTERS:]
        return tail if len(nearest.text) <= _TAIL_LETTERS else tail.partition(" ")[2]

    def _usable(self, page: int, caption: Caption | None) -> Sequence[Paragraph]:
        return [
            item
            for item in self._pages.get(page, ())
            if len(item.text) >= _MIN_CONTEXT_LETTERS and not (caption and caption.text and caption.text in item.text)
        ]


def _key(number: str) -> str:
    return "".join(number.split()).strip(".-–")


def _overlaps(paragraph: Paragraph, caption: Caption) -> bool:
    return (
        paragraph.box[1] <= caption.box[3]
        and paragraph.box[3] >= caption.box[1]
        and x_overlap(paragraph.box, caption.box) > 0.3
    )


def _excerpt(text: str, position: int) -> str:
    """At most 600 letters around a position, cut between words."""
    if len(text) <= _CONTEXT_LETTERS:
        return text
    start = max(0, min(position - _CONTEXT_LETTERS // 2, len(text) - _CONTEXT_LETTERS))
    cut = text[start : start + _CONTEXT_LETTERS]
    return cut.partition(" ")[2].rpartition(" ")[0] if start else cut.rpartition(" ")[0]
