"""Real documents against a table written by looking at their pages (`real_truth.json`: words and boxes, no imagery)."""

import json
from pathlib import Path

import pytest

from benchmarks.pdf_real import GALLERY, TRUTH, compare
from ovd_platform.documents.extract import extract_document

# Three documents at which the extractor was mended, and their faults that are known.
KNOWN_FAULTS = {"amt_handbook_sample.pdf": 0, "picture_classification.pdf": 0, "redp5110_sampled.pdf": 0, "tracemonkey.pdf": 0}


@pytest.mark.parametrize("name", sorted(KNOWN_FAULTS))
def test_figures_and_captions_are_those_a_person_sees(real_pdfs: Path, tmp_path: Path, name: str) -> None:
    score, faults = compare(extract_document(real_pdfs / name, tmp_path), json.loads(TRUTH.read_text())[name])
    assert len(faults) <= KNOWN_FAULTS[name], faults
    assert score.figures >= 2


def test_the_galleries_carry_the_heading_of_their_set(real_pdfs: Path, tmp_path: Path) -> None:
    score, faults = compare(extract_document(real_pdfs / GALLERY, tmp_path), json.loads(TRUTH.read_text())[GALLERY])
    assert (score.found, score.right, score.false) == (91, 91, 0), faults
