"""Two-stage search over the vector tables. Belongs here: which rows are looked at, and hits made of the best of them.

While few rows pass the filter (see `EXACT_ROWS` and its neighbours), every row is scored exactly; no stage could find more. Above, tile vectors pick tiles
whose proposals are all scored, a global approximate search adds candidates from everywhere, and all are scored exactly.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ovd_platform.errors import InputError, StaleError
from ovd_platform.records.prompt import Answer, Hit, Prompt, QueryPlan, Revisit
from ovd_platform.search.area import Area
from ovd_platform.search.filters import area_of, columns_needed, proposal_where, tile_where
from ovd_platform.search.ground import ground_boxes, suppress_groups
from ovd_platform.search.ranking import CompiledPrompt, EmbedText, compile_prompt, score, similarity
from ovd_platform.stores.tables import Level, VectorTables, scalar_columns, sql_text
from ovd_platform.stores.vector_rows import units, vectors_of

EXACT_ROWS = 200_000
EXACT_BYTES = 100_000_000
EXACT_BESIDE_INDEX = 20_000
"""Rows that a filter lets through in an indexed table: scattered rows are read at about 20 us each, an index answers in 0.1 s."""
CODES_COMPARED = 1_000_000
"""Codes an index compares at least. Looks are asked for after a linear map, so that the lists that hold most answers are not those nearest to the
question: with 16 of 547 lists of 300,000 vectors 0.88 of the answers were found (0.19 of the worst question's), with all of them every one, at 135
instead of 121 ms of CPU: the candidates' vectors are what costs."""
TILES_PICKED = 64
CANDIDATES_PER_HIT = 20
_MOST_DIRECTIONS = 8
_LOG = logging.getLogger(__name__)


class CoarseIndex(Protocol):
    """Approximate index outside of the tables that proposes keys, for example `faiss_index.FaissIndex`."""

    column: str
    table_version: int

    def candidates(self, query_d: NDArray[np.float32], top: int) -> list[str]:
        """Keys of the rows that may be nearest."""
        ...


def search_objects(
    tables: VectorTables,
    prompt: Prompt,
    encoder_text_fn: EmbedText | None,
    *,
    modality: str,
    top: int = 50,
    two_stage: bool = True,
    collapse_revisits: bool = False,
    exact_rows: int | None = None,
    coarse: Sequence[CoarseIndex] = (),
    centre: bool = True,
) -> list[Hit]:
    """Hits of `answer` alone; the arguments are the same."""
    found = answer(
        tables, prompt, encoder_text_fn, modality=modality, top=top, two_stage=two_stage,
        collapse_revisits=collapse_revisits, exact_rows=exact_rows, coarse=coarse, centre=centre,
    )  # fmt: skip
    return list(found.hits)


def answer(
    tables: VectorTables,
    prompt: Prompt,
    encoder_text_fn: EmbedText | None,
    *,
    modality: str,
    top: int = 50,
    two_stage: bool = True,
    collapse_revisits: bool = False,
    exact_rows: int | None = None,
    coarse: Sequence[CoarseIndex] = (),
    centre: bool = True,
    level: Level = "proposal",
) -> Answer:
    """Find objects that answer a prompt, and say how.

    Args:
        tables: The vector tables.
        prompt: Words, chips, negatives, marks and filters; its ``model_version`` names the table.
        encoder_text_fn: Text tower of that encoder, words to (K, D) unit vectors; None if it has none.
        modality: ``optical`` or ``sar``.
        top: Number of hits at most.
        two_stage: Let tile vectors pick tiles where the exact scan is too large; False leaves the global search alone.
        collapse_revisits: One hit per place over all acquisition times; the others are its `Hit.revisits`.
        exact_rows: Most rows that are scanned exactly; None decides by the table: its size, its index, the length of the vectors.
        coarse: External indexes that add candidates; stale ones are skipped with a warning.
        centre: Take the corpus mean away from the vectors.
        level: What is found: proposals, cells of the grid (places that no proposal covers) or tiles.

    Returns:
        Hits, best first, ranks from 1, and the plan.

    Raises:
        VersionMismatchError: If the tables hold vectors of other encoder versions only.
        InputError: If words meet an encoder without a language tower, or the filter is malformed.
        StaleError: If nothing was embedded yet, or the table lacks a column the filter needs.
    """
    if top < 1 or not prompt.model_version:
        raise InputError(
            f"Cannot search: expected a positive number of hits and the prompt's encoder version, got {top} and "
            f"{prompt.model_version!r}. Set Prompt.model_version to the version of the encoder that is asked."
        )
    started, version = time.perf_counter(), prompt.model_version
    columns = tables.vector_columns(level, modality, version)
    background = {name: tables.background(level, modality, version, name) for name in columns}
    compiled = compile_prompt(prompt, encoder_text_fn, background, centre=centre)
    _check_view_columns(tables, prompt, modality, level)
    rows, indexed = tables.count(level, modality, version), tables.indexed(level, modality, version)
    if exact_rows is None:
        size = 4 * sum(columns[name] for name in compiled.columns)
        exact_rows = EXACT_BESIDE_INDEX if "visual" in indexed else min(EXACT_ROWS, EXACT_BYTES // size)
    area = area_of(prompt.filter)
    cells = rows > exact_rows and "geohash" in indexed
    where = proposal_where(prompt.filter, area, cells=cells)
    matching = rows if where is None else tables.count(level, modality, version, where)
    look = _Look(
        tables,
        prompt,
        compiled,
        modality,
        level,
        where,
        area,
        top * CANDIDATES_PER_HIT,
        None if where is None else matching / max(rows, 1),
    )
    if matching <= exact_rows:
        way, candidates = "exact", look.exact()
    else:
        way = "tiles" if two_stage and level == "proposal" and tables.has("tile", modality, version) else "proposals"
        candidates = look.approximate(two_stage=way == "tiles", coarse=coarse)
    best = _rank(compiled, candidates, prompt.filter.min_score).slice(0, look.wanted)
    hits = _hits(_complete(tables, best, modality, version, level), top, collapse_revisits=collapse_revisits)
    share = compiled.learnt.share if compiled.learnt is not None else 0.0
    seconds = round(time.perf_counter() - started, 4)
    return Answer(tuple(hits), QueryPlan(way, rows, matching, len(candidates), seconds, float(compiled.text_share), share))


def tile_scores(
    tables: VectorTables, prompt: Prompt, compiled: CompiledPrompt, modality: str, top: int
) -> list[tuple[str, float]]:
    """First stage: the tiles most like the prompt, best first, as (tile_id, cosine); empty where no tiles were embedded."""
    if not tables.has("tile", modality, prompt.model_version):
        return []
    best: dict[str, float] = {}
    where = tile_where(prompt.filter, area_of(prompt.filter))
    for column, query_d in raw_queries(compiled):
        rows = tables.nearest(
            "tile", modality, prompt.model_version, column, query_d, top=top, where=where, columns=["tile_id"],
            least_rows=CODES_COMPARED,
        )  # fmt: skip
        for tile_id, cosine in zip(rows["tile_id"].to_pylist(), rows["cosine"].to_pylist(), strict=True):
            best[tile_id] = max(cosine, best.get(tile_id, -2.0))
    return sorted(best.items(), key=lambda item: (-item[1], item[0]))[:top]


def _check_view_columns(tables: VectorTables, prompt: Prompt, modality: str, level: Level) -> None:
    needed = columns_needed(prompt.filter)
    lacking = set(needed) - set(tables.columns(level, modality, prompt.model_version)) if needed else set()
    if lacking:
        raise StaleError(
            f"Cannot filter by {sorted(lacking)}: expected such columns in the vector table, got rows stored before there were any. "
            f"Materialize {modality}/embeddings of one scene again (the others follow as they are renewed)."
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """One search on its way: which rows are compared at full precision."""

    tables: VectorTables
    prompt: Prompt
    compiled: CompiledPrompt
    modality: str
    level: Level
    where: str | None
    area: Area | None
    wanted: int
    share: float | None

    @property
    def slim(self) -> list[str]:
        places = ("lon", "lat") if self.area is not None else ()
        return ["key", "objectness", *places, *self.compiled.columns]

    def exact(self) -> pa.Table:
        """Every row that fulfils the filter."""
        rows = self.tables.read(self.level, self.modality, self.prompt.model_version, self.where, self.slim)
        return self._inside(rows)

    def approximate(self, *, two_stage: bool, coarse: Sequence[CoarseIndex]) -> pa.Table:
        """Proposals of the best tiles, and the nearest of the whole table; their vectors are compared exactly afterwards."""
        tables, modality, version, where = self.tables, self.modality, self.prompt.model_version, self.where
        found: list[pa.Table] = []
        if two_stage:
            picked = [tile_id for tile_id, _ in tile_scores(tables, self.prompt, self.compiled, modality, TILES_PICKED)]
            if picked:
                inside = f"tile_id IN ({', '.join(sql_text(tile_id) for tile_id in picked)})"
                both = f"({where}) AND {inside}" if where else inside
                found.append(tables.read(self.level, modality, version, both, self.slim))
        for column, query_d in raw_queries(self.compiled):
            near = tables.nearest(
                self.level,
                modality,
                version,
                column,
                query_d,
                top=self.wanted,
                where=where,
                columns=self.slim,
                refine_factor=2,
                share=self.share,
                least_rows=CODES_COMPARED,
            )
            found.append(near.select(self.slim))
            found.extend(
                _coarse_rows(
                    tables,
                    coarse if self.level == "proposal" else (),
                    column,
                    query_d,
                    modality,
                    version,
                    where,
                    self.wanted,
                    self.slim,
                )
            )
        candidates = pa.concat_tables(found)
        first: dict[str, int] = {}
        for i, key in enumerate(candidates["key"].to_pylist()):
            first.setdefault(key, i)
        return self._inside(candidates.take(pa.array(list(first.values()), pa.int64())))

    def _inside(self, rows: pa.Table) -> pa.Table:
        """Rows inside of the drawn area; the condition on cells lets some at its edge through."""
        if self.area is None:
            return rows
        lon, lat = (rows[name].to_numpy().astype(np.float64) for name in ("lon", "lat"))
        return rows.filter(pa.array(self.area.contains(lon, lat)))


def _coarse_rows(
    tables: VectorTables,
    coarse: Sequence[CoarseIndex],
    column: str,
    query_d: NDArray[np.float32],
    modality: str,
    version: str,
    where: str | None,
    wanted: int,
    columns: list[str],
) -> list[pa.Table]:
    found = []
    for index in coarse:
        if index.column != column:
            continue
        if index.table_version != tables.versions("proposal", modality, version):
            _LOG.warning("skipping a coarse %s index: made from table version %d; rebuild it", column, index.table_version)
            continue
        keys = index.candidates(query_d, wanted)
        if keys:
            among = f"key IN ({', '.join(sql_text(key) for key in keys)})"
            found.append(tables.read("proposal", modality, version, f"({where}) AND {among}" if where else among, columns))
    return found


def raw_queries(compiled: CompiledPrompt) -> list[tuple[str, NDArray[np.float32]]]:
    """Directions to ask an index for: the centred prompt, since a constant shift does not change the order of dot products.

    Looks are compared after a linear map; a symmetric one can as well be applied to the prompt.

    Returns:
        Pairs of a vector column and a unit vector of its length.
    """
    queries: list[tuple[str, NDArray[np.float32]]] = []
    if compiled.text_d is not None:
        queries.append(("language", compiled.text_d))
    if compiled.prototype_d is not None and compiled.chips_nd is not None:
        chips_nd = compiled.chips_nd[:_MOST_DIRECTIONS] if len(compiled.chips_nd) > 1 else compiled.chips_nd[:0]
        learnt = [] if compiled.learnt is None else [compiled.learnt.direction_d[None]]
        asked_nd = np.concatenate([compiled.prototype_d[None], *learnt, chips_nd])
        if compiled.whitening_dd is not None:
            asked_nd = units(asked_nd @ compiled.whitening_dd)
        queries.extend(("visual", asked_d) for asked_d in units(asked_nd))
    return queries


def _rank(compiled: CompiledPrompt, rows: pa.Table, min_score: float | None) -> pa.Table:
    vectors = {column: vectors_of(rows, column) for column in compiled.columns}
    similarity_n = similarity(compiled, vectors)
    score_n = score(compiled, similarity_n, vectors, rows["objectness"].to_numpy().astype(np.float32))
    ranked = pa.table({"key": rows["key"], "similarity": pa.array(similarity_n), "score": pa.array(score_n)})
    if min_score is not None:
        ranked = ranked.filter(pa.array(score_n >= min_score))
    return ranked.sort_by([("score", "descending"), ("key", "ascending")])


def _complete(tables: VectorTables, best: pa.Table, modality: str, version: str, level: Level) -> pa.Table:
    """Fetch the other columns of the best rows, keeping their order."""
    keys = best["key"].to_pylist()
    where = f"key IN ({', '.join(sql_text(key) for key in keys)})" if keys else "key = ''"
    rows = tables.read(level, modality, version, where, scalar_columns())
    place = {key: i for i, key in enumerate(rows["key"].to_pylist())}
    alive = [i for i, key in enumerate(keys) if key in place]
    rows = rows.take(pa.array([place[keys[i]] for i in alive], pa.int64()))
    best = best.take(pa.array(alive, pa.int64()))
    return rows.append_column("similarity", best["similarity"]).append_column("score", best["score"])


def _hits(rows: pa.Table, top: int, *, collapse_revisits: bool) -> list[Hit]:
    if not len(rows):
        return []
    groups = suppress_groups(ground_boxes(rows), top=top, collapse_revisits=collapse_revisits)
    values = rows.to_pylist()
    return [
        _hit(rank, values[kept], tuple(_revisit(values[i]) for i in others) if collapse_revisits else ())
        for rank, (kept, others) in enumerate(groups, start=1)
    ]


def _revisit(row: dict[str, Any]) -> Revisit:
    box = (row["x0"], row["y0"], row["x1"], row["y1"])
    return Revisit(row["proposal_id"] or row["key"], row["scene_id"], row["acquired_utc"] or "", row["score"], box)


def _hit(rank: int, row: dict[str, Any], revisits: tuple[Revisit, ...]) -> Hit:
    text = {name: value or "" for name, value in row.items()}
    return Hit(
        rank=rank,
        proposal_id=text["proposal_id"] or row["key"],
        scene_id=row["scene_id"],
        scene_version=text["scene_version"],
        tile_id=text["tile_id"],
        box_scene_xyxy=(row["x0"], row["y0"], row["x1"], row["y1"]),
        score=row["score"],
        similarity=row["similarity"],
        objectness=row["objectness"],
        lonlat=(row["lon"], row["lat"]) if row["lon"] is not None and row["lat"] is not None else None,
        instrument=text["instrument"],
        acquired_utc=text["acquired_utc"],
        uri=text["uri"],
        model_version=text["model_version"],
        rendered=bool(row["rendered"]),
        revisits=revisits,
    )
