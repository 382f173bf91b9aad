"""Segment Anything (Kirillov et al. 2023) as a proposer and as a refiner of boxes and points into masks.

Belongs here: automatic masks with a point grid on every chip, and prompts. Does not belong here: training.

The library's own automatic mode runs on whole 8-bit pictures and misses small objects; here every tile gets its own grid, and planes go
to the network as floats.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from ovd_platform.errors import InputError
from ovd_platform.propose.blocks import Found
from ovd_platform.records.mask import Mask


class SamDetector:
    """Masks of a picture, by themselves or asked for.

    Args:
        sam: A `segment_anything` model.
        points_per_side: Grid of prompts on each picture.
        points_per_batch: Prompts decoded at once.
        quality_floor: Masks whose predicted IoU is lower are dropped, [0, 1].
        stability_floor: Masks that change more with the threshold are dropped, [0, 1].
        overlap: Of masks whose boxes overlap more, the better one stays.
        most_fraction: Masks that cover more of the picture are ground, not objects.
    """

    def __init__(
        self,
        sam: Any,
        *,
        points_per_side: int = 32,
        points_per_batch: int = 64,
        quality_floor: float = 0.7,
        stability_floor: float = 0.8,
        overlap: float = 0.7,
        most_fraction: float = 0.3,
    ) -> None:
        self.sam = sam.eval()
        self._side, self._batch = points_per_side, points_per_batch
        self._quality, self._stability, self._overlap, self._most = quality_floor, stability_floor, overlap, most_fraction

    def __call__(self, planes_bchw: Tensor) -> list[Found]:
        """Automatic masks of each picture; see `network.Detector`."""
        return [self._automatic(planes_chw) for planes_chw in planes_bchw]

    def refine_boxes(self, planes_chw: Tensor, boxes_n4: ArrayLike) -> Found:
        """One mask for each box.

        Args:
            planes_chw: Three planes in about [0, 1], shape (3, H, W).
            boxes_n4: Boxes in pixels of the picture, shape (N, 4).

        Returns:
            As many answers as boxes, in their order; an empty mask keeps the box it was asked with.
        """
        boxes = torch.as_tensor(np.asarray(boxes_n4, np.float32)).reshape(-1, 4)
        embedding, ratio = self._embedded(planes_chw)
        parts = [self._decoded(embedding, ratio, planes_chw, boxes=part) for part in boxes.split(self._batch)]
        masks = [mask for part, _, _ in parts for mask in part]
        quality = torch.cat([part for _, part, _ in parts]) if parts else torch.zeros(0)
        found = [_cut(mask[0].numpy()) for mask in masks]
        tight = [cut.box_xyxy if cut.area_px else tuple(box.tolist()) for cut, box in zip(found, boxes, strict=True)]
        scores = quality[:, 0].clamp(0, 1).numpy() if len(masks) else np.zeros(0, np.float32)
        return Found(np.array(tight, np.float32).reshape(-1, 4), scores.astype(np.float32), masks=tuple(found))

    def refine_points(self, planes_chw: Tensor, points_n2: ArrayLike, wanted_n: ArrayLike | None = None) -> Found:
        """The mask of one object from points on it and beside it.

        Args:
            planes_chw: Three planes in about [0, 1], shape (3, H, W).
            points_n2: Points (x, y) in pixels of the picture, shape (N, 2).
            wanted_n: True for points on the object; None for all.

        Returns:
            One answer: of the three masks SAM offers, the one it trusts most.
        """
        points = torch.as_tensor(np.asarray(points_n2, np.float32)).reshape(1, -1, 2)
        labels = (
            torch.ones(points.shape[:2]) if wanted_n is None else torch.as_tensor(np.asarray(wanted_n)).float().reshape(1, -1)
        )
        embedding, ratio = self._embedded(planes_chw)
        masks, quality, _ = self._decoded(embedding, ratio, planes_chw, points=(points, labels))
        best = int(quality[0].argmax())
        cut = _cut(masks[0, best].numpy())
        score = quality[0, best].clamp(0, 1).numpy().reshape(1).astype(np.float32)
        return Found(np.array([cut.box_xyxy], np.float32), score, masks=(cut,))

    def _automatic(self, planes_chw: Tensor) -> Found:
        from torchvision.ops import masks_to_boxes, nms

        height, width = planes_chw.shape[-2:]
        steps = [(torch.arange(self._side) + 0.5) / self._side * size for size in (height, width)]
        ys, xs = torch.meshgrid(*steps, indexing="ij")
        grid = torch.stack([xs, ys], -1).reshape(-1, 1, 2)
        embedding, ratio = self._embedded(planes_chw)
        boxes, scores, masks = [], [], []
        for part in grid.split(self._batch):
            bits, quality, stability = self._decoded(embedding, ratio, planes_chw, points=(part, torch.ones(part.shape[:2])))
            bits, quality, stability = bits.flatten(0, 1), quality.flatten(), stability.flatten()
            area = bits.flatten(1).sum(1)
            keep = (
                (quality >= self._quality) & (stability >= self._stability) & (area > 3) & (area < self._most * height * width)
            )
            bits, quality = bits[keep], quality[keep]
            if len(bits):
                boxes.append(masks_to_boxes(bits) + torch.tensor([0.0, 0.0, 1.0, 1.0]))
                scores.append(quality)
                masks.extend(_cut(one) for one in bits.numpy())
        if not masks:
            return Found(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), masks=())
        boxes_n4, scores_n = torch.cat(boxes), torch.cat(scores)
        kept = nms(boxes_n4, scores_n, self._overlap)
        objectness = scores_n[kept].clamp(0, 1).numpy().astype(np.float32)
        return Found(boxes_n4[kept].numpy(), objectness, masks=tuple(masks[int(index)] for index in kept))

    def _embedded(self, planes_chw: Tensor) -> tuple[Tensor, float]:
        """Embedding of a picture, and network pixels per picture pixel."""
        height, width = planes_chw.shape[-2:]
        side = int(self.sam.image_encoder.img_size)
        ratio = side / max(height, width)
        size = round(height * ratio), round(width * ratio)
        with torch.inference_mode():
            resized = functional.interpolate(planes_chw[None].float() * 255.0, size, mode="bilinear", antialias=ratio < 1)
            return self.sam.image_encoder(self.sam.preprocess(resized)), ratio

    def _decoded(
        self,
        embedding: Tensor,
        ratio: float,
        planes_chw: Tensor,
        *,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Masks (N, M, H, W) bool, their predicted IoU and their stability (N, M); three masks for points, one for boxes."""
        height, width = planes_chw.shape[-2:]
        with torch.inference_mode():
            sparse, dense = self.sam.prompt_encoder(
                points=(points[0] * ratio, points[1]) if points is not None else None,
                boxes=boxes * ratio if boxes is not None else None,
                masks=None,
            )
            low, quality = self.sam.mask_decoder(
                image_embeddings=embedding,
                image_pe=self.sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=points is not None,
            )
            logits = self.sam.postprocess_masks(low, (round(height * ratio), round(width * ratio)), (height, width))
        level = float(self.sam.mask_threshold)
        sure = (logits > level + 1.0).flatten(2).sum(2).float()
        possible = (logits > level - 1.0).flatten(2).sum(2).float()
        return logits > level, quality, sure / possible.clamp(min=1.0)


