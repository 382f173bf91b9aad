"""500,000 detections: ours against pycocotools and faster-coco-eval in the same run, the whole report, and memory."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.coco_parity import pycocotools_tables
from benchmarks.outcome import Outcome
from benchmarks.workspaces import save_result
from ovd_platform.evaluate.coco import evaluate_coco
from ovd_platform.evaluate.scene_boxes import SceneBoxes

SCENES, CLASSES, OBJECTS, DETECTIONS = 50, 20, 1000, 500_000
SIZE_PX = 20_000


def run(arguments: list[str]) -> list[Outcome]:
    """Time everything; ``memory N`` is the child that measures the peak of N detections."""
    if arguments[:1] == ["memory"]:
        return _memory(int(arguments[1]))
    world = make_world(DETECTIONS)
    evaluate_coco(as_scenes(make_world(1000)), _names())  # compiled before it is timed
    ours, figures = _timed("ours", lambda: evaluate_coco(as_scenes(world), _names()).figures)
    again, _ = _timed("ours again", lambda: evaluate_coco(as_scenes(world), _names()).figures)
    truth, answers = as_coco(world)
    faster, other = _timed("faster-coco-eval", lambda: _faster(truth, answers))
    peaks = {count: _peak(count) for count in (125_000, 250_000, 500_000)}
    exponent = float(np.log2(peaks[500_000] / peaks[250_000]))
    whole = _report(truth, answers)
    images = [{"id": s + 1, "width": SIZE_PX, "height": SIZE_PX} for s in range(SCENES)]
    slow, tables = _timed("pycocotools", lambda: pycocotools_tables(images, truth, answers, CLASSES, DETECTIONS))
    reference = float(tables[0][..., 0][tables[0][..., 0] > -1].mean())
    facts = {
        "detections": DETECTIONS,
        "cpu_s": {"ours": ours.cpu, "ours again": again.cpu, "faster-coco-eval": faster.cpu, "pycocotools": slow.cpu},
        "wall_s": {"ours": ours.wall, "ours again": again.wall, "faster-coco-eval": faster.wall, "pycocotools": slow.wall},
        "report_s": {"wall": whole.wall, "cpu": whole.cpu},
        "ap": {"ours": figures["ap"], "faster_coco_eval": other, "pycocotools": reference},
        "peak_mib_over_imports": {str(count): round(value) for count, value in peaks.items()},
        "memory_exponent": round(exponent, 3),
        "machine": "ratios are of processor seconds of one run, because others may compute beside it",
        "command": "uv run python -m benchmarks eval-speed",
    }
    save_result("eval-speed", facts)
    print(json.dumps(facts, indent=1))
    gap = max(abs(float(figures["ap"] or 0) - value) for value in (other, reference))
    return [
        Outcome("times faster than pycocotools", slow.cpu / ours.cpu, 8),
        Outcome("of the time of faster-coco-eval", ours.cpu / faster.cpu, 1.15, at_least=False),
        Outcome("difference of AP", gap, 1e-6, at_least=False),
        Outcome("seconds with report", whole.wall, 60, at_least=False),
        Outcome("growth of memory, exponent", exponent, 1.15, at_least=False),
    ]


@dataclass(frozen=True)
class Took:
    """Seconds of the wall clock and of the processor."""

    wall: float
    cpu: float


def _names() -> list[str]:
    return [f"class {k}" for k in range(CLASSES)]


def make_world(detections: int) -> list[tuple[np.ndarray, ...]]:
    """Truth boxes and classes, answers, their classes and scores, for each scene; half of the answers lie near an object."""
    rng, each = np.random.default_rng(0), detections // SCENES
    world = []
    for _ in range(SCENES):
        corner = rng.uniform(0, SIZE_PX - 60, (OBJECTS, 2))
        truth = np.hstack([corner, corner + rng.uniform(8, 60, (OBJECTS, 2))])
        kind = rng.integers(0, CLASSES, OBJECTS)
        near = rng.integers(0, OBJECTS, each // 2)
        close = truth[near] + rng.normal(0, 2, (len(near), 4))
        close[:, 2:] = np.maximum(close[:, 2:], close[:, :2] + 1)  # no box turned inside out
        corner = rng.uniform(0, SIZE_PX - 60, (each - len(near), 2))
        far = np.hstack([corner, corner + rng.uniform(8, 60, corner.shape)])
        classes = np.concatenate([kind[near], rng.integers(0, CLASSES, len(far))])
        world.append((truth, kind, np.vstack([close, far]), classes, rng.random(each)))
    return world


def as_scenes(world: list[tuple[np.ndarray, ...]]) -> list[SceneBoxes]:
    """The world as arrays."""
    scenes = []
    for s, (truth, kind, boxes, classes, scores) in enumerate(world):
        sides = truth[:, 2:] - truth[:, :2]
        ignored = np.zeros(len(truth), dtype=bool)
        source = np.arange(len(boxes))
        scenes.append(SceneBoxes(f"{s:02}", truth, kind, ignored, sides[:, 0] * sides[:, 1], boxes, scores, classes, source))
    return scenes


def as_coco(world: list[tuple[np.ndarray, ...]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The world as COCO rows."""
    truth: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for s, (boxes, kind, found, classes, scores) in enumerate(world):
        for (x0, y0, x1, y1), k in zip(boxes.tolist(), kind.tolist(), strict=True):
            row = {
                "id": len(truth) + 1,
                "image_id": s + 1,
                "category_id": k + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "iscrowd": 0,
            }
            truth.append(row | {"area": (x1 - x0) * (y1 - y0)})
        for (x0, y0, x1, y1), k, score in zip(found.tolist(), classes.tolist(), scores.tolist(), strict=True):
            answers.append({"image_id": s + 1, "category_id": k + 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score})
    return truth, answers


