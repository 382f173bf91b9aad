"""Evidence packs: what speaks for an answer, in one ZIP that opens without the platform.

Belongs here: gathering pictures and facts of each answer, the HTML page and its JSON. Does not belong here: search.

Of each answer: the crop, the tile it lies in, a heat map of the question over its surroundings, the most similar objects, the documents'
pictures whose captions say the words, and the versions of everything that made it.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import OvdError
from ovd_platform.flow import models, query
from ovd_platform.flow.lineage import lineage
from ovd_platform.flow.scenes import load_tiles
from ovd_platform.flow.stage import current_or_none
from ovd_platform.flow.tables import vector_tables
from ovd_platform.records.prompt import Hit
from ovd_platform.records.window import Window
from ovd_platform.serve.hits import hit_json
from ovd_platform.serve.open_scenes import Shown
from ovd_platform.serve.pictures import crop_picture, encoded, reduced
from ovd_platform.serve.questions import Ask
from ovd_platform.serve.state import Serving

MOST_HITS = 24
_SIMILAR = 4
_CROP_PX = 256
_TILE_PX = 768
_HEAT_STEPS = 9
_HEAT_CONTEXT = 4.0
_FIGURES = 3


@dataclass(slots=True)
class Pack:
    """Files of a pack by name, and the facts of its page."""

    files: dict[str, bytes] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)


def evidence_pack(held: Serving, ask: Ask, hits: Sequence[Hit]) -> bytes:
    """A ZIP with ``index.html``, ``evidence.json`` and PNG pictures.

    Args:
        held: The server's state.
        ask: The question.
        hits: Its answers, best first; the first 24 go in.

    Returns:
        The bytes of the ZIP.
    """
    pack, question = Pack(), ask.question(held.ws)
    heat = _Heat.of(held, question)
    for number, hit in enumerate(hits[:MOST_HITS], start=1):
        _gather(held, pack, ask, hit, f"{number:02d}", heat)
    _documents(held, pack, ask)
    facts = {
        "question": ask.kept(),
        "made_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "release": models.released(held.ws, ask.modality),
        "answers": pack.answers,
        "documents": pack.figures,
        "answers_left_out": max(0, len(hits) - MOST_HITS),
        "rendered": any(hit.rendered for hit in hits),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.html", _page(facts))
        archive.writestr("evidence.json", json.dumps(facts, indent=1, sort_keys=True, default=str))
        for name, data in pack.files.items():
            archive.writestr(name, data)
    return out.getvalue()


def _gather(held: Serving, pack: Pack, ask: Ask, hit: Hit, name: str, heat: "_Heat | None") -> None:
    entry = held.scenes.entry(hit.scene_id, ask.modality)
    facts: dict[str, Any] = {
        **hit_json(hit),
        "position_error_m": entry.record.position_error_m,
        "source": entry.record.uri,
        "pictures": {},
    }
    with held.scenes.borrow(hit.scene_id, ask.modality) as shown:
        pictures = {
            "crop": crop_picture(shown, held.pyramids, hit.box_scene_xyxy, _CROP_PX),
            "tile": _tile_picture(held, shown, ask.modality, hit),
        }
        if heat is not None:
            pictures["heat"], facts["heat"] = heat.picture(held, shown, hit)
    for what, picture in pictures.items():
        facts["pictures"][what] = _add(pack, f"{name}/{what}.png", picture)
    facts["similar"] = [
        _similar(held, pack, one, f"{name}/similar_{i}.png") for i, one in enumerate(_neighbours(held, ask, hit), 1)
    ]
    try:
        facts["lineage"] = lineage(held.ws, hit.proposal_id)
    except OvdError as error:
        facts["lineage"] = {"error": str(error)}
    pack.answers.append(facts)


def _add(pack: Pack, name: str, picture: NDArray[np.uint8]) -> str:
    pack.files[name] = encoded(picture, exact=True)[0]
    return name


def _neighbours(held: Serving, ask: Ask, hit: Hit) -> list[Hit]:
    question = query.Question(modality=ask.modality, liked=(hit.proposal_id,), top=_SIMILAR + 1)
    return [one for one in query.answer(held.ws, question).hits if one.proposal_id != hit.proposal_id][:_SIMILAR]


def _similar(held: Serving, pack: Pack, hit: Hit, name: str) -> dict[str, Any]:
    with held.scenes.borrow(hit.scene_id) as shown:
        picture = crop_picture(shown, held.pyramids, hit.box_scene_xyxy, _CROP_PX // 2)
    return {**hit_json(hit), "picture": _add(pack, name, picture)}


def _tile_picture(held: Serving, shown: Shown, modality: str, hit: Hit) -> NDArray[np.uint8]:
    """The tile an answer lies in, the answer outlined."""
    import cv2

    tiles = {tile.tile_id: tile.core for tile in load_tiles(held.ws, modality, hit.scene_id)}
    record = shown.record
    window = tiles.get(hit.tile_id, Window(0, 0, record.width_px, record.height_px))
    reduction = 1 << max(0, int(np.ceil(np.log2(max(window.width_px, window.height_px) / _TILE_PX))))
    picture = np.ascontiguousarray(reduced(shown, held.pyramids, window, reduction))
    x0, y0, x1, y1 = hit.box_scene_xyxy
    corner = [round(v / reduction) for v in (x0 - window.col_px, y0 - window.row_px, x1 - window.col_px, y1 - window.row_px)]
    for colour, thickness in (((0, 0, 0, 255), 3), ((255, 214, 10, 255), 1)):
        cv2.rectangle(picture, (corner[0] - 3, corner[1] - 3), (corner[2] + 2, corner[3] + 2), colour, thickness)
    return picture


@dataclass(slots=True)
class _Heat:
    """How well windows around an answer fulfil the question."""

    compiled: Any
    encoder: Any

    @classmethod
    def of(cls, held: Serving, question: query.Question) -> "_Heat":
        from ovd_platform.search.ranking import compile_prompt

        version = models.released(held.ws, question.modality)["encoder"]
        encoder, tables = models.encoder(held.ws, question.modality, version), vector_tables(held.ws)
        columns = tables.vector_columns("proposal", question.modality, version)
        background = {name: tables.background("proposal", question.modality, version, name) for name in columns}
        prompt = query.prompt_of(held.ws, question, version)
        return cls(compile_prompt(prompt, encoder.embed_text if encoder.has_language else None, background), encoder)

    def picture(self, held: Serving, shown: Shown, hit: Hit) -> tuple[NDArray[np.uint8], dict[str, float]]:
        """Surroundings of an answer with the question's similarity laid over them, and its extremes."""
        import cv2

        from ovd_platform.search.ranking import similarity

        x0, y0, x1, y1 = hit.box_scene_xyxy
        side = max(24.0, x1 - x0, y1 - y0)
        steps = np.linspace(-0.5, 0.5, _HEAT_STEPS) * (_HEAT_CONTEXT - 1) * side
        centre_x, centre_y = np.meshgrid((x0 + x1) / 2 + steps, (y0 + y1) / 2 + steps)
        half = np.array([x1 - x0, y1 - y0]) / 2
        corners = [centre_x - half[0], centre_y - half[1], centre_x + half[0], centre_y + half[1]]
        boxes_n4 = np.stack(corners, axis=-1).reshape(-1, 4).astype(np.float32)
        profile = held.scenes.profile(shown.record.modality, hit.scene_id)
        visual, language = self.encoder.embed_boxes(shown.scene, boxes_n4, profile)
        vectors = {"visual": visual, **({} if language is None else {"language": language})}
        heat = similarity(self.compiled, {name: vectors[name] for name in self.compiled.columns}).reshape(
            _HEAT_STEPS, _HEAT_STEPS
        )
        span = _HEAT_CONTEXT * side
        box = ((x0 + x1) / 2 - span / 2, (y0 + y1) / 2 - span / 2, (x0 + x1) / 2 + span / 2, (y0 + y1) / 2 + span / 2)
        under = crop_picture(shown, held.pyramids, box, _CROP_PX, context=1.0, outline=False)
        low, high = float(heat.min()), float(heat.max())
        share = (heat - low) / max(high - low, 1e-6)
        # Windows are centred inside the picture: the outermost ones half a window from its edge.
        inner = round(_CROP_PX * (_HEAT_CONTEXT - 1) / _HEAT_CONTEXT)
        grown = cv2.resize(share.astype(np.float32), (inner, inner), interpolation=cv2.INTER_CUBIC)
        edge = (_CROP_PX - inner) // 2
        padded = cv2.copyMakeBorder(grown, edge, _CROP_PX - inner - edge, edge, _CROP_PX - inner - edge, cv2.BORDER_REPLICATE)
        colours = cv2.applyColorMap(np.round(np.clip(padded, 0, 1) * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
        mixed = np.round(0.5 * under[..., :3] + 0.5 * colours).astype(np.uint8)
        return np.dstack([mixed, under[..., 3]]), {"lowest": low, "highest": high}


def _documents(held: Serving, pack: Pack, ask: Ask) -> None:
    """Figures of the documents whose captions say the words, with document and page."""
    import pyarrow.parquet as pq

    from ovd_platform.documents.pairs import pairs_from_table
    from ovd_platform.search.document_examples import matching_captions

    output = current_or_none(held.ws, "shared", "pair_dataset")
    words = " ".join([ask.text, *(one.text for one in ask.phrases if one.weight > 0)]).strip()
    if output is None or not words:
        return
    pairs = pairs_from_table(pq.read_table(output.folder / "pairs.parquet"))
    for i in matching_captions([pair.caption for pair in pairs], words, most=_FIGURES).tolist():
        pair, path = pairs[i], output.folder / "images" / pairs[i].image_path
        if not path.is_file():
            continue
        name = f"documents/{pair.pair_id}.png"
        pack.files[name] = path.read_bytes()
        pack.figures.append(
            {
                "picture": name, "caption": pair.caption, "label": pair.label, "document": pair.document_id,
                "document_version": pair.document_version, "page": pair.page + 1, "confidence": pair.confidence,
                "box_page_xyxy": list(pair.box_page_xyxy),
            }
        )  # fmt: skip


def _page(facts: dict[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("ovd_platform.serve", "templates"), autoescape=True, trim_blocks=True)
    return environment.get_template("evidence.html").render(**facts)


def ranked(hits: Sequence[Hit]) -> list[Hit]:
    """Answers numbered anew from 1."""
    return [replace(hit, rank=rank) for rank, hit in enumerate(hits, start=1)]
