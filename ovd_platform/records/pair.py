"""One image of a document with its words, and what it rests on."""

from dataclasses import dataclass, field
from typing import Literal

FigureKind = Literal["satellite", "map", "diagram", "photograph", "other"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Image-text pair with provenance.

    Attributes:
        pair_id: Reproducible: hash of document version, page, box and part.
        document_id: Slug of the document's file name.
        document_version: Content hash of the document.
        page: 0-based page.
        box_page_xyxy: Figure on the page in PDF points, origin top left.
        image_path: Relative path of the extracted image inside the pair store (PNG, bit depth kept).
        caption: The figure's caption without its number; "" if none was found.
        label: The figure's printed number, "Figure 3"; "" if none.
        context: Text that mentions the figure.
        callouts: Text inside or over the image.
        kind: What the image is.
        modality: What a satellite image was taken by: "sar" where the words or the statistics say so.
        confidence: Trust in image and words belonging together, [0, 1].
        evidence: What the confidence rests on, for people.
        language: ISO 639-1 code or "und".
        parent_id: For a part of an image with its own call-out, the image it was cut from; else "".
    """

    pair_id: str
    document_id: str
    document_version: str
    page: int
    box_page_xyxy: tuple[float, float, float, float]
    image_path: str
    caption: str
    label: str = ""
    context: str = ""
    callouts: tuple[str, ...] = field(default_factory=tuple)
    kind: FigureKind = "other"
    modality: Literal["optical", "sar"] = "optical"
    confidence: float = 0.0
    evidence: str = ""
    language: str = "und"
    parent_id: str = ""
