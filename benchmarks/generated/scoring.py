"""How well figures, captions and call-outs were found against exact truth. Belongs here: matching and figures of merit."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from benchmarks.generated.model import Box

MATCH_IOU = 0.7
_SAME_WORDS = 0.92
_TIP_PT = 6.0


@dataclass(frozen=True)
class FoundCall:
    """Words over a figure and the page box they point to; None where none is claimed."""

    text: str
    region: Box | None


@dataclass(frozen=True)
class FoundFigure:
    """A figure some method found: page (0-based), page box, printed label, caption words, call-outs."""

    page: int
    box: Box
    label: str
    caption: str
    calls: tuple[FoundCall, ...] = ()


def plain(text: str) -> str:
    """Words without regard to case, spaces, ligatures and end punctuation."""
    joined = " ".join(unicodedata.normalize("NFKC", text).split()).casefold().replace("–", "-").replace("--", "-")
    return joined.strip(" .,;:|-")


def alike(text: str, wanted: str) -> bool:
    """Whether two captions are the same but for a few letters."""
    a, b = plain(text), plain(wanted)
    return a == b or SequenceMatcher(None, a, b, autojunk=False).ratio() >= _SAME_WORDS


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return common / max((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common, 1e-9)


def matched(rows: Sequence[Mapping[str, Any]], found: Sequence[FoundFigure]) -> tuple[dict[int, int], int]:
    """Truth -> found by best overlap, one to one, and how many found ones are false.

    A part of a composite raster is neither right nor wrong: whether it is one figure or several is a matter of taste.

    Args:
        rows: Truth of one document.
        found: What was found in it.
    """
    pairs = sorted(
        ((iou(row["box"], figure.box), i, j) for i, row in enumerate(rows) for j, figure in enumerate(found) if row["page"] == figure.page),
        key=lambda item: (-item[0], item[1], item[2]),
    )  # fmt: skip
    of_truth: dict[int, int] = {}
    taken: set[int] = set()
    for overlap, i, j in pairs:
        if overlap >= MATCH_IOU and i not in of_truth and j not in taken:
            of_truth[i] = j
            taken.add(j)
    false = [j for j in range(len(found)) if j not in taken and not _part_of_composite(found[j], rows)]
    return of_truth, len(false)


def _part_of_composite(figure: FoundFigure, rows: Sequence[Mapping[str, Any]]) -> bool:
    x, y = (figure.box[0] + figure.box[2]) / 2, (figure.box[1] + figure.box[3]) / 2
    return any(
        row["composite"]
        and row["page"] == figure.page
        and row["box"][0] <= x <= row["box"][2]
        and row["box"][1] <= y <= row["box"][3]
        for row in rows
    )


def whole_of_parts(row: Mapping[str, Any], found: Sequence[FoundFigure]) -> FoundFigure | None:
    """A composite that was found as its parts, if these make up the whole of it and each has the number and its letter's words.

    A composite on paper, scanned, looks just as panels of their own do.
    """
    if not row["composite"]:
        return None
    parts = [figure for figure in found if figure.page == row["page"] and _part_of_composite(figure, [row])]
    if len(parts) < 2:
        return None
    around = (
        min(part.box[0] for part in parts), min(part.box[1] for part in parts),
        max(part.box[2] for part in parts), max(part.box[3] for part in parts),
    )  # fmt: skip
    if iou(around, row["box"]) < MATCH_IOU:
        return None
    shared, words = _parts_of_caption(row["caption"])
    right = len(parts) == len(words) and all(
        (letter := re.search(r"\(([a-f])\)$", part.label)) is not None
        and plain(words.get(letter[1], "?")) in plain(part.caption)
        and len(plain(part.caption)) <= len(plain(shared)) + len(plain(words.get(letter[1], ""))) + 8
        for part in parts
    )
    label = re.sub(r"\(([a-f])\)$", "", parts[0].label)
    same = len({re.sub(r"\(([a-f])\)$", "", part.label) for part in parts}) == 1
    return FoundFigure(row["page"], around, label if same else "", row["caption"] if right else parts[0].caption)


def _parts_of_caption(caption: str) -> tuple[str, dict[str, str]]:
    """What the panels of "Harbour: (a) before, (b) after." share, and the words of each letter."""
    pieces = re.split(r"\(([a-f])\)", caption)
    return pieces[0], {letter: words.strip(" ,.;") for letter, words in zip(pieces[1::2], pieces[2::2], strict=True)}


def paired(row: Mapping[str, Any], figure: FoundFigure) -> bool:
    """Whether a figure has its own caption: the right number, the right letter, the right words."""
    if not row["label"]:
        return not figure.caption
    number = re.sub(r"^\D*", "", row["label"])
    if not re.search(rf"(?<![\d.]){re.escape(number)}(?!\.?\d)", figure.label):
        return False
    if row["panels"] == 1:
        return alike(figure.caption, row["caption"])
    if row["words"]:
        own = plain(row["words"])
        others = plain(figure.caption)
        return (
            f"({row['letter']})" in figure.label and own in others and len(others) <= len(own) + len(plain(row["caption"])) + 8
        )
    return f"({row['letter']})" in figure.label and alike(re.sub(r"\(([a-f])\)$", "", figure.caption), row["caption"])


def region_hit(region: Box | None, wanted: Box) -> bool:
    """Whether a claimed region is that of the truth: its middle lies in it, and it is neither a point elsewhere nor the whole."""
    if region is None:
        return False
    x, y = (region[0] + region[2]) / 2, (region[1] + region[3]) / 2
    inside = wanted[0] - _TIP_PT <= x <= wanted[2] + _TIP_PT and wanted[1] - _TIP_PT <= y <= wanted[3] + _TIP_PT
    area, true_area = (region[2] - region[0]) * (region[3] - region[1]), (wanted[2] - wanted[0]) * (wanted[3] - wanted[1])
    return inside and area <= 4 * max(true_area, 400.0)


Counts = dict[str, int]


def score(truth: Sequence[Mapping[str, Any]], read: Callable[[str], Iterable[FoundFigure]]) -> dict[str, Counts]:
    """Counts by group: `all`, each producer, `scanned`, `two columns`, each side.

    Args:
        truth: Rows of the corpus.
        read: Figures found in a document, by its name.
    """
    groups: dict[str, Counts] = defaultdict(lambda: defaultdict(int))
    documents: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in truth:
        documents[row["document"]].append(row)
    for name, rows in documents.items():
        found = list(read(name))
        of_truth, false = matched(rows, found)
        own = "scanned" if rows[0]["scanned"] else rows[0]["producer"]
        for group in ("all", own, "born digital" if own != "scanned" else "all scans"):
            groups[group]["documents"] += 1
            groups[group]["false"] += false
        for index, row in enumerate(rows):
            figure = found[of_truth[index]] if index in of_truth else whole_of_parts(row, found)
            layout = (f"{row['columns']} column(s)", f"caption {row['side'] or 'none'}", "drawn" if row["drawn"] else "raster")
            for group in (
                "all",
                own,
                "born digital" if own != "scanned" else "all scans",
                *(layout if own != "scanned" else ()),
            ):
                _count(groups[group], row, figure)
    return {name: dict(counts) for name, counts in groups.items()}


def _count(counts: Counts, row: Mapping[str, Any], figure: FoundFigure | None) -> None:
    counts["figures"] += 1
    counts["found"] += figure is not None
    sort = "single" if row["panels"] == 1 else "multi"
    counts[f"{sort}"] += 1
    counts[f"{sort}_paired"] += figure is not None and paired(row, figure)
    for call in row["calls"]:
        counts["calls"] += 1
        if figure is None:
            continue
        same = [item for item in figure.calls if " ".join(item.text.split()) == call["text"]]
        counts["calls_exact"] += bool(same)
        counts["calls_hit"] += any(region_hit(item.region, call["region"]) for item in same)


def rates(counts: Mapping[str, int]) -> dict[str, float | None]:
    """Figures of merit from counts; None where there was nothing to find."""

    def over(part: str, whole: float) -> float | None:
        return round(counts.get(part, 0) / whole, 4) if whole else None

    return {
        "recall": over("found", counts.get("figures", 0)),
        "precision": over("found", counts.get("found", 0) + counts.get("false", 0)),
        "single_pairing": over("single_paired", counts.get("single", 0)),
        "multi_pairing": over("multi_paired", counts.get("multi", 0)),
        "call_text": over("calls_exact", counts.get("calls", 0)),
        "call_region": over("calls_hit", counts.get("calls", 0)),
    }
