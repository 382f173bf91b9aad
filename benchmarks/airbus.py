"""60 real Pleiades scenes (50 cm RGB) through `ovd init` and `ovd run`; a fifth held out by place."""

import shutil
import time

from benchmarks.outcome import Outcome, shared_data
from benchmarks.workspaces import BENCH_HOME, RESULTS, amend, ovd, precision_by_example, save_result
from ovd_platform.evaluate.compare import metric_at
from ovd_platform.flow.labels import load_split
from ovd_platform.flow.models import released
from ovd_platform.flow.stage import current
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import read_json

MINUTES = {"backbone_minutes": 0.5, "regions_minutes": 2.0, "clip_minutes": 0.0, "proposer_minutes": 8.0}


def run(arguments: list[str]) -> list[Outcome]:
    """Make the workspace (unless told ``keep``), run everything, measure on the held-out scenes."""
    data, home = shared_data() / "airbus_aircraft", BENCH_HOME / "airbus"
    if "keep" not in arguments:
        shutil.rmtree(home, ignore_errors=True)
        ovd("init", str(home), "--imagery", str(data / "images"), "--labels", str(data / "annotations.csv"))
        amend(home, learn=MINUTES, split={"holdout_fraction": 0.2, "calibration_fraction": 0.15}, archive={"enabled": False})
    started = time.monotonic()
    ovd("run", "-C", str(home))
    minutes = (time.monotonic() - started) / 60
    if "keep" in arguments and (RESULTS / "airbus.json").is_file():
        minutes = read_json(RESULTS / "airbus.json")["run_minutes"]  # Of the run that is looked at again.
    ws = Workspace.open(home)
    split = load_split(ws, "optical")
    report = current(ws, "optical", "evaluation_report", released(ws, "optical")["version"])
    stats = read_json(report.folder / "stats.json")
    recall = metric_at(stats, "proposals.recall.all.at_100") or 0.0
    ap50 = metric_at(stats, "detection.ap50") or 0.0
    others = [*split.train, *split.calibration]
    p50, spread = precision_by_example(ws, "airplane", k=50, examples=5, scene_ids=split.test, exclude=split.test)
    print(
        f"held-out scenes {len(split.test)}, others {len(others)}, run {minutes:.1f} min, trained {sum(MINUTES.values()):.0f} min"
    )
    save_result(
        "airbus",
        {
            "held_out_scenes": len(split.test),
            "training_minutes": sum(MINUTES.values()),
            "run_minutes": round(minutes, 1),
            "proposal_recall_iou50_100_per_mpx": stats["proposals"]["recall"]["all"]["at_100"],
            "ap50": stats["detection"]["ap50"],
            "detection": {name: stats["detection"].get(name) for name in ("ap", "ap50", "ap75")},
            "by_example_5_chips_p_at_50": {"mean": p50, "std_over_10_draws": spread},
            "calibration_ece": metric_at(stats, "calibration.ece"),
            "command": "uv run python -m benchmarks airbus",
        },
    )
    (RESULTS / "airbus.md").write_text((report.folder / "report.md").read_text())
    return [
        Outcome("training minutes", sum(MINUTES.values()), 30, at_least=False),
        Outcome("proposal recall at 100 per Mpx", recall, 0.85),
        Outcome("AP50", ap50, 0.80),
        Outcome("P@50 by 5 examples", p50, 0.85),
    ]
