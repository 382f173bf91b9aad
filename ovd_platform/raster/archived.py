"""The platform's own archive as a scene. Belongs here: windowed reading; writing and verifying are the archive stage's."""

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import StaleError, UnreadableRasterError
from ovd_platform.raster.archive_index import DATA_NAME, ArchiveIndex, TileEntry, read_index
from ovd_platform.raster.chips import padded_chip
from ovd_platform.raster.codec import decode
from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.window import Window

Decoded = tuple[NDArray[Any], NDArray[np.bool_]]


class ArchivedScene:
    """An `.ovdx` archive. The record is that of the archived scene, id and version included, with the archive as its uri.

    Args:
        path: Directory of the archive.
        scene_id: Another id for the scene, or None.
        version: Version the caller expects, or None.
        cache_bytes: Decoded tiles kept for neighbouring windows.

    Raises:
        UnreadableRasterError: If the archive is incomplete.
        StaleError: If it holds another version than expected.
    """

    def __init__(
        self, path: Path, *, scene_id: str | None = None, version: str | None = None, cache_bytes: int = 128 << 20
    ) -> None:
        self.path = path
        self.index: ArchiveIndex = read_index(path)
        held = self.index.record
        if version is not None and version != held.version:
            raise StaleError(
                f"Cannot open archive {path}: expected version {version} of {held.scene_id}, got {held.version}. Archive again."
            )
        self.record: SceneRecord = replace(held, uri=str(path), scene_id=scene_id or held.scene_id)
        self._data: BinaryIO | None = (path / DATA_NAME).open("rb")
        self._cache: OrderedDict[int, Decoded] = OrderedDict()
        self._cached_bytes, self._cache_bytes = 0, cache_bytes

    def read(self, window: Window, band_indices: Sequence[int] | None = None) -> Chip:
        """See `Scene.read`."""
        return padded_chip(self.record, window, band_indices, self._read_inside)

    def read_into(self, window: Window, out_chw: NDArray[Any]) -> NDArray[np.bool_]:
        """See `Scene.read_into`."""
        out_chw[...], valid_hw = self._read_inside(window, tuple(range(len(self.record.bands))))
        return valid_hw

    def _read_inside(self, window: Window, bands: tuple[int, ...]) -> Decoded:
        pixels_chw = np.zeros((len(bands), window.height_px, window.width_px), dtype=self.record.dtype)
        valid_hw = np.zeros(pixels_chw.shape[1:], dtype=np.bool_)
        for entry in self.index.entries_in(window):
            tile_chw, tile_valid_hw = self.decoded(entry)
            tile = entry.window
            left, top = max(window.col_px, tile.col_px), max(window.row_px, tile.row_px)
            right, bottom = min(window.right_px, tile.right_px), min(window.bottom_px, tile.bottom_px)
            source = (slice(top - tile.row_px, bottom - tile.row_px), slice(left - tile.col_px, right - tile.col_px))
            target = (slice(top - window.row_px, bottom - window.row_px), slice(left - window.col_px, right - window.col_px))
            pixels_chw[(slice(None), *target)] = tile_chw[list(bands)][(slice(None), *source)]
            valid_hw[target] = tile_valid_hw[source]
        return pixels_chw, valid_hw

    def decoded(self, entry: TileEntry) -> Decoded:
        """Pixels and validity of one tile, from the cache where possible; do not change them.

        Raises:
            UnreadableRasterError: If the bytes differ from what was written.
        """
        if entry.offset in self._cache:
            self._cache.move_to_end(entry.offset)
            return self._cache[entry.offset]
        tile = self._decode(entry)
        self._cache[entry.offset] = tile
        self._cached_bytes += tile[0].nbytes + tile[1].nbytes
        while self._cached_bytes > self._cache_bytes and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= oldest[0].nbytes + oldest[1].nbytes
        return tile

    def _decode(self, entry: TileEntry) -> Decoded:
        if self._data is None:
            raise UnreadableRasterError(f"Cannot read {self.path}: expected an open scene, got a closed one. Open it again.")
        self._data.seek(entry.offset)
        payload = self._data.read(entry.pixel_bytes + entry.mask_bytes)
        if hashlib.sha256(payload).hexdigest() != entry.sha256:
            raise UnreadableRasterError(
                f"Cannot read tile {entry.row}/{entry.col} of {self.path}: expected its recorded hash, got another. Restore it."
            )
        window = entry.window
        size = (window.height_px, window.width_px)
        pixels_chw = decode(payload[: entry.pixel_bytes], entry.codec, self.record.dtype, (len(self.record.bands), *size))
        if entry.mask == "packed":
            packed = np.frombuffer(zlib.decompress(payload[entry.pixel_bytes :]), dtype=np.uint8)
            return pixels_chw, np.unpackbits(packed, count=size[0] * size[1]).astype(np.bool_).reshape(size)
        return pixels_chw, np.full(size, entry.mask == "full", dtype=np.bool_)

    def close(self) -> None:
        """Close the data file and forget decoded tiles."""
        if self._data is not None:
            self._data.close()
        self._data = None
        self._cache.clear()
        self._cached_bytes = 0

    def __enter__(self) -> Self:
        """The scene itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()
