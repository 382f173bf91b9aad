"""The demo's results against the exact truth of the rendered world; only scenes the proposer was not trained on count for recall."""

import numpy as np

from benchmarks.demo import DEMO_HOME
from benchmarks.outcome import Outcome
from benchmarks.workspaces import precision_by_example, precision_of_text, save_result
from ovd_platform.cli.demo import UNLABELLED
from ovd_platform.evaluate.duplicates import per_thousand, seam_duplicates
from ovd_platform.evaluate.georef import footprint_errors_px
from ovd_platform.flow.labels import load_split
from ovd_platform.flow.report import load_detections
from ovd_platform.flow.scenes import load_proposals
from ovd_platform.flow.stage import current
from ovd_platform.flow.truth import load_truth
from ovd_platform.flow.workspace import Workspace
from ovd_platform.geometry.boxes import iou_matrix
from ovd_platform.records.annotation import Annotation

WORDS = "small building with a dome roof"
_PER_TILE = 300
_TILE_PX = 512
_DRAWS = 12


def run(arguments: list[str]) -> list[Outcome]:
    """Measure on the demo workspace; run the benchmark `demo` first."""
    ws = Workspace.open(DEMO_HOME)
    truth, split = load_truth(ws, "optical"), load_split(ws, "optical")
    reached = np.concatenate([_reached(ws, scene_id, truth[scene_id]) for scene_id in split.test])
    example, spread = _by_example(ws, truth)
    text = precision_of_text(ws, UNLABELLED, WORDS, k=10, scene_ids=sorted(truth))
    error, duplicates, answers = _places(ws)
    print(f"{len(reached)} objects >= 8 px on {len(split.test)} held-out scenes")
    save_result(
        "rendered-truth",
        {
            "rendered": True,
            "proposal_recall_300_a_tile": float(reached.mean()),
            "objects": len(reached),
            "by_example_p_at_10": {"mean": example, "std": spread, "draws": _DRAWS, "examples": 5, "donor_scenes": 2},
            "text_p_at_10": text,
            "georeference_error_px_max": error,
            "duplicates_per_1000": per_thousand(duplicates, answers),
            "command": "uv run python -m benchmarks demo && uv run python -m benchmarks rendered-truth",
        },
    )
    return [
        Outcome("proposal recall, objects >= 8 px", float(reached.mean()), 0.95),
        Outcome("P@10 by example, unlabelled class", example, 0.8),
        Outcome("P@10 by words, unlabelled class", text, 0.5),
        Outcome("georeference error px", error, 1.0, at_least=False),
        Outcome("duplicates per 1000", per_thousand(duplicates, answers), 1.0, at_least=False),
    ]


def _by_example(ws: Workspace, truth: dict[str, list[Annotation]]) -> tuple[float, float]:
    """Mean and spread of P@10 by five chips; each draw takes them from two places of its own, which are not searched."""
    with_domes = sorted({_place(name) for name in truth if any(one.class_name == UNLABELLED for one in truth[name])})
    values = []
    for draw in range(_DRAWS):
        donors = set(np.random.default_rng([draw, 5]).choice(with_domes, 2, replace=False).tolist())
        searched = sorted(name for name in truth if _place(name) not in donors)
        values.append(
            precision_by_example(ws, UNLABELLED, k=10, examples=5, scene_ids=searched, exclude=searched, draws=1, seed=draw)[0]
        )
    return float(np.mean(values)), float(np.std(values))


def _place(scene_id: str) -> str:
    """The two later visits of the world show places that are in it already."""
    return scene_id.removesuffix("_revisit")


def _reached(ws: Workspace, scene_id: str, labels: list[Annotation]) -> np.ndarray:
    """Which objects of at least 8 px one of the best 300 proposals of a tile covers with IoU 0.5."""
    proposals = load_proposals(current(ws, "optical", "proposals", scene_id).folder, scene_id)
    record = ws.scene("optical", scene_id)
    limit = int(_PER_TILE * np.ceil(record.width_px / _TILE_PX) * np.ceil(record.height_px / _TILE_PX))
    boxes = np.asarray([one.box_scene_xyxy for one in labels], dtype=np.float32).reshape(-1, 4)
    size = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    boxes = boxes[size >= 8]
    if not len(boxes):
        return np.zeros(0, dtype=bool)
    return np.asarray(iou_matrix(boxes, proposals.boxes_scene_xyxy[:limit]).max(axis=1) >= 0.5)


def _places(ws: Workspace) -> tuple[float, int, int]:
    """Largest corner error of a detection's footprint in px, duplicate pairs, and detections."""
    worst, repeated, answers = 0.0, 0, 0
    for record in ws.scenes("optical"):
        found = [one for one in load_detections(ws, "optical", record.scene_id) if one.accepted]
        answers += len(found)
        if not found:
            continue
        boxes = [one.box_scene_xyxy for one in found]
        repeated += int(
            seam_duplicates(np.asarray(boxes), [one.tile_id for one in found], [one.class_name for one in found]).sum()
        )
        worst = max(worst, float(footprint_errors_px(record, boxes, [one.footprint_lonlat for one in found]).max()))
    return worst, repeated, answers
