"""Many overlapping windows of a scene, each stored block decoded once.

Belongs here: the order of reading and the strip that neighbouring windows share. Does not belong here: which windows (tiles), what
is done with them.

A strip holds the rows of one row of windows, aligned to the file's blocks; the next row keeps what overlaps and reads the rest.
Windows are views into it, so overlap costs neither decoding nor copying, and neither do windows that reach past the edge: the strip
has a margin. A scene too wide for the budget is walked in columns of windows; blocks on the border of two columns are then decoded
twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.raster.chips import both_valid, every_pixel_valid, is_every_pixel_valid
from ovd_platform.raster.scene import Scene
from ovd_platform.records.chip import Chip
from ovd_platform.records.window import Window

DEFAULT_BUDGET_BYTES = 128 << 20
_PLAIN_BLOCK = (256, 64)
_TALL_BLOCK = 1024

# One buffer waits here for the next sweep: touching fresh memory costs a tenth of decoding a scene into it.
_SPARE: list[NDArray[np.uint8]] = []


@dataclass(slots=True)
class _Strip:
    """Rows of some columns: row ``origin`` of the scene is the first of a buffer that is used again and again.

    The buffer is taller than one row of windows, so that what overlaps is moved to its top only now and then.

    Attributes:
        scene: What is read.
        block: Width and height of the file's blocks.
        left: Column of the scene where the buffer begins; negative where windows reach past the edge.
        read: First and last column (exclusive) that exist and are read.
        pixels_chw: The buffer; columns outside of ``read`` stay 0.
        buffer: Its memory.
        valid_hw: Validity of the buffer; None as long as no pixel was missing.
        origin: Row of the scene at the top of the buffer.
        bottom: First row behind what is held.
    """

    scene: Scene
    block: tuple[int, int]
    left: int
    read: tuple[int, int]
    pixels_chw: NDArray[Any]
    buffer: NDArray[np.uint8]
    valid_hw: NDArray[np.bool_] | None = None
    origin: int = 0
    bottom: int = 0

    def advance(self, top: int, bottom: int, origin: int) -> None:
        """Hold rows ``top`` to ``bottom``: keep what is held already, read the rest; ``origin`` is where the buffer begins then."""
        first = max(top, self.bottom)
        if origin != self.origin:
            kept, start = max(0, self.bottom - origin), origin - self.origin
            if kept:
                self.pixels_chw[:, :kept] = self.pixels_chw[:, start : start + kept]
                if self.valid_hw is not None:
                    self.valid_hw[:kept] = self.valid_hw[start : start + kept]
            self.origin = origin
        if bottom <= first:
            return
        height_px = self.scene.record.height_px
        for outside in (slice(first, min(bottom, 0)), slice(max(first, height_px), bottom)):
            if outside.start < outside.stop:
                self.pixels_chw[:, outside.start - origin : outside.stop - origin] = 0
        inside = (max(first, 0), min(bottom, height_px))
        if inside[0] < inside[1]:
            self._read(Window(self.read[0], inside[0], self.read[1] - self.read[0], inside[1] - inside[0]))
        self.bottom = bottom

    def _read(self, window: Window) -> None:
        """Fill a part that exists."""
        rows = slice(window.row_px - self.origin, window.bottom_px - self.origin)
        cols = slice(window.col_px - self.left, window.right_px - self.left)
        valid_hw = self.scene.read_into(window, self.pixels_chw[:, rows, cols])
        if not is_every_pixel_valid(valid_hw) and self.valid_hw is None:
            self.valid_hw = np.ones(self.pixels_chw.shape[1:], dtype=np.bool_)
        if self.valid_hw is not None:
            self.valid_hw[rows, cols] = valid_hw

    def chip(self, window: Window) -> Chip:
        """A window of what is held, as views."""
        record = self.scene.record
        left, top, width, height = window.col_px, window.row_px, window.width_px, window.height_px
        right, bottom = left + width, top + height
        rows, cols = slice(top - self.origin, bottom - self.origin), slice(left - self.left, right - self.left)
        held_hw = every_pixel_valid(height, width) if self.valid_hw is None else self.valid_hw[rows, cols]
        if left < 0 or top < 0 or right > record.width_px or bottom > record.height_px:
            exists_hw = np.zeros((height, width), dtype=np.bool_)
            exists_hw[max(0, -top) : record.height_px - top, max(0, -left) : record.width_px - left] = True
            held_hw = both_valid(held_hw, exists_hw)
        return Chip(self.pixels_chw[:, rows, cols], held_hw, window, record.scene_id, record)


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
        rows, spans = _rows(column, windows, block[1], record.height_px)
        strip = _strip(scene, windows, column, spans, block, budget_bytes // pixel_bytes)
        for (top, bottom), origin, members in zip(spans, _origins(spans, strip.pixels_chw.shape[1]), rows, strict=True):
            strip.advance(top, bottom, origin)
            for index in members:
                yield index, strip.chip(windows[index])
        # Only here: where a sweep is broken off, somebody may still hold its last chip.
        if strip.buffer.size <= DEFAULT_BUDGET_BYTES:
            _SPARE[:] = [strip.buffer]


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


def _rows(
    column: Sequence[int], windows: Sequence[Window], block_px: int, height_px: int
) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """Rows of windows from top to bottom, and the rows of the scene each of them needs: whole blocks where they exist."""
    rows: dict[tuple[int, int], list[int]] = {}
    for index in sorted(column, key=lambda i: (windows[i].row_px, windows[i].bottom_px, windows[i].col_px)):
        rows.setdefault((windows[index].row_px, windows[index].bottom_px), []).append(index)
    spans: list[tuple[int, int]] = []
    for top, bottom in rows:
        # Where nothing is held yet, reading begins at the top of a block.
        held = bool(spans) and spans[-1][1] > top
        start = top if held or top < 0 else top // block_px * block_px
        end = max(bottom, min(_up(bottom, block_px), height_px))
        spans.append((start, max(end, spans[-1][1]) if held else end))
    return list(rows.values()), spans


def _strip(
    scene: Scene,
    windows: Sequence[Window],
    column: Sequence[int],
    spans: list[tuple[int, int]],
    block: tuple[int, int],
    most_px: int,
) -> _Strip:
    """The buffer for one column of windows."""
    record = scene.record
    first, last = min(windows[index].col_px for index in column), max(windows[index].right_px for index in column)
    read = (max(0, first // block[0] * block[0]), min(record.width_px, _up(last, block[0])))
    left, right = min(first, read[0]), max(last, read[1])
    needed = max(bottom - top for top, bottom in spans)
    height = max(needed, min(most_px // (right - left), 2 * needed, spans[-1][1] - spans[0][0]))
    shape, dtype = (len(record.bands), height, right - left), np.dtype(record.dtype)
    needed_bytes = int(np.prod(shape)) * dtype.itemsize
    try:
        buffer = _SPARE.pop()  # Whoever pops it has it alone, in threads too.
    except IndexError:
        buffer = np.empty(0, dtype=np.uint8)
    if buffer.size < needed_bytes:
        buffer = np.empty(needed_bytes, dtype=np.uint8)
    pixels_chw = buffer[:needed_bytes].view(dtype).reshape(shape)
    pixels_chw[:, :, : read[0] - left] = 0
    pixels_chw[:, :, read[1] - left :] = 0
    # Nothing is held before the first row: it may lie above the scene.
    return _Strip(scene, block, left, read, pixels_chw, buffer, origin=spans[0][0], bottom=spans[0][0])


def _origins(spans: Sequence[tuple[int, int]], height: int) -> list[int]:
    """Row at the top of the buffer for every row of windows.

    The buffer starts again where least has to be moved, among the later half of the rows it could hold.
    """
    origins: list[int] = []
    start = 0
    while start < len(spans):
        origin = spans[start][0]
        fits = start + 1
        while fits < len(spans) and spans[fits][1] - origin <= height:
            fits += 1
        stop = fits
        if fits < len(spans):
            later = range(start + 1 + (fits - start - 1) // 2, fits + 1)
            stop = min(later, key=lambda i: (max(0, spans[i - 1][1] - spans[i][0]), -i))
        origins += [origin] * (stop - start)
        start = stop
    return origins


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
