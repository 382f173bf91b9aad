"""Call-outs, marks in pixels, panels, galleries and scans on cases made on the spot."""

from pathlib import Path

import cv2
import numpy as np
import pymupdf
import pytest

from ovd_platform.documents.callouts import Callout, crop_box_px, linked
from ovd_platform.documents.drawings import Drawing
from ovd_platform.documents.extract import extract_document
from ovd_platform.documents.page_boxes import Box, union_box
from ovd_platform.documents.page_text import TextLine
from ovd_platform.documents.pair_images import read_image
from ovd_platform.documents.pixel_marks import pixel_marks
from ovd_platform.documents.rapid import read_words
from ovd_platform.documents.regions import part_by_anchors
from ovd_platform.documents.scans import is_printed, pictures_of_scan
from tests.documents.conftest import chip, png

IMAGE: Box = (100.0, 100.0, 300.0, 300.0)


def mark(shape: str, box: Box, ends: tuple[tuple[float, float], tuple[float, float]] | None = None) -> Drawing:
    return Drawing(box, shape, True, False, "", ends or ((box[0], box[1]), (box[2], box[3])))  # type: ignore[arg-type]


def test_words_lead_over_their_line_to_the_ring_at_its_end() -> None:
    ring = mark("circle", (200, 200, 230, 230))
    line = mark("arrow", (140, 140, 205, 205), ((205, 205), (140, 140)))
    (link,) = linked([("tanker", (110, 128, 138, 138))], [ring, line], IMAGE)
    assert (link.text, link.region, link.shape) == ("tanker", ring.box, "arrow")


def test_each_ring_has_its_own_words_even_where_one_is_nearer_to_both() -> None:
    rings = [mark("circle", (120, 120, 150, 150)), mark("circle", (120, 170, 150, 200))]
    links = linked([("a ship", (122, 152, 150, 160)), ("a crane", (122, 161, 150, 169))], rings, IMAGE)
    assert {link.text: link.region for link in links} == {"a ship": rings[0].box, "a crane": rings[1].box}


def test_the_frame_of_a_label_is_no_region_and_far_words_point_nowhere() -> None:
    frame = mark("rectangle", (110, 110, 150, 122))
    assert linked([("pier", (112, 112, 148, 120))], [frame], IMAGE) == []
    assert linked([("north", (250, 280, 280, 290))], [mark("circle", (120, 120, 150, 150))], IMAGE) == []


