"""The grid of a scene. Belongs here: which tile answers for which pixels; looking at pixels is `scan`'s."""

import math

from ovd_platform.errors import InputError
from ovd_platform.records.window import Window


def grid_version(core_px: int, halo_px: int) -> str:
    """Version of a grid, part of every tile id: tiles of two grids are never mixed."""
    return f"g{core_px}h{halo_px}"


def halo_px_for(
    gsd_m: float | None,
    *,
    halo_px: int,
    halo_m: float | None = None,
    largest_object_m: float | None = None,
    core_px: int | None = None,
) -> int:
    """Halo of a scene in its own pixels.

    Neighbouring tiles share two halos, so an object that is no longer than two halos lies whole in at least one tile.

    Args:
        gsd_m: Ground sample distance; None without georeference.
        halo_px: Halo in pixels; used where nothing in metres is given or the scene's pixels have no size.
        halo_m: Halo in metres, instead of pixels.
        largest_object_m: Longest object to find; the halo is at least half of it.
        core_px: Side of a core: the halo's limit.

    Raises:
        InputError: If the largest object would need a halo wider than a core.
    """
    halo = halo_px
    if gsd_m:
        if halo_m is not None:
            halo = math.ceil(halo_m / gsd_m)
        if largest_object_m is not None:
            halo = max(halo, math.ceil(largest_object_m / gsd_m / 2))
    if core_px is not None and halo > core_px:
        raise InputError(
            f"Cannot plan tiles with a halo of {halo} px: expected at most the core of {core_px} px. Raise tiles.core_px, or lower "
            "tiles.halo_m or tiles.largest_object_m."
        )
    return halo


def plan_tiles(width_px: int, height_px: int, core_px: int = 512, halo_px: int = 64) -> list[tuple[int, int, Window]]:
    """Cut a scene into tile cores that cover each pixel exactly once.

    Args:
        width_px: Columns of the scene.
        height_px: Rows of the scene.
        core_px: Side of a core; the last column and row are smaller where the size is no multiple.
        halo_px: Margin a tile looks at beyond its core; part of the contract of a grid, it does not change the cores.

    Returns:
        (row, col, core) in reading order, the order in which striped files are cheapest to read.

    Raises:
        InputError: If a size is not positive or the halo is negative or wider than the core.
    """
    if width_px <= 0 or height_px <= 0 or core_px <= 0 or not 0 <= halo_px <= core_px:
        raise InputError(
            f"Cannot plan tiles of {width_px} x {height_px} px: expected positive sizes and 0 <= halo_px <= core_px, got core "
            f"{core_px} px and halo {halo_px} px. Correct the tile settings."
        )
    tiles = []
    for row, top in enumerate(range(0, height_px, core_px)):
        for col, left in enumerate(range(0, width_px, core_px)):
            size = (min(core_px, width_px - left), min(core_px, height_px - top))
            tiles.append((row, col, Window(left, top, *size)))
    return tiles


def tile_of_pixel(x_px: float, y_px: float, width_px: int, height_px: int, core_px: int) -> int:
    """Index, in the order of `plan_tiles`, of the tile whose core holds a point; points outside go to the nearest core.

    Args:
        x_px: Column coordinate.
        y_px: Row coordinate.
        width_px: Columns of the scene.
        height_px: Rows of the scene.
        core_px: Side of a core.
    """
    cols = -(-width_px // core_px)
    rows = -(-height_px // core_px)
    col = min(max(int(x_px // core_px), 0), cols - 1)
    row = min(max(int(y_px // core_px), 0), rows - 1)
    return row * cols + col
