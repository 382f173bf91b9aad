"""Everything GDAL reads, as scenes: GeoTIFF, COG, JPEG 2000, NITF, PNG, JPEG; one file or a stack of band files.

Belongs here: windowed reading through rasterio with masks, alpha, colour maps. Interpretation of metadata is `metadata`'s.
"""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from ovd_platform.errors import OvdError, UnreadableRasterError
from ovd_platform.raster.chips import padded_chip, values_valid
from ovd_platform.raster.identity import member_paths
from ovd_platform.raster.metadata import (
    complete_record,
    default_bands,
    default_view,
    ground_control,
    numpy_dtype,
    place_of,
)
from ovd_platform.raster.overrides import read_overrides
from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import Band, SceneRecord
from ovd_platform.records.window import Window

logger = logging.getLogger(__name__)

_PROBE_PX = 256
_MASK_SHARE = 0.9
# Attribute access on a damaged file raises GDAL's own errors, which rasterio does not wrap in its public tree.
_GDAL_ERRORS = (RasterioError, CPLE_BaseError, OSError, MemoryError)


class _Member:
    """One open file: which of its bands are data, and how it marks missing pixels."""

    def __init__(self, path: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            self.dataset = rasterio.open(path)
        dataset = self.dataset
        if dataset.count == 0:
            dataset.close()
            raise UnreadableRasterError(f"Cannot open {path}: expected a band, got none. Give one of its subdatasets.")
        self.path = path
        alphas = [index for index in dataset.indexes if dataset.colorinterp[index - 1] == ColorInterp.alpha]
        self.alpha = next((index for index in alphas if dataset.count > 1 and self._masks(index)), None)
        self.bands = tuple(index for index in dataset.indexes if index != self.alpha)
        flags = dataset.mask_flag_enums[self.bands[0] - 1]
        self.own_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        self.palette_c256: NDArray[np.uint8] | None = None
        if dataset.count == 1 and dataset.colorinterp[0] == ColorInterp.palette and dataset.dtypes[0] == "uint8":
            table = dataset.colormap(1)
            self.palette_c256 = np.array([table.get(index, (0, 0, 0, 0))[:3] for index in range(256)], dtype=np.uint8).T

    def _masks(self, index: int) -> bool:
        """Whether a band declared as alpha is one: a fourth data band (near infrared) is often stored under that name."""
        dataset = self.dataset
        side = min(_PROBE_PX, dataset.width, dataset.height)
        last = (dataset.width - side, dataset.height - side)
        corners = {(0, 0), (last[0] // 2, last[1] // 2), last}
        top = np.iinfo(dataset.dtypes[index - 1]).max if np.dtype(dataset.dtypes[index - 1]).kind == "u" else 1
        probes = [dataset.read(index, window=RasterioWindow(col, row, side, side)).ravel() for col, row in sorted(corners)]
        values = np.concatenate(probes)
        share = float(np.mean((values == 0) | (values == top) | (values == values.max())))
        if share < _MASK_SHARE:
            logger.warning("%s: band %d is declared alpha but holds data; it is read as a band", dataset.name, index)
        return share >= _MASK_SHARE

    @property
    def band_count(self) -> int:
        return 3 if self.palette_c256 is not None else len(self.bands)

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        region = RasterioWindow(window.col_px, window.row_px, window.width_px, window.height_px)
        stored = (*self.bands, self.alpha) if self.alpha is not None else self.bands
        pixels_chw = self.dataset.read(list(stored), window=region)
        alpha_hw = None
        if self.alpha is not None:
            pixels_chw, alpha_hw = pixels_chw[:-1], pixels_chw[-1]
        nodata_c = [self.dataset.nodatavals[index - 1] for index in self.bands]
        valid_hw = values_valid(pixels_chw, nodata_c)
        if alpha_hw is not None:
            valid_hw &= alpha_hw > 0
        if self.own_mask:
            valid_hw &= self.dataset.read_masks(self.bands[0], window=region) > 0
        if self.palette_c256 is not None:
            pixels_chw = self.palette_c256[:, pixels_chw[0]]
        return pixels_chw, valid_hw


class RasterScene:
    """One raster, or several of equal size stacked band by band.

    Args:
        uri: Path, /vsi path, or paths joined by ``|``.
        scene_id: Id.
        version: Version of the pixels.

    Raises:
        UnreadableRasterError: If a file cannot be opened, or stacked files differ in size.
    """

    def __init__(self, uri: str, scene_id: str, version: str) -> None:
        self._members: list[_Member] = []
        try:
            for path in member_paths(uri):
                self._members.append(_Member(path))
            self.record: SceneRecord = self._describe(uri, scene_id, version)
            self.ground_control: dict[str, Any] = ground_control(self._members[0].dataset)
        except (*_GDAL_ERRORS, ValueError) as error:
            self.close()
            raise UnreadableRasterError(
                f"Cannot open {uri}: expected a raster GDAL can read, got {error}. Check the path and the file."
            ) from error
        except OvdError:
            self.close()
            raise

    def _describe(self, uri: str, scene_id: str, version: str) -> SceneRecord:
        first = self._members[0].dataset
        sizes = {(member.dataset.width, member.dataset.height) for member in self._members}
        if len(sizes) > 1:
            raise UnreadableRasterError(
                f"Cannot stack {uri}: expected files of one size, got {sorted(sizes)} px. Resample them to one grid first."
            )
        dtype = numpy_dtype([member.dataset.dtypes[index - 1] for member in self._members for index in member.bands])
        stems = [Path(member.path).stem for member in self._members]
        bands = default_bands([m.dataset for m in self._members], [m.bands for m in self._members], stems)
        if len(self._members) == 1 and self._members[0].palette_c256 is not None:
            bands = (Band("red"), Band("green"), Band("blue"))
        place = place_of(first)
        return complete_record(
            scene_id=scene_id,
            uri=uri,
            version=version,
            size_px=(first.width, first.height),
            dtype=dtype,
            bands=bands,
            overrides=read_overrides(uri, first.tags(ns="OVD")),
            nodata=first.nodatavals[0] if first.nodatavals[0] is None or np.isfinite(first.nodatavals[0]) else None,
            nbits=first.tags(self._members[0].bands[0], ns="IMAGE_STRUCTURE").get("NBITS"),
            place=place,
            view=default_view(first),
        )

    def read(self, window: Window, band_indices: Sequence[int] | None = None) -> Chip:
        """See `Scene.read`."""
        return padded_chip(self.record, window, band_indices, self._read_inside)

    def _read_inside(self, window: Window, bands: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        if not self._members:
            raise UnreadableRasterError(f"Cannot read {self.record.uri}: expected an open scene, got a closed one. Reopen it.")
        try:
            parts = [member.read(window) for member in self._members]
        except _GDAL_ERRORS as error:
            raise UnreadableRasterError(
                f"Cannot decode {self.record.uri} at {window.xyxy}: expected pixels, got {error}. Replace the damaged file."
            ) from error
        pixels_chw = parts[0][0] if len(parts) == 1 else np.concatenate([part[0] for part in parts])
        pixels_chw = pixels_chw.astype(self.record.dtype, copy=False)
        valid_hw = np.logical_and.reduce([part[1] for part in parts])
        declared = self.record.nodata
        if declared is not None and self._members[0].dataset.nodatavals[0] != declared:
            valid_hw &= values_valid(pixels_chw, [declared] * len(pixels_chw))
        return pixels_chw if bands == tuple(range(len(pixels_chw))) else pixels_chw[list(bands)], valid_hw

    def close(self) -> None:
        """Close the files."""
        for member in self._members:
            member.dataset.close()
        self._members = []

    def __enter__(self) -> Self:
        """The scene itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()
