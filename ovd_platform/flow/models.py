"""Which model versions a workspace uses, and the loaded models behind them (kept for the life of the process)."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovd_platform.errors import InputError, StaleError
from ovd_platform.flow.radiometry import settings_of_models
from ovd_platform.flow.stage import current
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import content_hash, file_hash, read_json, write_json

if TYPE_CHECKING:
    from ovd_platform.detect.vocabulary import Vocabulary
    from ovd_platform.embed.encoder import Encoder
    from ovd_platform.propose.proposer import Proposer

STARTER_FOLDER = Path(__file__).parent.parent / "starter"
NO_MODEL = "none"


@dataclass(frozen=True, slots=True)
class Starter:
    """Weights shipped with the package, trained on the rendered world.

    Attributes:
        folder: Folder with weights and card, or None if this kind ships none.
    """

    folder: Path | None

    @classmethod
    def of(cls, kind: str) -> "Starter":
        """Starter weights of a kind, for example ``optical-backbone``."""
        folder = STARTER_FOLDER / kind
        return cls(folder if (folder / "card.json").is_file() else None)

    def state(self) -> dict[str, Any] | None:
        """The tensors, float32, or None if this kind ships none."""
        if self.folder is None:
            return None
        from ovd_platform.stores.models import load_model_dir

        return load_model_dir(self.folder)[0]


def released(ws: Workspace, modality: str) -> dict[str, str]:
    """The promoted set: versions by component, with its own ``version``.

    Raises:
        StaleError: If nothing was released yet.
    """
    output = current(ws, modality, "release")
    values: dict[str, str] = read_json(output.folder / "release.json")
    return {**values, "version": output.version}


def encoder_id(ws: Workspace, modality: str, backbone: str, clip: str) -> str:
    """Version of the encoder made of a backbone, a domain CLIP (or `NO_MODEL`) and the way regions are embedded; remembered so that it can be loaded."""
    settings = ws.config.embed
    if settings.open_clip is not None:
        return _open_clip_id(ws, modality)
    dense = {} if settings.regions == "crop" else {"regions": settings.regions, "roi_scale": settings.roi_scale}
    version = content_hash("encoder", modality, backbone, clip, *([dense] if dense else []))
    path = ws.home.models / f"{modality}-encoder" / f"{version}.json"
    if not path.is_file():
        write_json(path, {"backbone": backbone, "domain_clip": clip, **dense})
    return version


def _open_clip_id(ws: Workspace, modality: str) -> str:
    """Version of the open_clip encoder that ovd.yaml names."""
    settings = ws.config.embed
    weights = ws.home.root / (settings.open_clip_weights or "")
    if not weights.is_file():
        raise InputError(
            f"Cannot use open_clip {settings.open_clip}: expected its weights in `embed.open_clip_weights`, got {weights}. Name a local file."
        )
    radiometry = settings_of_models(ws, modality)
    version = content_hash("encoder", modality, settings.open_clip, file_hash(weights), settings.open_clip_bands, radiometry)
    path = ws.home.models / f"{modality}-encoder" / f"{version}.json"
    if not path.is_file():
        parts = {
            "open_clip": settings.open_clip,
            "weights": str(weights),
            "bands": settings.open_clip_bands,
            "domain_clip": NO_MODEL,
        }
        write_json(path, {**parts, "radiometry": radiometry})
    return version


def card(ws: Workspace, modality: str, kind: str, version: str) -> dict[str, Any]:
    """Card of a trained model, ``backbone``, ``domain_clip`` or ``proposer``."""
    found: dict[str, Any] = read_json(ws.home.models / f"{modality}-{kind}" / version / "card.json")
    return found


def encoder_card(ws: Workspace, modality: str, version: str) -> dict[str, Any]:
    """Card of the backbone behind an encoder version; of an open_clip model, the facts it was registered with."""
    parts: dict[str, Any] = read_json(ws.home.models / f"{modality}-encoder" / f"{version}.json")
    if "open_clip" in parts:
        return parts
    return card(ws, modality, "backbone", parts["backbone"])


def encoder(ws: Workspace, modality: str, version: str) -> "Encoder":
    """The loaded encoder of a version."""
    return _encoder(ws.home.models, modality, version)


@lru_cache(maxsize=4)
def _encoder(models: Path, modality: str, version: str) -> "Encoder":
    from ovd_platform.embed.encoder import load_encoder
    from ovd_platform.stores.models import load_model

    parts = read_json(models / f"{modality}-encoder" / f"{version}.json")
    if "open_clip" in parts:
        from ovd_platform.embed.open_clip_encoder import OpenClipEncoder

        return OpenClipEncoder(parts["open_clip"], parts["weights"], adapter=parts["bands"], version=version)
    backbone = load_model(models, f"{modality}-backbone", parts["backbone"])
    clip = None
    if parts["domain_clip"] != NO_MODEL:
        clip = load_model(models, f"{modality}-domain_clip", parts["domain_clip"])
    return load_encoder(
        backbone[0], clip[0] if clip else None, version=version,
        regions=parts.get("regions", "crop"), roi_scale=parts.get("roi_scale", 0.5),
    )  # fmt: skip


def proposer(ws: Workspace, modality: str, version: str) -> "Proposer":
    """The loaded proposer of a version, fused with what ovd.yaml names; SAR versions that begin with ``cfar`` are settings."""
    from ovd_platform.propose.chosen import chosen_proposer, entries_for

    settings = ws.config.propose
    released = _proposer(ws.home.models, modality, version, settings.cfar_false_alarm_rate)
    return chosen_proposer(entries_for(settings.proposers, modality), released, ws.home.root)


@lru_cache(maxsize=4)
def _proposer(models: Path, modality: str, version: str, false_alarm_rate: float) -> "Proposer":
    from ovd_platform.propose.cfar import CfarProposer, CfarSettings
    from ovd_platform.propose.light import LightProposer
    from ovd_platform.stores.models import load_model

    if version.startswith("cfar"):
        return CfarProposer(CfarSettings(false_alarm_rate=false_alarm_rate))
    state, card = load_model(models, f"{modality}-proposer", version)
    return LightProposer(state, card, version)


def vocabulary(ws: Workspace) -> "Vocabulary":
    """The current vocabulary."""
    from ovd_platform.detect.vocabulary import load_vocabulary

    return load_vocabulary(current(ws, "shared", "vocabulary").folder / "vocabulary.yaml")


def calibration_folder(ws: Workspace, modality: str, version: str) -> Path:
    """Where a calibration is kept for as long as a release may name it; stage outputs of older workspaces are looked through."""
    kept = ws.home.models / f"{modality}-calibration" / version
    if not kept.is_dir():
        for folder in sorted((ws.home.stage(modality, "calibration") / "all").glob("*/")):
            record = folder / "stage.json"
            if record.is_file() and read_json(record)["version"] == version:
                return folder
    return kept


def calibration(ws: Workspace, modality: str, version: str) -> tuple[Any, Any]:
    """Calibration of a version and the text vectors it was fitted with; (None, None) where nothing could be calibrated."""
    import numpy as np

    from ovd_platform.detect.calibration import load_calibration

    if version == NO_MODEL:
        return None, None
    folder = calibration_folder(ws, modality, version)
    if folder.is_dir():
        text = np.load(folder / "text_vectors.npy") if (folder / "text_vectors.npy").is_file() else None
        return load_calibration(folder), text
    raise StaleError(f"Cannot load calibration {version} of {modality}: expected it among the stage outputs. Run `ovd train`.")
