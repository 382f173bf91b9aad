"""Detectors of torchvision (Faster R-CNN, FCOS, RetinaNet) as class-agnostic finders. Belongs here: making and running them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ovd_platform.errors import InputError
from ovd_platform.propose.blocks import Found

MODELS = ("fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_resnet50_fpn_v2", "fcos_resnet50_fpn", "retinanet_resnet50_fpn_v2")


class TorchvisionDetector:
    """One torchvision detector; its classes are folded into "an object".

    Args:
        network: A model of `torchvision.models.detection`.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network.eval()

    def __call__(self, planes_bchw: Tensor) -> list[Found]:
        """Boxes of each picture; see `network.Detector`."""
        with torch.inference_mode():
            answers = self.network(list(planes_bchw.float()))
        return [
            Found(answer["boxes"].float().numpy().reshape(-1, 4), answer["scores"].float().numpy().astype(np.float32))
            for answer in answers
        ]


def torchvision_network(model: str, *, classes: int = 2, side_px: int | None = None, **settings: Any) -> torch.nn.Module:
    """A fresh network.

    Args:
        model: One of `MODELS`.
        classes: Outputs, background included.
        side_px: Pictures are resampled so that their shorter side has this many pixels; None leaves them alone.
        settings: More arguments of the torchvision function.

    Raises:
        InputError: If the model is unknown.
    """
    from torchvision.models import detection

    if model not in MODELS:
        raise InputError(f"Cannot make a torchvision detector: expected one of {MODELS}, got {model!r}.")
    network: torch.nn.Module = getattr(detection, model)(
        weights=None, weights_backbone=None, num_classes=classes, box_detections_per_img=300, **settings
    ) if model.startswith("fasterrcnn") else getattr(detection, model)(
        weights=None, weights_backbone=None, num_classes=classes, detections_per_img=300, **settings
    )  # fmt: skip
    transform: Any = network.transform
    if side_px is None:
        transform._skip_resize = True
    else:
        transform.min_size, transform.max_size = (side_px,), 4 * side_px
    return network


def load_torchvision(model: str, checkpoint: Path) -> TorchvisionDetector:
    """Detector with weights from a file of tensors (``.pth`` or ``.safetensors``); the number of classes is read from them.

    Raises:
        InputError: If the file does not fit the model.
    """
    state = tensors_of(checkpoint)
    heads = ("roi_heads.box_predictor.cls_score.bias", "head.classification_head.cls_logits.bias")
    bias = next((state[name] for name in heads if name in state), None)
    if bias is None:
        raise InputError(f"Cannot load {checkpoint}: expected weights of a torchvision detector, got none of {heads}.")
    classes = len(bias)
    if model.startswith(("fcos", "retinanet")):
        anchors = 9 if model.startswith("retinanet") else 1
        classes = len(bias) // anchors
    network = torchvision_network(model, classes=classes)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"Cannot load {checkpoint} into {model}: {str(error)[:300]}. Name the model it was trained as."
        ) from error
    return TorchvisionDetector(network)


def tensors_of(checkpoint: Path) -> dict[str, Tensor]:
    """Weights of a file; of a training checkpoint the part named model or state_dict.

    Raises:
        InputError: If there is no such file.
    """
    if not checkpoint.is_file():
        raise InputError(f"Cannot load {checkpoint}: expected a file of weights, got none. Check the path in ovd.yaml.")
    if checkpoint.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(checkpoint))
    values: Any = torch.load(checkpoint, map_location="cpu", weights_only=True)
    for name in ("model", "state_dict"):
        if isinstance(values, dict) and isinstance(values.get(name), dict):
            values = values[name]
    return dict(values)
