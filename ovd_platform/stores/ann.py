"""Vector indexes inside the tables: which kinds there are, what they cost, how wide they are searched, how well they find.

Belongs here: making an index, the exact neighbours it is judged by, the widths it is searched with. Does not belong here: opening and
locking tables (`tables`), indexes outside of them (`search.faiss_index`).

| kind | bytes a vector in memory | when |
|---|---|---|
| none | 0 | below `MIN_ROWS`: the exact scan is fast and lists train badly |
| IVF_RQ (Gao and Long 2024, RaBitQ) | D / 8 + 16 | first: one bit a dimension, candidates compared exactly on disk |
| IVF_PQ (Jegou et al. 2011) | D / 8 + 8 | where RQ misses the recall, or D is no multiple of 8 |
| IVF_HNSW_SQ (Malkov and Yashunin 2018) | D + 8 M + 8 | where both miss it and the memory allows |
"""

import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.stores.vector_rows import units, vector_dim, vectors_of

MIN_ROWS = 65_536
RECALL_TARGET = 0.95
TUNED_TO = 0.97
"""What widths are raised to on the probes: fresh questions find a little less than stored rows do (0.9275 of a million's where 32 probes said 0.95)."""
BYTES_PER_VECTOR = 90.0
_HNSW_M = 20
_HNSW_MEMORY_BYTES = 2e9
_PROBES = 96
_PROBE_TOP = 100
_BATCH = 65_536
_WIDTHS = (
    (16, 4),
    (32, 4),
    (64, 4),
    (96, 6),
    (128, 10),
    (256, 15),
    (256, 30),
)  # lists cost little, vectors read again cost most
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AnnFacts:
    """What is known of one vector index.

    Attributes:
        kind: ``IVF_RQ``, ``IVF_PQ`` or ``IVF_HNSW_SQ``.
        rows: Rows of the table when it was made.
        nprobes: Inverted lists visited a query.
        refine_factor: Candidates per row asked for that are compared exactly.
        recall_at_100: Share of the exact 100 nearest found with these widths, on stored rows as queries.
        bytes_per_vector: Size of the index file over its rows; queries hold it in memory.
        seconds: Time the build took, its probe included.
        mean_d: Mean of the vectors when it was made: what drift is measured from.
    """

    kind: str
    rows: int
    nprobes: int
    refine_factor: int
    recall_at_100: float
    bytes_per_vector: float
    seconds: float
    mean_d: tuple[float, ...] = ()


def kinds_for(rows: int, dim: int, *, bytes_per_vector: float = BYTES_PER_VECTOR, min_rows: int = MIN_ROWS) -> tuple[str, ...]:
    """Kinds to try in order; the first that reaches the recall is kept.

    Args:
        rows: Rows of the table.
        dim: Length of the vectors.
        bytes_per_vector: Memory a vector may take; HNSW may take more while the whole stays below 2 GB.
        min_rows: Fewer rows get no index.
    """
    if rows < min_rows:
        return ()
    bytes_of = {"IVF_RQ": dim / 8 + 16, "IVF_PQ": dim / 8 + 8}
    kinds = [kind for kind, size in bytes_of.items() if size <= bytes_per_vector and (kind != "IVF_RQ" or dim % 8 == 0)]
    hnsw = dim + 8 * _HNSW_M + 8
    if hnsw <= bytes_per_vector or rows * hnsw <= _HNSW_MEMORY_BYTES:
        kinds.append("IVF_HNSW_SQ")
    return tuple(kinds) or ("IVF_PQ",)


def make_index(
    table: Any,
    folder: Path,
    column: str,
    *,
    bytes_per_vector: float = BYTES_PER_VECTOR,
    min_rows: int = MIN_ROWS,
    seed: int = 0,
) -> AnnFacts | None:
    """Index a vector column with the first kind that finds what the exact scan finds.

    Args:
        table: Open LanceDB table.
        folder: Its folder on disk.
        column: Vector column.
        bytes_per_vector: See `kinds_for`.
        min_rows: See `kinds_for`.
        seed: Of the choice of probes.

    Returns:
        Facts of the index that was kept: the best one where none reaches `RECALL_TARGET`; None where the table is too small for any.
    """
    rows, dim = table.count_rows(), vector_dim(table.schema, column)
    kinds = kinds_for(rows, dim, bytes_per_vector=bytes_per_vector, min_rows=min_rows)
    if not kinds:
        return None
    queries, truth, mean_d = probes(table, column, seed)
    best: AnnFacts | None = None
    for kind in kinds:
        started = time.monotonic()
        _LOG.info("building %s on %s.%s: %d rows", kind, table.name, column, rows)
        before = set((folder / "_indices").glob("*"))
        table.create_index(column, config=_config(kind, rows, dim), replace=True)
        table.checkout_latest()
        files = [path for made in set((folder / "_indices").glob("*")) - before for path in made.rglob("*")]
        widths, recall = tune(table, column, queries, truth)
        size = sum(path.stat().st_size for path in files if path.is_file()) / max(rows, 1)
        facts = AnnFacts(kind, rows, *widths, recall, round(size, 1), round(time.monotonic() - started, 1), mean_d)
        if best is None or recall > best.recall_at_100:
            best = facts
        if recall >= RECALL_TARGET:
            return facts
    assert best is not None
    if best.kind != kinds[-1]:
        table.create_index(column, config=_config(best.kind, rows, dim), replace=True)
    _LOG.warning("%s.%s: best index %s finds %.3f of the exact neighbours", table.name, column, best.kind, best.recall_at_100)
    return best


