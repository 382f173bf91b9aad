"""Reading several tiles at once, and giving every box back to the tile that answers for it.

Belongs here: grouping tiles into blocks, and box ownership. Does not belong here: finding boxes; merging at seams
(tiles/seams.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovd_platform.records.mask import Mask
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window
from ovd_platform.tiles.seams import merge_seams

_CUT_PX = 2.0
"""A box that ends this close to the edge of what was read may be part of a larger object."""


@dataclass(frozen=True)
class Found:
    """What a network or detector said about one reading.

    Attributes:
        boxes_n4: Shape (N, 4), float32.
        objectness_n: Shape (N,), float32, [0, 1].
        corners_n42: Corners of oriented boxes in turn, shape (N, 4, 2), or None.
        masks: One mask a box, or None.
    """

    boxes_n4: NDArray[np.float32]
    objectness_n: NDArray[np.float32]
    corners_n42: NDArray[np.float32] | None = None
    masks: tuple[Mask, ...] | None = None


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


def owners(
    boxes_n4: NDArray[np.float32], block: Block, tiles: Sequence[TileRecord], record: SceneRecord, slack_px: float = 1.5
) -> NDArray[np.int32]:
    """Which tile of the block answers for each box: the one whose core holds its centre; -1 where none does.

    Two blocks see one object slightly differently, and its centre may lie outside of both their cores. So a centre may lie as far
    outside as two views of an object disagree; where both then answer, the seams are merged.

    Args:
        boxes_n4: Scene pixels.
        block: The block the boxes were found in.
        tiles: The scene's tile list.
        record: The scene; centres outside of it are pulled to its edge.
        slack_px: A centre may lie ``slack_px`` and a twentieth of the box's side outside of a core.

    Returns:
        Indices into ``tiles``, shape (N,), int32.
    """
    x_n = np.clip((boxes_n4[:, 0] + boxes_n4[:, 2]) / 2, 0, record.width_px - 0.5)
    y_n = np.clip((boxes_n4[:, 1] + boxes_n4[:, 3]) / 2, 0, record.height_px - 0.5)
    nearest_n = slack_px + 0.05 * np.sqrt(np.prod(np.maximum(boxes_n4[:, 2:] - boxes_n4[:, :2], 0), axis=1))
    owner_n = np.full(len(boxes_n4), -1, np.int32)
    for index in block.indices:
        core = tiles[index].core
        aside_n = np.maximum(
            np.maximum(core.col_px - x_n, x_n - core.right_px), np.maximum(core.row_px - y_n, y_n - core.bottom_px)
        )
        inside = (x_n >= core.col_px) & (x_n < core.right_px) & (y_n >= core.row_px) & (y_n < core.bottom_px)
        aside_n[inside] = -np.inf
        wins = aside_n < nearest_n
        owner_n[wins] = index
        nearest_n[wins] = aside_n[wins]
    return owner_n


@dataclass(frozen=True)
class TileBoxes:
    """Boxes of one block, scene pixels.

    Attributes:
        boxes_n4: Shape (N, 4), float32.
        objectness_n: Shape (N,), float32, [0, 1].
        tile_index_n: The tile that answers for each, shape (N,), int32.
        cut_n: True where the edge of what was read may have cut the object, shape (N,), bool.
        corners_n42: Corners of oriented boxes, shape (N, 4, 2), or None.
        masks: One mask a box, or None.
    """

    boxes_n4: NDArray[np.float32]
    objectness_n: NDArray[np.float32]
    tile_index_n: NDArray[np.int32]
    cut_n: NDArray[np.bool_]
    corners_n42: NDArray[np.float32] | None = None
    masks: tuple[Mask, ...] | None = None


def owned(found: Found, seen: Window, block: Block, tiles: Sequence[TileRecord], record: SceneRecord) -> TileBoxes:
    """Boxes of a block with the tile that answers for each; boxes that belong to no tile of the block are dropped.

    Args:
        found: Boxes in scene pixels.
        seen: The window that was read.
        block: The block.
        tiles: The scene's tile list.
        record: The scene.
    """
    owner_n = owners(found.boxes_n4, block, tiles, record)
    keep = np.flatnonzero(owner_n >= 0)
    boxes_n4 = found.boxes_n4[keep]
    cut_n = np.zeros(len(keep), np.bool_)
    for axis, edge, end in (
        (0, seen.col_px, 0),
        (1, seen.row_px, 0),
        (2, seen.right_px, record.width_px),
        (3, seen.bottom_px, record.height_px),
    ):
        inner = edge > 0 if axis < 2 else edge < end
        if inner:
            cut_n |= np.abs(boxes_n4[:, axis] - edge) <= _CUT_PX
    return TileBoxes(
        boxes_n4,
        found.objectness_n[keep].astype(np.float32),
        owner_n[keep],
        cut_n,
        found.corners_n42[keep] if found.corners_n42 is not None else None,
        tuple(found.masks[index] for index in keep) if found.masks is not None else None,
    )


def assemble(
    record: SceneRecord, parts: Sequence[TileBoxes], tiles: Sequence[TileRecord], version: str, max_per_mpx: float
) -> ProposalSet:
    """Merge at seams, clip to the scene, and keep the best.

    Args:
        record: The scene.
        parts: Boxes of the blocks.
        tiles: The scene's tile list.
        version: The proposer's.
        max_per_mpx: At most this many per 10^6 px.

    Returns:
        Proposals by falling objectness.
    """
    parts = [part for part in parts if len(part.boxes_n4)]
    if not parts:
        nothing = np.zeros(0, np.float32)
        return ProposalSet(record.scene_id, np.zeros((0, 4), np.float32), nothing, np.zeros(0, np.int32), version)
    boxes_n4 = np.concatenate([part.boxes_n4 for part in parts]).astype(np.float32)
    objectness_n = np.concatenate([part.objectness_n for part in parts])
    tile_index_n = np.concatenate([part.tile_index_n for part in parts])
    cut_n = np.concatenate([part.cut_n for part in parts])
    # What one reading saw side by side are neighbours, even where two of its tiles answer for them.
    source_n = np.repeat(np.arange(len(parts)), [len(part.boxes_n4) for part in parts])
    corners = [part.corners_n42 for part in parts if part.corners_n42 is not None]
    corners_n42 = np.concatenate(corners).astype(np.float32) if len(corners) == len(parts) else None
    masked = [part.masks for part in parts if part.masks is not None]
    masks = [mask for one in masked for mask in one] if len(masked) == len(parts) else None
    boxes_n4 = np.clip(boxes_n4, 0, np.array([record.width_px, record.height_px] * 2, np.float32))
    solid = np.flatnonzero(((boxes_n4[:, 2:] - boxes_n4[:, :2]) >= 1).all(1))
    kept = solid[
        merge_seams(
            boxes_n4[solid],
            objectness_n[solid],
            source_n[solid],
            corners_n42=corners_n42[solid] if corners_n42 is not None and masks is None else None,
            masks=[masks[index] for index in solid] if masks is not None else None,
            cut_n=cut_n[solid],
        )
    ]
    kept = kept[: int(np.ceil(max_per_mpx * record.area_mpx))]
    return ProposalSet(
        record.scene_id,
        boxes_n4[kept],
        objectness_n[kept],
        _at_home(boxes_n4[kept], tile_index_n[kept], tiles, record),
        version,
        corners_n42[kept] if corners_n42 is not None else None,
        tuple(masks[index] for index in kept) if masks is not None else None,
    )


def _at_home(
    boxes_n4: NDArray[np.float32], tile_index_n: NDArray[np.int32], tiles: Sequence[TileRecord], record: SceneRecord
) -> NDArray[np.int32]:
    """The kept tile whose core holds the centre of each box; where there is none, the neighbour that answered."""
    cols, rows = (np.unique([getattr(tile.core, name) for tile in tiles]) for name in ("col_px", "row_px"))
    table = np.full((len(rows), len(cols)), -1, np.int32)
    places = np.searchsorted(rows, [t.core.row_px for t in tiles]), np.searchsorted(cols, [t.core.col_px for t in tiles])
    table[places] = np.where([tile.kept for tile in tiles], np.arange(len(tiles)), -1)
    x_n = np.clip((boxes_n4[:, 0] + boxes_n4[:, 2]) / 2, 0, record.width_px - 0.5)
    y_n = np.clip((boxes_n4[:, 1] + boxes_n4[:, 3]) / 2, 0, record.height_px - 0.5)
    home_n = table[np.searchsorted(rows, y_n, side="right") - 1, np.searchsorted(cols, x_n, side="right") - 1]
    return np.where(home_n >= 0, home_n, tile_index_n).astype(np.int32)
