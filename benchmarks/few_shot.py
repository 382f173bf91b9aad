"""A class after the fact: 5 and 10 examples of a class nobody labelled, no pixel read; and what a target precision is worth.

Two corpora: the rendered world of the finished benchmark `demo`, and the UC Merced chips. Examples come from scenes that are neither
judged nor tested; probabilities and thresholds from judged scenes that gave no example; figures from the rest. Beside them what other ways
would give: words alone, a head on every label of the class, and the detector trained on the class alone (which needs labels and a new pass
over all pixels, and is better: on the rendered class AP 0.99 against 0.62).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.demo import DEMO_HOME
from benchmarks.hits import average_precision, hits_by_rank
from benchmarks.outcome import Outcome, shared_data
from benchmarks.workspaces import BENCH_HOME, save_result
from ovd_platform.cli.demo import UNLABELLED
from ovd_platform.detect.few_shot import Corpus, Scorer, fit_few_shot
from ovd_platform.detect.matching import overlap_pairs
from ovd_platform.detect.worth import judge
from ovd_platform.flow import models
from ovd_platform.flow.models import Starter
from ovd_platform.flow.scenes import load_profile, load_rows, load_tiles, open_registered
from ovd_platform.flow.stage import current
from ovd_platform.flow.truth import load_truth
from ovd_platform.flow.workspace import Workspace
from ovd_platform.learn.proposer import train_proposer
from ovd_platform.propose.light import LightProposer
from ovd_platform.stores.vector_rows import boxes_of, centred_units, units, vectors_of

DRAWS, TARGETS = 30, (0.9, 0.7)
RETRAIN_MINUTES = 3.0
Array = NDArray[np.float32]
Kinds = tuple[Scorer | None, ...]
HEADS: Kinds = ("prototype", "logistic", None)


@dataclass(frozen=True)
class Items:
    """Everything that can be found: vectors, where each lies, which object of which class it is (-1 for none)."""

    vectors_nd: Array
    place_n: NDArray[np.int64]
    object_n: NDArray[np.int64]
    class_of_object: NDArray[np.str_]
    place_of_object: NDArray[np.int64]
    language_nd: Array | None = None

    def is_class(self, name: str) -> NDArray[np.bool_]:
        """Which items show an object of a class."""
        return (self.object_n >= 0) & (self.class_of_object[self.object_n] == name)


def run(arguments: list[str]) -> list[Outcome]:
    """The unlabelled class of the rendered world by method; every class at the target precision; then the chips."""
    ws = Workspace.open(DEMO_HOME)
    world = _world(ws)
    new_class: dict[str, Any] = {str(count): _draws(world, UNLABELLED, count, (*HEADS, "mlp")) for count in (5, 10)}
    print(new_class, flush=True)
    new_class["all_labels_of_other_scenes"] = _every_label(world, UNLABELLED)
    new_class["text_only"] = _by_words(ws, world)
    new_class["retrained_proposer"] = _retrained(ws, UNLABELLED)
    counts = {name: len(np.unique(world.object_n[world.is_class(name)])) for name in np.unique(world.class_of_object)}
    usual = [name for name, count in counts.items() if count >= 60]
    asked = {str(target): {name: _at_target(world, name, target) for name in usual} for target in TARGETS}
    chips = _chips(ws)
    chip_names = sorted(set(chips.class_of_object))
    by_chip = {
        str(count): _mean_over({name: _draws(chips, name, count, ("prototype", "logistic")) for name in chip_names})
        for count in (5, 10)
    }
    chips_asked = {str(target): {name: _at_target(chips, name, target) for name in chip_names} for target in TARGETS}
    facts = {
        "draws": DRAWS,
        "rendered_world": {"class": UNLABELLED, "objects": counts.get(UNLABELLED, 0), "by_method": new_class, "asked": asked},
        "ucmerced": {"classes": len(chip_names), "mean_over_classes": by_chip, "asked": chips_asked},
    }
    save_result("few-shot", {**facts, "command": "uv run python -m benchmarks demo && uv run python -m benchmarks few-shot"})
    return [
        Outcome("P@10, 5 examples of the unlabelled class", new_class["5"]["auto"]["p_at_10"]["mean"], 0.5),
        Outcome(
            "AP over text only, 5 examples", new_class["5"]["auto"]["ap"]["mean"] - new_class["text_only"]["ap"]["mean"], 0.1
        ),
        *(
            Outcome(f"share of draws that promise {target} and miss it, {name}", _missed(rows[target]), 0.1, at_least=False)
            for name, rows in (("rendered", asked), ("chips", chips_asked))
            for target in rows
        ),
    ]


# --- corpora -----------------------------------------------------------------------------------------------------------------


def _world(ws: Workspace) -> Items:
    """Proposal rows of all optical scenes against exact truth; visits of one place are one place."""
    truth = load_truth(ws, "optical")
    places = sorted({name.removesuffix("_revisit") for name in truth})
    vectors, place, found, classes, where, words = [], [], [], [], [], []
    for scene_id, labels in sorted(truth.items()):
        rows = load_rows(current(ws, "optical", "embeddings", scene_id).folder)
        boxes = np.array([one.box_scene_xyxy for one in labels], dtype=np.float32).reshape(-1, 4)
        i, j, iou = overlap_pairs(boxes_of(rows), boxes)
        best = np.full(len(rows), -1, np.int64)
        order = np.argsort(iou, kind="stable")
        order = order[iou[order] >= 0.5]
        best[i[order]] = j[order] + len(classes)
        vectors.append(vectors_of(rows, "visual"))
        if "language" in rows.column_names:
            words.append(vectors_of(rows, "language"))
        number = places.index(scene_id.removesuffix("_revisit"))
        place.append(np.full(len(rows), number))
        found.append(best)
        classes.extend(one.class_name for one in labels)
        where.extend([number] * len(labels))
    return Items(
        np.concatenate(vectors), np.concatenate(place), np.concatenate(found), np.array(classes), np.array(where),
        np.concatenate(words) if words else None,
    )  # fmt: skip


def _chips(ws: Workspace) -> Items:
    """UC Merced chips through the workspace's encoder; every chip is a place of its own."""
    paths = sorted((shared_data() / "ucmerced").rglob("*.*"))
    paths = [path for path in paths if path.suffix.lower() in (".tif", ".png", ".jpg")]
    version = models.released(ws, "optical")["encoder"]
    kept = BENCH_HOME / f"ucmerced-{version}.npy"
    if kept.is_file():
        vectors = np.load(kept)
    else:
        encoder = models.encoder(ws, "optical", version)
        images = []
        for path in paths:
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
            assert picture is not None, path
            images.append((np.ascontiguousarray(picture.transpose(2, 0, 1)), None, None, None))
        vectors = encoder.embed_images(images)
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, vectors)
    names = np.array([path.stem.rstrip("0123456789_") for path in paths])
    numbers = np.arange(len(paths))
    return Items(np.asarray(vectors, dtype=np.float32), numbers, numbers, names, numbers)


