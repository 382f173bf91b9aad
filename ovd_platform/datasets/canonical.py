"""The canonical, lossless table of labels. Belongs here: Annotation <-> Arrow/Parquet. Other formats are in `formats`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ovd_platform.errors import DataError
from ovd_platform.records.annotation import Annotation

if TYPE_CHECKING:
    import pyarrow

TABLE_VERSION = "1"
_COLUMNS = ("annotation_id", "scene_id", "class_name", "corners_scene_xy", "source", "difficult")


def annotations_to_table(annotations: Sequence[Annotation]) -> "pyarrow.Table":
    """Labels as an Arrow table; `annotations_from_table` is its exact inverse.

    Args:
        annotations: Labels in any order; the order is kept.

    Returns:
        New table: one row a label, corners as list<list<float64>> in scene pixels.
    """
    import pyarrow as pa

    schema = pa.schema(
        [
            pa.field("annotation_id", pa.string(), nullable=False),
            pa.field("scene_id", pa.string(), nullable=False),
            pa.field("class_name", pa.string(), nullable=False),
            pa.field("corners_scene_xy", pa.list_(pa.list_(pa.float64())), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("difficult", pa.bool_(), nullable=False),
        ],
        metadata={"ovd.annotations": TABLE_VERSION},
    )
    columns = {name: [getattr(annotation, name) for annotation in annotations] for name in _COLUMNS}
    columns["corners_scene_xy"] = [[list(corner) for corner in annotation.corners_scene_xy] for annotation in annotations]
    return pa.table(columns, schema=schema)


def annotations_from_table(table: "pyarrow.Table") -> list[Annotation]:
    """Inverse of `annotations_to_table`.

    Raises:
        DataError: If a column is missing.
    """
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise DataError(
            f"Cannot read labels from a table: expected columns {', '.join(_COLUMNS)}, got none called {', '.join(missing)}. "
            "Import the label files again."
        )
    return [
        Annotation(
            row["annotation_id"],
            row["scene_id"],
            row["class_name"],
            tuple((float(x), float(y)) for x, y in row["corners_scene_xy"]),
            source=row["source"],
            difficult=row["difficult"],
        )
        for row in table.select(list(_COLUMNS)).to_pylist()
    ]


def write_annotations(annotations: Sequence[Annotation], path: Path) -> None:
    """Write the canonical Parquet file; a reader never sees half a file."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    pq.write_table(annotations_to_table(annotations), partial, compression="zstd")
    partial.replace(path)


def read_annotations(path: Path) -> list[Annotation]:
    """Read the canonical Parquet file.

    Raises:
        DataError: If the file is missing or no label table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"Cannot read labels from {path}: expected a Parquet table, got {error}. Import them again.") from error
    return annotations_from_table(table)
