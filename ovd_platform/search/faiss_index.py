"""In-memory coarse index in FAISS, built from a vector table and always rebuildable from it.

Belongs here: building, saving, loading and asking a FAISS index. Does not belong here: ranking of answers (`query`).

Flat inner product up to `FLAT_ROWS` rows; vectors are unit, so the inner product is the cosine. Above, inverted lists of one bit a
dimension (Gao and Long 2024, RaBitQ: D / 8 + 16 bytes a vector in memory); the best candidates are compared again with half-precision
vectors that stay on disk, mapped into memory. Keys stay on disk too. A build reads the table in batches: memory is bounded by the codes.
"""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ovd_platform.errors import ShapeError, StaleError
from ovd_platform.stores.tables import Level, VectorTables, table_name
from ovd_platform.stores.vector_rows import units, vectors_of

FLAT_ROWS = 50_000
PROBE_QUERIES = 96
_RERANK = 4
_LISTS_VISITED = (16, 24, 32, 48, 64, 96, 128)
_TUNED_AT = 100
_RECALL_TARGET = 0.975
_TRAINED_PER_LIST = 48


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
        nprobe: Inverted lists visited a query; 0 for ``flat``.
        bytes_per_vector: What the index holds in memory, over its rows; keys and full vectors stay on disk.
    """

    rows: int
    table_version: int
    unindexed: int
    kind: str
    recall_at_10: float
    dim: int
    nprobe: int = 0
    bytes_per_vector: float = 0.0


class FaissIndex:
    """Keys and their vectors in a FAISS index.

    Args:
        index: The FAISS index.
        keys: Key of each row of the index, Arrow text.
        vectors_nd: Half-precision unit vectors of the rows, (N, D), for comparing candidates again; None for ``flat``.
        column: Vector column it was made from.
        health: What is known of it.
    """

    def __init__(
        self, index: Any, keys: pa.Array, vectors_nd: NDArray[np.float16] | None, column: str, health: FaissHealth
    ) -> None:
        self._index = index
        self._keys = keys
        self._vectors_nd = vectors_nd
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
        cosines, places = self.places(queries_kd, top)
        return [
            [(self._keys[int(i)].as_py(), float(cosine)) for i, cosine in zip(row, values, strict=True) if i >= 0]
            for row, values in zip(places, cosines, strict=True)
        ]

    def places(self, queries_kd: NDArray[np.float32], top: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Like `search`, as arrays: cosines and row numbers, both (K, top'), best first; number -1 for none."""
        if queries_kd.ndim != 2 or queries_kd.shape[1] != self.health.dim:
            raise ShapeError(
                f"Cannot ask the {self.column} index: expected queries (K, {self.health.dim}), got {queries_kd.shape}."
            )
        top = min(top, len(self))
        if top < 1:
            return np.zeros((len(queries_kd), 0), np.float32), np.zeros((len(queries_kd), 0), np.int64)
        asked = units(queries_kd)
        if self._vectors_nd is None:
            cosines, places = self._index.search(asked, top)
            return cosines, places
        _, candidates = self._index.search(asked, min(top * _RERANK, len(self)))
        return _reranked(asked, candidates, self._vectors_nd, top)

    def candidates(self, query_d: NDArray[np.float32], top: int) -> list[str]:
        """Keys of the rows nearest to one vector, best first."""
        return [key for key, _ in self.search(query_d[None], top)[0]]

    def save(self, folder: Path, name: str) -> Path:
        """Write ``<name>.faiss``, ``.keys.arrow``, ``.f16`` (not for ``flat``) and, last, ``.json``; returns the path of the last."""
        import faiss

        folder.mkdir(parents=True, exist_ok=True)
        faiss.write_index(self._index, str(folder / f"{name}.faiss"))
        with pa.OSFile(str(folder / f"{name}.keys.arrow"), "wb") as sink, pa.ipc.new_file(sink, _KEY_SCHEMA) as writer:
            writer.write_batch(pa.record_batch([self._keys], schema=_KEY_SCHEMA))
        if self._vectors_nd is not None:
            self._vectors_nd.tofile(str(folder / f"{name}.f16"))
        card = folder / f"{name}.json"
        pending = folder / f".{name}.json.part"
        pending.write_text(json.dumps({"column": self.column, **asdict(self.health)}, indent=2))
        return pending.replace(card)


