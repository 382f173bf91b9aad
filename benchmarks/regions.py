"""Region vectors pooled from one dense pass (RoI) against one forward a box (crops): speed, and what search and detection lose.

Runs on finished workspaces (`demo`, `airbus`): the same proposals are embedded in each way. P@50 by five examples is measured on held-out
scenes; AP is that of the fitted classes on folds of scenes that were held out of each fit (same proposals, so only vectors differ).
"""

import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.demo import DEMO_HOME
from benchmarks.outcome import Outcome
from benchmarks.workspaces import BENCH_HOME, save_result
from ovd_platform.cli.demo import UNLABELLED
from ovd_platform.config import EmbedConfig
from ovd_platform.detect.calibrate import fit_calibration
from ovd_platform.embed.builtin import BuiltinEncoder
from ovd_platform.evaluate.retrieval import RetrievalQuery, evaluate_query
from ovd_platform.flow import models
from ovd_platform.flow.labels import load_annotations_of, load_split
from ovd_platform.flow.report import example_boxes
from ovd_platform.flow.scenes import load_profile, load_proposals, load_tiles, open_registered
from ovd_platform.flow.stage import current
from ovd_platform.flow.truth import load_truth
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.prompt import Prompt
from ovd_platform.search.query import search_objects
from ovd_platform.stores.home import read_json
from ovd_platform.stores.models import load_model
from ovd_platform.stores.tables import VectorTables
from ovd_platform.stores.vector_rows import proposal_rows

WAYS: dict[str, dict[str, Any]] = {
    "crop": {}, "roi 1": {"roi_scale": 1.0}, "roi 1/2": {"roi_scale": 0.5}, "roi 1/4": {"roi_scale": 0.25},
}  # fmt: skip
_PER_TILE, _DRAWS, _EXAMPLES = 100, 6, 5
_MOST = {"searched": 5, "fitted": 4}


def run(arguments: list[str]) -> list[Outcome]:
    """Measure on the workspaces named (default: both)."""
    facts = {}
    for name in [word for word in arguments if not word.isdigit()] or ["demo", "airbus"]:
        home, class_name = (DEMO_HOME, UNLABELLED) if name == "demo" else (BENCH_HOME / "airbus", "airplane")
        facts[name] = _workspace(Workspace.open(home), class_name)
        print(json.dumps(facts[name], indent=1), flush=True)
    best = max((way for way in WAYS if way != "crop"), key=lambda way: min(one[way]["speed_up"] for one in facts.values()))
    speed = min(one[best]["speed_up"] for one in facts.values())
    settings = EmbedConfig()
    default = (
        "crop"
        if settings.regions == "crop"
        else next(way for way, own in WAYS.items() if own.get("roi_scale") == settings.roi_scale)
    )
    loss, of_default = (
        max(max(one[way]["p50_loss"], one[way]["ap_loss"] or 0.0) for one in facts.values()) for way in (best, default)
    )
    save_result("regions", {**facts, "fastest": best, "default": default, "command": "uv run python -m benchmarks regions"})
    return [
        Outcome(f"speed-up of {best} at 100 proposals a tile", speed, 15),
        Outcome(f"loss of {best}, points of P@50 or AP", 100 * loss, 2, at_least=False),
        Outcome(f"loss of the default ({default}), points of P@50 or AP", 100 * of_default, 2, at_least=False),
    ]


