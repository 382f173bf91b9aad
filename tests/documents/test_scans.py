"""Scanned pages that lie askew: their angle, their pictures, their hidden words."""

from pathlib import Path

import cv2
import numpy as np
import pymupdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovd_platform.documents.extract import extract_document
from ovd_platform.documents.hidden_text import hidden_lines
from ovd_platform.documents.page_text import TextLine
from ovd_platform.documents.recognition import as_printed
from ovd_platform.documents.scans import ink_of, pictures_of_scan
from ovd_platform.documents.skew import Skew, page_skew, turned_back
from tests.documents.conftest import png

_PAGE = (0.0, 0.0, 600.0, 800.0)
_ZOOM = 2


def _page(*areas: tuple[int, int, int, int], printed: bool = True) -> np.ndarray:
    """Brightness of a page with lines of print at its top and textured pictures, shape (H, W)."""
    rng = np.random.default_rng(1)
    page = np.full((1600, 1200), 0.97, np.float32)
    for row in range(120, 520, 26) if printed else ():
        page[row : row + 10, 100:1100] = np.where(rng.random((10, 1000)) < 0.4, 0.2, 0.97)
    for x0, y0, x1, y1 in areas:
        shape = (_ZOOM * (y1 - y0), _ZOOM * (x1 - x0))
        page[_ZOOM * y0 : _ZOOM * y1, _ZOOM * x0 : _ZOOM * x1] = rng.normal(0.45, 0.1, shape).clip(0, 0.8)
    return page


def _skewed(page: np.ndarray, degrees: float) -> np.ndarray:
    turn = cv2.getRotationMatrix2D((page.shape[1] / 2, page.shape[0] / 2), -degrees, 1.0)
    return cv2.warpAffine(page, turn, (page.shape[1], page.shape[0]), flags=cv2.INTER_LINEAR, borderValue=0.97)


@given(st.floats(-5, 5), st.floats(0, 600), st.floats(0, 800))
def test_straight_and_seen_undo_each_other(degrees: float, x: float, y: float) -> None:
    skew = Skew(degrees, (300.0, 400.0))
    back = skew.straight(skew.seen((x, y, x, y))[:2])
    assert back == pytest.approx((x, y), abs=1e-6)


@pytest.mark.parametrize("degrees", [-2.3, -0.4, 0.0, 0.7, 3.1])
def test_the_angle_of_a_page_is_found(degrees: float) -> None:
    skewed = _skewed(_page((100, 350, 300, 550)), degrees)
    assert page_skew(ink_of(skewed), _PAGE).turn_deg == pytest.approx(degrees, abs=0.15)


def test_a_page_turned_back_is_straight() -> None:
    page = _page((100, 350, 300, 550))
    assert np.abs(turned_back(_skewed(page, 2.0), 2.0, 0.97)[200:1400, 200:1000] - page[200:1400, 200:1000]).mean() < 0.05


@pytest.mark.parametrize("degrees", [0.0, 1.8])
def test_pictures_side_by_side_are_parted_and_stand_where_they_are_seen(degrees: float) -> None:
    boxes = [(60, 350, 210, 500), (215, 350, 365, 500), (370, 350, 520, 500), (60, 505, 210, 655)]
    skewed = _skewed(_page(*boxes), degrees)
    skew = page_skew(ink_of(skewed), _PAGE)
    found = pictures_of_scan(skewed, [], _PAGE, skew.turn_deg)
    pictures = sorted((picture.box for picture in found if picture.solid), key=lambda box: (round(box[1] / 20), box[0]))
    assert len(pictures) == 4
    for found_box, box in zip(pictures, boxes, strict=True):
        assert found_box == pytest.approx(box, abs=3)


def test_the_bars_of_a_chart_are_one_drawing() -> None:
    page = np.full((1600, 1200), 0.97, np.float32)
    for number in range(6):
        left = 200 + 100 * number
        page[1000 - 60 * (number + 2) : 1000, left : left + 84] = 0.4
    page[1000:1004, 180:820] = 0.1
    (drawing,) = pictures_of_scan(page, [], _PAGE)
    assert not drawing.solid
    assert drawing.box == pytest.approx((90, 290, 410, 502), abs=8)


