"""Compiled loops over rankings. Belongs here: COCO's greedy match and accumulation, and figures of many weightings at once.

Imported only when something is evaluated.
"""

import numpy as np
from numba import njit

_TINY = np.spacing(1.0)


@njit(cache=True)
def _best(begin, end, truths, ious, least, a, outside, crowd, taken, judged):  # type: ignore[no-untyped-def]  # numba compiles it
    """Best object from ``least`` upwards among those that count (``judged``) or among the ignored; -1 if none."""
    best, chosen = least, -1
    for p in range(begin, end):
        k = truths[p]
        ignored = outside[k, a] or crowd[k]
        if ignored == judged or (taken[k] and not crowd[k]) or ious[p] < best:
            continue
        best, chosen = ious[p], k
    return chosen


@njit(cache=True)
def match_ranked(order, starts, truths, ious, crowd, truth_outside, answer_outside, thresholds):  # type: ignore[no-untyped-def]  # numba compiles it
    """COCO's matching of answers in ``order``: 1 true, 0 false, -1 ignored; shape (N, A, T), int8.

    ``starts`` (N + 1,) points into ``truths`` and ``ious``, the candidates of each answer by rising index of the object.
    """
    areas, steps = truth_outside.shape[1], thresholds.shape[0]
    state = np.zeros((answer_outside.shape[0], areas, steps), dtype=np.int8)
    for a in range(areas):
        for t in range(steps):
            taken = np.zeros(crowd.shape[0], dtype=np.bool_)
            least = min(thresholds[t], 1.0 - 1e-10)
            for n in order:
                begin, end = starts[n], starts[n + 1]
                chosen = _best(begin, end, truths, ious, least, a, truth_outside, crowd, taken, True)
                if chosen >= 0:
                    taken[chosen] = True
                    state[n, a, t] = 1
                    continue
                chosen = _best(begin, end, truths, ious, least, a, truth_outside, crowd, taken, False)
                if chosen >= 0:
                    taken[chosen] = True
                if chosen >= 0 or answer_outside[n, a]:
                    state[n, a, t] = -1
    return state


@njit(cache=True)
def accumulate(order, state, objects, points, precision, recall):  # type: ignore[no-untyped-def]  # numba compiles it
    """Fill ``precision`` (A, T, R) and ``recall`` (A, T) of one class from its answers in ``order``."""
    areas, steps = state.shape[1], state.shape[2]
    reached, exact = np.empty(order.shape[0] + 1), np.empty(order.shape[0] + 1)
    for a in range(areas):
        if objects[a] == 0:
            continue
        for t in range(steps):
            found, false, hits = 0.0, 0.0, 0
            for place in range(order.shape[0]):
                verdict = state[order[place], a, t]
                if verdict == 1:
                    found += 1.0
                    reached[hits] = found / objects[a]
                    exact[hits] = found / (false + found + _TINY)
                    hits += 1
                elif verdict == 0:
                    false += 1.0
            recall[a, t] = found / objects[a]
            for hit in range(hits - 1, 0, -1):
                exact[hit - 1] = max(exact[hit - 1], exact[hit])
            hit = 0
            for r in range(points.shape[0]):
                while hit < hits and reached[hit] < points[r]:
                    hit += 1
                precision[a, t, r] = exact[hit] if hit < hits else 0.0


@njit(cache=True)
def weighted_precision(scenes, true, objects, weights, points):  # type: ignore[no-untyped-def]  # numba compiles it
    """Average precision of one ranking under each row of ``weights`` (B, S); NaN where no object counts."""
    values = np.full(weights.shape[0], np.nan)
    reached, exact = np.empty(scenes.shape[0] + 1), np.empty(scenes.shape[0] + 1)
    for b in range(weights.shape[0]):
        total = 0.0
        for s in range(objects.shape[0]):
            total += weights[b, s] * objects[s]
        if total <= 0.0:
            continue
        found, all_of, hits = 0.0, 0.0, 0
        for n in range(scenes.shape[0]):
            weight = weights[b, scenes[n]]
            all_of += weight
            if true[n] and weight > 0.0:
                found += weight
                reached[hits] = found / total
                exact[hits] = found / all_of
                hits += 1
        for hit in range(hits - 1, 0, -1):
            exact[hit - 1] = max(exact[hit - 1], exact[hit])
        hit, summed = 0, 0.0
        for r in range(points.shape[0]):
            while hit < hits and reached[hit] < points[r]:
                hit += 1
            if hit == hits:
                break
            summed += exact[hit]
        values[b] = summed / points.shape[0]
    return values


@njit(cache=True)
def weighted_recall(scenes, scores, true, objects, ground, weights, rates):  # type: ignore[no-untyped-def]  # numba compiles it
    """Best recall at or below each false-alarm rate, one row a row of ``weights``: (B, R); NaN without objects or ground."""
    values = np.full((weights.shape[0], rates.shape[0]), np.nan)
    count = scenes.shape[0]
    for b in range(weights.shape[0]):
        total, area = 0.0, 0.0
        for s in range(objects.shape[0]):
            total += weights[b, s] * objects[s]
            area += weights[b, s] * ground[s]
        if total <= 0.0 or area <= 0.0:
            continue
        values[b, :] = 0.0
        found, false, rate = 0.0, 0.0, 0
        for n in range(count):
            weight = weights[b, scenes[n]]
            if true[n]:
                found += weight
            else:
                false += weight
            if n + 1 < count and scores[n + 1] == scores[n]:
                continue  # a tie is let in together
            while rate < rates.shape[0] and false / area > rates[rate] * (1.0 + 1e-12):
                rate += 1
            if rate == rates.shape[0]:
                break
            values[b, rate] = found / total
        for r in range(1, rates.shape[0]):
            values[b, r] = max(values[b, r], values[b, r - 1])
    return values
