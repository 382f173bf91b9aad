"""In-memory coarse index in FAISS, built from a vector table and always rebuildable from it.

Belongs here: building, saving, loading and asking a FAISS index. Does not belong here: ranking of answers (`query`).
Flat inner product up to `FLAT_ROWS` rows, inverted lists above; vectors are unit, so the inner product is the cosine.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ovd_platform.errors import ShapeError, StaleError
from ovd_platform.stores.tables import Level, VectorTables, table_name
from ovd_platform.stores.vector_rows import units, vectors_of

FLAT_ROWS = 50_000
PROBE_QUERIES = 64


@dataclass(frozen=True, slots=True)
class FaissHealth:
    """What is known of an index.

    Attributes:
        rows: Rows in the index.
        table_version: Commit of the table it was made from.
        unindexed: Rows of the table that are not in the index now.
        kind: ``flat`` or ``ivf``.
        recall_at_10: Share of the exact 10 nearest of `PROBE_QUERIES` stored rows that the index finds; 1 for an empty one.
        dim: Length of the vectors.
    """

    rows: int
    table_version: int
    unindexed: int
    kind: str
    recall_at_10: float
    dim: int


class FaissIndex:
    """Keys and their vectors in a FAISS index.

    Args:
        index: The FAISS index.
        keys: Key of each row of the index.
        column: Vector column it was made from.
        health: What is known of it.
    """

    def __init__(self, index: Any, keys: list[str], column: str, health: FaissHealth) -> None:
        self._index = index
        self._keys = keys
        self.column = column
        self.health = health
        self.table_version = health.table_version

    def __len__(self) -> int:
        return len(self._keys)

    def search(self, queries_kd: NDArray[np.float32], top: int) -> list[list[tuple[str, float]]]:
        """Nearest rows of each query.

        Args:
            queries_kd: Shape (K, D), float32; need not be unit.
            top: Rows per query at most.

        Returns:
            Per query (key, cosine), best first.
        """
        if queries_kd.ndim != 2 or queries_kd.shape[1] != self.health.dim:
            raise ShapeError(
                f"Cannot ask the {self.column} index: expected queries (K, {self.health.dim}), got {queries_kd.shape}."
            )
        if not len(self) or top < 1:
            return [[] for _ in queries_kd]
        cosines, places = self._index.search(units(queries_kd), min(top, len(self)))
        return [
            [(self._keys[i], float(cosine)) for i, cosine in zip(row, values, strict=True) if i >= 0]
            for row, values in zip(places, cosines, strict=True)
        ]

    def candidates(self, query_d: NDArray[np.float32], top: int) -> list[str]:
        """Keys of the rows nearest to one vector, best first."""
        return [key for key, _ in self.search(query_d[None], top)[0]]

    def save(self, folder: Path, name: str) -> Path:
        """Write ``<name>.faiss``, ``<name>.keys.parquet`` and, last, ``<name>.json``; returns the path of the last."""
        import faiss

        folder.mkdir(parents=True, exist_ok=True)
        faiss.write_index(self._index, str(folder / f"{name}.faiss"))
        pq.write_table(pa.table({"key": self._keys}, schema=pa.schema([("key", pa.string())])), folder / f"{name}.keys.parquet")
        card = folder / f"{name}.json"
        pending = folder / f".{name}.json.part"
        pending.write_text(json.dumps({"column": self.column, **asdict(self.health)}, indent=2))
        return pending.replace(card)


def load_faiss(folder: Path, name: str) -> FaissIndex:
    """Read what `FaissIndex.save` wrote.

    Raises:
        StaleError: If it is not there or its parts do not belong together.
    """
    import faiss

    card = folder / f"{name}.json"
    if not card.exists():
        raise StaleError(f"Cannot load the FAISS index {name}: expected {card}, got no such file. Build the search index.")
    facts = json.loads(card.read_text())
    index = faiss.read_index(str(folder / f"{name}.faiss"))
    keys = pq.read_table(folder / f"{name}.keys.parquet")["key"].to_pylist()
    if not index.ntotal == len(keys) == facts["rows"]:
        raise StaleError(
            f"Cannot load the FAISS index {name}: expected {facts['rows']} rows, got "
            f"{index.ntotal} and {len(keys)} keys. Build it again."
        )
    column = facts.pop("column")
    return FaissIndex(index, keys, column, FaissHealth(**facts))


def build_faiss(
    tables: VectorTables,
    level: Level,
    modality: str,
    model_version: str,
    column: str,
    *,
    flat_rows: int = FLAT_ROWS,
    seed: int = 0,
) -> FaissIndex:
    """Build an index over all rows of a table and probe it.

    Args:
        tables: The vector tables.
        level: Level of the table.
        modality: Modality of the table.
        model_version: Encoder version of the table.
        column: ``visual`` or ``language``.
        flat_rows: More rows get inverted lists.
        seed: Of the training of the lists and the choice of probe rows.

    Returns:
        The index with its health.
    """
    table_version = tables.versions(level, modality, model_version)
    rows = tables.read(level, modality, model_version, columns=["key", column]).sort_by("key")
    vectors_nd = units(vectors_of(rows, column))
    index, kind = _train(vectors_nd, flat_rows, seed)
    if len(vectors_nd):
        index.add(vectors_nd)
    unindexed = tables.count(level, modality, model_version) - len(vectors_nd)
    health = FaissHealth(len(vectors_nd), table_version, unindexed, kind, _recall(index, vectors_nd, seed), vectors_nd.shape[1])
    return FaissIndex(index, rows["key"].to_pylist(), column, health)


def index_name(level: str, modality: str, model_version: str, column: str) -> str:
    """File stem of the index of one column of one table."""
    return f"{table_name(level, modality, model_version)}.{column}"


def _train(vectors_nd: NDArray[np.float32], flat_rows: int, seed: int) -> tuple[Any, str]:
    import faiss

    n, dim = vectors_nd.shape
    if n <= flat_rows:
        return faiss.IndexFlatIP(dim), "flat"
    lists = int(np.clip(4 * np.sqrt(n), 1, n // 40 or 1))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = seed + 1
    index.train(vectors_nd[np.random.default_rng(seed).choice(n, min(n, lists * 64), replace=False)])
    index.nprobe = max(8, lists // 8)
    return index, "ivf"


def _recall(index: Any, vectors_nd: NDArray[np.float32], seed: int, top: int = 10) -> float:
    n = len(vectors_nd)
    if not n:
        return 1.0
    probes = vectors_nd[np.random.default_rng(seed).choice(n, min(n, PROBE_QUERIES), replace=False)]
    top = min(top, n)
    cosine_pn = probes @ vectors_nd.T
    worst = np.partition(cosine_pn, n - top, axis=1)[:, n - top]
    _, places = index.search(probes, top)
    found = [(cosine_pn[i][row[row >= 0]] >= worst[i] - 1e-6).sum() for i, row in enumerate(places)]
    return float(np.sum(found) / (top * len(probes)))
