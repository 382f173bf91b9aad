"""Training of the light class-agnostic proposer.

Belongs here: the recipe and its loop. Does not belong here: the network (models/light_detector.py), crops and losses
(learn/proposer_crops.py, learn/proposer_loss.py), running it over scenes (propose/light.py).
"""

import hashlib
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ovd_platform.errors import InputError
from ovd_platform.learn.proposer_crops import CropSampler, LabelledScene, Progress, labelled_scenes, load_regions
from ovd_platform.learn.proposer_loss import detector_loss, paint_targets
from ovd_platform.learn.trained import Trained
from ovd_platform.models.light_detector import LAYOUT, LightDetector, LightDetectorConfig
from ovd_platform.models.precision import fast_bfloat16
from ovd_platform.models.stems import BandReading
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.raster.scene import Scene

log = logging.getLogger(__name__)

SCALES = (2.0, 1.5, 1.0, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125)
"""Working scales to choose from."""

TYPICAL_OBJECT_PX = 44.0
"""Side of the median object at the working scale: the one at which the recipe was measured."""


@dataclass(frozen=True)
class ProposerRecipe:
    """What training does; every field is part of the model's version.

    Attributes:
        crop_px: Side of the training crops, working-scale pixels, a multiple of 32.
        batch: Crops a step.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Of AdamW.
        warmup_fraction: Part of the budget in which the learning rate climbs.
        ema_decay: Of the averaged weights that are kept.
        zoom: Smallest and largest magnification of a crop.
        bands: How other than three bands come in; see `LightDetector`.
        config: Sizes of the network.
    """

    crop_px: int = 320
    batch: int = 6
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup_fraction: float = 0.1
    ema_decay: float = 0.998
    zoom: tuple[float, float] = (0.7, 1.4)
    bands: BandReading = "average"
    config: LightDetectorConfig = field(default_factory=LightDetectorConfig)


def choose_input_scale(boxes: Sequence[NDArray[np.floating]]) -> float:
    """Working scale at which the median object has a good size for the detector.

    Args:
        boxes: Boxes of each scene in scene pixels, shape (N, 4).

    Returns:
        One of `SCALES`; 1 if there is no box.
    """
    stacked = np.concatenate([np.asarray(item, np.float64).reshape(-1, 4) for item in boxes] or [np.zeros((0, 4))])
    if len(stacked) == 0:
        return 1.0
    side_px = float(np.median(np.sqrt(np.prod(np.maximum(stacked[:, 2:] - stacked[:, :2], 1e-3), axis=1))))
    return min(SCALES, key=lambda scale: abs(math.log(scale * side_px / TYPICAL_OBJECT_PX)))


def train_proposer(
    scenes: Sequence[tuple[Scene, InstrumentProfile]],
    boxes: Mapping[str, NDArray[np.floating]],
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    init_state: Mapping[str, torch.Tensor] | None = None,
    checkpoint_dir: Path | None = None,
    input_scale: float | None = None,
    difficult: Mapping[str, NDArray[np.bool_]] | None = None,
    look_scales: Sequence[float] = (),
    recipe: ProposerRecipe | None = None,
    memory_bytes: int = 2_000_000_000,
    progress: Progress | None = None,
) -> Trained:
    """Train the class-agnostic detector on labelled scenes.

    Scenes without an entry in ``boxes`` are not used; an empty entry marks a scene of pure background.

    Args:
        scenes: Open scenes with the profile of their instrument; one modality.
        boxes: Scene id -> boxes x0, y0, x1, y1 in scene pixels, shape (N, 4).
        minutes: Budget of training time; reading the scenes comes on top. Give this or ``steps``.
        steps: Exact number of steps, reproducible on one machine.
        seed: Of weights, crops and augmentation.
        init_state: Weights to start from; tensors of other shapes are left fresh.
        checkpoint_dir: Where to keep a checkpoint; an interrupted call with the same arguments continues from it.
        input_scale: Working-scale pixels per scene pixel; None chooses by the labels.
        difficult: Scene id -> True for boxes to be ignored, shape (N,).
        look_scales: Scales the model looks at; none for the working scale alone. The recipe's zoom should cover them.
        recipe: Sizes and rates; None for the default.
        memory_bytes: Budget for pixels held in memory.
        progress: Called with done, total, what.

    Returns:
        Averaged weights in half precision and their card.

    Raises:
        InputError: If neither or both budgets are given, or no scene has a box.
    """
    if (minutes is None) == (steps is None):
        raise InputError(f"Cannot train a proposer: expected minutes or steps, got {minutes} and {steps}. Give one of them.")
    recipe = recipe or ProposerRecipe()
    labelled = labelled_scenes(scenes, boxes, difficult)
    if not any(len(item.boxes_n4) for item in labelled):
        raise InputError(
            f"Cannot train a proposer on {len(scenes)} scenes: expected at least one labelled object, got none. "
            "Import labels, or use the starter weights."
        )
    scale = input_scale or choose_input_scale([item.boxes_n4 for item in labelled])
    rng = np.random.default_rng(seed)
    regions = load_regions(labelled, scale, memory_bytes, rng, progress)
    counts = tuple(sorted({len(item.scene.record.bands) for item in labelled} | {1, 3, 4}))
    sampler = CropSampler(regions, recipe.crop_px, recipe.zoom)
    identity = _identity(recipe, labelled, [minutes, steps, seed, scale, *look_scales])
    run = _Run(recipe, counts, seed, init_state, rng, identity)
    run.fit_adapters([region.pixels_chw for region in regions])
    run.resume(checkpoint_dir)
    run.train(sampler, minutes, steps, checkpoint_dir, progress)
    if checkpoint_dir is not None:
        (checkpoint_dir / _CHECKPOINT).unlink(missing_ok=True)
    card = _card(recipe, labelled, scale, tuple(look_scales) or (scale,), run)
    card |= {"seed": seed, "started_from": "init_state" if init_state else "scratch", "band_counts": list(counts)}
    card |= {"bands": recipe.bands}
    return Trained(run.averaged_state(), card)


