"""What came out of one document. Belongs here: the record and its JSON form; making it is extract's."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from ovd_platform.documents.callouts import Callout, callout_from_dict
from ovd_platform.records.pair import Pair

EXTRACTOR_VERSION = "figures-3"
"""Changes whenever the extraction would answer differently; outcomes of another version are made again."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A vector mark drawn over an image of a document.

    Attributes:
        pair_id: The image it lies on.
        shape: ``rectangle``, ``circle``, ``ellipse``, ``arrow``, ``line``, ``polygon`` or ``path``.
        box_image_xyxy: Where on the image, fractions of its width and height, clipped to [0, 1].
        color: "#rrggbb", or "" if unknown.
    """

    pair_id: str
    shape: str
    box_image_xyxy: tuple[float, float, float, float]
    color: str


@dataclass(frozen=True, slots=True)
class DocumentOutcome:
    """Result of one document; a failure is a result too.

    Attributes:
        document_id: Slug of the file name.
        version: Content hash of the file.
        pages: Pages it has; 0 where it could not be opened.
        pairs: Figures with their words, in page order.
        error: Why nothing or not everything could be read; None if all is well.
        notes: What people should know: repaired, pages skipped, decorations left out.
        uri: Where the file was.
        overlays: Marks drawn over the images.
        callouts: Words over or beside the images with what they point to; words that point to nothing are in the pairs only.
        extractor: Version of the code that made it.
    """

    document_id: str
    version: str
    pages: int
    pairs: list[Pair]
    error: str | None
    notes: tuple[str, ...] = ()
    uri: str = ""
    overlays: tuple[Overlay, ...] = ()
    extractor: str = EXTRACTOR_VERSION
    callouts: tuple[Callout, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready mapping; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        fields = dict(values)
        fields["pairs"] = [pair_from_dict(pair) for pair in fields["pairs"]]
        fields["notes"] = tuple(fields.get("notes", ()))
        overlays = [dict(overlay) for overlay in fields.get("overlays", ())]
        fields["overlays"] = tuple(Overlay(**{**item, "box_image_xyxy": tuple(item["box_image_xyxy"])}) for item in overlays)
        fields["callouts"] = tuple(callout_from_dict(dict(callout)) for callout in fields.get("callouts", ()))
        return cls(**fields)


def pair_from_dict(values: dict[str, Any]) -> Pair:
    """A pair from its plain mapping; lists become tuples."""
    return Pair(**{**values, "box_page_xyxy": tuple(values["box_page_xyxy"]), "callouts": tuple(values["callouts"])})
