"""How fast documents are read, and how much of that is the library's own work: a made document of 1,000 pages, and real ones."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.outcome import Outcome, shared_data
from benchmarks.workspaces import save_result

PAGES = 1000
FIGURE_EVERY = 3
TURNS = 3
_WORDS = "The scene of the western harbour was taken at noon and the ships at the long pier are easy to see in it from above"
Boxes = list[tuple[int, tuple[float, float, float, float]]]


def run(arguments: list[str]) -> list[Outcome]:
    """Pages a second on one core, CPU over the bare library calls, two processes against one, memory at 1,000 pages against 250."""
    if arguments[:1] == ["child"]:
        _child(*map(Path, arguments[1:4]))
        return []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made, short = home / "made.pdf", home / "short.pdf"
        make_document(made, PAGES)
        make_document(short, PAGES // 4)
        _cpu(lambda: _extract(short, home / "warm"))  # imports, caches
        ours, bare, control = _against_library(made, home)
        paper, paper_bare, _ = _against_library(shared_data() / "pdfs" / "tracemonkey.pdf", home)
        busy = os.getloadavg()[0] - 1  # this process counts itself
        walls: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(TURNS):  # taking turns, so that whatever else the machine does weighs on both
            for processes, seconds in walls.items():
                seconds.append(_wall(made, short, home, processes))
        scaling = 2 * min(walls[1]) / min(walls[2])
        flat = _peak_mb(made, short, home) - _peak_mb(short, short, home)
    facts = {
        "command": "uv run python -m benchmarks pdf-speed",
        "pages": PAGES,
        "cpu_s": round(ours, 3),
        "cpu_s_of_library_calls": round(bare, 3),
        "control_ratio": round(control / bare, 3),
        "pages_per_s_per_core": round(PAGES / ours, 1),
        "over_library_calls": round(ours / bare, 3),
        "paper_over_library_calls": round(paper / paper_bare, 3),
        "two_processes_over_one": round(scaling, 2),
        "cores_taken_by_others": round(max(0.0, busy), 1),
        "memory_growth_mb_250_to_1000_pages": round(flat, 1),
    }
    for name, value in facts.items():
        print(f"{name}: {value}")
    save_result("pdf-speed", facts)
    if abs(control / bare - 1) > 0.05:
        print("the two equal controls differ by more than 5 %: inconclusive")
    if scaling > 2.1 or busy > 0.5:
        print(f"others took {max(0.0, busy):.1f} cores of {os.cpu_count()}: the scaling over processes is inconclusive")
    return [
        Outcome("pages a second per core", PAGES / ours, 300),
        Outcome("CPU over the library calls", ours / bare, 1.15, at_least=False),
        Outcome("two processes over one", scaling, 1.7),
        Outcome("memory growth from 250 to 1,000 pages, MB", flat, 60, at_least=False),
    ]


def _against_library(path: Path, home: Path) -> tuple[float, float, float]:
    """CPU of the extractor, of the library calls, and of the library calls once more; the least of several turns each."""
    drawn = drawn_boxes(path, home / "drawn")
    ours, bare, control = [], [], []
    for turn in range(TURNS):
        ours.append(_cpu(lambda turn=turn: _extract(path, home / f"a{turn}-{path.stem}")))
        bare.append(_cpu(lambda turn=turn: bare_calls(path, home / f"b{turn}-{path.stem}", drawn)))
        control.append(_cpu(lambda turn=turn: bare_calls(path, home / f"c{turn}-{path.stem}", drawn)))
    return min(ours), min(bare), min(control)


def drawn_boxes(path: Path, folder: Path) -> Boxes:
    """Pages and boxes of the drawn figures of a document, which somebody has to render."""
    from ovd_platform.documents import figure_pairs

    found: Boxes = []
    render = figure_pairs.render_box

    def noted(page: Any, box: tuple[float, float, float, float]) -> Any:
        found.append((int(page.number), box))
        return render(page, box)

    figure_pairs.render_box = noted  # type: ignore[assignment]
    try:
        _extract(path, folder)
    finally:
        figure_pairs.render_box = render
    return found


def make_document(path: Path, pages: int, seed: int = 3) -> None:
    """A report with two paragraphs a page and a captioned chip on every third."""
    import imagecodecs
    import pymupdf

    rng, words = np.random.default_rng(seed), _WORDS.split()
    document = pymupdf.open()
    for number in range(pages):
        page = document.new_page(width=595, height=842)
        for top in (60, 500):
            text = " ".join(rng.choice(words, 150))
            page.insert_textbox(pymupdf.Rect(54, top, 541, top + 160), text, fontsize=10)
        if number % FIGURE_EVERY == 0:
            chip = np.clip(rng.normal(90, 14, (128, 128)), 0, 255).astype(np.uint8)
            page.insert_image(pymupdf.Rect(54, 240, 254, 440), stream=bytes(imagecodecs.png_encode(chip)))
            page.draw_circle(pymupdf.Point(120, 300), 15, color=(1, 0, 0))
            page.insert_text(
                (54, 456), f"Figure {number // FIGURE_EVERY + 1}: A ship at the pier of harbour {number}.", fontsize=9
            )
    document.save(path, deflate=True)
    document.close()


def bare_calls(path: Path, folder: Path, drawn: Boxes) -> None:
    """The library calls the extractor rests on, with its arguments, and nothing else.

    Opening; of each page the words with their places and fonts, the drawings, the annotations, the placed images with their object
    numbers; pixels of the images, rendering of the drawn figures; PNG, files.

    Args:
        path: The document.
        folder: Where the images go.
        drawn: Drawn figures, which are rendered as the extractor renders them.
    """
    import imagecodecs
    import pymupdf

    from ovd_platform.documents.figure_pairs import render_box

    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, rows: np.ndarray) -> None:
        (folder / f"{name}.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(rows), level=4))

    flags = pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP
    with pymupdf.open(path) as document:
        for page in document:
            page.get_text("dict", flags=flags)
            page.get_cdrawings(extended=True)
            list(page.annots())
            for entry in page.get_image_info(hashes=True, xrefs=True):
                if min(entry["width"], entry["height"]) < 24 or not entry["xref"]:
                    continue
                pixmap = pymupdf.Pixmap(document, entry["xref"])
                if pixmap.colorspace is not None and pixmap.colorspace.n not in (1, 3):
                    pixmap = pymupdf.Pixmap(pymupdf.csRGB, pixmap)
                rows = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, -1)
                write(f"{page.number}-{entry['number']}", rows.squeeze())
            for index, box in enumerate(box for number, box in drawn if number == page.number):
                write(f"{page.number}-drawn-{index}", render_box(page, box))


def _extract(path: Path, folder: Path) -> Any:
    from ovd_platform.documents.extract import extract_document

    return extract_document(path, folder)


def _cpu(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _child(path: Path, warm: Path, folder: Path) -> None:
    _extract(warm, folder / "warm")  # imports and caches
    started = time.monotonic()
    _extract(path, folder)
    print(time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _start(path: Path, warm: Path, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks", "pdf-speed", "child", str(path), str(warm), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _wall(path: Path, warm: Path, home: Path, processes: int) -> float:
    """Longest time of so many processes that read the document at once, each into a folder of its own."""
    with tempfile.TemporaryDirectory(dir=home) as folder:
        children = [_start(path, warm, Path(folder) / str(index)) for index in range(processes)]
        return max(float(child.communicate()[0].split()[0]) for child in children)


def _peak_mb(path: Path, warm: Path, home: Path) -> float:
    with tempfile.TemporaryDirectory(dir=home) as folder:
        return float(_start(path, warm, Path(folder)).communicate()[0].split()[1])
