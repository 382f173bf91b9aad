"""Many overlapping windows of a scene, each stored block decoded once.

Belongs here: the order of reading and the strip that neighbouring windows share. Does not belong here: which windows (tiles), what
is done with them.

A strip holds the rows of one row of windows, aligned to the file's blocks; the next row keeps what overlaps and reads the rest.
Windows are views into it, so overlap costs neither decoding nor copying. A scene too wide for the budget is walked in columns of
windows; blocks on the border of two columns are then decoded twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.raster.chips import every_pixel_valid, is_every_pixel_valid, padded_chip
from ovd_platform.raster.scene import Scene
from ovd_platform.records.chip import Chip
from ovd_platform.records.window import Window

DEFAULT_BUDGET_BYTES = 128 << 20
_PLAIN_BLOCK = (256, 64)
_TALL_BLOCK = 1024


@dataclass(slots=True)
class _Strip:
    """Rows of columns ``left`` to ``right``: row ``origin`` of the scene is the first of a buffer that is used again and again.

    The buffer is taller than one row of windows, so that what overlaps is moved to its top only now and then.
    """

    left: int
    right: int
    pixels_chw: NDArray[Any]
    valid_hw: NDArray[np.bool_] | None = None
    origin: int = 0
    bottom: int = 0

    def advance(self, scene: Scene, top: int, bottom: int) -> None:
        """Hold rows ``top`` to ``bottom``: keep what is held already, read the rest."""
        first = max(top, self.bottom)
        if bottom <= first:
            return
        if bottom - self.origin > self.pixels_chw.shape[1] or self.bottom <= top:
            kept = max(0, self.bottom - top)
            start = top - self.origin
            if kept:
                self.pixels_chw[:, :kept] = self.pixels_chw[:, start : start + kept]
                if self.valid_hw is not None:
                    self.valid_hw[:kept] = self.valid_hw[start : start + kept]
            self.origin = top
        self._read(scene, Window(self.left, first, self.right - self.left, bottom - first), first - self.origin)
        self.bottom = bottom

    def _read(self, scene: Scene, window: Window, row: int) -> None:
        rows = slice(row, row + window.height_px)
        valid_hw = scene.read_into(window, self.pixels_chw[:, rows])
        if is_every_pixel_valid(valid_hw):
            if self.valid_hw is not None:
                self.valid_hw[rows] = True
            return
        if self.valid_hw is None:
            self.valid_hw = np.ones(self.pixels_chw.shape[1:], dtype=np.bool_)
        self.valid_hw[rows] = valid_hw

    def view(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Pixels and validity of a window inside the strip."""
        rows = slice(window.row_px - self.origin, window.bottom_px - self.origin)
        cols = slice(window.col_px - self.left, window.right_px - self.left)
        pixels_chw = self.pixels_chw[:, rows, cols]
        if self.valid_hw is None:
            return pixels_chw, every_pixel_valid(window.height_px, window.width_px)
        return pixels_chw, self.valid_hw[rows, cols]


def sweep(scene: Scene, windows: Sequence[Window], *, budget_bytes: int = DEFAULT_BUDGET_BYTES) -> Iterator[tuple[int, Chip]]:
    """Chips of many windows.

    Args:
        scene: Open scene.
        windows: Any windows; a regular grid (with or without overlap) is what this is fast for.
        budget_bytes: Memory of the strip; a single row of one window's width may exceed it.

    Yields:
        (index into ``windows``, chip), each window once, in the order that decodes least. A chip is a view: it holds until the next
        one is asked for; copy what is needed longer, and do not write to it.

    Raises:
        UnreadableRasterError: If pixels cannot be decoded.
    """
    record = scene.record
    block = record.block_px or _PLAIN_BLOCK
    size = (record.width_px, record.height_px)
    outside = [index for index, window in enumerate(windows) if not _meets(window, size)]
    for index in outside:
        yield index, scene.read(windows[index])
    inside = sorted(set(range(len(windows))) - set(outside), key=lambda i: (windows[i].col_px, windows[i].right_px))
    tallest = max((windows[index].height_px for index in inside), default=0)
    pixel_bytes = len(record.bands) * np.dtype(record.dtype).itemsize
    column_bytes = pixel_bytes * (tallest + 2 * min(block[1], _TALL_BLOCK))
    for column in _columns(inside, windows, max(1, budget_bytes // max(1, column_bytes))):
        yield from _walk(scene, windows, column, block, budget_bytes // pixel_bytes)


def _meets(window: Window, size: tuple[int, int]) -> bool:
    return window.col_px < size[0] and window.row_px < size[1] and window.right_px > 0 and window.bottom_px > 0


def _columns(order: Sequence[int], windows: Sequence[Window], width_px: int) -> Iterator[list[int]]:
    """Windows, sorted by column, in groups that are at most so wide (one column of windows at least)."""
    group: list[int] = []
    for index in order:
        too_wide = group and windows[index].right_px - windows[group[0]].col_px > width_px
        if too_wide and windows[index].col_px > windows[group[-1]].col_px:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _walk(
    scene: Scene, windows: Sequence[Window], column: Sequence[int], block: tuple[int, int], budget_px: int
) -> Iterator[tuple[int, Chip]]:
    """One column of windows from top to bottom."""
    record = scene.record
    rows: dict[tuple[int, int], list[int]] = {}
    for index in sorted(column, key=lambda i: (windows[i].row_px, windows[i].bottom_px, windows[i].col_px)):
        rows.setdefault((windows[index].row_px, windows[index].bottom_px), []).append(index)
    left = max(0, min(windows[index].col_px for index in column) // block[0] * block[0])
    right = min(record.width_px, _up(max(windows[index].right_px for index in column), block[0]))
    spans = [(max(0, top), min(record.height_px, _up(bottom, block[1]))) for top, bottom in rows]
    needed = max(bottom - top // block[1] * block[1] for top, bottom in spans)
    height = max(needed, min(budget_px // (right - left), record.height_px))
    strip = _Strip(left, right, np.empty((len(record.bands), height, right - left), dtype=record.dtype))
    for (top, bottom), members in zip(spans, rows.values(), strict=True):
        # Where nothing is held yet, reading begins at the top of a block.
        strip.advance(scene, top if strip.bottom > top else top // block[1] * block[1], bottom)
        for index in members:
            yield index, padded_chip(record, windows[index], None, lambda window, _: strip.view(window))


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
