"""What an evaluation reads from a workspace beside labels and detections.

Belongs here: gathering scores, examples, filtered searches, a shifted grid, costs and tiles for the held-out scenes. Does not
belong here: judging any of it (`evaluate`), or the stage itself (`report`).
"""

import itertools
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ovd_platform.errors import OvdError
from ovd_platform.flow import models
from ovd_platform.flow.labels import load_split
from ovd_platform.flow.scenes import load_profile, load_rows, load_tiles, open_registered
from ovd_platform.flow.stage import current_or_none
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.prompt import Prompt, SearchFilter
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window

if TYPE_CHECKING:
    from ovd_platform.evaluate.inputs import ClassScoreTable, Costs, FewShotData, FilteredSearch
    from ovd_platform.evaluate.scene_boxes import Box

LOG = logging.getLogger(__name__)
MOST_SUPPORTS = 400
FILTERED_QUERIES = 5
FILTERED_TOP = 10
_COSTED = ("tiles", "proposals", "embeddings", "detections")


def tile_boxes(tiles: Sequence[TileRecord]) -> "tuple[list[Box], list[Box]]":
    """Cores that had to be looked at, and cores without a valid pixel, in scene pixels."""
    looked = [_box(tile.core) for tile in tiles if tile.kept]
    return looked, [_box(tile.core) for tile in tiles if tile.valid_fraction == 0.0]


def _box(core: Window) -> "Box":
    left, top, right, bottom = core.xyxy
    return (float(left), float(top), float(right), float(bottom))


def training_scenes(ws: Workspace, modality: str) -> tuple[SceneRecord, ...]:
    """Scenes anything was trained or calibrated on."""
    split = load_split(ws, modality)
    seen = {*split.train, *split.calibration}
    return tuple(record for record in ws.scenes(modality) if record.scene_id in seen)


def class_scores(
    ws: Workspace, modality: str, scene_ids: Sequence[str], calibration_version: str
) -> "dict[str, ClassScoreTable]":
    """Every proposal of the scenes scored for every class; empty where nothing is calibrated or embedded."""
    from ovd_platform.detect.detect import score_rows
    from ovd_platform.evaluate.inputs import ClassScoreTable
    from ovd_platform.stores.vector_rows import boxes_of

    calibration, text_vectors = models.calibration(ws, modality, calibration_version)
    if calibration is None:
        return {}
    vocabulary = models.vocabulary(ws)
    tables = {}
    for scene_id in scene_ids:
        output = current_or_none(ws, modality, "embeddings", scene_id)
        if output is None:
            return {}
        rows = load_rows(output.folder)
        scores = score_rows(rows, vocabulary, calibration, text_vectors)
        thresholds = np.array([np.inf if entry.threshold is None else entry.threshold for entry in scores.entries])
        abstains = np.isnan(scores.probability_nk)
        tables[scene_id] = ClassScoreTable(
            tuple(vocabulary.names),
            boxes_of(rows).astype(np.float64),
            scores.score_nk.astype(np.float64),
            np.where(abstains, scores.similarity_nk - 2.0, scores.probability_nk),
            scores.score_nk >= thresholds,
        )
    return tables


def asked_precision(ws: Workspace, modality: str, calibration_version: str) -> dict[str, float]:
    """Precision the thresholds aim at, for classes that have one."""
    calibration, _ = models.calibration(ws, modality, calibration_version)
    if calibration is None:
        return {}
    return {entry.name: calibration.target_precision for entry in calibration.classes if entry.threshold is not None}


def few_shot_data(
    ws: Workspace, modality: str, truth: Mapping[str, Sequence[Annotation]], test: Sequence[str]
) -> "FewShotData | None":
    """Examples are labelled proposals of scenes that are not evaluated; None where there are none."""
    from ovd_platform.evaluate.inputs import FewShotData
    from ovd_platform.stores.vector_rows import boxes_of, vectors_of

    supports: dict[str, list[Any]] = {}
    ids: dict[str, list[str]] = {}
    background: list[Any] = []
    for scene_id in sorted(set(truth) - set(test)):
        output = current_or_none(ws, modality, "embeddings", scene_id)
        if output is None:
            continue
        rows = load_rows(output.folder)
        vectors_nd, keys = vectors_of(rows, "visual"), rows["key"].to_pylist()
        background.append(vectors_nd)
        for n, name in _labelled(boxes_of(rows), truth[scene_id]):
            supports.setdefault(name, []).append(vectors_nd[n])
            ids.setdefault(name, []).append(keys[n])
    searched = [current_or_none(ws, modality, "embeddings", scene_id) for scene_id in test]
    tables = [(scene_id, load_rows(output.folder)) for scene_id, output in zip(test, searched, strict=True) if output]
    if not supports or not tables:
        return None
    return FewShotData(
        {name: np.stack(rows[:MOST_SUPPORTS]) for name, rows in supports.items()},
        {name: rows[:MOST_SUPPORTS] for name, rows in ids.items()},
        np.concatenate(background).mean(axis=0),
        np.concatenate([vectors_of(rows, "visual") for _, rows in tables]),
        np.concatenate([boxes_of(rows) for _, rows in tables]).astype(np.float64),
        [scene_id for scene_id, rows in tables for _ in range(rows.num_rows)],
    )


