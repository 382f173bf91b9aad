"""Pictures of scenes for people: tiles of a deep zoom, crops around boxes, whole scenes; and their encoding.

Belongs here: windows in pixel space. Does not belong here: the map's tiles (`map_tiles`). Nothing here is an input of a model.

A scene's tiles form a pyramid: zoom 0 holds it in one tile of 256 px, each further zoom has twice the pixels, the last one is native. Tiles
at the right and lower edge end with the scene.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError, UnknownNameError
from ovd_platform.raster.radiometry import thumbnail
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.window import Window
from ovd_platform.serve.open_scenes import Shown
from ovd_platform.serve.overviews import Coarse, Pyramids, reduced_native, with_alpha

TILE_PX = 256
CONTEXT = 3.0
_LEAST_SIDE_PX = 24
_MOST_CROP_PX = 1024
_OUTLINE = ((0, 0, 0, 255), (255, 214, 10, 255))
_JPEG_QUALITY = 90


def max_zoom(record: SceneRecord) -> int:
    """The zoom at which a scene is shown pixel by pixel."""
    return max(0, math.ceil(math.log2(max(record.width_px, record.height_px) / TILE_PX)))


def scene_tile(shown: Shown, pyramids: Pyramids, z: int, x: int, y: int) -> NDArray[np.uint8]:
    """One tile of a scene's deep zoom.

    Args:
        shown: The scene.
        pyramids: Where reduced images come from.
        z: Zoom, 0 .. `max_zoom`.
        x: Column.
        y: Row.

    Returns:
        New array, shape (H, W, 4), uint8; 256 px a side, less at the right and lower edge.

    Raises:
        UnknownNameError: If the pyramid has no such tile.
    """
    record, top_zoom = shown.record, max_zoom(shown.record)
    reduction = 1 << (top_zoom - z) if 0 <= z <= top_zoom else 0
    side = TILE_PX * reduction
    if not reduction or not (0 <= x * side < record.width_px and 0 <= y * side < record.height_px):
        raise UnknownNameError(
            f"Cannot show tile {z}/{x}/{y} of {record.scene_id}: expected a zoom of 0..{top_zoom} and a tile inside the scene. "
            "/api/scenes/{id} says its size."
        )
    window = Window(x * side, y * side, min(side, record.width_px - x * side), min(side, record.height_px - y * side))
    return reduced(shown, pyramids, window, reduction)


def reduced(shown: Shown, pyramids: Pyramids, window: Window, reduction: int) -> NDArray[np.uint8]:
    """A window of a scene, reduced by a power of two.

    Args:
        shown: The scene.
        pyramids: Where reduced images come from.
        window: Scene pixels.
        reduction: Scene pixels a pixel: 1, 2, 4, ...

    Returns:
        New array, shape (ceil(h / reduction), ceil(w / reduction), 4), uint8.
    """
    coarse = pyramids.best(shown, reduction)
    if coarse is None:
        return reduced_native(shown.scene, shown, window, reduction)
    return _from_coarse(shown, coarse, window, reduction)


def _from_coarse(shown: Shown, coarse: Coarse, window: Window, reduction: int) -> NDArray[np.uint8]:
    import cv2
    from rasterio.windows import Window as RasterioWindow

    dataset, record = coarse.dataset, shown.record
    scale_x, scale_y = dataset.width / record.width_px, dataset.height / record.height_px
    left, right = math.floor(window.col_px * scale_x), math.ceil(window.right_px * scale_x - 1e-6)
    top, bottom = math.floor(window.row_px * scale_y), math.ceil(window.bottom_px * scale_y - 1e-6)
    region = RasterioWindow(left, top, max(1, min(right, dataset.width) - left), max(1, min(bottom, dataset.height) - top))
    size = (-(-window.width_px // reduction), -(-window.height_px // reduction))
    if coarse.shown:
        rgba = np.moveaxis(dataset.read(window=region), 0, -1)
        if rgba.shape[1::-1] == size:
            return np.ascontiguousarray(rgba)
        return np.asarray(cv2.resize(rgba, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    pixels_chw = dataset.read([band + 1 for band in shown.bands], window=region)
    valid_hw = dataset.dataset_mask(window=region) > 0
    if record.nodata is not None:
        valid_hw &= ~(pixels_chw == record.nodata).all(axis=0)
    rgb = thumbnail(pixels_chw.astype(record.dtype, copy=False), valid_hw, shown.profile, tuple(range(len(shown.bands))))
    return with_alpha(rgb, valid_hw, size)


def overview_picture(shown: Shown, pyramids: Pyramids, size_px: int) -> NDArray[np.uint8]:
    """A whole scene, its longer side at most ``size_px``; shape (H, W, 4), uint8."""
    import cv2

    record = shown.record
    reduction = 1 << max(0, math.ceil(math.log2(max(record.width_px, record.height_px) / size_px)))
    whole = reduced(shown, pyramids, Window(0, 0, record.width_px, record.height_px), reduction)
    scale = min(1.0, size_px / max(whole.shape[:2]))
    if scale == 1.0:
        return whole
    size = (max(1, round(whole.shape[1] * scale)), max(1, round(whole.shape[0] * scale)))
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def crop_picture(
    shown: Shown,
    pyramids: Pyramids,
    box_scene_xyxy: tuple[float, float, float, float],
    size_px: int,
    *,
    context: float = CONTEXT,
    outline: bool = True,
) -> NDArray[np.uint8]:
    """A box with its surroundings, square.

    Args:
        shown: The scene.
        pyramids: Where reduced images come from.
        box_scene_xyxy: Scene pixels.
        size_px: Side of the picture; a small object is enlarged without smoothing, so that its pixels are seen as they are.
        context: Side of what is shown over the box's longer side.
        outline: Draw the box.

    Returns:
        New array, shape (size_px, size_px, 4), uint8.

    Raises:
        InputError: If the box has no area, or lies outside of the scene.
    """
    import cv2

    x0, y0, x1, y1 = checked_box(box_scene_xyxy, shown.record)
    side = math.ceil(max(_LEAST_SIDE_PX, context * max(x1 - x0, y1 - y0)))
    left, top = round((x0 + x1) / 2 - side / 2), round((y0 + y1) / 2 - side / 2)
    reduction = 1 << max(0, math.floor(math.log2(side / size_px))) if side > size_px else 1
    picture = reduced(shown, pyramids, Window(left, top, side, side), reduction) if reduction == 1 else None
    if picture is None:
        picture = _padded(shown, pyramids, (left, top, side), reduction)
    enlarging = picture.shape[0] < size_px
    how = cv2.INTER_NEAREST if enlarging else cv2.INTER_AREA
    picture = np.ascontiguousarray(cv2.resize(picture, (size_px, size_px), interpolation=how), dtype=np.uint8)
    if outline:
        scale = size_px / side
        corner = [round(value * scale) for value in (x0 - left, y0 - top, x1 - left, y1 - top)]
        for colour, thickness in zip(_OUTLINE, (3, 1), strict=True):
            cv2.rectangle(picture, (corner[0] - 3, corner[1] - 3), (corner[2] + 2, corner[3] + 2), colour, thickness)
    return picture


def _padded(shown: Shown, pyramids: Pyramids, square: tuple[int, int, int], reduction: int) -> NDArray[np.uint8]:
    """A reduced square that may reach outside of the scene: reduced images hold the inside only."""
    left, top, side = square
    record = shown.record
    inside = (max(0, left), max(0, top), min(record.width_px, left + side), min(record.height_px, top + side))
    part = reduced(shown, pyramids, Window(inside[0], inside[1], inside[2] - inside[0], inside[3] - inside[1]), reduction)
    out = np.zeros((-(-side // reduction) + 1, -(-side // reduction) + 1, 4), dtype=np.uint8)
    row, col = (inside[1] - top) // reduction, (inside[0] - left) // reduction
    part = part[: out.shape[0] - row, : out.shape[1] - col]
    out[row : row + part.shape[0], col : col + part.shape[1]] = part
    return out[:-1, :-1]


def checked_box(box: tuple[float, float, float, float], record: SceneRecord) -> tuple[float, float, float, float]:
    """The box, if it has an area and meets the scene.

    Raises:
        InputError: If not.
    """
    x0, y0, x1, y1 = box
    if (
        not all(map(math.isfinite, box))
        or x1 <= x0
        or y1 <= y0
        or x1 <= 0
        or y1 <= 0
        or x0 >= record.width_px
        or y0 >= record.height_px
    ):
        raise InputError(
            f"Cannot cut {box} out of {record.scene_id}: expected x0 < x1 and y0 < y1 inside {record.width_px} x {record.height_px} "
            "px. Draw the box on the scene."
        )
    return x0, y0, x1, y1


def encoded(rgba_hwc: NDArray[np.uint8], *, exact: bool = False) -> tuple[bytes, str]:
    """A picture as a file: JPEG, or PNG where something is missing or every value counts.

    Args:
        rgba_hwc: Shape (H, W, 4), uint8.
        exact: Always PNG.

    Returns:
        The bytes and their media type.
    """
    import cv2

    if exact or (rgba_hwc[..., 3] < 255).any():
        bgra = np.ascontiguousarray(rgba_hwc[..., [2, 1, 0, 3]])
        return cv2.imencode(".png", bgra, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes(), "image/png"
    bgr = np.ascontiguousarray(rgba_hwc[..., 2::-1])
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes(), "image/jpeg"
