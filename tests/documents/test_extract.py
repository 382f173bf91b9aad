"""Whole documents: made on the spot and real ones."""

from collections import Counter
from pathlib import Path

import numpy as np
import pymupdf
import pytest

from ovd_platform.documents.extract import extract_document
from ovd_platform.documents.opening import document_slug
from ovd_platform.documents.outcome import DocumentOutcome
from ovd_platform.documents.pair_images import read_image
from ovd_platform.documents.recognition import RecognisedLine
from ovd_platform.errors import InputError
from tests.documents.conftest import chip, png


def test_report_gives_its_figures_with_their_words(report: Path, tmp_path: Path) -> None:
    outcome = extract_document(report, tmp_path / "images")
    assert outcome.error is None
    assert outcome.document_id == "report-one"
    assert [(pair.page, pair.label, pair.caption) for pair in outcome.pairs] == [
        (0, "Figure 1", "A ship at a pier."),
        (1, "Fig. 2", "SAR image of two boats."),
        (2, "Figure 3", "Number of ships a month."),
    ]
    assert [pair.kind for pair in outcome.pairs] == ["satellite", "satellite", "diagram"]
    assert [pair.modality for pair in outcome.pairs] == ["optical", "sar", "optical"]
    first = outcome.pairs[0]
    assert first.callouts == ("target",)
    assert "Figure 1 shows" in first.context
    assert first.language == "en"
    assert first.confidence > 0.6
    assert [overlay.shape for overlay in outcome.overlays] == ["circle"]
    assert outcome.overlays[0].box_image_xyxy == pytest.approx((0.34, 0.3667, 0.54, 0.5667), abs=0.01)
    assert any("repeated decoration" in note for note in outcome.notes)


def test_pixels_are_native(report: Path, tmp_path: Path) -> None:
    first = extract_document(report, tmp_path).pairs[0]
    assert np.array_equal(read_image(tmp_path / first.image_path), chip(1))


def test_extraction_is_deterministic_and_survives_json(report: Path, tmp_path: Path) -> None:
    first, second = (extract_document(report, tmp_path / name) for name in ("a", "b"))
    assert first == second
    assert DocumentOutcome.from_dict(first.to_dict()) == first


