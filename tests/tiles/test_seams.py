"""Seam merging: idempotent, order-free, loses no neighbour that one tile saw nor one that lies aside."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.errors import InputError, ShapeError
from ovd_platform.geometry.boxes import area, centre, intersection_matrix, iou_matrix
from ovd_platform.records.mask import Mask
from ovd_platform.tiles.seams import SeamRules, merge_seams

RULES = SeamRules()


def random_boxes(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(3, 25, (count, 2))], axis=1)
    copies = count // 3
    boxes[:copies] = boxes[count - copies :] + rng.normal(0, 0.7, (copies, 4))
    return boxes, rng.integers(0, 5, count) / 5, rng.integers(0, 4, count)


def one_object(boxes: np.ndarray, cut: np.ndarray | None) -> np.ndarray:
    """The rules written out over every pair."""
    shared, sizes = intersection_matrix(boxes, boxes), area(boxes)
    smaller, larger = np.minimum(sizes[:, None], sizes[None]), np.maximum(sizes[:, None], sizes[None])
    side = np.sqrt(larger)
    apart = np.linalg.norm(centre(boxes)[:, None] - centre(boxes)[None], axis=2)
    wanted = np.where(side < RULES.tiny_px, RULES.tiny_iou, RULES.iou)
    same = (iou_matrix(boxes, boxes).astype(float) > wanted) & (apart <= RULES.near_px + RULES.near_fraction * side)
    part = smaller < RULES.alike * larger if cut is None else cut[:, None] | cut[None]
    return same | ((shared > RULES.ios * smaller) & part)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.booleans())
def test_idempotent_order_free_and_justified(seed: int, count: int, known_cuts: bool) -> None:
    boxes, scores, tiles = random_boxes(seed, count)
    cut = np.random.default_rng(seed).random(count) < 0.2 if known_cuts else None
    kept = merge_seams(boxes, scores, tiles, cut_n=cut)
    again = merge_seams(boxes[kept], scores[kept], tiles[kept], cut_n=None if cut is None else cut[kept])
    assert np.array_equal(again, np.arange(len(kept)))
    order = np.random.default_rng(seed + 1).permutation(count)
    shuffled = merge_seams(boxes[order], scores[order], tiles[order], cut_n=None if cut is None else cut[order])
    assert np.array_equal(order[shuffled], kept)
    assert (np.diff(scores[kept]) <= 0).all()
    conflict = one_object(boxes, cut) & (tiles[:, None] != tiles[None])
    assert not conflict[np.ix_(kept, kept)].any(), "two kept boxes of different tiles never cover one object"
    for lost in set(range(count)) - set(kept.tolist()):
        assert any(conflict[lost, k] and scores[k] >= scores[lost] for k in kept), "a box is lost only to a kept better one"


def test_neighbours_in_one_tile_are_never_lost() -> None:
    boxes, scores, _ = random_boxes(3, 80)
    assert len(merge_seams(boxes, scores, np.zeros(80, int))) == 80


def rafted(shift: float = 0.0) -> np.ndarray:
    """Corners of four ships of 100 x 15 px beside each other at 45 degrees, shape (4, 4, 2)."""
    along, across = np.array([1, 1]) / np.sqrt(2), np.array([-1, 1]) / np.sqrt(2)
    hull = np.array([[-50, -7.5], [50, -7.5], [50, 7.5], [-50, 7.5]])
    middles = np.array([200.0, 200.0]) + np.arange(4)[:, None] * 15.2 * across
    return middles[:, None] + hull[:, :1] * along + hull[:, 1:] * across + shift


def upright(corners: np.ndarray) -> np.ndarray:
    return np.concatenate([corners.min(1), corners.max(1)], axis=1)


@pytest.mark.parametrize("kind", ["upright", "oriented", "masks"])
@pytest.mark.parametrize("seen", [(range(4), range(4)), (range(3), range(1, 4)), (range(2), range(2, 4))])
def test_ships_rafted_at_45_degrees_stay_four(kind: str, seen: tuple[range, range]) -> None:
    corners = np.concatenate([rafted()[list(seen[0])], rafted(1.0)[list(seen[1])]])
    tiles = np.repeat([0, 1], [len(seen[0]), len(seen[1])])
    scores = np.random.default_rng(4).random(len(tiles))
    assert iou_matrix(upright(corners), upright(corners))[0, 1] > 0.5, "overlap of upright boxes alone would merge neighbours"
    more = {}
    if kind == "oriented":
        more["corners_n42"] = corners
    elif kind == "masks":
        more["masks"] = [drawn(quad) for quad in corners]
    kept = merge_seams(upright(corners), scores, tiles, cut_n=np.zeros(len(tiles), bool), **more)
    ships = np.concatenate([list(seen[0]), list(seen[1])])[kept]
    assert sorted(ships) == [0, 1, 2, 3]


def drawn(quad: np.ndarray) -> Mask:
    x0, y0 = np.floor(quad.min(0)).astype(int)
    x1, y1 = np.ceil(quad.max(0)).astype(int)
    ys, xs = np.mgrid[y0:y1, x0:x1] + 0.5
    return Mask(int(x0), int(y0), shapely.contains_xy(shapely.Polygon(quad), xs, ys))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_oriented_overlap_is_that_of_polygons(seed: int) -> None:
    rng = np.random.default_rng(seed)
    turns, sizes = rng.uniform(0, np.pi, 2), rng.uniform(4, 30, (2, 2))
    quads = []
    for turn, (length, width), middle in zip(turns, sizes, rng.uniform(0, 12, (2, 2)), strict=True):
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        hull = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [length, width] / 2
        quads.append((hull @ rotation.T + middle)[:: rng.choice([-1, 1])])
    first, second = shapely.Polygon(quads[0]), shapely.Polygon(quads[1])
    iou = first.intersection(second).area / first.union(second).area
    for threshold, expected in ((iou * 0.999, 1), (iou * 1.001, 2)):
        if 0 < threshold < 1:
            rules = SeamRules(exact_iou=threshold, ios=1.0)
            kept = merge_seams(upright(np.array(quads)), [1, 0], [0, 1], rules, corners_n42=quads, cut_n=[False, False])
            assert len(kept) == expected


def test_half_an_object_cut_by_an_edge_is_merged_and_a_boat_beside_a_ship_is_not() -> None:
    assert merge_seams([[0, 0, 40, 10], [20, 0, 40, 10]], [0.5, 0.6], [0, 1]).tolist() == [1]
    ship_and_boat = [[0, 0, 60, 60], [40, 5, 52, 17]]
    assert len(merge_seams(ship_and_boat, [0.9, 0.8], [0, 1], cut_n=[False, False])) == 2
    assert len(merge_seams(ship_and_boat, [0.9, 0.8], [0, 1], cut_n=[False, True])) == 1


def test_two_views_of_a_tiny_object_are_one_by_place() -> None:
    assert len(merge_seams([[10, 10, 16, 16], [12, 11, 18, 17]], [1, 0], [0, 1])) == 2
    assert len(merge_seams([[10, 10, 16, 16], [11, 11.5, 17, 17.5]], [1, 0], [0, 1])) == 1


def test_empty_and_wrong_arguments() -> None:
    assert merge_seams([], [], []).tolist() == []
    with pytest.raises(ShapeError):
        merge_seams([[0, 0, 1, 1]], [1, 2], [0])
    with pytest.raises(InputError):
        merge_seams([[0, 0, np.nan, 1]], [1], [0])
    with pytest.raises(InputError):
        SeamRules(iou=0.0)