def _labelled(boxes_n4: Any, labels: Sequence[Annotation]) -> list[tuple[int, str]]:
    """The best proposal of each named object, if it overlaps it by half."""
    from ovd_platform.evaluate.overlaps import pair_overlap, touching_pairs

    named = [label for label in labels if label.class_name and not label.difficult]
    truth = np.asarray([label.box_scene_xyxy for label in named], dtype=np.float64).reshape(-1, 4)
    boxes = np.asarray(boxes_n4, dtype=np.float64)
    k, n = touching_pairs(truth, boxes)
    iou, _ = pair_overlap(truth[k], boxes[n])
    best: dict[int, tuple[float, int]] = {}
    for object_index, box_index, overlap in zip(k.tolist(), n.tolist(), iou.tolist(), strict=True):
        if overlap >= 0.5 and overlap > best.get(object_index, (0.0, -1))[0]:
            best[object_index] = (overlap, box_index)
    return [(box_index, named[object_index].class_name) for object_index, (_, box_index) in sorted(best.items())]


def filtered_searches(
    ws: Workspace, modality: str, few_shot: "FewShotData | None", test: Sequence[str]
) -> "list[FilteredSearch]":
    """Searches by example under filters, by the index alone and exactly; empty without examples or an index."""
    if few_shot is None:
        return []
    from ovd_platform.evaluate.inputs import FilteredSearch
    from ovd_platform.search.filters import proposal_where
    from ovd_platform.search.query import search_objects
    from ovd_platform.stores.tables import VectorTables

    version = models.released(ws, modality)["encoder"]
    tables = VectorTables(ws.home.tables)
    filters = {"none": SearchFilter(), "held-out scenes": SearchFilter(scene_ids=tuple(test))}
    filters["one scene"] = SearchFilter(scene_ids=(test[0],))
    found = []
    try:
        total = tables.count("proposal", modality, version)
        for name, where in filters.items():
            passing = tables.count("proposal", modality, version, proposal_where(where))
            for class_name in sorted(few_shot.supports)[:FILTERED_QUERIES]:
                prompt = Prompt(chip_vectors_nd=few_shot.supports[class_name][:5], model_version=version, filter=where)
                answers = [
                    search_objects(tables, prompt, None, modality=modality, top=FILTERED_TOP, exact_rows=limit)
                    for limit in (0, total)
                ]
                keys = [tuple(f"{hit.scene_id}/{hit.proposal_id}" for hit in hits) for hits in answers]
                found.append(FilteredSearch(f"5 examples of {class_name}", name, passing / max(1, total), keys[0], keys[1]))
    except OvdError as error:
        LOG.warning("filtered searches are not measured: %s", error)
    return found


def shifted_proposals(ws: Workspace, modality: str, scenes: Sequence[SceneRecord], most: int) -> dict[str, ProposalSet]:
    """Proposals of the smallest held-out scenes from a grid moved by half a tile."""
    version = models.released(ws, modality)["proposer"]
    found = {}
    for record in sorted(scenes, key=lambda record: (record.area_mpx, record.scene_id))[:most]:
        settings = ws.config.propose
        cap = max(settings.max_per_mpx, settings.min_per_scene / record.area_mpx)
        tiles = shifted_tiles(load_tiles(ws, modality, record.scene_id), record)
        try:
            with open_registered(ws, modality, record.scene_id) as scene:
                profile = load_profile(ws, modality, record.scene_id)
                found[record.scene_id] = models.proposer(ws, modality, version).propose(scene, tiles, profile, max_per_mpx=cap)
        except OvdError as error:
            LOG.warning("grid shift of %s is not measured: %s", record.scene_id, error)
    return found


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


def costs(ws: Workspace, modality: str, scene_ids: Sequence[str]) -> "Costs | None":
    """Seconds the stages of the held-out scenes took, as their runs recorded them; None where one did not."""
    from ovd_platform.evaluate.inputs import Costs

    seconds = dict.fromkeys(_COSTED, 0.0)
    for stage in _COSTED:
        for scene_id in scene_ids:
            output = current_or_none(ws, modality, stage, scene_id)
            if output is None or "compute_s" not in output.metadata:
                return None
            seconds[stage] += float(output.metadata["compute_s"])
    machine = f"{platform.machine()}, {os.cpu_count()} processors"
    return Costs(seconds, ws.config.evaluation.eur_per_hour, machine)
