"""The rendered documents: pictures, captions and boxes agree with their truth."""

import numpy as np
import pymupdf
import pytest

from ovd_platform.demo.captions import vocabulary
from ovd_platform.demo.chips import CHIP_CLASSES, render_chip, stretch_8_bit
from ovd_platform.demo.documents import LAYOUTS, write_document
from ovd_platform.demo.spectra import instrument


@pytest.mark.parametrize("layout", LAYOUTS)
def test_document_truth_is_on_its_pages(tmp_path, layout):
    classes = ["dome building", "ship", "aircraft", "dome building", "storage tank"]
    truth = write_document(tmp_path / "a.pdf", 4, classes, layout, sar=layout == "grid")
    assert [item["class"] for item in truth if item["class"]] == classes
    with pymupdf.open(tmp_path / "a.pdf") as document:
        for page in document:
            assert "rendered imagery" in page.get_text()
        for item in truth:
            page = document[item["page"]]
            words = " ".join(page.get_text().split())
            if "part" not in item:
                assert item["caption"] in words
            else:
                assert item["part"] in words
            if item["kind"] == "satellite":
                boxes = [info["bbox"] for info in page.get_image_info()]
                assert any(np.allclose(box, item["box"], atol=1.0) for box in boxes)
            if item["modality"] == "sar":
                assert "SAR" in item["caption"]


def test_documents_are_reproducible(tmp_path):
    for name in ("a.pdf", "b.pdf"):
        write_document(tmp_path / name, 9, ["ship", "dome building"], "call-outs")
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


@pytest.mark.parametrize("name", CHIP_CLASSES)
def test_chip_shows_its_class_near_the_middle(name):
    chip = render_chip(3, "pan-1x12", name, 112)
    middles = [np.mean(item.corners_scene_xy, axis=0) for item in chip.truth if item.class_name == name]
    assert min(np.hypot(*(middle - 56)) for middle in middles) < 30
    grey = stretch_8_bit(chip.pixels_chw, instrument(chip.instrument))
    assert grey.shape == (112, 112)
    assert grey.std() > 8


def test_vocabulary_leaves_the_held_out_class_out():
    content = vocabulary()
    assert "dome" not in str(content)
    names = [row["name"] for row in content["classes"]]
    assert set(names) == set(CHIP_CLASSES) - {"dome building"}
    assert len({row["coco_id"] for row in content["classes"]}) == len(names)
    assert content["background"]
