"""Upkeep of everything a search leans on: table indexes and coarse indexes. Belongs here: building and reporting health."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from ovd_platform.search.faiss_index import FaissIndex, build_faiss, index_name, load_faiss
from ovd_platform.stores.tables import ANN_MIN_ROWS, Level, VectorTables

_LOG = logging.getLogger(__name__)


def build_index(
    tables: VectorTables,
    modality: str,
    model_version: str,
    faiss_folder: Path,
    *,
    ann_min_rows: int = ANN_MIN_ROWS,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Compact and index the tables of an encoder version and build the FAISS indexes of its proposals.

    Args:
        tables: The vector tables.
        modality: ``optical`` or ``sar``.
        model_version: Encoder version.
        faiss_folder: Where the FAISS indexes go.
        ann_min_rows: Fewer rows get no index inside the table.
        seed: Of the training of inverted lists.
        progress: Called with (done, total, what).

    Returns:
        Health: ``{"modality", "model_version", "seconds", "tables": {level: {"rows", "indexes"}}, "faiss": {column: {...}}}``.
    """
    started = time.monotonic()
    levels = [level for level in get_args(Level) if tables.has(level, modality, model_version)]
    health: dict[str, Any] = {"modality": modality, "model_version": model_version, "tables": {}, "faiss": {}}
    for done, level in enumerate(levels):
        if progress:
            progress(done, len(levels) + 1, f"indexing {level} vectors")
        health["tables"][level] = tables.optimise(level, modality, model_version, ann_min_rows=ann_min_rows)
    for column in tables.vector_columns("proposal", modality, model_version):
        index = build_faiss(tables, "proposal", modality, model_version, column, seed=seed)
        index.save(faiss_folder, index_name("proposal", modality, model_version, column))
        health["faiss"][column] = asdict(index.health)
        if index.health.recall_at_10 < 0.9:
            _LOG.warning(
                "coarse %s index of %s finds only %.2f of the exact 10 nearest",
                column,
                model_version,
                index.health.recall_at_10,
            )
    if progress:
        progress(len(levels) + 1, len(levels) + 1, "indexed")
    health["seconds"] = round(time.monotonic() - started, 3)
    return health


def index_health(tables: VectorTables, modality: str, model_version: str, faiss_folder: Path) -> dict[str, Any]:
    """Health of what was built, against the tables as they are now.

    Returns:
        Per vector column, of the table's index ``{"index", "recall_at_100", "not_in_index", "drift"}``, of the FAISS index ``{"rows",
        "unindexed", "stale", "recall_at_10", "kind", "bytes_per_vector"}``, or ``"missing": True`` where there is none.
    """
    report: dict[str, Any] = {}
    stats = tables.index_stats("proposal", modality, model_version)
    for column in tables.vector_columns("proposal", modality, model_version):
        name = index_name("proposal", modality, model_version, column)
        facts = tables.ann_facts("proposal", modality, model_version, column)
        table = {
            "index": facts.kind if facts else "none",
            "recall_at_100": facts.recall_at_100 if facts else 1.0,
            "not_in_index": stats.get(column, {}).get("unindexed", 0),
            "drift": round(tables.drift("proposal", modality, model_version, column), 4),
        }
        if not (faiss_folder / f"{name}.json").exists():
            report[column] = {**table, "missing": True}
            continue
        health = load_faiss(faiss_folder, name).health
        report[column] = {
            **table,
            "rows": health.rows,
            "unindexed": max(0, tables.count("proposal", modality, model_version) - health.rows),
            "stale": health.table_version != tables.versions("proposal", modality, model_version),
            "recall_at_10": health.recall_at_10,
            "kind": health.kind,
            "bytes_per_vector": health.bytes_per_vector,
        }
    return report


def coarse_indexes(tables: VectorTables, modality: str, model_version: str, faiss_folder: Path) -> list[FaissIndex]:
    """The built FAISS indexes that still fit the table, for `query.search_objects`."""
    found = []
    for column in tables.vector_columns("proposal", modality, model_version):
        name = index_name("proposal", modality, model_version, column)
        if (faiss_folder / f"{name}.json").exists():
            index = load_faiss(faiss_folder, name)
            if index.table_version == tables.versions("proposal", modality, model_version):
                found.append(index)
    return found
