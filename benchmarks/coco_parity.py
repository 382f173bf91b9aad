"""COCO figures against the published ones, pycocotools on random cases, a perfect detector, and cases worked by hand."""

import contextlib
import io
import json
from typing import Any

import numpy as np

from benchmarks.outcome import Outcome, shared_data
from benchmarks.workspaces import save_result
from ovd_platform.evaluate.bootstrap import Replicates, interval, resampling_weights
from ovd_platform.evaluate.coco import evaluate_coco
from ovd_platform.evaluate.froc import recall_at_rates
from ovd_platform.evaluate.ranking import Ranking, average_precision, average_precisions
from ovd_platform.evaluate.scene_boxes import SceneBoxes

PUBLISHED = {
    "ap": 0.503647,
    "ap50": 0.696973,
    "ap75": 0.571667,
    "ap_small": 0.593252,
    "ap_medium": 0.557991,
    "ap_large": 0.489363,
    "ar_1": 0.386813,
    "ar_10": 0.593680,
    "ar_100": 0.595353,
    "ar_small": 0.654764,
    "ar_medium": 0.603130,
    "ar_large": 0.553744,
}
CASES = 200


def run(arguments: list[str]) -> list[Outcome]:
    """All checks; takes well under two minutes."""
    scenes, names = published_scenes()
    got = evaluate_coco(scenes, names, max_detections=100).figures
    worst = max(abs(float(got[name] or 0.0) - value) for name, value in PUBLISHED.items())
    met = sum(round(float(got[name] or 0.0), 6) == value for name, value in PUBLISHED.items())
    equal, gap = 0, 0.0
    for seed in range(CASES):
        truth, answers, classes, cap = random_case(np.random.default_rng(seed))
        difference = largest_difference(truth, answers, classes, cap)
        gap, equal = max(gap, difference), equal + (difference <= 1e-9)
    perfect = perfect_detector(5000)
    by_hand = sum(hand_worked())
    facts = {
        "published_figures_met_to_6_digits": met,
        "largest_gap_to_published": worst,
        "random_cases_equal_to_pycocotools": equal,
        "random_cases": CASES,
        "largest_gap_to_pycocotools": gap,
        "perfect_detector_ap_at_5000_objects": perfect,
        "hand_worked_cases": by_hand,
        "command": "uv run python -m benchmarks coco-parity",
    }
    save_result("coco-parity", facts)
    return [
        Outcome("published figures met to 6 digits", met, 12),
        Outcome("random cases equal to pycocotools", equal, CASES),
        Outcome("perfect detector AP at 5,000 objects", perfect, 1.0),
        Outcome("hand-worked FROC and bootstrap cases", by_hand, len(hand_worked())),
    ]


def published_scenes() -> tuple[list[SceneBoxes], list[str]]:
    """The 100 images of the COCO reference."""
    folder = shared_data() / "coco_reference"
    truth = json.loads((folder / "gt.json").read_text())
    answers = json.loads((folder / "dets_wrapped.json").read_text())["annotations"]
    used = sorted({int(a["category_id"]) for a in truth["annotations"]} | {int(a["category_id"]) for a in answers})
    for row in [*truth["annotations"], *answers]:
        row["bbox"] = json.loads(str(row["bbox"]))
        row |= {name: int(row[name]) for name in ("category_id", "image_id", "iscrowd") if name in row}
    ids = sorted(image["id"] for image in truth["images"])
    return scenes_of(truth["annotations"], answers, used, ids), [str(category) for category in used]


def scenes_of(
    truth: list[dict[str, Any]], answers: list[dict[str, Any]], classes: list[int], ids: list[int]
) -> list[SceneBoxes]:
    """COCO rows as scenes, in the order of the image ids (which breaks ties)."""
    index = {category: position for position, category in enumerate(classes)}

    def xyxy(rows: list[dict[str, Any]]) -> np.ndarray:
        boxes = np.array([row["bbox"] for row in rows], dtype=float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return boxes

    scenes = []
    for image_id in ids:
        true = [a for a in truth if a["image_id"] == image_id]
        found = [a for a in answers if a["image_id"] == image_id]
        scenes.append(
            SceneBoxes(
                str(image_id),
                xyxy(true),
                np.array([index[a["category_id"]] for a in true], dtype=np.int64),
                np.array([bool(a["iscrowd"]) for a in true], dtype=bool),
                np.array([float(a["area"]) for a in true], dtype=np.float64),
                xyxy(found),
                np.array([a["score"] for a in found], dtype=float),
                np.array([index[a["category_id"]] for a in found], dtype=np.int64),
                np.arange(len(found), dtype=np.int64),
            )
        )
    return scenes


def random_case(rng: np.random.Generator) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int, int]:
    """Truth and answers with crowds, ties, empty images, all sizes, crowded overlaps; boxes on half pixels, so sums are exact."""
    images, classes = int(rng.integers(1, 7)), int(rng.integers(1, 5))
    truth: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        spread = float(rng.choice([60.0, 300.0, 900.0]))
        for _ in range(int(rng.integers(0, 40)) if rng.random() > 0.15 else 0):
            size = np.round(np.exp(rng.uniform(np.log(3), np.log(160), 2)) * 2) / 2
            box = [*(np.round(rng.uniform(0, spread, 2) * 2) / 2).tolist(), *size.tolist()]
            row = {"id": len(truth) + 1, "image_id": image, "category_id": int(rng.integers(1, classes + 1)), "bbox": box}
            truth.append(row | {"area": float(size[0] * size[1]), "iscrowd": int(rng.random() < 0.1)})
        mine = [row for row in truth if row["image_id"] == image]
        for _ in range(int(rng.integers(0, 120))):
            if mine and rng.random() < 0.7:
                near = mine[int(rng.integers(len(mine)))]
                moved = np.asarray(near["bbox"]) + np.round(rng.normal(0, 0.12, 4) * max(near["bbox"][2:]) * 2) / 2
                box, name = [*moved[:2].tolist(), *np.maximum(moved[2:], 1.0).tolist()], near["category_id"]
            else:
                box = [*(np.round(rng.uniform(0, spread, 2) * 2) / 2).tolist(), *rng.integers(3, 90, 2).astype(float).tolist()]
                name = int(rng.integers(1, classes + 1))
            score = float(rng.choice([np.round(rng.random(), 1), rng.random()]))
            answers.append({"image_id": image, "category_id": int(name), "bbox": box, "score": score})
    return truth, answers, classes, int(rng.choice([5, 100, 100, 1000]))


