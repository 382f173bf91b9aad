"""Detectors of others, trained on the same crops for the same minutes, for comparison with the built-in one.

Faster R-CNN (MobileNetV3), FCOS (ResNet-50) of torchvision and D-FINE small of transformers, all from random weights: none of them has
published weights for two-class satellite scenes here, and the built-in detector of the comparison starts from random weights too.
"""

import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ovd_platform.learn.proposer_crops import CropSampler
from ovd_platform.propose.detr import DetrDetector, load_detr
from ovd_platform.propose.network import Detector
from ovd_platform.propose.torchvision_detectors import TorchvisionDetector, torchvision_network

PEERS = ("faster-rcnn-mobilenet", "fcos-resnet50", "d-fine-small")
BATCH = 4


def d_fine_small() -> dict[str, Any]:
    """Configuration of D-FINE-S (Peng et al. 2024): HGNetV2-B0, three decoder layers, narrow encoder."""
    from transformers import HGNetV2Config

    backbone = HGNetV2Config(
        out_features=["stage2", "stage3", "stage4"],
        depths=[1, 1, 2, 1],
        hidden_sizes=[64, 256, 512, 1024],
        stem_channels=[3, 16, 16],
        stage_in_channels=[16, 64, 256, 512],
        stage_mid_channels=[16, 32, 64, 128],
        stage_out_channels=[64, 256, 512, 1024],
        stage_num_blocks=[1, 1, 2, 1],
        stage_downsample=[False, True, True, True],
        stage_light_block=[False, False, True, True],
        stage_kernel_size=[3, 3, 5, 5],
        stage_numb_of_layers=[3, 3, 3, 3],
        use_learnable_affine_block=True,
    )
    return {
        "model_type": "d_fine", "backbone_config": backbone, "encoder_in_channels": [256, 512, 1024], "feat_strides": [8, 16, 32],
        "decoder_layers": 3, "hidden_expansion": 0.5, "depth_mult": 0.34, "num_labels": 1, "num_queries": 300,
        "freeze_backbone_batch_norms": False,
    }  # fmt: skip


def fresh(kind: str, seed: int = 0) -> Any:
    """An untrained network."""
    torch.manual_seed(seed)
    if kind == "faster-rcnn-mobilenet":
        return torchvision_network("fasterrcnn_mobilenet_v3_large_fpn")
    if kind == "fcos-resnet50":
        return torchvision_network("fcos_resnet50_fpn")
    return load_detr(config=d_fine_small()).network


def as_detector(kind: str, network: Any) -> Detector:
    """The network as a proposer sees it."""
    return DetrDetector(network) if kind == "d-fine-small" else TorchvisionDetector(network)


def trained(kind: str, sampler: CropSampler, minutes: float, seed: int = 0) -> tuple[Detector, int]:
    """Train on crops with AdamW and a one-cycle rate; returns the detector and its steps."""
    network, rng = fresh(kind, seed), np.random.default_rng(seed)
    network.train()
    peak = 2e-4 if kind == "d-fine-small" else 5e-4
    optimiser = torch.optim.AdamW((p for p in network.parameters() if p.requires_grad), lr=peak, weight_decay=1e-4)
    started, steps = time.monotonic(), 0
    while (done := (time.monotonic() - started) / (60 * minutes)) < 1:
        rate = done / 0.1 if done < 0.1 else 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9))
        for group in optimiser.param_groups:
            group["lr"] = peak * max(rate, 0.01)
        crops = sampler.batch(BATCH, rng)
        pixels = torch.from_numpy(np.stack([crop.pixels_chw for crop in crops]))
        loss = _loss(kind, network, pixels, [torch.from_numpy(crop.boxes_n4) for crop in crops])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0 if kind == "d-fine-small" else 10.0)
        optimiser.step()
        steps += 1
        if steps % 50 == 1:
            print(f"{kind}: step {steps}, loss {loss.item():.3f}", flush=True)
    return as_detector(kind, network), steps


def _loss(kind: str, network: Any, pixels: Tensor, boxes: list[Tensor]) -> Tensor:
    if kind == "d-fine-small":
        side = float(pixels.shape[-1])
        labels = []
        for one in boxes:
            middle, size = (one[:, :2] + one[:, 2:]) / 2 / side, (one[:, 2:] - one[:, :2]) / side
            labels.append({"class_labels": torch.zeros(len(one), dtype=torch.long), "boxes": torch.cat([middle, size], 1)})
        answer: Tensor = network(pixel_values=pixels, labels=labels).loss
        return answer
    targets = [{"boxes": one, "labels": torch.ones(len(one), dtype=torch.long)} for one in boxes]
    parts: dict[str, Tensor] = network(list(pixels), targets)
    return torch.stack(list(parts.values())).sum()
