"""Trained weights with their cards: safetensors + `card.json` in ``models/<kind>/<version>/``.

Belongs here: saving and loading. Does not belong here: network definitions (models) and recipes (learn).
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ovd_platform.errors import StaleError
from ovd_platform.stores.home import content_hash, file_hash, write_json

_WEIGHTS = "model.safetensors"
_CARD = "card.json"


def save_model(models: Path, kind: str, state: dict[str, torch.Tensor], card: dict[str, Any]) -> str:
    """Save weights with their card.

    Args:
        models: The workspace's models folder.
        kind: For example ``optical-backbone``.
        state: Tensors by name.
        card: JSON-ready facts: recipe, seed, data versions, scores.

    Returns:
        The version: hash of weights and recipe (`card["recipe"]`), 16 hex digits.
    """
    folder = models / kind
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".saving-{content_hash(card)}.safetensors"
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, str(temporary))
    version = content_hash(file_hash(temporary), card.get("recipe", {}))
    final = folder / version
    final.mkdir(exist_ok=True)
    temporary.replace(final / _WEIGHTS)
    write_json(final / _CARD, {**card, "kind": kind, "version": version})
    return version


def save_model_dir(folder: Path, state: dict[str, torch.Tensor], card: dict[str, Any]) -> Path:
    """Save weights in half precision with their card into a folder of their own (starter weights); returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in halves.items()}, str(folder / _WEIGHTS))
    write_json(folder / _CARD, card)
    return folder


def load_model(models: Path, kind: str, version: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Load one version.

    Raises:
        StaleError: If it does not exist.
    """
    return load_model_dir(models / kind / version)


def load_model_dir(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Load weights and card from a folder; half-precision weights come back as float32.

    Raises:
        StaleError: If the folder holds no model.
    """
    weights = folder / _WEIGHTS
    if not weights.is_file():
        raise StaleError(
            f"Cannot load model {folder}: expected {_WEIGHTS} in it. Train it with `ovd train`, or correct the path."
        )
    state = {
        name: tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
        for name, tensor in load_file(str(weights)).items()
    }
    card: dict[str, Any] = json.loads((folder / _CARD).read_text())
    return state, card
