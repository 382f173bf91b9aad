"""Pasting an object chip into ground at native depth: warp, Poisson blend, noise match.

Belongs here: one paste. Does not belong here: choosing what goes where (`build`) and judging it (`quality`).
References: Perez, Gangnet, Blake 2003, Poisson image editing, eq. 7.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.datasets.polygons import Corners
from ovd_platform.errors import InputError, ShapeError
from ovd_platform.synthesis.chip_library import ObjectChip
from ovd_platform.synthesis.sensor_model import anti_alias, equivalent_looks, match_noise, match_speckle, noise_sigma

BLEND_MARGIN_PX = 3
LOG_FLOOR = 1e-3
OVERSHOOT = 0.04


@dataclass(frozen=True, slots=True)
class Pose:
    """How an object is put down.

    Attributes:
        x_px: Centre in pixels of the ground chip.
        y_px: Centre, down.
        rotation_deg: Clockwise on the screen.
        flip: Mirrored left-right before rotating.
        scale: Size of a chip pixel in ground pixels (donor GSD / ground GSD).
    """

    x_px: float
    y_px: float
    rotation_deg: float = 0.0
    flip: bool = False
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class WarpedObject:
    """An object chip on the grid of the ground.

    Attributes:
        pixels_chw: Values, shape (C, h, w), float64.
        mask_hw: Silhouette, shape (h, w), bool.
        domain_hw: Where blending replaces the ground: silhouette and a margin, inside valid donor pixels.
        left_px: Column of the patch in the ground chip.
        top_px: Row of the patch in the ground chip.
        corners_ground_xy: Label polygon in pixels of the ground chip.
    """

    pixels_chw: NDArray[np.float64]
    mask_hw: NDArray[np.bool_]
    domain_hw: NDArray[np.bool_]
    left_px: int
    top_px: int
    corners_ground_xy: Corners


@dataclass(frozen=True, slots=True)
class PasteResult:
    """A ground chip with one object in it.

    Attributes:
        pixels_chw: New array, shape (C, H, W), float64, not yet rounded.
        mask_hw: Silhouette of the object on the ground chip, bool.
        domain_hw: Pixels that were replaced.
        corners_xy: Label polygon around the object in pixels of the ground chip.
        clipped_fraction: Share of replaced pixels that left the value range by more than 4 % of it and were cut back.
    """

    pixels_chw: NDArray[np.float64]
    mask_hw: NDArray[np.bool_]
    domain_hw: NDArray[np.bool_]
    corners_xy: Corners
    clipped_fraction: float


def warp_object(chip: ObjectChip, pose: Pose) -> WarpedObject:
    """Bring an object chip onto the ground's grid.

    Args:
        chip: The object.
        pose: Where and how.

    Returns:
        The warped object; its patch holds the object and the margin.

    Raises:
        InputError: If the scale is not positive.
    """
    if pose.scale <= 0:
        raise InputError(f"Cannot paste {chip.annotation_id}: expected a positive scale, got {pose.scale}. Check gsd_m.")
    from scipy import ndimage

    matrix = _chip_to_ground(pose)
    rows, columns = np.nonzero(chip.mask_hw)
    centre_xy = np.array([columns.min() + columns.max() + 1, rows.min() + rows.max() + 1]) / 2
    offset_xy = np.array([pose.x_px, pose.y_px]) - matrix @ centre_xy
    outline_n2 = _outline(chip.mask_hw) @ matrix.T + offset_xy
    margin = BLEND_MARGIN_PX + 2
    left, top = (math.floor(value) - margin for value in outline_n2.min(axis=0))
    right, bottom = (math.ceil(value) + margin for value in outline_n2.max(axis=0))
    grid_y, grid_x = np.mgrid[top:bottom, left:right] + 0.5
    source = np.linalg.inv(matrix) @ (np.stack([grid_x.ravel(), grid_y.ravel()]) - offset_xy[:, None]) - 0.5
    coordinates = (source[1].reshape(grid_y.shape), source[0].reshape(grid_y.shape))
    blurred_chw = anti_alias(chip.pixels_chw, pose.scale)
    pixels_chw = np.stack([ndimage.map_coordinates(band, coordinates, order=1, mode="nearest") for band in blurred_chw])
    share_hw = anti_alias(chip.mask_hw[None], pose.scale)[0]
    mask_hw = ndimage.map_coordinates(share_hw, coordinates, order=1, mode="constant") > 0.5
    valid_hw = ndimage.map_coordinates(chip.valid_hw.astype(np.float64), coordinates, order=1, mode="constant") > 0.999
    domain_hw = ndimage.binary_dilation(mask_hw, structure=np.ones((3, 3)), iterations=BLEND_MARGIN_PX) & valid_hw
    corners_n2 = np.asarray(chip.corners_chip_xy) @ matrix.T + offset_xy
    corners = tuple((float(x), float(y)) for x, y in corners_n2)
    return WarpedObject(pixels_chw, mask_hw, domain_hw, left, top, corners)


def paste_object(
    ground_chw: NDArray[Any],
    chip: ObjectChip,
    pose: Pose,
    generator: np.random.Generator,
    *,
    max_value: float | None,
    log: bool = False,
) -> PasteResult | str:
    """Blend an object into ground so that its gradients, not its brightness, are kept, with the ground's noise.

    Args:
        ground_chw: Native values, shape (C, H, W), any real dtype.
        chip: The object; as many bands as the ground.
        pose: Where and how.
        generator: Source of the noise.
        max_value: Largest value of the ground's bit depth, or None for float.
        log: Blend logarithms and match speckle (SAR amplitude) instead of values and additive noise.

    Returns:
        The composite, or the reason the object cannot be put there.

    Raises:
        ShapeError: If the band counts differ.
    """
    if ground_chw.ndim != 3 or len(ground_chw) != len(chip.pixels_chw):
        raise ShapeError(
            f"Cannot paste {chip.annotation_id}: expected ground of {len(chip.pixels_chw)} bands, got {ground_chw.shape}. "
            "Paste between scenes of one instrument."
        )
    warped = warp_object(chip, pose)
    height, width = warped.mask_hw.shape
    _, ground_height, ground_width = ground_chw.shape
    if (
        warped.left_px < 1
        or warped.top_px < 1
        or warped.left_px + width >= ground_width
        or warped.top_px + height >= ground_height
    ):
        return "outside the tile"
    if not warped.mask_hw.any() or (warped.mask_hw & ~warped.domain_hw).any():
        return "nothing left after warping"
    window = (slice(None), slice(warped.top_px, warped.top_px + height), slice(warped.left_px, warped.left_px + width))
    patch_chw = ground_chw[window].astype(np.float64)
    if log:
        source_chw, target_chw = (np.log(np.maximum(array, LOG_FLOOR)) for array in (warped.pixels_chw, patch_chw))
        blended_chw = np.exp(poisson_blend(target_chw, source_chw, warped.domain_hw))
        have, want = equivalent_looks(warped.pixels_chw[0], _plain(warped)), equivalent_looks(ground_chw[0])
        if np.isfinite(want) and np.isfinite(have):
            blended_chw = match_speckle(blended_chw, warped.domain_hw, have, want, generator)
    else:
        blended_chw = poisson_blend(patch_chw, warped.pixels_chw, warped.domain_hw)
        have_c, want_c = noise_sigma(warped.pixels_chw, _plain(warped)), noise_sigma(patch_chw)
        if have_c.all():
            blended_chw = match_noise(blended_chw, warped.domain_hw, have_c, want_c, generator)
    high = np.inf if max_value is None else max_value
    slack = 0.0 if max_value is None else OVERSHOOT * max_value
    outside_chw = ((blended_chw < -slack) | (blended_chw > high + slack)) & warped.domain_hw
    result_chw = ground_chw.astype(np.float64)
    result_chw[window] = np.where(warped.domain_hw, np.clip(blended_chw, 0, high), patch_chw)
    mask_hw, domain_hw = np.zeros((2, ground_height, ground_width), dtype=bool)
    mask_hw[window[1:]], domain_hw[window[1:]] = warped.mask_hw, warped.domain_hw
    clipped = float(outside_chw.any(axis=0).sum() / warped.domain_hw.sum())
    return PasteResult(result_chw, mask_hw, domain_hw, warped.corners_ground_xy, clipped)


def poisson_blend(
    target_chw: NDArray[np.float64], source_chw: NDArray[np.float64], domain_hw: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Solve for values that have the source's gradients inside a domain and the target's values on its border.

    Args:
        target_chw: Ground, shape (C, H, W); the domain must not touch the array's edge.
        source_chw: Object on the same grid, shape (C, H, W).
        domain_hw: Pixels to solve for, shape (H, W), bool.

    Returns:
        New array (C, H, W): the target outside of the domain, the solution inside.

    Raises:
        ShapeError: If shapes disagree or the domain touches the edge.
    """
    edge = domain_hw[0].any() or domain_hw[-1].any() or domain_hw[:, 0].any() or domain_hw[:, -1].any()
    if target_chw.shape != source_chw.shape or target_chw.shape[1:] != domain_hw.shape or edge:
        raise ShapeError(
            f"Cannot blend: expected equal shapes and a domain off the edge, got {target_chw.shape}, {source_chw.shape}, "
            f"{domain_hw.shape}. Give the object more margin."
        )
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import splu

    result_chw = target_chw.copy()
    rows_n, columns_n = np.nonzero(domain_hw)
    count = len(rows_n)
    if count == 0:
        return result_chw
    index_hw = np.full(domain_hw.shape, -1)
    index_hw[rows_n, columns_n] = np.arange(count)
    right_cn = np.zeros((len(target_chw), count))
    rows, columns, values = [np.arange(count)], [np.arange(count)], [np.full(count, 4.0)]
    for step_row, step_column in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        near_row, near_column = rows_n + step_row, columns_n + step_column
        right_cn += source_chw[:, rows_n, columns_n] - source_chw[:, near_row, near_column]
        neighbour_n = index_hw[near_row, near_column]
        border_n = neighbour_n < 0
        right_cn[:, border_n] += target_chw[:, near_row[border_n], near_column[border_n]]
        rows.append(np.flatnonzero(~border_n))
        columns.append(neighbour_n[~border_n])
        values.append(np.full(int((~border_n).sum()), -1.0))
    laplacian = coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(count, count))
    result_chw[:, rows_n, columns_n] = splu(laplacian.tocsc()).solve(right_cn.T).T
    return result_chw


def _plain(warped: WarpedObject) -> NDArray[np.bool_]:
    """Pixels of a patch away from the silhouette's outline, where noise can be told from shape, shape (h, w), bool."""
    from scipy import ndimage

    square = np.ones((3, 3))
    grown_hw = ndimage.binary_dilation(warped.mask_hw, structure=square, iterations=2)
    return np.asarray(~grown_hw | ndimage.binary_erosion(warped.mask_hw, structure=square, iterations=2), dtype=bool)


def _chip_to_ground(pose: Pose) -> NDArray[np.float64]:
    """2 x 2 matrix of flip, rotation and scale on (x, y) columns."""
    angle = math.radians(pose.rotation_deg)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.asarray(pose.scale * rotation @ np.diag([-1.0 if pose.flip else 1.0, 1.0]))


def _outline(mask_hw: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Outer corners (x, y) of the border pixels of a mask, shape (N, 2)."""
    rows, columns = np.nonzero(mask_hw)
    return np.concatenate([np.stack([columns + dx, rows + dy], axis=-1) for dx in (0, 1) for dy in (0, 1)]).astype(np.float64)
