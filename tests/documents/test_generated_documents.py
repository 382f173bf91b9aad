"""The made documents and their scoring: truth of itself is perfect, faults are seen, the twin finds what it was told."""

from pathlib import Path

import pymupdf
import pytest

from benchmarks.generated.canvas import Composer
from benchmarks.generated.canvases import PyMuPdfCanvas
from benchmarks.generated.content import make, truth_rows
from benchmarks.generated.scoring import FoundCall, FoundFigure, matched, rates, region_hit, score
from benchmarks.generated.twin import places, twin


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, object]], object]:
    made = make("doc", "pymupdf", 3, 2, "below", "en")
    canvas = PyMuPdfCanvas(made.page_pt, made.seed)
    where = Composer(canvas, made).compose()
    path = tmp_path_factory.mktemp("made") / "doc.pdf"
    canvas.save(path)
    return path, truth_rows(made, where), made


def as_found(rows: list[dict[str, object]]) -> list[FoundFigure]:
    found = []
    for row in rows:
        label = f"{row['label']}({row['letter']})" if row["letter"] else str(row["label"])
        caption = str(row["words"] or row["caption"])
        calls = tuple(FoundCall(call["text"], tuple(call["region"])) for call in row["calls"])  # type: ignore[attr-defined]
        found.append(FoundFigure(int(row["page"]), tuple(row["box"]), label, caption, calls))  # type: ignore[call-overload, arg-type]
    return found


def test_truth_scores_one_and_each_fault_costs(document: tuple[Path, list[dict[str, object]], object]) -> None:
    _, rows, _ = document
    perfect = as_found(rows)
    assert all(value in (1.0, None) for value in rates(score(rows, lambda _: perfect)["all"]).values())
    assert rates(score(rows, lambda _: perfect[1:])["all"])["recall"] < 1  # type: ignore[operator]
    stray = FoundFigure(0, (1.0, 1.0, 40.0, 40.0), "", "")
    assert matched(rows, [*perfect, stray])[1] == 1
    swapped = [
        FoundFigure(f.page, f.box, perfect[index - 1].label, perfect[index - 1].caption) for index, f in enumerate(perfect)
    ]
    found = rates(score(rows, lambda _: swapped)["all"])
    assert found["single_pairing"] < 0.3  # type: ignore[operator]
    assert found["call_text"] == 0


def test_a_region_must_be_there_and_not_everywhere() -> None:
    wanted = (100.0, 100.0, 140.0, 140.0)
    assert region_hit((110.0, 105.0, 150.0, 140.0), wanted)
    assert not region_hit(None, wanted)
    assert not region_hit((300.0, 100.0, 340.0, 140.0), wanted)
    assert not region_hit((0.0, 0.0, 240.0, 240.0), wanted)


def test_the_twin_is_measured_where_the_pictures_stand(
    document: tuple[Path, list[dict[str, object]], object], tmp_path: Path
) -> None:
    _, rows, made = document
    flat = twin(made)  # type: ignore[arg-type]
    canvas = PyMuPdfCanvas(flat.page_pt, flat.seed)
    Composer(canvas, flat).compose()
    canvas.save(tmp_path / "flat.pdf")
    for row, (page, box) in zip(rows, places(made, tmp_path / "flat.pdf"), strict=True):  # type: ignore[arg-type]
        assert page == row["page"]
        assert box == pytest.approx(row["box"], abs=0.5)


def test_what_the_truth_says_is_printed(document: tuple[Path, list[dict[str, object]], object]) -> None:
    path, rows, _ = document
    with pymupdf.open(path) as printed:
        pages = [" ".join(page.get_text().split()) for page in printed]
    for row in rows:
        if row["label"]:
            assert str(row["label"]) in pages[int(row["page"])]  # type: ignore[call-overload]
        for call in row["calls"]:  # type: ignore[attr-defined]
            assert call["text"] in pages[int(row["page"])]  # type: ignore[call-overload]
