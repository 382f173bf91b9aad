"""Answers as the API gives them, and one answer looked up again by its id.

Belongs here: JSON forms of hits, rows of the tables as hits. Does not belong here: ranking.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ovd_platform.errors import UnknownNameError
from ovd_platform.flow import models
from ovd_platform.flow.tables import vector_tables
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.prompt import Hit
from ovd_platform.stores.tables import scalar_columns, sql_text


def hit_json(hit: Hit) -> dict[str, Any]:
    """One answer; ``id`` names it, ``uri`` stays inside: it is a path of the server."""
    values = asdict(hit)
    del values["uri"]
    return {"id": values.pop("proposal_id"), **values}


def stored_hits(ws: Workspace, modality: str, ids: Sequence[str]) -> list[Hit]:
    """Objects of the released encoder's table by id, in the order asked; score and similarity are 0, no search made them.

    Raises:
        UnknownNameError: If one is not in the table.
        StaleError: If nothing was released or embedded.
    """
    if not ids:
        return []
    version = models.released(ws, modality)["encoder"]
    among = f"key IN ({', '.join(sql_text(one) for one in ids)})"
    rows = vector_tables(ws).read("proposal", modality, version, among, scalar_columns())
    found = {row["key"]: row for row in rows.to_pylist()}
    lost = [one for one in ids if one not in found]
    if lost:
        raise UnknownNameError(
            f"Cannot find {lost[0][:120]!r}: expected the id of an answer of encoder {version}, got another. Search again."
        )
    return [_hit(rank, found[one], version) for rank, one in enumerate(ids, start=1)]


def _hit(rank: int, row: dict[str, Any], version: str) -> Hit:
    return Hit(
        rank=rank, proposal_id=row["key"], scene_id=row["scene_id"], scene_version=row["scene_version"] or "",
        tile_id=row["tile_id"] or "", box_scene_xyxy=(row["x0"], row["y0"], row["x1"], row["y1"]), score=0.0, similarity=0.0,
        objectness=row["objectness"], lonlat=(row["lon"], row["lat"]) if row["lon"] is not None and row["lat"] is not None else None,
        instrument=row["instrument"] or "", acquired_utc=row["acquired_utc"] or "", uri=row["uri"] or "", model_version=version,
        rendered=bool(row["rendered"]),
    )  # fmt: skip
