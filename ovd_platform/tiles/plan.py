"""The grid of a scene. Belongs here: which tile answers for which pixels; looking at pixels is `scan`'s."""

from ovd_platform.errors import InputError
from ovd_platform.records.window import Window


def grid_version(core_px: int, halo_px: int) -> str:
    """Version of a grid, part of every tile id: tiles of two grids are never mixed."""
    return f"g{core_px}h{halo_px}"


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
