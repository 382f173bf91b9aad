"""The pair dataset, its tables, buckets and the guarded child."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.documents.buckets import bucket_paths, document_bucket, extract_bucket
from ovd_platform.documents.duplicates import difference_hash, near_pairs
from ovd_platform.documents.guarded import extract_document_guarded
from ovd_platform.documents.image_statistics import shrunk
from ovd_platform.documents.pair_images import write_image
from ovd_platform.documents.pairs import build_pair_dataset, pairs_from_table, pairs_to_table, read_pairs, write_pairs
from ovd_platform.errors import ShapeError
from ovd_platform.records.pair import Pair
from tests.documents.conftest import chip


def pair(name: str, **changes: object) -> Pair:
    base = Pair(
        name, "doc", "v1", 0, (0.0, 0.0, 10.0, 10.0), f"doc/{name}.png", f"A ship {name}", kind="satellite", confidence=0.8
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name, seed in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        write_image(tmp_path / "doc" / f"{name}.png", chip(seed))
    return tmp_path


def test_duplicates_keep_the_most_trusted(store: Path) -> None:
    brighter = np.clip(chip(1).astype(int) + 10, 0, 255).astype(np.uint8)
    write_image(store / "doc" / "z.png", np.repeat(np.repeat(brighter, 2, axis=0), 2, axis=1))
    dataset = build_pair_dataset([pair("a"), pair("b"), pair("z", confidence=0.9)], store)
    assert [item.pair_id for item in dataset.kept] == ["b", "z"]
    assert dataset.rejected == {"a": "duplicate of z"}


def test_optical_and_radar_of_one_look_are_both_kept(store: Path) -> None:
    write_image(store / "doc" / "s.png", chip(1))
    assert len(build_pair_dataset([pair("a"), pair("s", modality="sar")], store).kept) == 2


def test_every_rejection_has_a_reason(store: Path) -> None:
    write_image(store / "doc" / "tiny.png", chip(1)[:20])
    pairs = [
        pair("a"),
        pair("b", kind="map"),
        pair("c", caption=" "),
        pair("d", confidence=0.2),
        pair("gone"),
        pair("tiny"),
    ]
    dataset = build_pair_dataset(pairs, store)
    assert [item.pair_id for item in dataset.kept] == ["a"]
    assert set(dataset.rejected) == {item.pair_id for item in pairs} - {"a"}
    assert dataset.report["kept"] == 1
    assert sum(dataset.report["rejected_by_reason"].values()) == 5


def test_version_follows_content_not_order(store: Path) -> None:
    pairs = [pair("a"), pair("b"), pair("c")]
    first = build_pair_dataset(pairs, store)
    assert first.version == build_pair_dataset(pairs[::-1], store).version
    assert first.version != build_pair_dataset([pair("a", caption="Another ship"), *pairs[1:]], store).version
    write_image(store / "doc" / "a.png", chip(9))
    assert first.version != build_pair_dataset(pairs, store).version


def test_tables_round_trip(tmp_path: Path) -> None:
    pairs = [pair("a", callouts=("N", "target 1"), language="de"), pair("b", context="x", label="Figure 1")]
    assert pairs_from_table(pairs_to_table(pairs)) == pairs
    assert read_pairs(write_pairs(tmp_path / "pairs.parquet", pairs)) == pairs
    assert pairs_from_table(pairs_to_table([])) == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 15))
def test_near_pairs_equal_brute_force(seed: int, radius: int) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (12, 256), dtype=np.uint8)
    bits[6:] = bits[:6]
    for row in bits[6:]:
        row[rng.choice(256, int(rng.integers(0, 24)), replace=False)] ^= 1
    hashes = np.packbits(bits, axis=1)
    expected = [(i, j) for i in range(12) for j in range(i + 1, 12) if int((bits[i] != bits[j]).sum()) <= radius]
    assert near_pairs(hashes, radius) == expected


def test_near_pairs_refuses_what_its_index_would_miss() -> None:
    with pytest.raises(ShapeError):
        near_pairs(np.zeros((2, 32), np.uint8), 16)


def test_hash_survives_resizing_and_depth() -> None:
    base = chip(7, 128)
    deep = np.repeat(np.repeat(base.astype(np.uint16) * 16, 2, axis=0), 2, axis=1)
    distance = int(np.bitwise_count(difference_hash(base) ^ difference_hash(deep)).sum())
    assert distance <= 12
    assert int(np.bitwise_count(difference_hash(base) ^ difference_hash(chip(8, 128))).sum()) > 60


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_shrinking_keeps_the_mean_of_constant_images(rows: int, columns: int) -> None:
    assert np.allclose(shrunk(np.full((rows, columns), 0.25, np.float32), 16, 17), 0.25)


def test_buckets_are_stable_and_complete(tmp_path: Path) -> None:
    assert [document_bucket(name) for name in ("a", "b", "report-one")] == [
        document_bucket(n) for n in ("a", "b", "report-one")
    ]
    assert document_bucket("a", 64) == 10  # first 8 bytes of SHA-256 modulo 64; a change would move every document
    paths = [tmp_path / f"{index}.pdf" for index in range(40)]
    found = [path for bucket in range(8) for path in bucket_paths(paths, bucket, 8)]
    assert sorted(found) == sorted(paths)


def test_bucket_is_incremental_by_content(report: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pdf"
    other.write_bytes(b"broken")
    images = tmp_path / "images"
    first = extract_bucket([report, other], images, guarded=False)
    assert [(outcome.document_id, outcome.error is None) for outcome in first] == [("other", False), ("report-one", True)]
    again = extract_bucket([report, other], images, first, guarded=False)
    assert again == first
    assert again[1] is first[1]
    (images / first[1].pairs[0].image_path).unlink()
    healed = extract_bucket([report, other], images, first, guarded=False)
    assert healed[1] is not first[1]
    assert (images / first[1].pairs[0].image_path).is_file()
    assert [outcome.document_id for outcome in extract_bucket([report], images, healed, guarded=False)] == ["report-one"]


def test_one_name_for_two_documents_and_two_names_for_one(report: Path, tmp_path: Path) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    (folder / report.name).write_bytes(report.read_bytes() + b"\n")
    (tmp_path / "copy.pdf").write_bytes(report.read_bytes())
    outcomes = extract_bucket([report, folder / report.name, tmp_path / "copy.pdf"], tmp_path / "images", guarded=False)
    assert len(outcomes) == 2
    assert len({outcome.document_id for outcome in outcomes}) == 2


def test_child_answers_like_the_process_itself(report: Path, tmp_path: Path) -> None:
    guarded = extract_document_guarded(report, tmp_path / "images", seconds=60)
    (direct,) = extract_bucket([report], tmp_path / "images", guarded=False)
    assert guarded == direct


def test_child_without_memory_is_an_error_of_the_document(report: Path, tmp_path: Path) -> None:
    outcome = extract_document_guarded(report, tmp_path, memory_bytes=1 << 20, seconds=20)
    assert outcome.error is not None
    assert "Cannot extract" in outcome.error
