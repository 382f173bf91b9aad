"""PDFs made on the spot, and the place of the real ones."""

import os
from pathlib import Path

import numpy as np
import pymupdf
import pytest


@pytest.fixture(scope="session")
def real_pdfs() -> Path:
    root = os.environ.get("OVD_SHARED_DATA")
    folder = (Path(root) if root else Path(__file__).parents[2] / "../shared/data") / "pdfs"
    if not folder.is_dir():
        pytest.skip(f"real documents are not at {folder}")
    return folder


def chip(seed: int, size: int = 96) -> np.ndarray:
    """A grey field with a bright bar, shape (H, W), uint8."""
    rng = np.random.default_rng(seed)
    base = rng.normal(90, 12, (size, size))
    x, y = rng.integers(10, size - 40, 2)
    base[y : y + 8, x : x + 30] += 100
    return np.clip(base, 0, 255).astype(np.uint8)


def png(array: np.ndarray) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.png_encode(array))


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Two satellite chips with captions, a circle and a call-out; a drawn chart; a logo on each of three pages."""
    document = pymupdf.open()
    logo = png(np.tile(np.arange(64, dtype=np.uint8) * 3, (40, 1)))
    for number in range(3):
        page = document.new_page(width=595, height=842)
        page.insert_image(pymupdf.Rect(450, 20, 520, 60), stream=logo)
        words = "The satellite scene was taken at noon and the ships in the harbour are easy to see. "
        page.insert_textbox(pymupdf.Rect(54, 80, 541, 160), words + f"Figure {number + 1} shows one of them.", fontsize=10)
    page = document[0]
    page.insert_image(pymupdf.Rect(54, 200, 204, 350), stream=png(chip(1)))
    page.insert_text((54, 365), "Figure 1: A ship at a pier.", fontsize=9)
    page.draw_circle(pymupdf.Point(120, 270), 15, color=(1, 0, 0))
    page.insert_text((60, 345), "target", fontsize=7)
    page = document[1]
    page.insert_text((54, 195), "Fig. 2. SAR image of two boats.", fontsize=9)
    page.insert_image(pymupdf.Rect(54, 200, 204, 350), stream=png(chip(2)))
    page = document[2]
    for index in range(8):
        page.draw_rect(pymupdf.Rect(80 + 20 * index, 350 - 12 * index, 95 + 20 * index, 350), fill=(0.2, 0.4, 0.8))
        page.draw_line((80 + 20 * index, 240), (98 + 20 * index, 235 - 5 * index))
    page.insert_text((80, 372), "Figure 3: Number of ships a month.", fontsize=9)
    path = tmp_path / "report one.pdf"
    document.save(path)
    return path
