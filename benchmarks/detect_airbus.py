"""Aircraft in 60 real Pleiades scenes, 12 held out by place: the platform's own detector through Dagster; its lean network and peers on the same crops.

`detect-airbus [MINUTES] [keep] [no-peers]`: MINUTES of proposer training for the platform (default 24, of 30 in all) and as many for each
peer. ``keep`` looks again at the finished workspace; peers that are in the results of the same minutes are not trained again.
"""

import shutil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.hits import average_precision, hits_by_rank
from benchmarks.outcome import Outcome, shared_data
from benchmarks.peers import PEERS, trained
from benchmarks.workspaces import BENCH_HOME, RESULTS, amend, ovd, save_result
from ovd_platform.evaluate.compare import metric_at
from ovd_platform.flow.labels import load_annotations_of, load_split
from ovd_platform.flow.models import released
from ovd_platform.flow.scenes import load_profile, load_proposals, load_tiles, open_registered
from ovd_platform.flow.stage import current
from ovd_platform.flow.truth import load_truth
from ovd_platform.flow.workspace import Workspace
from ovd_platform.geometry.boxes import iou_matrix
from ovd_platform.learn.proposer import ProposerRecipe, choose_input_scale, train_proposer
from ovd_platform.learn.proposer_crops import CropSampler, labelled_scenes, load_regions
from ovd_platform.models.light_detector import SIZES
from ovd_platform.propose.light import LightProposer
from ovd_platform.propose.network import NetworkProposer
from ovd_platform.propose.proposer import Proposer
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.stores.home import read_json
from ovd_platform.stores.models import save_model_dir

LEAN = "built-in, lean"
LEAN_MODEL = BENCH_HOME / "lean-proposer"
OTHER_MINUTES = {"backbone_minutes": 0.5, "regions_minutes": 2.0, "clip_minutes": 0.0}
Truth = dict[str, NDArray[np.float32]]


def run(arguments: list[str]) -> list[Outcome]:
    """Make or reuse the workspace, measure, train the peers, tabulate."""
    minutes = next((float(one) for one in arguments if one.replace(".", "", 1).isdigit()), 24.0)
    home = BENCH_HOME / "detect-airbus"
    if "keep" not in arguments:
        shutil.rmtree(home, ignore_errors=True)
        data = shared_data() / "airbus_aircraft"
        ovd("init", str(home), "--imagery", str(data / "images"), "--labels", str(data / "annotations.csv"))
        learn = {**OTHER_MINUTES, "proposer_minutes": minutes}
        amend(home, learn=learn, split={"holdout_fraction": 0.2, "calibration_fraction": 0.15}, archive={"enabled": False})
    ovd("run", "-C", str(home))
    ws = Workspace.open(home)
    test = load_split(ws, "optical").test
    truth = {name: _boxes(load_truth(ws, "optical")[name]) for name in test}
    stats = read_json(current(ws, "optical", "evaluation_report", released(ws, "optical")["version"]).folder / "stats.json")
    own = {name: load_proposals(current(ws, "optical", "proposals", name).folder, name) for name in test}
    table = {"built-in": _figures(ws, own, truth)}
    if "no-peers" not in arguments:
        table |= _peers(ws, minutes, truth)
    recall, ap50 = metric_at(stats, "proposals.recall.all.at_100") or 0.0, metric_at(stats, "detection.ap50") or 0.0
    for name, row in table.items():
        print(f"{name:24} {row}")
    save_result(
        "detect-airbus",
        {
            "held_out_scenes": len(test),
            "minutes_each": minutes,
            "training_minutes_of_the_platform": minutes + sum(OTHER_MINUTES.values()),
            "proposal_recall_iou50_100_per_mpx": stats["proposals"]["recall"]["all"]["at_100"],
            "ap50": stats["detection"]["ap50"],
            "class_agnostic_table": table,
            "command": f"uv run python -m benchmarks detect-airbus {minutes:g}",
        },
    )
    best = max((row["ap50"] for name, row in table.items() if name in PEERS), default=0.0)
    return [
        Outcome("training minutes", minutes + sum(OTHER_MINUTES.values()), 30, at_least=False),
        Outcome("proposal recall at 100 per Mpx", recall, 0.95),
        Outcome("aircraft AP50", ap50, 0.90),
        Outcome("class-agnostic AP50 over the best peer", table["built-in"]["ap50"] - best, 0.0),
    ]


