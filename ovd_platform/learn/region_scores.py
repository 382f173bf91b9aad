"""How good a visual embedding is on crops of held-out scenes. Belongs here: the scores, and choosing among models by them."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ovd_platform.learn.augment import centre_view, relight, warp
from ovd_platform.learn.region_crops import BACKGROUND, SPAN, RegionGroup
from ovd_platform.models.precision import mixed_precision
from ovd_platform.models.vit import RegionModel

INSTANCE_WEIGHT = 0.3
"""Weight of telling unnamed things apart beside the two k-NN scores on labels: what was labelled is what is asked for first."""

MARGIN_OVER_KNOWN = 0.05
"""What training must gain over a finished model to replace it: about two standard errors of the summed scores on 500 crops. The
finished one has seen more instruments than the few scenes that judge."""


class BestModel:
    """Keeps the model with the best scores on held-out scenes among those offered, and everybody's scores."""

    def __init__(self, model: RegionModel, training: Sequence[RegionGroup], held: Sequence[RegionGroup], seed: int) -> None:
        self.model, self.scores = model, dict[str, Any]()
        self._training, self._held, self._seed, self._best = training, held, seed, -1.0

    def offer(self, name: str, model: RegionModel, *, enough: bool = True) -> None:
        """Measure a model; a tie goes to the later one, but ``known`` must be clearly beaten. Without held-out scenes the last one wins. ``enough``: may win."""
        found = knn_scores(model, self._training, self._held) | instance_score(model, self._held, self._seed)
        self.scores |= {f"{key}_{name}": value for key, value in found.items()}
        worth = sum(value * (INSTANCE_WEIGHT if key == "instance_r@1" else 1.0) for key, value in found.items())
        if enough and worth >= self._best:
            self._best = worth + (MARGIN_OVER_KNOWN if name == "known" and found else 0.0)
            self.model = copy.deepcopy(model)
            self.scores |= found | {"kept": name}


@torch.no_grad()
def region_vectors(model: RegionModel, group: RegionGroup) -> NDArray[np.float32]:
    """Unit vectors of the nominal crops, shape (N, D), float32."""
    model.eval()
    out = []
    for start in range(0, len(group.label_n), 128):
        images = torch.from_numpy(group.crops_nchw[start : start + 128].astype(np.float32))
        with mixed_precision():
            known = group.metadata(slice(start, start + 128))
            view = centre_view(images, model.backbone.size.img_px, SPAN)
            out.append(model(view, group.keys, metadata_bm=known).float().numpy())
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


@torch.no_grad()
def instance_score(model: RegionModel, held: Sequence[RegionGroup], seed: int, count: int = 400) -> dict[str, float]:
    """Share of held-out crops whose turned, relit view is nearest to the crop itself: what is left of telling unnamed things apart.

    Returns:
        ``instance_r@1``, [0, 1]; empty without held-out crops.
    """
    if not held:
        return {}
    generator = torch.Generator().manual_seed(seed)
    stride = max(1, sum(len(group.label_n) for group in held) // count)
    plain, turned = [], []
    for group in held:
        few = group.where(np.arange(len(group.label_n)) % stride == 0)
        if not len(few.label_n):
            continue
        images = torch.from_numpy(few.crops_nchw.astype(np.float32))
        view = relight(warp(images, model.backbone.size.img_px, generator, span=SPAN), generator)
        plain.append(region_vectors(model, few))
        with mixed_precision():
            turned.append(model(view, few.keys, metadata_bm=few.metadata(slice(None))).float().numpy())
    nearest = (np.concatenate(turned) @ np.concatenate(plain).T).argmax(axis=1)
    return {"instance_r@1": float((nearest == np.arange(len(nearest))).mean())}


def _some_vectors(
    model: RegionModel, groups: Sequence[RegionGroup], count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    stride = max(1, sum(len(group.label_n) for group in groups) // count)
    few = [group.where(np.arange(len(group.label_n)) % stride == 0) for group in groups]
    few = [group for group in few if len(group.label_n)]
    return np.concatenate([region_vectors(model, group) for group in few]), np.concatenate([group.label_n for group in few])