def _workspace(ws: Workspace, class_name: str) -> dict[str, Any]:
    truth, split = load_truth(ws, "optical"), load_split(ws, "optical")
    fitted = [one for one in (*split.calibration, *split.train) if truth.get(one)][: _MOST["fitted"]]
    with_class = [one for one in truth if any(label.class_name == class_name for label in truth[one])]
    searched = [one for one in split.test if one in with_class][: _MOST["searched"]] or with_class[: _MOST["searched"] // 2]
    facts: dict[str, Any] = {"searched_scenes": len(searched), "fitted_scenes": len(fitted)}
    for way, settings in WAYS.items():
        encoder = _encoder(ws, way, settings)
        seconds = _seconds_a_tile(ws, searched[0], encoder)
        folder = Path(tempfile.mkdtemp(prefix="regions-"))
        try:
            tables = VectorTables(folder)
            started, embedded = time.perf_counter(), []
            for scene_id in sorted({*searched, *fitted}):
                rows = _embed(ws, scene_id, encoder)
                embedded.append(rows)
                if scene_id in searched:
                    tables.replace_scene("proposal", "optical", encoder.version, scene_id, rows)
            p50 = _precision(ws, tables, encoder, class_name, searched, {name: truth[name] for name in searched})
            total = time.perf_counter() - started
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        average = _average_precision(ws, [rows for rows in embedded if rows["scene_id"][0].as_py() in fitted], fitted)
        facts[way] = {
            "ms_a_tile_of_100": round(1000 * seconds, 1), "p_at_50": round(p50, 4), "ap": None if average is None else round(average, 4),
            "embedding_s": round(total, 1),
        }  # fmt: skip
        print(way, facts[way], flush=True)
    for way in WAYS:
        own, crop = facts[way], facts["crop"]
        own["speed_up"] = round(crop["ms_a_tile_of_100"] / own["ms_a_tile_of_100"], 2)
        own["p50_loss"] = round(crop["p_at_50"] - own["p_at_50"], 4)
        own["ap_loss"] = None if crop["ap"] is None or own["ap"] is None else round(crop["ap"] - own["ap"], 4)
    return facts


def _encoder(ws: Workspace, way: str, settings: Mapping[str, Any]) -> BuiltinEncoder:
    parts = read_json(ws.home.models / "optical-encoder" / f"{models.released(ws, 'optical')['encoder']}.json")
    backbone = load_model(ws.home.models, "optical-backbone", parts["backbone"])[0]
    return BuiltinEncoder(backbone, regions="crop" if way == "crop" else "roi", **settings)


def _embed(ws: Workspace, scene_id: str, encoder: BuiltinEncoder) -> pa.Table:
    found = load_proposals(current(ws, "optical", "proposals", scene_id).folder, scene_id)
    with open_registered(ws, "optical", scene_id) as scene:
        visual, language = encoder.embed_boxes(scene, found.boxes_scene_xyxy, load_profile(ws, "optical", scene_id))
    return proposal_rows(
        ws.scene("optical", scene_id), found, load_tiles(ws, "optical", scene_id), visual, language, encoder.version
    )


def _seconds_a_tile(ws: Workspace, scene_id: str, encoder: BuiltinEncoder) -> float:
    """Time of 100 boxes inside of one tile's core, reading included, the best of three."""
    tile = load_tiles(ws, "optical", scene_id)[0]
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 1, (_PER_TILE, 2)) * [tile.core.width_px - 40, tile.core.height_px - 40] + [
        tile.core.xyxy[0],
        tile.core.xyxy[1],
    ]
    boxes = np.concatenate([corner, corner + rng.uniform(12, 40, (_PER_TILE, 2))], axis=1).astype(np.float32)
    times = []
    with open_registered(ws, "optical", scene_id) as scene:
        profile = load_profile(ws, "optical", scene_id)
        for _ in range(4):
            started = time.perf_counter()
            encoder.embed_boxes(scene, boxes, profile)
            times.append(time.perf_counter() - started)
    return min(times[1:])


def _precision(
    ws: Workspace,
    tables: VectorTables,
    encoder: BuiltinEncoder,
    class_name: str,
    searched: Sequence[str],
    truth: Mapping[str, Any],
) -> float:
    values = []
    for draw in range(_DRAWS):
        chips = example_boxes(ws, "optical", class_name, exclude=set(searched), count=_EXAMPLES, seed=draw)
        prompt = Prompt(
            chip_vectors_nd=np.concatenate([_chip(ws, encoder, chip) for chip in chips]), model_version=encoder.version
        )
        hits = search_objects(tables, prompt, None, modality="optical", top=200)
        query = RetrievalQuery("q", "", "chip", class_name, tuple(hits))
        values.append(float(evaluate_query(query, truth, candidates=1)["p_at_50"]))
    return float(np.mean(values))


def _chip(ws: Workspace, encoder: BuiltinEncoder, chip: str) -> Any:
    scene_id, _, numbers = chip.rpartition(":")
    box = np.array([[float(value) for value in numbers.split(",")]], dtype=np.float32)
    with open_registered(ws, "optical", scene_id) as scene:
        return encoder.embed_boxes(scene, box, load_profile(ws, "optical", scene_id))[0]


def _average_precision(ws: Workspace, embedded: Sequence[pa.Table], fitted: Sequence[str]) -> float | None:
    labels = [one for one in load_annotations_of(ws, "optical") if one.scene_id in fitted]
    calibration = fit_calibration(pa.concat_tables(embedded), labels, models.vocabulary(ws), None, None, labelled_scenes=fitted)
    known = [entry.average_precision for entry in calibration.classes if entry.average_precision is not None]
    return float(np.mean(known)) if known else None
