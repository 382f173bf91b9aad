"""A `SceneRecord` from what is known of a raster: dtype, bits, bands, modality, instrument, place, view, user's facts.

Belongs here: putting them together. Does not belong here: finding them (`rasters`, `georeference`, `acquisition`, `overrides`).
"""

import contextlib
import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from ovd_platform.errors import InputError, UnreadableRasterError
from ovd_platform.geometry.footprint import scene_footprint
from ovd_platform.geometry.place import gsd_m, has_lonlat, pixel_to_lonlat, position_error_m
from ovd_platform.raster.georeference import Place
from ovd_platform.records.scene import Band, SceneRecord, View

logger = logging.getLogger(__name__)

_ASKED_AGAIN = 3
_COMPLEX = {"complex_int16": "complex64", "complex64": "complex64", "complex128": "complex128"}
_POLARISATION = re.compile(r"(?:^|[^a-z])(hh|hv|vh|vv)(?:[^a-z]|$)")


def numpy_dtype(gdal_dtypes: Sequence[str]) -> np.dtype[Any]:
    """The NumPy dtype that holds every band of a raster (complex-int16 reads as complex64, which is exact)."""
    return np.result_type(*(np.dtype(_COMPLEX.get(name, name)) for name in gdal_dtypes))


def placed(record: SceneRecord) -> SceneRecord:
    """The record with footprint, error of its places and, where nothing was declared, ground sample distance."""
    error_m = position_error_m(record) if record.position_error_m is None else record.position_error_m
    record = replace(record, footprint_lonlat=scene_footprint(record), position_error_m=error_m)
    return record if record.gsd_m is not None else replace(record, gsd_m=gsd_m(record))


def instrument_id(modality: str, band_count: int, dtype: np.dtype[Any], bits_effective: int | None) -> str:
    """Default instrument: `opt-3x8`, `opt-1x12`, `sar-2xf32`, `sar-1xcf32`."""
    if bits_effective is not None:
        depth = str(bits_effective)
    else:
        depth = f"cf{dtype.itemsize * 4}" if dtype.kind == "c" else f"f{dtype.itemsize * 8}"
    return f"{'sar' if modality == 'sar' else 'opt'}-{band_count}x{depth}"


def effective_bits(dtype: np.dtype[Any], nbits: int | None, declared: int | None) -> int | None:
    """Bits that carry signal: as the user says, else as the raster does, else the integer's width; None for float and complex.

    Raises:
        InputError: If more bits are declared than the dtype holds.
    """
    if dtype.kind not in "ui":
        return None
    bits = declared if declared is not None else nbits if nbits else dtype.itemsize * 8
    if not 1 <= bits <= dtype.itemsize * 8:
        raise InputError(f"Cannot record bit depth: expected 1 to {dtype.itemsize * 8} bits for {dtype}, got {bits}.")
    return bits


def colours_of(dataset: Any) -> tuple[Any, ...]:
    """Colour interpretation of every band of an open rasterio dataset.

    Asking for it raises whatever GDAL could not make of other tags before (a private one, say), which says nothing of the pixels: once
    raised, such an error is gone.

    Raises:
        CPLE_BaseError: GDAL's own, if asking fails again and again.
    """
    from rasterio._err import CPLE_BaseError

    for _ in range(_ASKED_AGAIN):
        with contextlib.suppress(CPLE_BaseError):
            return tuple(dataset.colorinterp)
    return tuple(dataset.colorinterp)


def default_bands(datasets: Sequence[Any], band_lists: Sequence[Sequence[int]], stems: Sequence[str]) -> tuple[Band, ...]:
    """Bands: name from the description, else the colour, else the file stem (of a stack) or `band1`, `band2`, ...; scale, offset.

    Args:
        datasets: Open datasets in order.
        band_lists: 1-based GDAL bands used of each.
        stems: File stem of each.
    """
    bands: list[Band] = []
    for dataset, indices, stem in zip(datasets, band_lists, stems, strict=True):
        colours, descriptions, scales, offsets = colours_of(dataset), dataset.descriptions, dataset.scales, dataset.offsets
        for index in indices:
            colour = colours[index - 1].name
            name = descriptions[index - 1] or (colour if colour in ("red", "green", "blue") else "")
            if not name:
                alone = len(indices) == 1 and (len(datasets) > 1 or polarisation_in(stem))
                name = stem if alone else f"band{len(bands) + 1}"
            bands.append(Band(str(name).strip(), None, float(scales[index - 1]), float(offsets[index - 1])))
    return tuple(bands)


def polarisation_in(name: str) -> str | None:
    """`hh`, `hv`, `vh` or `vv` if a name states one as a word of its own (`Gamma0_VV`, `s1a-iw-grd-vh-2020`), else None."""
    match = _POLARISATION.search(name.lower())
    return match.group(1) if match else None


