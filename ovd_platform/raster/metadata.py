"""What a raster says about itself, as a `SceneRecord`. Belongs here: tags, GCPs, RPCs; pixels are `rasters`' affair."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ovd_platform.errors import InputError, UnreadableRasterError
from ovd_platform.geometry.affine import Transform, fit_affine
from ovd_platform.geometry.footprint import gsd_m, scene_footprint
from ovd_platform.records.scene import Band, Georeference, SceneRecord, View

logger = logging.getLogger(__name__)

_COMPLEX = {"complex_int16": "complex64", "complex64": "complex64", "complex128": "complex128"}
_POLARISATIONS = {"hh", "hv", "vh", "vv"}
_GRID = 11


def numpy_dtype(gdal_dtypes: Sequence[str]) -> np.dtype[Any]:
    """The NumPy dtype that holds every band of a raster (complex-int16 reads as complex64, which is exact)."""
    return np.result_type(*(np.dtype(_COMPLEX.get(name, name)) for name in gdal_dtypes))


def placed(record: SceneRecord) -> SceneRecord:
    """The record with footprint and, where nothing was declared, ground sample distance from its transform."""
    record = replace(record, footprint_lonlat=scene_footprint(record))
    return record if record.gsd_m is not None else replace(record, gsd_m=gsd_m(record))


def instrument_id(modality: str, band_count: int, dtype: np.dtype[Any], bits_effective: int | None) -> str:
    """Default instrument: `opt-3x8`, `opt-1x12`, `sar-2xf32`, `sar-1xcf32`."""
    if bits_effective is not None:
        depth = str(bits_effective)
    else:
        depth = f"cf{dtype.itemsize * 4}" if dtype.kind == "c" else f"f{dtype.itemsize * 8}"
    return f"{'sar' if modality == 'sar' else 'opt'}-{band_count}x{depth}"


def effective_bits(dtype: np.dtype[Any], nbits: str | None, declared: int | None) -> int | None:
    """Bits that carry signal: as declared, else the NBITS tag, else the width of an unsigned dtype; None for float and complex.

    Raises:
        InputError: If more bits are declared than the dtype holds.
    """
    if dtype.kind not in "ui":
        return None
    bits = declared if declared is not None else int(nbits) if nbits else dtype.itemsize * 8
    if not 1 <= bits <= dtype.itemsize * 8:
        raise InputError(f"Cannot record bit depth: expected 1 to {dtype.itemsize * 8} bits for {dtype}, got {bits}.")
    return bits


def place_of(dataset: Any) -> tuple[Georeference, str | None, Transform | None]:
    """Georeference of an open rasterio dataset.

    GCPs and RPCs (the latter at their constant height offset) are reduced to a least-squares affine on lon/lat or the GCPs'
    CRS; the residual is logged. Their kind stays in the record because such places are approximate.

    Returns:
        Kind, CRS (authority string or WKT) and transform.
    """
    crs = dataset.crs
    if crs and not dataset.transform.is_identity:
        a, b, c, d, e, f = tuple(dataset.transform)[:6]
        if a * e - b * d != 0:
            return "affine", crs_text(crs), (a, b, c, d, e, f)
    gcps, gcp_crs = dataset.gcps
    if len(gcps) >= 3 and gcp_crs:
        pixels = [(point.col, point.row) for point in gcps]
        return _fitted("gcp", dataset.name, pixels, [(point.x, point.y) for point in gcps], crs_text(gcp_crs))
    if dataset.rpcs is not None:
        return _fitted_rpc(dataset)
    return "none", None, None


def crs_text(crs: Any) -> str:
    """`EPSG:32633` where the CRS has an authority code, else WKT."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())


def _fitted(
    kind: Georeference, name: str, pixels: Sequence[tuple[float, float]], ground: Sequence[tuple[float, float]], crs: str
) -> tuple[Georeference, str | None, Transform | None]:
    try:
        transform, residual_px = fit_affine(pixels, ground)
    except InputError as error:
        logger.warning("%s: its %s points do not define a place: %s", name, kind, error)
        return "none", None, None
    logger.info("%s: affine fitted to its %s georeference, residual %.2f px (root mean square)", name, kind, residual_px)
    return kind, crs, transform