def test_sixteen_bit_images_keep_their_depth(tmp_path: Path) -> None:
    samples = np.random.default_rng(5).integers(0, 4096, (40, 50), dtype=np.uint16)
    document = pymupdf.open()
    page = document.new_page()
    page.insert_image(pymupdf.Rect(100, 100, 300, 260), stream=png(chip(1)[:40, :48]))
    xref = page.get_images()[0][0]
    document.update_stream(xref, samples.astype(">u2").tobytes())
    for key, value in (
        ("Width", "50"),
        ("Height", "40"),
        ("BitsPerComponent", "16"),
        ("ColorSpace", "/DeviceGray"),
        ("DecodeParms", "null"),
    ):
        document.xref_set_key(xref, key, value)
    path = tmp_path / "deep.pdf"
    document.save(path)
    (pair,) = extract_document(path, tmp_path).pairs
    image = read_image(tmp_path / pair.image_path)
    assert image.dtype == np.uint16
    assert np.array_equal(image, samples)
    assert "12 bit" in pair.evidence


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotated_pages_show_the_image_upright(tmp_path: Path, rotation: int) -> None:
    array = chip(3)[:60]
    document = pymupdf.open()
    page = document.new_page(width=400, height=500)
    page.insert_image(pymupdf.Rect(100, 100, 260, 200), stream=png(array))
    page.set_rotation(rotation)
    path = tmp_path / "turned.pdf"
    document.save(path)
    (pair,) = extract_document(path, tmp_path).pairs
    assert np.array_equal(read_image(tmp_path / pair.image_path), np.rot90(array, -rotation // 90))


def test_wrong_password_is_an_error_and_the_right_one_is_found(tmp_path: Path) -> None:
    document = pymupdf.open()
    document.new_page().insert_text((50, 50), "secret")
    path = tmp_path / "locked.pdf"
    document.save(path, encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="open", owner_pw="own")
    assert "password" in str(extract_document(path, tmp_path, passwords=["wrong"]).error)
    assert extract_document(path, tmp_path, passwords=["wrong", "open"]).error is None


@pytest.mark.parametrize("content", [b"", b"no pdf at all", b"%PDF-1.7\n%%EOF\n"])
def test_broken_files_are_recorded(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.pdf"
    path.write_bytes(content)
    outcome = extract_document(path, tmp_path)
    assert outcome.error is not None
    assert outcome.pairs == []


def test_truncated_file_is_noted_and_kept(report: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.pdf"
    path.write_bytes(report.read_bytes()[:-400])
    outcome = extract_document(path, tmp_path)
    assert outcome.error is not None or any("repaired" in note for note in outcome.notes)


def test_missing_file_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        extract_document(tmp_path / "nothing.pdf", tmp_path)


def test_recogniser_reads_pages_without_text(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page(width=400, height=500)
    page.insert_image(pymupdf.Rect(100, 100, 260, 260), stream=png(chip(4)))
    page.draw_rect(pymupdf.Rect(100, 266, 250, 270), fill=(0, 0, 0))  # words drawn as outlines
    path = tmp_path / "scan.pdf"
    document.save(path)

    def recogniser(image_hwc: np.ndarray) -> list[RecognisedLine]:
        height, width = image_hwc.shape[:2]
        box = (width * 0.25, height * 0.53, width * 0.65, height * 0.55)
        return [RecognisedLine("Figure 1: A ship from above", box, 0.9)] if height > 500 else []

    assert extract_document(path, tmp_path).pairs[0].caption == ""
    assert extract_document(path, tmp_path, recogniser=recogniser).pairs[0].caption == "A ship from above"


def test_slug_is_safe() -> None:
    assert document_slug(Path("a b/ü § report (1).pdf")) == "report-1"
    assert document_slug(Path("§.pdf")) == "document"


def test_ship_chips_of_the_real_introduction(real_pdfs: Path, tmp_path: Path) -> None:
    outcome = extract_document(real_pdfs / "ShipTeam_HRSC2016_Introduction.pdf", tmp_path)
    assert outcome.error is None
    kinds = Counter(pair.kind for pair in outcome.pairs)
    assert len(outcome.pairs) == 91
    assert kinds["satellite"] >= 88
    assert {pair.label for pair in outcome.pairs if pair.label} == {"Fig. SRBBS_b_1", "Fig. SRBBS_b_2"}
    assert Counter(pair.caption for pair in outcome.pairs if pair.caption and not pair.label) == {
        "Samples of “train-val” set.": 28,
        "Samples of “test” set.": 27,
        "Samples of detection results.": 33,
    }


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("invalid.pdf", True),
        ("poppler-67295-0.pdf", True),
        ("Pages-tree-refs.pdf", True),
        ("graph-encrypted.pdf", True),
        ("imagemagick-CCITTFaxDecode.pdf", False),
        ("pike-jp2.pdf", False),
        ("rotation.pdf", False),
    ],
)
def test_awkward_real_files(real_pdfs: Path, tmp_path: Path, name: str, error: bool) -> None:
    assert (extract_document(real_pdfs / name, tmp_path).error is not None) == error


def test_two_column_paper_keeps_its_figures_apart(real_pdfs: Path, tmp_path: Path) -> None:
    outcome = extract_document(real_pdfs / "tracemonkey.pdf", tmp_path)
    labels = {pair.label.split("(")[0] for pair in outcome.pairs if pair.label}
    assert {"Figure 2", "Figure 5", "Figure 7", "Figure 8", "Figure 10", "Figure 11", "Figure 12"} <= labels
    assert all(pair.kind == "diagram" for pair in outcome.pairs)
