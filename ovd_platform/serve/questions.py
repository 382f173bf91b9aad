"""Questions as the API takes them, and the library's question each stands for.

Belongs here: the request models and their checks. Does not belong here: answering (`flow.query`). No field is a path: an example is an upload,
a box of a scene, or an answer of an earlier search.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ovd_platform.flow.query import Question
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.prompt import SearchFilter, Words
from ovd_platform.serve.uploads import upload_path

MOST_HITS = 2000
Modality = Literal["optical", "sar"]
Id = Annotated[str, Field(max_length=200)]
Degrees = Annotated[float, Field(ge=-360, le=360)]
Range = tuple[float, float]
Weight = Annotated[float, Field(gt=0, le=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Example(_Strict):
    """A picture of what is meant: an upload, or a box drawn on a scene."""

    upload: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="Name that /api/uploads gave.")] | None = None
    scene: Annotated[str, Field(max_length=63, pattern=r"^[a-zA-Z0-9_.-]+$")] | None = None
    box: Annotated[tuple[float, float, float, float], Field(description="x0, y0, x1, y1 in scene pixels.")] | None = None
    weight: Weight = 1.0

    @model_validator(mode="after")
    def _one_kind(self) -> "Example":
        if (self.upload is None) == (self.scene is None) or (self.scene is None) != (self.box is None):
            raise ValueError("an example is an upload, or a scene with a box")
        if self.box is not None and (self.box[2] - self.box[0] < 1 or self.box[3] - self.box[1] < 1):
            raise ValueError("a box needs x0 < x1 and y0 < y1, at least one pixel apart")
        return self

    def chip(self, ws: Workspace) -> str:
        """The form the library takes."""
        if self.upload is not None:
            return str(upload_path(ws, self.upload))
        assert self.box is not None
        return f"{self.scene}:{','.join(f'{value:.2f}' for value in self.box)}"


class Phrase(_Strict):
    """Words with a weight; a negative one says what is not meant."""

    text: Annotated[str, Field(min_length=1, max_length=400)]
    weight: Annotated[float, Field(ge=-100, le=100)] = 1.0


class Filters(_Strict):
    """Where, when and by what."""

    area: Annotated[
        list[list[tuple[Degrees, Annotated[float, Field(ge=-90, le=90)]]]] | None,
        Field(max_length=64, description="Polygons, each a ring of (lon, lat) in degrees; a hit's centre lies in any of them."),
    ] = None
    bbox: Annotated[tuple[float, float, float, float] | None, Field(description="west, south, east, north in degrees.")] = None
    from_utc: Annotated[str, Field(max_length=40)] | None = None
    to_utc: Annotated[str, Field(max_length=40)] | None = None
    instruments: Annotated[list[Id], Field(max_length=200)] = []
    scenes: Annotated[list[Id], Field(max_length=5000)] = []
    min_objectness: Annotated[float, Field(ge=0, le=1)] = 0.0
    min_score: float | None = None
    gsd_m: Range | None = None
    off_nadir_deg: Range | None = None
    sun_elevation_deg: Range | None = None
    incidence_deg: Range | None = None

    @model_validator(mode="after")
    def _rings(self) -> "Filters":
        for ring in self.area or []:
            if not 3 <= len(ring) <= 2000:
                raise ValueError("a ring has 3 to 2000 points")
        if self.bbox is not None and not (all(map(math.isfinite, self.bbox)) and self.bbox[1] <= self.bbox[3]):
            raise ValueError("a bbox is west, south, east, north")
        return self

    def library(self) -> SearchFilter:
        """The library's filter."""
        area = tuple((tuple((lon, lat) for lon, lat in ring),) for ring in self.area or [])
        return SearchFilter(
            bbox_lonlat=self.bbox, from_utc=self.from_utc or None, to_utc=self.to_utc or None, instruments=tuple(self.instruments),
            scene_ids=tuple(self.scenes), min_objectness=self.min_objectness, area_lonlat=area, min_score=self.min_score,
            gsd_m=self.gsd_m, off_nadir_deg=self.off_nadir_deg, sun_elevation_deg=self.sun_elevation_deg,
            incidence_deg=self.incidence_deg,
        )  # fmt: skip


class Ask(_Strict):
    """A question: words, examples, answers marked right and wrong, filters."""

    modality: Modality = "optical"
    text: Annotated[str, Field(max_length=400)] = ""
    phrases: Annotated[list[Phrase], Field(max_length=32)] = []
    examples: Annotated[list[Example], Field(max_length=64)] = []
    against: Annotated[list[Example], Field(max_length=64)] = []
    right: Annotated[list[Id], Field(max_length=500, description="Ids of answers that are what is meant.")] = []
    wrong: Annotated[list[Id], Field(max_length=500, description="Ids of answers that are not.")] = []
    filters: Filters = Filters()
    top: Annotated[int, Field(ge=1, le=MOST_HITS)] = 60
    documents: Annotated[bool, Field(description="Let pictures of the documents whose captions say the words join.")] = True
    collapse_revisits: Annotated[bool, Field(description="One hit a place over all times.")] = False

    def question(self, ws: Workspace) -> Question:
        """The library's question.

        Raises:
            UnknownNameError: If an upload is not known.
        """
        return Question(
            text=self.text.strip(), chips=tuple(one.chip(ws) for one in self.examples),
            not_chips=tuple(one.chip(ws) for one in self.against), modality=self.modality, top=self.top,
            filter=self.filters.library(), collapse_revisits=self.collapse_revisits, documents=self.documents,
            texts=tuple(Words(one.text, one.weight) for one in self.phrases), liked=tuple(self.right), disliked=tuple(self.wrong),
            chip_weights=_weights(self.examples), not_chip_weights=_weights(self.against),
        )  # fmt: skip

    def kept(self) -> dict[str, Any]:
        """JSON form for records: what differs from the defaults."""
        values: dict[str, Any] = self.model_dump(mode="json", exclude_defaults=True)
        return values


def _weights(examples: list[Example]) -> tuple[float, ...]:
    return tuple(one.weight for one in examples) if any(one.weight != 1.0 for one in examples) else ()


class MarkRequest(_Strict):
    """A judgement of one answer."""

    id: Id
    verdict: Literal["right", "wrong", "none"]
    ask: Ask


class SaveRequest(_Strict):
    """A question to keep as a class, with its marks."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    ask: Ask
    watch: bool = False


class ExportRequest(_Strict):
    """Answers as a file. Without ids every answer of the question goes."""

    format: Literal["geojson", "coco", "evidence"]
    ask: Ask
    ids: Annotated[list[Id], Field(max_length=MOST_HITS)] = []