# --- draws -------------------------------------------------------------------------------------------------------------------


def _support(items: Items, name: str, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Examples, one an object, from as few places as hold enough, and which items lie at other places."""
    mine = np.flatnonzero(items.is_class(name))
    places = rng.permutation(np.unique(items.place_n[mine]))
    for end in range(2, len(places) + 1):
        inside = mine[np.isin(items.place_n[mine], places[:end])]
        _, first = np.unique(items.object_n[inside], return_index=True)
        if len(first) >= count:
            chosen = rng.choice(inside[first], count, replace=False)
            return chosen, ~np.isin(items.place_n, places[:end])
    return mine[:0], np.zeros(len(items.place_n), np.bool_)


def _draws(items: Items, name: str, count: int, kinds: Kinds) -> dict[str, Any]:
    """AP and P@10 over draws, by method; a plain cosine to the examples' mean beside the heads."""
    figures: dict[str, list[tuple[float, float]]] = {}
    for draw in range(DRAWS):
        rng = np.random.default_rng([draw, count, *name.encode()])
        chosen, apart = _support(items, name, count, rng)
        if not len(chosen):
            return {}
        corpus = Corpus.of(items.vectors_nd[apart], seed=draw)
        here = items.vectors_nd[apart]
        scores = {
            "cosine": centred_units(here, corpus.mean_d)
            @ units((items.vectors_nd[chosen] - corpus.mean_d).mean(0, keepdims=True))[0]
        }
        for kind in kinds:
            scores[kind or "auto"] = fit_few_shot(items.vectors_nd[chosen], corpus, kind, seed=draw)(here)
        for method, score_n in scores.items():
            figures.setdefault(method, []).append(_figures(items, name, apart, score_n))
    return {
        method: {"ap": _spread([a for a, _ in rows]), "p_at_10": _spread([p for _, p in rows])}
        for method, rows in figures.items()
    }


def _ranked(items: Items, name: str, apart: NDArray[np.bool_], score_n: NDArray[Any]) -> NDArray[np.bool_]:
    """Right or wrong by falling score; an object that was found already is not counted again."""
    order = np.argsort(-score_n, kind="stable")
    objects, right = items.object_n[apart][order], items.is_class(name)[apart][order]
    _, first = np.unique(objects, return_index=True)
    keep = objects < 0
    keep[first] = True
    return np.asarray(right[keep])


def _figures(items: Items, name: str, apart: NDArray[np.bool_], score_n: NDArray[Any]) -> tuple[float, float]:
    right = _ranked(items, name, apart, score_n)
    total = int(((items.class_of_object == name) & np.isin(items.place_of_object, np.unique(items.place_n[apart]))).sum())
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return float(precision[right].sum() / max(total, 1)), float(right[:10].mean())


def _every_label(items: Items, name: str) -> dict[str, Any]:
    """What labelling would have bought: a logistic head on every matched proposal of the other places, by halves of the places."""
    rows = []
    for draw in range(6):
        places = np.random.default_rng(draw).permutation(np.unique(items.place_n))
        apart = np.isin(items.place_n, places[: len(places) // 2])
        examples = items.vectors_nd[~apart & items.is_class(name)]
        if len(examples) < 5 or not (apart & items.is_class(name)).any():
            continue
        corpus = Corpus.of(items.vectors_nd[apart], seed=draw)
        rows.append(_figures(items, name, apart, fit_few_shot(examples, corpus, "logistic")(items.vectors_nd[apart])))
    return {"ap": _spread([a for a, _ in rows]), "p_at_10": _spread([p for _, p in rows])}


def _retrained(ws: Workspace, name: str) -> dict[str, Any]:
    """What labelling the class and training the detector on it alone would have bought: every label of half of the places, both halves."""
    truth = load_truth(ws, "optical")
    places = np.random.default_rng(0).permutation(sorted({scene.removesuffix("_revisit") for scene in truth}))
    rows = []
    for half in (set(places[::2]), set(places[1::2])):
        inside = [scene for scene in truth if scene.removesuffix("_revisit") in half]
        boxes = {scene: _boxes(truth[scene], name) for scene in truth}
        scenes = [(open_registered(ws, "optical", scene), load_profile(ws, "optical", scene)) for scene in inside]
        made = train_proposer(
            scenes,
            {scene: boxes[scene] for scene in inside},
            minutes=RETRAIN_MINUTES,
            init_state=Starter.of("optical-proposer").state(),
        )
        for scene, _ in scenes:
            scene.close()
        proposer = LightProposer(made.state, made.card, "one class")
        score, right, total = [], [], 0
        for scene_id in sorted(set(truth) - set(inside)):
            with open_registered(ws, "optical", scene_id) as scene:
                tiles, profile = load_tiles(ws, "optical", scene_id), load_profile(ws, "optical", scene_id)
                found = proposer.propose(scene, tiles, profile, max_per_mpx=300)
            score.append(found.objectness_n)
            right.append(hits_by_rank(found.boxes_scene_xyxy, found.objectness_n, boxes[scene_id]))
            total += len(boxes[scene_id])
        score_n, right_n = np.concatenate(score), np.concatenate(right)
        top_n = right_n[np.argsort(-score_n, kind="stable")[:10]]
        rows.append((average_precision(score_n, right_n, total), float(top_n.mean())))
        print("retrained", rows[-1], made.card["steps"], flush=True)
    return {"ap": _spread([a for a, _ in rows]), "p_at_10": _spread([p for _, p in rows]), "minutes_each": RETRAIN_MINUTES}


def _boxes(labels: Sequence[Any], name: str) -> NDArray[np.float32]:
    return np.array([one.box_scene_xyxy for one in labels if one.class_name == name], dtype=np.float32).reshape(-1, 4)


def _by_words(ws: Workspace, items: Items) -> dict[str, Any]:
    """The class by its words alone, without documents."""
    encoder = models.encoder(ws, "optical", models.released(ws, "optical")["encoder"])
    if items.language_nd is None or not encoder.has_language:
        return {"ap": {"mean": 0.0}, "p_at_10": {"mean": 0.0}}
    words = encoder.embed_text([f"small {UNLABELLED}", "small building with a dome roof"]).mean(0)
    everything = np.ones(len(items.place_n), np.bool_)
    ap, top = _figures(items, UNLABELLED, everything, centred_units(items.language_nd, items.language_nd.mean(0)) @ words)
    return {"ap": {"mean": ap}, "p_at_10": {"mean": top}}


# --- target precision --------------------------------------------------------------------------------------------------------


def _at_target(items: Items, name: str, target: float) -> dict[str, Any]:
    """Precision asked of a threshold, and achieved at places that gave neither examples nor judged rows.

    A threshold is promised with nine-in-ten assurance: at most one draw in ten should give one that misses the target.
    """
    hits = accepted = abstained = total = inside = given = missed = 0
    for draw in range(DRAWS):
        rng = np.random.default_rng([draw, 9, *name.encode()])
        chosen, apart = _support(items, name, 10, rng)
        if not len(chosen):
            return {}
        places = rng.permutation(np.unique(items.place_n[apart]))
        judged = apart & np.isin(items.place_n, places[: len(places) // 2])
        tested = apart & ~judged
        scorer = fit_few_shot(items.vectors_nd[chosen], Corpus.of(items.vectors_nd[apart], seed=draw), "logistic")
        score_j, truth_j, place_j = _without_repeats(items, name, judged, scorer)
        worth = judge(score_j, truth_j, target, scene_n=place_j)
        if worth.threshold is None:
            abstained += 1
            continue
        score_t, truth_t, _ = _without_repeats(items, name, tested, scorer)
        taken = score_t >= worth.threshold
        right = int(truth_t[taken].sum())
        hits, accepted, total = hits + right, accepted + int(taken.sum()), total + int(truth_t.sum())
        if taken.sum():
            given += 1
            missed += int(right / taken.sum() < target)
            inside += int(worth.precision_low <= right / taken.sum() <= worth.precision_high)  # type: ignore[operator]
    return {
        "asked": target,
        "missed_of_draws": missed / DRAWS,
        "achieved": hits / accepted if accepted else None,
        "right": hits,
        "accepted": accepted,
        "recall_of_proposed": hits / total if total else None,
        "abstained_of_draws": abstained / DRAWS,
        "within_stated_interval": inside / given if given else None,
    }


def _without_repeats(
    items: Items, name: str, part: NDArray[np.bool_], scorer: Callable[[Array], NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Scores, truth and places of items, the best item of each object only."""
    score_n = scorer(items.vectors_nd[part])
    order = np.argsort(-score_n, kind="stable")
    objects = items.object_n[part][order]
    _, first = np.unique(objects, return_index=True)
    keep = objects < 0
    keep[first] = True
    kept = order[keep]
    return score_n[kept], items.is_class(name)[part][kept], items.place_n[part][kept]


def _missed(asked: dict[str, dict[str, Any]]) -> float:
    """Share of the draws of all classes that gave a threshold which missed the target."""
    return float(np.mean([row["missed_of_draws"] for row in asked.values() if row]))


def _mean_over(classes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean over classes of each method's means, with the interval over classes."""
    methods = next(iter(classes.values())).keys()
    return {
        method: {
            figure: _spread([row[method][figure]["mean"] for row in classes.values() if row]) for figure in ("ap", "p_at_10")
        }
        for method in methods
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, and the half width of its 95 % interval."""
    known = np.asarray(values, dtype=np.float64)
    if not len(known):
        return {"mean": float("nan"), "half_width": float("nan")}
    half = 1.96 * known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else float("nan")
    return {"mean": float(known.mean()), "half_width": float(half)}
