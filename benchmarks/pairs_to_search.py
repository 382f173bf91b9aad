"""Search by words with a domain CLIP trained on today's pairs against one trained on the pairs of the first extractor, all else equal.

Works on the finished workspace of the benchmark ``demo`` and changes nothing in it: the documents are read once by the present extractor and once by the
one of commit 5c3bf37 (taken from the history), filtered by the pair dataset of the same time, and a CLIP is trained on each with the same backbone,
seed and number of steps. Every proposal of every scene is then ranked by its language vector for two words a class; no examples, no labels.
"""

import json
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.demo import DEMO_HOME
from benchmarks.outcome import Outcome
from benchmarks.workspaces import save_result

SPINE = "5c3bf37"
STEPS = 240
SEEDS = (7, 8, 9)
_PER_SCENE = 150
_TEXTS = {
    "dome building": ("small building with a dome roof", "domed building"),
    "aircraft": ("aircraft parked on an apron", "airplane"),
    "ship": ("a ship moored at a pier", "large vessel"),
    "storage tank": ("storage tank", "cylindrical oil tank"),
    "helicopter": ("helicopter on the ground", "rotorcraft"),
    "wind turbine": ("wind turbine", "wind power turbine"),
}
_READ = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from ovd_platform.documents.extract import extract_document
from ovd_platform.documents.pairs import build_pair_dataset
images = Path(sys.argv[2])
pairs = [pair for path in sorted(Path(sys.argv[1]).glob("*.pdf")) for pair in extract_document(path, images).pairs]
kept = build_pair_dataset(pairs, images).kept
print(json.dumps({"found": len(pairs), "kept": [asdict(pair) for pair in kept]}))
"""


def run(arguments: list[str]) -> list[Outcome]:
    """Compare; ``steps N`` changes the length of training."""
    steps = int(arguments[1]) if arguments[:1] == ["steps"] else STEPS
    with TemporaryDirectory() as scratch:
        today = _pairs(Path(__file__).parents[1], Path(scratch) / "today")
        spine = _pairs(_spine(Path(scratch) / "code"), Path(scratch) / "spine")
        crops = _crops()
        figures: dict[str, list[dict[str, float]]] = {"today": [], "spine": []}
        for seed in SEEDS:
            for name, (pairs, images) in (("today", today), ("spine", spine)):
                figures[name].append(_precision(pairs, images, crops, seed, steps))
                print(f"seed {seed}, {name}: {np.mean([*figures[name][-1].values()]):.4f}", flush=True)
    table = {
        name: {text: round(float(np.mean([row[text] for row in rows])), 4) for text in rows[0]}
        for name, rows in figures.items()
    }
    means = {name: float(np.mean([*values.values()])) for name, values in table.items()}
    spread = {name: round(float(np.std([np.mean([*row.values()]) for row in rows])), 4) for name, rows in figures.items()}
    for text in table["today"]:
        print(f"{text:34} today {table['today'][text]:.3f}   spine {table['spine'][text]:.3f}")
    print(
        f"mean over texts: today {means['today']:.4f} (seeds {spread['today']}), spine {means['spine']:.4f} (seeds {spread['spine']})"
    )
    save_result(
        "pairs-to-search",
        {
            "command": "uv run python -m benchmarks pairs-to-search", "spine": SPINE, "steps": steps, "seeds": len(SEEDS), "p_at_10": table, "mean": means,
            "spread_over_seeds": spread, "pairs": {"today": len(today[0]), "spine": len(spine[0])},
        },
    )  # fmt: skip
    return [Outcome("P@10 by words, today against spine", means["today"], means["spine"])]


def _spine(target: Path) -> Path:
    """The library as it was, from the history."""
    root = Path(__file__).parents[1]
    archive = subprocess.run(["git", "archive", SPINE, "ovd_platform"], cwd=root, capture_output=True, check=False)
    if archive.returncode:
        raise SystemExit(
            f"Cannot compare with the first extractor: expected commit {SPINE} in the history, got none. Fetch the whole history."
        )
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(target, filter="data")
    return target


def _pairs(code: Path, images: Path) -> tuple[list[dict[str, Any]], Path]:
    """Pairs a version of the library makes of the demo's documents."""
    images.mkdir(parents=True)
    documents = DEMO_HOME / "world" / "documents"
    if not documents.is_dir():
        raise SystemExit(f"Cannot compare pairs: expected the demo's documents in {documents}. Run the benchmark `demo` first.")
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(documents.resolve()), str(images)],
        cwd=code,
        env={**os.environ, "PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"Cannot read the demo's documents with {code}: {done.stderr[-400:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    print(f"{code.name}: {answer['found']} figures, {len(answer['kept'])} pairs", flush=True)
    return answer["kept"], images


def _crops() -> list[tuple[Any, Any, np.ndarray, list[tuple[str, tuple[float, ...]]]]]:
    """(record, profile, boxes of the surest proposals, truth) of every optical scene of the demo."""
    from ovd_platform.flow.scenes import load_profile, load_proposals
    from ovd_platform.flow.stage import current
    from ovd_platform.flow.truth import load_truth
    from ovd_platform.flow.workspace import Workspace

    ws = Workspace.open(DEMO_HOME)
    truth = load_truth(ws, "optical")
    found = []
    for record in ws.scenes("optical"):
        output = current(ws, "optical", "proposals", record.scene_id)
        proposals = load_proposals(output.folder, record.scene_id)
        best = np.argsort(-np.asarray(proposals.objectness_n))[:_PER_SCENE]
        boxes = np.asarray(proposals.boxes_scene_xyxy, dtype=np.float32)
        own = [(item.class_name, tuple(item.box_scene_xyxy)) for item in truth.get(record.scene_id, [])]
        found.append((record, load_profile(ws, "optical", record.scene_id), boxes[best], own))
    return found


def _precision(pairs: list[dict[str, Any]], images: Path, crops: list[Any], seed: int, steps: int) -> dict[str, float]:
    """P@10 of every text over all proposals, with a CLIP trained on the pairs."""
    import cv2

    from ovd_platform.embed.builtin import BuiltinEncoder
    from ovd_platform.flow.scenes import open_registered
    from ovd_platform.flow.stage import current
    from ovd_platform.flow.workspace import Workspace
    from ovd_platform.learn.clip import train_clip
    from ovd_platform.stores.models import load_model

    ws = Workspace.open(DEMO_HOME)
    backbone, _ = load_model(ws.home.models, "optical-backbone", current(ws, "optical", "backbone").version)
    planes, texts = [], []
    for pair in pairs:
        pixels = cv2.imread(str(images / pair["image_path"]), cv2.IMREAD_UNCHANGED)
        if pair["modality"] == "optical" and pixels is not None:
            bands = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels[..., 2::-1], -1, 0)
            planes.append(np.ascontiguousarray(bands, dtype=np.float32) / np.iinfo(pixels.dtype).max)
            texts.append([text for text in (pair["caption"], *pair["callouts"]) if text])
    trained = train_clip(planes, texts, None, backbone, minutes=None, steps=steps, seed=seed)
    encoder = BuiltinEncoder(backbone, trained.state)
    vectors, classes = [], []
    for record, profile, boxes, own in crops:
        with open_registered(ws, "optical", record.scene_id) as scene:
            vectors.append(encoder.embed_boxes(scene, boxes, profile)[1])
        classes += [_class_of(box, own) for box in boxes]
    language = np.concatenate(vectors)
    scores = {}
    for class_name, words in _TEXTS.items():
        for text in words:
            order = np.argsort(-(language @ encoder.embed_text([text])[0]))[:10]
            scores[text] = float(np.mean([classes[index] == class_name for index in order]))
    return scores


def _class_of(box: np.ndarray, own: list[tuple[str, tuple[float, ...]]]) -> str:
    """Class of the object a proposal is about: IoU of at least 0.3; "" for none."""
    best, name = 0.3, ""
    for class_name, (x0, y0, x1, y1) in own:
        common = max(0.0, min(box[2], x1) - max(box[0], x0)) * max(0.0, min(box[3], y1) - max(box[1], y0))
        overlap = common / max(float((box[2] - box[0]) * (box[3] - box[1])) + (x1 - x0) * (y1 - y0) - common, 1e-6)
        if overlap >= best:
            best, name = overlap, class_name
    return name
