"""Search a workspace by words, by example chips, or both; contact sheets of the answers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError
from ovd_platform.flow import models
from ovd_platform.flow.document_examples import examples_of
from ovd_platform.flow.radiometry import settings_for
from ovd_platform.flow.scenes import load_profile, open_registered
from ovd_platform.flow.serving import served_encoder
from ovd_platform.flow.stage import current_or_none
from ovd_platform.flow.tables import vector_tables
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.prompt import Answer, Hit, Prompt, SearchFilter, Words

if TYPE_CHECKING:
    from ovd_platform.embed.encoder import Encoder
    from ovd_platform.raster.radiometry import InstrumentProfile
    from ovd_platform.raster.scene import Scene

_WORDS_BESIDE_DOCUMENTS = 0.25
"""Weight of the text tower where the documents show what is asked."""
_PICTURE_BESIDE_MARKS = 0.3
CHIP_OF_SCENE = re.compile(r"^(?P<scene>[a-zA-Z0-9_.-]+):(?P<box>-?[\d.]+(?:,-?[\d.]+){3})$")


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks.

    Attributes:
        text: Words, or "".
        chips: Example chips: image files, or ``scene_id:x0,y0,x1,y1`` for a box of a registered scene.
        not_chips: Examples of what is not meant, in the same forms.
        modality: Which index is asked.
        top: Number of hits at most.
        filter: Where and when to look.
        collapse_revisits: One hit per place over all times.
        documents: Let words be looked up in the documents: pictures with such captions join as examples.
        texts: Further phrases with weights; negative ones say what is not meant.
        chip_weights: Weight of each chip, above 0; empty weighs all alike.
        not_chip_weights: Weight of each negative chip, above 0; empty weighs all alike.
        liked: Proposal ids of answers marked right; no pixel is read for them.
        disliked: Proposal ids of answers marked wrong.
        two_stage: Let tiles be searched first where the table is too large to be scanned.
        level: ``proposal``; ``grid`` finds places that no proposal covers (where `embed.grid_px` stores them); ``tile``.
    """

    text: str = ""
    chips: tuple[str, ...] = ()
    not_chips: tuple[str, ...] = ()
    modality: str = "optical"
    top: int = 20
    filter: SearchFilter = field(default_factory=SearchFilter)
    collapse_revisits: bool = False
    documents: bool = True
    texts: tuple[Words, ...] = ()
    chip_weights: tuple[float, ...] = ()
    not_chip_weights: tuple[float, ...] = ()
    liked: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    two_stage: bool = True
    level: Literal["tile", "grid", "proposal"] = "proposal"


def search(ws: Workspace, question: Question) -> list[Hit]:
    """Answer a question from the stored vectors; no scene pixel is read (only those of the example chips).

    Raises:
        StaleError: If nothing was released or embedded yet.
        InputError: If the question is empty, a chip cannot be found, or words meet an encoder without a text tower.
    """
    return list(answer(ws, question).hits)


def answer(ws: Workspace, question: Question) -> Answer:
    """Like `search`, with the plan: what was compared, how long it took, what the marks weigh."""
    from ovd_platform.search import query

    version = served_encoder(ws, question.modality)
    encoder = models.encoder(ws, question.modality, version)
    return query.answer(
        vector_tables(ws), prompt_of(ws, question, version), encoder.embed_text if encoder.has_language else None,
        modality=question.modality, top=question.top, two_stage=question.two_stage,
        collapse_revisits=question.collapse_revisits, level=question.level,
    )  # fmt: skip


def prompt_of(ws: Workspace, question: Question, version: str) -> Prompt:
    """A question with its chips and marks turned into vectors of one encoder version.

    Raises:
        InputError: If the question is empty, or a chip or a marked answer cannot be found.
    """
    encoder = models.encoder(ws, question.modality, version)
    chips = chip_vectors(ws, question.modality, encoder, question.chips)
    shown = document_examples(ws, question)
    return Prompt(
        text=question.text,
        texts=question.texts,
        chip_vectors_nd=chips if shown is None else shown,
        chip_weights_n=_weights(question.chip_weights) if shown is None or not question.liked else _faint(shown),
        text_share=None if shown is None else _WORDS_BESIDE_DOCUMENTS,
        negative_vectors_nd=chip_vectors(ws, question.modality, encoder, question.not_chips),
        negative_weights_n=_weights(question.not_chip_weights),
        liked_nd=stored_vectors(ws, question.modality, version, question.liked),
        disliked_nd=stored_vectors(ws, question.modality, version, question.disliked),
        model_version=version,
        filter=question.filter,
    )


def _weights(weights: tuple[float, ...]) -> NDArray[np.float32] | None:
    return np.asarray(weights, dtype=np.float32) if weights else None


