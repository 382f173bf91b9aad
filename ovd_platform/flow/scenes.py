"""Per-scene stages: tiles, proposals, embeddings, detections, archive. One partition is one scene.

Each function here reads what upstream stages stored, calls one library stage and stores what it returns.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ovd_platform.config import TilesConfig
from ovd_platform.errors import StaleError
from ovd_platform.flow import models
from ovd_platform.flow.radiometry import check_trained_with, settings_for
from ovd_platform.flow.stage import Built, Inputs, Stage, Task, current, version_of
from ovd_platform.flow.workspace import Workspace
from ovd_platform.raster.identity import is_local
from ovd_platform.records.mask import Mask
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.stores.home import content_hash, write_json
from ovd_platform.stores.proposal_files import load_proposals as load_proposals
from ovd_platform.stores.proposal_files import save_proposals

if TYPE_CHECKING:
    from ovd_platform.raster.radiometry import InstrumentProfile
    from ovd_platform.raster.scene import Scene
    from ovd_platform.records.detection import Detection
    from ovd_platform.stores.tables import Level


def open_registered(ws: Workspace, modality: str, scene_id: str, *, as_stored: bool = False) -> "Scene":
    """Open a scene's pixels: the original while it exists, else its archive.

    Args:
        ws: The workspace.
        modality: Of the scene.
        scene_id: The scene.
        as_stored: Source values; else the planes the workspace's radiometry settings ask for, which `load_profile` belongs to.
    """
    from ovd_platform.raster.presented import present
    from ovd_platform.raster.scene import open_scene

    entry = ws.scene_entry(modality, scene_id)
    scene = open_scene(_readable_uri(entry), scene_id=scene_id, version=entry["record"]["version"])
    return (
        scene
        if as_stored
        else present(scene, settings_for(ws, modality, entry["record"]["instrument"]), entry["record"]["uri"])
    )


def _readable_uri(entry: dict[str, Any]) -> str:
    """Where the pixels of a catalogue entry are read: the tiled copy if one was made, the original, else the archive."""
    uri = str(entry["record"]["uri"])
    gone = not all(not is_local(part) or Path(part).exists() for part in uri.split("|"))
    if entry["archive"] and gone:
        return str(entry["archive"])
    copy = entry.get("tiled_copy")
    return str(copy) if copy and Path(copy).exists() else uri


logger = logging.getLogger(__name__)


# --- tiles -------------------------------------------------------------------------------------------------------------------


def _tiles_inputs(ws: Workspace, modality: str, scene_id: str) -> Inputs:
    record = ws.scene(modality, scene_id)
    settings = settings_for(ws, modality, record.instrument).to_dict()
    return {"scene": record.version, "config": content_hash(ws.config.tiles.model_dump(), settings)}


def _build_tiles(task: Task) -> Built:
    from ovd_platform.flow.guard import worker

    ws, settings = task.ws, task.ws.config.tiles
    entry = ws.scene_entry(task.modality, task.partition)
    facts = worker(ws).call(
        "ovd_platform.tiles.scan_files:scan_to_folder",
        about=entry["record"]["uri"],
        progress=lambda done, total, what: logger.debug("%s: %d of %d", what, done, total),
        uri=_readable_uri(entry),
        scene_id=task.partition,
        version=entry["record"]["version"],
        folder=str(task.folder),
        origin=entry["record"]["uri"],
        settings={
            **_scan_settings(settings, entry["record"]["gsd_m"]),
            "radiometry": settings_for(ws, task.modality, entry["record"]["instrument"]).to_dict(),
        },
    )
    return Built(dict(facts))


def _scan_settings(settings: TilesConfig, gsd_m: float | None) -> dict[str, Any]:
    from ovd_platform.tiles.plan import halo_px_for

    values = settings.model_dump(include={"core_px", "min_valid_fraction", "min_edge_density", "cloud_brightness"})
    halo = halo_px_for(
        gsd_m,
        halo_px=settings.halo_px,
        halo_m=settings.halo_m,
        largest_object_m=settings.largest_object_m,
        core_px=settings.core_px,
    )
    return {**values, "halo_px": halo}


TILES = Stage("tiles", "2", _tiles_inputs, _build_tiles)


def load_tiles(ws: Workspace, modality: str, scene_id: str) -> list[TileRecord]:
    """Tiles of a scene, kept and screened out."""
    from ovd_platform.tiles import scan_files

    return scan_files.load_tiles(current(ws, modality, "tiles", scene_id).folder)


def load_profile(ws: Workspace, modality: str, scene_id: str) -> "InstrumentProfile":
    """Normalisation profile of a scene: exact percentiles of its own histogram."""
    from ovd_platform.tiles import scan_files

    return scan_files.load_profile(current(ws, modality, "tiles", scene_id).folder)


def instrument_profiles(ws: Workspace, modality: str, scene_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Profile of each instrument over several scenes, from their merged exact histograms; JSON-ready, by instrument."""
    from ovd_platform.raster.radiometry import merge_histograms, profile_from_histograms
    from ovd_platform.tiles import scan_files

    by_instrument: dict[str, list[str]] = {}
    for scene_id in scene_ids:
        by_instrument.setdefault(ws.scene(modality, scene_id).instrument, []).append(scene_id)
    found = {}
    for instrument, members in by_instrument.items():
        parts = [scan_files.load_histograms(current(ws, modality, "tiles", name).folder) for name in members]
        same = [part for part in parts if [one.kind for one in part] == [one.kind for one in parts[0]]]
        profile = profile_from_histograms(merge_histograms(same), instrument, source=f"{len(same)} scenes")
        found[instrument] = profile.to_dict()
    return found


