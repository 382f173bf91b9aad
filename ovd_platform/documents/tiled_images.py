"""Images that a writer cut into a grid of smaller ones. Belongs here: telling a grid from a gallery; decoding is rasters'."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.page_boxes import union_box
from ovd_platform.documents.placement import Placement

_SEAM_PT = 0.6
_TOGETHER = 0.8


def join_tiles(placements: list[Placement], decode: Callable[[Placement], NDArray[Any]]) -> list[Placement]:
    """Images that a writer cut into a grid become one placement again.

    Neighbours must touch, have one scale, and their pixels must go on across the seam: galleries of touching images stay apart.

    Args:
        placements: Of one page, in reading order.
        decode: Pixels of a placement and what is beside it.
    """
    cache: dict[int, NDArray[Any]] = {}

    def pixels(item: Placement) -> NDArray[Any]:
        if id(item) not in cache:
            cache[id(item)] = decode(item)
        return cache[id(item)]

    if not _any_touch(placements):
        return placements
    rows: list[Placement] = []
    for item in sorted(placements, key=lambda item: (round(item.box[1]), item.box[0])):
        left = next((other for other in rows if _right_of(item, other) and _goes_on(pixels(other), pixels(item), axis=1)), None)
        if left is None:
            rows.append(item)
            continue
        rows[rows.index(left)] = replace(
            left,
            box=union_box([left.box, item.box]),
            digest=f"{left.digest}+{item.digest}",
            width_px=left.width_px + item.width_px,
            beside=(*left.beside, item),
        )
    joined: list[Placement] = []
    for item in rows:
        above = next(
            (
                other
                for other in joined
                if _under(item, other) and _goes_on(pixels((other, *other.strips)[-1]), pixels(item), axis=0)
            ),
            None,
        )
        if above is None:
            joined.append(item)
            continue
        joined[joined.index(above)] = replace(
            above, box=union_box([above.box, item.box]), digest=f"{above.digest}+{item.digest}", strips=(*above.strips, item)
        )
    return sorted(joined, key=lambda item: (round(item.box[1], 1), item.box[0], item.xref))


def _any_touch(placements: Sequence[Placement]) -> bool:
    """Whether any image begins where another ends, to the right or below; on most pages none does."""
    rights = {(round(item.box[2]) + step, item.height_px) for item in placements for step in (-1, 0, 1)}
    bottoms = {(round(item.box[3]) + step, item.width_px) for item in placements for step in (-1, 0, 1)}
    return any(
        (round(item.box[0]), item.height_px) in rights or (round(item.box[1]), item.width_px) in bottoms for item in placements
    )


def _plain(item: Placement) -> bool:
    """Whether an image stands as stored: turned, masked and inlined ones are not joined."""
    return item.xref > 0 and not item.smask and not item.stencil and item.transform[0] > 0 and abs(item.transform[1]) < 1e-3


def _right_of(item: Placement, other: Placement) -> bool:
    level = abs(item.box[1] - other.box[1]) < _SEAM_PT and abs(item.box[3] - other.box[3]) < _SEAM_PT
    touching = abs(item.box[0] - other.box[2]) < _SEAM_PT and item.height_px == other.height_px
    return level and touching and _plain(item) and _plain(other) and not item.strips and not other.strips


def _under(item: Placement, other: Placement) -> bool:
    level = abs(item.box[0] - other.box[0]) < _SEAM_PT and abs(item.box[2] - other.box[2]) < _SEAM_PT
    touching = abs(item.box[1] - other.box[3]) < _SEAM_PT and item.width_px == other.width_px
    return level and touching and _plain(item) and _plain(other)


def _goes_on(first: NDArray[Any], second: NDArray[Any], axis: int) -> bool:
    """Whether pixels continue across a seam: the step there is like the steps beside it, and the edges rise and fall together."""
    if (
        first.ndim != second.ndim
        or first.shape[1 - axis] != second.shape[1 - axis]
        or min(first.shape[axis], second.shape[axis]) < 3
    ):
        return False
    a, b = (
        np.moveaxis(array.astype(np.float32), axis, 0).reshape(array.shape[axis], array.shape[1 - axis], -1).mean(axis=2)
        for array in (first, second)
    )
    step = float(np.abs(a[-1] - b[0]).mean())
    inner = float(np.abs(a[-1] - a[-2]).mean() + np.abs(b[1] - b[0]).mean()) / 2
    full = 65535.0 if first.dtype == np.uint16 else 255.0
    if step > 1.6 * inner + 0.006 * full:
        return False
    spread = min(float(a[-1].std()), float(b[0].std()))
    return spread < 0.006 * full or float(np.corrcoef(a[-1], b[0])[0, 1]) > _TOGETHER
