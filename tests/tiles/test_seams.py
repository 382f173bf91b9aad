"""Seam merging: idempotent, order-free, loses no neighbour that one tile saw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.errors import InputError, ShapeError
from ovd_platform.geometry.boxes import area, intersection_matrix, iou_matrix
from ovd_platform.tiles.seams import merge_seams


def random_boxes(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(3, 25, (count, 2))], axis=1)
    return boxes, rng.integers(0, 5, count) / 5, rng.integers(0, 4, count)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_idempotent_order_free_and_justified(seed: int, count: int) -> None:
    boxes, scores, tiles = random_boxes(seed, count)
    kept = merge_seams(boxes, scores, tiles)
    again = merge_seams(boxes[kept], scores[kept], tiles[kept])
    assert np.array_equal(again, np.arange(len(kept)))
    order = np.random.default_rng(seed + 1).permutation(count)
    shuffled = merge_seams(boxes[order], scores[order], tiles[order])
    assert np.array_equal(order[shuffled], kept)
    assert (np.diff(scores[kept]) <= 0).all()
    shared = intersection_matrix(boxes, boxes)
    ios = shared / np.minimum(area(boxes)[:, None], area(boxes)[None])
    same_object = (iou_matrix(boxes, boxes) > 0.5) | (ios > 0.7)
    across = tiles[:, None] != tiles[None]
    conflict = same_object & across
    assert not conflict[np.ix_(kept, kept)].any(), "two kept boxes of different tiles never cover one object"
    for lost in set(range(count)) - set(kept.tolist()):
        assert any(conflict[lost, k] and scores[k] >= scores[lost] for k in kept), "a box is lost only to a kept better one"


def test_neighbours_in_one_tile_are_never_lost() -> None:
    boxes, scores, _ = random_boxes(3, 80)
    assert len(merge_seams(boxes, scores, np.zeros(80, int))) == 80


def test_rafted_ships_seen_by_two_tiles_stay_two() -> None:
    ships = np.array([[10, 10, 30, 50], [22, 10, 42, 50]], float)
    boxes = np.concatenate([ships, ships + 1])
    kept = merge_seams(boxes, [0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1])
    assert kept.tolist() == [0, 1]


def test_half_an_object_cut_by_an_edge_is_merged() -> None:
    assert merge_seams([[0, 0, 40, 10], [20, 0, 40, 10]], [0.5, 0.6], [0, 1]).tolist() == [1]


def test_empty_and_wrong_arguments() -> None:
    assert merge_seams([], [], []).tolist() == []
    with pytest.raises(ShapeError):
        merge_seams([[0, 0, 1, 1]], [1, 2], [0])
    with pytest.raises(InputError):
        merge_seams([[0, 0, np.nan, 1]], [1], [0])