@pytest.mark.parametrize("region", [(0.0, 0.0, 0.1, 0.1), (0.45, 0.45, 0.5, 0.55), (0.9, 0.9, 1.0, 1.0)])
def test_crops_hold_their_region_and_stay_inside(region: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = crop_box_px(region, (200, 300), 64)
    assert 0 <= x0 <= region[0] * 300
    assert region[2] * 300 <= x1 <= 300
    assert 0 <= y0 <= region[1] * 200
    assert region[3] * 200 <= y1 <= 200


def test_a_part_with_its_own_call_out_is_a_pair(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    page.insert_text((54, 60), "The satellite scene of the harbour shows ships.", fontsize=10)
    page.insert_image(pymupdf.Rect(100, 100, 300, 300), stream=png(chip(1, 400)))
    page.draw_circle(pymupdf.Point(220, 220), 20, color=(1, 0, 0))
    page.draw_line((150, 150), (206, 206), color=(1, 0, 0))
    page.insert_text((126, 148), "tanker", fontsize=8, color=(1, 0, 0))
    page.insert_text((100, 315), "Figure 1: Ships seen by the satellite.", fontsize=9)
    document.save(tmp_path / "a.pdf")
    outcome = extract_document(tmp_path / "a.pdf", tmp_path)
    whole, part = outcome.pairs
    assert (whole.parent_id, part.parent_id, part.caption) == ("", whole.pair_id, "tanker")
    assert outcome.callouts == (Callout(whole.pair_id, "tanker", (0.5, 0.5, 0.7, 0.7), "line"),)
    assert np.array_equal(read_image(tmp_path / part.image_path), chip(1, 400)[160:320, 160:320])


def test_rings_and_lines_in_pixels_are_marks() -> None:
    image = np.full((200, 200, 3), 90, np.uint8)
    cv2.circle(image, (140, 140), 20, (255, 220, 0), 2)
    cv2.line(image, (40, 40), (90, 80), (0, 220, 240), 2)
    marks = pixel_marks(image, IMAGE, [(110.0, 110.0, 130.0, 120.0)])
    ring = next(item for item in marks if item.shape == "path")
    assert ring.box == pytest.approx((219, 219, 262, 262), abs=3)
    line = next(item for item in marks if item.shape == "line")
    assert sorted(line.ends)[0] == pytest.approx((140, 140), abs=3)
    assert sorted(line.ends)[1] == pytest.approx((190, 180), abs=3)
    assert pixel_marks(image[..., 0], IMAGE, [IMAGE]) == []


def test_drawn_panels_part_where_their_words_say_so() -> None:
    pieces = [((x, 100.0, x + 40, 140.0), 1) for x in (100.0, 150.0, 205.0, 255.0)]
    words = [(130.0, 145.0, 150.0, 153.0), (240.0, 145.0, 260.0, 153.0)]
    panels = part_by_anchors(pieces, words)
    assert [union_box(box for box, _ in panel) for panel in panels] == [(100, 100, 190, 140), (205, 100, 295, 140)]
    assert len(part_by_anchors(pieces, words[:1])) == 1


def test_a_heading_speaks_for_the_images_below_it_until_other_text_comes(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    page.insert_text((54, 80), "b) Samples of the harbour set.", fontsize=10)
    for number in range(4):
        page.insert_image(
            pymupdf.Rect(
                54 + 210 * (number % 2), 100 + 160 * (number // 2), 254 + 210 * (number % 2), 250 + 160 * (number // 2)
            ),
            stream=png(chip(number)),
        )
    page = document.new_page(width=595, height=842)
    page.insert_image(pymupdf.Rect(54, 100, 254, 250), stream=png(chip(5)))
    page.insert_text((54, 300), "The text goes on here and tells of other things entirely, as texts do.", fontsize=10)
    page.insert_image(pymupdf.Rect(54, 350, 254, 500), stream=png(chip(6)))
    document.save(tmp_path / "a.pdf")
    pairs = extract_document(tmp_path / "a.pdf", tmp_path).pairs
    assert [pair.caption for pair in pairs] == ["Samples of the harbour set."] * 5 + [""]
    assert all("heading over 5 images" in pair.evidence for pair in pairs[:5])


def test_pictures_of_a_scanned_page_are_cut_from_its_pixels() -> None:
    page = np.full((1100, 850), 0.97, np.float32)
    page[300:500, 200:450] = 0.4
    lines = [TextLine("words of the page", (60, y, 540, y + 9), 9, False, False, "", y) for y in range(60, 150, 12)]
    for line in lines:
        page[int(line.box[1] / 0.72) + 3 : int(line.box[3] / 0.72) - 3, 90:740:3] = 0.1
    bounds = (0.0, 0.0, 612.0, 792.0)
    (picture,) = pictures_of_scan(page, lines, bounds)
    assert picture.box == pytest.approx((144, 216, 324, 360), abs=4)
    assert picture.certain
    assert picture.solid
    assert is_printed(page, lines, bounds)
    assert not is_printed(np.full_like(page, 0.97), lines, bounds)


def test_the_shipped_recogniser_reads_a_label() -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    cv2.putText(image, "TANKER", (60, 100), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 0), 2)
    (line,) = read_words(image)
    assert line.text == "TANKER"
    assert line.box_image_xyxy == pytest.approx((58, 78, 156, 106), abs=10)


@pytest.mark.parametrize("grid", [(1, 2), (2, 1), (3, 3)])
def test_an_image_cut_into_a_grid_is_one_again_and_a_gallery_is_not(tmp_path: Path, grid: tuple[int, int]) -> None:
    rows, columns = grid
    smooth = cv2.GaussianBlur(np.random.default_rng(4).normal(128, 60, (180, 180)), (0, 0), 3) * 3 - 256
    whole = np.clip(smooth, 0, 255).astype(np.uint8)
    document = pymupdf.open()
    for number in range(2):  # the same grid of one image, and of images that have nothing to do with each other
        page = document.new_page(width=400, height=400)
        for row in range(rows):
            for column in range(columns):
                part = whole[
                    row * 180 // rows : (row + 1) * 180 // rows, column * 180 // columns : (column + 1) * 180 // columns
                ]
                part = part if number == 0 else np.ascontiguousarray(np.rot90(part, 2) if (row + column) % 2 else part)
                box = pymupdf.Rect(
                    50 + column * 270 / columns,
                    50 + row * 270 / rows,
                    50 + (column + 1) * 270 / columns,
                    50 + (row + 1) * 270 / rows,
                )
                page.insert_image(box, stream=png(np.ascontiguousarray(part)), keep_proportion=False)
    document.save(tmp_path / "a.pdf")
    pairs = extract_document(tmp_path / "a.pdf", tmp_path).pairs
    assert [pair.page for pair in pairs] == [0] + [1] * (rows * columns)
    assert np.array_equal(read_image(tmp_path / pairs[0].image_path), whole)
    assert pairs[0].box_page_xyxy == pytest.approx((50, 50, 320, 320), abs=0.1)
