"""What the pair dataset holds and what was left out, for people. Belongs here: counts, words, pictures; deciding is pairs'."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ovd_platform.documents.contact_sheet import write_contact_sheet
from ovd_platform.records.pair import Pair
from ovd_platform.stores.home import write_json

_EXAMPLES_OF_EACH = 3
_EXAMPLES = 24


def short_reason(reason: str) -> str:
    """A reason without the id it names, so that equal ones count together."""
    return "duplicate" if reason.startswith("duplicate of") else reason


def report_of(pairs: Sequence[Pair], kept: Sequence[Pair], rejected: Mapping[str, str]) -> dict[str, Any]:
    """Counts; plain JSON values.

    Args:
        pairs: All pairs with their final kind.
        kept: Those of the dataset.
        rejected: Reason by pair id.
    """
    reasons = Counter(short_reason(reason) for reason in rejected.values())
    return {
        "pairs": len(pairs),
        "kept": len(kept),
        "documents": len({pair.document_id for pair in pairs}),
        "documents_kept": len({pair.document_id for pair in kept}),
        "captioned": sum(bool(pair.caption) for pair in pairs),
        "by_kind": dict(sorted(Counter(pair.kind for pair in pairs).items())),
        "kept_by_modality": dict(sorted(Counter(pair.modality for pair in kept).items())),
        "kept_by_language": dict(sorted(Counter(pair.language for pair in kept).items())),
        "kept_by_document": dict(sorted(Counter(pair.document_id for pair in kept).items())),
        "kept_with_callouts": sum(bool(pair.callouts) for pair in kept),
        "distinct_captions": len({pair.caption.casefold() for pair in kept}),
        "rejected_by_reason": dict(sorted(reasons.items())),
        "mean_confidence_kept": round(float(np.mean([pair.confidence for pair in kept])), 3) if kept else None,
    }


def write_report(
    folder: Path, pairs: Sequence[Pair], kept: Sequence[Pair], rejected: Mapping[str, str], images_dir: Path
) -> Path:
    """Write ``report.json``, ``report.md``, and examples as pictures: ``kept_examples.png``, ``rejected_examples.png``.

    Args:
        folder: Where.
        pairs: All pairs with their final kind.
        kept: Those of the dataset.
        rejected: Reason by pair id.
        images_dir: Root of the images of all pairs.

    Returns:
        The Markdown file.
    """
    facts = report_of(pairs, kept, rejected)
    write_json(folder / "report.json", facts)
    if kept:
        step = max(1, len(kept) // _EXAMPLES)
        write_contact_sheet(
            folder / "kept_examples.png",
            list(kept)[::step][:_EXAMPLES],
            images_dir,
            title=f"{len(kept)} pairs kept",
            columns=6,
            cell_px=96,
        )
    turned_down = _examples(pairs, rejected)
    if turned_down:
        counts = ", ".join(f"{count} {reason}" for reason, count in facts["rejected_by_reason"].items())
        write_contact_sheet(
            folder / "rejected_examples.png",
            turned_down,
            images_dir,
            title=f"{len(rejected)} pairs left out",
            notes=[counts],
            columns=6,
            cell_px=96,
        )
    path = folder / "report.md"
    path.write_text(markdown(facts))
    return path


def _examples(pairs: Sequence[Pair], rejected: Mapping[str, str]) -> list[Pair]:
    """A few pairs of each reason."""
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        if pair.pair_id in rejected:
            groups[short_reason(rejected[pair.pair_id])].append(pair)
    return [pair for reason in sorted(groups) for pair in groups[reason][:_EXAMPLES_OF_EACH]][:_EXAMPLES]


def markdown(facts: Mapping[str, Any]) -> str:
    """The counts as Markdown, for the asset's page and for people."""
    lines = [
        f"{facts['kept']} of {facts['pairs']} pairs kept, from {facts['documents_kept']} of {facts['documents']} documents; "
        f"{facts['distinct_captions']} distinct captions, {facts['kept_with_callouts']} pairs with call-outs.",
        "",
    ]
    for title, name in (
        ("kind (all)", "by_kind"),
        ("modality (kept)", "kept_by_modality"),
        ("language (kept)", "kept_by_language"),
        ("document (kept)", "kept_by_document"),
        ("left out because", "rejected_by_reason"),
    ):
        if facts[name]:
            lines += [
                f"| {title} | pairs |",
                "|---|---|",
                *(f"| {value} | {count} |" for value, count in facts[name].items()),
                "",
            ]
    return "\n".join(lines) + "\n"
