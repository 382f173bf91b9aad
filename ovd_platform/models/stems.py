"""From any number of bands to tokens: which band a plane is, and how planes become patch tokens.

Belongs here: `band_keys`, `SensorAdapter` (1x1 convolution) and `BandAdapters` (one a band count), `BandKernels` (native first
convolutions by weight inflation), `WavelengthPatchEmbed` (native, any band count). Does not belong here: normalisation of source values (raster.radiometry) and everything behind the tokens (vit).
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ovd_platform.errors import InputError, ShapeError
from ovd_platform.raster.radiometry import band_wavelengths
from ovd_platform.records.scene import SceneRecord

BandKey = float | str | None
"""What a band is: centre wavelength in micrometres, name of a polarisation, or None where nobody knows."""

POLARISATIONS: tuple[str, ...] = ("vv", "vh", "hv", "hh")
RGB_KEYS: tuple[BandKey, ...] = (0.65, 0.56, 0.48)
AdapterInit = Literal["average", "first3", "pca"]
BandReading = Literal["native", "average", "first3", "pca"]
"""How a network takes other than three bands: by weights of its own for each band, or by a `SensorAdapter` that starts so."""

# Planes arrive in [0, 1.25]; these centre them for every instrument alike, so that no statistics hide in the weights.
_CENTRE, _SPREAD = 0.4, 0.25
_FREQUENCIES = 16


def band_keys(record: SceneRecord) -> tuple[BandKey, ...]:
    """What each band of a scene is, in array order.

    Args:
        record: The scene.

    Returns:
        Wavelengths in micrometres; for SAR the lower-case polarisation; None for bands nobody described.
    """
    return tuple(
        band.name.lower() if record.modality == "sar" and band.name.lower() in POLARISATIONS else wavelength
        for band, wavelength in zip(record.bands, band_wavelengths(record), strict=True)
    )


class SensorAdapter(nn.Module):
    """Learnable 1x1 convolution from C bands to the three a pretrained network expects."""

    def __init__(self, in_bands: int, out_bands: int = 3, init: AdapterInit = "average") -> None:
        """Make the adapter.

        Args:
            in_bands: Bands of the instrument.
            out_bands: Planes behind it.
            init: ``average`` (every output is the mean band), ``first3`` (copies; a missing band repeats the last), ``pca``
                (starts as ``average`` until `fit_pca` has seen pixels).
        """
        super().__init__()
        self.projection = nn.Conv2d(in_bands, out_bands, 1)
        weight_oc = torch.full((out_bands, in_bands), 1.0 / in_bands)
        if init == "first3":
            weight_oc = torch.zeros(out_bands, in_bands)
            for index in range(out_bands):
                weight_oc[index, min(index, in_bands - 1)] = 1.0
        elif init not in ("average", "pca"):
            raise InputError(f"Cannot initialise a SensorAdapter: expected average, first3 or pca, got {init!r}.")
        with torch.no_grad():
            self.projection.weight.copy_(weight_oc[:, :, None, None])
            nn.init.zeros_(self.projection.bias)  # type: ignore[arg-type]

    @torch.no_grad()
    def fit_pca(self, pixels_nc: Tensor) -> None:
        """Set the outputs to the leading principal components, rescaled to [0, 1]-like planes.

        Args:
            pixels_nc: Normalised pixels, shape (N, C), float32.

        Raises:
            ShapeError: If C is not the adapter's.
        """
        out_bands, in_bands = self.projection.weight.shape[:2]
        if pixels_nc.ndim != 2 or pixels_nc.shape[1] != in_bands:
            raise ShapeError(
                f"Cannot fit a SensorAdapter of {in_bands} bands: expected (N, {in_bands}), got {tuple(pixels_nc.shape)}."
            )
        mean_c = pixels_nc.mean(0)
        _, singular_k, axes_kc = torch.linalg.svd(pixels_nc - mean_c, full_matrices=False)
        axes_kc = axes_kc * torch.sign(axes_kc.sum(1, keepdim=True) + 1e-12)  # brighter stays brighter, run after run
        rows = [min(index, len(axes_kc) - 1) for index in range(out_bands)]
        spread_k = (singular_k / math.sqrt(max(1, len(pixels_nc) - 1))).clamp_min(1e-4)
        weight_oc = axes_kc[rows] * (_SPREAD / spread_k[rows])[:, None]
        self.projection.weight.copy_(weight_oc[:, :, None, None])
        self.projection.bias.copy_(_CENTRE - weight_oc @ mean_c)  # type: ignore[union-attr]

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, out, H, W)."""
        adapted: Tensor = self.projection(images_bchw)
        return adapted


