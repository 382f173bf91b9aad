"""Random views of image batches: geometry, radiometry, bands. Everything draws from the generator it is given.

Belongs here: augmentation shared by the recipes. Does not belong here: sampling of pixels from scenes (chips, regions).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ovd_platform.models.stems import BandKey

Keys = tuple[BandKey, ...]


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Uniform numbers, shape (count,)."""
    return torch.rand(count, generator=generator) * (high - low) + low


def warp(
    images_bchw: Tensor,
    out_px: int,
    generator: torch.Generator,
    *,
    span: float = 1.0,
    scale: tuple[float, float] = (0.75, 1.3),
    shift: float = 0.08,
    any_angle: bool = True,
) -> Tensor:
    """Random rotation, flip, scale and shift around the centre.

    Args:
        images_bchw: Square images, shape (B, C, S, S).
        out_px: Side of the views.
        generator: Source of chance.
        span: Share of the image's side a view of scale 1 covers.
        scale: Range of the covered side relative to ``span`` (log-uniform).
        shift: Largest shift as a share of the view.
        any_angle: Any rotation; quarter turns only when False.

    Returns:
        Views, shape (B, C, out, out); beyond the image its border is repeated.
    """
    count = len(images_bchw)
    side_b = span * uniform(count, math.log(scale[0]), math.log(scale[1]), generator).exp()
    angle_b = torch.randint(0, 4, (count,), generator=generator) * (math.pi / 2)
    if any_angle:
        angle_b = angle_b + uniform(count, -math.pi / 4, math.pi / 4, generator)
    flip_b = torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1.0
    cos_b, sin_b = angle_b.cos() * side_b, angle_b.sin() * side_b
    dx_b, dy_b = (uniform(count, -2 * shift, 2 * shift, generator) * span for _ in range(2))
    theta_b23 = torch.stack([cos_b * flip_b, -sin_b, dx_b, sin_b * flip_b, cos_b, dy_b], dim=1).reshape(count, 2, 3)
    grid = F.affine_grid(theta_b23, [count, images_bchw.shape[1], out_px, out_px], align_corners=False)
    return F.grid_sample(images_bchw.float(), grid, padding_mode="border", align_corners=False)


def centre_view(images_bchw: Tensor, out_px: int, span: float) -> Tensor:
    """The central share of square images, resampled to (out, out), without chance."""
    theta_23 = torch.tensor([[span, 0.0, 0.0], [0.0, span, 0.0]])
    grid = F.affine_grid(theta_23.expand(len(images_bchw), 2, 3), [len(images_bchw), 1, out_px, out_px], align_corners=False)
    return F.grid_sample(images_bchw.float(), grid, padding_mode="border", align_corners=False)


def relight(images_bchw: Tensor, generator: torch.Generator, *, strength: float = 1.0) -> Tensor:
    """Random gain, offset, gamma, per-band gain, blur and noise of normalised planes; stays in [0, 1.25]."""
    count, bands = images_bchw.shape[:2]
    one = (count, 1, 1, 1)
    gamma = uniform(count, -0.5 * strength, 0.5 * strength, generator).exp().reshape(one)
    gain = uniform(count, -0.4 * strength, 0.35 * strength, generator).exp().reshape(one)
    offset = uniform(count, -0.1 * strength, 0.1 * strength, generator).reshape(one)
    band_gain = uniform(count * bands, -0.15 * strength, 0.15 * strength, generator).exp().reshape(count, bands, 1, 1)
    lit = images_bchw.clamp_min(1e-4).pow(gamma) * gain * band_gain + offset
    soft = F.avg_pool2d(F.pad(lit, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    soft = F.avg_pool2d(F.pad(soft, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    blur = (uniform(count, -1.0, 1.0, generator).clamp_min(-0.35)).reshape(one)  # negative sharpens
    lit = lit + blur * (soft - lit)
    noise = torch.randn(lit.shape, generator=generator) * uniform(count, 0.0, 0.04 * strength, generator).reshape(one)
    return (lit + noise).clamp(0.0, 1.25)


def fewer_bands(images_bchw: Tensor, keys: Keys, generator: torch.Generator) -> tuple[Tensor, Keys]:
    """Sometimes one panchromatic mean instead of the bands, sometimes a random subset, sometimes nobody knows which bands."""
    draw = float(torch.rand((), generator=generator))
    bands = len(keys)
    numbers = [key for key in keys if isinstance(key, float)]
    if bands >= 3 and draw < 0.3 and len(numbers) == bands:
        visible = [index for index, key in enumerate(keys) if isinstance(key, float) and key < 0.75] or list(range(bands))
        mix = torch.rand(len(visible), generator=generator) + 0.3
        mixed = torch.einsum("bchw,c->bhw", images_bchw[:, visible], mix / mix.sum())[:, None]
        images_bchw, keys = mixed, (0.625,)
    elif bands >= 2 and draw < 0.45:
        count = int(torch.randint(1, bands + 1, (), generator=generator))
        chosen = torch.randperm(bands, generator=generator)[:count].sort().values.tolist()
        images_bchw, keys = images_bchw[:, chosen], tuple(keys[index] for index in chosen)
    if float(torch.rand((), generator=generator)) < 0.12:
        keys = (None,) * len(keys)
    return images_bchw, keys