# --- proposals ---------------------------------------------------------------------------------------------------------------


def proposals_stage(proposer: str | None = None) -> Stage:
    """The stage for one proposer version, or for the release's when None."""

    def inputs(ws: Workspace, modality: str, scene_id: str) -> Inputs:
        from ovd_platform.propose.chosen import chosen_version, entries_for

        settings = ws.config.propose
        named = chosen_version(entries_for(settings.proposers, modality), ws.home.root)
        return {
            "tiles": version_of(ws, modality, "tiles", scene_id),
            "proposer": proposer or models.released(ws, modality)["proposer"],
            "config": content_hash(settings.model_dump(), named),
        }

    return Stage("proposals", "2", inputs, _build_proposals)


def proposal_budget(ws: Workspace, record: SceneRecord) -> float:
    """Proposals kept per 10^6 px of a scene; a small scene keeps more of them."""
    settings = ws.config.propose
    return max(settings.max_per_mpx, settings.min_per_scene / record.area_mpx)


def _build_proposals(task: Task) -> Built:
    ws = task.ws
    proposer = models.proposer(ws, task.modality, task.inputs["proposer"])
    tiles = load_tiles(ws, task.modality, task.partition)
    profile = load_profile(ws, task.modality, task.partition)
    # CFAR rests on the statistics of source intensities.
    as_stored = task.inputs["proposer"].startswith("cfar")
    if not as_stored:
        card = models.card(ws, task.modality, "proposer", task.inputs["proposer"])
        check_trained_with(ws, task.modality, ws.scene(task.modality, task.partition).instrument, card, "this proposer")
    with open_registered(ws, task.modality, task.partition, as_stored=as_stored) as scene:
        area = scene.record.area_mpx
        cap = proposal_budget(ws, scene.record)
        found = proposer.propose(scene, tiles, profile, max_per_mpx=cap)
    save_proposals(task.folder, found)
    objectness = found.objectness_n
    return Built(
        {
            "proposals": len(found),
            "proposals_per_mpx": round(len(found) / area, 2),
            "objectness_median": float(np.median(objectness)) if len(found) else 0.0,
            "proposer": found.proposer,
        }
    )


# --- embeddings --------------------------------------------------------------------------------------------------------------


def embeddings_stage(proposer: str | None = None, encoder: str | None = None) -> Stage:
    """The stage for one pair of proposer and encoder versions, or for the release's where None."""
    proposals = proposals_stage(proposer)

    def inputs(ws: Workspace, modality: str, scene_id: str) -> Inputs:
        return {
            "scene": ws.scene(modality, scene_id).version,
            "proposals": proposals.key(ws, modality, scene_id),
            "encoder": encoder or models.released(ws, modality)["encoder"],
            **({"grid_px": str(ws.config.embed.grid_px)} if ws.config.embed.grid_px else {}),
        }

    return Stage("embeddings", "1", inputs, _build_embeddings)


def _build_embeddings(task: Task) -> Built:
    import pyarrow.parquet as pq

    from ovd_platform.stores.vector_rows import grid_cells, grid_rows, proposal_rows, tile_rows

    ws, modality, scene_id = task.ws, task.modality, task.partition
    folder = ws.home.stage(modality, "proposals") / scene_id / task.inputs["proposals"]
    if not folder.is_dir():
        raise StaleError(
            f"Cannot embed {scene_id}: expected its proposals, found none. Materialize {modality}/proposals first."
        )
    proposals = load_proposals(folder, scene_id)
    encoder = models.encoder(ws, modality, task.inputs["encoder"])
    card = models.encoder_card(ws, modality, task.inputs["encoder"])
    check_trained_with(ws, modality, ws.scene(modality, scene_id).instrument, card, "this encoder")
    tiles = load_tiles(ws, modality, scene_id)
    profile = load_profile(ws, modality, scene_id)
    record, version = ws.scene(modality, scene_id), task.inputs["encoder"]
    kept = [tile for tile in tiles if tile.kept]
    with open_registered(ws, modality, scene_id) as scene:
        visual, language = encoder.embed_boxes(scene, proposals.boxes_scene_xyxy, profile)
        tile_visual, tile_language = encoder.embed_tiles(scene, kept, profile)
        if ws.config.embed.grid_px:
            cells = grid_cells(kept, ws.config.embed.grid_px)
            grid = grid_rows(record, kept, cells, *encoder.embed_boxes(scene, cells.boxes_scene_xyxy, profile), version)
            pq.write_table(grid, task.folder / "grid.parquet", compression="zstd")
    rows = proposal_rows(record, proposals, tiles, visual, language, version)
    level = tile_rows(record, kept, tile_visual, tile_language, version)
    pq.write_table(rows, task.folder / "proposals.parquet", compression="zstd")
    pq.write_table(level, task.folder / "tiles.parquet", compression="zstd")
    return Built({"proposal_vectors": rows.num_rows, "tile_vectors": level.num_rows, "encoder": version})