def _faint(shown_nd: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights of the documents' pictures beside answers a person marked: those say more."""
    return np.full(len(shown_nd), _PICTURE_BESIDE_MARKS, dtype=np.float32)


def stored_vectors(ws: Workspace, modality: str, version: str, proposal_ids: Sequence[str]) -> NDArray[np.float32] | None:
    """Visual vectors of proposals as they are in the tables, shape (N, D), in the order asked; None for no ids.

    Raises:
        InputError: If one is not in the table.
    """
    from ovd_platform.stores.tables import sql_text
    from ovd_platform.stores.vector_rows import vectors_of

    if not proposal_ids:
        return None
    among = f"key IN ({', '.join(sql_text(one) for one in proposal_ids)})"
    rows = vector_tables(ws).read("proposal", modality, version, among, ["key", "visual"])
    place = {key: i for i, key in enumerate(rows["key"].to_pylist())}
    lost = [one for one in proposal_ids if one not in place]
    if lost:
        raise InputError(
            f"Cannot use the marks {lost[:3]}: expected proposals in the table of encoder {version}, got none of that id. "
            "Scenes may have been embedded again since: search again and mark the new answers."
        )
    return vectors_of(rows, "visual")[[place[one] for one in proposal_ids]]


def document_examples(ws: Workspace, question: Question) -> NDArray[np.float32] | None:
    """Vectors of the documents' pictures that join a question in words, shape (N, D), or None; examples of one's own come first."""
    if not question.documents or not question.text or question.chips or question.texts:
        return None
    return examples_of(ws, question.modality, served_encoder(ws, question.modality), question.text)


def chip_vectors(ws: Workspace, modality: str, encoder: "Encoder", chips: tuple[str, ...]) -> NDArray[np.float32] | None:
    """Visual vectors of example chips, shape (N, D), or None for no chips.

    Raises:
        InputError: If a chip is neither a file nor a box of a registered scene.
    """
    if not chips:
        return None
    return np.concatenate([_chip_vector(ws, modality, encoder, chip) for chip in chips])


def _chip_vector(ws: Workspace, modality: str, encoder: "Encoder", chip: str) -> NDArray[np.float32]:
    match = CHIP_OF_SCENE.match(chip)
    if match and not Path(chip).exists():
        scene_id = match["scene"]
        box = np.asarray([[float(value) for value in match["box"].split(",")]], dtype=np.float32)
        with open_registered(ws, modality, scene_id) as scene:
            visual, _ = encoder.embed_boxes(scene, box, load_profile(ws, modality, scene_id))
        return visual
    path = Path(chip)
    if not path.is_file():
        raise InputError(
            f"Cannot use the example {chip!r}: expected an image file or SCENE:x0,y0,x1,y1, found neither. "
            "`ovd status` lists the scenes."
        )
    return _file_vector(ws, modality, encoder, path)


def _file_vector(ws: Workspace, modality: str, encoder: "Encoder", path: Path) -> NDArray[np.float32]:
    from ovd_platform.models.stems import band_keys
    from ovd_platform.records.window import Window

    with _example(ws, modality, path) as scene:
        record = scene.record
        if record.width_px * record.height_px > 4_000_000:
            raise InputError(
                f"Cannot use {path} as an example: expected a chip below 4 Mpx, got {record.area_mpx:.0f}. Cut it out."
            )
        chip = scene.read(Window(0, 0, record.width_px, record.height_px))
        profile = _profile_for(ws, modality, record.instrument) or _own_profile(ws, modality, path)
    return encoder.embed_images([(chip.pixels_chw, chip.valid_hw, profile, band_keys(record))])


def _profile_for(ws: Workspace, modality: str, instrument: str) -> "InstrumentProfile | None":
    """A normalisation profile of the same instrument in this workspace, so that the example looks like the index."""
    for record in ws.scenes(modality):
        if record.instrument == instrument and current_or_none(ws, modality, "tiles", record.scene_id):
            return load_profile(ws, modality, record.scene_id)
    return None


def _own_profile(ws: Workspace, modality: str, path: Path) -> "InstrumentProfile":
    from ovd_platform.tiles.scan import scan_scene

    with _example(ws, modality, path) as scene:
        settings = settings_for(ws, modality, scene.record.instrument)
        return scan_scene(
            scene, core_px=512, halo_px=0, min_valid_fraction=0.0, min_edge_density=0.0, radiometry=settings
        ).profile


def _example(ws: Workspace, modality: str, path: Path) -> "Scene":
    """A file somebody hands in, in the planes its instrument's radiometry asks for."""
    from ovd_platform.raster.presented import present
    from ovd_platform.raster.scene import open_scene

    scene = open_scene(str(path))
    return present(scene, settings_for(ws, modality, scene.record.instrument))


def write_sheet(ws: Workspace, question: Question, hits: list[Hit], path: Path) -> Path:
    """Write the contact sheet of an answer; returns its path."""
    from ovd_platform.evaluate.pictures import crop_rgb
    from ovd_platform.search.contact_sheet import write_contact_sheet

    def crop(hit: Hit) -> NDArray[np.uint8]:
        with open_registered(ws, question.modality, hit.scene_id) as scene:
            return crop_rgb(scene, load_profile(ws, question.modality, hit.scene_id), hit.box_scene_xyxy)

    title = question.text or f"like {', '.join(Path(chip).name for chip in question.chips)}"
    return write_contact_sheet(path, hits, crop, title=title.encode("ascii", "replace").decode())
