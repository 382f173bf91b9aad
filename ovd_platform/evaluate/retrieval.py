"""How well a search ranks: precision and recall at K, average precision, nDCG, with prevalence beside them.

Belongs here: judging ranked hits against true boxes of a class. Does not belong here: searching, or ANN recall.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ovd_platform.evaluate.bootstrap import plain
from ovd_platform.evaluate.match import FALSE, FOUND, MatchRules, candidate_pairs, match_scene
from ovd_platform.evaluate.scene_boxes import BoolArray, scene_boxes
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.prompt import Hit

KS: tuple[int, ...] = (1, 5, 10, 20, 50, 100)


@dataclass(frozen=True, slots=True)
class RetrievalQuery:
    """One search and what it should have found.

    Attributes:
        query_id: Unique in the evaluation.
        prompt: What was asked, as printed to people.
        kind: Words, example chips, or both.
        class_name: Class whose objects are relevant.
        hits: Answers, best first.
        index_size: Rows that could have been answered; None takes the evaluated proposals.
    """

    query_id: str
    prompt: str
    kind: Literal["text", "chip", "both"]
    class_name: str
    hits: tuple[Hit, ...]
    index_size: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A ranking after judging; hits that cannot be judged or repeat an object are gone.

    Attributes:
        relevant_n: Whether the hit is an object of the class not met before, best first, shape (N,), bool.
        relevant_total: Objects of the class in the evaluated scenes.
        outside: Hits in scenes that are not evaluated.
        repeats: Hits on an object met before.
        ignored: Hits on ignored labels.
        position_n: Index of each judged hit in the query's hits.
    """

    relevant_n: BoolArray
    relevant_total: int
    outside: int
    repeats: int
    ignored: int
    position_n: tuple[int, ...]


def judge_hits(query: RetrievalQuery, truth: Mapping[str, Sequence[Annotation]], rules: MatchRules | None = None) -> Judged:
    """Compare ranked hits with the true objects of the query's class.

    Args:
        query: The search.
        truth: Labels of every evaluated scene (an empty list for a scene without objects).
        rules: When a hit is the object.
    """
    rules = rules or MatchRules()
    by_scene: dict[str, list[int]] = {}
    for position, hit in enumerate(query.hits):
        by_scene.setdefault(hit.scene_id, []).append(position)
    outside = sum(len(positions) for scene_id, positions in by_scene.items() if scene_id not in truth)
    verdict: dict[int, bool] = {}
    repeats = ignored = total = 0
    for scene_id, labels in truth.items():
        positions = by_scene.get(scene_id, [])
        boxes = np.asarray([query.hits[p].box_scene_xyxy for p in positions], dtype=np.float64).reshape(-1, 4)
        ranks = -np.asarray(positions, dtype=np.float64)
        scene = scene_boxes(scene_id, labels, boxes, ranks, [query.class_name] * len(positions), [query.class_name])
        pairs = candidate_pairs(scene, rules)
        matches = match_scene(scene, rules, pairs)
        total += int((~scene.truth_ignored_k).sum())
        touching = (np.maximum(pairs.iou_p, pairs.centre_p) >= rules.iou) & ~scene.truth_ignored_k[pairs.truth_p]
        on_object = set(pairs.box_p[touching].tolist())
        for n, position in enumerate(positions):
            if matches.state_n[n] == FOUND:
                verdict[position] = True
            elif matches.state_n[n] == FALSE and n not in on_object:
                verdict[position] = False
            elif matches.state_n[n] == FALSE:
                repeats += 1
            else:
                ignored += 1
    order = tuple(sorted(verdict))
    relevant_n = np.asarray([verdict[p] for p in order], dtype=np.bool_).reshape(-1)
    return Judged(relevant_n, total, outside, repeats, ignored, order)


def score_ranking(relevant_n: BoolArray, relevant_total: int, ks: Sequence[int] = KS) -> dict[str, float | None]:
    """Figures of one judged ranking.

    Args:
        relevant_n: Best first, shape (N,), bool.
        relevant_total: Objects that could have been found.
        ks: Depths.

    Returns:
        ``ap`` (over all relevant objects, not only those returned), and for each K ``p_at_K``, ``r_at_K``, ``ndcg_at_K`` and
        ``p_at_K_reachable`` (precision as a share of the best that K and the number of relevant objects allow; for rare
        classes). None without any relevant object.
    """
    found_n = np.cumsum(relevant_n)
    gain_n = relevant_n / np.log2(np.arange(len(relevant_n)) + 2.0)
    figures: dict[str, float | None] = {"ap": None}
    if relevant_total:
        places = np.flatnonzero(relevant_n)
        figures["ap"] = plain(float((found_n[places] / (places + 1.0)).sum() / relevant_total))
    for k in ks:
        found = int(relevant_n[:k].sum())
        best = min(k, relevant_total)
        ideal = float((1.0 / np.log2(np.arange(best) + 2.0)).sum())
        figures[f"p_at_{k}"] = plain(found / k)
        figures[f"p_at_{k}_reachable"] = plain(found / best) if best else None
        figures[f"r_at_{k}"] = plain(found / relevant_total) if relevant_total else None
        figures[f"ndcg_at_{k}"] = plain(float(gain_n[:k].sum()) / ideal) if best else None
    return figures


def evaluate_query(
    query: RetrievalQuery,
    truth: Mapping[str, Sequence[Annotation]],
    *,
    candidates: int,
    ks: Sequence[int] = KS,
    rules: MatchRules | None = None,
) -> dict[str, Any]:
    """All figures of one query with its prevalence (relevant objects over rows that could be answered).

    The AP of a random ranking is about the prevalence: read AP beside it, never alone.
    """
    judged = judge_hits(query, truth, rules)
    size = query.index_size if query.index_size is not None else candidates
    return {
        "query_id": query.query_id,
        "prompt": query.prompt,
        "kind": query.kind,
        "class_name": query.class_name,
        "hits": len(query.hits),
        "judged": len(judged.relevant_n),
        "relevant": judged.relevant_total,
        "index_size": size,
        "prevalence": plain(judged.relevant_total / size) if size else None,
        "repeats": judged.repeats,
        "ignored": judged.ignored,
        "outside": judged.outside,
        **score_ranking(judged.relevant_n, judged.relevant_total, ks),
    }