def _peers(ws: Workspace, minutes: float, truth: Truth) -> dict[str, dict[str, float]]:
    """Train each peer on the crops the built-in detector learns from, slice the held-out scenes into the same tiles."""
    before = read_json(RESULTS / "detect-airbus.json") if (RESULTS / "detect-airbus.json").is_file() else {}
    known = before.get("class_agnostic_table", {}) if before.get("minutes_each") == minutes else {}
    labels = load_annotations_of(ws, "optical")
    table: dict[str, dict[str, float]] = {}
    for kind in (LEAN, *PEERS):
        if kind in known:
            table[kind] = known[kind]
            continue
        names = load_split(ws, "optical").train
        boxes = {name: _boxes([one for one in labels if one.scene_id == name]) for name in names}
        scenes = [(open_registered(ws, "optical", name), load_profile(ws, "optical", name)) for name in names]
        scale, recipe = choose_input_scale(list(boxes.values())), ProposerRecipe()
        proposer: Proposer
        if kind == LEAN:
            made = train_proposer(
                scenes, boxes, minutes=minutes, input_scale=scale, recipe=ProposerRecipe(config=SIZES["lean"])
            )
            shutil.rmtree(LEAN_MODEL, ignore_errors=True)
            save_model_dir(LEAN_MODEL, made.state, made.card)
            proposer, steps = LightProposer(made.state, made.card, kind), int(made.card["steps"])
        else:
            regions = load_regions(labelled_scenes(scenes, boxes, None), scale, 2_000_000_000, np.random.default_rng(0))
            detector, steps = trained(kind, CropSampler(regions, recipe.crop_px, recipe.zoom), minutes)
            proposer = NetworkProposer(detector, kind, scale=scale, floor=0.005)
        for scene, _ in scenes:
            scene.close()
        found = {}
        for name in truth:
            with open_registered(ws, "optical", name) as scene:
                tiles, profile = load_tiles(ws, "optical", name), load_profile(ws, "optical", name)
                found[name] = proposer.propose(scene, tiles, profile, max_per_mpx=ws.config.propose.max_per_mpx)
        table[kind] = {**_figures(ws, found, truth), "steps": float(steps)}
        print(kind, table[kind], flush=True)
    return table


def _boxes(labels: Any) -> NDArray[np.float32]:
    return np.array([one.box_scene_xyxy for one in labels if not one.difficult], np.float32).reshape(-1, 4)


def _figures(ws: Workspace, found: dict[str, ProposalSet], truth: Truth) -> dict[str, float]:
    """Recall at 100 boxes a Mpx and AP50 (every point of the curve) over all held-out scenes, without classes."""
    score, right, reached, total = [], [], 0, 0
    for name, boxes in truth.items():
        one = found[name]
        limit = int(np.ceil(100 * ws.scene("optical", name).area_mpx))
        overlap = iou_matrix(one.boxes_scene_xyxy[:limit], boxes)
        total += len(boxes)
        hit = hits_by_rank(one.boxes_scene_xyxy[:limit], one.objectness_n[:limit], boxes)
        reached += int((overlap.max(0) >= 0.5).sum()) if len(overlap) else 0
        score.append(one.objectness_n[:limit])
        right.append(hit)
    ap50 = average_precision(np.concatenate(score), np.concatenate(right), total)
    return {"recall_100_per_mpx": reached / max(total, 1), "ap50": ap50}
