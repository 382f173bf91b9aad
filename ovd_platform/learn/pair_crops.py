"""The object a document's picture is about, cut out as the index cuts out objects.

Belongs here: choosing a box in a picture and cutting it. Does not belong here: words and training (clip).

A document shows an object small, in the middle of its surroundings; the index holds tight crops. A domain CLIP that saw pictures only
does not recognise the crops, so each picture also gives the crop of its most central sure object.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ovd_platform.embed.crops import CONTEXT, MIN_SIDE_PX
from ovd_platform.propose.light import LightProposer

_LEAST_OBJECTNESS = 0.15
_REACH = 0.22
_LARGEST = 0.75


def object_box(image_chw: NDArray[np.float32], proposer: LightProposer) -> NDArray[np.float32] | None:
    """Box (4,) of the most object-like thing near the middle of a picture, or None where nothing is sure.

    Args:
        image_chw: Planes in [0, 1].
        proposer: Class-agnostic proposer.
    """
    boxes_n4, objectness_n = proposer.image_boxes(image_chw)
    height, width = image_chw.shape[1:]
    side_n = (boxes_n4[:, 2:] - boxes_n4[:, :2]).max(axis=1, initial=0.0)
    off_n2 = (boxes_n4[:, :2] + boxes_n4[:, 2:]) / 2 / np.array([width, height], dtype=np.float32) - 0.5
    central_n = np.exp(-0.5 * (off_n2**2).sum(axis=1) / _REACH**2)
    fit_n = (objectness_n >= _LEAST_OBJECTNESS) & (side_n <= _LARGEST * max(height, width))
    worth_n = objectness_n * central_n * fit_n
    return boxes_n4[int(worth_n.argmax())] if len(worth_n) and worth_n.max() > 0 else None


def object_crop(
    image_chw: NDArray[np.float32], box: Sequence[float] | NDArray[np.float32], margin: float
) -> NDArray[np.float32]:
    """Square around a box, as large as the index's crops over ``margin``; beyond the picture its border is repeated.

    Args:
        image_chw: Planes.
        box: x0, y0, x1, y1 in pixels of the picture.
        margin: Share of the crop a training view covers, (0, 1].
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    side = int(np.ceil(max(CONTEXT * max(x1 - x0, y1 - y0), MIN_SIDE_PX) / margin))
    left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
    height, width = image_chw.shape[1:]
    rows, cols = np.clip(np.arange(top, top + side), 0, height - 1), np.clip(np.arange(left, left + side), 0, width - 1)
    cut: NDArray[np.float32] = image_chw[:, rows[:, None], cols[None]]
    return cut
