"""Vector indexes inside the tables: kinds by size, widths by measured recall, health, and the half-wide filters."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from ovd_platform.records.prompt import Prompt, SearchFilter
from ovd_platform.search.faiss_index import build_faiss, load_faiss
from ovd_platform.search.index import build_index, index_health
from ovd_platform.search.query import answer
from ovd_platform.stores import ann
from ovd_platform.stores.tables import VectorTables
from ovd_platform.stores.vector_rows import conform_rows, units, utc_text, vector_array

DIM, ROWS, DAYS = 64, 4000, 100
TABLE = ("optical", "enc1")


def clustered(n: int, seed: int, shift: float = 0.0) -> NDArray[np.float32]:
    centres = np.random.default_rng(0).normal(size=(40, DIM))
    rng = np.random.default_rng(seed)
    return units(centres[rng.integers(40, size=n)] + 0.6 * rng.normal(size=(n, DIM)) + shift)


def _day(share: float) -> str:
    return str(np.datetime64("2020-01-01") + int(share * DAYS) - 1)


def rows_of(scene_id: str, vectors: NDArray[np.float32]) -> pa.Table:
    n = len(vectors)
    keys = [f"{scene_id}:{i}" for i in range(n)]
    place = np.arange(n, dtype=np.float32)
    boxes = {"x0": 20 * (place % 64), "y0": 20 * (place // 64), "x1": 20 * (place % 64) + 10, "y1": 20 * (place // 64) + 10}
    return conform_rows(
        pa.table(
            {
                "key": keys, "proposal_id": keys, "scene_id": [scene_id] * n, "tile_id": [scene_id] * n, **boxes,
                "objectness": np.linspace(0, 1, n), "model_version": ["enc1"] * n, "visual": vector_array(vectors),
                "acquired_utc": [utc_text(_day((i % DAYS + 1) / DAYS)) for i in range(n)],
            }
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> VectorTables:
    tables = VectorTables(tmp_path_factory.mktemp("ann"))
    tables.replace_scene("proposal", *TABLE, "a", rows_of("a", clustered(ROWS, 1)))
    health = tables.optimise("proposal", *TABLE, ann_min_rows=1000)
    assert health["ann"]["visual"]["kind"] == "IVF_RQ"
    return tables


@pytest.mark.parametrize(
    ("rows", "dim", "kinds"),
    [
        (60_000, 512, ()),
        (1_000_000, 512, ("IVF_RQ", "IVF_PQ", "IVF_HNSW_SQ")),
        (10_000_000, 512, ("IVF_RQ", "IVF_PQ")),
        (300_000_000, 500, ("IVF_PQ",)),
        (300_000_000, 1024, ("IVF_PQ",)),
    ],
)
def test_kinds_follow_size_and_memory(rows: int, dim: int, kinds: tuple[str, ...]) -> None:
    assert ann.kinds_for(rows, dim) == kinds


def test_more_lists_are_visited_for_narrow_filters_and_mapped_questions() -> None:
    facts = ann.AnnFacts("IVF_RQ", 1_000_000, 16, 4, 0.99, 80.0, 1.0)
    assert ann.lists_to_visit(facts) == 16
    assert ann.lists_to_visit(facts, share=0.1) == 160
    assert ann.lists_to_visit(facts, share=0.01) == 1000
    assert ann.lists_to_visit(facts, least_rows=250_000) == 250
    assert ann.lists_to_visit(facts, share=0.5, least_rows=250_000) == 500
    assert ann.lists_to_visit(facts, least_rows=10**9) == 1000
    assert ann.lists_to_visit(None, share=0.5) == 128


def test_the_index_finds_what_the_exact_scan_finds(indexed: VectorTables) -> None:
    facts = indexed.ann_facts("proposal", *TABLE, "visual")
    assert facts is not None
    assert facts.recall_at_100 >= ann.RECALL_TARGET
    assert facts.bytes_per_vector > DIM / 8
    queries = clustered(12, 77)
    share = []
    for query in queries:
        fast = indexed.nearest("proposal", *TABLE, "visual", query, top=50, columns=["key"])
        exact = indexed.nearest("proposal", *TABLE, "visual", query, top=50, columns=["key"], exact=True)
        assert fast.column_names == ["key", "cosine"]
        share.append(len({*fast["key"].to_pylist()} & {*exact["key"].to_pylist()}) / 50)
    assert np.mean(share) >= 0.93
    assert indexed.probe_recall("proposal", *TABLE, "visual") >= 0.93
    narrow = ann.recall_of(
        indexed._open("proposal__optical__enc1"),
        "visual",
        *ann.probes(indexed._open("proposal__optical__enc1"), "visual")[:2],
        1,
        1,
    )
    assert narrow < facts.recall_at_100


@pytest.mark.parametrize(("most", "share"), [(0.5, 0.5), (0.004, 0.004)])
def test_filters_of_any_width_find_the_rows_that_pass(indexed: VectorTables, most: float, share: float) -> None:
    where = f"objectness < {most}"
    for query in clustered(4, 78):
        fast = indexed.nearest("proposal", *TABLE, "visual", query, top=10, where=where, share=share, columns=["key"])
        exact = indexed.nearest("proposal", *TABLE, "visual", query, top=10, where=where, exact=True, columns=["key"])
        assert len({*fast["key"].to_pylist()} & {*exact["key"].to_pylist()}) >= 9


@pytest.mark.parametrize("most", [1.0, 0.3, 0.1])
def test_the_planner_compares_what_an_index_proposes_with_full_vectors(indexed: VectorTables, most: float) -> None:
    """Its scores are those of the exact scan, not the index's estimates, and with a filter it misses no more than without."""
    shares = []
    for query in clustered(6, 80):
        prompt = Prompt(chip_vectors_nd=query[None], model_version="enc1", filter=SearchFilter(to_utc=_day(most)))
        exact, fast = (answer(indexed, prompt, None, modality="optical", top=50, exact_rows=rows).hits for rows in (10**6, 10))
        scores = {hit.proposal_id: hit.score for hit in exact}
        shares.append(len(scores.keys() & {hit.proposal_id for hit in fast}) / len(scores))
        assert all(hit.score == pytest.approx(scores[hit.proposal_id], abs=1e-5) for hit in fast if hit.proposal_id in scores)
    assert np.mean(shares) >= 0.98


