"""The same real scenes with imagery alone: the shipped starter weights, no label and no document is given to the platform."""

import shutil
import time
from pathlib import Path

import numpy as np
import yaml

from benchmarks.outcome import Outcome, shared_data
from benchmarks.workspaces import BENCH_HOME, amend, ovd, precision_by_example, save_result
from ovd_platform.datasets.formats.load import load_annotations
from ovd_platform.evaluate.compare import metric_at
from ovd_platform.evaluate.inputs import EvaluationInput
from ovd_platform.evaluate.stats import evaluate
from ovd_platform.flow.scenes import load_proposals
from ovd_platform.flow.stage import current
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.annotation import Annotation
from ovd_platform.stores.home import write_json


def run(arguments: list[str]) -> list[Outcome]:
    """Time from `ovd init` to the first contact sheet; then judge with the labels the platform never saw."""
    data, home = shared_data() / "airbus_aircraft", BENCH_HOME / "starter"
    started = time.monotonic()
    if "keep" not in arguments:
        shutil.rmtree(home, ignore_errors=True)
        ovd("init", str(home), "--imagery", str(data / "images"))
        amend(home, learn={"backbone_minutes": 0.0, "regions_minutes": 0.0}, archive={"enabled": False})
    ovd("run", "-C", str(home))
    ws = Workspace.open(home)
    records = {record.scene_id: record for record in ws.scenes("optical")}
    labels, _ = load_annotations(data / "annotations.csv", records)
    truth: dict[str, list[Annotation]] = {scene_id: [] for scene_id in records}
    for one in labels:
        truth[one.scene_id].append(one)
    first = next(one for one in labels if not one.difficult)
    box = ",".join(f"{value:.0f}" for value in first.box_scene_xyxy)
    ovd("search", "-C", str(home), "--chip", f"{first.scene_id}:{box}", "--sheet", str(home / "first.png"))
    minutes = (time.monotonic() - started) / 60
    proposals = {
        scene_id: load_proposals(current(ws, "optical", "proposals", scene_id).folder, scene_id) for scene_id in records
    }
    stats = evaluate(EvaluationInput(scenes=tuple(records.values()), truth=truth, proposals=proposals), replicates=100)
    recall = metric_at(stats, "proposals.recall.all.at_100") or 0.0
    p50, spread = _by_example(_with_truth(home, truth), truth)
    save_result(
        "starter",
        {
            "scenes": len(records),
            "minutes_from_init_to_contact_sheet": round(minutes, 2),
            "proposal_recall_iou50_100_per_mpx": stats["proposals"]["recall"]["all"]["at_100"],
            "by_example_5_chips_p_at_50": {"mean": p50, "std_over_draws": spread},
            "command": "uv run python -m benchmarks starter",
        },
    )
    return [
        Outcome("minutes to first contact sheet", minutes, 10, at_least=False),
        Outcome("proposal recall at 100 per Mpx", recall, 0.6),
        Outcome("P@50 by 5 examples", p50, 0.6),
    ]


def _by_example(ws: Workspace, truth: dict[str, list[Annotation]]) -> tuple[float, float]:
    """Mean P@50 over five rounds; in each the scenes that give examples (a fifth) are not searched."""
    names = sorted(truth)
    values = []
    for round_ in range(5):
        searched = [name for index, name in enumerate(names) if index % 5 != round_]
        values.append(precision_by_example(ws, "airplane", k=50, examples=5, scene_ids=searched, exclude=searched, draws=2)[0])
    return float(np.mean(values)), float(np.std(values))


def _with_truth(home: Path, truth: dict[str, list[Annotation]]) -> Workspace:
    """Hand the labels over as evaluation truth, now that everything was made without them."""
    for scene_id, labels in truth.items():
        objects = [{"class_name": one.class_name, "corners_scene_xy": one.corners_scene_xy} for one in labels]
        write_json(home / "truth" / f"{scene_id}.json", {"objects": objects})
    path = home / "ovd.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"truth": "truth"}, sort_keys=False))
    return Workspace.open(home)
