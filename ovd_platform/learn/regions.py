"""Recipe: the visual embedding as a metric - labelled objects of a class together, everything else apart.

Belongs here: the supervised contrastive training (Khosla et al. 2020). Does not belong here: pretraining (mae), words (clip),
the crops (region_crops), the scores (region_scores).

Each crop is seen in two random views. Labelled objects attract all objects of their class; background and objects nobody named
attract only their own other view (Chen et al. 2020), so nothing about the background is learned as a class. First
the head alone on precomputed tokens, then head and backbone together; what scores best on held-out scenes is kept, the model it
started from included (a choice among a few, so the score of the kept one is optimistic by a hair). Command: `ovd train backbone`.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ovd_platform.errors import InputError
from ovd_platform.learn.augment import Keys, fewer_bands, relight, warp
from ovd_platform.learn.region_crops import BACKGROUND, SPAN, RegionGroup, gather_regions
from ovd_platform.learn.region_scores import BestModel
from ovd_platform.learn.schedule import Budget, Progress, Trained, cosine_rate, fit
from ovd_platform.models.conditioning import without_some
from ovd_platform.models.mae import random_keep
from ovd_platform.models.precision import mixed_precision
from ovd_platform.models.vit import MultiBandViT, RegionModel, half_state, state_version
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.records.annotation import Annotation

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene

logger = logging.getLogger(__name__)

_BATCH = 64
_TEMPERATURE = 0.1
_RATE = 1e-4
_KEEP_FRACTION = 0.6
_VIEWS = 3
_MAX_HEAD_CROPS = 6000


def contrastive_loss(vectors_bd: Tensor, label_b: Tensor, temperature: float = _TEMPERATURE) -> Tensor:
    """Supervised contrastive loss, positives outside of the logarithm (Khosla et al. 2020, eq. 2).

    Args:
        vectors_bd: Unit vectors, shape (B, D); every label occurs at least twice.
        label_b: Equal for positives, shape (B,), int64.
        temperature: Of the softmax.

    Returns:
        Scalar.
    """
    itself = torch.eye(len(vectors_bd), dtype=torch.bool)
    logits = (vectors_bd.float() @ vectors_bd.float().t() / temperature).masked_fill(itself, -1e9)
    positive = (label_b[:, None] == label_b[None]) & ~itself
    log_share = logits - logits.logsumexp(1, keepdim=True)
    return -((log_share * positive).sum(1) / positive.sum(1).clamp_min(1)).mean()


def train_regions(
    scenes: "Sequence[tuple[Scene, InstrumentProfile]]",
    annotations: Sequence[Annotation],
    state: Mapping[str, Tensor],
    *,
    known: Mapping[str, Tensor] | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    rate: float = _RATE,
    seed: int = 0,
    background_per_scene: int = 96,
    checkpoint_dir: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train backbone and visual head on labelled boxes and background; see the module.

    Args:
        scenes: Open scenes of one modality with their profiles; of five or more with labels every fifth is only measured.
        annotations: Their labels; class "" is an object nobody named.
        state: Backbone state to start from.
        known: A finished model with a visual head (the starter weights) that is kept where training does not beat it.
        minutes: Wall clock, or None.
        steps: Optimiser steps, or None.
        rate: Peak learning rate of the joint training.
        seed: Of every choice.
        background_per_scene: Background crops from each scene.
        checkpoint_dir: Resume from here after a kill.
        progress: Called with (done, total, what).

    Returns:
        State with ``backbone.*`` and ``visual_head.*`` (the decoder is passed through); card with k-NN scores before and after.

    Raises:
        InputError: If no region could be cut out.
    """
    groups, classes = gather_regions(scenes, annotations, background_per_scene=background_per_scene, seed=seed)
    return train_on_regions(
        groups, classes, state, known=known, minutes=minutes, steps=steps, rate=rate, seed=seed,
        checkpoint_dir=checkpoint_dir, progress=progress,
    )  # fmt: skip