def publish_embeddings(ws: Workspace, modality: str, scene_id: str) -> int:
    """Put the current embeddings of a scene into the search tables, replacing what was there in one commit a table.

    Returns:
        Rows in the tables for this scene.
    """
    import pyarrow.parquet as pq

    from ovd_platform.stores.tables import VectorTables
    from ovd_platform.stores.vector_rows import with_view

    output = current(ws, modality, "embeddings", scene_id)
    record = ws.scene(modality, scene_id)
    tables = VectorTables(ws.home.tables)
    encoder = output.inputs["encoder"]
    total = 0
    levels: tuple[tuple[Level, str], ...] = (
        ("tile", "tiles.parquet"), ("grid", "grid.parquet"), ("proposal", "proposals.parquet"),
    )  # fmt: skip
    for level, name in levels:
        if level == "grid" and not (output.folder / name).is_file():
            continue
        rows = with_view(pq.read_table(output.folder / name), record)
        tables.replace_scene(level, modality, encoder, scene_id, rows)
        total += rows.num_rows
    return total


def load_rows(folder: Path) -> Any:
    """Proposal rows (pyarrow table) of an embeddings output."""
    import pyarrow.parquet as pq

    return pq.read_table(folder / "proposals.parquet")


# --- detections --------------------------------------------------------------------------------------------------------------


def _detections_inputs(ws: Workspace, modality: str, scene_id: str) -> Inputs:
    release = models.released(ws, modality)
    return {
        "embeddings": version_of(ws, modality, "embeddings", scene_id),
        "vocabulary": version_of(ws, "shared", "vocabulary"),
        "calibration": release["calibration"],
        "release": release["version"],
        "masks": content_hash(ws.config.detect.model_dump()),
    }


def _build_detections(task: Task) -> Built:
    import pyarrow.parquet as pq

    from ovd_platform.detect.detect import detect_scene
    from ovd_platform.detect.export import (
        detections_to_coco,
        detections_to_table,
        write_geojson,
        write_geopackage,
        write_geoparquet,
    )

    ws, modality, scene_id = task.ws, task.modality, task.partition
    embedded = current(ws, modality, "embeddings", scene_id)
    record = ws.scene(modality, scene_id)
    vocabulary = models.vocabulary(ws)
    calibration, text_vectors = models.calibration(ws, modality, task.inputs["calibration"])
    rows = load_rows(embedded.folder)
    found = (
        detect_scene(rows, record, vocabulary, calibration, text_vectors, task.inputs["release"])
        if calibration is not None
        else []
    )
    pq.write_table(detections_to_table(found), task.folder / "detections.parquet")
    write_geojson(task.folder / "detections.geojson", found)
    write_geoparquet(task.folder / "detections.geoparquet", found)
    write_geopackage(task.folder / "detections.gpkg", found)
    masks = _masks(task, found, ws.home.stage(modality, "proposals") / scene_id / embedded.inputs["proposals"])
    write_json(task.folder / "detections.coco.json", detections_to_coco(found, [record], vocabulary, masks))
    accepted = [detection for detection in found if detection.accepted]
    counts: dict[str, int] = {}
    for detection in accepted:
        counts[detection.class_name] = counts.get(detection.class_name, 0) + 1
    facts = {"detections": len(found), "accepted": len(accepted), "classes": json.dumps(counts, sort_keys=True)}
    if calibration is not None and not calibration.reach.holds_for(rows):
        facts["precision"] = f"not measured: no judged scene is of {record.instrument}, or looks like this one"
    return Built(facts)


def _masks(task: Task, found: "list[Detection]", folder: Path) -> dict[str, Mask]:
    """Masks by proposal id: those of the proposers, and of SAM for accepted detections where a checkpoint is named."""
    ws, scene_id = task.ws, task.partition
    proposals = load_proposals(folder, scene_id)
    masks = {proposals.proposal_id(index): mask for index, mask in enumerate(proposals.masks or ())}
    accepted = [one for one in found if one.accepted]
    settings = ws.config.detect
    if settings.mask_checkpoint is None or not accepted:
        return masks
    from ovd_platform.propose.refine import masks_of_boxes
    from ovd_platform.propose.sam import load_sam

    path = Path(settings.mask_checkpoint)
    refiner = load_sam(settings.mask_model, path if path.is_absolute() else ws.home.root / path)
    boxes = np.array([one.box_scene_xyxy for one in accepted], np.float32)
    with open_registered(ws, task.modality, scene_id) as scene:
        made = masks_of_boxes(scene, boxes, load_profile(ws, task.modality, scene_id), refiner)
    return masks | {one.proposal_id: mask for one, mask in zip(accepted, made, strict=True)}


DETECTIONS = Stage("detections", "3", _detections_inputs, _build_detections)
