"""What is asked of a search: words, chips, or both, with filters."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """Restricts where and when to look; None means no restriction.

    Attributes:
        bbox_lonlat: (west, south, east, north) in degrees; west > east crosses the antimeridian.
        from_utc: Earliest acquisition, ISO 8601.
        to_utc: Latest acquisition, ISO 8601.
        instruments: Instrument ids.
        scene_ids: Only these scenes.
        min_objectness: Proposals below are not looked at, [0, 1].
    """

    bbox_lonlat: tuple[float, float, float, float] | None = None
    from_utc: str | None = None
    to_utc: str | None = None
    instruments: tuple[str, ...] = ()
    scene_ids: tuple[str, ...] = ()
    min_objectness: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A question to the index.

    Attributes:
        text: Words, or "".
        chip_vectors_nd: Unit visual vectors of example chips, shape (N, D), or None.
        negative_vectors_nd: Unit visual vectors of what is not meant, shape (N, D), or None.
        model_version: Encoder version that made the vectors; must equal the table's.
        filter: Where to look.
        text_share: Weight of the words where there are chips too, [0, 1]; None weighs both by their spread over the corpus.
    """

    text: str = ""
    chip_vectors_nd: NDArray[np.float32] | None = None
    negative_vectors_nd: NDArray[np.float32] | None = None
    model_version: str = ""
    filter: SearchFilter = field(default_factory=SearchFilter)
    text_share: float | None = None

    def __post_init__(self) -> None:
        if not self.text and self.chip_vectors_nd is None:
            raise InputError("Cannot search: expected words or at least one example chip, got neither. Give --text or --chip.")


@dataclass(frozen=True, slots=True)
class Hit:
    """Ranked answer of a search.

    Attributes:
        rank: 1 is best.
        proposal_id: The object's id.
        scene_id: The scene.
        scene_version: Version of the scene's pixels.
        tile_id: The tile it lies in.
        box_scene_xyxy: Scene pixels.
        score: Rank value; comparable inside one search only.
        similarity: Cosine to the prompt.
        objectness: Proposer's output, [0, 1].
        lonlat: Centre in degrees, or None without georeference.
        instrument: What measured it.
        acquired_utc: When, or "".
        uri: Where the pixels are.
        model_version: Encoder that made the vector.
        rendered: True if the scene is rendered.
    """

    rank: int
    proposal_id: str
    scene_id: str
    scene_version: str
    tile_id: str
    box_scene_xyxy: tuple[float, float, float, float]
    score: float
    similarity: float
    objectness: float
    lonlat: tuple[float, float] | None
    instrument: str
    acquired_utc: str
    uri: str
    model_version: str
    rendered: bool = False
