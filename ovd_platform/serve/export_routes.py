"""Addresses that give answers as files: GeoJSON, COCO, evidence pack.

Belongs here: choosing the answers and naming the file. Does not belong here: the formats (`search.answers`, `evidence`).
"""

import json
import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from ovd_platform.errors import UnknownNameError
from ovd_platform.flow import models, query
from ovd_platform.records.prompt import Hit
from ovd_platform.search.answers import hits_to_coco, hits_to_geojson
from ovd_platform.serve.evidence import evidence_pack, ranked
from ovd_platform.serve.questions import ExportRequest
from ovd_platform.serve.state import Serving, serving

router = APIRouter(prefix="/api", tags=["export"])
Held = Annotated[Serving, Depends(serving)]


@router.post("/export", response_class=Response)
def export(held: Held, request: ExportRequest) -> Response:
    """Answers as a file: `geojson` (RFC 7946, lon lat), `coco` (images are whole scenes), `evidence` (ZIP with page, pictures, facts)."""
    hits, ask = _chosen(held, request), request.ask
    stem = re.sub(r"[^a-z0-9]+", "-", ask.text.lower()).strip("-")[:40] or "by-example"
    if request.format == "evidence":
        return _file(evidence_pack(held, ask, hits), "application/zip", f"{stem}.zip")
    release = models.released(held.ws, ask.modality)
    info = {"question": ask.kept(), "release": release["version"], "encoder": release["encoder"]}
    if request.format == "geojson":
        values: dict[str, Any] = {**hits_to_geojson(hits), "ovd": info}
        return _file(json.dumps(values, allow_nan=False).encode(), "application/geo+json", f"{stem}.geojson")
    scenes = [held.scenes.entry(name, ask.modality).record for name in sorted({hit.scene_id for hit in hits})]
    coco = hits_to_coco(hits, scenes, ask.text.strip() or "by example", info)
    return _file(json.dumps(coco, allow_nan=False).encode(), "application/json", f"{stem}-coco.json")


def _chosen(held: Serving, request: ExportRequest) -> list[Hit]:
    """The question's answers, or those of them that were named, in their order."""
    found = query.answer(held.ws, request.ask.question(held.ws)).hits
    if not request.ids:
        return list(found)
    wanted = set(request.ids)
    chosen = [hit for hit in found if hit.proposal_id in wanted]
    lost = wanted - {hit.proposal_id for hit in chosen}
    if lost:
        raise UnknownNameError(
            f"Cannot export {sorted(lost)[0][:120]!r}: expected an answer of this question, got another. Search again, then export."
        )
    return ranked(chosen)


def _file(data: bytes, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(data, media_type=media_type, headers=headers)
