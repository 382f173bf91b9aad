"""Recipe: domain CLIP on images with texts (Radford et al. 2021), on a backbone that stays as it is.

Belongs here: text and image augmentation, the training, held-out retrieval. Does not belong here: the towers (models.clip,
models.text), where pairs come from (documents).

Command: `ovd train clip`. Trains the language branch (last two blocks, head, text tower) only: visual vectors do not change.
Half of the budget trains head and text tower on precomputed image tokens, the other half all of the branch.
"""

import itertools
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ovd_platform.embed.images import default_keys, fit_square
from ovd_platform.errors import InputError, ShapeError
from ovd_platform.learn.augment import Keys, centre_view, fewer_bands, relight, warp
from ovd_platform.learn.schedule import Budget, Progress, Trained, fit
from ovd_platform.models.clip import LanguageBranch, clip_loss, encode_images, recall_at
from ovd_platform.models.precision import mixed_precision
from ovd_platform.models.stems import BandKey
from ovd_platform.models.text import tokenize, words_of
from ovd_platform.models.vit import MultiBandViT, build_backbone, state_version

logger = logging.getLogger(__name__)

_STORED_PX = 96
VIEW_SPAN = 0.9
"""Share of a stored image an average view covers."""
_BATCH = 64
_HEAD_BATCH = 128
_HELD_OUT = 0.2
_SENTENCE = re.compile(r"[.;:!?]\s+|\n")


