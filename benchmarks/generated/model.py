"""What a made document consists of, before any producer sets it. Belongs here: records only; words, pictures and pages are others'.

All lengths are PDF points with the origin at the top left of the panel, region boxes (x0, y0, x1, y1).
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
Colour = tuple[float, float, float]
Side = Literal["below", "above", "beside"]
BLACK: Colour = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Mark:
    """A drawn primitive: `line`, `rect`, `ellipse` (two corners), `polygon` or `text` (left end of the baseline)."""

    kind: Literal["line", "rect", "ellipse", "polygon", "text"]
    points: tuple[tuple[float, float], ...]
    stroke: Colour | None = BLACK
    width: float = 1.0
    fill: Colour | None = None
    text: str = ""
    size: float = 8.0
    bold: bool = False


@dataclass(frozen=True)
class CallOut:
    """Words about a part of a picture; `region` is what they point to."""

    text: str
    region: Box
    style: str


@dataclass
class Panel:
    """One picture of a figure: pixels with marks over them, or marks alone (a drawn figure).

    `pad_pt` is the room to the right that words outside of the picture need; it is no part of the picture.
    """

    pixels: NDArray[np.uint8] | None
    width_pt: float
    height_pt: float
    kind: str
    marks: list[Mark] = field(default_factory=list)
    calls: list[CallOut] = field(default_factory=list)
    pad_pt: float = 0.0
    letter: str = ""
    words: str = ""
    encoding: Literal["png", "jpeg"] = "png"
    modality: str = "optical"


@dataclass
class Figure:
    """Panels under one caption. `label` is "" for a figure without caption; `composite` panels are one raster."""

    label: str
    delimiter: str
    caption: str
    side: Side
    panels: list[Panel]
    across: int = 1
    part_style: Literal["", "under", "inline", "letters"] = ""
    wide: bool = False
    composite: bool = False


@dataclass(frozen=True)
class Words:
    """A paragraph or, with `heading`, a heading."""

    text: str
    heading: bool = False


@dataclass(frozen=True)
class TableBlock:
    """A table with its own caption above: no figure."""

    caption: str
    rows: tuple[tuple[str, ...], ...]


Block = Words | TableBlock | Figure


@dataclass
class Made:
    """A document to be set. `logo` is drawn on every page (or the first alone) and is no figure."""

    name: str
    producer: str
    seed: int
    columns: int
    side: Side
    language: str
    title: str
    blocks: list[Block]
    page_pt: tuple[float, float]
    body_pt: float
    caption_pt: float
    logo: NDArray[np.uint8] | None = None
    logo_every_page: bool = False

    def figures(self) -> list[Figure]:
        return [block for block in self.blocks if isinstance(block, Figure)]

    def panels(self) -> list[tuple[Figure, Panel]]:
        return [(figure, panel) for figure in self.figures() for panel in figure.panels]

    @property
    def column_pt(self) -> float:
        return (self.page_pt[0] - 2 * MARGIN_PT - (self.columns - 1) * GUTTER_PT) / self.columns


MARGIN_PT = 58.0
GUTTER_PT = 20.0


def spoken_label(figure: Figure) -> str:
    """ "Figure 3:" as printed before the words."""
    return f"{figure.label}{figure.delimiter}".strip()


def part_line(panel: Panel, figure: Figure) -> str:
    """What stands under a panel."""
    if figure.part_style == "under":
        return f"({panel.letter}) {panel.words}"
    return f"({panel.letter})" if figure.part_style in ("letters", "inline") else ""
