"""Answers of a release made a second time: from a grid moved by half a tile, and from archived pixels.

Belongs here: making them for a few held-out scenes. Does not belong here: comparing them with the first (`evaluate.stability`,
`evaluate.codec`).
"""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import OvdError
from ovd_platform.flow import models
from ovd_platform.flow.scenes import load_profile, load_proposals, load_rows, load_tiles, open_registered, proposal_budget
from ovd_platform.flow.stage import current_or_none
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.detection import Detection
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene

LOG = logging.getLogger(__name__)


def on_shifted_grid(
    ws: Workspace, modality: str, scenes: Sequence[SceneRecord], most: int
) -> tuple[dict[str, ProposalSet], dict[str, list[Detection]]]:
    """Proposals of the smallest held-out scenes from a grid moved by half a tile, and the detections made from them.

    Detections are absent where nothing is calibrated.
    """
    version = models.released(ws, modality)["proposer"]
    proposals, detections = {}, {}
    for record in _smallest(scenes, most):
        tiles = shifted_tiles(load_tiles(ws, modality, record.scene_id), record)
        try:
            with open_registered(ws, modality, record.scene_id) as scene:
                profile = load_profile(ws, modality, record.scene_id)
                made = models.proposer(ws, modality, version).propose(
                    scene, tiles, profile, max_per_mpx=proposal_budget(ws, record)
                )
                found = _detect(ws, modality, record, _embed(ws, modality, record, scene, made, tiles))
        except OvdError as error:
            LOG.warning("grid shift of %s is not measured: %s", record.scene_id, error)
            continue
        proposals[record.scene_id] = made
        if found is not None:
            detections[record.scene_id] = found
    return proposals, detections


def on_archived_pixels(
    ws: Workspace, modality: str, scenes: Sequence[SceneRecord], most: int
) -> tuple[dict[str, list[Detection]], dict[str, NDArray[np.float64]]]:
    """Detections of the same proposals on the archive of the smallest held-out scenes, and how far each vector drifted.

    Scenes without an archive, or whose original is gone, are left out: there is nothing to compare.
    """
    from ovd_platform.evaluate.codec import cosine_drift
    from ovd_platform.raster.scene import open_scene
    from ovd_platform.stores.vector_rows import vectors_of

    detections, drift = {}, {}
    live = [one for one in scenes if ws.scene_entry(modality, one.scene_id)["state"] != "aged_off"]
    for record in _smallest([one for one in live if _archive_of(ws, modality, one.scene_id)], most):
        archive, scene_id = _archive_of(ws, modality, record.scene_id), record.scene_id
        proposed = current_or_none(ws, modality, "proposals", scene_id)
        embedded = current_or_none(ws, modality, "embeddings", scene_id)
        if archive is None or proposed is None or embedded is None:
            continue
        made = load_proposals(proposed.folder, scene_id)
        try:
            with open_scene(str(archive), scene_id=scene_id, version=record.version) as scene:
                rows = _embed(ws, modality, record, scene, made, load_tiles(ws, modality, scene_id))
                found = _detect(ws, modality, record, rows)
        except OvdError as error:
            LOG.warning("the archive of %s is not compared: %s", scene_id, error)
            continue
        if found is not None:
            detections[scene_id] = found
            drift[scene_id] = cosine_drift(vectors_of(load_rows(embedded.folder), "visual"), vectors_of(rows, "visual"))
    return detections, drift


def _archive_of(ws: Workspace, modality: str, scene_id: str) -> Path | None:
    output = current_or_none(ws, modality, "archive", scene_id)
    path = None if output is None else output.folder / f"{scene_id}.ovdx"
    return path if path is not None and path.exists() else None


def _smallest(scenes: Sequence[SceneRecord], most: int) -> list[SceneRecord]:
    return sorted(scenes, key=lambda record: (record.area_mpx, record.scene_id))[:most]


def _embed(
    ws: Workspace, modality: str, record: SceneRecord, scene: "Scene", made: ProposalSet, tiles: Sequence[TileRecord]
) -> Any:
    """Rows of proposals (pyarrow table) as the release would store them, from the pixels of an open scene."""
    from ovd_platform.stores.vector_rows import proposal_rows

    version = models.released(ws, modality)["encoder"]
    profile = load_profile(ws, modality, record.scene_id)
    visual, language = models.encoder(ws, modality, version).embed_boxes(scene, made.boxes_scene_xyxy, profile)
    return proposal_rows(record, made, list(tiles), visual, language, version)


def _detect(ws: Workspace, modality: str, record: SceneRecord, rows: Any) -> list[Detection] | None:
    """Detections of the release from other rows than it stored; None where nothing is calibrated."""
    from ovd_platform.detect.detect import detect_scene

    release = models.released(ws, modality)
    calibration, text_vectors = models.calibration(ws, modality, release["calibration"])
    if calibration is None:
        return None
    answers = detect_scene(rows, record, models.vocabulary(ws), calibration, text_vectors, release["version"])
    return [one for one in answers if one.class_name]


def shifted_tiles(tiles: Sequence[TileRecord], record: SceneRecord) -> list[TileRecord]:
    """The same grid moved by half a core to the left and up; each cell is kept if a cell it overlaps is."""
    core = max(tile.core.width_px for tile in tiles)
    starts_x, starts_y = (_starts(size, core) for size in (record.width_px, record.height_px))
    moved = []
    for row, (top, bottom) in enumerate(starts_y):
        for col, (left, right) in enumerate(starts_x):
            window = Window(left, top, right - left, bottom - top)
            under = [tile for tile in tiles if _overlap(tile.core, window)]
            base = next((tile for tile in under if tile.kept), under[0])
            tile_id = f"{record.scene_id}/shifted/{row}/{col}"
            moved.append(replace(base, tile_id=tile_id, row=row, col=col, core=window, footprint_lonlat=(), geohash=""))
    return moved


def _starts(size_px: int, core_px: int) -> list[tuple[int, int]]:
    edges = sorted({0, size_px, *range(core_px // 2, size_px, core_px)})
    return list(itertools.pairwise(edges))


def _overlap(a: Window, b: Window) -> bool:
    return a.col_px < b.right_px and b.col_px < a.right_px and a.row_px < b.bottom_px and b.row_px < a.bottom_px
