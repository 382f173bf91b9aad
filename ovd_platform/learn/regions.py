"""Recipe: the visual embedding as a metric - labelled objects of a class together, everything else apart.

Belongs here: region crops of labels and background, the supervised contrastive training (Khosla et al. 2020), its k-NN score.
Does not belong here: pretraining (mae), words (clip).

Each crop is seen in two random views. Labelled objects attract all objects of their class; background and objects nobody named
attract only their own other view (Chen et al. 2020), so nothing about the background is learned as a class. First
the head alone on precomputed tokens, then head and backbone together; what scores better on held-out scenes is kept (a choice
between two, so the score of the kept one is optimistic by a hair). Command: `ovd train backbone`.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ovd_platform.embed.crops import CONTEXT, crop_squares, iterate_crops
from ovd_platform.errors import InputError
from ovd_platform.learn.augment import Keys, centre_view, fewer_bands, relight, warp
from ovd_platform.learn.background import sample_background
from ovd_platform.learn.schedule import Budget, Progress, Trained, cosine_rate, fit
from ovd_platform.models.mae import random_keep
from ovd_platform.models.precision import mixed_precision
from ovd_platform.models.stems import band_keys
from ovd_platform.models.vit import RegionModel, ViTConfig, half_state, state_version
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.records.annotation import Annotation

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene

logger = logging.getLogger(__name__)

BACKGROUND = -1
UNNAMED = -2
_STORED_PX = 96
_SPAN = 64 / 96  # the nominal crop is the middle of what is stored, so that views may turn and shift
_BATCH = 64
_TEMPERATURE = 0.1
_KEEP_FRACTION = 0.6
_VIEWS = 3
_MAX_HEAD_CROPS = 6000
_MAX_PER_SCENE = 400


@dataclass(frozen=True, slots=True, eq=False)
class RegionGroup:
    """Region crops of equal bands.

    Attributes:
        keys: What each band is.
        crops_nchw: Shape (N, C, 96, 96), float16; the nominal crop is the central 64 px.
        label_n: Index of the class, `BACKGROUND` or `UNNAMED`, shape (N,), int64.
        scene_n: Number of the scene, shape (N,), int64.
    """

    keys: Keys
    crops_nchw: NDArray[np.float16]
    label_n: NDArray[np.int64]
    scene_n: NDArray[np.int64]

    def where(self, chosen_n: NDArray[np.bool_]) -> "RegionGroup":
        """The chosen crops."""
        return RegionGroup(self.keys, self.crops_nchw[chosen_n], self.label_n[chosen_n], self.scene_n[chosen_n])


def gather_regions(
    scenes: "Sequence[tuple[Scene, InstrumentProfile]]",
    annotations: Sequence[Annotation],
    *,
    background_per_scene: int = 96,
    seed: int = 0,
) -> tuple[list[RegionGroup], list[str]]:
    """Crops of labelled objects and of background.

    Args:
        scenes: Open scenes with their profiles.
        annotations: Labels of these scenes; points and other scenes' labels are skipped; ``difficult`` ones are no background.
        background_per_scene: Background crops wanted from each scene, at least; as many as objects where there are more.
        seed: Of every choice.

    Returns:
        Crops by band combination, and the class names the labels index.
    """
    by_scene: dict[str, list[Annotation]] = {}
    for one in annotations:
        by_scene.setdefault(one.scene_id, []).append(one)
    classes = sorted({one.class_name for one in annotations if one.class_name})
    parts: dict[Keys, list[RegionGroup]] = {}
    for number, (scene, profile) in enumerate(scenes):
        rng = np.random.default_rng([seed, number])
        labels_here = by_scene.get(scene.record.scene_id, [])
        boxes_n4, label_n = _labelled_boxes(labels_here, classes, rng)
        every = np.array([one.box_scene_xyxy for one in labels_here], dtype=np.float32).reshape(-1, 4)
        wanted = max(background_per_scene, min(len(boxes_n4), 2 * background_per_scene))
        background = sample_background(scene, profile, every, wanted, rng)
        boxes = np.concatenate([boxes_n4, background])
        labels = np.concatenate([label_n, np.full(len(background), BACKGROUND)])
        if len(boxes):
            squares = crop_squares(boxes, CONTEXT / _SPAN, 24.0 / _SPAN)
            crops = np.zeros((len(boxes), len(scene.record.bands), _STORED_PX, _STORED_PX), dtype=np.float16)
            for rows, pixels in iterate_crops(scene, squares, profile, _STORED_PX):
                crops[rows] = pixels.numpy().astype(np.float16)
            keys = band_keys(scene.record)
            parts.setdefault(keys, []).append(RegionGroup(keys, crops, labels, np.full(len(boxes), number)))
    return [_joined(keys, groups) for keys, groups in parts.items()], classes


def _labelled_boxes(
    labels: Sequence[Annotation], classes: list[str], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    usable = [one for one in labels if len(one.corners_scene_xy) >= 3 and not one.difficult]
    if len(usable) > _MAX_PER_SCENE:
        usable = [usable[index] for index in sorted(rng.choice(len(usable), _MAX_PER_SCENE, replace=False))]
    boxes = np.array([one.box_scene_xyxy for one in usable], dtype=np.float32).reshape(-1, 4)
    label_n = np.array([classes.index(one.class_name) if one.class_name else UNNAMED for one in usable], dtype=np.int64)
    return boxes, label_n


def _joined(keys: Keys, groups: list[RegionGroup]) -> RegionGroup:
    return RegionGroup(
        keys,
        np.concatenate([one.crops_nchw for one in groups]),
        np.concatenate([one.label_n for one in groups]),
        np.concatenate([one.scene_n for one in groups]),
    )


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
    minutes: float | None = None,
    steps: int | None = None,
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
        minutes: Wall clock, or None.
        steps: Optimiser steps, or None.
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
        groups, classes, state, minutes=minutes, steps=steps, seed=seed, checkpoint_dir=checkpoint_dir, progress=progress
    )


def train_on_regions(
    groups: Sequence[RegionGroup],
    classes: Sequence[str],
    state: Mapping[str, Tensor],
    *,
    minutes: float | None = None,
    steps: int | None = None,
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
    before = knn_scores(model, training, held)
    started = time.monotonic()
    head_facts = fit_head(model, training, seed=seed, seconds=None if minutes is None else 0.5 * 60 * minutes)
    head_only = knn_scores(model, training, held)
    head_weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    left = None if minutes is None else max(0.02, minutes - (time.monotonic() - started) / 60)
    size = sum(len(group.label_n) for group in groups)
    facts = fit(
        model, _loss_of(model, training), budget=Budget(left, steps), rate=1e-4, seed=seed, what="visual embedding",
        fingerprint=f"regions|{state_version(dict(state))}|{size}|{list(classes)}|{minutes}",
        checkpoint_dir=checkpoint_dir, progress=progress,
    )  # fmt: skip
    joint = knn_scores(model, training, held)
    keep_joint = sum(joint.values()) >= sum(head_only.values())
    if not keep_joint:
        model.load_state_dict(head_weights)
    scores: dict[str, Any] = {f"{name}_before": value for name, value in before.items()}
    scores |= {f"{name}_joint": value for name, value in joint.items()} | (joint if keep_joint else head_only)
    scores |= {"kept": "joint" if keep_joint else "head", "regions": size, "held_out_scenes": len(held_scenes)} | head_facts
    logger.info("Visual embedding: %s", scores)
    passed = {name: t.half() if t.is_floating_point() else t for name, t in state.items() if name.startswith("decoder_")}
    recipe = {"kind": "regions", "seed": seed, "minutes": minutes, "steps": steps, "temperature": _TEMPERATURE, "batch": _BATCH}
    card = {"recipe": recipe, "scores": scores, "classes": list(classes), **facts}
    return Trained({**passed, **half_state(model)}, card)


def _loss_of(model: RegionModel, training: Sequence[RegionGroup]) -> Callable[[torch.Generator], Tensor]:
    weights = torch.tensor([float(len(group.label_n)) for group in training])
    odds = [torch.from_numpy(sampling_odds(group.label_n)) for group in training]

    def loss_of(generator: torch.Generator) -> Tensor:
        index = int(torch.multinomial(weights, 1, generator=generator))
        group = training[index]
        chosen = torch.multinomial(odds[index], min(_BATCH, len(group.label_n)), replacement=False, generator=generator)
        images = torch.from_numpy(group.crops_nchw[chosen.numpy()].astype(np.float32))
        label_b = own_labels(torch.from_numpy(group.label_n[chosen.numpy()]))
        views = [_view(images, group.keys, model.backbone.size, generator) for _ in range(2)]
        vectors = torch.cat([model(view, seen, keep_bp=keep) for view, seen, keep in views])
        return contrastive_loss(vectors, torch.cat([label_b, label_b]))

    return loss_of


def own_labels(label_b: Tensor) -> Tensor:
    """Labels with a number of its own for every background crop and every object nobody named."""
    return torch.where(label_b < 0, 1_000_000 + torch.arange(len(label_b)), label_b)


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
            view, seen, _ = _view(images, group.keys, model.backbone.size, generator)
            with mixed_precision():
                views.append(model.visual_head.pool(model.backbone(view, seen)[0]))
        pooled.append(torch.stack(views, dim=1))
        labels.append(torch.from_numpy(group.label_n[rows]))
        count += len(rows)
    return torch.cat(pooled), torch.cat(labels)


def _random_batches(group: RegionGroup, generator: torch.Generator) -> list[NDArray[np.int64]]:
    order: NDArray[np.int64] = torch.multinomial(
        torch.from_numpy(sampling_odds(group.label_n)), len(group.label_n), replacement=False, generator=generator
    ).numpy()
    return [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]


def _view(images: Tensor, keys: Keys, size: ViTConfig, generator: torch.Generator) -> tuple[Tensor, Keys, Tensor]:
    """A random view, what its bands are, and the patches a training step looks at."""
    view = relight(warp(images, size.img_px, generator, span=_SPAN), generator)
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


@torch.no_grad()
def region_vectors(model: RegionModel, group: RegionGroup) -> NDArray[np.float32]:
    """Unit vectors of the nominal crops, shape (N, D), float32."""
    model.eval()
    out = []
    for start in range(0, len(group.label_n), 128):
        images = torch.from_numpy(group.crops_nchw[start : start + 128].astype(np.float32))
        with mixed_precision():
            out.append(model(centre_view(images, model.backbone.size.img_px, _SPAN), group.keys).float().numpy())
    return np.concatenate(out)


def knn_scores(model: RegionModel, training: Sequence[RegionGroup], held: Sequence[RegionGroup], k: int = 5) -> dict[str, Any]:
    """k-NN on held-out scenes: object or background, and which class; balanced over the sides, [0, 1].

    Args:
        model: What makes the vectors.
        training: Crops that vote; about 800 of them.
        held: Crops that are judged; about 500 of them.
        k: Neighbours.

    Returns:
        ``knn_object`` (mean of the accuracies on objects and on background), ``knn_class`` (share of named objects whose class
        wins); empty without held-out crops.
    """
    if not training or not held:
        return {}
    base_nd, base_label = _some_vectors(model, training, 800)
    test_nd, test_label = _some_vectors(model, held, 500)
    near = np.argsort(-(test_nd @ base_nd.T), axis=1)[:, :k]
    votes = base_label[near]
    right = ((votes != BACKGROUND).mean(1) > 0.5) == (test_label != BACKGROUND)
    objects = test_label != BACKGROUND
    sides = [float(right[side].mean()) for side in (objects, ~objects) if side.any()]
    named = test_label >= 0
    classes = [np.bincount(row[row >= 0], minlength=1).argmax() if (row >= 0).any() else BACKGROUND for row in votes[named]]
    scores = {"knn_object": float(np.mean(sides))}
    return scores | ({"knn_class": float(np.mean(np.array(classes) == test_label[named]))} if named.any() else {})


def _some_vectors(
    model: RegionModel, groups: Sequence[RegionGroup], count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    stride = max(1, sum(len(group.label_n) for group in groups) // count)
    few = [group.where(np.arange(len(group.label_n)) % stride == 0) for group in groups]
    few = [group for group in few if len(group.label_n)]
    return np.concatenate([region_vectors(model, group) for group in few]), np.concatenate([group.label_n for group in few])
