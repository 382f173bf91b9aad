"""The light class-agnostic detector: a small convolutional pyramid that finds object centres at stride 4.

Belongs here: the network and the decoding of its maps into boxes. Does not belong here: losses and training
(learn/proposer.py), reading tiles and merging seams (propose/light.py).

Each cell of the stride-4 grid answers three questions: is an object's centre here (heatmap, after Zhou et al. 2019, "Objects as
Points"), how far are its four edges (after Tian et al. 2019, "FCOS"), and how well will that box fit (quality, the expected
IoU).
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ovd_platform.errors import InputError
from ovd_platform.models.stems import BandAdapters, BandKernels, BandReading

STRIDE_PX = 4
"""Working-scale pixels per cell of the output grid."""

PAD_PX = 32
"""Chips are padded to a multiple of the deepest stride."""

CONTEXT_PX = 128
"""Working-scale pixels around a cell that its answer depends on: the strided and the deep convolutions together reach 129, the last ones hardly."""

LAYOUT = 1
"""Version of the network's structure, part of every card; weights of another layout do not fit."""


@dataclass(frozen=True)
class LightDetectorConfig:
    """Sizes of the network.

    Attributes:
        widths: Channels at strides 4, 8, 16 and 32.
        blocks: Residual blocks at the same strides.
        neck: Channels of the pyramid and of the head.
        stem: Channels at stride 2.
    """

    widths: tuple[int, int, int, int] = (40, 80, 144, 192)
    blocks: tuple[int, int, int, int] = (1, 1, 1, 1)
    neck: int = 64
    stem: int = 24

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready mapping; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "LightDetectorConfig":
        """Inverse of `to_dict`."""
        return cls(tuple(values["widths"]), tuple(values["blocks"]), int(values["neck"]), int(values.get("stem", 24)))


SIZES = {"light": LightDetectorConfig(), "lean": LightDetectorConfig((32, 64, 96, 128), (0, 1, 1, 1), 32, 16)}
"""Networks by name: ``light``, about 9,000 multiply-adds a pixel; ``lean``, about 3,000, without a residual block at stride 4."""


@dataclass(frozen=True)
class DetectorMaps:
    """What the network says, per cell of the stride-4 grid.

    Attributes:
        heat_bhw: Logit of "an object's centre lies in this cell", shape (B, H/4, W/4).
        reach_b4hw: Distances from the cell's centre to left, top, right, bottom edge in working-scale pixels, positive.
        quality_bhw: Logit of the expected IoU of the box.
    """

    heat_bhw: Tensor
    reach_b4hw: Tensor
    quality_bhw: Tensor


class _ConvNorm(nn.Sequential):
    """Convolution and batch normalisation."""

    def __init__(self, cin: int, cout: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(cout))


class _ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; a stride averages the shortcut instead of dropping three pixels of four."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.first = _ConvNorm(cin, cout, 3, stride)
        self.second = _ConvNorm(cout, cout)
        steps: list[nn.Module] = [nn.AvgPool2d(stride)] if stride > 1 else []
        if cin != cout:
            steps.append(_ConvNorm(cin, cout, 1))
        self.shortcut = nn.Sequential(*steps)

    def forward(self, x_bchw: Tensor) -> Tensor:
        hidden = functional.relu_(self.first(x_bchw))
        return functional.relu_(self.second(hidden) + self.shortcut(x_bchw))