def test_health_counts_rows_outside_and_drift_and_upkeep_mends_both(tmp_path: Path) -> None:
    tables = VectorTables(tmp_path / "tables")
    tables.replace_scene("proposal", *TABLE, "a", rows_of("a", clustered(2000, 1)))
    build_index(tables, *TABLE, tmp_path / "faiss", ann_min_rows=1000)
    before = index_health(tables, *TABLE, tmp_path / "faiss")["visual"]
    assert (before["not_in_index"], before["unindexed"], before["stale"]) == (0, 0, False)
    assert before["drift"] < 0.05
    tables.replace_scene("proposal", *TABLE, "b", rows_of("b", clustered(1500, 2, shift=1.5)))
    after = index_health(tables, *TABLE, tmp_path / "faiss")["visual"]
    assert after["not_in_index"] >= 1500
    assert after["unindexed"] == 1500
    assert after["stale"]
    assert after["drift"] > 0.25
    build_index(tables, *TABLE, tmp_path / "faiss", ann_min_rows=1000)
    mended = index_health(tables, *TABLE, tmp_path / "faiss")["visual"]
    assert mended["not_in_index"] == 0
    assert mended["drift"] < 0.05
    assert mended["recall_at_100"] >= ann.RECALL_TARGET


def test_faiss_holds_codes_and_reads_vectors_from_disk(indexed: VectorTables, tmp_path: Path) -> None:
    built = build_faiss(indexed, "proposal", *TABLE, "visual", flat_rows=1000)
    built.save(tmp_path, "x")
    loaded = load_faiss(tmp_path, "x")
    assert loaded.health.kind == "ivf"
    assert loaded.health.recall_at_10 >= 0.9
    assert isinstance(loaded._vectors_nd, np.memmap)
    assert (tmp_path / "x.f16").stat().st_size == ROWS * DIM * 2
    query = clustered(1, 79)
    assert [key for key, _ in loaded.search(query, 10)[0]] == [key for key, _ in built.search(query, 10)[0]]
    exact = indexed.nearest("proposal", *TABLE, "visual", query[0], top=10, exact=True)
    found = dict(loaded.search(query, 10)[0])
    for key, cosine in zip(exact["key"].to_pylist(), exact["cosine"].to_pylist(), strict=True):
        assert key not in found or found[key] == pytest.approx(cosine, abs=2e-3)
