"""The index of an `.ovdx` archive. Belongs here: its records and its JSON; writing tiles is the archive stage's.

An archive is a directory: `index.json` (the scene's record, one entry a tile) and `tiles.bin` (payloads back to back).
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError, UnreadableRasterError
from ovd_platform.raster.codec import Codec
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.window import Window

FORMAT = "ovdx-1"
INDEX_NAME = "index.json"
DATA_NAME = "tiles.bin"


@dataclass(frozen=True, slots=True)
class TileEntry:
    """Where one tile's pixels lie and how they are coded.

    Attributes:
        row: Row of the grid.
        col: Column of the grid.
        window_px: (col, row, width, height) in scene pixels.
        codec: How the pixels are coded.
        distance: JPEG XL distance of a lossy tile, else None.
        bits: Bits declared to JPEG XL, else None.
        reason: Why it is lossless, or "background" for a lossy tile.
        mask: ``full`` (all valid), ``empty`` (none), or ``packed`` (zlib of packed bits behind the pixels).
        offset: First byte in `tiles.bin`.
        pixel_bytes: Bytes of the pixels.
        mask_bytes: Bytes of the mask behind them.
        sha256: Of pixels and mask together.
    """

    row: int
    col: int
    window_px: tuple[int, int, int, int]
    codec: Codec
    distance: float | None
    bits: int | None
    reason: str
    mask: str
    offset: int
    pixel_bytes: int
    mask_bytes: int
    sha256: str

    @property
    def window(self) -> Window:
        """Pixels of the scene the tile holds."""
        return Window(*self.window_px)

    @property
    def lossless(self) -> bool:
        """Whether decoding gives the source values exactly."""
        return self.codec != "jxl-lossy"


@dataclass(frozen=True, slots=True, eq=False)
class ArchiveIndex:
    """Everything an archive knows about itself.

    Attributes:
        record: The scene as it was archived; its uri is that of the original.
        tiles: One entry a tile, in reading order.
        policy: The codec policy that was followed.
        data_bytes: Size of `tiles.bin`.
    """

    record: SceneRecord
    tiles: tuple[TileEntry, ...]
    policy: dict[str, Any]
    data_bytes: int
    _rows: list[int] = field(default_factory=list)
    _cols: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        rows = sorted({entry.window_px[1] for entry in self.tiles})
        cols = sorted({entry.window_px[0] for entry in self.tiles})
        check_coverage(self.record, [entry.window for entry in self.tiles])
        self._rows.extend(rows)
        self._cols.extend(cols)

    @property
    def version(self) -> str:
        """Content version of the archive: hash over the tiles' hashes, codecs and the record."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def entries_in(self, window: Window) -> list[TileEntry]:
        """Tiles that share pixels with a window inside the scene."""
        first_row, last_row = _span(self._rows, window.row_px, window.bottom_px)
        first_col, last_col = _span(self._cols, window.col_px, window.right_px)
        width = len(self._cols)
        return [
            self.tiles[row * width + col] for row in range(first_row, last_row + 1) for col in range(first_col, last_col + 1)
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready mapping; `from_dict` is its inverse."""
        return {
            "format": FORMAT,
            "record": self.record.to_dict(),
            "policy": self.policy,
            "data_bytes": self.data_bytes,
            "tiles": [asdict(entry) for entry in self.tiles],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ArchiveIndex":
        """Inverse of `to_dict`.

        Raises:
            UnreadableRasterError: If the format is unknown or a field is missing.
        """
        if values.get("format") != FORMAT:
            raise UnreadableRasterError(
                f"Cannot read an archive index: expected format {FORMAT}, got {values.get('format')!r}."
            )
        try:
            tiles = tuple(TileEntry(**{**entry, "window_px": tuple(entry["window_px"])}) for entry in values["tiles"])
            record = SceneRecord.from_dict(values["record"])
            return cls(record, tiles, values["policy"], int(values["data_bytes"]))
        except (KeyError, TypeError, InputError) as error:
            raise UnreadableRasterError(f"Cannot read an archive index: expected complete entries, got {error}.") from error


def _span(edges: list[int], low: int, high: int) -> tuple[int, int]:
    edges_n: NDArray[np.int64] = np.asarray(edges)
    first = int(np.searchsorted(edges_n, low, side="right")) - 1
    return max(first, 0), int(np.searchsorted(edges_n, high, side="left")) - 1


def check_coverage(record: SceneRecord, windows: list[Window]) -> None:
    """Make sure that tiles in reading order form a full grid that covers each pixel of the scene exactly once.

    Raises:
        InputError: If they do not.
    """
    heights = dict(sorted((window.row_px, window.height_px) for window in windows))
    widths = dict(sorted((window.col_px, window.width_px) for window in windows))
    expected = [Window(left, top, widths[left], heights[top]) for top in heights for left in widths]
    gapless = _gapless(heights, record.height_px) and _gapless(widths, record.width_px)
    if not gapless or windows != expected:
        raise InputError(
            f"Cannot use {len(windows)} tiles of {record.scene_id} for an archive: expected all tiles of one grid in reading "
            "order, covering each pixel once. Pass all tiles of the scan, kept or not."
        )


def _gapless(sizes: dict[int, int], end: int) -> bool:
    position = 0
    for start, size in sizes.items():
        if start != position:
            return False
        position += size
    return position == end


def read_index(path: Path) -> ArchiveIndex:
    """Index of the archive directory `path`.

    Raises:
        UnreadableRasterError: If it is missing, broken, or does not fit its data file.
    """
    try:
        index = ArchiveIndex.from_dict(json.loads((path / INDEX_NAME).read_text(encoding="utf-8")))
        size = (path / DATA_NAME).stat().st_size
    except (OSError, ValueError) as error:
        raise UnreadableRasterError(
            f"Cannot open archive {path}: expected {INDEX_NAME} and {DATA_NAME}, got {error}."
        ) from error
    if size != index.data_bytes:
        raise UnreadableRasterError(f"Cannot open archive {path}: expected {index.data_bytes} bytes of tiles, got {size}.")
    return index
