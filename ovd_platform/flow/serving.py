"""Which encoder version answers searches while a new one is being filled in.

Belongs here: the switch. Does not belong here: which version is released (`models`), the tables (`stores.tables`).

A new release embeds scene after scene beside the old vectors. Until its table holds every scene the served table holds, the old version
answers; then the pointer moves, in one rename, and the next question is answered by the new one. Nothing is ever compared across versions.
"""

import logging

from ovd_platform.errors import StaleError
from ovd_platform.flow import models
from ovd_platform.flow.tables import vector_tables
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import read_json, write_json

_LOG = logging.getLogger(__name__)


def served_encoder(ws: Workspace, modality: str) -> str:
    """Encoder version whose vectors answer searches now; moves to the released one once that holds everything.

    Raises:
        StaleError: If nothing was released yet.
    """
    released = models.released(ws, modality)["encoder"]
    pointer = ws.home.root / "serving" / f"{modality}.json"
    served = str(read_json(pointer)["encoder"]) if pointer.is_file() else released
    tables = vector_tables(ws)
    if served != released:
        lacking = _scenes(ws, modality, served) - _scenes(ws, modality, released)
        known = {record.scene_id for record in ws.scenes(modality)}
        if lacking & known and tables.has("proposal", modality, served):
            _LOG.info("%s searches are answered by encoder %s: %s lacks %d scenes", modality, served, released, len(lacking))
            return served
    if (served != released or not pointer.is_file()) and tables.has("proposal", modality, released):
        write_json(pointer, {"encoder": released})
    return released


def retire_encoder(ws: Workspace, modality: str, version: str) -> int:
    """Drop the vectors of an encoder version that no longer answers.

    Returns:
        Tables dropped.

    Raises:
        StaleError: If that version is the released or the serving one.
    """
    if version in (models.released(ws, modality)["encoder"], served_encoder(ws, modality)):
        raise StaleError(
            f"Cannot retire encoder {version} of {modality}: expected one that answers no search, got a live one. Switch first."
        )
    return vector_tables(ws).drop(modality, version)


def _scenes(ws: Workspace, modality: str, version: str) -> set[str]:
    return set(vector_tables(ws).scene_versions("proposal", modality, version))