def default_modality(dtype: np.dtype[Any], bands: Sequence[Band]) -> str:
    """SAR where pixels are complex or every band is named after a polarisation; else optical."""
    return "sar" if dtype.kind == "c" or all(polarisation_in(band.name) for band in bands) else "optical"


def _polarimetric(bands: Sequence[Band], polarisation: str | None) -> tuple[Band, ...]:
    """Bands of a SAR scene named by their polarisation alone, where it is known and tells them apart."""
    stated = [polarisation] if polarisation and len(bands) == 1 else [polarisation_in(band.name) for band in bands]
    if None in stated or len(set(stated)) < len(stated):
        return tuple(bands)
    return tuple(replace(band, name=str(name)) for band, name in zip(bands, stated, strict=True))


def complete_record(
    *,
    scene_id: str,
    uri: str,
    version: str,
    size_px: tuple[int, int],
    dtype: np.dtype[Any],
    bands: tuple[Band, ...],
    overrides: dict[str, Any],
    nodata: float | None = None,
    nbits: int | None = None,
    place: Place | None = None,
    view: View | None = None,
    polarisation: str | None = None,
    block_px: tuple[int, int] | None = None,
) -> SceneRecord:
    """Record from what the raster says, overridden by what the user says.

    Args:
        scene_id: Id.
        uri: Where the pixels are.
        version: Version of the pixels, "" if unknown.
        size_px: Width and height.
        dtype: Dtype chips will have.
        bands: Bands as named by the raster.
        overrides: Checked facts (`overrides.read_overrides`).
        nodata: Missing value.
        nbits: Bits the raster or a side file declares.
        place: Georeference.
        view: Acquisition geometry as the raster states it.
        polarisation: Of a file with a single SAR band, as a side file states it.
        block_px: Width and height of the blocks the pixels are stored in.

    Raises:
        UnreadableRasterError: If the facts disagree with the raster.
    """
    chosen = overrides.get("bands", bands)
    if len(chosen) != len(bands):
        raise UnreadableRasterError(
            f"Cannot describe {uri}: expected {len(bands)} bands in its .ovd.json or OVD tags, got {len(chosen)}. Correct them."
        )
    modality = overrides.get("modality", "sar" if polarisation else default_modality(dtype, chosen))
    if modality == "sar" and "bands" not in overrides:
        chosen = _polarimetric(chosen, polarisation)
    try:
        bits = effective_bits(dtype, nbits, overrides.get("bits_effective"))
    except InputError as error:
        raise UnreadableRasterError(
            f"Cannot describe {uri}: {error} Correct bits_effective in its .ovd.json, or what its side file says."
        ) from error
    place = _overridden(place or Place(), overrides)
    record = SceneRecord(
        scene_id=scene_id,
        uri=uri,
        version=version,
        modality=modality,
        instrument=overrides.get("instrument", instrument_id(modality, len(bands), dtype, bits)),
        width_px=size_px[0],
        height_px=size_px[1],
        bands=chosen,
        dtype=dtype.name,
        bits_effective=bits,
        bits_declared=bits is not None and (nbits is not None or "bits_effective" in overrides or dtype.itemsize == 1),
        nodata=overrides.get("nodata", nodata),
        gsd_m=overrides.get("gsd_m"),
        georeference=place.kind,
        crs=place.crs,
        transform=place.transform,
        ground_control=place.control,
        position_error_m=place.error_m,
        view=_merged_view(view or View(), overrides.get("view")),
        block_px=block_px,
        rendered=overrides.get("rendered", False),
    )
    return placed(_without_impossible_place(record))


def _without_impossible_place(record: SceneRecord) -> SceneRecord:
    """The record without a georeference that puts its middle beyond a pole; a swapped or scaled transform does."""
    if not has_lonlat(record):
        return record
    lat = pixel_to_lonlat(record, [[record.width_px / 2, record.height_px / 2]])[0, 1]
    if not np.isfinite(lat) or abs(lat) <= 90.0:
        return record
    logger.warning("%s: its georeference says latitude %g: only pixel coordinates are known", record.uri, lat)
    return replace(record, georeference="none", crs=None, transform=None, ground_control=None, position_error_m=None)


def _overridden(place: Place, overrides: dict[str, Any]) -> Place:
    """The place, replaced or corrected by what the user says."""
    if "transform" in overrides and (overrides.get("crs") or place.crs):
        return Place("affine", overrides.get("crs", place.crs), overrides["transform"], place.control)
    if "crs" in overrides and place.kind == "affine":
        return replace(place, crs=overrides["crs"])
    if overrides.get("terrain") is not None and place.control is not None:
        return replace(place, control=replace(place.control, terrain=overrides["terrain"]))
    return place


def _merged_view(view: View, stated: View | None) -> View:
    """A view with the fields a user states put over those the raster states."""
    if stated is None:
        return view
    return replace(view, **{key: value for key, value in asdict(stated).items() if value is not None})
