"""Addresses of searching: ask, look closer at an answer, give examples, mark, keep as a class.

Belongs here: parameters and the shape of answers. Does not belong here: search itself (`flow.query`, `flow.saved_classes`, `flow.feedback`).
"""

import time
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from ovd_platform.errors import OvdError
from ovd_platform.flow import feedback, models, query
from ovd_platform.flow import saved_classes as classes
from ovd_platform.flow.lineage import lineage
from ovd_platform.records.prompt import SearchFilter
from ovd_platform.serve.hits import hit_json, stored_hits
from ovd_platform.serve.questions import Ask, Example, MarkRequest, Modality, SaveRequest
from ovd_platform.serve.scene_routes import scene_json
from ovd_platform.serve.state import Serving, serving
from ovd_platform.serve.uploads import keep_upload, upload_picture

router = APIRouter(prefix="/api", tags=["search"])
Held = Annotated[Serving, Depends(serving)]
_SIMILAR = 12


@router.post("/search")
def search(held: Held, ask: Ask) -> Response:
    """Find objects by words, by example, by both; marked answers refine. No scene pixel is read but those of the examples."""
    started = time.perf_counter()
    question = ask.question(held.ws)
    found = query.answer(held.ws, question)
    shown = query.document_examples(held.ws, question)
    release = models.released(held.ws, ask.modality)
    values = {
        "hits": [hit_json(hit) for hit in found.hits],
        "plan": asdict(found.plan),
        "document_pictures": 0 if shown is None else len(shown),
        "encoder": release["encoder"],
        "release": release["version"],
        "verdicts": feedback.last_verdicts(held.ws, ask.modality, ask.text.strip()) if ask.text.strip() else {},
        "seconds": round(time.perf_counter() - started, 4),
    }
    return JSONResponse(values, headers={"Cache-Control": "no-store"})


@router.get("/hits/{modality}/{hit_id:path}")
def hit(held: Held, modality: Modality, hit_id: str) -> dict[str, Any]:
    """One answer with everything behind it: scene, models, runs (`ovd lineage`)."""
    found = stored_hits(held.ws, modality, [hit_id])[0]
    entry = held.scenes.entry(found.scene_id, modality)
    try:
        behind: dict[str, Any] = lineage(held.ws, hit_id)
    except OvdError as error:
        behind = {"error": str(error)}
    return {"hit": hit_json(found), "scene": scene_json(entry), "lineage": without_paths(behind)}


def without_paths(values: Any) -> Any:
    """Lineage without paths of the server: they are nobody's business on the other side of the address."""
    if isinstance(values, dict):
        return {name: without_paths(one) for name, one in values.items() if name not in ("uri", "folder", "path")}
    if isinstance(values, list):
        return [without_paths(one) for one in values]
    return values


@router.get("/similar/{modality}/{hit_id:path}")
def similar(held: Held, modality: Modality, hit_id: str, top: Annotated[int, Query(ge=1, le=200)] = _SIMILAR) -> dict[str, Any]:
    """More like this: the nearest objects by looks, the object itself left out."""
    question = query.Question(modality=modality, liked=(hit_id,), top=top + 1, filter=SearchFilter())
    found = query.answer(held.ws, question)
    others = [one for one in found.hits if one.proposal_id != hit_id][:top]
    return {"hits": [hit_json(replace(one, rank=rank)) for rank, one in enumerate(others, start=1)]}


@router.post(
    "/uploads", openapi_extra={"requestBody": {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}}
)
async def upload(held: Held, request: Request) -> dict[str, Any]:
    """Take an example: the bytes of a PNG, JPEG, TIFF, JPEG 2000 or NITF chip below 4 Mpx and 32 MiB, as the body."""
    data = await request.body()
    return await run_in_threadpool(keep_upload, held.ws, data)


@router.get("/uploads/{name}", response_class=Response)
def upload_shown(held: Held, name: str) -> Response:
    """An upload as a small picture."""
    data, media_type = upload_picture(held.ws, name)
    return Response(data, media_type=media_type, headers={"Cache-Control": "private, max-age=31536000, immutable"})


@router.post("/feedback")
def mark(held: Held, request: MarkRequest) -> dict[str, Any]:
    """Mark an answer right or wrong, or withdraw a mark; kept as a record."""
    found = stored_hits(held.ws, request.ask.modality, [request.id])[0]
    kept = feedback.keep_mark(held.ws, request.ask.modality, found, request.verdict, request.ask.kept())
    return {"made_utc": kept.made_utc, "verdict": kept.verdict, "id": kept.proposal_id}


@router.get("/feedback/{modality}")
def marks(held: Held, modality: Modality) -> dict[str, Any]:
    """Every mark that was made, oldest first."""
    return {"marks": [asdict(one) for one in feedback.marks(held.ws, modality)]}


@router.get("/classes/{modality}")
def kept_classes(held: Held, modality: Modality) -> dict[str, Any]:
    """Searches that were kept as classes."""
    return {"classes": [class_json(one) for one in classes.saved_classes(held.ws, modality)]}


@router.post("/classes")
def save(held: Held, request: SaveRequest) -> dict[str, Any]:
    """Keep a question with its marks as a class; the graph fits it, and looks for it in new scenes if it is watched."""
    kept = classes.save_class(held.ws, request.name, request.ask.question(held.ws), watch=request.watch)
    return class_json(kept)


@router.delete("/classes/{modality}/{name}")
def forget(held: Held, modality: Modality, name: str) -> dict[str, Any]:
    """Forget a kept class."""
    classes.remove_class(held.ws, modality, name)
    return {"forgotten": name}


@router.get("/alerts/{modality}")
def alerts(held: Held, modality: Modality, since: Annotated[str, Query(max_length=40)] = "") -> dict[str, Any]:
    """What was found of watched classes, newest look first; `since` is a time in ISO 8601."""
    found = classes.alerts(held.ws, modality, since_utc=since)
    return {"alerts": [{"looked_utc": moment, **asdict(detection)} for moment, detection in found]}


def class_json(kept: classes.SavedClass) -> dict[str, Any]:
    """A kept class, and the question that asks for it again."""
    examples = [Example(scene=scene, box=box) for scene, box in kept.right]
    against = [Example(scene=scene, box=box) for scene, box in kept.wrong]
    return {
        "name": kept.name, "modality": kept.modality, "watch": kept.watch, "saved_utc": kept.saved_utc,
        "texts": [asdict(words) for words in kept.texts], "right": len(kept.right), "wrong": len(kept.wrong), "chips": len(kept.chips),
        "examples": [one.model_dump(mode="json", exclude_none=True) for one in examples[:64]],
        "against": [one.model_dump(mode="json", exclude_none=True) for one in against[:64]],
    }  # fmt: skip
