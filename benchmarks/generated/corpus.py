"""The corpus: which documents there are, made once and kept until the code that makes them changes. Belongs here: the list and the folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.generated import twin, words
from benchmarks.generated.canvas import Composer
from benchmarks.generated.canvases import FpdfCanvas, MatplotlibCanvas, PyMuPdfCanvas, ReportLabCanvas
from benchmarks.generated.content import make, truth_rows
from benchmarks.generated.engines import latex_program, office_program, set_latex, set_office
from benchmarks.generated.markup import set_html, set_typst
from benchmarks.generated.model import Made, Side
from benchmarks.generated.scans import scan
from benchmarks.generated.twin import places
from ovd_platform.stores.home import content_hash, read_json, write_json

CORPUS = 2
"""Raise it whenever the code here would make other documents: kept ones are made again."""
PER_PRODUCER = 8
SCANS = 12
_CANVASES: dict[str, Callable[..., Any]] = {
    "pymupdf": PyMuPdfCanvas,
    "reportlab": ReportLabCanvas,
    "fpdf2": FpdfCanvas,
    "matplotlib": MatplotlibCanvas,
}
_ENGINES: dict[str, Callable[[list[Made], Path], None]] = {
    "weasyprint": set_html,
    "typst": set_typst,
    "latex": set_latex,
    "libreoffice": set_office,
}
PRODUCERS = (*_CANVASES, *_ENGINES)
_SIDES: tuple[Side, ...] = ("below", "below", "above", "beside")


def available() -> tuple[list[str], list[str]]:
    """Producers that can work here, and those that cannot."""
    missing = [name for name, program in (("latex", latex_program()), ("libreoffice", office_program())) if program is None]
    return [name for name in PRODUCERS if name not in missing], missing


def planned(producer: str, seed: int) -> list[Made]:
    """The documents of one producer: one and two columns, captions below, above and beside, four languages."""
    number = PRODUCERS.index(producer)
    found = []
    for index in range(PER_PRODUCER):
        columns = 1 + (index + number) % 2
        side = _SIDES[(index // 2 + number) % 4]
        side = "below" if side == "beside" and columns == 2 else side
        language = words.LANGUAGES[(index + 3 * number) % len(words.LANGUAGES)]
        found.append(make(f"{producer}_{index + 1}", producer, seed * 1000 + 100 * number + index, columns, side, language))
    return found


def build(root: Path, seed: int) -> tuple[Path, list[dict[str, Any]]]:
    """Make the corpus, or find it made.

    Args:
        root: Folder of all corpora.
        seed: Decides everything.

    Returns:
        Folder of the PDFs and truth of all panels. Documents that lack a producer are missing from both.
    """
    producers, _ = available()
    version = content_hash(CORPUS, producers, seed, PER_PRODUCER, SCANS)
    folder = root / version
    if (folder / "truth.json").is_file():
        return folder, read_json(folder / "truth.json")
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    truth: list[dict[str, Any]] = []
    for producer in producers:
        done = work / f"{producer}.json"  # A build that was stopped goes on where it was.
        if not done.is_file():
            write_json(done, _produce(producer, planned(producer, seed), folder, work))
            print(f"{producer}: made", flush=True)
        truth += read_json(done)
    truth += _scans(folder, truth, producers, seed)
    write_json(folder / "truth.json", truth)
    return folder, truth


def _produce(producer: str, mades: list[Made], folder: Path, work: Path) -> list[dict[str, Any]]:
    truth: list[dict[str, Any]] = []
    if producer in _CANVASES:
        for made in mades:
            surface = _CANVASES[producer](made.page_pt, made.seed)
            where = Composer(surface, made).compose()
            surface.save(folder / f"{made.name}.pdf")
            truth += truth_rows(made, where)
        return truth
    flat = work / "twins"
    flat.mkdir(exist_ok=True)
    _ENGINES[producer](mades, work)
    _ENGINES[producer]([twin.twin(made) for made in mades], flat)
    for made in mades:
        truth += truth_rows(made, places(made, flat / f"{made.name}.pdf"))
        (work / f"{made.name}.pdf").replace(folder / f"{made.name}.pdf")
    return truth


def _scans(folder: Path, truth: list[dict[str, Any]], producers: list[str], seed: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number in range(SCANS):
        source = f"{producers[number % len(producers)]}_{3 + number // len(producers)}"
        own = [row for row in truth if row["document"] == source]
        rows += scan(folder / f"{source}.pdf", folder / f"scan_{number + 1}_{source}.pdf", own, seed * 1000 + number)
    return rows