def _timed(name: str, call: Callable[[], Any]) -> tuple[Took, Any]:
    started, used = time.perf_counter(), time.process_time()
    value = call()
    took = Took(round(time.perf_counter() - started, 3), round(time.process_time() - used, 3))
    print(f"{name}: {took}", flush=True)
    return took, value


def _categories() -> list[dict[str, Any]]:
    return [{"id": k + 1, "name": name} for k, name in enumerate(_names())]


def _faster(truth: list[dict[str, Any]], answers: list[dict[str, Any]]) -> float:
    """AP by faster-coco-eval, from rows to figure, without its cap."""
    from faster_coco_eval import COCO, COCOeval_faster

    images = [{"id": s + 1, "width": SIZE_PX, "height": SIZE_PX} for s in range(SCENES)]
    known = COCO({"images": images, "annotations": [dict(row) for row in truth], "categories": _categories()})
    judge = COCOeval_faster(known, known.loadRes([dict(row) for row in answers]), "bbox", extra_calc=False)
    judge.params.maxDets = [DETECTIONS]
    judge.evaluate()
    judge.accumulate()
    precision = np.asarray(judge.eval["precision"]).reshape(judge.eval["counts"])[..., 0, -1]
    return float(precision[precision > -1].mean())


def _report(truth: list[dict[str, Any]], answers: list[dict[str, Any]]) -> Took:
    """Seconds of `ovd eval` from two files to the report: reading, figures, 300 bootstrap draws, pages."""
    with tempfile.TemporaryDirectory() as folder:
        images = [{"id": s + 1, "width": SIZE_PX, "height": SIZE_PX, "gsd_m": 0.5} for s in range(SCENES)]
        (Path(folder) / "truth.json").write_text(
            json.dumps({"images": images, "annotations": truth, "categories": _categories()})
        )
        (Path(folder) / "detections.json").write_text(json.dumps(answers))
        command = [sys.executable, "-c", "from ovd_platform.cli.main import main; main()", "eval"]
        command += ["--detections", f"{folder}/detections.json", "--truth", f"{folder}/truth.json", "--out", f"{folder}/report"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        took, _ = _timed("report", lambda: subprocess.run([*command, "--probabilities"], check=True, stdout=subprocess.DEVNULL))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if not (Path(folder) / "report" / "report.html").is_file():
            raise SystemExit("`ovd eval` wrote no report")
        return Took(took.wall, round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 3))


def _peak(count: int) -> float:
    """Peak resident memory of an evaluation in its own process, over the imports, MiB."""
    command = [sys.executable, "-m", "benchmarks", "eval-speed", "memory", str(count)]
    return float(subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()[0])


def _memory(count: int) -> list[Outcome]:
    evaluate_coco(as_scenes(make_world(1000)), _names())
    before = _high_water_mib()
    evaluate_coco(as_scenes(make_world(count)), _names())
    print(_high_water_mib() - before)
    return []


def _high_water_mib() -> float:
    """Peak resident memory of this process; `ru_maxrss` would hand down the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
