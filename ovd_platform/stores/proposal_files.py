"""Proposals of a scene on disk. Belongs here: the file and its inverse; making proposals is `propose`'s."""

from pathlib import Path
from typing import Any

import numpy as np

from ovd_platform.records.mask import Mask
from ovd_platform.records.proposal import ProposalSet

_NAME = "proposals.npz"


def save_proposals(folder: Path, found: ProposalSet) -> Path:
    """Write ``proposals.npz``: boxes, objectness, tiles, and oriented boxes and masks where there are any; returns the path."""
    arrays: dict[str, Any] = {
        "boxes_scene_xyxy": found.boxes_scene_xyxy,
        "objectness_n": found.objectness_n,
        "tile_index_n": found.tile_index_n,
        "proposer": np.array(found.proposer),
    }
    if found.corners_n42 is not None:
        arrays["corners_n42"] = found.corners_n42
    if found.masks is not None:
        places = [(mask.left_px, mask.top_px, *mask.bits_hw.shape) for mask in found.masks]
        arrays["mask_places_n4"] = np.array(places, np.int64).reshape(-1, 4)
        bits = [np.packbits(mask.bits_hw.reshape(-1)) for mask in found.masks]
        arrays["mask_bits"] = np.concatenate(bits) if bits else np.zeros(0, np.uint8)
    np.savez(folder / _NAME, **arrays)
    return folder / _NAME


def load_proposals(folder: Path, scene_id: str) -> ProposalSet:
    """Inverse of `save_proposals`.

    Args:
        folder: Folder of the stage output.
        scene_id: The scene.
    """
    with np.load(folder / _NAME) as data:
        masks = None
        if "mask_places_n4" in data:
            places, bits, start, made = data["mask_places_n4"], data["mask_bits"], 0, []
            for left, top, height, width in places.tolist():
                size = -(-height * width // 8)
                flat = np.unpackbits(bits[start : start + size], count=height * width).astype(np.bool_)
                made.append(Mask(left, top, flat.reshape(height, width)))
                start += size
            masks = tuple(made)
        return ProposalSet(
            scene_id,
            data["boxes_scene_xyxy"],
            data["objectness_n"],
            data["tile_index_n"],
            str(data["proposer"]),
            data.get("corners_n42"),
            masks,
        )
