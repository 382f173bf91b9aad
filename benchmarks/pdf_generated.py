"""Documents of eight producers with exact truth: figures, captions, call-outs found, beside the plain PyMuPDF way.

Needs the dependency group ``documents-bench``; LaTeX (texlive-latex-recommended, lmodern) and LibreOffice (libreoffice-writer) where they are
installed, and says so where not. What the corpus does not cover: a caption on another page than its figure, figures across both columns,
figures wrapped by text, bit depths above eight, transparency masks, tiled or stripped rasters, rotated pages, right-to-left and CJK writing,
photographed pages. ``pdf-real`` and the tests of the extractor look at some of these.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.outcome import Outcome
from benchmarks.workspaces import BENCH_HOME, save_result
from ovd_platform.documents.outcome import DocumentOutcome

SEED = 6
GOALS = {"recall": 0.98, "precision": 0.95, "single_pairing": 0.97, "multi_pairing": 0.9, "call_text": 0.9, "call_region": 0.9}


def run(arguments: list[str]) -> list[Outcome]:
    """Make the corpus (kept), read it both ways, score.

    ``only NAME`` reads the documents whose name begins so and prints what is wrong. ``seed N`` scores another corpus than the one the
    extractor was built on; its figures are printed, not kept.
    """
    from benchmarks.generated import baseline
    from benchmarks.generated.corpus import available, build
    from benchmarks.generated.scoring import rates, score

    producers, missing = available()
    seed = int(arguments[1]) if arguments[:1] == ["seed"] else SEED
    folder, truth = build(BENCH_HOME / "generated-documents", seed)
    if arguments[:1] == ["only"]:
        _explain(folder, [row for row in truth if row["document"].startswith(arguments[1])])
        return []
    started = time.monotonic()
    with TemporaryDirectory() as images:
        ours = score(truth, lambda name: found_by_us(folder / f"{name}.pdf", Path(images)))
    seconds = time.monotonic() - started
    plain = score(truth, lambda name: baseline.read(folder / f"{name}.pdf"))
    table = {
        group: {"counts": ours[group], "ours": rates(ours[group]), "nearest_block_below": rates(plain[group])}
        for group in sorted(ours)
    }
    for group, row in table.items():
        print(
            f"{group:16} {row['counts'].get('figures', 0):5} figures  ours {_line(row['ours'])}   plain {_line(row['nearest_block_below'])}"
        )
    if missing:
        print(f"absent here, so without documents of: {', '.join(missing)}")
    documents = len({row["document"] for row in truth})
    if seed == SEED:
        save_result(
            "pdf-generated",
            {
                "command": "uv run --group documents-bench python -m benchmarks pdf-generated", "seed": SEED, "documents": documents,
                "producers": producers, "absent": missing, "groups": table, "seconds_of_extraction": round(seconds, 1),
            },
        )  # fmt: skip
    every = rates(ours["all"])
    figures = [Outcome(name.replace("_", " "), float(every[name] or 0), goal) for name, goal in GOALS.items()]
    return [Outcome("documents", documents, 60), Outcome("producers", len(producers), 4), *figures]


def _line(row: dict[str, Any]) -> str:
    return " ".join("  -  " if row[name] is None else f"{row[name]:.3f}" for name in GOALS)


def found_by_us(path: Path, images: Path) -> list[Any]:
    """Figures by the platform's extractor, with the recogniser the product uses where it has one."""
    return from_outcome(extract(path, images))


def extract(path: Path, images: Path) -> DocumentOutcome:
    """One document the way the graph does it by default: words are read from pixels on pages without text."""
    from ovd_platform.documents.guarded import extract_with_words

    return extract_with_words(path, images, words="pages")


def from_outcome(outcome: DocumentOutcome) -> list[Any]:
    """An outcome in the scoring's terms; call-outs that are linked to a region bring it."""
    from benchmarks.generated.scoring import FoundCall, FoundFigure

    linked: dict[str, list[FoundCall]] = {}
    boxes = {pair.pair_id: pair.box_page_xyxy for pair in outcome.pairs}
    for call in outcome.callouts:
        x0, y0, x1, y1 = boxes[call.pair_id]
        a, b, c, d = call.region_image_xyxy
        region = (x0 + a * (x1 - x0), y0 + b * (y1 - y0), x0 + c * (x1 - x0), y0 + d * (y1 - y0))
        linked.setdefault(call.pair_id, []).append(FoundCall(call.text, region))
    return [
        FoundFigure(
            pair.page, pair.box_page_xyxy, pair.label, pair.caption,
            (*linked.get(pair.pair_id, ()), *(FoundCall(text, None) for text in pair.callouts)),
        )
        for pair in outcome.pairs
        if not pair.parent_id  # A part with its own call-out is a pair for training, no figure of the page.
    ]  # fmt: skip


def _explain(folder: Path, truth: list[dict[str, Any]]) -> None:
    """Every miss of the given documents in words."""
    from benchmarks.generated.scoring import matched, paired, region_hit

    with TemporaryDirectory() as images:
        for name in sorted({row["document"] for row in truth}):
            rows = [row for row in truth if row["document"] == name]
            found = found_by_us(folder / f"{name}.pdf", Path(images))
            of_truth, false = matched(rows, found)
            print(f"{name}: {len(rows)} figures, {len(of_truth)} found, {false} false ({folder / name}.pdf)")
            for index, row in enumerate(rows):
                what = f"  page {row['page'] + 1} {row['label']}{row['letter']} {row['kind']} {row['side']}"
                if index not in of_truth:
                    print(f"{what}: not found, at {row['box']}")
                    continue
                figure = found[of_truth[index]]
                if not paired(row, figure):
                    print(f"{what}: wanted {row['caption']!r} {row['words']!r}, got {figure.label!r} {figure.caption!r}")
                for call in row["calls"]:
                    same = [item for item in figure.calls if item.text == call["text"]]
                    if not any(region_hit(item.region, call["region"]) for item in same):
                        print(
                            f"{what}: call-out {call['text']!r} ({call['style']}), region {call['region']}, got {figure.calls}"
                        )