class LightDetector(nn.Module):
    """Class-agnostic centre-point detector for chips of any band count.

    Args:
        config: Sizes.
        band_counts: Band counts that get input weights of their own.
        bands: How bands come in: ``native`` by a first convolution for each count, else by adapters to three that start so.
    """

    def __init__(
        self,
        config: LightDetectorConfig | None = None,
        band_counts: tuple[int, ...] = (1, 3, 4),
        bands: BandReading = "average",
    ) -> None:
        super().__init__()
        self.config = config or LightDetectorConfig()
        w4, w8, w16, w32 = self.config.widths
        neck = self.config.neck
        self.adapters = None if bands == "native" else BandAdapters(band_counts, bands)
        stem = self.config.stem
        self.stem = nn.Sequential(
            _ConvNorm(3, stem, 3, 2), nn.ReLU(inplace=True), _ConvNorm(stem, w4, 3, 2), nn.ReLU(inplace=True)
        )
        strides = (1, 2, 2, 2)
        sources = (w4, w4, w8, w16)
        self.stages = nn.ModuleList(
            nn.Sequential(*[_ResidualBlock(cin if i == 0 else cout, cout, stride if i == 0 else 1) for i in range(count)])
            for cin, cout, stride, count in zip(sources, self.config.widths, strides, self.config.blocks, strict=True)
        )
        self.laterals = nn.ModuleList(_ConvNorm(width, neck, 1) for width in (w4, w8, w16, w32))
        self.smooth8 = _ConvNorm(neck, neck)
        self.head = nn.Sequential(_ConvNorm(neck, neck), nn.ReLU(inplace=True))
        self.out = nn.Conv2d(neck, 6, 3, padding=1)
        self._init_weights()
        self.kernels = BandKernels(self._entry()[0], band_counts) if bands == "native" else None

    def _entry(self) -> tuple[nn.Conv2d, nn.Module]:
        """First convolution and what normalises it."""
        first = self.stem[0]
        assert isinstance(first, _ConvNorm)
        assert isinstance(first[0], nn.Conv2d)
        return first[0], first[1]

    def inflate(self) -> None:
        """Start the native first convolutions again from that of three bands, whose weights were loaded meanwhile."""
        if self.kernels is not None:
            self.kernels.inflate(self._entry()[0])

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.out.weight, std=0.01)
        with torch.no_grad():
            # Centres are rare (prior 1 %), a fresh box reaches 12 px each way, quality is even.
            self.out.bias.copy_(torch.tensor([-4.6, 0.0, 0.0, 0.0, 0.0, 0.0]))  # type: ignore[union-attr]

    def fused(self) -> Self:
        """Fold normalisation layers into their convolutions, in place; for inference only, after `eval()`."""
        norm = self._entry()[1]
        if self.kernels is not None and isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None:
            with torch.no_grad():
                gain_o = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
                for kernel in self.kernels.kernels.values():
                    kernel.mul_(gain_o[:, None, None, None])
        for module in self.modules():
            if isinstance(module, _ConvNorm) and isinstance(module[0], nn.Conv2d) and isinstance(module[1], nn.BatchNorm2d):
                module[0] = fuse_conv_bn_eval(module[0], module[1])
                module[1] = nn.Identity()
        return self

    def forward(self, x_bchw: Tensor) -> DetectorMaps:
        """Answer for normalised chips.

        Args:
            x_bchw: Normalised bands, shape (B, C, H, W), float; H and W multiples of 32; invalid pixels 0.

        Returns:
            Maps of shape (B, ., H/4, W/4).
        """
        if x_bchw.shape[-1] % PAD_PX or x_bchw.shape[-2] % PAD_PX:
            raise InputError(
                f"Cannot run the light detector on {tuple(x_bchw.shape)}: expected height and width in multiples of {PAD_PX}. "
                "Pad the chip with zeros."
            )
        if self.adapters is not None:
            feature = self.stem((self.adapters(x_bchw) - 0.35) * 4.0)
        else:
            assert self.kernels is not None
            convolution, norm = self._entry()
            feature = self.stem[1:](norm(self.kernels((x_bchw - 0.35) * 4.0, convolution)))
        levels = []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            feature = stage(feature)
            levels.append(lateral(feature))
        down = levels[2] + _doubled(levels[3])
        middle = functional.relu_(self.smooth8(functional.relu_(levels[1] + _doubled(down))))
        out = self.out(self.head(functional.relu_(levels[0] + _doubled(middle)))).float()
        reach_b4hw = torch.exp(out[:, 1:5].clamp(-4.0, 4.0)) * (3.0 * STRIDE_PX)
        return DetectorMaps(out[:, 0], reach_b4hw, out[:, 5])


def _doubled(x_bchw: Tensor) -> Tensor:
    return functional.interpolate(x_bchw, scale_factor=2.0, mode="nearest")


def boxes_from_reach(reach_b4hw: Tensor) -> Tensor:
    """Corners of the box every cell proposes.

    Args:
        reach_b4hw: Distances to left, top, right, bottom in pixels.

    Returns:
        Boxes x0, y0, x1, y1 in working-scale pixels of the chip, shape (B, 4, H/4, W/4).
    """
    height, width = reach_b4hw.shape[-2:]
    xs = (torch.arange(width, device=reach_b4hw.device) + 0.5) * STRIDE_PX
    ys = (torch.arange(height, device=reach_b4hw.device) + 0.5)[:, None] * STRIDE_PX
    left, top, right, bottom = reach_b4hw.unbind(1)
    return torch.stack([xs - left, ys - top, xs + right, ys + bottom], 1)


def decode_maps(maps: DetectorMaps, *, top: int, floor: float = 0.02) -> list[tuple[Tensor, Tensor]]:
    """Peaks of the heatmap as boxes.

    Args:
        maps: The network's answer for B chips.
        top: At most this many peaks a chip.
        floor: Peaks of lower objectness are dropped, [0, 1].

    Returns:
        Per chip: boxes x0, y0, x1, y1 in working-scale pixels, shape (N, 4), and objectness, shape (N,), falling; objectness
        is the heat times the square root of the expected IoU.
    """
    heat_bhw = maps.heat_bhw.contiguous()
    peak_bhw = functional.max_pool2d(heat_bhw[:, None], 3, 1, 1)[:, 0] == heat_bhw
    peak_bhw &= heat_bhw >= math.log(floor / (1 - floor))  # Objectness is never above the heat.
    width = heat_bhw.shape[-1]
    answers = []
    for heat_hw, reach_4hw, quality_hw, peak_hw in zip(heat_bhw, maps.reach_b4hw, maps.quality_bhw, peak_bhw, strict=True):
        cell_n = peak_hw.flatten().nonzero()[:, 0]
        score_n = heat_hw.flatten()[cell_n].sigmoid() * quality_hw.flatten()[cell_n].sigmoid().sqrt()
        values, best = score_n.topk(min(top, len(score_n)))
        best = best[values >= floor]
        cell_n = cell_n[best]
        x_n, y_n = ((part + 0.5) * STRIDE_PX for part in (cell_n % width, cell_n // width))
        left, upper, right, lower = reach_4hw.flatten(1)[:, cell_n]
        answers.append((torch.stack([x_n - left, y_n - upper, x_n + right, y_n + lower], 1), score_n[best]))
    return answers
