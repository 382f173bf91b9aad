"""The backbone: a small pre-norm vision transformer over any number of bands, and the heads that make unit vectors of it.

Belongs here: `MultiBandViT`, `PoolHead`, `RegionModel` (backbone + visual head), states to and from half precision. Does not
belong here: masking (mae), text (clip), training (learn).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ovd_platform.errors import DataError
from ovd_platform.models.conditioning import METADATA_FIELDS, MetadataFiLM
from ovd_platform.models.stems import RGB_KEYS, BandAdapters, BandKey, BandReading, WavelengthPatchEmbed

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class ViTConfig:
    """Size of a backbone; travels inside its weights, so that a state alone can be loaded.

    Attributes:
        img_px: Side of the images it was trained at; other multiples of the patch work too.
        patch_px: Side of a patch.
        dim: Width of a token.
        depth: Transformer blocks.
        heads: Attention heads.
    """

    img_px: int = 64
    patch_px: int = 8
    dim: int = 192
    depth: int = 6
    heads: int = 3


def sincos_positions(rows: int, cols: int, dim: int) -> Tensor:
    """Fixed 2-D sine-cosine positions (He et al. 2022), shape (rows * cols, dim), float32."""
    omega = 1.0 / 10000 ** (torch.arange(dim // 4, dtype=torch.float32) / (dim / 4))
    y, x = torch.meshgrid(torch.arange(rows, dtype=torch.float32), torch.arange(cols, dtype=torch.float32), indexing="ij")
    parts = [f(axis.flatten()[:, None] * omega) for axis in (y, x) for f in (torch.sin, torch.cos)]
    return torch.cat(parts, dim=1)


def transformer(dim: int, depth: int, heads: int) -> nn.TransformerEncoder:
    """Pre-norm transformer blocks with GELU, batch first, no dropout."""
    layer = nn.TransformerEncoderLayer(dim, heads, 4 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)


class MultiBandViT(nn.Module):
    """Vision transformer whose stem takes any bands."""

    def __init__(
        self,
        config: ViTConfig | None = None,
        *,
        bands: BandReading = "native",
        band_counts: Sequence[int] = (),
        metadata: bool = False,
    ) -> None:
        """Make the backbone.

        Args:
            config: Its size.
            bands: ``native`` takes any bands by their wavelengths; else a `SensorAdapter` a band count, which starts so, makes
                three planes that the same stem takes as red, green, blue: all readings start from the same weights.
            band_counts: Band counts that get an adapter of their own.
            metadata: Condition tokens on acquisition metadata (`MetadataFiLM`).
        """
        super().__init__()
        config = config or ViTConfig()
        self.register_buffer("config_numbers", torch.tensor(list(asdict(config).values()), dtype=torch.int64))
        self.size = config
        self.adapters = None if bands == "native" else BandAdapters(band_counts, bands)
        self.stem = WavelengthPatchEmbed(config.patch_px, config.dim)
        self.film = MetadataFiLM(config.dim) if metadata else None
        self.blocks = transformer(config.dim, config.depth, config.heads)
        self.norm = nn.LayerNorm(config.dim)

    def embed(self, images_bchw: Tensor, keys: Sequence[BandKey], metadata_bm: Tensor | None = None) -> Tensor:
        """Patch tokens with positions, before the blocks, shape (B, P, D); metadata that are None count as unknown."""
        if self.adapters is not None:
            images_bchw, keys = self.adapters(images_bchw), RGB_KEYS
        tokens_bpd: Tensor = self.stem(images_bchw, keys)
        rows, cols = (side // self.size.patch_px for side in images_bchw.shape[2:])
        tokens_bpd = tokens_bpd + sincos_positions(rows, cols, self.size.dim).to(tokens_bpd)
        if self.film is not None:
            if metadata_bm is None:
                metadata_bm = tokens_bpd.new_zeros((1, 2 * len(METADATA_FIELDS)))
            tokens_bpd = self.film(tokens_bpd, metadata_bm)
        return tokens_bpd

    def forward(
        self,
        images_bchw: Tensor,
        keys: Sequence[BandKey],
        *,
        keep_bp: Tensor | None = None,
        metadata_bm: Tensor | None = None,
        branch: int | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Tokens behind all blocks.

        Args:
            images_bchw: Normalised planes in about [0, 1], shape (B, C, H, W), float32.
            keys: What each band is.
            keep_bp: Indices of the patches to look at, shape (B, P'), int64; all when None.
            metadata_bm: Metadata numbers (`conditioning.metadata_vector`), shape (B, M) or (1, M); None: unknown.
            branch: Also return the (un-normalised) tokens in front of this block, where another branch starts.

        Returns:
            Normalised tokens (B, P', D), and the branch tokens or None.
        """
        tokens_bpd = self.embed(images_bchw, keys, metadata_bm)
        if keep_bp is not None:
            tokens_bpd = torch.gather(tokens_bpd, 1, keep_bp[:, :, None].expand(-1, -1, tokens_bpd.shape[2]))
        branch_bpd = None
        for index, block in enumerate(self.blocks.layers):
            if index == branch:
                branch_bpd = tokens_bpd
            tokens_bpd = block(tokens_bpd)
        return self.norm(tokens_bpd), branch_bpd

    def branch_tokens(self, images_bchw: Tensor, keys: Sequence[BandKey], branch: int) -> Tensor:
        """Tokens in front of block ``branch``, without computing the blocks behind it, shape (B, P, D)."""
        tokens_bpd = self.embed(images_bchw, keys)
        for block in list(self.blocks.layers)[:branch]:
            tokens_bpd = block(tokens_bpd)
        return tokens_bpd


