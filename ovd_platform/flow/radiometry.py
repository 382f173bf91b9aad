"""Radiometry settings of a workspace: which apply to a scene, and whether a model was trained with them.

Belongs here: choosing and comparing. Does not belong here: what the settings do (`raster.presented`, `raster.radiometry`).
"""

from typing import Any

from ovd_platform.config import RadiometryConfig
from ovd_platform.errors import StaleError
from ovd_platform.flow.workspace import Workspace
from ovd_platform.raster.presented import RadiometrySettings


def settings_for(ws: Workspace, modality: str, instrument: str) -> RadiometrySettings:
    """Settings of an instrument: its own, else its modality's, else the defaults."""
    given = ws.config.radiometry
    return RadiometrySettings(**(given.get(instrument) or given.get(modality) or RadiometryConfig()).model_dump())


def settings_of_models(ws: Workspace, modality: str) -> dict[str, Any]:
    """What goes into a model's card: the settings of every instrument the workspace names, and those of the rest."""
    known = sorted({record.instrument for record in ws.scenes(modality)})
    return {name: settings_for(ws, modality, name).to_dict() for name in (*known, modality)}


def takes_shipped_values(ws: Workspace, modality: str) -> bool:
    """Whether every instrument is read as the weights shipped with the package expect it."""
    return all(settings == RadiometrySettings().to_dict() for settings in settings_of_models(ws, modality).values())


def check_trained_with(ws: Workspace, modality: str, instrument: str, card: dict[str, Any], what: str) -> None:
    """Refuse a model that was trained with other values than a scene of this instrument would give it now.

    Args:
        ws: The workspace.
        modality: Of the scene.
        instrument: Of the scene.
        card: The model's card; shipped weights state nothing and were trained with the defaults.
        what: The model, for the message.

    Raises:
        StaleError: If the settings differ.
    """
    stated = card.get("radiometry", {})
    trained = stated.get(instrument) or stated.get(modality) or RadiometrySettings().to_dict()
    wanted = settings_for(ws, modality, instrument).to_dict()
    if trained != wanted:
        changed = ", ".join(
            f"{name} {trained.get(name)} -> {value}" for name, value in wanted.items() if trained.get(name) != value
        )
        raise StaleError(
            f"Cannot use {what} on {instrument}: expected the radiometry it was trained with, got {changed}. "
            "Train again with `ovd train`, or take the setting back."
        )
