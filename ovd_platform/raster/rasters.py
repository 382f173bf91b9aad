"""Everything GDAL reads, from disk, web servers and object stores, as scenes: GeoTIFF, COG, JPEG 2000, NITF, PNG, JPEG; one file or a stack of band files.

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

from ovd_platform.errors import (
    DamagedRasterError,
    HostileRasterError,
    NotARasterError,
    OvdError,
    UnreachableRasterError,
    UnreadableRasterError,
)
from ovd_platform.raster.acquisition import acquisition_of
from ovd_platform.raster.blocks import BlockFile
from ovd_platform.raster.chips import both_valid, every_pixel_valid, padded_chip, values_valid
from ovd_platform.raster.georeference import place_of
from ovd_platform.raster.identity import gdal_path, is_local, is_unreachable, member_paths
from ovd_platform.raster.metadata import colours_of, complete_record, default_bands, numpy_dtype
from ovd_platform.raster.overrides import read_overrides
from ovd_platform.raster.sidecars import sidecars_of
from ovd_platform.raster.terrain import terrain_under
from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import Band, SceneRecord
from ovd_platform.records.window import Window

logger = logging.getLogger(__name__)

_PROBE_PX = 256
_MASK_SHARE = 0.9
# Exact histograms of so many bands fill the default memory of the guarded process.
_MOST_BANDS = 8192
# Attribute access on a damaged file raises GDAL's own errors, which rasterio does not wrap in its public tree.
_GDAL_ERRORS = (RasterioError, CPLE_BaseError, OSError, MemoryError)


class _Member:
    """One open file: which of its bands are data, and how it marks missing pixels."""

    def __init__(self, path: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            self.dataset = rasterio.open(gdal_path(path))
        dataset = self.dataset
        if dataset.count == 0:
            dataset.close()
            inside = ", ".join(dataset.subdatasets[:4]) or "nothing"
            raise UnreadableRasterError(
                f"Cannot open {path}: expected a band, got none. Give one of its subdatasets: {inside}."
            )
        if dataset.count > _MOST_BANDS:
            dataset.close()
            raise HostileRasterError(
                f"Cannot open {path}: expected at most {_MOST_BANDS} bands, got {dataset.count}. Choose bands with a VRT."
            )
        self.path = path
        self.blocks = BlockFile.of(dataset)
        # Each of these asks GDAL for every band: with hundreds of bands that is dearer than the pixels.
        colours, self._dtypes, self.nodata = colours_of(dataset), dataset.dtypes, dataset.nodatavals
        alphas = [index for index in dataset.indexes if colours[index - 1] == ColorInterp.alpha]
        self.alpha = next((index for index in alphas if dataset.count > 1 and self._masks(index)), None)
        self.bands = tuple(index for index in dataset.indexes if index != self.alpha)
        flags = dataset.mask_flag_enums[self.bands[0] - 1]
        self.own_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        self.palette_c256: NDArray[np.uint8] | None = None
        self.opaque_256: NDArray[np.bool_] = np.ones(256, dtype=bool)
        if dataset.count == 1 and colours[0] == ColorInterp.palette and self._dtypes[0] == "uint8":
            table = dataset.colormap(1)
            looked_up = np.array([table.get(index, (0, 0, 0, 0)) for index in range(256)], dtype=np.uint8).T
            # A colour that is transparent marks missing pixels; a table without any opaque colour marks none.
            self.palette_c256, self.opaque_256 = (
                looked_up[:3],
                looked_up[3] > 0 if looked_up[3].any() else np.ones(256, dtype=bool),
            )

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

    def close(self) -> None:
        """Close the file."""
        if self.blocks is not None:
            self.blocks.close()
        self.dataset.close()

    @property
    def band_count(self) -> int:
        """Bands of a chip: three where colours are looked up."""
        return 3 if self.palette_c256 is not None else len(self.bands)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the pixels as they are read; None of GDAL's own types without a NumPy counterpart."""
        return numpy_dtype([self._dtypes[index - 1] for index in self.bands])

    @property
    def bits(self) -> int | None:
        """Bits the bands declare, the most of any; None where they declare none or colours were looked up."""
        declared = [self.dataset.tags(index, ns="IMAGE_STRUCTURE").get("NBITS") for index in self.bands]
        if self.palette_c256 is not None or not all(declared):
            return None
        return max(int(text) for text in declared)

    def read(self, window: Window, out_chw: NDArray[Any] | None = None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Pixels and validity; pixels land in ``out_chw`` where that is given and nothing has to be looked up or cut off."""
        region = RasterioWindow(window.col_px, window.row_px, window.width_px, window.height_px)
        direct = out_chw is not None and self.alpha is None and self.palette_c256 is None
        stored = (*self.bands, self.alpha) if self.alpha is not None else self.bands
        if direct and out_chw is not None and self.blocks is not None:
            self.blocks.read_into(window, self.bands, out_chw)
            pixels_chw = out_chw
        else:
            pixels_chw = self.dataset.read(list(stored), window=region, out=out_chw if direct else None)
        alpha_hw = None
        if self.alpha is not None:
            pixels_chw, alpha_hw = pixels_chw[:-1], pixels_chw[-1]
        nodata_c = [self.nodata[index - 1] for index in self.bands]
        valid_hw = values_valid(pixels_chw, nodata_c)
        if alpha_hw is not None:
            valid_hw = both_valid(valid_hw, alpha_hw > 0)
        if self.own_mask:
            valid_hw = both_valid(valid_hw, self.dataset.read_masks(self.bands[0], window=region) > 0)
        if self.palette_c256 is not None:
            valid_hw = both_valid(valid_hw, self.opaque_256[pixels_chw[0]])
            pixels_chw = self.palette_c256[:, pixels_chw[0]]
        if out_chw is not None and not direct:
            out_chw[...] = pixels_chw
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
        except (*_GDAL_ERRORS, ValueError) as error:
            self.close()
            raise _refusal(uri, error) from error
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
        dtype = np.result_type(*(member.dtype for member in self._members))
        stems = [Path(member.path).stem for member in self._members]
        bands = default_bands([m.dataset for m in self._members], [m.bands for m in self._members], stems)
        if len(self._members) == 1 and self._members[0].palette_c256 is not None:
            bands = (Band("red"), Band("green"), Band("blue"))
        overrides = read_overrides(uri, first.tags(ns="OVD"))
        taken = acquisition_of(first, sidecars_of(self._members[0].path))
        bits = [member.bits for member in self._members]
        palette = any(member.palette_c256 is not None for member in self._members)
        place = place_of(first, height_m=overrides.get("height_m"))
        if "dem" in overrides:
            overrides["terrain"] = terrain_under(place, (first.width, first.height), overrides["dem"], uri)
        nodata = first.nodatavals[self._members[0].bands[0] - 1]
        return complete_record(
            scene_id=scene_id,
            uri=uri,
            version=version,
            size_px=(first.width, first.height),
            dtype=dtype,
            bands=bands,
            overrides=overrides,
            nodata=nodata if nodata is not None and np.isfinite(nodata) and not palette else None,
            nbits=max(filter(None, bits)) if all(bits) else taken.bits,
            place=place,
            view=taken.view,
            polarisation=taken.polarisation,
            block_px=(first.block_shapes[0][1], first.block_shapes[0][0]),
        )

    def read(self, window: Window, band_indices: Sequence[int] | None = None) -> Chip:
        """See `Scene.read`."""
        return padded_chip(self.record, window, band_indices, self._read_inside)

    def read_into(self, window: Window, out_chw: NDArray[Any]) -> NDArray[np.bool_]:
        """See `Scene.read_into`."""
        if out_chw.dtype != np.dtype(self.record.dtype):
            out_chw[...], valid_hw = self._read_inside(window, tuple(range(len(self.record.bands))))
            return valid_hw
        return self._read_members(window, out_chw)

    def _read_inside(self, window: Window, bands: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        pixels_chw = np.empty((len(self.record.bands), window.height_px, window.width_px), dtype=self.record.dtype)
        valid_hw = self._read_members(window, pixels_chw)
        return pixels_chw if bands == tuple(range(len(pixels_chw))) else pixels_chw[list(bands)], valid_hw

    def _read_members(self, window: Window, out_chw: NDArray[Any]) -> NDArray[np.bool_]:
        """Pixels of all members into ``out_chw``; returns where all of them hold data."""
        if not self._members:
            raise UnreadableRasterError(f"Cannot read {self.record.uri}: expected an open scene, got a closed one. Reopen it.")
        valid_hw = every_pixel_valid(window.height_px, window.width_px)
        first = 0
        try:
            for member in self._members:
                part_chw = out_chw[first : first + member.band_count]
                if member.dtype == out_chw.dtype:
                    part_valid_hw = member.read(window, part_chw)[1]
                else:
                    part_chw[...], part_valid_hw = member.read(window)
                valid_hw = both_valid(valid_hw, part_valid_hw)
                first += member.band_count
        except _GDAL_ERRORS as error:
            reason = _reason(error)
            if _memory_ran_out(error, reason):
                raise _too_large(self.record.uri, reason) from error
            if is_unreachable(reason):
                raise _unreachable(self.record.uri, reason) from error
            raise DamagedRasterError(
                f"Cannot decode {self.record.uri} at {window.xyxy}: expected pixels, got {reason}. Replace the damaged file."
            ) from error
        declared = self.record.nodata
        if declared is not None and declared not in self._members[0].nodata:
            valid_hw = both_valid(valid_hw, values_valid(out_chw, [declared] * len(out_chw)))
        return valid_hw

    def close(self) -> None:
        """Close the files."""
        for member in self._members:
            member.close()
        self._members = []

    def __enter__(self) -> Self:
        """The scene itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()


def _reason(error: BaseException) -> str:
    """What GDAL said first: the deepest cause carries the fact, the outer ones only point at it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().rstrip(".") or type(error).__name__


def _memory_ran_out(error: BaseException, reason: str) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in reason.lower() or "cannot allocate" in reason.lower()


def _too_large(uri: str, reason: str) -> HostileRasterError:
    return HostileRasterError(
        f"Cannot read {uri}: expected it to fit into the memory of the process, got {reason}. Give it more, or leave the file out."
    )


def _unreachable(uri: str, reason: str) -> UnreachableRasterError:
    return UnreachableRasterError(
        f"Cannot reach {uri}: expected its server or store to hand it out, got {reason}. Check address and permission, then try again."
    )


def _refusal(uri: str, error: BaseException) -> UnreadableRasterError:
    """The named error for a file GDAL does not open."""
    reason = _reason(error)
    if _memory_ran_out(error, reason):
        return _too_large(uri, reason)
    if not is_local(member_paths(uri)[0]) and is_unreachable(reason):
        return _unreachable(uri, reason)
    if "not recognized as being in a supported file format" in reason or "not recognized as a supported file format" in reason:
        return NotARasterError(f"Cannot open {uri}: expected a raster GDAL can read, got another format. Leave it out.")
    if not is_local(uri) or all(Path(path).exists() for path in member_paths(uri)):
        return DamagedRasterError(f"Cannot open {uri}: expected a whole raster, got {reason}. Replace the damaged file.")
    return UnreadableRasterError(f"Cannot open {uri}: expected a raster GDAL can read, got {reason}. Check the path.")
