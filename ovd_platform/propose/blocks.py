"""Reading several tiles at once, and giving every box back to the tile that answers for it.

Belongs here: grouping tiles into blocks, and box ownership. Does not belong here: finding boxes; merging at seams
(tiles/seams.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window
from ovd_platform.tiles.seams import merge_seams


@dataclass(frozen=True)
class Block:
    """Neighbouring tiles that are read with one window.

    Attributes:
        window: Around their cores.
        indices: Their places in the tile list.
    """

    window: Window
    indices: tuple[int, ...]


def group_tiles(tiles: Sequence[TileRecord], side: int = 2) -> list[Block]:
    """Group kept tiles by squares of the grid, in reading order; halos then overlap less.

    Args:
        tiles: The scene's tile list.
        side: Tiles along one side of a block.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for index, tile in enumerate(tiles):
        if tile.kept:
            groups.setdefault((tile.row // side, tile.col // side), []).append(index)
    blocks = []
    for key in sorted(groups):
        cores = [tiles[index].core for index in groups[key]]
        left, top = min(core.col_px for core in cores), min(core.row_px for core in cores)
        right, bottom = max(core.right_px for core in cores), max(core.bottom_px for core in cores)
        blocks.append(Block(Window(left, top, right - left, bottom - top), tuple(groups[key])))
    return blocks


def owners(boxes_n4: NDArray[np.float32], block: Block, tiles: Sequence[TileRecord], record: SceneRecord) -> NDArray[np.int32]:
    """Which tile of the block holds the centre of each box; -1 where none does.

    Args:
        boxes_n4: Scene pixels.
        block: The block the boxes were found in.
        tiles: The scene's tile list.
        record: The scene; centres outside of it are pulled to its edge.

    Returns:
        Indices into ``tiles``, shape (N,), int32.
    """
    x_n = np.clip((boxes_n4[:, 0] + boxes_n4[:, 2]) / 2, 0, record.width_px - 0.5)
    y_n = np.clip((boxes_n4[:, 1] + boxes_n4[:, 3]) / 2, 0, record.height_px - 0.5)
    owner_n = np.full(len(boxes_n4), -1, np.int32)
    for index in block.indices:
        core = tiles[index].core
        inside = (x_n >= core.col_px) & (x_n < core.right_px) & (y_n >= core.row_px) & (y_n < core.bottom_px)
        owner_n[inside] = index
    return owner_n


@dataclass(frozen=True)
class TileBoxes:
    """Boxes found so far, scene pixels, with the tile that answers for each."""

    boxes_n4: NDArray[np.float32]
    objectness_n: NDArray[np.float32]
    tile_index_n: NDArray[np.int32]


def owned(boxes_n4: NDArray[np.float32], objectness_n: NDArray[np.float32], owner_n: NDArray[np.int32]) -> TileBoxes:
    """Drop boxes that belong to no tile of the block."""
    keep = owner_n >= 0
    return TileBoxes(boxes_n4[keep], objectness_n[keep].astype(np.float32), owner_n[keep])


def assemble(record: SceneRecord, parts: Sequence[TileBoxes], version: str, max_per_mpx: float) -> ProposalSet:
    """Merge at seams, clip to the scene, and keep the best.

    Args:
        record: The scene.
        parts: Boxes of the blocks.
        version: The proposer's.
        max_per_mpx: At most this many per 10^6 px.

    Returns:
        Proposals by falling objectness.
    """
    boxes_n4 = np.concatenate([part.boxes_n4 for part in parts] or [np.zeros((0, 4), np.float32)]).astype(np.float32)
    objectness_n = np.concatenate([part.objectness_n for part in parts] or [np.zeros(0, np.float32)])
    tile_index_n = np.concatenate([part.tile_index_n for part in parts] or [np.zeros(0, np.int32)])
    boxes_n4 = np.clip(boxes_n4, 0, np.array([record.width_px, record.height_px] * 2, np.float32))
    solid = np.flatnonzero(((boxes_n4[:, 2:] - boxes_n4[:, :2]) >= 1).all(1))
    boxes_n4, objectness_n, tile_index_n = boxes_n4[solid], objectness_n[solid], tile_index_n[solid]
    kept = merge_seams(boxes_n4, objectness_n, tile_index_n)
    limit = int(np.ceil(max_per_mpx * record.area_mpx))
    kept = kept[np.argsort(-objectness_n[kept], kind="stable")][:limit]
    return ProposalSet(record.scene_id, boxes_n4[kept], objectness_n[kept], tile_index_n[kept], version)