class PairSet:
    """Images of equal size grouped by bands, with their texts; identical texts share a number."""

    def __init__(
        self,
        images: Sequence[NDArray[np.float32]],
        texts: Sequence[Sequence[str]],
        wavelengths: Sequence[Sequence[BandKey]] | Sequence[BandKey] | None,
    ) -> None:
        """Resample images to one size and group them; see `train_clip`."""
        kept = [index for index, options in enumerate(texts) if any(text.strip() for text in options)]
        self.texts = [[text.strip() for text in texts[index] if text.strip()] for index in kept]
        captions = [" ".join(words_of(options[0])) for options in self.texts]
        number = {caption: index for index, caption in enumerate(dict.fromkeys(captions))}
        self.caption_n = np.array([number[caption] for caption in captions], dtype=np.int64)
        self.keys: list[Keys] = [default_keys(len(images[index]), _keys_of(wavelengths, index)) for index in kept]
        self.pixels = [fit_square(np.asarray(images[index], dtype=np.float32), _STORED_PX).half() for index in kept]
        for row, (pixels, keys) in enumerate(zip(self.pixels, self.keys, strict=True)):
            if len(pixels) != len(keys):
                raise ShapeError(f"Cannot use pair {kept[row]}: expected {len(keys)} bands for {keys}, got {len(pixels)}.")

    def __len__(self) -> int:
        return len(self.texts)

    def batch(self, rows: Sequence[int]) -> list[tuple[Keys, list[int], Tensor]]:
        """Images of the rows by band combination: what the bands are, positions in ``rows``, pixels (B, C, S, S)."""
        places: dict[Keys, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(self.keys[row], []).append(place)
        return [(keys, where, torch.stack([self.pixels[rows[one]].float() for one in where])) for keys, where in places.items()]


def _keys_of(wavelengths: Any, index: int) -> Sequence[BandKey] | None:
    if wavelengths is None:
        return None
    first = wavelengths[0] if len(wavelengths) else None
    keys: Sequence[BandKey] = wavelengths[index] if isinstance(first, list | tuple) else wavelengths
    return keys


def train_clip(
    images: Sequence[NDArray[np.float32]],
    texts: Sequence[Sequence[str]],
    wavelengths: Sequence[Sequence[BandKey]] | Sequence[BandKey] | None,
    backbone_state: Mapping[str, Tensor],
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    init_state: Mapping[str, Tensor] | None = None,
    checkpoint_dir: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train the language branch; a fifth of the captions (with all their images) is only measured.

    Args:
        images: Planes in [0, 1], each (C, H, W), float32, any size.
        texts: For each image its texts, the caption first; an image without a text is left out.
        wavelengths: What each band is: one entry a band for all images, or one such list an image; None: three bands are red,
            green, blue, others unknown.
        backbone_state: Backbone it belongs to.
        minutes: Wall clock, or None.
        steps: Optimiser steps of each half, or None.
        seed: Of every choice.
        init_state: Continue from this domain CLIP of the same backbone.
        checkpoint_dir: Resume from here after a kill.
        progress: Called with (done, total, what).

    Returns:
        State of the language branch; card with held-out R@1/5/10 both ways, before and after.

    Raises:
        InputError: If fewer than four pairs have a text.
    """
    pairs = PairSet(images, texts, wavelengths)
    if len(pairs) < 4:
        raise InputError(f"Cannot train a domain CLIP: expected at least 4 pairs with text, got {len(pairs)}. Add documents.")
    torch.manual_seed(seed)
    backbone = build_backbone(backbone_state).eval()
    language = LanguageBranch(backbone) if init_state is None else LanguageBranch.from_state(init_state, backbone)
    training, held = _split(pairs.caption_n, seed)

    def loss_of(generator: torch.Generator) -> Tensor:
        size = min(_BATCH, len(training))
        rows = [training[int(one)] for one in torch.randperm(len(training), generator=generator)[:size]]
        image_bd = torch.zeros(size, backbone.size.dim)
        for keys, places, pixels in pairs.batch(rows):
            view, seen = _random_view(pixels, keys, backbone.size.img_px, generator)
            image_bd = image_bd.index_copy(0, torch.tensor(places), _branch(backbone, language, view, seen).float())
        return _loss(language, pairs, rows, image_bd, generator)

    pooled = pooled_views(backbone, language, pairs, training, seed)
    if not language.head.calibrated:
        language.head.calibrate(pooled.flatten(0, 1))
    before = retrieval_scores(backbone, language, pairs, held)

    def head_loss_of(generator: torch.Generator) -> Tensor:
        places = torch.randperm(len(training), generator=generator)[:_HEAD_BATCH]
        view = torch.randint(0, pooled.shape[1], (len(places),), generator=generator)
        rows = [training[place] for place in places.tolist()]
        return _loss(language, pairs, rows, language.head.project(pooled[places, view]), generator)

    half = None if minutes is None else minutes / 2
    heads = _Heads(language)
    fit(heads, head_loss_of, budget=Budget(half, steps), rate=1e-3, seed=seed, what="domain CLIP, head and words")
    facts = fit(
        _Trainable(language), loss_of, budget=Budget(half, steps), rate=2e-4, seed=seed, what="domain CLIP",
        fingerprint=f"clip|{state_version(dict(backbone_state))}|{len(pairs)}|{pairs.caption_n.sum()}",
        checkpoint_dir=checkpoint_dir, progress=progress,
    )  # fmt: skip
    scores: dict[str, Any] = {f"{name}_before": value for name, value in before.items()}
    scores |= retrieval_scores(backbone, language, pairs, held) | {"train_pairs": len(training), "held_out_pairs": len(held)}
    logger.info("Domain CLIP: %s", scores)
    recipe = {"kind": "clip", "seed": seed, "minutes": minutes, "steps": steps, "batch": _BATCH,
              "backbone": state_version(dict(backbone_state), ("backbone.",))}  # fmt: skip
    return Trained(language.to_state(), {"recipe": recipe, "scores": scores, **facts})


class _Trainable(nn.Module):
    """Wrapper that keeps the backbone out of optimiser and checkpoint."""

    def __init__(self, language: LanguageBranch) -> None:
        super().__init__()
        self.language = language


def _branch(backbone: MultiBandViT, language: LanguageBranch, images: Tensor, keys: Keys) -> Tensor:
    with torch.no_grad():
        branch_bpd = backbone.branch_tokens(images, keys, language.branch)
    vectors: Tensor = language(branch_bpd)
    return vectors


class _Heads(nn.Module):
    """What the first stage trains: head, text tower, temperature."""

    def __init__(self, language: LanguageBranch) -> None:
        super().__init__()
        self.head, self.text, self.log_scale = language.head, language.text, language.log_scale


def _loss(
    language: LanguageBranch, pairs: PairSet, rows: Sequence[int], image_bd: Tensor, generator: torch.Generator
) -> Tensor:
    chosen = [choose_text(pairs.texts[row], generator) for row in rows]
    caption_b = torch.from_numpy(pairs.caption_n[list(rows)])
    same_bb = (caption_b[:, None] == caption_b[None]) | _equal(chosen)
    return clip_loss(
        image_bd.float(), language.text(tokenize(chosen)).float(), language.log_scale.clamp(max=4.0).exp(), same_bb
    )


def _random_view(pixels: Tensor, keys: Keys, img_px: int, generator: torch.Generator) -> tuple[Tensor, Keys]:
    view = warp(pixels, img_px, generator, span=VIEW_SPAN, scale=(0.6, 1.1), shift=0.05)
    return fewer_bands(relight(view, generator, strength=0.7), keys, generator)


@torch.no_grad()
def pooled_views(
    backbone: MultiBandViT, language: LanguageBranch, pairs: PairSet, rows: Sequence[int], seed: int, views: int = 3
) -> Tensor:
    """Pooled tokens of random views of the images, computed once, (N, V, F): the first stage trains on these."""
    generator = torch.Generator().manual_seed(seed)
    out = torch.zeros(len(rows), views, language.head.shift.shape[0])
    for keys, places, pixels in pairs.batch(rows):
        for start, number in itertools.product(range(0, len(places), _BATCH), range(views)):
            view, seen = _random_view(pixels[start : start + _BATCH], keys, backbone.size.img_px, generator)
            with mixed_precision():
                pooled = language.pooled(backbone.branch_tokens(view, seen, language.branch))
            out[places[start : start + _BATCH], number] = pooled.float()
    return out


def _split(caption_n: NDArray[np.int64], seed: int) -> tuple[list[int], list[int]]:
    """Rows that train and rows that are held out, whole captions at a time; nothing is held out of fewer than ten captions."""
    captions = np.unique(caption_n)
    shuffled = np.random.default_rng(seed).permutation(captions)
    held_captions = shuffled[: round(_HELD_OUT * len(captions))] if len(captions) >= 10 else shuffled[:0]
    held_n = np.isin(caption_n, held_captions)
    return np.flatnonzero(~held_n).tolist(), np.flatnonzero(held_n).tolist()


def choose_text(options: Sequence[str], generator: torch.Generator) -> str:
    """A text of an image for one step: mostly the caption, sometimes a sentence of it, sometimes only some of its words.

    Losing words teaches that a prompt of one or two words names the same things as a caption that holds them.
    """
    draw = torch.rand(3, generator=generator)
    index = 0 if float(draw[0]) < 0.7 or len(options) == 1 else 1 + int(draw[1] * (len(options) - 1))
    text = options[min(index, len(options) - 1)]
    sentences = [part for part in _SENTENCE.split(text) if part.strip()]
    if len(sentences) > 1 and float(draw[2]) < 0.5:
        text = sentences[int(torch.randint(0, len(sentences), (), generator=generator))]
    words = text.split()
    if len(words) > 2 and float(torch.rand((), generator=generator)) < 0.5:
        share = float(torch.rand((), generator=generator)) * 0.7 + 0.2
        kept = torch.rand(len(words), generator=generator) < share
        words = [word for word, keep in zip(words, kept.tolist(), strict=True) if keep] or words
    return " ".join(words)


def _equal(chosen: Sequence[str]) -> Tensor:
    number = {text: index for index, text in enumerate(dict.fromkeys(chosen))}
    ids = torch.tensor([number[text] for text in chosen])
    return ids[:, None] == ids[None]


@torch.no_grad()
def retrieval_scores(backbone: MultiBandViT, language: LanguageBranch, pairs: PairSet, rows: Sequence[int]) -> dict[str, float]:
    """R@1/5/10 of captions from images and of images from captions; identical captions count as one.

    Args:
        backbone: The shared blocks.
        language: The branch.
        pairs: All pairs.
        rows: Which of them are judged.

    Returns:
        ``image_to_text_r@1`` ... and ``text_to_image_r@1`` ..., [0, 1], with ``held_out_captions``; empty without rows. Grows
        as rows get fewer: compare on the same rows only.
    """
    if not rows:
        return {}
    language.eval()
    image_nd = torch.zeros(len(rows), backbone.size.dim)
    with mixed_precision():
        for keys, places, pixels in pairs.batch(rows):
            for start in range(0, len(places), 128):
                view = centre_view(pixels[start : start + 128], backbone.size.img_px, VIEW_SPAN)
                image_nd[places[start : start + 128]] = encode_images(backbone, language, view, keys).float()
    captions = pairs.caption_n[list(rows)]
    unique, first = np.unique(captions, return_index=True)
    text_kd = torch.cat([language.text(tokenize([pairs.texts[rows[index]][0]])) for index in first])
    relevant_nk = torch.from_numpy(captions[:, None] == unique[None])
    similarity_nk = image_nd @ text_kd.t()
    to_text = {f"image_to_text_{name}": value for name, value in recall_at(similarity_nk, relevant_nk).items()}
    to_image = {f"text_to_image_{name}": value for name, value in recall_at(similarity_nk.t(), relevant_nk.t()).items()}
    return to_text | to_image | {"held_out_captions": float(len(unique))}
