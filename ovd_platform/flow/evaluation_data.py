"""What an evaluation reads from a workspace beside labels and detections.

Belongs here: gathering scores, examples, filtered searches, costs, ground and tiles for the held-out scenes. Does not belong here:
answers made anew (`second_answers`), judging any of it (`evaluate`), or the stage itself (`report`).
"""

import logging
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ovd_platform.errors import OvdError
from ovd_platform.flow import models
from ovd_platform.flow.labels import load_split
from ovd_platform.flow.masks import load_mask, mask_files
from ovd_platform.flow.scenes import load_rows, load_tiles
from ovd_platform.flow.stage import current_or_none
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.prompt import Prompt, SearchFilter
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window

if TYPE_CHECKING:
    from ovd_platform.detect.vocabulary import Vocabulary
    from ovd_platform.evaluate.inputs import ClassScoreTable, Costs, FewShotData, FilteredSearch
    from ovd_platform.evaluate.scene_boxes import Box

LOG = logging.getLogger(__name__)
MOST_SUPPORTS = 400
FILTERED_QUERIES = 5
FILTERED_TOP = 10
_COSTED = ("tiles", "proposals", "embeddings", "detections")


def ground(ws: Workspace, modality: str, scene_ids: Sequence[str]) -> dict[str, Any]:
    """What is to be judged of scenes, as arguments of an `EvaluationInput`: valid share, blank ground, masks, tiles looked at."""
    tiles = {scene_id: load_tiles(ws, modality, scene_id) for scene_id in scene_ids}
    cores = {scene_id: tile_boxes(rows) for scene_id, rows in tiles.items()}
    files = mask_files(ws)
    return {
        "valid_fraction": {scene_id: _valid_fraction(rows) for scene_id, rows in tiles.items()},
        "blank_boxes": {scene_id: blank for scene_id, (_, blank) in cores.items() if blank},
        "masks": {one: load_mask(files[one], ws.scene(modality, one)) for one in scene_ids if one in files},
        "tiles": {scene_id: looked for scene_id, (looked, _) in cores.items()},
    }


def _valid_fraction(tiles: Sequence[TileRecord]) -> float:
    area = np.array([tile.core.width_px * tile.core.height_px for tile in tiles], dtype=np.float64)
    return float((area * np.array([tile.valid_fraction for tile in tiles])).sum() / max(area.sum(), 1.0))


def in_words_of(vocabulary: "Vocabulary", truth: Mapping[str, Sequence[Annotation]]) -> dict[str, list[Annotation]]:
    """Labels under the vocabulary's names where it knows them by another (plural, synonym): detections carry its names."""
    return {
        scene_id: [replace(one, class_name=vocabulary.resolve(one.class_name) or one.class_name) for one in labels]
        for scene_id, labels in truth.items()
    }


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


def named_in_documents(ws: Workspace, modality: str, names: Iterable[str]) -> set[str]:
    """Those class names that a caption or callout holds which the text tower may have learnt from: novel to labels, not to words."""
    import pyarrow.parquet as pq

    from ovd_platform.documents.pairs import pairs_from_table

    output = current_or_none(ws, "shared", "pair_dataset")
    if output is None:
        return set()
    pairs = pairs_from_table(pq.read_table(output.folder / "pairs.parquet"))
    words = "\n".join(
        text.lower() for pair in pairs if pair.modality == modality for text in (pair.caption, *pair.callouts) if text
    )
    return {name for name in names if re.search(rf"\b{re.escape(name.lower())}", words)}


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
