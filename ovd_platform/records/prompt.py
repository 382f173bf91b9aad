"""What is asked of a search: words, chips, or both, with filters."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError, ShapeError

Range = tuple[float, float]
LonLatRing = tuple[tuple[float, float], ...]
LonLatPolygon = tuple[LonLatRing, ...]


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
        area_lonlat: Polygons, any of which may hold a hit's centre; each an exterior ring and its holes, (lon, lat) in degrees. Rings go
            the shorter way between neighbours, so that they may cross the antimeridian; a ring once around the globe holds the pole
            on its side.
        gsd_m: Lowest and highest ground sample distance, metres.
        off_nadir_deg: Lowest and highest view angle.
        sun_elevation_deg: Lowest and highest sun.
        incidence_deg: Lowest and highest SAR incidence angle.
        orbits: ``ascending``, ``descending`` or both.
        min_score: Answers with a lower score are left out; None keeps all.
    """

    bbox_lonlat: tuple[float, float, float, float] | None = None
    from_utc: str | None = None
    to_utc: str | None = None
    instruments: tuple[str, ...] = ()
    scene_ids: tuple[str, ...] = ()
    min_objectness: float = 0.0
    area_lonlat: tuple[LonLatPolygon, ...] = ()
    gsd_m: Range | None = None
    off_nadir_deg: Range | None = None
    sun_elevation_deg: Range | None = None
    incidence_deg: Range | None = None
    orbits: tuple[str, ...] = ()
    min_score: float | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """One phrase of a question.

    Attributes:
        text: The phrase.
        weight: Share among the phrases; below 0 it says what is not meant.
    """

    text: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.text.strip() or not math.isfinite(self.weight) or self.weight == 0:
            raise InputError(
                f"Cannot ask for {self.text!r} with weight {self.weight}: expected words and a weight other than 0. Leave it out."
            )


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
        texts: Further phrases with weights; negative ones push what they name down.
        chip_weights_n: Weight of each chip, shape (N,), above 0; None weighs all alike.
        negative_weights_n: Weight of each negative, shape (M,), above 0; None weighs all alike.
        liked_nd: Unit visual vectors of answers that a person marked right, shape (L, D), or None.
        disliked_nd: Unit visual vectors of answers that a person marked wrong, shape (M, D), or None.
    """

    text: str = ""
    chip_vectors_nd: NDArray[np.float32] | None = None
    negative_vectors_nd: NDArray[np.float32] | None = None
    model_version: str = ""
    filter: SearchFilter = field(default_factory=SearchFilter)
    text_share: float | None = None
    texts: tuple[Words, ...] = ()
    chip_weights_n: NDArray[np.float32] | None = None
    negative_weights_n: NDArray[np.float32] | None = None
    liked_nd: NDArray[np.float32] | None = None
    disliked_nd: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        has_words = any(words.weight > 0 for words in self.words)
        if not has_words and self.chip_vectors_nd is None and self.liked_nd is None:
            raise InputError("Cannot search: expected words or at least one example chip, got neither. Give --text or --chip.")
        _check_weights("chips", self.chip_weights_n, self.chip_vectors_nd)
        _check_weights("negatives", self.negative_weights_n, self.negative_vectors_nd)

    @property
    def words(self) -> tuple[Words, ...]:
        """All phrases: `text` with weight 1, then `texts`."""
        return ((Words(self.text),) if self.text else ()) + self.texts


def _check_weights(what: str, weights_n: NDArray[np.float32] | None, vectors_nd: NDArray[np.float32] | None) -> None:
    if weights_n is None:
        return
    count = 0 if vectors_nd is None else len(vectors_nd)
    if weights_n.shape != (count,):
        raise ShapeError(f"Cannot weigh {what}: expected {count} weights, got shape {weights_n.shape}. Give one each.")
    if not (np.isfinite(weights_n).all() and (weights_n > 0).all()):
        raise InputError(
            f"Cannot weigh {what}: expected weights above 0, got {weights_n.tolist()}. Use negatives for what is not meant."
        )


@dataclass(frozen=True, slots=True)
class Revisit:
    """The same ground as a hit's, seen in another scene.

    Attributes:
        proposal_id: The object's id there.
        scene_id: The scene.
        acquired_utc: When, or "".
        score: Rank value there.
        box_scene_xyxy: Pixels of that scene.
    """

    proposal_id: str
    scene_id: str
    acquired_utc: str
    score: float
    box_scene_xyxy: tuple[float, float, float, float]


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
        revisits: The same ground at other times, best first, where a search collapses revisits.
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
    revisits: tuple[Revisit, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """How a search was answered.

    Attributes:
        way: ``exact``: all rows that fulfil the filter were compared; ``tiles``: an approximate search of tiles, then of proposals;
            ``proposals``: an approximate search of proposals alone.
        rows: Rows in the table.
        matching: Rows that fulfil the filter (before the exact test of a polygon's edge).
        candidates: Rows compared at full precision.
        seconds: Time the search took, without embedding the chips.
        text_share: Weight of the words, [0, 1].
        feedback_share: Weight of what was learnt from marks, [0, 1).
    """

    way: str
    rows: int
    matching: int
    candidates: int
    seconds: float
    text_share: float
    feedback_share: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Hits, and how they were found.

    Attributes:
        hits: Best first.
        plan: What was done.
    """

    hits: tuple[Hit, ...]
    plan: QueryPlan