def load_sam(model: str, checkpoint: Path, **settings: Any) -> SamDetector:
    """SAM from a checkpoint file of the original authors.

    Args:
        model: ``vit_b``, ``vit_l`` or ``vit_h``.
        checkpoint: The ``.pth`` file.
        settings: Of `SamDetector`.

    Raises:
        InputError: If the package or the file is missing, or the model is unknown.
    """
    try:
        from segment_anything import sam_model_registry
    except ImportError as error:
        raise InputError(
            "Cannot use SAM: expected the package segment-anything, got none. Install `ovd-platform[detectors]`."
        ) from error
    if model not in sam_model_registry or not checkpoint.is_file():
        raise InputError(
            f"Cannot load SAM {model!r} from {checkpoint}: expected one of {sorted(sam_model_registry)} and an existing file. "
            "Correct `model` and `checkpoint` in ovd.yaml."
        )
    return SamDetector(sam_model_registry[model](checkpoint=str(checkpoint)), **settings)


def _cut(bits_hw: NDArray[np.bool_]) -> Mask:
    """The part of a picture's mask that holds anything."""
    rows, cols = np.flatnonzero(bits_hw.any(1)), np.flatnonzero(bits_hw.any(0))
    if not len(rows):
        return Mask(0, 0, np.zeros((1, 1), np.bool_))
    inside = bits_hw[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    return Mask(int(cols[0]), int(rows[0]), np.ascontiguousarray(inside))
