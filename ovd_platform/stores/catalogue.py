"""Catalogue entries as STAC items: any STAC tool reads what the platform knows of a scene.

Belongs here: the JSON of one scene. Does not belong here: what is registered when (flow). The platform's own facts travel in
``properties["ovd:entry"]``; everything else is derived from them when the item is written.

Reference: STAC 1.0.0 with the extensions projection 2.0.0, eo 1.1.0, view 1.0.0, sat 1.0.0, sar 1.0.0 and raster 1.1.0.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ovd_platform.geometry.footprint import split_antimeridian
from ovd_platform.raster.radiometry import band_wavelengths
from ovd_platform.records.scene import SceneRecord
from ovd_platform.stores.home import read_json, write_json

STAC_VERSION = "1.0.0"
ENTRY = "ovd:entry"
_SCHEMAS = "https://stac-extensions.github.io"
_EXTENSIONS = {
    "proj": f"{_SCHEMAS}/projection/v2.0.0/schema.json",
    "eo": f"{_SCHEMAS}/eo/v1.1.0/schema.json",
    "view": f"{_SCHEMAS}/view/v1.0.0/schema.json",
    "sat": f"{_SCHEMAS}/sat/v1.0.0/schema.json",
    "sar": f"{_SCHEMAS}/sar/v1.0.0/schema.json",
    "raster": f"{_SCHEMAS}/raster/v1.1.0/schema.json",
}
_MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff", ".tiff": "image/tiff; application=geotiff", ".jp2": "image/jp2",
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".ntf": "application/vnd.nitf",
}  # fmt: skip
_RASTER_DTYPES = {"complex64": "cfloat32", "complex128": "cfloat64", "bool": "other"}


def write_entry(path: Path, entry: dict[str, Any]) -> Path:
    """Write a catalogue entry as a STAC item, atomically.

    Args:
        path: File of the entry.
        entry: ``record`` (`SceneRecord.to_dict`), ``source_uri``, ``stamp``, ``generation``, ``state``, ``archive``,
            ``registered_utc``.
    """
    return write_json(path, stac_item(entry))


def read_entry(path: Path) -> dict[str, Any]:
    """Inverse of `write_entry`; entries of older workspaces, which were no STAC items, are read as well.

    Raises:
        StaleError: If the file does not exist.
    """
    item: dict[str, Any] = read_json(path)
    entry: dict[str, Any] = item["properties"][ENTRY] if item.get("type") == "Feature" else item
    return entry


def stac_item(entry: dict[str, Any]) -> dict[str, Any]:
    """STAC item of a catalogue entry, JSON-ready. A scene without georeference has the geometry null, as STAC asks."""
    record = SceneRecord.from_dict(entry["record"])
    properties = {
        "datetime": record.view.acquired_utc,
        **({} if record.view.acquired_utc else _unknown_time(entry)),
        **_common(record),
        **_projection(record),
        **_view(record),
        **(_sar(record) if record.modality == "sar" else {}),
    }
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "id": record.scene_id,
        "geometry": _geometry(record),
        "properties": {
            **{key: value for key, value in properties.items() if value is not None or key == "datetime"},
            ENTRY: entry,
        },
        "links": [],
        "assets": _assets(record, entry),
    }
    if item["geometry"] is not None:
        item["bbox"] = _bbox(record)
    used = {key.split(":", 1)[0] for key in properties} | {"raster", "eo"}
    item["stac_extensions"] = [url for prefix, url in _EXTENSIONS.items() if prefix in used]
    return item


def _unknown_time(entry: dict[str, Any]) -> dict[str, Any]:
    """STAC wants a time or an interval; for a scene whose time nobody knows: any time until it was registered."""
    return {"start_datetime": "1957-10-04T00:00:00+00:00", "end_datetime": entry.get("registered_utc")}


def _common(record: SceneRecord) -> dict[str, Any]:
    return {
        "gsd": record.gsd_m,
        "platform": record.view.platform,
        "instruments": [record.instrument],
        "eo:cloud_cover": None if record.view.cloud_fraction is None else round(record.view.cloud_fraction * 100, 3),
        "ovd:georeference": record.georeference,
        "ovd:position_error_m": record.position_error_m,
        "ovd:bits_effective": record.bits_effective,
        "ovd:rendered": record.rendered,
    }


def _projection(record: SceneRecord) -> dict[str, Any]:
    code = record.crs if record.crs and record.crs.startswith("EPSG:") else None
    affine = record.georeference == "affine"
    return {
        "proj:code": code if affine else None,
        "proj:wkt2": record.crs if record.crs and not code and affine else None,
        "proj:transform": [*record.transform] if record.transform and affine else None,
        "proj:shape": [record.height_px, record.width_px],
    }


def _view(record: SceneRecord) -> dict[str, Any]:
    view = record.view
    return {
        "view:sun_azimuth": view.sun_azimuth_deg,
        "view:sun_elevation": view.sun_elevation_deg,
        "view:off_nadir": view.off_nadir_deg,
        "view:azimuth": view.view_azimuth_deg,
        "view:incidence_angle": view.incidence_deg,
        "sat:orbit_state": view.orbit,
    }


def _sar(record: SceneRecord) -> dict[str, Any]:
    named = [band.name.upper() for band in record.bands if band.name.lower() in ("hh", "hv", "vh", "vv")]
    return {
        "sar:polarizations": named or None,
        "sar:observation_direction": record.view.look,
        "sar:product_type": "SLC" if np.dtype(record.dtype).kind == "c" else None,
    }


def _geometry(record: SceneRecord) -> dict[str, Any] | None:
    parts = split_antimeridian(record.footprint_lonlat)
    if not parts:
        return None
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": [[list(point) for point in parts[0]]]}
    return {"type": "MultiPolygon", "coordinates": [[[list(point) for point in part]] for part in parts]}


def _bbox(record: SceneRecord) -> list[float]:
    """West, south, east, north; west exceeds east across the antimeridian (RFC 7946, section 5.2)."""
    parts = [np.asarray(part) for part in split_antimeridian(record.footprint_lonlat)]
    south, north = min(part[:, 1].min() for part in parts), max(part[:, 1].max() for part in parts)
    if len(parts) == 1:
        return [float(parts[0][:, 0].min()), float(south), float(parts[0][:, 0].max()), float(north)]
    eastern = [part for part in parts if part[:, 0].mean() > 0] or parts
    western = [part for part in parts if part[:, 0].mean() <= 0] or parts
    west, east = min(part[:, 0].min() for part in eastern), max(part[:, 0].max() for part in western)
    return [float(west), float(south), float(east), float(north)]


def _assets(record: SceneRecord, entry: dict[str, Any]) -> dict[str, Any]:
    files = record.uri.split("|")
    raster = [_raster_band(record, index) for index in range(len(record.bands))]
    eo = [_eo_band(record, index) for index in range(len(record.bands))]
    assets = {}
    for index, file in enumerate(files):
        bands = slice(index, index + 1) if len(files) == len(record.bands) else slice(None)
        name = "pixels" if len(files) == 1 else Path(file).stem
        assets[name] = {
            "href": file,
            "roles": ["data"],
            "type": _MEDIA_TYPES.get(Path(file).suffix.lower(), "application/octet-stream"),
            "raster:bands": raster[bands],
            "eo:bands": eo[bands],
        }
    if entry.get("archive"):
        assets["archive"] = {"href": entry["archive"], "roles": ["data", "archive"], "type": "application/x-ovdx"}
    return assets


def _raster_band(record: SceneRecord, index: int) -> dict[str, Any]:
    band = record.bands[index]
    facts: dict[str, Any] = {"data_type": _RASTER_DTYPES.get(record.dtype, record.dtype)}
    if record.nodata is not None:
        facts["nodata"] = record.nodata
    if record.bits_effective is not None and record.bits_declared:
        facts["bits_per_sample"] = record.bits_effective
    if (band.scale, band.offset) != (1.0, 0.0):
        facts.update(scale=band.scale, offset=band.offset)
    if record.gsd_m:
        facts["spatial_resolution"] = record.gsd_m
    return facts


def _eo_band(record: SceneRecord, index: int) -> dict[str, Any]:
    wavelength = band_wavelengths(record)[index]
    name = record.bands[index].name
    return {"name": name} if wavelength is None else {"name": name, "center_wavelength": wavelength}
