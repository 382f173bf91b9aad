"""The proposers that ovd.yaml names. Belongs here: from settings to a proposer and its version; how one works is its own module's."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovd_platform.config import ProposerConfig
from ovd_platform.errors import InputError

if TYPE_CHECKING:
    from ovd_platform.propose.network import Detector
    from ovd_platform.propose.proposer import Proposer


def entries_for(settings: Sequence[ProposerConfig], modality: str) -> tuple[ProposerConfig, ...]:
    """The entries that look at scenes of a modality; CFAR looks at SAR only."""
    return tuple(
        entry for entry in settings if entry.modality in (None, modality) and (entry.kind != "cfar" or modality == "sar")
    )


def chosen_proposer(settings: Sequence[ProposerConfig], released: "Proposer", home: Path) -> "Proposer":
    """The proposer of a workspace: the release's own where nothing is named, else what is named, fused.

    Args:
        settings: Entries of `propose.proposers`.
        released: The release's own proposer; an entry of kind ``release`` stands for it.
        home: Folder that relative paths start at.

    Raises:
        InputError: If an entry cannot be made.
    """
    if not settings:
        return released
    made = [released if entry.kind == "release" else _made(entry, home) for entry in settings]
    if len(made) == 1 and settings[0].weight == 1.0:
        return made[0]
    from ovd_platform.propose.fuse import FusedProposer

    return FusedProposer(made, [entry.weight for entry in settings])


def chosen_version(settings: Sequence[ProposerConfig], home: Path) -> str:
    """Hash of the entries and of the files they name; "" where nothing is named."""
    if not settings:
        return ""
    return _digest([_version(entry, home) for entry in settings])


def _made(entry: ProposerConfig, home: Path) -> "Proposer":
    if entry.kind == "cfar":
        from ovd_platform.propose.cfar import CfarProposer, CfarSettings

        try:
            return CfarProposer(CfarSettings(**entry.settings))
        except TypeError as error:
            raise InputError(f"Cannot make CFAR: expected known settings, got {entry.settings}: {error}.") from error
    from ovd_platform.propose.network import NetworkProposer

    detector = _detector(entry, home)
    return NetworkProposer(
        detector, _version(entry, home), stem=entry.stem, scale=entry.scale, batch=entry.batch, floor=entry.min_objectness
    )


def _detector(entry: ProposerConfig, home: Path) -> "Detector":
    checkpoint = _path(entry.checkpoint, home)
    try:
        if entry.kind == "torchvision":
            from ovd_platform.propose.torchvision_detectors import load_torchvision

            return load_torchvision(_needed(entry, "model"), Path(_needed(entry, "checkpoint", checkpoint)))
        if entry.kind == "transformers":
            from ovd_platform.propose.detr import load_detr

            return load_detr(checkpoint, entry.settings or None)
        if entry.kind == "sam":
            from ovd_platform.propose.sam import load_sam

            return load_sam(_needed(entry, "model"), Path(_needed(entry, "checkpoint", checkpoint)), **entry.settings)
        from ovd_platform.propose.detectron import load_detectron

        config = Path(_needed(entry, "config", _path(entry.config, home)))
        overrides = tuple(str(part) for pair in entry.settings.items() for part in pair)
        return load_detectron(config, Path(checkpoint) if checkpoint else None, overrides)
    except TypeError as error:
        raise InputError(
            f"Cannot make a proposer of kind {entry.kind}: expected known settings, got {entry.settings}: {error}."
        ) from error


def _needed(entry: ProposerConfig, name: str, value: str | None = None) -> str:
    found = value if value is not None else getattr(entry, name)
    if not found:
        raise InputError(f"Cannot make a proposer of kind {entry.kind}: expected `{name}`, got none. Add it in ovd.yaml.")
    return str(found)


def _path(text: str | None, home: Path) -> str | None:
    """A path of the workspace where there is one, else the text as it is (a name in the local cache)."""
    if text is None:
        return None
    path = Path(text) if Path(text).is_absolute() else home / text
    return str(path) if path.exists() else text


def _version(entry: ProposerConfig, home: Path) -> str:
    """Kind and hash of settings and of the bytes they name."""
    facts: dict[str, Any] = entry.model_dump(exclude={"batch", "weight"})
    for name in ("checkpoint", "config"):
        path = Path(_path(getattr(entry, name), home) or "")
        files = sorted(path.glob("*")) if path.is_dir() else [path] if path.is_file() else []
        facts[name] = [_file_digest(file) for file in files if file.is_file()] or getattr(entry, name)
    return f"{entry.kind}-{_digest(facts)}"


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:10]
