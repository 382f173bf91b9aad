"""The real documents of the test data: what was found in each, against a table written by looking at their pages."""

import json
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.outcome import Outcome, shared_data
from benchmarks.workspaces import save_result
from ovd_platform.documents.guarded import extract_document_guarded
from ovd_platform.documents.outcome import DocumentOutcome
from ovd_platform.documents.page_boxes import Box, box_area, intersection_area

TRUTH = Path(__file__).parents[1] / "tests" / "documents" / "real_truth.json"
PASSWORDS = ("permissionpassword", "openpassword", "owner", "user")
GALLERY = "ShipTeam_HRSC2016_Introduction.pdf"
_SAME_PLACE = 0.7
_SECONDS = 150.0


@dataclass(frozen=True)
class Score:
    """How a document's figures compare with the table: of `figures` listed, so many found, so many with the right words; and extra ones."""

    figures: int
    found: int
    captioned: int
    right: int
    false: int


def run(arguments: list[str]) -> list[Outcome]:
    """Read all files in a guarded process and compare; prints a line each and what is wrong."""
    truth: dict[str, Any] = json.loads(TRUTH.read_text())
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted((shared_data() / "pdfs").iterdir()):
            started = time.monotonic()
            outcome = extract_document_guarded(path, Path(folder), passwords=PASSWORDS, seconds=_SECONDS, words="pages")
            score, faults = compare(outcome, truth[path.name])
            rows[path.name] = _row(outcome, score, time.monotonic() - started)
            print(_line(path.name, rows[path.name]), flush=True)
            for fault in faults:
                print(f"    {fault}")
    gallery = rows[GALLERY]
    others = [row for name, row in rows.items() if name != GALLERY]
    outcomes = [
        Outcome("files", len(rows), len(truth)),
        Outcome("crashes or hangs", sum(row["crashed"] for row in rows.values()), 0, at_least=False),
        Outcome("readable files with an error, or the reverse", sum(row["readable"] != truth[name]["readable"] for name, row in rows.items()), 0, at_least=False),
        Outcome("satellite images of the introduction", gallery["satellite"], 88),
        Outcome("their set caption", gallery["right"] / gallery["captioned"], 0.9),
        Outcome("figures of the others", _share(others, "found", "figures"), 0.9),
        Outcome("their captions", _share(others, "right", "captioned"), 0.9),
        Outcome("their precision", _share(others, "found", "found", "false"), 0.9),
    ]  # fmt: skip
    save_result(
        "pdf-real",
        {"command": "uv run python -m benchmarks pdf-real", "documents": rows, "goals_met": all(item.met for item in outcomes)},
    )
    return outcomes


def compare(outcome: DocumentOutcome, truth: dict[str, Any]) -> tuple[Score, list[str]]:
    """Score of one document and its faults in words; pages nobody looked at are left out."""
    looked = truth["pages_looked_at"]
    found = [pair for pair in outcome.pairs if not pair.parent_id and (looked == "all" or pair.page + 1 in looked)]
    taken: set[str] = set()
    right, captioned, faults = 0, 0, []
    for row in truth["figures"]:
        captioned += bool(row["caption"] or row["label"])
        near = [
            (_same_place(pair.box_page_xyxy, tuple(row["box"])), pair)
            for pair in found
            if pair.page + 1 == row["page"] and pair.pair_id not in taken
        ]
        overlap, best = max(near, key=lambda item: item[0], default=(0.0, None))
        if best is None or overlap < _SAME_PLACE:
            faults.append(f"page {row['page']} {row['label']} at {row['box']}: not found")
            continue
        taken.add(best.pair_id)
        if (row["caption"] or row["label"]) and best.label == row["label"] and row["caption"] in best.caption:
            right += 1
        elif row["caption"] or row["label"]:
            faults.append(
                f"page {row['page']} {row['label']}: expected {row['caption']!r}, got {best.label!r} {best.caption[:60]!r}"
            )
    extra = [pair for pair in found if pair.pair_id not in taken and (pair.label or truth["uncaptioned"] != "ignored")]
    faults += [f"page {pair.page + 1} at {pair.box_page_xyxy}: {pair.label!r} is no figure of its own" for pair in extra]
    return Score(len(truth["figures"]), len(taken), captioned, right, len(extra)), faults


def _same_place(first: Box, second: Box) -> float:
    common = intersection_area(first, second)
    return common / max(box_area(first) + box_area(second) - common, 1e-9)


def _row(outcome: DocumentOutcome, score: Score, seconds: float) -> dict[str, Any]:
    error = outcome.error or ""
    return {
        "pages": outcome.pages,
        "pairs": len(outcome.pairs),
        "with_caption": sum(bool(pair.caption) for pair in outcome.pairs),
        "satellite": sum(pair.kind == "satellite" and not pair.label and not pair.parent_id for pair in outcome.pairs),
        "kinds": dict(Counter(pair.kind for pair in outcome.pairs)),
        "error": error.replace(f"{shared_data()}/", "") or None,
        "notes": list(outcome.notes),
        "crashed": any(words in error for words in ("crash with signal", "no progress", "end with code")),
        "readable": outcome.error is None,
        "seconds": round(seconds, 1),
        "figures": score.figures, "found": score.found, "captioned": score.captioned, "right": score.right, "false": score.false,
    }  # fmt: skip


def _line(name: str, row: dict[str, Any]) -> str:
    said = row["error"] or "; ".join(row["notes"])
    return (
        f"{name[:36]:36} {row['pages']:4} pages {row['pairs']:4} pairs, of {row['figures']:3} looked at {row['found']:3} found "
        f"{row['right']:3} worded {row['false']:2} false {row['seconds']:6.1f} s  {said[:90]}"
    )


def _share(rows: list[dict[str, Any]], part: str, *whole: str) -> float:
    total = sum(row[name] for row in rows for name in whole)
    return sum(row[part] for row in rows) / total if total else 0.0
