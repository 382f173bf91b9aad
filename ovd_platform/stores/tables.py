"""Vector tables in LanceDB: one table per level, modality and encoder version.

Belongs here: opening, replacing a scene's rows in one commit, reading, filtering, counting, index upkeep. Does not belong
here: the layout of a row (`vector_rows`), ranking (`search`).

Two processes that upsert at once make duplicates without any error, and so does one handle that has not seen the other's
commit. Therefore every write happens inside a lock file beside the table and refreshes its handle there. Readers need no lock.
"""

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import lancedb
import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from lancedb.index import Bitmap, BTree
from numpy.typing import NDArray

from ovd_platform.errors import InputError, ResourceError, ShapeError, StaleError, VersionMismatchError
from ovd_platform.stores import ann
from ovd_platform.stores.vector_rows import (
    SCALAR_COLUMNS,
    SCALAR_TYPES,
    VECTOR_COLUMNS,
    check_scene_rows,
    conform_rows,
    vector_dim,
    vectors_of,
)

Level = Literal["tile", "grid", "proposal"]
ANN_MIN_ROWS = ann.MIN_ROWS
_CLOCK_GRAIN_NS = 2_000_000_000
_RENEW_AT = 3.0
_DRIFT_MOST = 0.25
_FEW = 0.01
_SCALAR_INDEXES: dict[str, Any] = {
    **{column: BTree() for column in ("key", "scene_id", "tile_id", "geohash", "acquired_utc")},
    **{column: Bitmap() for column in ("instrument", "orbit")},
}
_LOG = logging.getLogger(__name__)
_NAME_PART = re.compile(r"[A-Za-z0-9.-]+(_[A-Za-z0-9.-]+)*")
_SEPARATOR = "__"


def table_name(level: str, modality: str, model_version: str) -> str:
    """Name of the table of one level, modality and encoder version: ``proposal__optical__<version>``.

    Raises:
        InputError: If a part cannot be part of a name.
    """
    for part in (level, modality, model_version):
        if not _NAME_PART.fullmatch(part):
            raise InputError(
                f"Cannot name a vector table: expected letters, digits, '.', '-' and single '_', got {part!r} in "
                f"({level!r}, {modality!r}, {model_version!r}). Give the encoder a plain version."
            )
    return _SEPARATOR.join((level, modality, model_version))


def sql_text(value: str) -> str:
    """The value as a quoted SQL literal."""
    return "'" + value.replace("'", "''") + "'"