@pytest.mark.parametrize("degrees", [0.0, 1.5])
def test_hidden_words_become_lines(tmp_path: Path, degrees: float) -> None:
    """Words set one by one on a skewed page, each with a font a little too wide or too narrow."""
    skew = Skew(degrees, (300.0, 400.0))
    texts = ["Figure 1: A ship at the long pier,", "seen in the first light of the day.", "The text goes on below the caption."]
    document = pymupdf.open()
    page = document.new_page(width=600, height=800)
    for row, text in enumerate(texts):
        x = 60.0
        for number, word in enumerate(text.split()):
            place = skew.seen(
                (
                    x,
                    300.0 + 13 * row + 20 * (row == 2),
                )
                * 2
            )
            page.insert_text((place[0], place[1]), word, fontsize=10 + (-0.6, 0.5)[number % 2], render_mode=3)
            x += pymupdf.get_text_length(word, fontsize=10) + 2.8
    lines = hidden_lines(page, skew)
    assert [line.text for line in lines] == texts
    assert lines[0].block == lines[1].block != lines[2].block


def test_words_of_panels_read_as_one_line_are_parted() -> None:
    row = ("(a) before the storm (b) after the storm", (100.0, 300.0, 300.0, 310.0), (100.0, 300.0, 300.0, 310.0))
    lines = as_printed([row])
    assert [line.text for line in lines] == ["(a) before the storm", "(b) after the storm"]
    assert lines[0].box[2] < lines[1].box[0]


def test_a_skewed_scan_gives_its_figure_with_its_words(tmp_path: Path) -> None:
    """The whole way: a scan of one picture with a hidden layer of words."""
    skew = Skew(1.5, (300.0, 400.0))
    box = (100.0, 350.0, 300.0, 550.0)
    pixels = np.rint(255 * _skewed(_page((100, 350, 300, 550), printed=False), skew.turn_deg)).astype(np.uint8)
    document = pymupdf.open()
    page = document.new_page(width=600, height=800)
    page.insert_image(page.rect, stream=png(pixels))
    x = 110.0
    for word in "Figure 3: A ship at the long pier".split():  # noqa: SIM905
        place = skew.seen((x, 563.0, x, 563.0))
        page.insert_text((place[0], place[1]), word, fontsize=10, render_mode=3)
        x += pymupdf.get_text_length(word, fontsize=10) + 2.8
    _print_under_words(document, page)
    path = tmp_path / "scan.pdf"
    document.save(path)
    (pair,) = extract_document(path, tmp_path).pairs
    assert (pair.label, pair.caption) == ("Figure 3", "A ship at the long pier")
    assert pair.box_page_xyxy == pytest.approx(skew.seen(box), abs=4)
    assert "cut from a scan" in pair.evidence


def _print_under_words(document: pymupdf.Document, page: pymupdf.Page) -> None:
    """A scan shows ink where its hidden words stand: paint some into the picture."""
    xref = page.get_images()[0][0]
    pixmap = pymupdf.Pixmap(document, xref)
    pixels = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width).copy()
    for x0, y0, x1, y1, *_ in page.get_text("words"):
        pixels[int(_ZOOM * y0) + 6 : int(_ZOOM * y1) - 6 : 2, int(_ZOOM * x0) : int(_ZOOM * x1) : 2] = 40
    page.replace_image(xref, stream=png(pixels))


def test_axis_numbers_belong_to_a_scanned_drawing() -> None:
    page = np.full((1600, 1200), 0.97, np.float32)
    page[600:1000, 240:244] = 0.1
    page[996:1000, 240:800] = 0.1
    cv2.line(page, (240, 990), (790, 620), 0.1, 3)
    label = TextLine("40", (104.0, 380.0, 116.0, 390.0), 9, False, False, "recognised", 1)
    (drawing,) = pictures_of_scan(page, [label], _PAGE)
    assert drawing.box[0] == pytest.approx(104, abs=1)
