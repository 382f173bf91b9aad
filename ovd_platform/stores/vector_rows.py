"""Row layout of the vector tables, builders of rows, and arrays taken out of rows.

Belongs here: the columns, their types, how a proposal or a tile becomes a row, and the plain arithmetic on the vectors in rows
that search and detection share. Does not belong here: reading and writing tables (`tables`), ranking (`search`, `detect`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ovd_platform.errors import InputError, ShapeError, VersionMismatchError
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.tile import TileRecord

PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}
VECTOR_COLUMNS = ("visual", "language")
_TEXT = ("scene_version", "tile_id", "geohash", "acquired_utc", "instrument", "uri", "proposer_version")
_SCALARS: tuple[tuple[str, pa.DataType], ...] = (
    ("key", pa.string()),
    ("proposal_id", pa.string()),
    ("scene_id", pa.string()),
    ("scene_version", pa.string()),
    ("tile_id", pa.string()),
    ("tile_index", pa.int32()),
    ("x0", pa.float32()),
    ("y0", pa.float32()),
    ("x1", pa.float32()),
    ("y1", pa.float32()),
    ("objectness", pa.float32()),
    ("lon", pa.float64()),
    ("lat", pa.float64()),
    ("geohash", pa.string()),
    ("acquired_utc", pa.string()),
    ("instrument", pa.string()),
    ("gsd_m", pa.float32()),
    ("uri", pa.string()),
    ("model_version", pa.string()),
    ("proposer_version", pa.string()),
    ("rendered", pa.bool_()),
    ("context", pa.float32()),
    ("off_nadir_deg", pa.float32()),
    ("sun_elevation_deg", pa.float32()),
    ("incidence_deg", pa.float32()),
    ("orbit", pa.string()),
)
VIEW_COLUMNS = ("off_nadir_deg", "sun_elevation_deg", "incidence_deg", "orbit")
SCALAR_COLUMNS = tuple(name for name, _ in _SCALARS)
SCALAR_TYPES = dict(_SCALARS)


def row_schema(visual_dim: int, language_dim: int = 0) -> pa.Schema:
    """Schema of a vector table.

    Args:
        visual_dim: Length of the visual vectors.
        language_dim: Length of the language vectors; 0 for an encoder without a language tower (the column is left out).

    Returns:
        Schema with a non-null primary key column and fixed size lists of float32.
    """
    fields = [
        pa.field(name, kind, nullable=name not in ("key", "scene_id"), metadata=PRIMARY_KEY if name == "key" else None)
        for name, kind in _SCALARS
    ]
    fields.append(pa.field("visual", pa.list_(pa.float32(), visual_dim)))
    if language_dim:
        fields.append(pa.field("language", pa.list_(pa.float32(), language_dim)))
    return pa.schema(fields)


def utc_text(moment: str, *, end_of_day: bool = False) -> str:
    """ISO 8601 in UTC with a fixed width, so that text order is time order.

    Args:
        moment: ISO 8601 date or time; without a zone it is taken as UTC; "" stays "".
        end_of_day: A bare date means its last microsecond instead of its first.

    Raises:
        InputError: If it cannot be parsed.
    """
    if not moment:
        return ""
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError as error:
        raise InputError(
            f"Cannot read time {moment!r}: expected ISO 8601, got {error}. Write it as 2024-05-01T10:30:00Z."
        ) from error
    if end_of_day and len(moment) <= 10:
        parsed = parsed.replace(hour=23, minute=59, second=59, microsecond=999999)
    parsed = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    return parsed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def conform_rows(rows: pa.Table, schema: pa.Schema | None = None) -> pa.Table:
    """Bring rows into the layout of a table: order, types, times as fixed-width UTC, missing optional columns as nulls.

    Args:
        rows: Rows with at least ``key``, ``scene_id`` and ``visual``; unknown columns are refused.
        schema: Layout of the table they go to; None makes it from the vectors' own lengths.

    Raises:
        ShapeError: If the vectors' lengths differ from the table's.
        InputError: If a needed column is missing or a column is unknown.
    """
    names = set(rows.column_names)
    unknown, missing = names - {*SCALAR_COLUMNS, *VECTOR_COLUMNS}, {"key", "scene_id", "visual"} - names
    if unknown or missing:
        raise InputError(
            f"Cannot store rows: expected the columns of `row_schema`, got unknown {sorted(unknown)} and missing "
            f"{sorted(missing)}. "
            "Build them with proposal_rows or tile_rows."
        )
    dims = {name: vector_dim(rows.schema, name) for name in VECTOR_COLUMNS}
    schema = schema or row_schema(dims["visual"], dims["language"])
    wanted = {name: vector_dim(schema, name) for name in VECTOR_COLUMNS}
    if dims != wanted:
        raise ShapeError(
            f"Cannot store rows: expected vectors of length {wanted}, got {dims}. Write them under their own model version."
        )
    columns = []
    for field in schema:
        if field.name not in names:
            columns.append(pa.nulls(len(rows), field.type))
        elif field.name == "acquired_utc":
            texts = rows.column(field.name).to_pylist()
            normal = {text: utc_text(text or "") for text in set(texts)}
            columns.append(pa.array([normal[text] for text in texts], pa.string()))
        else:
            columns.append(rows.column(field.name).combine_chunks().cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def check_scene_rows(rows: pa.Table, name: str, scene_id: str, model_version: str) -> None:
    """Refuse rows that are not those of one scene and one encoder, each key once.

    Args:
        rows: What is to be written.
        name: The table, for the message.
        scene_id: The scene.
        model_version: Version of the encoder.

    Raises:
        InputError: If a row belongs to another scene, or a key comes twice.
        VersionMismatchError: If a row was made by another encoder version.
    """
    if not len(rows):
        return
    others = set(rows.column("scene_id").to_pylist()) - {scene_id}
    if others:
        raise InputError(
            f"Cannot write {scene_id} to {name}: expected its rows only, got rows of "
            f"{sorted(others)[:3]}. Write one scene a call."
        )
    keys = rows.column("key").to_pylist()
    if len(set(keys)) != len(keys) or None in keys:
        raise InputError(
            f"Cannot write {scene_id} to {name}: expected unique keys, got "
            f"{len(keys) - len(set(keys))} repeated. Merge the boxes."
        )
    made_by = set(rows.column("model_version").to_pylist()) - {model_version} if "model_version" in rows.column_names else set()
    if made_by:
        raise VersionMismatchError(
            f"Cannot write {scene_id} to {name}: expected vectors of {model_version}, got {sorted(map(str, made_by))}."
        )


def vector_dim(schema: pa.Schema, column: str) -> int:
    """Length of the vectors of a column; 0 if there is no such column."""
    if column not in schema.names:
        return 0
    kind = schema.field(column).type
    if not pa.types.is_fixed_size_list(kind):
        raise ShapeError(
            f"Cannot use column {column}: expected fixed size lists of float32, got {kind}. Build it with vector_array."
        )
    return int(kind.list_size)


def vector_array(vectors_nd: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """Arrow array of vectors, shape (N, D), float32."""
    flat = np.ascontiguousarray(vectors_nd, dtype=np.float32)
    if flat.ndim != 2 or flat.shape[1] == 0:
        raise ShapeError(f"Cannot store vectors: expected shape (N, D), got {flat.shape}.")
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])


def vectors_of(rows: pa.Table, column: str) -> NDArray[np.float32]:
    """Vectors of a column as an array.

    Args:
        rows: Rows of a vector table.
        column: ``visual`` or ``language``.

    Returns:
        Shape (N, D), float32.

    Raises:
        InputError: If the rows have no such vectors.
    """
    if column not in rows.column_names:
        raise InputError(
            f"Cannot read {column} vectors: expected such a column, got rows without. Embed with an encoder "
            "that has that tower."
        )
    dim = vector_dim(rows.schema, column)
    array = rows.column(column).combine_chunks()
    if array.null_count:
        raise InputError(
            f"Cannot read {column} vectors: expected one a row, got {array.null_count} nulls. Embed the scene again."
        )
    return np.asarray(array.flatten().to_numpy(zero_copy_only=False), dtype=np.float32).reshape(-1, dim)


def boxes_of(rows: pa.Table) -> NDArray[np.float32]:
    """Boxes of rows in scene pixels, shape (N, 4), float32, (x0, y0, x1, y1)."""
    return np.stack([rows.column(name).to_numpy().astype(np.float32) for name in ("x0", "y0", "x1", "y1")], axis=1)


def units(vectors_nd: NDArray[np.floating]) -> NDArray[np.float32]:
    """Vectors scaled to length 1 (zero vectors stay zero); new array, float32."""
    norms = np.linalg.norm(vectors_nd, axis=-1, keepdims=True)
    return np.asarray(vectors_nd / np.maximum(norms, 1e-12), dtype=np.float32)


def centred_units(vectors_nd: NDArray[np.floating], mean_d: NDArray[np.floating] | None) -> NDArray[np.float32]:
    """Unit vectors after a common mean is taken away.

    Embeddings of small models crowd into a cone: every cosine is near 1. Without the mean, the angle carries the difference.

    Args:
        vectors_nd: Shape (N, D).
        mean_d: Mean of the corpus, shape (D,), or None for no centring.

    Returns:
        New array, shape (N, D), float32.
    """
    return units(vectors_nd if mean_d is None else vectors_nd - mean_d)


def _constant(value: str | float | bool | None, n: int, kind: pa.DataType) -> pa.Array:
    return pa.array([value] * n, kind)


def _scene_columns(scene: SceneRecord, n: int, model_version: str, proposer_version: str) -> dict[str, pa.Array]:
    return {
        "scene_id": _constant(scene.scene_id, n, pa.string()),
        "scene_version": _constant(scene.version, n, pa.string()),
        "acquired_utc": _constant(utc_text(scene.view.acquired_utc or ""), n, pa.string()),
        "instrument": _constant(scene.instrument, n, pa.string()),
        "gsd_m": _constant(scene.gsd_m, n, pa.float32()),
        "uri": _constant(scene.uri, n, pa.string()),
        "model_version": _constant(model_version, n, pa.string()),
        "proposer_version": _constant(proposer_version, n, pa.string()),
        "rendered": _constant(scene.rendered, n, pa.bool_()),
        **_view_columns(scene, n),
    }


def _view_columns(scene: SceneRecord, n: int) -> dict[str, pa.Array]:
    return {name: _constant(getattr(scene.view, name), n, SCALAR_TYPES[name]) for name in VIEW_COLUMNS}


def with_view(rows: pa.Table, scene: SceneRecord) -> pa.Table:
    """Rows with the view of their scene, for rows stored before there were such columns; others are returned as they are.

    Args:
        rows: Rows of one scene in any older layout.
        scene: That scene.
    """
    for name, column in _view_columns(scene, len(rows)).items():
        if name not in rows.column_names:
            rows = rows.append_column(name, column)
    return rows


def _place_columns(scene: SceneRecord, boxes_n4: NDArray[np.float32]) -> dict[str, pa.Array]:
    n = len(boxes_n4)
    box_columns = {name: pa.array(boxes_n4[:, i].astype(np.float32)) for i, name in enumerate(("x0", "y0", "x1", "y1"))}
    from ovd_platform.geometry.footprint import has_lonlat, pixel_to_lonlat
    from ovd_platform.geometry.geohash import encode

    if not has_lonlat(scene) or n == 0:
        empty = {"lon": pa.nulls(n, pa.float64()), "lat": pa.nulls(n, pa.float64()), "geohash": _constant("", n, pa.string())}
        return {**box_columns, **empty}
    centres_xy = (boxes_n4[:, :2].astype(np.float64) + boxes_n4[:, 2:]) / 2
    lonlat_n2 = np.asarray(pixel_to_lonlat(scene, centres_xy), dtype=np.float64)
    nowhere_n = np.atleast_1d(~np.isfinite(lonlat_n2).all(axis=1))
    lon_n = (lonlat_n2[:, 0] + 180.0) % 360.0 - 180.0
    hashes = ["" if bad else encode(float(lon), float(lat)) for bad, (lon, lat) in zip(nowhere_n, lonlat_n2, strict=True)]
    return {
        **box_columns,
        "lon": pa.array(lon_n, mask=nowhere_n),
        "lat": pa.array(lonlat_n2[:, 1], mask=nowhere_n),
        "geohash": pa.array(hashes, pa.string()),
    }


def _vector_columns(n: int, visual_nd: NDArray[np.float32], language_nd: NDArray[np.float32] | None) -> dict[str, pa.Array]:
    columns: dict[str, pa.Array] = {}
    for name, vectors in (("visual", visual_nd), ("language", language_nd)):
        if vectors is None or vectors.shape[1] == 0:
            continue
        if len(vectors) != n:
            raise ShapeError(f"Cannot build rows: expected {n} {name} vectors, got {len(vectors)}.")
        columns[name] = vector_array(vectors)
    return columns


def proposal_rows(
    scene: SceneRecord,
    proposals: ProposalSet,
    tiles: Sequence[TileRecord],
    visual_nd: NDArray[np.float32],
    language_nd: NDArray[np.float32] | None,
    model_version: str,
    context_n: NDArray[np.float32] | None = None,
) -> pa.Table:
    """Rows of the proposals of a scene.

    Proposals whose boxes round to the same whole pixels share an id; the one with the highest objectness is kept.

    Args:
        scene: The scene.
        proposals: Its proposals, N of them.
        tiles: Tile list the proposals' ``tile_index_n`` points into.
        visual_nd: Unit visual vectors, shape (N, D), float32.
        language_nd: Unit language vectors, shape (N, E), float32, or None without a language tower.
        model_version: Version of the encoder.
        context_n: Water fraction around each proposal, shape (N,), [0, 1], or None where it is not known.

    Returns:
        Table in the layout of `row_schema`.
    """
    n = len(proposals)
    ids = [proposals.proposal_id(i) for i in range(n)]
    columns = {
        "key": pa.array(ids, pa.string()),
        "proposal_id": pa.array(ids, pa.string()),
        "tile_id": pa.array([tiles[i].tile_id for i in proposals.tile_index_n], pa.string()),
        "tile_index": pa.array(proposals.tile_index_n.astype(np.int32)),
        "objectness": pa.array(proposals.objectness_n.astype(np.float32)),
        **_scene_columns(scene, n, model_version, proposals.proposer),
        **_place_columns(scene, proposals.boxes_scene_xyxy),
        **_vector_columns(n, visual_nd, language_nd),
    }
    if context_n is not None:
        columns["context"] = pa.array(context_n.astype(np.float32))
    rows = conform_rows(pa.table(columns))
    best: dict[str, int] = {}
    for i, proposal_id in enumerate(ids):
        if proposal_id not in best or proposals.objectness_n[i] > proposals.objectness_n[best[proposal_id]]:
            best[proposal_id] = i
    return rows if len(best) == n else rows.take(pa.array(sorted(best.values())))


def tile_rows(
    scene: SceneRecord,
    tiles: Sequence[TileRecord],
    visual_nd: NDArray[np.float32],
    language_nd: NDArray[np.float32] | None,
    model_version: str,
) -> pa.Table:
    """Rows of the kept tiles of a scene; ``tile_index`` is the place in ``tiles``.

    Args:
        scene: The scene.
        tiles: Tiles to store, N of them.
        visual_nd: Unit visual vectors, shape (N, D), float32.
        language_nd: Unit language vectors, shape (N, E), float32, or None without a language tower.
        model_version: Version of the encoder.

    Returns:
        Table in the layout of `row_schema`; ``proposal_id`` is null, ``objectness`` 1.
    """
    n = len(tiles)
    ids = pa.array([tile.tile_id for tile in tiles], pa.string())
    boxes_n4 = np.array([tile.core.xyxy for tile in tiles], dtype=np.float32).reshape(n, 4)
    columns = {
        "key": ids,
        "tile_id": ids,
        "tile_index": pa.array(np.arange(n, dtype=np.int32)),
        "objectness": pa.array(np.ones(n, dtype=np.float32)),
        **_scene_columns(scene, n, model_version, ""),
        **_place_columns(scene, boxes_n4),
        **_vector_columns(n, visual_nd, language_nd),
    }
    return conform_rows(pa.table(columns))


@dataclass(frozen=True, slots=True, eq=False)
class GridCells:
    """Cells of tiles that get vectors of their own.

    Attributes:
        boxes_scene_xyxy: Shape (N, 4), float32, scene pixels.
        tile_n: Place of each cell's tile in the list they were made from, shape (N,), int32.
        keys: Tile id with the cell's row and column.
    """

    boxes_scene_xyxy: NDArray[np.float32]
    tile_n: NDArray[np.int32]
    keys: tuple[str, ...]


def grid_cells(tiles: Sequence[TileRecord], side_px: int) -> GridCells:
    """Cut the cores of tiles into square cells; the last of a row or column is cut off at the core's edge.

    Args:
        tiles: Tiles, their cores do not overlap.
        side_px: Side of a cell.
    """
    boxes, owners, keys = [], [], []
    for place, tile in enumerate(tiles):
        left, top, right, bottom = tile.core.xyxy
        for row, y in enumerate(range(int(top), int(bottom), side_px)):
            for column, x in enumerate(range(int(left), int(right), side_px)):
                boxes.append((x, y, min(x + side_px, right), min(y + side_px, bottom)))
                owners.append(place)
                keys.append(f"{tile.tile_id}:{row}:{column}")
    return GridCells(np.array(boxes, np.float32).reshape(-1, 4), np.array(owners, np.int32), tuple(keys))


def grid_rows(
    scene: SceneRecord,
    tiles: Sequence[TileRecord],
    cells: GridCells,
    visual_nd: NDArray[np.float32],
    language_nd: NDArray[np.float32] | None,
    model_version: str,
) -> pa.Table:
    """Rows of grid cells, like `tile_rows`; ``tile_id`` is the cell's tile."""
    n = len(cells.keys)
    columns = {
        "key": pa.array(cells.keys, pa.string()),
        "tile_id": pa.array([tiles[place].tile_id for place in cells.tile_n], pa.string()),
        "tile_index": pa.array(cells.tile_n),
        "objectness": pa.array(np.ones(n, dtype=np.float32)),
        **_scene_columns(scene, n, model_version, ""),
        **_place_columns(scene, cells.boxes_scene_xyxy),
        **_vector_columns(n, visual_nd, language_nd),
    }
    return conform_rows(pa.table(columns))
