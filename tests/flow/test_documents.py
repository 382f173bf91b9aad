"""A bucket of documents: adding, changing and removing one touches its rows alone; what failed says what to do."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pymupdf
import pytest

from ovd_platform.config import OvdConfig
from ovd_platform.documents import guarded
from ovd_platform.documents.buckets import document_bucket
from ovd_platform.documents.pairs import pairs_from_table
from ovd_platform.flow import guard
from ovd_platform.flow.documents import BUCKETS, PDF_PAIRS, bucket_name
from ovd_platform.flow.stage import Output
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.pair import Pair
from ovd_platform.stores.home import read_json
from tests.documents.conftest import chip, png


@pytest.fixture(autouse=True)
def _worker_of_its_own() -> Iterator[None]:
    """The worker of the process would be that of another test."""
    guard._document_worker.cache_clear()
    yield
    guard._document_worker.cache_clear()


def names_of_one_bucket(count: int) -> tuple[str, list[str]]:
    bucket = document_bucket("report-0", BUCKETS)
    names = [name for number in range(2000) if document_bucket(name := f"report-{number}", BUCKETS) == bucket]
    return bucket_name(bucket), names[:count]


def write(path: Path, seed: int, words: str) -> None:
    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    page.insert_image(pymupdf.Rect(54, 200, 204, 350), stream=png(chip(seed)))
    page.insert_text((54, 365), f"Figure 1: {words}", fontsize=9)
    document.save(path)


def workspace(home: Path, documents: Path) -> Workspace:
    home.mkdir()
    OvdConfig(documents=(str(documents),), document_words="off").save(home)
    return Workspace.open(home)


def rows(output: Output) -> dict[str, Pair]:
    return {pair.document_id: pair for pair in pairs_from_table(pq.read_table(output.folder / "pairs.parquet"))}


def test_a_document_touches_its_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(guarded, "GuardedWorker", lambda *args, **kwargs: _InProcess(read))
    folder = tmp_path / "documents"
    folder.mkdir()
    bucket, (a, b, c) = names_of_one_bucket(3)
    for seed, name in enumerate((a, b)):
        write(folder / f"{name}.pdf", seed, f"A ship {name}")
    ws = workspace(tmp_path / "home", folder)

    def build() -> tuple[Output, dict[str, Pair], list[str]]:
        read.clear()
        output = PDF_PAIRS.materialize(Workspace.open(ws.home.root), "shared", bucket)
        return output, rows(output), sorted(read)

    _, found, touched = build()
    assert touched == sorted([a, b])
    assert build()[0].reused
    write(folder / f"{c}.pdf", 7, "A pier")
    _, added, touched = build()
    assert touched == [c]
    assert {name: added[name] for name in (a, b)} == found
    write(folder / f"{b}.pdf", 9, "Another ship")
    changed_output, changed, touched = build()
    assert touched == [b]
    assert {name: changed[name] for name in (a, c)} == {name: added[name] for name in (a, c)}
    assert changed[b].caption == "Another ship"
    (folder / f"{a}.pdf").unlink()
    removed_output, removed, touched = build()
    assert touched == []
    assert removed == {name: changed[name] for name in (b, c)}
    images = {
        path.relative_to(removed_output.folder / "images").as_posix()
        for path in (removed_output.folder / "images").rglob("*.png")
    }
    assert images == {pair.image_path for pair in removed.values()}
    assert len(read_json(changed_output.folder / "documents.json")) == 3


def test_all_buckets_share_one_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    started: list[_InProcess] = []

    def start(*_: object, **__: object) -> _InProcess:
        started.append(_InProcess(read))
        return started[-1]

    monkeypatch.setattr(guarded, "GuardedWorker", start)
    folder = tmp_path / "documents"
    folder.mkdir()
    for seed in range(3):
        write(folder / f"report-{seed}.pdf", seed, f"A ship {seed}")
    ws = workspace(tmp_path / "home", folder)
    buckets = sorted({bucket_name(document_bucket(f"report-{seed}", BUCKETS)) for seed in range(3)})
    for bucket in buckets:
        PDF_PAIRS.materialize(ws, "shared", bucket)
    assert len(buckets) > 1
    assert len(read) == 3
    assert len(started) == 1


def test_a_failed_document_names_its_remedy_and_the_rest_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    bucket, (a, b, _) = names_of_one_bucket(3)
    write(folder / f"{a}.pdf", 1, "A ship")
    (folder / f"{b}.pdf").write_bytes(b"%PDF-1.7\nnothing")
    ws = workspace(tmp_path / "home", folder)
    output = PDF_PAIRS.materialize(ws, "shared", bucket)
    assert set(rows(output)) == {a}
    (error,) = [row["error"] for row in read_json(output.folder / "documents.json") if row["error"]]
    assert f"{b}.pdf" in error
    assert error.endswith("Check the file.")


class _InProcess:
    """The guarded worker without a child: notes which documents were read."""

    def __init__(self, read: list[str]) -> None:
        self._read = read

    def __enter__(self) -> "_InProcess":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def close(self) -> None:
        return None

    def call(self, function: str, /, *, about: str, **arguments: object) -> object:
        self._read.append(about.removesuffix(".pdf"))
        return guarded.extract_to_dict(**arguments)  # type: ignore[arg-type]