_KEY_SCHEMA = pa.schema([("key", pa.large_string())])


def load_faiss(folder: Path, name: str) -> FaissIndex:
    """Open what `FaissIndex.save` wrote; lists, keys and vectors are mapped into memory, not read.

    Raises:
        StaleError: If it is not there or its parts do not belong together.
    """
    import faiss

    card = folder / f"{name}.json"
    if not card.exists():
        raise StaleError(f"Cannot load the FAISS index {name}: expected {card}, got no such file. Build the search index.")
    facts = json.loads(card.read_text())
    column = facts.pop("column")
    health = FaissHealth(**facts)
    try:
        index: Any = faiss.read_index(str(folder / f"{name}.faiss"), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError:  # kinds that cannot be mapped are read
        index = faiss.read_index(str(folder / f"{name}.faiss"))
    if health.nprobe:
        index.nprobe = health.nprobe
    keys_path, vectors_path = folder / f"{name}.keys.arrow", folder / f"{name}.f16"
    keys = (
        pa.ipc.open_file(pa.memory_map(str(keys_path))).read_all()["key"].combine_chunks()
        if keys_path.exists()
        else pa.array([])
    )
    vectors_nd = None
    if health.kind != "flat":
        wanted = health.rows * health.dim * 2
        if not vectors_path.exists() or vectors_path.stat().st_size != wanted:
            raise StaleError(
                f"Cannot load the FAISS index {name}: expected {wanted} bytes of vectors beside it. Build it again."
            )
        vectors_nd = np.memmap(vectors_path, dtype=np.float16, mode="r", shape=(health.rows, health.dim))
    if not index.ntotal == len(keys) == health.rows:
        raise StaleError(
            f"Cannot load the FAISS index {name}: expected {health.rows} rows, got "
            f"{index.ntotal} and {len(keys)} keys. Build it again."
        )
    return FaissIndex(index, keys, vectors_nd, column, health)


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
    rows, dim = tables.count(level, modality, model_version), tables.vector_columns(level, modality, model_version)[column]
    keys, parts = [], []
    scratch = _scratch(rows, dim) if rows > flat_rows else None
    done = 0
    for batch in tables.batches(level, modality, model_version, ["key", column]):
        taken = batch.slice(0, rows - done)  # rows written meanwhile are for the next build: the table's version tells
        vectors = units(vectors_of(taken, column))
        keys.append(taken["key"].combine_chunks().cast(pa.large_string()))
        if scratch is None:
            parts.append(vectors)
        else:
            scratch[done : done + len(vectors)] = vectors
        done += len(vectors)
    named = pa.concat_arrays(keys) if keys else pa.array([], pa.large_string())
    stored: NDArray[Any] = (
        scratch[:done] if scratch is not None else np.concatenate(parts) if parts else np.zeros((0, dim), np.float32)
    )
    index, nprobe, recall = _train(stored, flat_rows, seed)
    size = _held_bytes(index, nprobe) / max(done, 1)
    unindexed = tables.count(level, modality, model_version) - done
    kind = "ivf" if nprobe else "flat"
    health = FaissHealth(done, table_version, unindexed, kind, recall, dim, nprobe, round(size, 1))
    return FaissIndex(index, named, stored if nprobe else None, column, health)


def index_name(level: str, modality: str, model_version: str, column: str) -> str:
    """File stem of the index of one column of one table."""
    return f"{table_name(level, modality, model_version)}.{column}"


def _scratch(rows: int, dim: int) -> NDArray[np.float16]:
    """Room for half-precision vectors in a file without a name, so that memory is not filled."""
    file = tempfile.TemporaryFile(prefix="faiss-")  # noqa: SIM115 (the array keeps it)
    return np.memmap(file, dtype=np.float16, mode="w+", shape=(rows, dim))


def _train(vectors_nd: NDArray[Any], flat_rows: int, seed: int) -> tuple[Any, int, float]:
    """The index, the lists it visits (0 for flat) and its recall of the exact 10 nearest."""
    import faiss

    n, dim = vectors_nd.shape
    if n <= flat_rows:
        index: Any = faiss.IndexFlatIP(dim)
        if n:
            index.add(np.asarray(vectors_nd, dtype=np.float32))
        return index, 0, 1.0
    lists = int(np.clip(2 * np.sqrt(n), 1, n // 40 or 1))
    quantizer = faiss.IndexFlatIP(dim)
    if dim % 8:
        index = faiss.IndexIVFScalarQuantizer(quantizer, dim, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    else:
        index = faiss.IndexIVFRaBitQFastScan(quantizer, dim, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.niter, index.cp.min_points_per_centroid = seed + 1, 8, 5
    index.cp.max_points_per_centroid = _TRAINED_PER_LIST
    chosen = np.sort(np.random.default_rng(seed).choice(n, min(n, lists * _TRAINED_PER_LIST), replace=False))
    index.train(np.asarray(vectors_nd[chosen], dtype=np.float32))
    for start in range(0, n, 65_536):
        index.add(np.asarray(vectors_nd[start : start + 65_536], dtype=np.float32))
    places = np.random.default_rng(seed + 1).choice(n, min(n, PROBE_QUERIES), replace=False)
    probes = np.asarray(vectors_nd[np.sort(places)], dtype=np.float32)
    exact = _best_of_exact(vectors_nd, probes, min(_TUNED_AT, n))
    for nprobe in _LISTS_VISITED:
        index.nprobe = min(nprobe, lists)
        if _recall_of(index, probes, exact, vectors_nd) >= _RECALL_TARGET:
            break
    return index, int(index.nprobe), _recall_of(index, probes, exact[:, :10], vectors_nd)


def _recall_of(index: Any, probes: NDArray[np.float32], exact: NDArray[np.float32], vectors_nd: NDArray[Any]) -> float:
    """Share of found rows that are as near as the last of the exact nearest."""
    top = exact.shape[1]
    _, found = index.search(probes, min(len(vectors_nd), top * _RERANK))
    cosines, _ = _reranked(probes, found, vectors_nd, top)
    return float((cosines >= exact[:, -1:] - 1e-5).mean())


def _best_of_exact(vectors_nd: NDArray[Any], probes: NDArray[np.float32], top: int) -> NDArray[np.float32]:
    """Cosines of the exact nearest of each probe, best first, in one pass; shape (Q, top)."""
    best = np.full((len(probes), top), -2.0, dtype=np.float32)
    for start in range(0, len(vectors_nd), 65_536):
        cosine = probes @ np.asarray(vectors_nd[start : start + 65_536], dtype=np.float32).T
        best = -np.partition(-np.concatenate([best, cosine], axis=1), top - 1, axis=1)[:, :top]
    return np.asarray(-np.sort(-best, axis=1), dtype=np.float32)


def _reranked(
    asked_kd: NDArray[np.float32], candidates: NDArray[np.int64], vectors_nd: NDArray[Any], top: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Candidates compared again with stored vectors; rows are read in their order on disk."""
    cosines = np.full((len(asked_kd), top), -2.0, dtype=np.float32)
    places = np.full((len(asked_kd), top), -1, dtype=np.int64)
    for i, row in enumerate(candidates):
        known = np.sort(row[row >= 0])
        cosine = np.asarray(vectors_nd[known], dtype=np.float32) @ asked_kd[i]
        order = np.argsort(-cosine, kind="stable")[:top]
        cosines[i, : len(order)], places[i, : len(order)] = cosine[order], known[order]
    return cosines, places


def _held_bytes(index: Any, nprobe: int) -> int:
    """Bytes of an index in memory: codes, ids, factors and centres of the lists."""
    if not nprobe:
        return int(index.ntotal * index.d * 4)
    lists = index.invlists
    padded = sum(-(-lists.list_size(i) // 32) * 32 for i in range(index.nlist))  # codes lie in blocks of 32
    return int(padded * index.code_size + index.ntotal * 8 + index.nlist * index.d * 4)
