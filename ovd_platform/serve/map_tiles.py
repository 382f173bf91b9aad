"""Tiles of the map: scenes laid on Web Mercator, straight from their native pixels.

Belongs here: from a map tile to scene pixels and back. Does not belong here: pixel-space tiles (`pictures`).

Places go through `geometry.place` (affine, ground control points or RPC, terrain included), so that any scene with a place on Earth can be
shown; only a picture for people is resampled. Web Mercator: EPSG:3857, the usual quadtree.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ovd_platform.geometry.place import has_lonlat, lonlat_to_pixel
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.window import Window
from ovd_platform.serve.open_scenes import Entry, OpenScenes, Shown
from ovd_platform.serve.overviews import Pyramids
from ovd_platform.serve.pictures import TILE_PX, reduced

MAX_ZOOM = 24
_GRID = 17
_LEAST_PX = 3.0
_MOST_SCENES = 12
_EDGE = 2


def tile_lonlat(z: int, x: int, y: int, fraction_n2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places of points of a map tile.

    Args:
        z: Zoom.
        x: Column.
        y: Row.
        fraction_n2: Points inside the tile, (right, down), [0, 1], shape (N, 2).

    Returns:
        New array, (lon, lat) in degrees, shape (N, 2).
    """
    u = (x + fraction_n2[:, 0]) / (1 << z)
    v = (y + fraction_n2[:, 1]) / (1 << z)
    return np.stack([u * 360.0 - 180.0, np.degrees(np.arctan(np.sinh(np.pi * (1.0 - 2.0 * v))))], axis=1)


def tile_bounds(z: int, x: int, y: int) -> tuple[float, float, float, float]:
    """(west, south, east, north) of a map tile in degrees."""
    west, north, east, south = tile_lonlat(z, x, y, np.array([[0.0, 0.0], [1.0, 1.0]])).ravel().tolist()
    return west, south, east, north


def scene_bounds(record: SceneRecord) -> tuple[float, float, float, float] | None:
    """(west, south, east, north) of a scene; west > east crosses the antimeridian; None without a place on Earth."""
    if not record.footprint_lonlat or not has_lonlat(record):
        return None
    lons = [lon for lon, _ in record.footprint_lonlat]
    lats = [lat for _, lat in record.footprint_lonlat]
    if any(abs(b - a) > 180.0 for a, b in pairwise([*lons, lons[0]])):
        turned = [lon % 360.0 for lon in lons]
        return (min(turned) + 180.0) % 360.0 - 180.0, min(lats), (max(turned) + 180.0) % 360.0 - 180.0, max(lats)
    return min(lons), min(lats), max(lons), max(lats)


def meets(bounds: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    """Whether two boxes in degrees share ground; either may cross the antimeridian (west > east)."""
    if bounds[1] > other[3] or bounds[3] < other[1]:
        return False
    parts = [_turns(one) for one in (bounds, other)]
    return any(a[0] <= b[1] and b[0] <= a[1] for a in parts[0] for b in parts[1])


def _turns(bounds: tuple[float, float, float, float]) -> list[tuple[float, float]]:
    west, east = bounds[0], bounds[2]
    return [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]


def map_tile(
    scenes: OpenScenes, pyramids: Pyramids, entries: Sequence[Entry], z: int, x: int, y: int
) -> NDArray[np.uint8] | None:
    """A map tile of several scenes, the first on top.

    Args:
        scenes: Lends open scenes.
        pyramids: Where reduced images come from.
        entries: Scenes in the order of their importance; those elsewhere are skipped.
        z: Zoom, 0 .. 24.
        x: Column.
        y: Row.

    Returns:
        New array, shape (256, 256, 4), uint8, or None where there is nothing to see.
    """
    limit = 1 << z
    if not 0 <= z <= MAX_ZOOM or not 0 <= y < limit:
        return None
    bounds = tile_bounds(z, x % limit, y)
    out: NDArray[np.uint8] | None = None
    met = 0
    for entry in entries:
        ground = scene_bounds(entry.record)
        if ground is None or not meets(ground, bounds):
            continue
        met += 1
        if met > _MOST_SCENES:
            break
        with scenes.borrow(entry.record.scene_id, entry.record.modality) as shown:
            part = _laid(shown, pyramids, z, x % limit, y)
        if part is None:
            continue
        out = part if out is None else _under(out, part)
        if out[..., 3].min() == 255:
            break
    return out


def _under(top: NDArray[np.uint8], below: NDArray[np.uint8]) -> NDArray[np.uint8]:
    share = top[..., 3:].astype(np.float32) / 255.0
    mixed = top[..., :3] * share + below[..., :3] * (1.0 - share)
    alpha = np.maximum(top[..., 3], below[..., 3])
    return np.dstack([np.round(mixed).astype(np.uint8), alpha])


def _laid(shown: Shown, pyramids: Pyramids, z: int, x: int, y: int) -> NDArray[np.uint8] | None:
    """One scene resampled to a map tile; None where it has no pixel there or would be a dot."""
    import cv2

    record = shown.record
    steps = np.linspace(0.0, 1.0, _GRID)
    fraction = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    pixels_n2 = lonlat_to_pixel(record, tile_lonlat(z, x, y, fraction))
    if not np.isfinite(pixels_n2).all():
        return None
    (left, top), (right, bottom) = pixels_n2.min(axis=0), pixels_n2.max(axis=0)
    if right <= 0 or bottom <= 0 or left >= record.width_px or top >= record.height_px:
        return None
    scale = max(right - left, bottom - top) / TILE_PX
    if max(record.width_px, record.height_px) / scale < _LEAST_PX:
        return None
    reduction = 1 << max(0, math.floor(math.log2(max(scale, 1.0))))
    margin = _EDGE * reduction
    x0 = max(0, math.floor((left - margin) / reduction) * reduction)
    y0 = max(0, math.floor((top - margin) / reduction) * reduction)
    x1, y1 = min(record.width_px, math.ceil(right) + margin), min(record.height_px, math.ceil(bottom) + margin)
    picture = reduced(shown, pyramids, Window(x0, y0, x1 - x0, y1 - y0), reduction)
    grid = pixels_n2.reshape(_GRID, _GRID, 2)
    # Pixel centres of the tile between grid nodes: corner-aligned resizing of the node grid.
    at = ((np.arange(TILE_PX) + 0.5) / TILE_PX * (_GRID - 1)).astype(np.float32)
    node_x, node_y = np.meshgrid(at, at)
    source = cv2.remap(grid.astype(np.float64), node_x, node_y, cv2.INTER_LINEAR)
    columns = ((source[..., 0] - x0) / reduction - 0.5).astype(np.float32)
    rows = ((source[..., 1] - y0) / reduction - 0.5).astype(np.float32)
    how = cv2.INTER_NEAREST if scale < 0.5 else cv2.INTER_LINEAR
    laid = cv2.remap(picture, columns, rows, how, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0, 0))
    return np.asarray(laid, dtype=np.uint8)
