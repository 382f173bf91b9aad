"""The seam for optical character recognition. Belongs here: the shape of a recogniser and its use; none is shipped.

A recogniser is any callable from an image to lines, for example a thin wrapper around rapidocr where it is installed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.page_text import TextLine
from ovd_platform.documents.rasters import render_box

_PAGE_SCALE = 200 / 72


@dataclass(frozen=True, slots=True)
class RecognisedLine:
    """A line a recogniser read.

    Attributes:
        text: The words.
        box_image_xyxy: Pixels of the image it was given.
        certainty: The recogniser's own, [0, 1].
    """

    text: str
    box_image_xyxy: tuple[float, float, float, float]
    certainty: float


Recogniser = Callable[[NDArray[np.uint8]], list[RecognisedLine]]
"""Image, shape (H, W, 3), uint8 -> lines."""


def recognised_page(page: Any, recogniser: Recogniser, minimum_certainty: float = 0.5) -> list[TextLine]:
    """Lines of a page without text, in page points.

    Args:
        page: An open PyMuPDF page.
        recogniser: Given the page at 200 dpi.
        minimum_certainty: Lines below are left out, [0, 1].
    """
    rect = page.rect
    box = (float(rect.x0), float(rect.y0), float(rect.x1), float(rect.y1))
    image_hwc = render_box(page, box, scale=_PAGE_SCALE, max_side_px=4000)
    scale_x, scale_y = (box[2] - box[0]) / image_hwc.shape[1], (box[3] - box[1]) / image_hwc.shape[0]
    lines = []
    for number, line in enumerate(recogniser(image_hwc)):
        if line.certainty >= minimum_certainty and line.text.strip():
            x0, y0, x1, y1 = line.box_image_xyxy
            place = (box[0] + x0 * scale_x, box[1] + y0 * scale_y, box[0] + x1 * scale_x, box[1] + y1 * scale_y)
            lines.append(
                TextLine(" ".join(line.text.split()), place, place[3] - place[1], False, False, "recognised", 10_000 + number)
            )
    return lines


def recognised_callouts(
    image_hwc: NDArray[np.uint8], recogniser: Recogniser, minimum_certainty: float = 0.5
) -> tuple[str, ...]:
    """Words inside an image, as read."""
    return tuple(
        line.text.strip() for line in recogniser(image_hwc) if line.certainty >= minimum_certainty and line.text.strip()
    )
