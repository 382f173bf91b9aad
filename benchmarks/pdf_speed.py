"""How fast documents are read, and how much of that is the library's own work: a made document of 1,000 pages, and real ones."""

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
_WORDS = [
    "The",
    "scene",
    "of",
    "the",
    "western",
    "harbour",
    "was",
    "taken",
    "at",
    "noon",
    "and",
    "the",
    "ships",
    "at",
    "the",
    "long",
    "pier",
    "are",
    "easy",
    "to",
    "see",
    "in",
    "it",
    "from",
    "above",
]


def run(arguments: list[str]) -> list[Outcome]:
    """Pages a second on one core, CPU over the bare library calls, two processes against one, memory at 1,000 pages against 250."""
    if arguments[:1] == ["child"]:
        _child(Path(arguments[1]), Path(arguments[2]))
        return []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made, short = home / "made.pdf", home / "short.pdf"
        make_document(made, PAGES)
        make_document(short, PAGES // 4)
        _cpu(lambda: _extract(short, home / "warm"))  # imports, caches
        ours, bare, control = [], [], []
        for turn in range(3):
            ours.append(_cpu(lambda turn=turn: _extract(made, home / f"a{turn}")))
            bare.append(_cpu(lambda turn=turn: bare_calls(made, home / f"b{turn}")))
            control.append(_cpu(lambda turn=turn: bare_calls(made, home / f"c{turn}")))
        real = shared_data() / "pdfs" / "tracemonkey.pdf"
        real_ours, real_bare = _cpu(lambda: _extract(real, home / "r")), _cpu(lambda: bare_calls(real, home / "s"))
        one, two = _wall(made, home, 1), _wall(made, home, 2)
        flat = _peak_mb(made, home) - _peak_mb(short, home)
    facts = {
        "command": "uv run python -m benchmarks pdf-speed",
        "pages": PAGES,
        "cpu_s": round(min(ours), 3),
        "cpu_s_of_library_calls": round(min(bare), 3),
        "control_ratio": round(min(control) / min(bare), 3),
        "pages_per_s_per_core": round(PAGES / min(ours), 1),
        "over_library_calls": round(min(ours) / min(bare), 3),
        "paper_over_library_calls": round(real_ours / real_bare, 3),
        "two_processes_over_one": round(2 * one / two, 2),
        "memory_growth_mb_250_to_1000_pages": round(flat, 1),
    }
    for name, value in facts.items():
        print(f"{name}: {value}")
    save_result("pdf-speed", facts)
    if abs(facts["control_ratio"] - 1) > 0.05:
        print("the two equal controls differ by more than 5 %: inconclusive")
    return [
        Outcome("pages a second per core", PAGES / min(ours), 300),
        Outcome("CPU over the library calls", min(ours) / min(bare), 1.15, at_least=False),
        Outcome("two processes over one", 2 * one / two, 1.7),
        Outcome("memory growth from 250 to 1,000 pages, MB", flat, 60, at_least=False),
    ]


def make_document(path: Path, pages: int, seed: int = 3) -> None:
    """A report with two paragraphs a page and a captioned chip on every third."""
    import imagecodecs
    import pymupdf

    rng = np.random.default_rng(seed)
    document = pymupdf.open()
    for number in range(pages):
        page = document.new_page(width=595, height=842)
        for top in (60, 500):
            words = " ".join(rng.choice(_WORDS, 150))
            page.insert_textbox(pymupdf.Rect(54, top, 541, top + 160), words, fontsize=10)
        if number % FIGURE_EVERY == 0:
            chip = np.clip(rng.normal(90, 14, (128, 128)), 0, 255).astype(np.uint8)
            page.insert_image(pymupdf.Rect(54, 240, 254, 440), stream=bytes(imagecodecs.png_encode(chip)))
            page.draw_circle(pymupdf.Point(120, 300), 15, color=(1, 0, 0))
            page.insert_text(
                (54, 456), f"Figure {number // FIGURE_EVERY + 1}: A ship at the pier of harbour {number}.", fontsize=9
            )
    document.save(path, deflate=True)
    document.close()


def bare_calls(path: Path, folder: Path) -> None:
    """The library calls the extractor rests on, and nothing else: words, drawings, images, decoding, encoding, writing."""
    import imagecodecs
    import pymupdf

    folder.mkdir(parents=True, exist_ok=True)
    flags = pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP
    with pymupdf.open(path) as document:
        for page in document:
            page.get_text("dict", flags=flags)
            page.get_cdrawings(extended=True)
            list(page.annots())
            for entry in page.get_image_info(hashes=True, xrefs=True):
                if min(entry["width"], entry["height"]) < 24:
                    continue
                pixmap = pymupdf.Pixmap(document, entry["xref"])
                rows = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, -1)
                data = imagecodecs.png_encode(np.ascontiguousarray(rows.squeeze()), level=4)
                (folder / f"{page.number}-{entry['number']}.png").write_bytes(data)


def _extract(path: Path, folder: Path) -> Any:
    from ovd_platform.documents.extract import extract_document

    return extract_document(path, folder)


def _cpu(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _child(path: Path, folder: Path) -> None:
    started = time.monotonic()
    _extract(path, folder)
    print(time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _start(path: Path, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks", "pdf-speed", "child", str(path), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _wall(path: Path, home: Path, processes: int) -> float:
    """Longest time of so many processes that read the document at once."""
    children = [_start(path, home / f"p{processes}-{index}") for index in range(processes)]
    return max(float(child.communicate()[0].split()[0]) for child in children)


def _peak_mb(path: Path, home: Path) -> float:
    return float(_start(path, home / f"m-{path.stem}").communicate()[0].split()[1])
