"""Masked autoencoder over any bands (He et al. 2022): most patches are hidden, the encoder sees only the rest.

Belongs here: masking, the light decoder, the loss, reconstructions as pictures. Does not belong here: training (learn.mae).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ovd_platform.models.stems import BandCode, BandKey
from ovd_platform.models.vit import MultiBandViT, sincos_positions, transformer

_FLAT = 1e-4
"""Variance added to a patch's own: flat patches are not blown up into noise (normalised units)."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskedOutput:
    """One pass of the autoencoder.

    Attributes:
        loss: Scalar: error of hidden patches in units of each patch's own spread; 1 is "predicts the patch mean".
        mean_bpv: Predicted mean band, (B, P, V) with V pixels a patch, patch-normalised.
        bands_bcpv: Predicted bands, (B, C, P, V), patch-normalised.
        hidden_bp: True where the encoder did not look.
    """

    loss: Tensor
    mean_bpv: Tensor
    bands_bcpv: Tensor
    hidden_bp: Tensor


def random_keep(batch: int, patches: int, keep_fraction: float, generator: torch.Generator) -> Tensor:
    """Indices of the patches that stay visible, shape (B, P'), int64, sorted."""
    kept = max(1, round(patches * keep_fraction))
    return torch.rand(batch, patches, generator=generator).argsort(1)[:, :kept].sort(1).values


def patchify(images_bchw: Tensor, patch_px: int) -> Tensor:
    """Pixels by patch, (B, C, P, V), patches row by row; a new tensor."""
    batch, bands, height, width = images_bchw.shape
    grid = images_bchw.reshape(batch, bands, height // patch_px, patch_px, width // patch_px, patch_px)
    return grid.permute(0, 1, 2, 4, 3, 5).reshape(batch, bands, -1, patch_px * patch_px)


def unpatchify(patches_bcpv: Tensor, patch_px: int, rows: int, cols: int) -> Tensor:
    """Inverse of `patchify`."""
    batch, bands = patches_bcpv.shape[:2]
    grid = patches_bcpv.reshape(batch, bands, rows, cols, patch_px, patch_px)
    return grid.permute(0, 1, 2, 4, 3, 5).reshape(batch, bands, rows * patch_px, cols * patch_px)


def _normalise(patches: Tensor) -> Tensor:
    spread = patches.var(-1, keepdim=True, unbiased=False) + _FLAT
    return (patches - patches.mean(-1, keepdim=True)) / spread.sqrt()


class MaskedAutoencoder(nn.Module):
    """Backbone with a light decoder that predicts the mean band and, for several bands, each band."""

    def __init__(self, backbone: MultiBandViT, *, decoder_dim: int = 96, decoder_depth: int = 2) -> None:
        """Put a fresh decoder behind a backbone."""
        super().__init__()
        pixels = backbone.size.patch_px**2
        self.backbone = backbone
        self.decoder_in = nn.Linear(backbone.size.dim, decoder_dim)
        self.decoder_hidden = nn.Parameter(torch.zeros(decoder_dim))
        self.decoder_blocks = transformer(decoder_dim, decoder_depth, 3)
        self.decoder_norm = nn.LayerNorm(decoder_dim)
        self.decoder_mean = nn.Linear(decoder_dim, pixels)
        self.decoder_code = BandCode(decoder_dim)
        self.decoder_band = nn.Linear(decoder_dim, pixels)

    def forward(
        self, images_bchw: Tensor, keys: Sequence[BandKey], keep_bp: Tensor, metadata_bm: Tensor | None = None
    ) -> MaskedOutput:
        """Reconstruct what is hidden.

        Args:
            images_bchw: Normalised planes, shape (B, C, H, W), float32.
            keys: What each band is.
            keep_bp: Visible patches, shape (B, P'), int64.
            metadata_bm: Acquisition metadata, shape (B, M) or (1, M), or None.
        """
        patch_px = self.backbone.size.patch_px
        tokens_bpd, _ = self.backbone(images_bchw, keys, keep_bp=keep_bp, metadata_bm=metadata_bm)
        rows, cols = (side // patch_px for side in images_bchw.shape[2:])
        visible = self.decoder_in(tokens_bpd)
        filled = self.decoder_hidden.to(visible.dtype).expand(len(images_bchw), rows * cols, -1)
        filled = filled.scatter(1, keep_bp[:, :, None].expand(-1, -1, visible.shape[2]), visible)
        filled = filled + sincos_positions(rows, cols, visible.shape[2]).to(filled)
        decoded = self.decoder_norm(self.decoder_blocks(filled))
        mean_bpv = self.decoder_mean(decoded).float()
        code_cd = self.decoder_code(keys)
        bands_bcpv = self.decoder_band(decoded[:, None] * (1 + code_cd[None, :, None])).float()
        hidden_bp = torch.ones(len(images_bchw), rows * cols, dtype=torch.bool).scatter(1, keep_bp, False)
        weight_bp = hidden_bp.float() / hidden_bp.sum()
        error_bp = (mean_bpv - _normalise(patchify(images_bchw.mean(1, keepdim=True), patch_px)[:, 0])).square().mean(-1)
        loss = (error_bp * weight_bp).sum()
        band_error_bp = (bands_bcpv - _normalise(patchify(images_bchw, patch_px))).square().mean(-1).mean(1)
        loss = 0.5 * loss + 0.5 * (band_error_bp * weight_bp).sum()
        return MaskedOutput(loss, mean_bpv, bands_bcpv, hidden_bp)


@torch.no_grad()
def reconstruction_picture(
    model: MaskedAutoencoder, images_bchw: Tensor, keys: Sequence[BandKey], seed: int = 0
) -> NDArray[np.uint8]:
    """Original | masked | reconstruction of the mean band, one row an image.

    Hidden patches get the true patch's mean and spread back (the model predicts normalised patches), as in He et al. 2022.

    Args:
        model: A trained autoencoder.
        images_bchw: Normalised planes, shape (B, C, H, W).
        keys: What each band is.
        seed: Of the mask.

    Returns:
        Picture, shape (B * H, 3 * W, 3), uint8.
    """
    model.eval()
    patch_px = model.backbone.size.patch_px
    rows, cols = (side // patch_px for side in images_bchw.shape[2:])
    keep_bp = random_keep(len(images_bchw), rows * cols, 0.25, torch.Generator().manual_seed(seed))
    output = model(images_bchw, keys, keep_bp)
    truth_bpv = patchify(images_bchw.mean(1, keepdim=True), patch_px)[:, 0]
    spread = (truth_bpv.var(-1, keepdim=True, unbiased=False) + _FLAT).sqrt()
    guess_bpv = output.mean_bpv * spread + truth_bpv.mean(-1, keepdim=True)
    hidden = output.hidden_bp[:, :, None]
    masked_bpv = torch.where(hidden, torch.full_like(truth_bpv, 0.5), truth_bpv)
    panels = [truth_bpv, masked_bpv, torch.where(hidden, guess_bpv, truth_bpv)]
    pictures = [unpatchify(panel[:, None], patch_px, rows, cols)[:, 0] for panel in panels]
    grey_hw = torch.cat([torch.cat(list(picture), dim=0) for picture in pictures], dim=1)
    grey: NDArray[np.uint8] = (grey_hw.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return np.repeat(grey[:, :, None], 3, axis=2)
