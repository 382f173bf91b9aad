"""Recipe: MAE pretraining of the backbone on sampled chips (He et al. 2022).

Belongs here: the training of the backbone. Does not belong here: the network (models.mae), sampling (learn.chips).

Command: `ovd train backbone`. On one CPU core about 180 chips a second; the loss is in units of a patch's own variance (1 is
"predicts the patch mean"). The same code serves SAR.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ovd_platform.learn.augment import fewer_bands, relight, warp
from ovd_platform.learn.chips import ChipGroup, ChipShard
from ovd_platform.learn.schedule import Budget, Progress, Trained, fit
from ovd_platform.models.conditioning import without_some
from ovd_platform.models.mae import MaskedAutoencoder, random_keep, reconstruction_picture
from ovd_platform.models.precision import mixed_precision
from ovd_platform.models.stems import BandReading
from ovd_platform.models.vit import MultiBandViT, ViTConfig, build_backbone, half_state, state_version

logger = logging.getLogger(__name__)

KEEP_FRACTION = 0.25
_BATCH = 64
_HELD_OUT = 256


def build_autoencoder(
    state: Mapping[str, Tensor] | None,
    config: ViTConfig | None = None,
    *,
    bands: BandReading = "native",
    band_counts: Sequence[int] = (),
    metadata: bool = False,
) -> MaskedAutoencoder:
    """Autoencoder from a backbone state; what the state lacks (decoder, or everything) starts fresh.

    Args:
        state: A backbone state, or None.
        config: Size of a fresh backbone.
        bands: How it reads bands; see `MultiBandViT`. A state that already has adapters keeps them.
        band_counts: Band counts that get an adapter.
        metadata: Condition on metadata.
    """
    if state is None:
        backbone = MultiBandViT(config, bands=bands, band_counts=band_counts, metadata=metadata)
    else:
        backbone = build_backbone(state, bands=bands, band_counts=band_counts, metadata=metadata)
    model = MaskedAutoencoder(backbone)
    if state is not None:
        kept = {name: tensor.float() for name, tensor in state.items() if name.startswith("decoder_")}
        model.load_state_dict(kept, strict=False)
    return model


def train_backbone(
    shard: ChipShard,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    init_state: Mapping[str, Tensor] | None = None,
    config: ViTConfig | None = None,
    bands: BandReading = "native",
    metadata: bool = False,
    checkpoint_dir: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Pretrain a backbone by masked autoencoding; batches mix instruments by taking one group of bands a step.

    Args:
        shard: Chips; some are held out (`ChipShard.split`) and only measured.
        minutes: Wall clock, or None.
        steps: Optimiser steps, or None.
        seed: Of initialisation, masks, augmentation.
        init_state: Start from this backbone; parts that are not retrained (visual head) are passed through.
        config: Size of a fresh backbone.
        bands: How the backbone reads bands: natively, or by adapters that start so (``pca`` fits them to the shard).
        metadata: Condition the backbone on acquisition metadata, where the shard knows them.
        checkpoint_dir: Resume from here after a kill.
        progress: Called with (done, total, what).

    Returns:
        State with ``backbone.*`` and ``decoder_*`` (and what was passed through); card with the held-out loss before and after.
    """
    torch.manual_seed(seed)
    counts = sorted({len(group.keys) for group in shard.groups})
    model = build_autoencoder(init_state, config, bands=bands, band_counts=counts, metadata=metadata)
    training, held = shard.split()
    if model.backbone.adapters is not None:
        for group in training.groups:
            if f"backbone.adapters.maps.{len(group.keys)}.projection.weight" not in (init_state or {}):
                model.backbone.adapters.fit(_some_pixels(group))
    held = held if len(held) else shard
    weights = torch.tensor([float(len(group.scene_n)) for group in training.groups])
    img_px = model.backbone.size.img_px

    def loss_of(generator: torch.Generator) -> Tensor:
        group = training.groups[int(torch.multinomial(weights, 1, generator=generator))]
        chosen = torch.randint(0, len(group.scene_n), (_BATCH,), generator=generator).numpy()
        images = torch.from_numpy(group.pixels_nchw[chosen].astype(np.float32))
        images = warp(images, img_px, generator, scale=(0.6, 1.0), any_angle=False)
        images, keys = relight(images, generator, strength=0.5), group.keys
        if model.backbone.adapters is None:  # An adapter is for the bands it was made for.
            images, keys = fewer_bands(images, keys, generator)
        keep = random_keep(len(images), (img_px // model.backbone.size.patch_px) ** 2, KEEP_FRACTION, generator)
        known = _metadata(model, training, group.scene_n[chosen], generator)
        loss: Tensor = model(images, keys, keep, known).loss
        return loss

    before = held_out_loss(model, held)
    fingerprint = (
        f"mae|{state_version(dict(init_state)) if init_state else 'fresh'}|{len(shard)}|{shard.scene_ids}|{bands}|{metadata}"
    )
    facts = fit(
        model, loss_of, budget=Budget(minutes, steps), rate=6e-4, seed=seed, what="backbone", fingerprint=fingerprint,
        checkpoint_dir=checkpoint_dir, progress=progress,
    )  # fmt: skip
    after = held_out_loss(model, held)
    logger.info("MAE: held-out loss %.4f -> %.4f in %d steps", before, after, facts["steps"])
    state = {name: tensor for name, tensor in (init_state or {}).items() if not name.startswith(("backbone.", "decoder_"))}
    state = {**{name: t.half() if t.is_floating_point() else t for name, t in state.items()}, **half_state(model)}
    recipe = {"kind": "mae", "seed": seed, "minutes": minutes, "steps": steps, "keep_fraction": KEEP_FRACTION, "batch": _BATCH,
              "bands": bands, "metadata": metadata}  # fmt: skip
    scores = {"held_out_loss_before": before, "held_out_loss": after, "chips": len(shard), "held_out_chips": len(held)}
    return Trained(state, {"recipe": recipe, "scores": scores, **facts})


@torch.no_grad()
def held_out_loss(model: MaskedAutoencoder, shard: ChipShard, seed: int = 7) -> float:
    """Mean loss of at most 256 chips under fixed masks; comparable between models of one shard only."""
    model.eval()
    total, count = 0.0, 0
    for group in shard.groups:
        some = slice(None, None, max(1, len(group.scene_n) * len(shard.groups) // _HELD_OUT))
        pixels = group.pixels_nchw[some]
        images = torch.from_numpy(_centre(pixels, model.backbone.size.img_px).astype(np.float32))
        patches = (model.backbone.size.img_px // model.backbone.size.patch_px) ** 2
        keep = random_keep(len(images), patches, KEEP_FRACTION, torch.Generator().manual_seed(seed))
        with mixed_precision():
            total += float(model(images, group.keys, keep, _metadata(model, shard, group.scene_n[some])).loss) * len(images)
        count += len(images)
    return total / max(1, count)


def _some_pixels(group: ChipGroup, count: int = 20_000) -> Tensor:
    """Normalised pixels of a group, shape (N, C), float32, the same ones run after run."""
    pixels_nc = np.moveaxis(group.pixels_nchw[:: max(1, len(group.scene_n) // 64)], 1, -1).reshape(-1, len(group.keys))
    return torch.from_numpy(pixels_nc[:: max(1, len(pixels_nc) // count)].astype(np.float32))


def _metadata(
    model: MaskedAutoencoder, shard: ChipShard, scene_n: NDArray[np.int32], generator: torch.Generator | None = None
) -> Tensor | None:
    """Metadata of chips, (N, M); while training a part of them counts as unknown, so that unknown means something."""
    if model.backbone.film is None or shard.metadata_sm is None:
        return None
    known_nm = torch.from_numpy(shard.metadata_sm[scene_n])
    return known_nm if generator is None else without_some(known_nm, generator)


def _centre(pixels_nchw: NDArray[np.float16], side_px: int) -> NDArray[np.float16]:
    height, width = pixels_nchw.shape[2:]
    y, x = max(0, (height - side_px) // 2), max(0, (width - side_px) // 2)
    cut = pixels_nchw[:, :, y : y + side_px, x : x + side_px]
    pad = [(0, 0), (0, 0), (0, side_px - cut.shape[2]), (0, side_px - cut.shape[3])]
    return np.pad(cut, pad, mode="edge")


def reconstructions(state: Mapping[str, Tensor], group: ChipGroup, count: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    """Picture of a backbone's reconstructions for people: original | masked | reconstruction, one row a chip.

    Args:
        state: Backbone state with its decoder.
        group: Chips of equal bands.
        count: Rows.
        seed: Of masks.

    Returns:
        Shape (count * S, 3 * S, 3), uint8.
    """
    model = build_autoencoder(state)
    pixels = _centre(group.pixels_nchw[:: max(1, len(group.scene_n) // count)][:count], model.backbone.size.img_px)
    return reconstruction_picture(model, torch.from_numpy(pixels.astype(np.float32)), group.keys, seed)
