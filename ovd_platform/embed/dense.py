"""Region vectors from one dense pass: the image is embedded once, regions are pooled from its tokens (RoI pooling).

Belongs here: from boxes of a scene to batches of token grids. Does not belong here: one forward a box (`crops`), networks.

The backbone looks at windows of the size it was trained at, side by side, so positions stay those it knows and the cost grows with the
area alone: (side x scale / patch)^2 tokens a tile, whatever the number of boxes. Tokens of a region are sampled with RoIAlign (He et al.
2017, Mask R-CNN, section 3).
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ovd_platform.embed.crops import square_groups
from ovd_platform.raster.radiometry import InstrumentProfile, normalise
from ovd_platform.records.window import Window

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene

TokensOf = Callable[[Tensor], tuple[Tensor, Tensor | None]]


def iterate_regions(
    scene: "Scene",
    squares_n4: NDArray[np.float32],
    profile: InstrumentProfile,
    tokens_of: TokensOf,
    *,
    img_px: int,
    patch_px: int,
    scale: float,
) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor | None]]:
    """Token grids of regions, neighbours together: each part of the scene is read and embedded once.

    Args:
        scene: Open scene.
        squares_n4: Squares in scene pixels (`crops.crop_squares`); they may reach outside of the scene.
        profile: Normalisation of the scene's instrument.
        tokens_of: Images (B, C, img, img) to tokens (B, P, D) of the backbone and of the language branch or None.
        img_px: Side of the windows the backbone looks at.
        patch_px: Side of a patch.
        scale: Pixels of a window per scene pixel; 0.5 halves the image first.

    Yields:
        Row numbers (M,) into ``squares_n4``, tokens (M, P, D), tokens of the branch (M, P, D) or None.
    """
    for rows in square_groups(squares_n4):
        left, top = np.floor(squares_n4[rows, :2].min(axis=0)).astype(int)
        right, bottom = np.ceil(squares_n4[rows, 2:].max(axis=0)).astype(int)
        chip = scene.read(Window(int(left), int(top), int(right - left), int(bottom - top)))
        planes_chw = torch.from_numpy(normalise(chip.pixels_chw, chip.valid_hw, profile))
        offset = np.array([left, top, left, top], dtype=np.float32)
        squares = torch.from_numpy((squares_n4[rows] - offset).astype(np.float32))
        # One large square alone would make a map of thousands of windows for a few tokens: it is shrunk.
        largest = float((squares[:, 2] - squares[:, 0]).max())
        own_scale = min(scale, 2.0 * img_px / largest) if len(rows) == 1 else scale
        yield (rows, *_pooled(planes_chw, squares, tokens_of, img_px, patch_px, own_scale))


def _pooled(
    planes_chw: Tensor, squares_n4: Tensor, tokens_of: TokensOf, img_px: int, patch_px: int, scale: float
) -> tuple[Tensor, Tensor | None]:
    from torchvision.ops import roi_align

    size = [max(1, round(side * scale)) for side in planes_chw.shape[1:]]
    # Whole pixels are made of each axis, so its own ratio places the boxes, not the scale that was asked for.
    ratio_x, ratio_y = size[1] / planes_chw.shape[2], size[0] / planes_chw.shape[1]
    images, down, across = _windows(planes_chw, img_px, size)
    grid = img_px // patch_px
    ratios = torch.tensor([ratio_x, ratio_y, ratio_x, ratio_y], dtype=torch.float32)
    indexed = torch.cat([torch.zeros(len(squares_n4), 1), squares_n4 * ratios / patch_px], dim=1)
    pooled: list[Tensor | None] = []
    for tokens_bpd in tokens_of(images):
        if tokens_bpd is None:
            pooled.append(None)
            continue
        dim = tokens_bpd.shape[2]
        tokens = tokens_bpd.float().reshape(down, across, grid, grid, dim).permute(4, 0, 2, 1, 3)
        stitched_dhw = tokens.reshape(1, dim, down * grid, across * grid)
        regions = roi_align(stitched_dhw, indexed, grid, sampling_ratio=-1, aligned=True)
        pooled.append(regions.flatten(2).transpose(1, 2))
    first, second = pooled
    assert first is not None
    return first, second


def _windows(planes_chw: Tensor, img_px: int, size: list[int]) -> tuple[Tensor, int, int]:
    """Bring an image to (height, width) and cut it into windows side by side; what is left over is filled by repeating its edge."""
    if size != list(planes_chw.shape[1:]):
        planes_chw = F.interpolate(planes_chw[None], size=size, mode="area")[0]  # averages areas, as crops are made
    height, width = planes_chw.shape[1:]
    down, across = -(-height // img_px), -(-width // img_px)
    padded = F.pad(planes_chw[None], (0, across * img_px - width, 0, down * img_px - height), mode="replicate")[0]
    bands = padded.shape[0]
    cut = padded.reshape(bands, down, img_px, across, img_px).permute(1, 3, 0, 2, 4)
    return cut.reshape(down * across, bands, img_px, img_px).contiguous(), down, across
