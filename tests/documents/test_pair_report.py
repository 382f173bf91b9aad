"""What the pair dataset leaves out beyond filters: re-printed duplicates, surplus; and what it shows of it."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ovd_platform.documents import pairs as pairs_module
from ovd_platform.documents.contact_sheet import write_contact_sheet
from ovd_platform.documents.duplicates import similar_pairs
from ovd_platform.documents.kind import Judgement
from ovd_platform.documents.pair_images import read_image, write_image
from ovd_platform.documents.pair_report import write_report
from ovd_platform.documents.pairs import build_pair_dataset
from ovd_platform.errors import InputError, ShapeError
from ovd_platform.records.pair import Pair
from tests.documents.conftest import chip


def pair(name: str, document: str = "doc", **changes: object) -> Pair:
    base = Pair(
        name,
        document,
        "v1",
        0,
        (0.0, 0.0, 9.0, 9.0),
        f"{document}/{name}.png",
        f"A ship {name}",
        kind="satellite",
        confidence=0.8,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def coarse(images: "list[np.ndarray] | tuple[np.ndarray, ...]") -> np.ndarray:
    """A stand-in for an embedding: the centred 8 x 8 picture, as a unit vector."""
    rows = []
    for image in images:
        grey = image if image.ndim == 2 else image.mean(axis=2)
        small = cv2.resize(grey.astype(np.float32), (8, 8), interpolation=cv2.INTER_AREA).ravel()
        small -= small.mean()
        rows.append(small / max(float(np.linalg.norm(small)), 1e-6))
    return np.stack(rows).astype(np.float32)


def test_a_picture_printed_anew_is_found_by_its_vector(tmp_path: Path) -> None:
    original = chip(1)
    write_image(tmp_path / "doc" / "a.png", original)
    height, width = original.shape[:2]
    noise = np.random.default_rng(0).normal(0, 9, original.shape)
    cut = np.clip(original + noise, 0, 255).astype(np.uint8)[1 : height - 1, 1 : width - 1]
    write_image(tmp_path / "doc" / "b.png", np.asarray(cv2.resize(cut, (2 * width, 2 * height))))
    write_image(tmp_path / "doc" / "c.png", chip(2))
    three = [pair("a", confidence=0.9), pair("b"), pair("c")]
    assert build_pair_dataset(three, tmp_path).rejected == {}  # too much noise for the hash
    assert build_pair_dataset(three, tmp_path, embed=coarse).rejected == {"b": "duplicate of a"}


def test_similar_vectors_are_found_across_blocks() -> None:
    vectors = np.eye(5, dtype=np.float32)[[0, 1, 0, 2, 1]]
    assert similar_pairs(vectors, 0.99, block=2) == [(0, 2), (1, 4)]
    with pytest.raises(ShapeError, match="Cannot compare vectors"):
        similar_pairs(vectors[0], 0.9)


def test_one_sentence_and_one_document_do_not_drown_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_module, "MOST_OF_SAME_WORDS", 2)
    monkeypatch.setattr(pairs_module, "_FEWEST_TO_BALANCE", 3)
    given = [pair(f"a{number}", "big", caption="Ships" if number < 4 else f"Ship {number}") for number in range(9)] + [
        pair("z", "small")
    ]
    for number, item in enumerate(given):
        write_image(tmp_path / item.image_path, chip(number))
    dataset = build_pair_dataset(given, tmp_path)
    kept = [item.document_id for item in dataset.kept]
    assert kept.count("big") == 3
    assert kept.count("small") == 1
    reasons = dataset.report["rejected_by_reason"]
    assert reasons == {
        "balance: more than 2 images with the same words": 2,
        "balance: its document gives more than half of all pairs": 4,
    }


def test_the_trained_classifier_has_the_last_word(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        write_image(tmp_path / "doc" / f"{name}.png", chip(number))

    def judge(item: Pair, array: np.ndarray, vector: np.ndarray | None) -> Judgement:
        return Judgement("other" if item.pair_id == "a" else "satellite", "sar", 0.9, "told so")

    dataset = build_pair_dataset([pair("a"), pair("b", kind="photograph")], tmp_path, judge=judge)
    assert [(item.pair_id, item.modality) for item in dataset.kept] == [("b", "sar")]
    assert dataset.rejected == {"a": "kind other"}
    assert "told so" in dataset.kept[0].evidence


def test_the_report_shows_examples(tmp_path: Path) -> None:
    given = [pair("a"), pair("b", kind="map", caption="Карта порта Ñandú"), pair("gone")]
    for number, name in enumerate("ab"):
        write_image(tmp_path / "images" / "doc" / f"{name}.png", chip(number))
    dataset = build_pair_dataset(given, tmp_path / "images")
    text = write_report(tmp_path, dataset.judged, dataset.kept, dataset.rejected, tmp_path / "images").read_text()
    assert "1 of 3 pairs kept" in text
    assert "| kind map | 1 |" in text
    assert "| image file is gone | 1 |" in text
    shown = read_image(tmp_path / "kept_examples.png")
    assert shown.shape[0] > 96
    assert (tmp_path / "rejected_examples.png").stat().st_size < 200_000


def test_a_sheet_draws_what_is_there_and_says_what_is_not(tmp_path: Path) -> None:
    write_image(tmp_path / "doc" / "a.png", (np.arange(300 * 200).reshape(300, 200) % 4096).astype(np.uint16))
    path = write_contact_sheet(
        tmp_path / "sheet.png", [pair("a"), pair("gone")], tmp_path, title="A title", columns=2, cell_px=80
    )
    sheet = read_image(path)
    assert sheet.shape[1] == 2 * (80 + 8) + 8
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 50
    limited = read_image(write_contact_sheet(tmp_path / "one.png", [pair("a")] * 9, tmp_path, columns=2, cell_px=80, most=2))
    assert limited.shape[0] < sheet.shape[0] + 40
    with pytest.raises(InputError, match="cells >= 64"):
        write_contact_sheet(path, [], tmp_path, cell_px=10)
