"""The rendered world on disk.

Belongs here: which scenes, documents and labels a preset has, and writing them; pixels are `scene`'s and pages
`documents`'.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from ovd_platform.demo.captions import vocabulary
from ovd_platform.demo.documents import write_documents
from ovd_platform.demo.geotiff import GroundFrame, write_geotiff
from ovd_platform.demo.scene import HELD_OUT_CLASS, RenderedScene, SceneRecipe, Theme, TruthObject, draw_light, render
from ovd_platform.demo.spectra import instrument
from ovd_platform.errors import InputError

Progress = Callable[[int, int, str], None]

# Invented blocks: UTM zone (EPSG) and corner; every two lie more than 5 km apart.
_REGIONS = (
    (32633, 412_000.0, 4_628_000.0),
    (32740, 318_000.0, 7_642_000.0),
    (32618, 585_000.0, 4_390_000.0),
    (32651, 296_000.0, 1_583_000.0),
)
_BLOCK_M = 9_000.0


@dataclass(frozen=True, slots=True)
class WorldManifest:
    """What was written; also ``world.json``.

    Attributes:
        directory: Root.
        seed: Of the world.
        preset: Its size.
        optical: Optical scenes, relative paths.
        sar: SAR scenes, relative paths.
        documents: PDFs, relative paths.
        labels: Label files, relative paths.
        held_out_class: The class that is in no label.
        rendered: Always True.
    """

    directory: str
    seed: int
    preset: str
    optical: tuple[str, ...]
    sar: tuple[str, ...]
    documents: tuple[str, ...]
    labels: tuple[str, ...]
    held_out_class: str = HELD_OUT_CLASS
    rendered: bool = True


@dataclass(frozen=True, slots=True)
class _Entry:
    """One scene of a preset: its recipe, where and when it is, whether it is labelled."""

    scene_id: str
    folder: str
    recipe: SceneRecipe
    block: int
    acquired_utc: str
    labelled: bool
    collar: bool = False


_OPTICAL: dict[str, tuple[tuple[str, Theme], ...]] = {  # instrument, theme, domes; in order
    "tiny": (
        ("pan-1x12", "port"), ("pan-1x12", "airfield"), ("pan-1x12", "town"), ("pan-1x12", "coast"), ("pan-1x12", "airfield"),
        ("ms-4x12", "industry"), ("ms-4x12", "port"), ("ms-8x12", "coast"), ("rgb-3x8", "airfield"), ("pan-1x12", "country"),
    ),
}  # fmt: skip
_OPTICAL["small"] = _OPTICAL["tiny"] * 3
_SIZES = {"tiny": (1024, 768, 12), "small": (2048, 1024, 24)}
_SAR: tuple[tuple[str, Theme], ...] = (
    ("sar-grd-2", "port"),
    ("sar-grd-2", "coast"),
    ("sar-grd-2", "industry"),
    ("sar-slc-1", "port"),
)


def build_world(
    directory: Path, *, seed: int, preset: Literal["tiny", "small"] = "tiny", progress: Progress | None = None
) -> WorldManifest:
    """Write a rendered world: scenes, SAR, documents, labels, truth, vocabulary.

    The same seed and preset give the same bytes. Layout: ``imagery/optical/*.tif`` and ``imagery/sar/*.tif`` with ``.ovd.json``
    beside each, ``documents/*.pdf``, ``labels/*.geojson`` (about two thirds of the scenes, never the held-out class),
    ``truth/<scene_id>.json``, ``truth/documents.json``, ``vocabulary.yaml``, ``world.json``.

    Args:
        directory: Root; made if absent.
        seed: Decides everything.
        preset: ``tiny`` (12 optical scenes of 1024 px, 4 SAR of 768 px, 12 documents) or ``small`` (three times that).
        progress: Called with (done, total, what).

    Returns:
        What was written.

    Raises:
        InputError: If there is no such preset.
    """
    if preset not in _SIZES:
        raise InputError(f"Cannot build a world of preset {preset!r}: expected tiny or small. Choose one of them.")
    directory = Path(directory)
    for folder in ("imagery/optical", "imagery/sar", "documents", "labels", "truth"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    entries = _entries(seed, preset)
    total = len(entries) + 1
    for index, entry in enumerate(entries):
        if progress:
            progress(index, total, f"render {entry.scene_id}")
        _write_scene(directory, entry)
    if progress:
        progress(total - 1, total, "write documents")
    figures = write_documents(directory / "documents", seed, _SIZES[preset][2])
    _dump(directory / "truth" / "documents.json", {"rendered": True, "figures": figures})
    (directory / "vocabulary.yaml").write_text(yaml.safe_dump(vocabulary(), sort_keys=False), encoding="utf-8")
    manifest = _manifest(directory, seed, preset, entries)
    _dump(directory / "world.json", asdict(manifest) | {"directory": "."})
    if progress:
        progress(total, total, "world ready")
    return manifest


def _entries(seed: int, preset: str) -> list[_Entry]:
    rng = np.random.default_rng([seed, 41])
    size, sar_size, _ = _SIZES[preset]
    entries: list[_Entry] = []
    for index, (device, theme) in enumerate(_OPTICAL[preset]):
        domes = 0 if index % 5 == 4 else int(rng.integers(4, 7))
        recipe = _recipe(seed * 1009 + index, device, size, theme, domes, int(index % 2 == 0) * 2)
        name = f"{device.split('-')[0]}_{theme}_{index + 1:02d}"
        entries.append(_Entry(name, "optical", recipe, index, _date(rng), index % 3 != 2, collar=index == 9))
    for index, first in enumerate((0, 1)):  # later visits of two places: another sun, other ships and aircraft
        old = entries[first]
        visit = replace(old.recipe, visit_seed=seed * 1009 + 700 + index, light=None)
        visit = replace(visit, light=draw_light(instrument(visit.instrument), np.random.default_rng([seed, 42, index])))
        entries.append(
            replace(old, scene_id=f"{old.scene_id}_revisit", recipe=visit, acquired_utc=_date(rng, 2026), labelled=bool(index))
        )
    for index, (device, theme) in enumerate(_SAR * (1 if preset == "tiny" else 2)):
        recipe = _recipe(seed * 1009 + 300 + index, device, sar_size, theme, 3 if index < 2 else 0, 1)
        name = f"{'slc' if 'slc' in device else 'grd'}_{theme}_{index + 1:02d}"
        entries.append(_Entry(name, "sar", recipe, 40 + index, _date(rng), index % 4 != 2))
    return entries


def _recipe(place: int, device: str, size: int, theme: Theme, domes: int, odd: int) -> SceneRecipe:
    return SceneRecipe(
        place, place + 500_000, device, size, 0.8 if device != "rgb-3x8" and "sar" not in device else None, theme, domes, odd
    )  # type: ignore[arg-type]


def _date(rng: np.random.Generator, year: int | None = None) -> str:
    year = year or int(rng.integers(2024, 2026))
    month, day, hour, minute = (int(rng.integers(*ends)) for ends in ((1, 13), (1, 28), (9, 12), (0, 60)))
    return f"{year}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:00+00:00"


def _frame(entry: _Entry, gsd_m: float) -> GroundFrame:
    epsg, east, north = _REGIONS[entry.block % len(_REGIONS)]
    step = entry.block // len(_REGIONS)
    return GroundFrame(epsg, east + _BLOCK_M * (step % 5), north + _BLOCK_M * (step // 5), gsd_m)


def _write_scene(directory: Path, entry: _Entry) -> None:
    scene = render(entry.recipe)
    frame = _frame(entry, scene.meta["gsd_m"])
    pixels = scene.pixels_chw
    truth = scene.truth
    if entry.collar:
        pixels, truth = _cut_collar(pixels, truth)
    meta = scene.meta | {"view": scene.meta["view"] | {"acquired_utc": entry.acquired_utc}}
    path = directory / "imagery" / entry.folder / f"{entry.scene_id}.tif"
    write_geotiff(path, pixels, frame, meta)
    _dump(path.with_suffix(".ovd.json"), meta)
    _dump(directory / "truth" / f"{entry.scene_id}.json", _truth(entry, scene, truth))
    if entry.labelled:
        _dump(directory / "labels" / f"{entry.scene_id}.geojson", _labels(path.name, truth, frame))


def _cut_collar(pixels: Any, truth: list[TruthObject]) -> tuple[Any, list[TruthObject]]:
    """Blank a slanted edge with nodata, as at the border of a strip; objects there are gone."""
    height, width = pixels.shape[1:]
    y, x = np.mgrid[0:height, 0:width]
    blank = x + 0.12 * y > width * 0.95
    pixels = np.where(blank, pixels.dtype.type(0), pixels)
    kept = [item for item in truth if max(cx + 0.12 * cy for cx, cy in item.corners_scene_xy) < width * 0.95]
    return pixels, kept


def _truth(entry: _Entry, scene: RenderedScene, truth: list[TruthObject]) -> dict[str, Any]:
    objects = [asdict(item) | {"labelled": item.labelled and entry.labelled} for item in truth]
    return {
        "scene_id": entry.scene_id,
        "theme": scene.site.theme,
        "instrument": scene.meta["instrument"],
        "labelled": entry.labelled,
        "place": entry.block,
        "rendered": True,
        "objects": objects,
    }


def _labels(file_name: str, truth: list[TruthObject], frame: GroundFrame) -> dict[str, Any]:
    kept = [item for item in truth if item.labelled]
    rings = frame.to_lonlat([item.corners_scene_xy for item in kept])
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {
                "scene": file_name,
                "class": item.class_name,
                "corners_px": item.corners_scene_xy,
                "oriented_px": item.oriented_scene_xy,
            },
        }
        for item, ring in zip(kept, rings, strict=True)
    ]
    return {"type": "FeatureCollection", "features": features, "rendered": True}


def _manifest(directory: Path, seed: int, preset: str, entries: list[_Entry]) -> WorldManifest:
    def paths(folder: str) -> tuple[str, ...]:
        return tuple(f"imagery/{folder}/{entry.scene_id}.tif" for entry in entries if entry.folder == folder)

    documents = tuple(sorted(f"documents/{path.name}" for path in (directory / "documents").glob("*.pdf")))
    labels = tuple(f"labels/{entry.scene_id}.geojson" for entry in entries if entry.labelled)
    return WorldManifest(str(directory), seed, preset, paths("optical"), paths("sar"), documents, labels)


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
