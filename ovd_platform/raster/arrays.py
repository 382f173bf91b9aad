"""NumPy files as scenes: complex SAR chips and other bare arrays. Belongs here: `.npy` only; they carry no georeference."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import DamagedRasterError, UnreadableRasterError
from ovd_platform.raster.chips import padded_chip, values_valid
from ovd_platform.raster.metadata import complete_record
from ovd_platform.raster.overrides import read_overrides
from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import Band
from ovd_platform.records.window import Window


class ArrayScene:
    """A `.npy` file of shape (H, W) or (C, H, W), memory-mapped.

    Args:
        uri: Path of the file.
        scene_id: Id.
        version: Version of the pixels.

    Raises:
        UnreadableRasterError: If the file is no numeric array of two or three axes.
    """

    def __init__(self, uri: str, scene_id: str, version: str) -> None:
        try:
            array = np.load(uri, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DamagedRasterError(f"Cannot open {uri}: expected a .npy array, got {error}. Check the file.") from error
        if array.ndim not in (2, 3) or array.dtype.kind not in "uifc" or array.size == 0:
            raise UnreadableRasterError(
                f"Cannot open {uri}: expected a numeric array of shape (H, W) or (C, H, W), got {array.dtype} {array.shape}."
            )
        self._array_chw: NDArray[Any] | None = array if array.ndim == 3 else array[None]
        count, height_px, width_px = self._array_chw.shape
        bands = tuple(Band(f"band{index + 1}") for index in range(count))
        self.record = complete_record(
            scene_id=scene_id,
            uri=uri,
            version=version,
            size_px=(width_px, height_px),
            dtype=array.dtype.newbyteorder("="),
            bands=bands,
            overrides=read_overrides(uri),
        )

    def read(self, window: Window, band_indices: Sequence[int] | None = None) -> Chip:
        """See `Scene.read`."""
        return padded_chip(self.record, window, band_indices, self._read_inside)

    def read_into(self, window: Window, out_chw: NDArray[Any]) -> NDArray[np.bool_]:
        """See `Scene.read_into`."""
        out_chw[...], valid_hw = self._read_inside(window, tuple(range(len(self.record.bands))))
        return valid_hw

    def _read_inside(self, window: Window, bands: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        if self._array_chw is None:
            raise UnreadableRasterError(f"Cannot read {self.record.uri}: expected an open scene, got a closed one. Reopen it.")
        x0, y0, x1, y1 = window.xyxy
        pixels_chw = np.ascontiguousarray(self._array_chw[:, y0:y1, x0:x1]).astype(self.record.dtype, copy=True)
        valid_hw = values_valid(pixels_chw, [self.record.nodata] * len(pixels_chw))
        return pixels_chw if bands == tuple(range(len(pixels_chw))) else pixels_chw[list(bands)], valid_hw

    def close(self) -> None:
        """Release the memory map."""
        self._array_chw = None

    def __enter__(self) -> Self:
        """The scene itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()