class BandAdapters(nn.Module):
    """One linear map C -> 3 per known band count; an unknown count is averaged into all three.

    Args:
        band_counts: Counts that get trainable weights; three bands start as they are.
        init: How the adapters of other counts start; see `SensorAdapter`.
    """

    def __init__(self, band_counts: Sequence[int], init: AdapterInit = "average") -> None:
        super().__init__()
        self.init = init
        self.maps = nn.ModuleDict(
            {str(count): SensorAdapter(count, init="first3" if count == 3 else init) for count in sorted(set(band_counts))}
        )

    def fit(self, pixels_nc: Tensor) -> bool:
        """Fit the adapter of C bands by principal components if adapters start so; returns whether it was.

        Args:
            pixels_nc: Normalised pixels, shape (N, C), float32.
        """
        key = str(pixels_nc.shape[1])
        if self.init != "pca" or key == "3" or key not in self.maps:
            return False
        adapter = self.maps[key]
        assert isinstance(adapter, SensorAdapter)
        adapter.fit_pca(pixels_nc)
        return True

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, 3, H, W)."""
        key = str(x_bchw.shape[1])
        if key in self.maps:
            mapped: Tensor = self.maps[key](x_bchw)
            return mapped
        return x_bchw.mean(1, keepdim=True).expand(-1, 3, -1, -1)


def inflated_kernel(kernel_o3hw: Tensor, bands: int) -> Tensor:
    """A three-band convolution kernel spread over C bands: the mean over the three, times 3 / C.

    An image whose bands are all alike gets the answer it would get as grey in three bands.

    Args:
        kernel_o3hw: Weights over three bands, shape (O, 3, h, w).
        bands: C; for three the kernel stays as it is.

    Returns:
        New tensor, shape (O, C, h, w).
    """
    if bands == kernel_o3hw.shape[1]:
        return kernel_o3hw.detach().clone()
    return kernel_o3hw.detach().sum(1, keepdim=True).repeat(1, bands, 1, 1) / bands


class BandKernels(nn.Module):
    """First-convolution weights for every known band count but three, which keeps the network's own.

    Args:
        base: The network's first convolution, three bands in.
        band_counts: Counts that get weights of their own, inflated from ``base``.
    """

    def __init__(self, base: nn.Conv2d, band_counts: Sequence[int]) -> None:
        super().__init__()
        self.kernels = nn.ParameterDict(
            {str(count): nn.Parameter(inflated_kernel(base.weight, count)) for count in sorted(set(band_counts) - {3})}
        )

    def inflate(self, base: nn.Conv2d) -> None:
        """Start again from a convolution whose weights were loaded meanwhile."""
        with torch.no_grad():
            for count, kernel in self.kernels.items():
                kernel.copy_(inflated_kernel(base.weight, int(count)))

    def forward(self, x_bchw: Tensor, base: nn.Conv2d) -> Tensor:
        """The first convolution of (B, C, H, W) with the stride, padding and bias of ``base``; an unknown count is inflated."""
        count = x_bchw.shape[1]
        if count == 3:
            answer: Tensor = base(x_bchw)
            return answer
        kernel = self.kernels[str(count)] if str(count) in self.kernels else inflated_kernel(base.weight, count)
        return F.conv2d(x_bchw, kernel, base.bias, base.stride, base.padding)  # type: ignore[arg-type]


class BandCode(nn.Module):
    """Learned code of a band: sinusoids of its wavelength, or one token a polarisation and one for "unknown"."""

    def __init__(self, dim: int) -> None:
        """Make codes of ``dim`` numbers."""
        super().__init__()
        self.names = nn.Parameter(torch.randn(len(POLARISATIONS) + 1, 2 * _FREQUENCIES) * 0.5)
        self.mlp = nn.Sequential(nn.Linear(2 * _FREQUENCIES, 64), nn.GELU(), nn.Linear(64, dim))

    def forward(self, keys: Sequence[BandKey]) -> Tensor:
        """Codes of the bands, shape (C, dim)."""
        rows = [self._row(key) for key in keys]
        code: Tensor = self.mlp(torch.stack(rows))
        return code

    def _row(self, key: BandKey) -> Tensor:
        if key is None:
            return self.names[-1]
        if isinstance(key, str):
            if key.lower() not in POLARISATIONS:
                raise InputError(f"Cannot encode band {key!r}: expected a wavelength, None, or one of {POLARISATIONS}.")
            return self.names[POLARISATIONS.index(key.lower())]
        # Octaves over log wavelength: 0.4 um (blue) to 12 um (thermal) spans about five.
        position = math.log2(max(float(key), 0.05) / 0.4)
        steps = torch.arange(_FREQUENCIES, dtype=torch.float32, device=self.names.device)
        angles = position * math.pi * 2.0 ** (steps / 4.0 - 1.0)
        return torch.cat([torch.sin(angles), torch.cos(angles)])


class WavelengthPatchEmbed(nn.Module):
    """One patch embedding shared by all bands, modulated by what each band is, summed over bands.

    ``token = sum_c ((1 + scale_c) * (W patch_c) + shift_c) / sqrt(C) + bias`` where scale and shift come from the band's code.
    The sum is linear in the pixels, so it runs as one convolution whose kernel is made for the bands at hand.
    """

    def __init__(self, patch_px: int, dim: int) -> None:
        """Make the stem for square patches of ``patch_px`` and tokens of ``dim``."""
        super().__init__()
        self.patch_px = patch_px
        self.kernel = nn.Parameter(torch.empty(dim, 1, patch_px, patch_px))
        nn.init.trunc_normal_(self.kernel, std=1.0 / patch_px)
        self.bias = nn.Parameter(torch.zeros(dim))
        self.film = BandCode(2 * dim)

    def forward(self, images_bchw: Tensor, keys: Sequence[BandKey]) -> Tensor:
        """Patch tokens.

        Args:
            images_bchw: Normalised planes in about [0, 1], shape (B, C, H, W); H and W are multiples of the patch.
            keys: What each band is, C entries.

        Returns:
            Tokens, shape (B, P, D), row by row.

        Raises:
            ShapeError: If bands and keys disagree.
        """
        if images_bchw.ndim != 4 or images_bchw.shape[1] != len(keys):
            raise ShapeError(
                f"Cannot embed images of shape {tuple(images_bchw.shape)}: expected (B, {len(keys)}, H, W) for {tuple(keys)}."
            )
        scale_cd, shift_cd = self.film(keys).chunk(2, dim=1)
        root = math.sqrt(len(keys))
        kernel = self.kernel * (1.0 + scale_cd.t()[:, :, None, None]) / root
        bias = self.bias + shift_cd.sum(0) / root
        centred = (images_bchw - _CENTRE) / _SPREAD
        return F.conv2d(centred, kernel, bias, stride=self.patch_px).flatten(2).transpose(1, 2)
