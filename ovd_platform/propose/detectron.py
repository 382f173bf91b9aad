"""Detectron2 (RPN, Faster R-CNN, Mask R-CNN) as a class-agnostic finder, where the package is installed.

Belongs here: a model from a config file and a checkpoint, and its answers. Does not belong here: training.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ovd_platform.errors import InputError
from ovd_platform.propose.blocks import Found


class DetectronDetector:
    """One Detectron2 model; its classes are folded into "an object".

    Args:
        network: A model of `detectron2.modeling.build_model`.
        blue_first: Whether it was trained on BGR, as most are.
    """

    def __init__(self, network: Any, *, blue_first: bool = True) -> None:
        self.network = network.eval()
        self._order = [2, 1, 0] if blue_first else [0, 1, 2]

    def __call__(self, planes_bchw: Tensor) -> list[Found]:
        """Boxes of each picture; see `network.Detector`."""
        height, width = planes_bchw.shape[-2:]
        inputs = [{"image": planes[self._order] * 255.0, "height": height, "width": width} for planes in planes_bchw]
        with torch.inference_mode():
            answers = self.network(inputs)
        return [self._read(answer) for answer in answers]

    def _read(self, answer: dict[str, Any]) -> Found:
        if "instances" in answer:
            found = answer["instances"].to("cpu")
            return Found(found.pred_boxes.tensor.float().numpy(), found.scores.float().numpy().astype(np.float32))
        found = answer["proposals"].to("cpu")
        return Found(
            found.proposal_boxes.tensor.float().numpy(), found.objectness_logits.float().sigmoid().numpy().astype(np.float32)
        )


def load_detectron(config: Path, checkpoint: Path | None, overrides: tuple[str, ...] = ()) -> DetectronDetector:
    """Model from a Detectron2 config file and weights.

    Args:
        config: YAML file of Detectron2.
        checkpoint: Weights; None leaves them fresh.
        overrides: Key, value, key, value, ... set after the file.

    Raises:
        InputError: If the package or a file is missing.
    """
    try:
        from detectron2.checkpoint import DetectionCheckpointer
        from detectron2.config import get_cfg
        from detectron2.modeling import build_model
    except ImportError as error:
        raise InputError(
            "Cannot use a proposer of kind detectron2: expected the package, got none. Install it from its repository; "
            "it is not on PyPI."
        ) from error
    for path in (config, checkpoint):
        if path is not None and not path.is_file():
            raise InputError(f"Cannot load {path}: expected a file, got none. Check `config` and `checkpoint` in ovd.yaml.")
    settings = get_cfg()
    settings.merge_from_file(str(config))
    settings.merge_from_list(list(overrides))
    settings.MODEL.DEVICE = "cpu"
    settings.MODEL.WEIGHTS = ""
    network = build_model(settings)
    if checkpoint is not None:
        DetectionCheckpointer(network).load(str(checkpoint))
    return DetectronDetector(network, blue_first=settings.INPUT.FORMAT == "BGR")
