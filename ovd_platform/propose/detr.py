"""Detectors of the transformers library (D-FINE, RT-DETR, Deformable DETR, DETR, ...) as class-agnostic finders.

Belongs here: making them from a configuration or a local checkpoint, and reading their answers. Does not belong here: training.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ovd_platform.errors import InputError
from ovd_platform.propose.blocks import Found
from ovd_platform.stores.home import read_json

_SOFTMAX = ("detr", "conditional_detr_softmax", "yolos", "table-transformer")
"""Families whose last class is "no object"; the others score every class by itself."""


class DetrDetector:
    """One detection transformer; its classes are folded into "an object".

    Args:
        network: A model of ``AutoModelForObjectDetection``.
        mean: Subtracted from each plane.
        std: Divides each plane.
    """

    def __init__(
        self, network: Any, mean: tuple[float, ...] = (0.0, 0.0, 0.0), std: tuple[float, ...] = (1.0, 1.0, 1.0)
    ) -> None:
        self.network = network.eval()
        self._mean, self._std = (torch.tensor(values)[:, None, None] for values in (mean, std))

    def __call__(self, planes_bchw: Tensor) -> list[Found]:
        """Boxes of each picture; see `network.Detector`."""
        height, width = planes_bchw.shape[-2:]
        with torch.inference_mode():
            answer = self.network(pixel_values=(planes_bchw - self._mean) / self._std)
        logits_bqk = answer.logits.float()
        if self.network.config.model_type in _SOFTMAX:
            objectness_bq = 1 - logits_bqk.softmax(-1)[..., -1]
        else:
            objectness_bq = logits_bqk.sigmoid().amax(-1)
        middle, size = answer.pred_boxes.float().split(2, -1)
        boxes_bq4 = torch.cat([middle - size / 2, middle + size / 2], -1) * torch.tensor([width, height] * 2)
        found = []
        for boxes, scores in zip(boxes_bq4, objectness_bq, strict=True):
            order = scores.argsort(descending=True)
            found.append(Found(boxes[order].numpy(), scores[order].numpy().astype(np.float32)))
        return found


def load_detr(checkpoint: str | Path | None = None, config: Mapping[str, Any] | None = None) -> DetrDetector:
    """Detector from a checkpoint folder (or a name in the local cache), or fresh from a configuration.

    Args:
        checkpoint: What ``from_pretrained`` takes; nothing is downloaded when the environment says HF_HUB_OFFLINE=1.
        config: ``model_type`` and settings of its configuration, for a fresh network.

    Raises:
        InputError: If the package is missing, both or neither are given, or nothing can be loaded.
    """
    try:
        from transformers import AutoConfig, AutoModelForObjectDetection
    except ImportError as error:
        raise InputError(
            "Cannot use a proposer of kind transformers: expected the package, got none. Install `ovd-platform[detectors]`."
        ) from error
    if (checkpoint is None) == (config is None):
        raise InputError("Cannot make a detection transformer: expected a checkpoint or a configuration. Give one of them.")
    if config is not None:
        values = dict(config)
        made = AutoConfig.for_model(values.pop("model_type"), **values)
        return DetrDetector(AutoModelForObjectDetection.from_config(made))
    try:
        network = AutoModelForObjectDetection.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        raise InputError(
            f"Cannot load {checkpoint}: expected a detection checkpoint, got: {str(error)[:300]}. Check the path."
        ) from error
    mean, std = _normalisation(Path(str(checkpoint)) / "preprocessor_config.json")
    return DetrDetector(network, mean, std)


def _normalisation(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and spread the checkpoint was trained with; none where its preprocessing names none."""
    values = read_json(path) if path.is_file() else {}
    if not values.get("do_normalize"):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return tuple(values["image_mean"]), tuple(values["image_std"])
