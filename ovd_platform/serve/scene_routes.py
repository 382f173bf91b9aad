"""Addresses of scenes: the list, one scene, its pictures, the map.

Belongs here: parameters, caching headers. Does not belong here: making pictures (`pictures`, `map_tiles`).
"""

from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Path, Query, Response

from ovd_platform.errors import InputError
from ovd_platform.flow import models
from ovd_platform.flow.saved_classes import saved_classes
from ovd_platform.flow.stage import current_or_none
from ovd_platform.flow.tables import vector_tables
from ovd_platform.records.scene import MODALITIES
from ovd_platform.serve.map_tiles import map_tile, meets, scene_bounds
from ovd_platform.serve.open_scenes import Entry
from ovd_platform.serve.pictures import TILE_PX, crop_picture, encoded, max_zoom, overview_picture, scene_tile
from ovd_platform.serve.questions import Modality
from ovd_platform.serve.state import Picture, Serving, serving
from ovd_platform.stores.vector_rows import utc_text

router = APIRouter(prefix="/api", tags=["scenes"])

Held = Annotated[Serving, Depends(serving)]
SceneId = Annotated[str, Path(max_length=63, pattern=r"^[a-zA-Z0-9_.-]+$")]
Version = Annotated[str, Query(alias="v", max_length=80, description="Scene version: lets a browser keep the picture.")]
_EMPTY = encoded(np.zeros((TILE_PX, TILE_PX, 4), dtype=np.uint8))
_PICTURES: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}, "image/png": {}}}}


@router.get("/status")
def status(held: Held) -> dict[str, Any]:
    """What the workspace holds: scenes, instruments, times, models; whether words can be asked."""
    facts: dict[str, Any] = {
        "workspace": held.ws.home.root.name,
        "rendered": held.ws.config.rendered,
        "warm": held.warm.is_set(),
        "modalities": {},
    }
    for modality in MODALITIES:
        entries = held.scenes.entries(modality)
        if entries:
            facts["modalities"][modality] = _modality(held, modality, entries)
    return facts


def _modality(held: Serving, modality: str, entries: list[Entry]) -> dict[str, Any]:
    times = sorted(entry.record.view.acquired_utc for entry in entries if entry.record.view.acquired_utc)
    release = current_or_none(held.ws, modality, "release")
    facts: dict[str, Any] = {
        "scenes": len(entries),
        "rendered_scenes": sum(entry.record.rendered for entry in entries),
        "archived": sum(entry.state != "live" for entry in entries),
        "instruments": sorted({entry.record.instrument for entry in entries}),
        "from_utc": times[0] if times else None,
        "to_utc": times[-1] if times else None,
        "release": release.version if release else None,
        "encoder": None,
        "words": False,
        "objects": 0,
        "classes": [one.name for one in saved_classes(held.ws, modality)],
    }
    if release is not None:
        version, tables = models.released(held.ws, modality)["encoder"], vector_tables(held.ws)
        facts["encoder"] = version
        if tables.has("proposal", modality, version):
            facts["objects"] = tables.count("proposal", modality, version)
            facts["words"] = "language" in tables.vector_columns("proposal", modality, version)
    return facts


@router.get("/scenes")
def scenes(
    held: Held,
    modality: Modality | None = None,
    instrument: Annotated[list[str] | None, Query()] = None,
    from_utc: Annotated[str, Query(alias="from", max_length=40)] = "",
    to_utc: Annotated[str, Query(alias="to", max_length=40)] = "",
    bbox: Annotated[str, Query(max_length=120, description="west,south,east,north in degrees.")] = "",
    state: str | None = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
) -> dict[str, Any]:
    """Registered scenes with their footprints, filtered."""
    box = _bbox(bbox)
    earliest, latest = utc_text(from_utc) if from_utc else "", utc_text(to_utc, end_of_day=True) if to_utc else ""
    found = []
    for entry in (one for name in ([modality] if modality else MODALITIES) for one in held.scenes.entries(name)):
        record = entry.record
        taken = utc_text(record.view.acquired_utc) if record.view.acquired_utc else ""
        ground = scene_bounds(record)
        if (
            (not instrument or record.instrument in instrument)
            and (not state or entry.state == state)
            and (not earliest or (taken and taken >= earliest))
            and (not latest or (taken and taken <= latest))
            and (box is None or (ground is not None and meets(ground, box)))
        ):
            found.append(entry)
    return {"total": len(found), "scenes": [scene_json(entry) for entry in found[offset : offset + limit]]}


def scene_json(entry: Entry) -> dict[str, Any]:
    """What the page needs of a scene."""
    record = entry.record
    return {
        "id": record.scene_id,
        "modality": record.modality,
        "version": record.version,
        "state": entry.state,
        "rendered": record.rendered,
        "instrument": record.instrument,
        "width_px": record.width_px,
        "height_px": record.height_px,
        "bands": [band.name for band in record.bands],
        "dtype": record.dtype,
        "bits": record.bits_effective,
        "gsd_m": record.gsd_m,
        "acquired_utc": record.view.acquired_utc,
        "georeference": record.georeference,
        "position_error_m": record.position_error_m,
        "footprint_lonlat": record.footprint_lonlat,
        "bounds_lonlat": scene_bounds(record),
        "max_zoom": max_zoom(record),
        "tile_px": TILE_PX,
    }


