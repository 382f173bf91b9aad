"""Kinds of figures on pictures nobody trained on: real satellite chips, figures of real PDFs labelled by eye, made documents.

Three judges side by side: the rules of the extractor, the classifier on pixels alone, and both with the words, as the pair dataset has it. The labels of
the real PDFs are in ``tests/documents/real_figure_kinds.json`` (document, page, box, kind; no imagery). Photographs and maps are few there: their
figures rest on a handful of pictures.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.outcome import Outcome, shared_data
from benchmarks.workspaces import BENCH_HOME, save_result
from ovd_platform.records.pair import Pair

LABELS = Path(__file__).parents[1] / "tests" / "documents" / "real_figure_kinds.json"
PASSWORDS = ("openpassword",)
_CHIPS_STEP = 8
Case = tuple[str, str, Pair, Any]
"""Group, true kind, pair as extracted, pixels."""


def run(arguments: list[str]) -> list[Outcome]:
    """Train as the graph does and measure."""
    from ovd_platform.documents.image_statistics import measure
    from ovd_platform.documents.kind_model import KINDS, features, judge_with, logits
    from ovd_platform.flow.figure_kinds import OF_EACH, starter_embedding, train_on_made_pictures

    model, embed = train_on_made_pictures(0, OF_EACH), starter_embedding()
    right: dict[str, Counter[str]] = defaultdict(Counter)
    with TemporaryDirectory() as images:
        for group, kind, pair, pixels in _cases(Path(images)):
            statistics = measure(pixels)
            looks_k = logits(model, features(statistics, embed([pixels])[0] if embed else None)[None])[0]
            joined = judge_with(model, looks_k, pair=pair, statistics=statistics).kind
            for key in (f"{group}: {kind}", f"all: {kind}"):
                right[key].update(
                    {
                        "pictures": 1,
                        "rules": pair.kind == kind,
                        "pixels": KINDS[int(looks_k.argmax())] == kind,
                        "joined": joined == kind,
                    }
                )
    table = {
        key: {name: int(counts[name]) for name in ("pictures", "rules", "pixels", "joined")}
        for key, counts in sorted(right.items())
    }
    for key, row in table.items():
        print(f"{key:34} {row['pictures']:5}  rules {row['rules']:5}  pixels {row['pixels']:5}  joined {row['joined']:5}")
    recall = {
        name: float(np.mean([row[name] / row["pictures"] for key, row in table.items() if key.startswith("all: ")]))
        for name in ("rules", "pixels", "joined")
    }
    save_result(
        "figure-kinds",
        {
            "command": "uv run python -m benchmarks figure-kinds",
            "groups": table,
            "mean_recall": recall,
            "held_out_made": model.facts,
        },
    )
    satellite = table["all: satellite"]
    return [
        Outcome("mean recall of the kinds, against the rules alone", recall["joined"], recall["rules"]),
        Outcome("recall of satellite chips", satellite["joined"] / satellite["pictures"], 0.97),
    ]


def _cases(images: Path) -> Iterator[Case]:
    yield from _real_documents(images)
    yield from _chips()
    yield from _made_documents(images)


def _real_documents(images: Path) -> Iterator[Case]:
    from benchmarks.generated.scoring import iou
    from ovd_platform.documents.extract import extract_document
    from ovd_platform.documents.pair_images import read_image

    labels: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in json.loads(LABELS.read_text()):
        labels[row["document"]].append(row)
    for name, rows in labels.items():
        for pair in extract_document(shared_data() / "pdfs" / f"{name}.pdf", images, passwords=PASSWORDS).pairs:
            fits = [row for row in rows if row["page"] == pair.page and iou(tuple(row["box"]), pair.box_page_xyxy) >= 0.7]
            if fits and not pair.parent_id:
                yield "real documents", fits[0]["kind"], pair, read_image(images / pair.image_path)


def _chips() -> Iterator[Case]:
    """Real aerial chips without words; the photograph that training never saw, in parts."""
    import cv2

    from ovd_platform.demo.figures import photographs, random_crop
    from ovd_platform.documents.image_statistics import measure
    from ovd_platform.documents.kind import judge

    pictures = [("aerial chips", "satellite", path) for path in sorted((shared_data() / "ucmerced").rglob("*"))[::_CHIPS_STEP]]
    loaded = [(group, kind, cv2.imread(str(path))) for group, kind, path in pictures]
    cases = [(group, kind, np.ascontiguousarray(pixels[:, :, ::-1])) for group, kind, pixels in loaded if pixels is not None]
    rng = np.random.default_rng(0)
    cases += [("photograph parts", "photograph", random_crop(photographs(held_out=True)[0], rng)) for _ in range(20)]
    for number, (group, kind, pixels) in enumerate(cases):
        said = judge(measure(pixels), caption="", nearby="", vector=False, remote_sensing=0.5)
        yield group, kind, Pair(str(number), "", "", 0, (0.0, 0.0, 1.0, 1.0), "", "", kind=said.kind), pixels


def _made_documents(images: Path) -> Iterator[Case]:
    """Figures of the made documents, where these were made (benchmark `pdf-generated`); another hand drew their maps and charts."""
    from benchmarks.generated.scoring import iou
    from ovd_platform.documents.extract import extract_document
    from ovd_platform.documents.pair_images import read_image

    for path in sorted((BENCH_HOME / "generated-documents").glob("*/truth.json"))[-1:]:
        truth = [row for row in json.loads(path.read_text()) if not row["scanned"]]
        for name in sorted({row["document"] for row in truth})[::4]:
            rows = [row for row in truth if row["document"] == name]
            for pair in extract_document(path.parent / f"{name}.pdf", images).pairs:
                fits = [row for row in rows if row["page"] == pair.page and iou(row["box"], pair.box_page_xyxy) >= 0.7]
                if fits and not pair.parent_id:
                    yield "made documents", fits[0]["kind"], replace(pair), read_image(images / pair.image_path)
