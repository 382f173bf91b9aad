"""Domain CLIP: an image branch on the shared backbone and the text tower in one space (Radford et al. 2021).

Belongs here: the two towers together, the symmetric loss, retrieval recall. Does not belong here: training (learn.clip).

The image branch shares the backbone's first blocks and owns copies of the last ones. The visual vectors of the backbone
therefore do not depend on any text model, and an encoder computes both vectors at 4/3 of the price of one.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ovd_platform.errors import DataError
from ovd_platform.models.stems import BandKey
from ovd_platform.models.text import TextTower
from ovd_platform.models.vit import MultiBandViT, PoolHead, State, half_state, transformer

OWN_BLOCKS = 2
"""Blocks of the image branch that are not shared with the backbone."""


class LanguageBranch(nn.Module):
    """What a domain CLIP adds to a backbone: own last blocks, language head, text tower, temperature."""

    def __init__(self, backbone: MultiBandViT, own_blocks: int = OWN_BLOCKS) -> None:
        """Start the own blocks as copies of the backbone's last ones."""
        super().__init__()
        size = backbone.size
        self.register_buffer("config_numbers", torch.tensor([own_blocks, size.dim, size.depth, size.heads], dtype=torch.int64))
        self.branch = size.depth - own_blocks
        self.blocks = transformer(size.dim, own_blocks, size.heads)
        self.blocks.layers.load_state_dict(
            {
                f"{int(name.split('.')[0]) - self.branch}.{name.split('.', 1)[1]}": tensor
                for name, tensor in backbone.blocks.layers.state_dict().items()
                if int(name.split(".")[0]) >= self.branch
            }
        )
        self.norm = copy.deepcopy(backbone.norm)
        self.head = PoolHead(size.dim)
        self.text = TextTower(size.dim, out_dim=size.dim)
        self.log_scale = nn.Parameter(torch.tensor(2.66))  # temperature 0.07

    def forward(self, branch_bpd: Tensor) -> Tensor:
        """Unit language vectors of images from the backbone's branch tokens, shape (B, D)."""
        return self.head.project(self.pooled(branch_bpd))

    def pooled(self, branch_bpd: Tensor) -> Tensor:
        """Pooled tokens behind the own blocks, shape (B, 3 D)."""
        return self.head.pool(self.tokens(branch_bpd))

    def tokens(self, branch_bpd: Tensor) -> Tensor:
        """Normalised tokens behind the own blocks, shape (B, P, D)."""
        tokens_bpd = branch_bpd
        for block in self.blocks.layers:
            tokens_bpd = block(tokens_bpd)
        normed: Tensor = self.norm(tokens_bpd)
        return normed

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], backbone: MultiBandViT) -> Self:
        """Rebuild from the state `half_state` made.

        Raises:
            DataError: If it is no language branch, or belongs to a backbone of another size.
        """
        if "config_numbers" not in state:
            raise DataError(f"Cannot load a domain CLIP: expected config_numbers in the state, got {sorted(state)[:4]}...")
        own, dim, depth, heads = (int(number) for number in state["config_numbers"])
        if (dim, depth, heads) != (backbone.size.dim, backbone.size.depth, backbone.size.heads):
            raise DataError(
                f"Cannot load a domain CLIP: expected one for a backbone of {backbone.size}, got dim {dim}, depth {depth}, "
                f"heads {heads}. Train it on this backbone."
            )
        module = cls(backbone, own)
        module.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in state.items()})
        return module

    def to_state(self) -> State:
        """Weights in half precision; `from_state` is the inverse."""
        return half_state(self)


def encode_images(backbone: MultiBandViT, language: LanguageBranch, images_bchw: Tensor, keys: Sequence[BandKey]) -> Tensor:
    """Unit language vectors of images, shape (B, D)."""
    vectors_bd: Tensor = language(backbone.branch_tokens(images_bchw, keys, language.branch))
    return vectors_bd


def clip_loss(image_bd: Tensor, text_bd: Tensor, scale: Tensor, same_bb: Tensor) -> Tensor:
    """Symmetric contrastive loss with several positives.

    Args:
        image_bd: Unit vectors of images, shape (B, D).
        text_bd: Unit vectors of their texts, shape (B, D).
        scale: Inverse temperature.
        same_bb: True where image i and text j belong together (the diagonal, and identical texts), shape (B, B), bool.

    Returns:
        Scalar: mean of the image-to-text and the text-to-image cross entropy against the uniform distribution over positives.
    """
    logits_bb = scale * image_bd @ text_bd.t()
    target_bb = same_bb.float()
    rows = target_bb / target_bb.sum(1, keepdim=True)
    cols = target_bb / target_bb.sum(0, keepdim=True)
    to_text = -(rows * F.log_softmax(logits_bb, dim=1)).sum(1).mean()
    to_image = -(cols * F.log_softmax(logits_bb, dim=0)).sum(0).mean()
    return (to_text + to_image) / 2


def recall_at(similarity_nm: Tensor, relevant_nm: Tensor, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Share of rows with a relevant column among the k most similar.

    Args:
        similarity_nm: Similarity of N queries to M answers.
        relevant_nm: True where the answer is right, bool; every row has at least one.
        ks: Cut-offs.

    Returns:
        ``{"r@1": ...}`` in [0, 1]. Not a measure of ranking beyond the first right answer.
    """
    order = similarity_nm.argsort(dim=1, descending=True)
    sorted_relevant = relevant_nm.gather(1, order)
    return {f"r@{k}": float(sorted_relevant[:, :k].any(1).float().mean()) for k in ks}
