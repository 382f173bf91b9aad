"""Captions as they are printed. Belongs here: finding a caption, its number and its parts; whose it is is matching's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ovd_platform.documents.page_boxes import Box, gap_y, union_box, x_overlap
from ovd_platform.documents.page_text import HIDDEN, RECOGNISED, TextLine, join_lines

_WORDS = (
    r"Figures?|Figs?\.?|FIGURE|FIG\.?|Abbildung|Abb\.?|ABBILDUNG|Bild|BILD|Figura|FIGURA|Рисунок|Рис\.?|Obr\.?|Rys\.?|"
    r"Image|IMAGE|Photo|PHOTO|Plate|PLATE|Tafel|Exhibit|EXHIBIT|Chart|Scheme|Chip|CHIP|Map|MAP|Karte|Carte|Mapa|Foto|"
    r"Afbeelding|Planche|Şekil|Kuva|Slika|Ábra|图|圖|図|그림"
)
_NUMBER = (
    r"(?:[A-Za-z]{1,8}_)?[A-Za-z]?\d+(?:[.\-–_/][A-Za-z]*_?\d+)*(?:[a-z](?![a-z]))?|[IVXL]+(?![A-Za-z])|"
    r"[A-Z]+(?:_[A-Za-z0-9]+)+"
)
_CAPTION = re.compile(
    rf"^(?P<word>{_WORDS})\s*(?P<number>{_NUMBER})\s*(?P<delimiter>[:：.|–—-]|\)\s*)?\s*(?P<text>.*)$", re.DOTALL
)
_BEGINNING = re.compile(rf"^\s*(?:{_WORDS})\s*(?:{_NUMBER})", re.MULTILINE)
_TABLE = re.compile(r"^(?:Table|TABLE|Tabelle|Tab\.|Tabla|Tableau|Tabella|Listing|Algorithm)\s*[A-Z]?[\dIVX]+", re.UNICODE)
_PART_LINE = re.compile(r"^\(?([a-h])\)[\s:.]*(.*)$", re.DOTALL)
_PART_INLINE = re.compile(r"(?:(?<=^)|(?<=[\s:;,.(]))\(([a-h])\)(?![.,;)])\s*:?\s*")
_VERBS = re.compile(
    r"^(?:shows?|illustrates?|depicts?|presents?|is|are|was|were|and|or|gives?|summari[sz]es|compares|demonstrates|displays|"
    r"reports|plots|contains|we|the|that|which|in|of|on|for|zeigt|stellt|ist|muestra|montre|mostra)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Caption:
    """A printed caption.

    Attributes:
        label: "Figure 3" as printed, without the delimiter.
        text: What follows the label; may be "".
        box: Page box of all its lines, points.
        strength: How surely it is a caption and not a sentence, [0, 1].
        lines: Its printed lines.
    """

    label: str
    text: str
    box: Box
    strength: float
    lines: tuple[TextLine, ...]


@dataclass(frozen=True, slots=True)
class PartCaption:
    """A short caption of one panel: "(a) harbour at low tide".

    Attributes:
        letter: ``a`` to ``h``.
        text: Words after the letter; may be "".
        box: Page box in points.
        bracketed: True for "(a)"; "a)" may as well be a heading and counts only together with a numbered caption.
    """

    letter: str
    text: str
    box: Box
    bracketed: bool = True


def may_hold_caption(text: str) -> bool:
    """Whether any line of a text begins like a caption; cheap, and right when it says no."""
    return _BEGINNING.search(text) is not None


def find_captions(lines: Sequence[TextLine]) -> list[Caption]:
    """Captions of figures among the lines of one page.

    Args:
        lines: As printed, any order of blocks.

    Returns:
        New list in the order of the lines. Sentences that merely begin with "Figure 3 shows" are left out.
    """
    captions = []
    taken: set[int] = set()
    for index, line in enumerate(lines):
        match = _CAPTION.match(line.text)
        if index in taken or match is None or _TABLE.match(line.text):
            continue
        strength = _strength(match, line, lines, usual_size(lines))
        if strength <= 0:
            continue
        members = [index, *_continuation(lines, index)]
        taken.update(members)
        text = join_lines([match["text"], *(lines[member].text for member in members[1:])]).strip()
        label = f"{match['word']} {match['number']}"
        box = union_box(lines[member].box for member in members)
        captions.append(Caption(label, text.strip(" –—-"), box, strength, tuple(lines[member] for member in members)))
    best = {caption.label: max(other.strength for other in captions if other.label == caption.label) for caption in captions}
    return [caption for caption in captions if caption.text or caption.strength == best[caption.label]]


def usual_size(lines: Sequence[TextLine]) -> float:
    """Font size that most letters of the page have."""
    letters: dict[float, int] = {}
    for line in lines:
        letters[round(line.size_pt, 1)] = letters.get(round(line.size_pt, 1), 0) + len(line.text)
    return max(letters, key=lambda size: letters[size]) if letters else 10.0


def _strength(match: re.Match[str], line: TextLine, lines: Sequence[TextLine], usual_pt: float) -> float:
    opens_block = not any(other.block == line.block and other.box[1] < line.box[1] - 1 for other in lines)
    differs = abs(line.size_pt - usual_pt) > 0.4 or line.bold or line.italic
    delimiter = match["delimiter"]
    text = match["text"]
    if delimiter in (":", "：", "|", "–", "—") or (delimiter == "-" and (opens_block or differs)):
        return 1.0 if opens_block or differs else 0.9
    if delimiter == "." and (not text or not text[0].islower()) and (opens_block or differs):
        return 1.0
    if _VERBS.match(text):
        return 0.0
    if delimiter == "." and text and not text[0].islower():
        return 0.8
    if not text and (opens_block or differs):
        return 0.8
    if not delimiter and text and not text[0].islower() and text[0] not in ",;)":
        return 0.85 if differs else (0.7 if opens_block else 0.0)
    return 0.0


def _continuation(lines: Sequence[TextLine], start: int) -> list[int]:
    """Indices of the lines that carry a caption on."""
    first = last = lines[start]
    widest = first.box[2] - first.box[0]
    members: list[int] = []
    following = sorted(range(len(lines)), key=lambda index: (lines[index].box[1], lines[index].box[0]))
    for index in following:
        line = lines[index]
        if index == start or line.box[1] < last.box[1] + 0.5 * last.size_pt or x_overlap(line.box, first.box) < 0.3:
            continue
        if gap_y(last.box, line.box) > 0.75 * first.size_pt or not _carries_on(first, last, line, widest):
            break
        members.append(index)
        last, widest = line, max(widest, line.box[2] - line.box[0])
    return members


def _carries_on(first: TextLine, last: TextLine, line: TextLine, widest: float) -> bool:
    if abs(line.size_pt - first.size_pt) > 0.6 or _CAPTION.match(line.text) or _TABLE.match(line.text):
        return False
    if line.block != last.block and line.font in (RECOGNISED, HIDDEN):  # they have one font: only gaps tell
        return False
    ended = last.text.rstrip().endswith((".", "!", "?"))
    short = last.box[2] - last.box[0] < 0.85 * max(widest, line.box[2] - line.box[0])
    if ended and (short or line.block != first.block):
        return False
    if line.block != first.block and (line.bold != last.bold or line.italic != last.italic):
        return False
    return not (ended and line.box[0] > first.box[0] + 8)


def part_captions(lines: Sequence[TextLine]) -> list[PartCaption]:
    """Lines that begin with "(a)" or "a)" and may stand under a panel; several in one line are told apart by their letters."""
    found = []
    for line in lines:
        match = _PART_LINE.match(line.text)
        if match is not None and len(line.text) <= 120:
            members = [line, *_wrapped(line, lines)]
            text = join_lines([match[2], *(member.text for member in members[1:])]).strip()
            found.append(PartCaption(match[1], text, union_box(member.box for member in members), line.text.startswith("(")))
    return found


def _wrapped(first: TextLine, lines: Sequence[TextLine]) -> list[TextLine]:
    """Up to two lines that carry a panel's caption on: same font, same left edge, no gap."""
    members: list[TextLine] = []
    last = first
    for line in sorted(lines, key=lambda item: item.box[1]):
        aligned = abs(line.box[0] - first.box[0]) < 2 or x_overlap(line.box, first.box) > 0.9
        near = 0.3 * last.size_pt < line.box[1] - last.box[1] < 1.8 * last.size_pt
        same = abs(line.size_pt - first.size_pt) < 0.3 and line.font == first.font
        same = same and (
            line.font not in (RECOGNISED, HIDDEN) or line.block == last.block
        )  # read words have one font: only gaps tell
        starts = _PART_LINE.match(line.text) or _CAPTION.match(line.text) or _TABLE.match(line.text)
        if aligned and near and same and not starts and len(members) < 2 and not last.text.endswith((".", ";")):
            members.append(line)
            last = line
    return members


def split_parts(text: str) -> tuple[str, dict[str, str]]:
    """Split "Harbour: (a) before, (b) after" into what all panels share and what each shows.

    Args:
        text: Caption without its number.

    Returns:
        The shared part, and the letters with their words; the text itself and no letters unless they run a, b, c, ...
    """
    marks = list(_PART_INLINE.finditer(text))
    letters = [mark[1] for mark in marks]
    if len(marks) < 2 or letters != [chr(ord("a") + position) for position in range(len(marks))]:
        return text, {}
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    parts = {
        mark[1]: re.sub(r"[\s,;]+(?:and|und|et|y)?[\s,;]*$", "", text[mark.end() : end]).strip(" ,;.")
        for mark, end in zip(marks, ends, strict=True)
    }
    return text[: marks[0].start()].strip(" :;,.-–"), parts