def _config(kind: str, rows: int, dim: int) -> Any:
    from lancedb.index import HnswSq, IvfPq, IvfRq

    # The library's defaults (50 rounds on 256 vectors a list) train several times as long; coarse lists do, since candidates
    # are compared exactly afterwards.
    common: dict[str, Any] = {"distance_type": "cosine", "max_iterations": 10, "sample_rate": 48}
    if kind == "IVF_RQ":
        return IvfRq(num_partitions=lists_of(kind, rows), num_bits=1, **common)
    if kind == "IVF_PQ":
        parts = next(count for count in (dim // 8, dim // 4, dim // 2, dim) if count and dim % count == 0)
        return IvfPq(num_partitions=lists_of(kind, rows), num_sub_vectors=parts, **common)
    return HnswSq(num_partitions=lists_of(kind, rows), m=_HNSW_M, **common)


def lists_of(kind: str, rows: int) -> int:
    """Inverted lists an index of a kind over so many rows is made with."""
    return max(1, rows // 1_000_000) if kind == "IVF_HNSW_SQ" else max(16, int(np.sqrt(rows)))


def lists_to_visit(facts: AnnFacts | None, *, share: float = 1.0, least_rows: int = 0) -> int:
    """How many lists a question visits.

    Args:
        facts: Of the index; None takes 64 lists for the whole table.
        share: Share of the rows that pass the filter, (0, 1]: as many times more lists are visited, so that as many rows count.
        least_rows: Rows that pass and whose codes are compared at least. The measured number of lists holds for stored vectors as questions;
            questions that are mapped first lie elsewhere, and their neighbours in many lists.
    """
    if facts is None:
        return round(64 / share)
    total = lists_of(facts.kind, facts.rows)
    least = math.ceil(total * min(1.0, least_rows / max(facts.rows * share, 1.0)))
    return max(1, min(total, max(round(facts.nprobes / share), least)))


def batches(table: Any, columns: list[str]) -> Iterator[Any]:
    """Record batches of a table's columns, some ten thousand rows each; memory is bounded by one of them."""
    yield from table.search().select(columns).to_batches(_BATCH)


def probes(
    table: Any, column: str, seed: int = 0, count: int = _PROBES
) -> tuple[NDArray[np.float32], list[set[int]], tuple[float, ...]]:
    """Stored rows as queries with their exact neighbours, found in one pass over the table.

    Returns:
        Queries (Q, D); per query the row ids of its 100 nearest by cosine; the mean of the vectors.
    """
    import pyarrow as pa

    rows = table.count_rows()
    offsets = np.sort(np.random.default_rng(seed).choice(rows, min(rows, count), replace=False))
    queries = units(vectors_of(table.take_offsets([int(i) for i in offsets]).select([column]).to_arrow(), column))
    best = np.full((len(queries), 0), -2.0, dtype=np.float32)
    ids = np.zeros((len(queries), 0), dtype=np.int64)
    total_d, seen = np.zeros(queries.shape[1]), 0
    for batch in table.search().select([column]).with_row_id(True).to_batches(_BATCH):
        part = pa.Table.from_batches([batch])
        vectors_nd = units(vectors_of(part, column))
        total_d, seen = total_d + vectors_nd.sum(axis=0), seen + len(vectors_nd)
        cosine_qn = queries @ vectors_nd.T
        row_ids = np.broadcast_to(part["_rowid"].to_numpy().astype(np.int64), cosine_qn.shape)
        best, ids = np.concatenate([best, cosine_qn], axis=1), np.concatenate([ids, row_ids], axis=1)
        if best.shape[1] > _PROBE_TOP:
            keep = np.argpartition(-best, _PROBE_TOP - 1, axis=1)[:, :_PROBE_TOP]
            best, ids = np.take_along_axis(best, keep, 1), np.take_along_axis(ids, keep, 1)
    return queries, [set(row.tolist()) for row in ids], tuple(float(x) for x in np.round(total_d / max(seen, 1), 6))


def tune(table: Any, column: str, queries: NDArray[np.float32], truth: list[set[int]]) -> tuple[tuple[int, int], float]:
    """The narrowest widths that reach `TUNED_TO`, else the widest; with the recall they reach."""
    recall = 0.0
    for widths in _WIDTHS:
        recall = recall_of(table, column, queries, truth, *widths)
        if recall >= TUNED_TO:
            return widths, recall
    return _WIDTHS[-1], recall


def recall_of(
    table: Any, column: str, queries: NDArray[np.float32], truth: list[set[int]], nprobes: int, refine_factor: int
) -> float:
    """Share of the exact neighbours that the index finds."""
    found = wanted = 0
    for query_d, expected in zip(queries, truth, strict=True):
        query = table.search(query_d, vector_column_name=column).distance_type("cosine").limit(len(expected))
        query = query.nprobes(nprobes).refine_factor(refine_factor).select([]).with_row_id(True)
        rows = query.to_arrow()["_rowid"].to_pylist()
        found += len(expected & set(rows))
        wanted += len(expected)
    return found / max(wanted, 1)


def save_facts(path: Path, facts: AnnFacts) -> None:
    """Keep what is known of an index beside the tables, in one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pending = path.with_suffix(".part")
    pending.write_text(json.dumps(asdict(facts)))
    pending.replace(path)


def load_facts(path: Path) -> AnnFacts | None:
    """What `save_facts` kept, or None."""
    if not path.is_file():
        return None
    values = json.loads(path.read_text())
    return AnnFacts(**{**values, "mean_d": tuple(values["mean_d"])})


def index_facts(table: Any) -> dict[str, dict[str, Any]]:
    """Per indexed column its kind, and how many rows are in its index and are not."""
    facts = {}
    for index in table.list_indices():
        stats = table.index_stats(index.name)
        facts[index.columns[0]] = {
            "type": index.index_type,
            "indexed": int(stats.num_indexed_rows) if stats else 0,
            "unindexed": int(stats.num_unindexed_rows) if stats else 0,
        }
    return facts