class PoolHead(nn.Module):
    """Tokens to one unit vector: mean, spread and maximum of the tokens, standardised, then one linear map.

    The standardisation is fixed once from data (`calibrate`). Without it all vectors of a transformer share one large common part
    and a contrastive loss spends its first thousand steps on removing that.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, dim: int, out_dim: int | None = None) -> None:
        """Make the head for tokens of ``dim``; ``out_dim`` defaults to ``dim``."""
        super().__init__()
        self.register_buffer("shift", torch.zeros(3 * dim))
        self.register_buffer("scale", torch.ones(3 * dim))
        self.linear = nn.Linear(3 * dim, out_dim or dim)

    @staticmethod
    def pool(tokens_bpd: Tensor) -> Tensor:
        """Mean, standard deviation and maximum over the tokens, shape (B, 3 D), float32."""
        tokens = tokens_bpd.float()
        mean = tokens.mean(1)
        spread = ((tokens - mean[:, None]).square().mean(1) + 1e-6).sqrt()
        return torch.cat([mean, spread, tokens.amax(1)], dim=1)

    @property
    def calibrated(self) -> bool:
        """Whether the standardisation was set."""
        return bool((self.scale != 1).any())

    @torch.no_grad()
    def calibrate(self, pooled_bf: Tensor) -> None:
        """Set the standardisation to the statistics of pooled tokens, shape (B, 3 D)."""
        self.shift.copy_(pooled_bf.mean(0))
        self.scale.copy_(1.0 / (pooled_bf.std(0) + 1e-2))

    def project(self, pooled_bf: Tensor) -> Tensor:
        """Unit vectors of pooled tokens, shape (B, out_dim)."""
        return F.normalize(self.linear((pooled_bf - self.shift) * self.scale), dim=1)

    def forward(self, tokens_bpd: Tensor) -> Tensor:
        """Unit vectors of tokens, shape (B, out_dim)."""
        return self.project(self.pool(tokens_bpd))


class RegionModel(nn.Module):
    """Backbone with its visual head: what by-example search and prototypes rest on."""

    def __init__(self, backbone: MultiBandViT) -> None:
        """Put a fresh visual head on a backbone."""
        super().__init__()
        self.backbone = backbone
        self.visual_head = PoolHead(backbone.size.dim)

    def forward(
        self,
        images_bchw: Tensor,
        keys: Sequence[BandKey],
        *,
        keep_bp: Tensor | None = None,
        metadata_bm: Tensor | None = None,
    ) -> Tensor:
        """Unit visual vectors, shape (B, D)."""
        tokens_bpd, _ = self.backbone(images_bchw, keys, keep_bp=keep_bp, metadata_bm=metadata_bm)
        vectors_bd: Tensor = self.visual_head(tokens_bpd)
        return vectors_bd

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """Rebuild from a backbone state; a missing visual head starts fresh.

        Raises:
            DataError: If the state holds no backbone.
        """
        model = cls(build_backbone(state))
        known = {name: tensor.float() for name, tensor in state.items() if name.startswith("visual_head.")}
        if known:
            model.visual_head.load_state_dict({name.removeprefix("visual_head."): tensor for name, tensor in known.items()})
        return model


def build_backbone(
    state: Mapping[str, Tensor],
    prefix: str = "backbone.",
    *,
    bands: BandReading = "native",
    band_counts: Sequence[int] = (),
    metadata: bool = False,
) -> MultiBandViT:
    """Rebuild a backbone from a state; its size and how it reads bands and metadata are in the state itself.

    Args:
        state: Tensors by name; half precision is raised to float32.
        prefix: In front of the backbone's names.
        bands: Reading to give a backbone that has only the native one so far; its new weights start fresh.
        band_counts: For that.
        metadata: Give it conditioning on metadata, likewise (it starts as the identity).

    Raises:
        DataError: If the state holds no backbone.
    """
    part = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    if "config_numbers" not in part:
        raise DataError(f"Cannot load a backbone: expected {prefix}config_numbers in the state, got {sorted(state)[:4]}...")
    config = ViTConfig(*(int(number) for number in part["config_numbers"]))
    known = {int(name.split(".")[2]) for name in part if name.startswith("adapters.maps.")}
    backbone = MultiBandViT(
        config,
        bands="average" if known and bands == "native" else bands,
        band_counts=sorted(known | set(band_counts)),
        metadata=metadata or any(name.startswith("film.") for name in part),
    )
    loaded = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in part.items()}
    film = loaded.get("film.mlp.0.weight")
    if film is not None:
        # A model of fewer metadata fields: what it never saw has no weight.
        loaded["film.mlp.0.weight"] = F.pad(film, (0, 2 * len(METADATA_FIELDS) - film.shape[1]))
    backbone.load_state_dict({**backbone.state_dict(), **loaded} if bands != "native" or metadata else loaded)
    return backbone


def half_state(module: nn.Module) -> State:
    """A module's weights with floating-point tensors in float16, detached copies on the CPU."""
    return {
        name: (tensor.detach().cpu().half() if tensor.is_floating_point() else tensor.detach().cpu().clone())
        for name, tensor in module.state_dict().items()
    }


def state_version(state: Mapping[str, Tensor], prefixes: tuple[str, ...] = ("",)) -> str:
    """Content hash of a state (16 hex digits), the same before saving and after loading.

    Args:
        state: Tensors by name, float16 or the float32 they were raised to.
        prefixes: Only names that start with one of these count.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        if name.startswith(prefixes):
            tensor = state[name].detach().cpu()
            tensor = tensor.half() if tensor.is_floating_point() else tensor
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
