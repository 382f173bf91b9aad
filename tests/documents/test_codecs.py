"""Every way a document stores an image gives its pixels back: codecs, masks, strips; what is too large is said."""

import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pymupdf
import pytest
from PIL import Image

from ovd_platform.documents.extract import extract_document
from ovd_platform.documents.outcome import DocumentOutcome
from ovd_platform.documents.pair_images import read_image
from tests.documents.conftest import chip, png

_SIDE = 96


def _stored(folder: Path, data: bytes, **keys: str) -> DocumentOutcome:
    """A document whose only image is the given stream, extracted."""
    document = pymupdf.open()
    page = document.new_page(width=400, height=400)
    page.insert_image(pymupdf.Rect(100, 100, 292, 292), stream=png(chip(1)))
    xref = page.get_images()[0][0]
    document.update_stream(xref, data, compress=False)
    for key, value in {"DecodeParms": "null", "BitsPerComponent": "8", "ColorSpace": "/DeviceGray", **keys}.items():
        document.xref_set_key(xref, key, value)
    path = folder / "stored.pdf"
    document.save(path)
    return extract_document(path, folder)


def _image(outcome: DocumentOutcome, folder: Path) -> np.ndarray:
    assert outcome.error is None
    (pair,) = outcome.pairs
    return read_image(folder / pair.image_path)


def _bits() -> np.ndarray:
    return np.where(chip(5) > 95, 255, 0).astype(np.uint8)


def _group_four(image: np.ndarray) -> bytes:
    """T.6 code of a black and white image, from a TIFF."""
    buffer = io.BytesIO()
    Image.fromarray(image).convert("1").save(buffer, format="TIFF", compression="group4")
    buffer.seek(0)
    with Image.open(buffer) as tiff:
        offset, count = tiff.tag_v2[273][0], tiff.tag_v2[279][0]
    return buffer.getvalue()[offset : offset + count]


def test_jpeg(tmp_path: Path) -> None:
    found = _image(_stored(tmp_path, bytes(imagecodecs.jpeg_encode(chip(2), level=95)), Filter="/DCTDecode"), tmp_path)
    assert np.abs(found.astype(int) - chip(2)).mean() < 2


@pytest.mark.parametrize("bits", [8, 12])
def test_jpeg_2000_keeps_its_depth(tmp_path: Path, bits: int) -> None:
    image = chip(3) if bits == 8 else chip(3).astype(np.uint16) << 4
    data = bytes(imagecodecs.jpeg2k_encode(image, level=0, codecformat="jp2", reversible=True, bitspersample=bits))
    found = _image(_stored(tmp_path, data, Filter="/JPXDecode", BitsPerComponent="null", ColorSpace="null"), tmp_path)
    assert found.dtype == image.dtype
    assert np.array_equal(found, image)


def test_ccitt_group_four(tmp_path: Path) -> None:
    parameters = f"<</K -1/Columns {_SIDE}/Rows {_SIDE}/BlackIs1 true>>"
    keys = {"Filter": "/CCITTFaxDecode", "DecodeParms": parameters, "BitsPerComponent": "1"}
    assert np.array_equal(_image(_stored(tmp_path, _group_four(_bits()), **keys), tmp_path), _bits())


def test_jbig2(tmp_path: Path) -> None:
    """A page of one generic region, whose bits are coded as in T.6."""
    page = struct.pack(">IIIIBH", _SIDE, _SIDE, 0, 0, 0, 0)
    region = struct.pack(">IIIIB", _SIDE, _SIDE, 0, 0, 0) + b"\x01" + _group_four(_bits())
    segments = b"".join(
        struct.pack(">IBBBI", number, kind, 0, 1, len(data)) + data
        for number, (kind, data) in enumerate([(48, page), (38, region)])
    )
    found = _image(_stored(tmp_path, segments, Filter="/JBIG2Decode", BitsPerComponent="1"), tmp_path)
    assert np.array_equal(found, 255 - _bits())  # there a one is black


def test_a_soft_mask_shows_paper(tmp_path: Path) -> None:
    alpha = np.zeros((_SIDE, _SIDE), np.uint8)
    alpha[:, : _SIDE // 2] = 255
    colour = np.repeat(chip(4)[..., None], 3, axis=2)
    document = pymupdf.open()
    document.new_page(width=400, height=400).insert_image(
        pymupdf.Rect(100, 100, 292, 292), stream=png(np.dstack([colour, alpha]))
    )
    path = tmp_path / "masked.pdf"
    document.save(path)
    found = _image(extract_document(path, tmp_path), tmp_path)
    assert np.array_equal(found[:, : _SIDE // 2], colour[:, : _SIDE // 2])
    assert (found[:, _SIDE // 2 :] == 255).all()


def test_strips_are_one_image(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page(width=400, height=400)
    for number in range(6):
        top = 100 + 32 * number
        page.insert_image(pymupdf.Rect(100, top, 292, top + 32), stream=png(chip(6)[16 * number : 16 * number + 16]))
    path = tmp_path / "strips.pdf"
    document.save(path)
    assert np.array_equal(_image(extract_document(path, tmp_path), tmp_path), chip(6))


def test_copies_of_an_image_share_a_page_with_its_like(tmp_path: Path) -> None:
    """Images of one size are told apart by their pixels: each pair has its own."""
    document = pymupdf.open()
    page = document.new_page(width=400, height=400)
    for number in range(4):
        left, top = 40 + 180 * (number % 2), 40 + 180 * (number // 2)
        page.insert_image(pymupdf.Rect(left, top, left + 150, top + 150), stream=png(chip(number)))
    path = tmp_path / "gallery.pdf"
    document.save(path)
    found = [read_image(tmp_path / pair.image_path) for pair in extract_document(path, tmp_path).pairs]
    assert [next(k for k in range(4) if np.array_equal(image, chip(k))) for image in found] == [0, 1, 2, 3]


def test_an_image_too_large_is_named_with_its_remedy_and_the_rest_is_kept(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page(width=400, height=400)
    page.insert_image(pymupdf.Rect(20, 20, 180, 180), stream=png(chip(1)))
    page.insert_image(pymupdf.Rect(200, 200, 380, 380), stream=png(chip(2)[:90]))
    huge = next(entry[0] for entry in page.get_images() if entry[3] == _SIDE)
    for key in ("Width", "Height"):
        document.xref_set_key(huge, key, "30000")
    path = tmp_path / "huge.pdf"
    document.save(path)
    outcome = extract_document(path, tmp_path)
    assert outcome.error is not None
    assert "Extract it by hand" in outcome.error
    assert len(outcome.pairs) == 1


def test_a_document_without_pages_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "empty.pdf"
    path.write_bytes(
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
        b"trailer<</Root 1 0 R>>\n%%EOF\n"
    )
    outcome = extract_document(path, tmp_path)
    assert outcome.pairs == []
    assert "at least one page" in str(outcome.error)


def test_a_repaired_document_says_so(tmp_path: Path) -> None:
    document = pymupdf.open()
    document.new_page(width=400, height=400).insert_image(pymupdf.Rect(100, 100, 292, 292), stream=png(chip(1)))
    whole = tmp_path / "whole.pdf"
    document.save(whole)
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(whole.read_bytes().replace(b"startxref", b"startxxxx"))
    outcome = extract_document(broken, tmp_path)
    assert any(note.startswith("repaired") for note in outcome.notes)
    assert len(outcome.pairs) == 1
    assert not any(note.startswith("repaired") for note in extract_document(whole, tmp_path).notes)
