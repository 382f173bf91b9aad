"""What a format module hands over: a label as its file states it, before scene, frame and class are resolved.

Belongs here: the intermediate record. Does not belong here: parsing (one module a format) and resolving (`load`).
"""

from dataclasses import dataclass, field
from typing import Literal

Frame = Literal["pixel", "normalised", "lonlat", "crs", "auto"]


@dataclass(frozen=True, slots=True)
class ImportedLabel:
    """One label as a file states it.

    Attributes:
        where: Place in the file for messages: ``line 12``, ``feature 3``.
        reference: What the file calls the scene.
        class_name: As spelt in the file; "" if the file states none.
        corners: Ring without the repeated last corner; one corner is a point.
        frame: ``pixel``; ``normalised`` by width and height; ``lonlat`` degrees; ``crs`` coordinates of `crs`; ``auto``:
            degrees if the scene is georeferenced, else pixels.
        crs: Authority string for the frame ``crs``.
        difficult: Marked difficult, crowd, ignored or truncated.
        note: What the reader had to decide; "" if nothing.
    """

    where: str
    reference: str
    class_name: str
    corners: tuple[tuple[float, float], ...]
    frame: Frame = "pixel"
    crs: str = ""
    difficult: bool = False
    note: str = ""


@dataclass(slots=True)
class ImportedFile:
    """Everything one file holds.

    Attributes:
        labels: Parsed labels.
        problems: What could not be parsed, each with its place.
    """

    labels: list[ImportedLabel] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