_CHECKPOINT = "proposer.pt"


def _identity(recipe: ProposerRecipe, labelled: Sequence[LabelledScene], settings: Sequence[float | None]) -> str:
    """Hash of everything a checkpoint must agree with: recipe, budget, scenes and their labels."""
    digest = hashlib.sha256(json.dumps([asdict(recipe), *settings]).encode())
    for item in labelled:
        digest.update(f"{item.scene.record.scene_id}@{item.scene.record.version}".encode())
        digest.update(item.boxes_n4.tobytes() + item.difficult_n.tobytes())
    return digest.hexdigest()


class _Run:
    """State of one training: weights, averaged weights, optimiser, random stream, clock."""

    def __init__(
        self,
        recipe: ProposerRecipe,
        band_counts: tuple[int, ...],
        seed: int,
        init_state: Mapping[str, torch.Tensor] | None,
        rng: np.random.Generator,
        identity: str,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = LightDetector(recipe.config, band_counts, recipe.bands)
        if init_state is not None:
            own = self.model.state_dict()
            if recipe.bands != "average":  # Shipped weights hold adapters that started as averages.
                init_state = {name: tensor for name, tensor in init_state.items() if not name.startswith("adapters.")}
            fitting = {k: v.to(own[k].dtype) for k, v in init_state.items() if k in own and own[k].shape == v.shape}
            self.model.load_state_dict({**own, **fitting})
            if not any(name.startswith("kernels.") for name in fitting):
                self.model.inflate()
        self.model.to(memory_format=torch.channels_last)
        self.averaged = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate)
        self.recipe, self.rng, self.identity = recipe, rng, identity
        self.step, self.seconds, self.loss = 0, 0.0, math.nan

    def fit_adapters(self, regions: Sequence[NDArray[np.float16]]) -> None:
        """Fit adapters that start by principal components to the pixels of regions (C, H, W)."""
        if self.recipe.bands != "pca" or self.model.adapters is None:
            return
        for count in sorted({len(pixels_chw) for pixels_chw in regions}):
            planes = [pixels_chw.reshape(count, -1) for pixels_chw in regions if len(pixels_chw) == count]
            pixels_nc = np.concatenate([plane[:, :: max(1, plane.shape[1] // 5000)] for plane in planes[:20]], axis=1).T
            self.model.adapters.fit(torch.from_numpy(pixels_nc.astype(np.float32)))
        self.averaged = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def train(
        self,
        sampler: CropSampler,
        minutes: float | None,
        steps: int | None,
        checkpoint_dir: Path | None,
        progress: Progress | None,
    ) -> None:
        """Step until the budget is spent."""
        self.model.train()
        saved_s = last = time.monotonic()
        reduced = fast_bfloat16()
        while True:
            done = self.step / steps if steps is not None else self.seconds / (60.0 * (minutes or 0.0) + 1e-9)
            if done >= 1:
                return
            self._set_rate(done)
            self._one_step(sampler, reduced)
            now = time.monotonic()
            self.seconds += now - last
            last = now
            if self.step % 20 == 0 and progress is not None:
                progress(self.step, steps or int(self.step / max(done, 1e-3)), f"training proposer, loss {self.loss:.3f}")
            if checkpoint_dir is not None and now - saved_s > 30:
                self.save(checkpoint_dir)
                saved_s = now

    def _set_rate(self, done: float) -> None:
        warm = self.recipe.warmup_fraction
        if done < warm:
            factor = 0.04 + 0.96 * done / warm
        else:
            factor = 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm))) * 0.999 + 0.001
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * factor

    def _one_step(self, sampler: CropSampler, reduced: bool) -> None:
        crops = sampler.batch(self.recipe.batch, self.rng)
        stacked = torch.from_numpy(np.stack([crop.pixels_chw for crop in crops]))
        pixels_bchw = stacked.contiguous(memory_format=torch.channels_last)
        targets = paint_targets([crop.boxes_n4 for crop in crops], [crop.ignored_n4 for crop in crops], self.recipe.crop_px)
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            maps = self.model(pixels_bchw)
        loss, parts = detector_loss(maps, targets)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimiser.step()
        self.step += 1
        self.loss = loss.item() if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss.item()
        self._average()
        if self.step % 100 == 0:
            log.info("step %d, %.0f s, loss %.3f %s", self.step, self.seconds, self.loss, parts)

    def _average(self) -> None:
        decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                if value.dtype.is_floating_point:
                    self.averaged[name].lerp_(value, 1 - decay)
                else:
                    self.averaged[name].copy_(value)

    def averaged_state(self) -> dict[str, torch.Tensor]:
        """Averaged weights, floats in half precision."""
        return {k: (v.half() if v.dtype.is_floating_point else v).contiguous().clone() for k, v in self.averaged.items()}

    def save(self, directory: Path) -> None:
        """Write a checkpoint that replaces the last one whole."""
        directory.mkdir(parents=True, exist_ok=True)
        values = {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "averaged": self.averaged,
            "optimiser": self.optimiser.state_dict(),
            "rng": json.dumps(self.rng.bit_generator.state),
            "step": self.step,
            "seconds": self.seconds,
            "loss": self.loss,
        }
        part = directory / (_CHECKPOINT + ".part")
        torch.save(values, part)
        part.replace(directory / _CHECKPOINT)

    def resume(self, directory: Path | None) -> None:
        """Continue from a checkpoint of the same recipe and data, if there is one."""
        if directory is None or not (directory / _CHECKPOINT).exists():
            return
        values: dict[str, Any] = torch.load(directory / _CHECKPOINT, weights_only=True)
        if values["identity"] != self.identity:
            log.info("checkpoint in %s belongs to another recipe or other data: starting afresh", directory)
            return
        self.model.load_state_dict(values["model"])
        self.averaged = values["averaged"]
        self.optimiser.load_state_dict(values["optimiser"])
        self.rng.bit_generator.state = json.loads(values["rng"])
        self.step, self.seconds, self.loss = values["step"], values["seconds"], values["loss"]
        log.info("continuing at step %d", self.step)


def _card(
    recipe: ProposerRecipe, labelled: Sequence[LabelledScene], scale: float, look_scales: Sequence[float], run: _Run
) -> dict[str, Any]:
    records = [item.scene.record for item in labelled]
    boxes_n4 = np.concatenate([item.boxes_n4 for item in labelled])
    sides_n = np.sqrt(np.prod(boxes_n4[:, 2:] - boxes_n4[:, :2], axis=1))
    longest_n = (boxes_n4[:, 2:] - boxes_n4[:, :2]).max(1)
    gsds = [record.gsd_m for record in records if record.gsd_m]
    return {
        "kind": "proposer",
        "architecture": "light-detector",
        "layout": LAYOUT,
        "modality": records[0].modality,
        "input_scale": scale,
        "scales": [float(one) for one in look_scales],
        "training_gsd_m": float(np.median(gsds)) if gsds else None,
        "instruments": sorted({record.instrument for record in records}),
        "object_px": [float(value) for value in np.percentile(sides_n, [5, 50, 95])],
        "halo_px": math.ceil(float(np.percentile(longest_n, 99)) / 2) + 8,
        "scenes": len(records),
        "objects": len(boxes_n4),
        "rendered": all(record.rendered for record in records),
        "recipe": asdict(recipe),
        "config": recipe.config.to_dict(),
        "steps": run.step,
        "training_s": round(run.seconds, 1),
        "final_loss": round(run.loss, 4),
    }