class VectorTables:
    """All vector tables under one folder.

    Args:
        root: Folder of the LanceDB database; made at the first write.
        lock_timeout_s: Longest wait for another writer of the same table.
    """

    def __init__(self, root: Path, lock_timeout_s: float = 600.0) -> None:
        self.root = Path(root)
        self._lock_timeout_s = lock_timeout_s
        self._connection: lancedb.DBConnection | None = None
        self._cache: dict[tuple[str, str], tuple[int, Any]] = {}
        self._handles: dict[str, tuple[int, Any]] = {}

    # -- writing ------------------------------------------------------------------------------------------------------------

    def replace_scene(self, level: Level, modality: str, model_version: str, scene_id: str, rows: pa.Table) -> int:
        """Make the table hold exactly these rows of the scene, in one commit: a reader sees the old rows or the new ones.

        Args:
            level: Level of the table.
            modality: Modality of the table.
            model_version: Version of the encoder that made the vectors.
            scene_id: The scene whose rows are replaced.
            rows: Rows in the layout of `vector_rows.row_schema`; none deletes what was there.

        Returns:
            Version of the table after the commit; 0 if there was nothing to write and no table.

        Raises:
            InputError: If a row belongs to another scene, or a key comes twice.
            VersionMismatchError: If a row was made by another encoder version.
        """
        name = table_name(level, modality, model_version)
        check_scene_rows(rows, name, scene_id, model_version)
        with self._lock(name):
            exists = self._exists(name)
            if not exists and not len(rows):
                return 0
            if not exists:
                conformed = conform_rows(rows)
                return int(self._connect().create_table(name, data=conformed, schema=conformed.schema).version)
            table = _evolved(self._newest(name))
            if len(rows):
                (
                    table.merge_insert("key")
                    .when_matched_update_all()
                    .when_not_matched_insert_all()
                    .when_not_matched_by_source_delete(f"scene_id = {sql_text(scene_id)}")
                    .execute(conform_rows(rows, table.schema))
                )
            else:
                table.delete(f"scene_id = {sql_text(scene_id)}")
            return int(table.version)

    def delete_scene(
        self, scene_id: str, level: Level | None = None, modality: str | None = None, model_version: str | None = None
    ) -> int:
        """Delete a scene's rows from every table that matches; returns the number of rows deleted."""
        deleted = 0
        for name in self._names(level, modality, model_version):
            with self._lock(name):
                table = self._newest(name)
                where = f"scene_id = {sql_text(scene_id)}"
                count = table.count_rows(where)
                if count:
                    table.delete(where)
                deleted += count
        return deleted

    def mark_uri(self, scene_id: str, new_uri: str) -> int:
        """Point a scene's rows of all levels and versions at new pixels (age-off: the archive); vectors stay as they are.

        Returns:
            Number of rows changed.
        """
        changed = 0
        for name in self._names():
            with self._lock(name):
                table = self._newest(name)
                where = f"scene_id = {sql_text(scene_id)} AND (uri IS NULL OR uri != {sql_text(new_uri)})"
                count = table.count_rows(where)
                if count:
                    table.update(where=where, values={"uri": new_uri})
                changed += count
        return changed

    def drop(self, modality: str, model_version: str) -> int:
        """Drop all tables of an encoder version; returns how many."""
        names = self._names(modality=modality, model_version=model_version)
        for name in names:
            with self._lock(name):
                self._connect().drop_table(name)
                self._handles.pop(name, None)
        return len(names)

    def optimise(
        self, level: Level, modality: str, model_version: str, *, ann_min_rows: int = ANN_MIN_ROWS,
        bytes_per_vector: float = ann.BYTES_PER_VECTOR, seed: int = 0,
    ) -> dict[str, Any]:  # fmt: skip
        """Compact the table, index the columns that filters use, and build, extend or renew the vector indexes.

        A vector index is renewed when the table has grown to `_RENEW_AT` times its rows or has drifted from it; else new rows join it.

        Args:
            level: Level of the table.
            modality: Modality of the table.
            model_version: Encoder version of the table.
            ann_min_rows: Fewer rows get no vector index.
            bytes_per_vector: Memory a vector may take; see `ann.kinds_for`.
            seed: Of the choice of probes.

        Returns:
            ``{"rows", "indexes": {column: {"type", "indexed", "unindexed"}}, "ann": {column: facts of `ann.AnnFacts`}}``.
        """
        name = self._require(level, modality, model_version)
        with self._lock(name):
            table = self._newest(name)
            rows = table.count_rows()
            indexed = {index.columns[0] for index in table.list_indices()}
            for column, config in _SCALAR_INDEXES.items():
                if column in table.schema.names and column not in indexed and rows:
                    table.create_index(column, config=config)
            table.optimize()
            table.checkout_latest()
            for column in self.vector_columns(level, modality, model_version):
                known = self.ann_facts(level, modality, model_version, column) if column in indexed else None
                if (
                    known is None
                    or rows >= _RENEW_AT * known.rows
                    or self.drift(level, modality, model_version, column) > _DRIFT_MOST
                ):
                    facts = ann.make_index(
                        table, self.root / f"{name}.lance", column,
                        bytes_per_vector=bytes_per_vector, min_rows=ann_min_rows, seed=seed,
                    )  # fmt: skip
                    if facts is not None:
                        ann.save_facts(self._facts_path(name, column), facts)
            table.checkout_latest()
            kept = {column: self.ann_facts(level, modality, model_version, column) for column in VECTOR_COLUMNS}
            plain = {column: {**asdict(facts), "mean_d": None} for column, facts in kept.items() if facts is not None}
            return {"rows": rows, "indexes": ann.index_facts(table), "ann": plain}

    def ann_facts(self, level: Level, modality: str, model_version: str, column: str) -> ann.AnnFacts | None:
        """What is known of the index of a vector column; None without one."""
        return ann.load_facts(self._facts_path(table_name(level, modality, model_version), column))

    def index_stats(self, level: Level, modality: str, model_version: str) -> dict[str, dict[str, Any]]:
        """Per indexed column its kind, and how many rows its index holds and lacks."""
        return ann.index_facts(self._open(self._require(level, modality, model_version)))

    def probe_recall(self, level: Level, modality: str, model_version: str, column: str, *, seed: int = 1) -> float:
        """Recall at 100 of a column's index now, against one exact pass over the table; 1 without an index."""
        facts = self.ann_facts(level, modality, model_version, column)
        if facts is None:
            return 1.0
        table = self._open(self._require(level, modality, model_version))
        queries, truth, _ = ann.probes(table, column, seed)
        return ann.recall_of(table, column, queries, truth, facts.nprobes, facts.refine_factor)

    def drift(self, level: Level, modality: str, model_version: str, column: str) -> float:
        """How far the corpus has moved since its index was made: distance of the means over the spread of the vectors; 0 without."""
        facts = self.ann_facts(level, modality, model_version, column)
        if facts is None or not facts.mean_d:
            return 0.0
        sample = self.background(level, modality, model_version, column)
        before = np.array(facts.mean_d)
        spread = float(np.sqrt(((sample - sample.mean(axis=0)) ** 2).sum(axis=1).mean())) if len(sample) else 0.0
        return float(np.linalg.norm(sample.mean(axis=0) - before)) / max(spread, 1e-6) if len(sample) else 0.0

    # -- reading ------------------------------------------------------------------------------------------------------------

    def model_versions(self, level: Level, modality: str) -> list[str]:
        """Encoder versions that have a table of this level and modality, sorted."""
        return sorted(name.split(_SEPARATOR, 2)[2] for name in self._names(level, modality))

    def has(self, level: Level, modality: str, model_version: str) -> bool:
        """Whether there is such a table."""
        return self._exists(table_name(level, modality, model_version))

    def scene_versions(self, level: Level, modality: str, model_version: str) -> dict[str, str]:
        """Version of the pixels of each scene in the table; scenes without rows are not in it."""
        if not self.has(level, modality, model_version):
            return {}
        rows = self.read(level, modality, model_version, columns=["scene_id", "scene_version"])
        return dict(sorted(set(zip(rows["scene_id"].to_pylist(), rows["scene_version"].to_pylist(), strict=True))))

    def versions(self, level: Level, modality: str, model_version: str) -> int:
        """Commit number of the table; 0 if there is none. It changes with every write."""
        name = table_name(level, modality, model_version)
        return int(self._open(name).version) if self._exists(name) else 0

    def count(self, level: Level, modality: str, model_version: str, where: str | None = None) -> int:
        """Rows of a table, or those that fulfil an SQL condition; 0 without a table."""
        name = table_name(level, modality, model_version)
        return int(self._open(name).count_rows(where)) if self._exists(name) else 0

    def vector_columns(self, level: Level, modality: str, model_version: str) -> dict[str, int]:
        """Vector columns of a table with their lengths, for example ``{"visual": 192, "language": 192}``."""
        schema = self._open(self._require(level, modality, model_version)).schema
        return {column: vector_dim(schema, column) for column in VECTOR_COLUMNS if column in schema.names}

    def indexed(self, level: Level, modality: str, model_version: str) -> tuple[str, ...]:
        """Names of the columns that have an index."""
        table = self._open(self._require(level, modality, model_version))
        return tuple(index.columns[0] for index in table.list_indices())

    def columns(self, level: Level, modality: str, model_version: str) -> tuple[str, ...]:
        """Names of all columns a table has; those stored before a column existed lack it until the next write."""
        return tuple(self._open(self._require(level, modality, model_version)).schema.names)

    def read(
        self, level: Level, modality: str, model_version: str, where: str | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """All rows, or those that fulfil an SQL condition, sorted by nothing in particular.

        Args:
            level: Level of the table.
            modality: Modality of the table.
            model_version: Encoder version of the table.
            where: SQL condition on the columns.
            columns: Columns to read; None reads all, vectors included.

        Raises:
            VersionMismatchError: If there are tables of other encoder versions only.
            StaleError: If there is none at all.
        """
        table = self._open(self._require(level, modality, model_version))
        query = table.search()
        query = query.where(where) if where else query
        stored = table.schema.names
        query = query.select([name for name in columns if name in stored]) if columns is not None else query
        rows = query.to_arrow()
        for name in columns or ():
            if name not in stored and name in SCALAR_COLUMNS:  # stored before there was such a column
                rows = rows.append_column(name, pa.nulls(len(rows), SCALAR_TYPES[name]))
        return rows

    def batches(self, level: Level, modality: str, model_version: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """All rows in parts of some ten thousand, for work that must not hold a table in memory."""
        table = self._open(self._require(level, modality, model_version))
        for batch in ann.batches(table, list(columns)):
            yield pa.Table.from_batches([batch])

    def nearest(
        self,
        level: Level,
        modality: str,
        model_version: str,
        column: str,
        query_d: NDArray[np.float32],
        *,
        top: int,
        where: str | None = None,
        nprobes: int | None = None,
        refine_factor: int | None = None,
        exact: bool = False,
        columns: Sequence[str] | None = None,
        share: float | None = None,
        least_rows: int = 0,
    ) -> pa.Table:
        """Rows with the highest cosine to a vector; filters apply before the search, never after.

        Args:
            level: Level of the table.
            modality: Modality of the table.
            model_version: Encoder version of the table.
            column: ``visual`` or ``language``.
            query_d: Vector, shape (D,), float32.
            top: Rows to return at most.
            where: SQL condition.
            nprobes: Inverted lists visited where there is an index; None takes what reached the recall when it was made.
            refine_factor: Candidates per row asked for that are compared exactly where there is an index; None likewise.
            exact: Scan everything even where there is an index.
            columns: Columns to return; None returns all, vectors included.
            share: Share of the rows that fulfil ``where``, where the caller knows it: below `_FEW` the exact scan of those is cheaper;
                above, as many times more lists are visited as fewer rows count.
            least_rows: See `ann.lists_to_visit`.

        Returns:
            Rows with those columns and ``cosine``, float32, best first.
        """
        name = self._require(level, modality, model_version)
        table = self._open(name)
        dim = vector_dim(table.schema, column)
        if query_d.shape != (dim,):
            raise ShapeError(
                f"Cannot search {column} vectors of {name}: expected a vector of length {dim}, got {query_d.shape}."
            )
        asked = np.asarray(query_d, dtype=np.float32)
        query = table.search(asked, vector_column_name=column).distance_type("cosine").limit(top)
        query = query.where(where, prefilter=True) if where else query
        if exact or (share is not None and share < _FEW):
            query = query.bypass_vector_index()
        else:
            facts = ann.load_facts(self._facts_path(name, column)) if None in (nprobes, refine_factor) else None
            lists = nprobes or ann.lists_to_visit(facts, share=max(share or 1.0, _FEW), least_rows=least_rows)
            query = query.nprobes(lists).refine_factor(refine_factor or (facts.refine_factor if facts else 5))
        query = query.select([*columns, "_distance"]) if columns is not None else query
        rows = query.to_arrow()
        cosine = pa.array(1.0 - rows.column("_distance").to_numpy().astype(np.float32))
        return rows.drop_columns(["_distance"]).append_column("cosine", cosine)

    def background(
        self, level: Level, modality: str, model_version: str, column: str, sample: int = 8192
    ) -> NDArray[np.float32]:
        """Vectors that stand for the whole table: every n-th row, at most ``sample``; kept in memory until the table changes.

        Returns:
            Shape (M, D), float32; M is 0 for an empty table.
        """
        name = self._require(level, modality, model_version)
        table = self._open(name)
        version = int(table.version)
        known = self._cache.get((name, column))
        if known is None or known[0] != version:
            rows = table.count_rows()
            offsets = np.unique(np.linspace(0, max(rows - 1, 0), min(rows, sample)).astype(np.int64))
            taken = table.take_offsets([int(i) for i in offsets]).select([column]).to_arrow() if rows else table.head(0)
            known = (version, vectors_of(taken, column))
            self._cache[name, column] = known
        return np.asarray(known[1])

    # -- inside -------------------------------------------------------------------------------------------------------------

    def _connect(self) -> Any:
        if self._connection is None:
            self.root.mkdir(parents=True, exist_ok=True)
            self._connection = lancedb.connect(str(self.root))
        return self._connection

    def _newest(self, name: str) -> Any:
        """A handle of one's own at the newest commit, for writing."""
        table = self._connect().open_table(name)
        table.checkout_latest()
        return table

    def _open(self, name: str) -> Any:
        """The table at its newest commit.

        A handle is kept and looks for newer commits only where the folder of commits changed since; a change within the clock's grain of
        that look could hide behind the same time, so a young time is not trusted.
        """
        changed = _changed_ns(self.root / f"{name}.lance" / "_versions")
        known = self._handles.get(name)
        if known is not None and known[0] == changed and changed:
            return known[1]
        table = self._newest(name)
        settled = changed and time.time_ns() - changed > _CLOCK_GRAIN_NS
        self._handles[name] = (changed if settled else 0, table)
        return table

    def _exists(self, name: str) -> bool:
        return (self.root / f"{name}.lance" / "_versions").is_dir()

    def _names(self, level: str | None = None, modality: str | None = None, model_version: str | None = None) -> list[str]:
        if not self.root.exists():
            return []
        names: list[str] = []
        token: str | None = None
        while True:
            page = self._connect().list_tables(page_token=token)
            names.extend(page.tables)
            token = page.page_token
            if not token:
                break
        wanted = (level, modality, model_version)
        parts = ((name, name.split(_SEPARATOR, 2)) for name in names if name.count(_SEPARATOR) == 2)
        return sorted(
            name for name, have in parts if all(want in (None, part) for want, part in zip(wanted, have, strict=True))
        )

    def _require(self, level: Level, modality: str, model_version: str) -> str:
        name = table_name(level, modality, model_version)
        if self._exists(name):
            return name
        others = self.model_versions(level, modality)
        if others:
            raise VersionMismatchError(
                f"Cannot search {modality} {level} vectors of encoder {model_version}: expected one of the stored versions "
                f"{others}, got {model_version!r}. Embed the scenes with that encoder, or ask with one of the stored ones."
            )
        raise StaleError(
            f"Cannot read {modality} {level} vectors of encoder {model_version}: expected a table under {self.root}, got none. "
            "Materialize the embeddings first."
        )

    def _facts_path(self, name: str, column: str) -> Path:
        return self.root / ".ann" / f"{name}.{column}.json"

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        folder = self.root / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock", timeout=self._lock_timeout_s)
        try:
            lock.acquire()
        except Timeout as error:
            raise ResourceError(
                f"Cannot write table {name}: expected its lock within {self._lock_timeout_s:.0f} s, got none. "
                "Another process writes it; wait for it to end or raise the timeout."
            ) from error
        try:
            yield
        finally:
            lock.release()


def scalar_columns(*, vectors: Sequence[str] = ()) -> list[str]:
    """Column list for `VectorTables.read`: everything but vectors, plus the named vector columns."""
    return [*SCALAR_COLUMNS, *vectors]


def _changed_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _evolved(table: Any) -> Any:
    """The table with every scalar column of the present layout; older tables get those they lack, filled with nulls."""
    missing = [pa.field(name, SCALAR_TYPES[name]) for name in SCALAR_COLUMNS if name not in table.schema.names]
    if missing:
        table.add_columns(missing)
        table.checkout_latest()
    return table