@router.get("/scenes/{scene_id}")
def scene(held: Held, scene_id: SceneId) -> dict[str, Any]:
    """One scene: size, bands, view geometry, footprint, its pyramid of tiles."""
    entry = held.scenes.entry(scene_id)
    return {**scene_json(entry), "view": asdict(entry.record.view), "registered_utc": entry.registered_utc}


@router.get("/scenes/{scene_id}/tiles/{z}/{x}/{y}", response_class=Response, responses=_PICTURES)
def tile(held: Held, scene_id: SceneId, z: int, x: int, y: int, v: Version = "") -> Response:
    """A tile of the deep zoom in pixel space: zoom 0 is the whole scene in 256 px, `max_zoom` shows every pixel."""

    def make() -> Picture:
        with held.scenes.borrow(scene_id) as shown:
            return Picture(*encoded(scene_tile(shown, held.pyramids, z, x, y)))

    entry = held.scenes.entry(scene_id)
    return answer(held.pictures.get(("tile", scene_id, entry.stamp_ns, z, x, y), make), entry, v)


@router.get("/scenes/{scene_id}/map/{z}/{x}/{y}", response_class=Response, responses=_PICTURES)
def scene_map(held: Held, scene_id: SceneId, z: int, x: int, y: int, v: Version = "") -> Response:
    """A Web Mercator tile of one scene; transparent where it is not, or where it has no place on Earth."""
    entry = held.scenes.entry(scene_id)
    return answer(_map_picture(held, ("map", scene_id, entry.stamp_ns, z, x, y), [entry], z, x, y), entry, v)


@router.get("/map/{modality}/{z}/{x}/{y}", response_class=Response, responses=_PICTURES)
def mosaic(held: Held, modality: Modality, z: int, x: int, y: int) -> Response:
    """A Web Mercator tile of all scenes of a modality, the newest on top."""
    entries = sorted(held.scenes.entries(modality), key=lambda one: one.record.view.acquired_utc or "", reverse=True)
    stamp = hash(tuple(entry.stamp_ns for entry in entries))
    picture = _map_picture(held, ("mosaic", modality, stamp, z, x, y), entries, z, x, y)
    return Response(picture.data, media_type=picture.media_type, headers={"Cache-Control": "private, max-age=60"})


def _map_picture(held: Serving, key: tuple[object, ...], entries: list[Entry], z: int, x: int, y: int) -> Picture:
    def make() -> Picture:
        made = map_tile(held.scenes, held.pyramids, entries, z, x, y)
        return Picture(*(_EMPTY if made is None else encoded(made)))

    return held.pictures.get(key, make)


@router.get("/scenes/{scene_id}/thumbnail", response_class=Response, responses=_PICTURES)
def thumbnail(held: Held, scene_id: SceneId, size: Annotated[int, Query(ge=16, le=1024)] = 256, v: Version = "") -> Response:
    """The whole scene, its longer side at most `size` pixels."""

    def make() -> Picture:
        with held.scenes.borrow(scene_id) as shown:
            return Picture(*encoded(overview_picture(shown, held.pyramids, size)))

    entry = held.scenes.entry(scene_id)
    return answer(held.pictures.get(("thumbnail", scene_id, entry.stamp_ns, size), make), entry, v)


@router.get("/scenes/{scene_id}/crop", response_class=Response, responses=_PICTURES)
def crop(
    held: Held,
    scene_id: SceneId,
    box: Annotated[str, Query(max_length=200, description="x0,y0,x1,y1 in scene pixels.")],
    size: Annotated[int, Query(ge=16, le=1024)] = 192,
    context: Annotated[float, Query(ge=1, le=40)] = 3.0,
    outline: bool = True,
    v: Version = "",
) -> Response:
    """A box with its surroundings, with the instrument's stretch."""
    corners = _numbers(box, "x0,y0,x1,y1 in scene pixels")

    def make() -> Picture:
        with held.scenes.borrow(scene_id) as shown:
            return Picture(*encoded(crop_picture(shown, held.pyramids, corners, size, context=context, outline=outline)))

    entry = held.scenes.entry(scene_id)
    return answer(held.pictures.get(("crop", scene_id, entry.stamp_ns, corners, size, context, outline), make), entry, v)


def answer(picture: Picture, entry: Entry, version: str) -> Response:
    """A picture as an answer; a browser keeps it for good where the address names the scene's version."""
    lasting = version == entry.record.version
    headers = {"Cache-Control": "private, max-age=31536000, immutable" if lasting else "private, max-age=60"}
    return Response(picture.data, media_type=picture.media_type, headers=headers)


def _bbox(text: str) -> tuple[float, float, float, float] | None:
    return _numbers(text, "west,south,east,north in degrees") if text else None


def _numbers(text: str, what: str) -> tuple[float, float, float, float]:
    try:
        a, b, c, d = (float(value) for value in text.split(","))
    except ValueError:
        raise InputError(f"Cannot use {text[:80]!r}: expected {what}, got something else. Give four numbers.") from None
    return a, b, c, d
