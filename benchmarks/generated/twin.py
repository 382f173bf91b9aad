"""Where engines that place figures themselves have put them. Belongs here: the coloured twin of a document and its measurement.

A twin has every picture replaced by one flat colour and no marks; as sizes are the same, it is set in the same way. The page box of a
picture is where its colour is in the rendered twin.
"""

from copy import deepcopy
from pathlib import Path

import numpy as np

from benchmarks.generated.model import Box, Made, Mark

_SCALE = 4.0
_LEVELS = (20, 80, 140, 200)


def twin(made: Made) -> Made:
    """The document with flat pictures."""
    flat = deepcopy(made)
    for number, (_, panel) in enumerate(flat.panels()):
        red, green, blue = _colour(number)
        if panel.pixels is None:
            fill = (red / 255, green / 255, blue / 255)
            panel.marks = [Mark("rect", ((0, 0), (panel.width_pt, panel.height_pt)), None, fill=fill)]
        else:
            panel.pixels = np.full((*panel.pixels.shape[:2], 3), (red, green, blue), np.uint8)
            panel.marks = []
        panel.encoding = "png"
    if flat.logo is not None:
        flat.logo = np.full_like(flat.logo, 255)
    return flat


def _colour(number: int) -> tuple[int, int, int]:
    """Colours that differ by at least 60 in a channel, none of them grey or near paper."""
    colours = [(r, g, b) for r in _LEVELS for g in _LEVELS for b in _LEVELS if max(r, g, b) - min(r, g, b) >= 100]
    return colours[(number * 11) % len(colours)]


def places(made: Made, path: Path) -> list[tuple[int, Box]]:
    """Page and box of every panel in the rendered twin.

    Raises:
        ValueError: If a panel is nowhere, or on two pages.
    """
    import pymupdf

    wanted = [np.array(_colour(number)) for number in range(len(made.panels()))]
    areas = [panel.width_pt * panel.height_pt * _SCALE**2 for _, panel in made.panels()]
    found: list[tuple[int, Box] | None] = [None] * len(wanted)
    with pymupdf.open(path) as document:
        for page in document:
            pixmap = page.get_pixmap(matrix=pymupdf.Matrix(_SCALE, _SCALE), alpha=False)
            pixels = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3).astype(np.int16)
            for number, colour in enumerate(wanted):
                hit = (np.abs(pixels - colour) <= 8).all(axis=2)
                if hit.sum() < 0.5 * areas[number]:  # mixed colours at edges are not the panel
                    continue
                if found[number] is not None:
                    raise ValueError(f"{path.name}: panel {number} stands on two pages")
                rows, columns = np.flatnonzero(hit.sum(axis=1) > 8), np.flatnonzero(hit.sum(axis=0) > 8)
                box = (columns[0] / _SCALE, rows[0] / _SCALE, (columns[-1] + 1) / _SCALE, (rows[-1] + 1) / _SCALE)
                found[number] = (int(page.number), tuple(float(value) for value in box))  # type: ignore[assignment]
    missing = [number for number, place in enumerate(found) if place is None]
    if missing:
        raise ValueError(f"{path.name}: panels {missing} are nowhere")
    return [place for place in found if place is not None]