def _fitted_rpc(dataset: Any) -> tuple[Georeference, str | None, Transform | None]:
    from rasterio.errors import RasterioError
    from rasterio.transform import RPCTransformer

    cols = np.linspace(0, dataset.width, _GRID)
    rows = np.linspace(0, dataset.height, _GRID)
    col_n, row_n = (axis.ravel() for axis in np.meshgrid(cols, rows))
    try:
        with RPCTransformer(dataset.rpcs, rpc_height=float(dataset.rpcs.height_off)) as transformer:
            lon_n, lat_n = transformer.xy(row_n.tolist(), col_n.tolist(), offset="ul")
    except RasterioError as error:
        logger.warning("%s: its RPC cannot be used: %s", dataset.name, error)
        return "none", None, None
    ground = np.stack([np.asarray(lon_n), np.asarray(lat_n)], axis=1)
    finite = np.isfinite(ground).all(axis=1)
    pixels = np.stack([col_n, row_n], axis=1)[finite]
    return _fitted("rpc", dataset.name, pixels.tolist(), ground[finite].tolist(), "EPSG:4326")


def ground_control(dataset: Any) -> dict[str, Any]:
    """GCPs and RPC of an open dataset as plain JSON values, so that an archive loses none of them; empty without any."""
    control: dict[str, Any] = {}
    gcps, crs = dataset.gcps
    if gcps:
        control["gcps"] = [[point.col, point.row, point.x, point.y, point.z] for point in gcps]
        control["gcps_crs"] = crs_text(crs) if crs else None
    if dataset.rpcs is not None:
        control["rpcs"] = dataset.rpcs.to_gdal()
    return control


def default_bands(datasets: Sequence[Any], band_lists: Sequence[Sequence[int]], stems: Sequence[str]) -> tuple[Band, ...]:
    """Names of bands: description, else colour interpretation, else file stem (of a stack) or `band1`, `band2`, ...

    Args:
        datasets: Open datasets in order.
        band_lists: 1-based GDAL bands used of each.
        stems: File stem of each.
    """
    names: list[str] = []
    for dataset, indices, stem in zip(datasets, band_lists, stems, strict=True):
        for index in indices:
            colour = dataset.colorinterp[index - 1].name
            name = dataset.descriptions[index - 1] or (colour if colour in ("red", "green", "blue") else "")
            if not name:
                name = stem if len(datasets) > 1 and len(indices) == 1 else f"band{len(names) + 1}"
            names.append(str(name).strip())
    return tuple(Band(name) for name in names)


def default_modality(dtype: np.dtype[Any], bands: Sequence[Band]) -> str:
    """SAR where pixels are complex or every band is named after a polarisation; else optical."""
    return "sar" if dtype.kind == "c" or all(band.name.lower() in _POLARISATIONS for band in bands) else "optical"


def default_view(dataset: Any) -> View:
    """Acquisition time from the IMAGERY metadata domain or the NITF header; nothing else is guessed."""
    stamp = dataset.tags(ns="IMAGERY").get("ACQUISITIONDATETIME", "").strip()
    for text, pattern in ((stamp[:19], "%Y-%m-%d %H:%M:%S"), (dataset.tags().get("NITF_IDATIM", ""), "%Y%m%d%H%M%S")):
        try:
            return View(acquired_utc=datetime.strptime(text, pattern).replace(tzinfo=UTC).isoformat())
        except ValueError:
            continue
    return View()


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
    nbits: str | None = None,
    place: tuple[Georeference, str | None, Transform | None] = ("none", None, None),
    view: View | None = None,
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
        nbits: NBITS tag.
        place: Kind, CRS and transform.
        view: Acquisition geometry as the raster states it.

    Raises:
        UnreadableRasterError: If the facts disagree with the raster.
    """
    chosen = overrides.get("bands", bands)
    if len(chosen) != len(bands):
        raise UnreadableRasterError(
            f"Cannot describe {uri}: expected {len(bands)} bands in its .ovd.json or OVD tags, got {len(chosen)}. Correct them."
        )
    modality = overrides.get("modality", default_modality(dtype, chosen))
    bits = effective_bits(dtype, nbits, overrides.get("bits_effective"))
    kind, crs, transform = place
    if "transform" in overrides and (overrides.get("crs") or crs):
        kind, crs, transform = "affine", overrides.get("crs", crs), overrides["transform"]
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
        nodata=overrides.get("nodata", nodata),
        gsd_m=overrides.get("gsd_m"),
        georeference=kind,
        crs=crs,
        transform=transform,
        view=overrides.get("view", view or View()),
        rendered=overrides.get("rendered", False),
    )
    return placed(record)
