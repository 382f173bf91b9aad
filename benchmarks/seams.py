"""Merging at seams: what simulated detectors saw twice, real scenes on a shifted grid, and time against a tree."""

import math
import time
from collections.abc import Callable

import numpy as np
import shapely
from numpy.typing import NDArray

from benchmarks.outcome import Outcome, shared_data
from benchmarks.workspaces import save_result
from ovd_platform.evaluate.stability import stability_section
from ovd_platform.flow.evaluation_data import shifted_tiles
from ovd_platform.flow.models import Starter
from ovd_platform.propose.blocks import Found, assemble, group_tiles, owned
from ovd_platform.propose.light import LightProposer
from ovd_platform.raster.scene import open_scene
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.scene import Band, SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.stores.models import load_model_dir
from ovd_platform.tiles.plan import plan_tiles
from ovd_platform.tiles.scan import scan_scene
from ovd_platform.tiles.seams import SeamRules, merge_seams

SIDE_PX, CORE_PX, HALO_PX = 8192, 256, 96
RAFTS, LONE = 1500, 6000
REAL_SCENES = 4
Array = NDArray[np.float32]


def run(arguments: list[str]) -> list[Outcome]:
    """Simulated views (upright, oriented), real scenes shifted by half a tile, and times."""
    upright, oriented = _simulated(oriented=False), _simulated(oriented=True)
    shift = _shifted()
    times = _times()
    facts = {"simulated": {"upright": upright, "oriented": oriented}, "half_tile_shift": shift, "times": times}
    print(facts)
    save_result("seams", {**facts, "command": "uv run python -m benchmarks seams"})
    return [
        Outcome(
            "rafts of four ships at 45 degrees that stay four", min(upright["rafts_whole"], oriented["rafts_whole"]), 0.999
        ),
        Outcome(
            "duplicates per 1000", max(upright["duplicates_per_1000"], oriented["duplicates_per_1000"]), 1.0, at_least=False
        ),
        Outcome("found again on a grid shifted by half a tile", float(shift["found_again"]["value"]), 0.98),
        Outcome("CPU s for 1e6 boxes", times["own_1e6_s"], 0.5, at_least=False),
        Outcome("times faster than an STRtree at 1e5", times["tree_over_own"], 10.0),
        Outcome("same keep set as the tree", float(times["same_keep_set"]), 1.0),
        Outcome("exponent from 1e5 to 1e6", times["exponent"], 1.15, at_least=False),
    ]


# --- simulated views ---------------------------------------------------------------------------------------------------------


