"""Blocks of a local GeoTIFF straight from its file into the caller's memory.

Belongs here: the common plain layouts (zstd, deflate, LZW or none, with or without the horizontal predictor). Does not belong here:
everything else, which GDAL reads (`rasters`). GDAL stays the judge of the file: it says what the layout is and where each block lies;
only its block cache, and with it one allocation and one copy of every pixel, is left out.
"""

import os
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import DamagedRasterError
from ovd_platform.raster.identity import is_local
from ovd_platform.records.window import Window

_CODECS = {"ZSTD": "zstd_decode", "DEFLATE": "zlib_decode", "LZW": "lzw_decode"}
_KINDS = "uif"


class BlockFile:
    """The stored blocks of an open GeoTIFF; made by `of`, which knows what is plain enough."""

    def __init__(self, dataset: Any, codec: str, predictor: bool) -> None:
        self._dataset = dataset
        self._path = Path(dataset.name)
        self._file = os.open(self._path, os.O_RDONLY)
        self._codec, self._predictor = codec, predictor
        self._dtype = np.dtype(dataset.dtypes[0])
        self._height_px, self._width_px = dataset.block_shapes[0]
        self._striped = not dataset.profile.get("tiled", False)
        self._by_pixel = dataset.count > 1 and dataset.interleaving is not None and dataset.interleaving.name == "pixel"
        samples = dataset.count if self._by_pixel else 1
        self._stored = bytearray()
        self._scratch = np.empty(self._height_px * self._width_px * samples * self._dtype.itemsize, dtype=np.uint8)

    @classmethod
    def of(cls, dataset: Any) -> Self | None:
        """The blocks of a dataset, or None where GDAL has to read it: another driver, codec, byte order or packed bits."""
        if dataset.driver != "GTiff" or not is_local(dataset.name) or len(set(dataset.dtypes)) > 1:
            return None
        structure, dtype = dataset.tags(ns="IMAGE_STRUCTURE"), np.dtype(_plain(dataset.dtypes[0]))
        codec = structure.get("COMPRESSION", "NONE")
        predictor = structure.get("PREDICTOR", "1")
        packed = any(dataset.tags(index, ns="IMAGE_STRUCTURE").get("NBITS") for index in dataset.indexes)
        plain = dtype.kind in _KINDS and predictor in ("1", "2") and not (predictor == "2" and dtype.kind == "f")
        if codec not in (*_CODECS, "NONE") or packed or not plain or not _little(dataset.name):
            return None
        return cls(dataset, codec, predictor == "2")

    def read_into(self, window: Window, bands: tuple[int, ...], out_chw: NDArray[Any]) -> None:
        """Pixels of a window inside the raster.

        Args:
            window: Inside the raster.
            bands: 1-based bands in the wanted order.
            out_chw: Where pixels go, shape (C, H, W), the raster's dtype.

        Raises:
            DamagedRasterError: If a block cannot be decoded.
        """
        high, wide = self._height_px, self._width_px
        for row in range(window.row_px // high, -(-window.bottom_px // high)):
            for col in range(window.col_px // wide, -(-window.right_px // wide)):
                top, left = max(window.row_px, row * high), max(window.col_px, col * wide)
                bottom, right = min(window.bottom_px, (row + 1) * high), min(window.right_px, (col + 1) * wide)
                inner = (slice(top - row * high, bottom - row * high), slice(left - col * wide, right - col * wide))
                outer = (slice(top - window.row_px, bottom - window.row_px), slice(left - window.col_px, right - window.col_px))
                if self._by_pixel:
                    block_hwc = self._block(1, row, col)
                    for target, band in enumerate(bands):
                        out_chw[(target, *outer)] = block_hwc[(*inner, band - 1)]
                    continue
                for target, band in enumerate(bands):
                    out_chw[(target, *outer)] = self._block(band, row, col)[(*inner, 0)]

    def _block(self, band: int, row: int, col: int) -> NDArray[Any]:
        """One decoded block, shape (h, w, samples); holds until the next is asked for."""
        rows = min(self._height_px, self._dataset.height - row * self._height_px) if self._striped else self._height_px
        samples = self._dataset.count if self._by_pixel else 1
        shape = (rows, self._width_px, samples)
        place = self._place(band, row, col)
        if place is None:  # A sparse file stores nothing where nothing is.
            missing = self._dataset.nodata
            return np.broadcast_to(np.asarray(0 if missing is None else missing).astype(self._dtype), shape)
        size = rows * self._width_px * samples * self._dtype.itemsize
        stored = self._read(*place)
        try:
            decoded = self._decoded(stored, size)
            block_hwc: NDArray[Any] = decoded[:size].view(self._dtype).reshape(shape)
        except (RuntimeError, ValueError) as error:
            raise DamagedRasterError(
                f"Cannot decode block {row}/{col} of {self._path}: expected {size} bytes of pixels, got {error}. "
                "Replace the damaged file."
            ) from error
        if self._predictor:
            import imagecodecs

            imagecodecs.delta_decode(block_hwc, axis=1, out=block_hwc)
        return block_hwc

    def _read(self, offset: int, size: int) -> memoryview:
        """Stored bytes; hold until the next are asked for."""
        if len(self._stored) < size:
            self._stored = bytearray(size + size // 4)
        part = memoryview(self._stored)[:size]
        return part[: os.preadv(self._file, [part], offset)]

    def _decoded(self, stored: memoryview, size: int) -> NDArray[np.uint8]:
        import imagecodecs

        if self._codec == "NONE":
            decoded = np.frombuffer(stored, dtype=np.uint8)
        else:
            decode = getattr(imagecodecs, _CODECS[self._codec])
            decoded = np.asarray(decode(stored, out=self._scratch[:size]))
        if decoded.size < size:
            raise ValueError(f"{decoded.size} bytes")
        return np.array(decoded) if self._predictor and self._codec == "NONE" else decoded

    def _place(self, band: int, row: int, col: int) -> tuple[int, int] | None:
        offset = self._dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band)
        size = self._dataset.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=band)
        return (int(offset), int(size)) if offset and size else None

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def _plain(name: str) -> str:
    return name if not name.startswith("complex") else "complex64"


def _little(name: str) -> bool:
    with Path(name).open("rb") as stream:
        return stream.read(2) == b"II" and np.little_endian
