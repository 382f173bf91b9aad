"""Workspaces the benchmarks run in, and the measures they share."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from ovd_platform.evaluate.retrieval import RetrievalQuery, evaluate_query
from ovd_platform.flow.query import Question, search
from ovd_platform.flow.report import example_boxes
from ovd_platform.flow.truth import load_truth
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.prompt import SearchFilter

RESULTS = Path(__file__).parents[1] / "docs" / "results"
BENCH_HOME = Path(os.environ.get("OVD_BENCH_HOME", "bench-home"))


def ovd(*arguments: str) -> str:
    """Run the `ovd` command as a person would; returns what it printed, stops on failure."""
    command = [sys.executable, "-c", "from ovd_platform.cli.main import main; main()", *arguments]
    outcome = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE)
    print(outcome.stdout, flush=True)
    if outcome.returncode != 0:
        raise SystemExit(f"`ovd {' '.join(arguments)}` ended with {outcome.returncode}")
    return outcome.stdout


def amend(home: Path, **sections: Mapping[str, object]) -> None:
    """Set values in a workspace's `ovd.yaml`."""
    path = home / "ovd.yaml"
    values = yaml.safe_load(path.read_text())
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    path.write_text(yaml.safe_dump(values, sort_keys=False))


def precision_by_example(
    ws: Workspace,
    class_name: str,
    *,
    k: int,
    examples: int,
    scene_ids: Sequence[str],
    exclude: Sequence[str],
    draws: int = 10,
    seed: int = 0,
) -> tuple[float, float]:
    """Mean and standard deviation of P@k over draws of example chips from scenes that are not searched."""
    truth = {scene_id: labels for scene_id, labels in load_truth(ws, "optical").items() if scene_id in scene_ids}
    values = []
    for draw in range(seed, seed + draws):
        chips = example_boxes(ws, "optical", class_name, exclude=set(exclude), count=examples, seed=draw)
        values.append(
            _precision(
                ws, truth, class_name, Question(chips=chips, top=4 * k, filter=SearchFilter(scene_ids=tuple(scene_ids))), k
            )
        )
    return float(np.mean(values)), float(np.std(values))


def precision_of_text(ws: Workspace, class_name: str, text: str, *, k: int, scene_ids: Sequence[str]) -> float:
    """P@k of words."""
    truth = {scene_id: labels for scene_id, labels in load_truth(ws, "optical").items() if scene_id in scene_ids}
    return _precision(ws, truth, class_name, Question(text=text, top=4 * k, filter=SearchFilter(scene_ids=tuple(scene_ids))), k)


def _precision(ws: Workspace, truth: Mapping[str, Sequence[Annotation]], class_name: str, question: Question, k: int) -> float:
    query = RetrievalQuery("q", question.text, "text" if question.text else "chip", class_name, tuple(search(ws, question)))
    return float(evaluate_query(query, truth, candidates=1)[f"p_at_{k}"])


def save_result(name: str, facts: Mapping[str, object]) -> None:
    """Keep the figures of a benchmark in `docs/results/` (figures only, no imagery)."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