def largest_difference(truth: list[dict[str, Any]], answers: list[dict[str, Any]], classes: int, cap: int) -> float:
    """Largest difference of ours and pycocotools over precision and recall of every class, IoU, area and recall level."""
    from ovd_platform.evaluate.coco import _tables
    from ovd_platform.evaluate.coco_match import FIRST_COCO

    if not answers:
        return 0.0
    ids = sorted({row["image_id"] for row in [*truth, *answers]})
    images = [{"id": number, "width": 1000, "height": 1000} for number in ids]
    precision, recall = pycocotools_tables(images, truth, answers, classes, cap)
    result = evaluate_coco(
        scenes_of(truth, answers, list(range(1, classes + 1)), ids), [str(k) for k in range(classes)], max_detections=cap
    )
    ours, reached = _tables(result.match, classes, cap)
    ours_trka = ours[:, :4, FIRST_COCO:].transpose(2, 3, 0, 1)
    reached_tka = reached[:, :4, FIRST_COCO:].transpose(2, 0, 1)
    return float(max(np.abs(ours_trka - precision).max(), np.abs(reached_tka - recall).max()))


def pycocotools_tables(
    images: list[dict[str, Any]], truth: list[dict[str, Any]], answers: list[dict[str, Any]], classes: int, cap: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (T, R, K, A) and recall (T, K, A) of pycocotools under a cap."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": images,
            "annotations": [dict(row) for row in truth],
            "categories": [{"id": k + 1, "name": str(k)} for k in range(classes)],
        }
        known.createIndex()
        judge = COCOeval(known, known.loadRes([dict(row) for row in answers]), "bbox")
        judge.params.maxDets = [cap]
        judge.params.imgIds = [image["id"] for image in images]
        judge.params.catIds = list(range(1, classes + 1))
        judge.evaluate()
        judge.accumulate()
    return judge.eval["precision"][..., 0], judge.eval["recall"][..., 0]


def perfect_detector(objects: int) -> float:
    """AP without cap of answers equal to the truth."""
    side = int(np.ceil(np.sqrt(objects)))
    rows, cols = np.divmod(np.arange(objects), side)
    corner = np.stack([cols * 12.0, rows * 12.0], axis=1)
    boxes = np.concatenate([corner, corner + 9.0], axis=1)
    zeros = np.zeros(objects, dtype=np.int64)
    scores = np.random.default_rng(1).random(objects)
    scene = SceneBoxes("s", boxes, zeros, zeros.astype(bool), np.full(objects, 81.0), boxes, scores, zeros, np.arange(objects))
    return float(evaluate_coco([scene], ["object"]).figures["ap"] or 0.0)


def hand_worked() -> list[bool]:
    """FROC and bootstrap on paper: two scenes with 3 + 1 objects, ranked T(0) F(1) T(1) F(0) T(0) F(1), 1 km2 each."""
    ranking = Ranking(
        np.array([0, 1, 1, 0, 0, 1]),
        np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]),
        np.array([True, False, True, False, True, False]),
        np.array([3, 1]),
    )
    empty = Ranking(ranking.scene_n, ranking.scores_n, ranking.true_n, np.array([3, 1, 0]))
    weights = resampling_weights(2, 4000, seed=5)
    shares = weights @ np.array([1.0, 0.0]) / 2
    drawn = Replicates(["a", "b"], replicates=400, seed=1)
    estimate = drawn.measure("x", lambda w: float(w @ np.array([1.0, 0.0])) / 2)
    return [
        recall_at_rates(ranking, np.array([1.0, 1.0]), [0.1, 0.5, 1.0, 10.0]).tolist() == [0.25, 0.5, 0.75, 0.75],
        recall_at_rates(empty, np.array([1.0, 1.0, 18.0]), [0.1]).tolist() == [0.75],  # a scene without objects is ground
        recall_at_rates(ranking, np.array([1.0, 1.0]), [0.5, 1.0], np.array([2.0, 0.0])).tolist() == [2 / 6, 4 / 6],
        abs(average_precision(ranking) - (26 * 1 + 25 * 2 / 3 + 25 * 3 / 5) / 101) < 1e-12,
        bool(
            np.allclose(average_precisions(ranking, np.array([[1.0, 1.0], [2.0, 0.0]])), [average_precision(ranking), _twice()])
        ),
        all(abs(float((shares == v).mean()) - p) < 0.03 for v, p in ((0.0, 0.25), (0.5, 0.5), (1.0, 0.25))),
        interval(shares) == (0.0, 1.0) and estimate == {"value": 0.5, "low": 0.0, "high": 1.0},
    ]


def _twice() -> float:
    """AP of scene 0 counted twice: T T F F T T of 6 objects: precision 1 up to recall 1/3, then 4/6 up to 2/3."""
    return (34 * 1.0 + 33 * 4 / 6) / 101
