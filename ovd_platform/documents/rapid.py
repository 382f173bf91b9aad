"""The recogniser that is shipped: rapidocr, whose models come inside its package. Belongs here: calling it; its use is recognition's."""

import logging
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.recognition import RecognisedLine

_UPSCALE_BELOW_PX = 480
_MAX_UPSCALE = 3


@cache
def _engine() -> Any:
    from rapidocr import RapidOCR

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    engine = RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.use_cls": False,  # pages and images are turned upright before
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    return engine


def read_words(image_hwc: NDArray[np.uint8]) -> list[RecognisedLine]:
    """Lines of text in an image, by PP-OCR.

    Args:
        image_hwc: Shape (H, W, 3), uint8, RGB. Small images are enlarged first: letters under eight pixels are not found.

    Returns:
        Lines from the top, with boxes in pixels of the image given.
    """
    import cv2

    factor = 1
    if max(image_hwc.shape[:2]) < _UPSCALE_BELOW_PX:
        factor = min(_MAX_UPSCALE, -(-_UPSCALE_BELOW_PX // max(image_hwc.shape[:2])))
    enlarged = cv2.resize(image_hwc, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC) if factor > 1 else image_hwc
    answer = _engine()(np.ascontiguousarray(enlarged[..., ::-1]))
    if answer.boxes is None or answer.txts is None:
        return []
    lines = []
    for corners, text, score in zip(np.asarray(answer.boxes, dtype=float) / factor, answer.txts, answer.scores, strict=True):
        (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
        run = corners[1] - corners[0]
        turn = float(np.degrees(np.arctan2(run[1], run[0])))
        lines.append(RecognisedLine(str(text), (float(x0), float(y0), float(x1), float(y1)), float(score), turn))
    return sorted(lines, key=lambda line: (round(line.box_image_xyxy[1] / 8), line.box_image_xyxy[0]))