def _truth(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Corners of rafted ships and lone objects, shape (N, 4, 2), and the raft of each (-1 for none)."""
    quads, raft_of = [], []
    rafts = _apart(rng, RAFTS)
    for raft, middle in enumerate(rafts):
        length = rng.uniform(40, 140)
        quads.extend(_quad(middle + place, length, length * 0.14, math.pi / 4) for place in _beside(length * 0.145))
        raft_of.extend([raft] * 4)
    lone = rng.uniform(0, SIDE_PX, (LONE, 2))
    free = shapely.STRtree(shapely.points(rafts)).query_nearest(shapely.points(lone), return_distance=True)[1] > 100
    lone = lone[free]
    near, other = shapely.STRtree(shapely.points(lone)).query(shapely.points(lone), predicate="dwithin", distance=70)
    crowded = np.unique(np.maximum(near, other)[near != other])
    for middle in np.delete(lone, crowded, axis=0):
        quads.append(_quad(middle, rng.uniform(6, 60), rng.uniform(6, 30), rng.uniform(0, math.pi)))
        raft_of.append(-1)
    return np.array(quads), np.array(raft_of)


def _apart(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Places on a loose lattice, so that rafts do not overlap each other."""
    step = SIDE_PX / math.ceil(math.sqrt(count))
    grid = np.stack(np.meshgrid(*[np.arange(step / 2, SIDE_PX, step)] * 2), -1).reshape(-1, 2)
    return rng.permutation(grid)[:count] + rng.uniform(-10, 10, (count, 2))


def _beside(beam: float) -> NDArray[np.float64]:
    return (np.arange(4) - 1.5)[:, None] * beam * np.array([-1, 1]) / math.sqrt(2)


def _quad(middle: NDArray[np.float64], length: float, width: float, turn: float) -> NDArray[np.float64]:
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [length / 2, width / 2] @ rotation.T + middle


def _simulated(*, oriented: bool) -> dict[str, float]:
    """A detector that sees each block with its margin, shakes every box and cuts what leaves the margin; then the real merging."""
    rng = np.random.default_rng(5)
    quads, raft_of = _truth(rng)
    record = SceneRecord("sim", "memory", "v", "optical", "sim", SIDE_PX, SIDE_PX, (Band("pan"),), "uint16")
    tiles = _tiles(record)
    parts = []
    for block in group_tiles(tiles):
        seen = block.window.grown(HALO_PX).clipped(SIDE_PX, SIDE_PX)
        found, sure = _view(quads, seen.xyxy, rng)
        boxes = np.concatenate([found.min(1), found.max(1)], axis=1).astype(np.float32)
        boxes = np.clip(boxes, [seen.col_px, seen.row_px] * 2, [seen.right_px, seen.bottom_px] * 2).astype(np.float32)
        corners = found.astype(np.float32) if oriented else None
        parts.append(owned(Found(boxes, sure, corners), seen, block, tiles, record))
    merged = assemble(record, parts, tiles, "sim", 1e9)
    middles = (merged.boxes_scene_xyxy[:, :2] + merged.boxes_scene_xyxy[:, 2:]) / 2
    truth = quads.mean(1)
    inside = ((truth > 0) & (truth < SIDE_PX)).all(1)
    nearest = shapely.STRtree(shapely.points(truth)).nearest(shapely.points(middles.astype(float)))
    answers = np.bincount(nearest, minlength=len(truth))
    whole = [bool((answers[raft_of == raft] == 1).all()) for raft in range(RAFTS) if inside[raft_of == raft].all()]
    seen_before = sum(len(part.boxes_n4) for part in parts)
    return {
        "objects": float(inside.sum()),
        "boxes_before_merging": float(seen_before),
        "rafts": float(len(whole)),
        "rafts_whole": float(np.mean(whole)),
        "lost_per_1000": 1000.0 * float((answers[inside] == 0).mean()),
        "duplicates_per_1000": 1000.0 * float(np.maximum(answers - 1, 0).sum()) / len(merged),
    }


def _tiles(record: SceneRecord) -> list[TileRecord]:
    return [
        TileRecord(f"{record.scene_id}/{row}/{col}", record.scene_id, row, col, core, HALO_PX, (), "", 1.0, 1.0, 0.5, True)
        for row, col, core in plan_tiles(record.width_px, record.height_px, CORE_PX, HALO_PX)
    ]


def _view(
    quads: NDArray[np.float64], seen: tuple[int, int, int, int], rng: np.random.Generator
) -> tuple[NDArray[np.float64], Array]:
    """What one reading shows: objects whose middle it holds, each shifted and stretched a little."""
    middles = quads.mean(1)
    inside = ((middles >= seen[:2]) & (middles < seen[2:])).all(1)
    there = quads[inside]
    sides = np.sqrt(np.prod(there.max(1) - there.min(1), axis=1))
    shift = rng.normal(0, 0.4 + 0.01 * sides, (2, len(there))).T[:, None]
    stretch = np.exp(rng.normal(0, 0.03, (len(there), 1, 1)))
    found = (there - middles[inside][:, None]) * stretch + middles[inside][:, None] + shift
    return found, rng.uniform(0.3, 1.0, len(there)).astype(np.float32)


# --- real scenes -------------------------------------------------------------------------------------------------------------


def _shifted() -> dict[str, object]:
    """Proposals of the shipped weights on real scenes, with the grid as it is and moved by half a tile."""
    folder = Starter.of("optical-proposer").folder
    assert folder is not None
    proposer = LightProposer(*load_model_dir(folder), "starter")
    usual: dict[str, ProposalSet] = {}
    moved: dict[str, ProposalSet] = {}
    for path in sorted((shared_data() / "airbus_aircraft" / "images").glob("*.jpg"))[:REAL_SCENES]:
        with open_scene(str(path)) as scene:
            scan = scan_scene(scene, core_px=512, halo_px=64)
            name = scene.record.scene_id
            usual[name] = proposer.propose(scene, scan.tiles, scan.profile, max_per_mpx=100)
            moved[name] = proposer.propose(scene, shifted_tiles(scan.tiles, scene.record), scan.profile, max_per_mpx=100)
    return dict(stability_section(usual, moved, seed=0))


# --- time --------------------------------------------------------------------------------------------------------------------


def _field(count: int, seed: int) -> tuple[Array, Array, NDArray[np.int32]]:
    """Boxes at the density of proposals, 6 to 60 px; one in twenty was seen by a second tile too."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, math.sqrt(count) * 45, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(6, 60, (count, 2))], axis=1).astype(np.float32)
    copies = count // 20
    boxes[:copies] = boxes[copies : 2 * copies] + rng.normal(0, 0.5, (copies, 4)).astype(np.float32)
    tiles = (boxes[:, 0] // 512 * 100_000 + boxes[:, 1] // 512).astype(np.int32)
    tiles[:copies] += 1
    return boxes, rng.random(count).astype(np.float32), tiles


def _with_tree(boxes: Array, scores: Array, tiles: NDArray[np.int32]) -> NDArray[np.int64]:
    """The same rules through shapely's STRtree."""
    rules = SeamRules()
    order = np.lexsort((tiles, *(boxes[:, axis] for axis in (3, 2, 1, 0)), -scores))
    ranked, source = boxes[order], tiles[order]
    shapes = shapely.box(*ranked.T.astype(np.float64))
    i, j = shapely.STRtree(shapes).query(shapes)
    wanted = (j > i) & (source[i] != source[j])
    i, j = i[wanted], j[wanted]
    sizes = (ranked[:, 2] - ranked[:, 0]) * (ranked[:, 3] - ranked[:, 1])
    reach = np.minimum(ranked[i, 2:], ranked[j, 2:]) - np.maximum(ranked[i, :2], ranked[j, :2])
    shared = np.prod(np.maximum(reach, 0).astype(np.float64), axis=1)
    smaller, larger = np.minimum(sizes[i], sizes[j]), np.maximum(sizes[i], sizes[j])
    side = np.sqrt(larger)
    twice = ranked[:, :2] + ranked[:, 2:]
    apart = 0.5 * np.sqrt(((twice[i] - twice[j]) ** 2).sum(1))
    level = np.where(side < rules.tiny_px, rules.tiny_iou, rules.iou)
    one = (shared > level * (smaller + larger - shared)) & (apart <= rules.near_px + rules.near_fraction * side)
    one |= (shared > rules.ios * smaller) & (smaller < rules.alike * larger)
    alive = np.ones(len(boxes), np.bool_)
    i, j = i[one], j[one]
    for k in np.argsort(i, kind="stable"):
        if alive[i[k]]:
            alive[j[k]] = False
    return order[alive]


def _times() -> dict[str, float]:
    small, large = _field(100_000, 1), _field(1_000_000, 2)
    merge_seams(*_field(1000, 3))
    own_small, kept = _fastest(lambda: merge_seams(*small), 7)
    again, _ = _fastest(lambda: merge_seams(*small), 7)
    own_large, _ = _fastest(lambda: merge_seams(*large), 5)
    tree, by_tree = _fastest(lambda: _with_tree(*small), 3)
    return {
        "own_1e5_s": own_small,
        "own_1e5_again_over_first": again / own_small,
        "own_1e6_s": own_large,
        "tree_1e5_s": tree,
        "tree_over_own": tree / own_small,
        "same_keep_set": float(np.array_equal(kept, by_tree)),
        "exponent": math.log10(own_large / own_small),
    }


def _fastest(call: Callable[[], NDArray[np.int64]], turns: int) -> tuple[float, NDArray[np.int64]]:
    """Least CPU seconds of several turns, and the answer."""
    best, answer = math.inf, np.zeros(0, np.int64)
    for _ in range(turns):
        started = time.process_time()
        answer = call()
        best = min(best, time.process_time() - started)
    return best, answer
