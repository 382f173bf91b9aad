"""Captions that stand in another column or on another page than their figure."""

from pathlib import Path

import pymupdf
import pytest

from ovd_platform.documents.extract import extract_document
from tests.documents.conftest import chip, png

_WORDS = "The satellite scene was taken at noon and the ships in the harbour are easy to see from above. " * 4


def _text(page: pymupdf.Page, box: tuple[float, float, float, float]) -> None:
    page.insert_textbox(pymupdf.Rect(box), _WORDS, fontsize=9)


def _captions(document: pymupdf.Document, folder: Path) -> list[tuple[int, str, str]]:
    path = folder / "made.pdf"
    document.save(path)
    return [(pair.page, pair.label, pair.caption) for pair in extract_document(path, folder / "images").pairs]


def test_a_caption_opens_the_next_page(tmp_path: Path) -> None:
    document = pymupdf.open()
    for _ in range(2):
        document.new_page(width=595, height=842)
    first, second = document[0], document[1]  # a new page makes the ones handed out before it useless
    _text(first, (54, 90, 541, 200))
    first.insert_image(pymupdf.Rect(100, 400, 440, 740), stream=png(chip(1)))
    first.insert_text((290, 815), "1", fontsize=8)
    second.insert_text((54, 40), "A running title", fontsize=8)
    second.insert_text((100, 95), "Figure 1: Ships at the long pier.", fontsize=9)
    _text(second, (54, 130, 541, 300))
    assert _captions(document, tmp_path) == [(0, "Figure 1", "Ships at the long pier.")]


def test_a_caption_opens_the_next_column(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    _text(page, (54, 90, 285, 300))
    page.insert_image(pymupdf.Rect(60, 500, 280, 720), stream=png(chip(2)))
    page.insert_text((310, 95), "Fig. 4. Boats in the basin.", fontsize=9)
    _text(page, (310, 130, 541, 400))
    assert _captions(document, tmp_path) == [(0, "Fig. 4", "Boats in the basin.")]


@pytest.mark.parametrize("between", ["under the figure", "over the caption"])
def test_text_between_parts_them(tmp_path: Path, between: str) -> None:
    document = pymupdf.open()
    for _ in range(2):
        document.new_page(width=595, height=842)
    first, second = document[0], document[1]  # a new page makes the ones handed out before it useless
    _text(first, (54, 90, 541, 200))
    first.insert_image(pymupdf.Rect(100, 300, 440, 540), stream=png(chip(3)))
    if between == "under the figure":
        _text(first, (54, 600, 541, 700))
    else:
        _text(second, (54, 90, 541, 200))
    second.insert_text((100, 250), "Figure 1: Ships at the long pier.", fontsize=9)
    assert [caption for _, _, caption in _captions(document, tmp_path)] == [""]