def train_on_regions(
    groups: Sequence[RegionGroup],
    classes: Sequence[str],
    state: Mapping[str, Tensor],
    *,
    known: Mapping[str, Tensor] | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    rate: float = _RATE,
    seed: int = 0,
    checkpoint_dir: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """`train_regions` on crops that were already gathered."""
    if not groups:
        raise InputError("Cannot train the visual embedding: expected regions, got none. Give scenes with valid pixels.")
    torch.manual_seed(seed)
    model = RegionModel.from_state(state)
    held_scenes = _held_out(groups)
    training = [part for group in groups if len((part := group.where(~np.isin(group.scene_n, held_scenes))).label_n)]
    held = [part for group in groups if len((part := group.where(np.isin(group.scene_n, held_scenes))).label_n)]
    chosen = BestModel(model, training, held, seed)
    if known is not None:
        chosen.offer("known", RegionModel.from_state(known))
    chosen.offer("before", model, enough=model.visual_head.calibrated)
    started = time.monotonic()
    head_facts = fit_head(model, training, seed=seed, seconds=None if minutes is None else 0.5 * 60 * minutes)
    chosen.offer("head", model)
    left = None if minutes is None else max(0.02, minutes - (time.monotonic() - started) / 60)
    size = sum(len(group.label_n) for group in groups)
    facts = fit(
        model, _loss_of(model, training), budget=Budget(left, steps), rate=rate, seed=seed, what="visual embedding",
        fingerprint=f"regions|{state_version(dict(state))}|{size}|{list(classes)}|{minutes}",
        checkpoint_dir=checkpoint_dir, progress=progress,
    )  # fmt: skip
    chosen.offer("joint", model)
    model = chosen.model
    scores: dict[str, Any] = {**chosen.scores, "regions": size, "held_out_scenes": len(held_scenes)} | head_facts
    logger.info("Visual embedding: %s", scores)
    passed = {name: t.half() if t.is_floating_point() else t for name, t in state.items() if name.startswith("decoder_")}
    recipe = {"kind": "regions", "seed": seed, "minutes": minutes, "steps": steps, "temperature": _TEMPERATURE, "batch": _BATCH}
    card = {"recipe": recipe, "scores": scores, "classes": list(classes), **facts}
    return Trained({**passed, **half_state(model)}, card)


def _loss_of(model: RegionModel, training: Sequence[RegionGroup]) -> Callable[[torch.Generator], Tensor]:
    draw = BatchDraw([group.label_n for group in training])

    def loss_of(generator: torch.Generator) -> Tensor:
        vectors: list[Tensor] = []
        labels: list[Tensor] = []
        own = 0
        for index, rows in draw.batch(_BATCH, generator):
            group = training[index]
            images = torch.from_numpy(group.crops_nchw[rows].astype(np.float32))
            label_b = own_labels(torch.from_numpy(group.label_n[rows]), own)
            own += len(rows)
            for _ in range(2):
                view, seen, keep = _view(images, group.keys, model.backbone, generator)
                vectors.append(model(view, seen, keep_bp=keep, metadata_bm=_known(model.backbone, group, rows, generator)))
                labels.append(label_b)
        return contrastive_loss(torch.cat(vectors), torch.cat(labels))

    return loss_of


class BatchDraw:
    """Batches over all instruments: background, and objects in pairs of one class, so that each has a partner.

    The partner comes from any instrument: that is what makes an example of one instrument find objects in another.

    Args:
        labels: Labels of each group of crops.
    """

    def __init__(self, labels: Sequence[NDArray[np.int64]]) -> None:
        self._label_n = np.concatenate(labels)
        self._group_n = np.repeat(np.arange(len(labels)), [len(one) for one in labels])
        self._row_n = np.concatenate([np.arange(len(one)) for one in labels])
        self._odds_n = torch.from_numpy(sampling_odds(self._label_n))
        self._rows_of = {int(value): np.flatnonzero(self._label_n == value) for value in np.unique(self._label_n) if value >= 0}

    def batch(self, size: int, generator: torch.Generator) -> list[tuple[int, NDArray[np.int64]]]:
        """Rows of each group that has any, `size` in all or fewer."""
        chosen = torch.multinomial(self._odds_n, min(size, len(self._label_n)), replacement=False, generator=generator).numpy()
        named = chosen[self._label_n[chosen] >= 0]
        keep = len(named) // 2
        partners = []
        for index in named[:keep]:
            pool = self._rows_of[int(self._label_n[index])]
            partners.append(pool[int(torch.randint(0, len(pool), (), generator=generator))])
        every = np.unique(
            np.concatenate([chosen[self._label_n[chosen] < 0], named[:keep], np.asarray(partners, dtype=np.int64)])
        )
        return [(int(group), self._row_n[every[self._group_n[every] == group]]) for group in np.unique(self._group_n[every])]


def own_labels(label_b: Tensor, first: int = 0) -> Tensor:
    """Labels with a number of its own, counted from ``first``, for every background crop and every object nobody named."""
    return torch.where(label_b < 0, 1_000_000 + first + torch.arange(len(label_b)), label_b)


def fit_head(
    model: RegionModel, training: Sequence[RegionGroup], *, seed: int, seconds: float | None, steps: int = 250
) -> dict[str, int]:
    """Train the visual head alone on pooled tokens of random views, computed once; the backbone stays as it is.

    Large batches over all instruments cost next to nothing here, and most of what the metric gains it gains here.

    Args:
        model: Trained in place; its head is calibrated unless it already was.
        training: Crops.
        seed: Of every choice.
        seconds: Time for computing tokens (the head itself takes seconds); None: all crops, at most `_MAX_HEAD_CROPS`.
        steps: Optimiser steps of the head.

    Returns:
        How many crops it saw.
    """
    generator = torch.Generator().manual_seed(seed)
    pooled_nvf, label_n = _pooled_views(model, training, generator, seconds)
    head = model.visual_head
    rate = 5e-4 if head.calibrated else 2e-3
    if not head.calibrated:
        head.calibrate(pooled_nvf.flatten(0, 1))
    odds_n = torch.from_numpy(sampling_odds(label_n.numpy()))
    optimiser = torch.optim.AdamW(head.parameters(), rate, weight_decay=0.05)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * cosine_rate(step / steps)
        chosen = torch.multinomial(odds_n, min(512, len(label_n)), replacement=False, generator=generator)
        pair = torch.randperm(pooled_nvf.shape[1], generator=generator)[:2].tolist()
        label_b = own_labels(label_n[chosen])
        vectors = torch.cat([head.project(pooled_nvf[chosen, view]) for view in pair])
        loss = contrastive_loss(vectors, torch.cat([label_b, label_b]))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return {"head_crops": len(label_n), "head_steps": steps}


@torch.no_grad()
def _pooled_views(
    model: RegionModel, training: Sequence[RegionGroup], generator: torch.Generator, seconds: float | None
) -> tuple[Tensor, Tensor]:
    """Pooled tokens of `_VIEWS` views a crop, (N, V, 3 D), and labels (N,); crops in random order until time is up."""
    model.eval()
    parts = [(index, rows) for index, group in enumerate(training) for rows in _random_batches(group, generator)]
    order = torch.randperm(len(parts), generator=generator).tolist()
    pooled: list[Tensor] = []
    labels: list[Tensor] = []
    started, count = time.monotonic(), 0
    for position in order:
        if labels and (count >= _MAX_HEAD_CROPS or (seconds is not None and time.monotonic() - started > seconds)):
            break
        index, rows = parts[position]
        group = training[index]
        images = torch.from_numpy(group.crops_nchw[rows].astype(np.float32))
        views = []
        for _ in range(_VIEWS):
            view, seen, _ = _view(images, group.keys, model.backbone, generator)
            known = _known(model.backbone, group, rows, generator)
            with mixed_precision():
                views.append(model.visual_head.pool(model.backbone(view, seen, metadata_bm=known)[0]))
        pooled.append(torch.stack(views, dim=1))
        labels.append(torch.from_numpy(group.label_n[rows]))
        count += len(rows)
    return torch.cat(pooled), torch.cat(labels)


def _random_batches(group: RegionGroup, generator: torch.Generator) -> list[NDArray[np.int64]]:
    order: NDArray[np.int64] = torch.multinomial(
        torch.from_numpy(sampling_odds(group.label_n)), len(group.label_n), replacement=False, generator=generator
    ).numpy()
    return [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]


def _known(backbone: MultiBandViT, group: RegionGroup, rows: NDArray[np.int64], generator: torch.Generator) -> Tensor | None:
    """Metadata of crops, some of them said to be unknown; None for a backbone that does not ask for them."""
    known_bm = group.metadata(rows) if backbone.film is not None else None
    return None if known_bm is None else without_some(known_bm, generator)


def _view(images: Tensor, keys: Keys, backbone: MultiBandViT, generator: torch.Generator) -> tuple[Tensor, Keys, Tensor]:
    """A random view, what its bands are, and the patches a training step looks at."""
    size = backbone.size
    view, seen = relight(warp(images, size.img_px, generator, span=SPAN), generator), keys
    if backbone.adapters is None:  # An adapter is for the bands it was made for.
        view, seen = fewer_bands(view, keys, generator)
    keep = random_keep(len(view), (size.img_px // size.patch_px) ** 2, _KEEP_FRACTION, generator)
    return view, seen, keep


def _held_out(groups: Sequence[RegionGroup]) -> NDArray[np.int64]:
    """Every fifth scene that has objects, once there are five of them."""
    with_objects = np.unique(np.concatenate([group.scene_n[group.label_n >= 0] for group in groups]))
    held: NDArray[np.int64] = with_objects[4::5]
    return held


def sampling_odds(label_n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sampling weights: half background, half objects; classes by the square root of their size."""
    values, inverse, counts = np.unique(label_n, return_inverse=True, return_counts=True)
    share = np.sqrt(counts.astype(np.float64))
    objects = values != BACKGROUND
    if objects.any() and (~objects).any():
        share[objects] *= 0.5 / share[objects].sum()
        share[~objects] = 0.5
    odds: NDArray[np.float64] = (share / counts)[inverse]
    return odds
