"""Scans that lie askew. Belongs here: the angle of a page from its pixels, and places on the straight and on the skewed page."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.page_boxes import Box

_LARGEST_DEG = 5.0
_STEPS_DEG = (0.5, 0.1)
_LOOK_ROWS = 900
_LEAST_GAIN = 1.02  # rows must stand out this much more than on the page as it lies


@dataclass(frozen=True, slots=True)
class Skew:
    """A turn of a page about its middle.

    Attributes:
        turn_deg: By how much the page is turned clockwise.
        middle: (x, y) of the page in points.
    """

    turn_deg: float
    middle: tuple[float, float]

    def straight(self, point: tuple[float, float]) -> tuple[float, float]:
        """Where a point of the skewed page stands on the straight one."""
        return self._turned(point, -self.turn_deg)

    def seen(self, box: Box) -> Box:
        """The box around a box of the straight page where it is seen on the skewed one."""
        corners = [self._turned((box[x], box[y]), self.turn_deg) for x in (0, 2) for y in (1, 3)]
        across, down = [x for x, _ in corners], [y for _, y in corners]
        return (min(across), min(down), max(across), max(down))

    def _turned(self, point: tuple[float, float], degrees: float) -> tuple[float, float]:
        angle = np.radians(degrees)
        x, y = point[0] - self.middle[0], point[1] - self.middle[1]
        return (
            float(self.middle[0] + np.cos(angle) * x - np.sin(angle) * y),
            float(self.middle[1] + np.sin(angle) * x + np.cos(angle) * y),
        )


def page_skew(ink_hw: NDArray[np.bool_], bounds: Box) -> Skew:
    """The turn at which the rows of ink of a page stand out most: lines of print do, pictures' edges help.

    Args:
        ink_hw: Where the page image is dark.
        bounds: Of the page image in points.

    Returns:
        At most five degrees; none where no turn is better than the page as it lies.
    """
    import cv2

    rows = min(_LOOK_ROWS, ink_hw.shape[0])
    columns = max(1, round(rows * ink_hw.shape[1] / ink_hw.shape[0]))
    look_hw = cv2.resize(ink_hw.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    best, degrees = 0.0, 0.0
    as_it_lies = _standing_out(look_hw, 0.0)
    for step, reach in zip(_STEPS_DEG, (_LARGEST_DEG, _STEPS_DEG[0]), strict=True):
        around = degrees
        for turn in np.arange(around - reach, around + reach + step / 2, step):
            gain = _standing_out(look_hw, float(turn))
            if gain > best:
                best, degrees = gain, float(turn)
    middle = ((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2)
    return Skew(round(degrees, 2) if best > _LEAST_GAIN * as_it_lies else 0.0, middle)


def _standing_out(look_hw: NDArray[np.float32], degrees: float) -> float:
    rows = turned_back(look_hw, degrees, 0.0).mean(axis=1)
    return float((np.diff(rows) ** 2).sum())


def turned_back(image_hw: NDArray[Any], degrees: float, paper: float) -> NDArray[np.float32]:
    """A page image turned straight about its middle, same size.

    Args:
        image_hw: Any channel, float32.
        degrees: By how much it is turned clockwise.
        paper: Value of what comes in at the edges.
    """
    import cv2

    if not degrees:
        return np.asarray(image_hw, dtype=np.float32)
    height, width = image_hw.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)  # its angles are counter-clockwise
    return np.asarray(
        cv2.warpAffine(image_hw, turn, (width, height), flags=cv2.INTER_LINEAR, borderValue=paper), dtype=np.float32
    )
