"""The embedding stage against the bare forward of its model on pre-read crops: what reading, cutting, batching and storing cost."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from benchmarks.demo import DEMO_HOME
from benchmarks.outcome import Outcome
from benchmarks.workspaces import save_result
from ovd_platform.embed.builtin import BuiltinEncoder
from ovd_platform.embed.crops import crop_squares, iterate_crops
from ovd_platform.flow import models
from ovd_platform.flow.scenes import load_profile, load_proposals, load_tiles, open_registered
from ovd_platform.flow.stage import current
from ovd_platform.flow.workspace import Workspace
from ovd_platform.models.stems import band_keys
from ovd_platform.stores.vector_rows import proposal_rows

_BOXES, _ROUNDS = 640, 12


def run(arguments: list[str]) -> list[Outcome]:
    """Measure on the largest scenes of one and of most bands of the demo workspace (or of the workspace given)."""
    ws = Workspace.open(Path(arguments[0]) if arguments else DEMO_HOME)
    version = models.released(ws, "optical")["encoder"]
    encoder = models.encoder(ws, "optical", version)
    assert isinstance(encoder, BuiltinEncoder)
    records = sorted(ws.scenes("optical"), key=lambda one: (len(one.bands), one.area_mpx))
    most = records[-1]
    fewest = max((one for one in records if len(one.bands) == len(records[0].bands)), key=lambda one: one.area_mpx)
    facts = {f"{len(one.bands)} bands": _measure(ws, encoder, one, version) for one in (fewest, most)}
    print(json.dumps(facts, indent=1))
    save_result("embed-speed", {**facts, "command": "uv run python -m benchmarks embed-speed"})
    return [Outcome(f"embedding stage of the bare forward, {name}", row["of_bare"], 0.85) for name, row in facts.items()]


def _measure(ws: Workspace, encoder: BuiltinEncoder, record: Any, version: str) -> dict[str, Any]:
    """Bare forward and stage in turns; the figure is the median of the pairs."""
    found = load_proposals(current(ws, "optical", "proposals", record.scene_id).folder, record.scene_id)
    boxes = np.resize(found.boxes_scene_xyxy, (_BOXES, 4)) if len(found) < _BOXES else found.boxes_scene_xyxy[:_BOXES]
    profile = load_profile(ws, "optical", record.scene_id)
    with open_registered(ws, "optical", record.scene_id) as scene:
        crops = torch.cat([part for _, part in iterate_crops(scene, crop_squares(boxes), profile, 64)])
        keys = band_keys(scene.record)
        bare, stage, parts, cpu = [], [], [], []
        for _ in range(_ROUNDS):
            started, before = time.perf_counter(), time.process_time()
            for start in range(0, len(crops), 64):
                encoder._forward(crops[start : start + 64], keys)
            bare.append(time.perf_counter() - started)
            started, between = time.perf_counter(), time.process_time()
            visual, language = encoder.embed_boxes(scene, boxes, profile)
            parts.append(time.perf_counter() - started)
            if len(found) >= _BOXES:
                _store(ws, record, found, visual, language, version)
            stage.append(time.perf_counter() - started)
            cpu.append((between - before) / (time.process_time() - between))
    ratio = np.array(bare[1:]) / np.array(stage[1:])
    return {
        "scene": record.scene_id,
        "boxes": len(boxes),
        "bare_s": round(min(bare[1:]), 3),
        "embed_s": round(min(parts[1:]), 3),
        "stage_s": round(min(stage[1:]), 3),
        "of_bare_in_cpu_time": round(float(np.median(cpu[1:])), 3),
        "of_bare": round(float(np.median(ratio)), 3),
        "of_bare_spread": [round(float(one), 3) for one in np.quantile(ratio, [0.1, 0.9])],
        "crops_per_s": round(len(boxes) / min(stage[1:])),
    }


def _store(ws: Workspace, record: Any, found: Any, visual: Any, language: Any, version: str) -> None:
    tiles = load_tiles(ws, "optical", record.scene_id)
    taken = type(found)(
        found.scene_id,
        found.boxes_scene_xyxy[:_BOXES],
        found.objectness_n[:_BOXES],
        found.tile_index_n[:_BOXES],
        found.proposer,
    )
    rows = proposal_rows(record, taken, tiles, visual, language, version)
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(rows, Path(folder) / "rows.parquet", compression="zstd")
