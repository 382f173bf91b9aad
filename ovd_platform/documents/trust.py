"""How far image and words can be trusted to belong together. Belongs here: the confidence and its reasons, nothing else."""

from collections import Counter
from collections.abc import Sequence

from ovd_platform.documents.drawings import Drawing
from ovd_platform.documents.kind import Judgement
from ovd_platform.documents.words import FigureWords

_CLOSE_PT = 30.0
_AMBIGUOUS_PT = 12.0


def confidence(words: FigureWords, judgement: Judgement) -> float:
    """Trust in a pair, [0, 1], two decimals.

    Without a caption it never passes 0.3. A numbered caption next to its figure starts at 0.6; a mention in the text, an
    unambiguous place and a clear kind raise it; words shared by several panels, distance and ambiguity lower it. A heading over a
    run of images stays below a caption, and one over a single image below what training takes.

    Args:
        words: The figure's words and how they were matched.
        judgement: What its pixels are.
    """
    if not words.caption:
        return round(0.1 + (0.1 if words.context else 0.0) + 0.1 * bool(words.callouts), 2)
    value = (0.6 if words.label else 0.5) + 0.15 * (words.strength - 0.5) * 2
    value += 0.1 if words.mentioned else 0.0
    value += 0.1 * (judgement.certainty - 0.5)
    value -= 0.15 if words.match.gap_pt > _CLOSE_PT else 0.0
    value -= 0.15 if words.match.rival < _AMBIGUOUS_PT else 0.0
    value -= 0.2 if words.shared else 0.0
    value -= 0.1 if len(words.caption) < 8 else 0.0
    return round(min(1.0, max(0.0, value)), 2)


def evidence(words: FigureWords, judgement: Judgement, marks: Sequence[Drawing], notes: Sequence[str] = ()) -> str:
    """What the confidence rests on, one line for people."""
    parts = []
    if words.run:
        parts.append(f"heading over {words.run} image" + ("s" if words.run > 1 else ""))
    elif words.caption and not words.label:
        parts.append("words at the panel, no numbered caption")
    elif words.caption and words.match.caption is None:
        parts.append(f"caption {words.match.side}")
    elif words.caption:
        parts.append(f"caption {words.match.side}, {max(words.match.gap_pt, 0):.0f} pt away")
    else:
        parts.append("label without words" if words.label else "no caption")
    if words.match.panels > 1:
        parts.append(f"panel {words.match.panel + 1} of {words.match.panels}" + (", words shared" if words.shared else ""))
    if words.caption and words.match.rival < _AMBIGUOUS_PT:
        parts.append("another caption is as near")
    parts.append("named in the text" if words.mentioned else "not named in the text")
    parts.append(f"{judgement.kind} ({judgement.reason})")
    if marks:
        counts = Counter(mark.shape for mark in marks)
        parts.append("marks: " + ", ".join(f"{count} {shape}" for shape, count in sorted(counts.items())))
    return "; ".join([*parts, *notes])
