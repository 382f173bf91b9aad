"""`ovd demo`: render a world, run the whole graph on it, ask it three questions. Small, but every part is the real one."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ovd_platform.cli import graph
from ovd_platform.config import (
    CONFIG_NAME,
    EvaluationConfig,
    LearnConfig,
    OvdConfig,
    ProposeConfig,
    SplitConfig,
    SynthesisConfig,
    TilesConfig,
)
from ovd_platform.evaluate.retrieval import RetrievalQuery, evaluate_query
from ovd_platform.flow.query import Question, search, write_sheet
from ovd_platform.flow.report import example_boxes
from ovd_platform.flow.stage import current, current_or_none
from ovd_platform.flow.truth import load_truth
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.prompt import Hit, SearchFilter

UNLABELLED = "dome building"
_FOR_UNLABELLED = ("text-dome", "example-dome")
_TEXTS = ("small building with a dome roof", "aircraft parked on an apron")
console = Console(soft_wrap=True)


def demo_config(seed: int) -> OvdConfig:
    """Settings of the demo: everything on, training in minutes on two cores."""
    return OvdConfig(
        imagery=("world/imagery",),
        documents=("world/documents",),
        labels=("world/labels",),
        vocabulary="world/vocabulary.yaml",
        truth="world/truth",
        rendered=True,
        seed=seed,
        tiles=TilesConfig(core_px=512, halo_px=64, min_edge_density=0.0),
        learn=LearnConfig(
            chips_per_scene=32,
            backbone_minutes=0.15,
            regions_minutes=0.3,
            clip_minutes=1.2,
            proposer_minutes=0.5,
            proposer_learning_rate=1e-4,
            proposer_scale=1.0,
            proposer_look_scales=(2.0, 1.0, 0.5),
            proposer_smallest_px=6.0,
            proposer_unlabelled="ignore",
        ),
        propose=ProposeConfig(max_per_mpx=1145, min_per_scene=300),
        split=SplitConfig(holdout_fraction=0.25, calibration_fraction=0.1, block_km=2.0),
        synthesis=SynthesisConfig(max_tiles=16),
        evaluation=EvaluationConfig(shifted_scenes=1),
    )


def make_demo(directory: Path, seed: int) -> Workspace:
    """Render the world (unless it is there) and write `ovd.yaml`."""
    from ovd_platform.demo.world import build_world

    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "world" / "world.json").is_file():
        with console.status("rendering") as status:
            build_world(
                directory / "world",
                seed=seed,
                progress=lambda done, total, what: status.update(f"rendering {done}/{total}: {what}"),
            )
    if not (directory / CONFIG_NAME).is_file():
        demo_config(seed).save(directory)
    return Workspace.open(directory)


def run_demo(directory: Path, seed: int) -> int:
    """Run the demo; returns the exit code."""
    from ovd_platform.cli.main import print_summary
    from ovd_platform.cli.searching import print_hits

    started = time.monotonic()
    console.print("[bold]The imagery of this demo is rendered. Nothing in it was ever in orbit.[/bold]")
    ws = make_demo(directory, seed)
    with console.status("looking for work") as status:
        summary = graph.run(ws, retrain=False, only_training=False, say=lambda line: status.update(line))
    print_summary(summary, time.monotonic() - started)
    if summary.failed:
        return 1
    facts: list[dict[str, object]] = []
    for name, question in demo_questions(ws).items():
        hits = search(ws, question)
        title = f"{question.text or 'examples of ' + UNLABELLED} (RENDERED imagery)"
        print_hits(list(hits[:5]), title)
        sheet = write_sheet(ws, question, hits, ws.home.reports / "demo" / f"{name}.png")
        console.print(f"Contact sheet: {sheet}", markup=False)
        facts.append(
            {
                "name": name,
                "text": question.text,
                "chips": list(question.chips),
                "sheet": str(sheet),
                "hits": len(hits),
                "right_of_10": _right_of_10(ws, hits),
            }
        )
    for modality in ("optical", "sar"):
        release = current_or_none(ws, modality, "release")
        if release is not None:
            report = current(ws, modality, "evaluation_report", release.version)
            console.print(f"Report ({modality}): {report.folder / 'report.html'}", markup=False)
    (ws.home.reports / "demo" / "searches.json").write_text(json.dumps(facts, indent=1))
    console.print(f"The label files name no {UNLABELLED!r}. By the exact truth, of the ten best hits:")
    for fact in facts:
        if fact["name"] in _FOR_UNLABELLED:
            console.print(f"  {fact['name']}: {fact['right_of_10']} are one", highlight=False)
    console.print(f"Look around: [bold]ovd up -C {directory}[/bold]   ({time.monotonic() - started:.0f} s)")
    return 0


def _right_of_10(ws: Workspace, hits: Sequence[Hit]) -> int:
    """How many of the ten best hits are objects of the unlabelled class."""
    query = RetrievalQuery("demo", UNLABELLED, "text", UNLABELLED, tuple(hits))
    return round(10 * float(evaluate_query(query, load_truth(ws, "optical"), candidates=1)["p_at_10"]))


def demo_questions(ws: Workspace) -> dict[str, Question]:
    """Two questions in words and one by example for the class that no label contains; scenes that give examples are not searched."""
    truth = load_truth(ws, "optical")
    with_domes = [name for name in sorted(truth) if any(one.class_name == UNLABELLED for one in truth[name])]
    donors = {with_domes[0], with_domes[-1]}
    others = tuple(sorted(set(truth) - donors))
    chips = example_boxes(ws, "optical", UNLABELLED, exclude=set(others), count=5)
    return {
        "text-dome": Question(text=_TEXTS[0], top=20),
        "text-aircraft": Question(text=_TEXTS[1], top=20),
        "example-dome": Question(chips=chips, top=20, filter=SearchFilter(scene_ids=others)),
    }
