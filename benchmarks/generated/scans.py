"""Scans of made documents: pages as skewed, noisy pictures, some with a hidden text layer. Belongs here: the scanner."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.generated.model import Box

_DPI = 150


def scan(source: Path, target: Path, rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Print and scan a document.

    Args:
        source: A made document.
        target: Where the scan goes.
        rows: Truth of the source.
        seed: Decides skew, colour, noise and whether there is a hidden text layer.

    Returns:
        Truth of the scan: boxes are the bounding boxes of the skewed ones.
    """
    import pymupdf

    rng = np.random.default_rng([seed, 71])
    skew_deg = float(rng.uniform(-2.0, 2.0))
    grey, hidden_text = bool(rng.random() < 0.4), bool(rng.random() < 0.34)
    made = pymupdf.open()
    zoom = _DPI / 72
    with pymupdf.open(source) as document:
        for page in document:
            pixmap = page.get_pixmap(matrix=pymupdf.Matrix(zoom, zoom), alpha=False)
            pixels = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)
            turn = cv2.getRotationMatrix2D((pixmap.width / 2, pixmap.height / 2), skew_deg, 1.0)
            paper = int(rng.integers(244, 252))
            turned = cv2.warpAffine(
                pixels, turn, (pixmap.width, pixmap.height), flags=cv2.INTER_LINEAR, borderValue=(paper,) * 3
            )
            turned = cv2.GaussianBlur(turned, (0, 0), 0.6).astype(np.float32) * (paper / 255) + rng.normal(
                0, 2.5, (*turned.shape[:2], 1)
            )
            picture = np.clip(turned, 0, 255).astype(np.uint8)
            picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if grey else picture[:, :, ::-1]
            done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
            assert done
            sheet = made.new_page(width=page.rect.width, height=page.rect.height)
            sheet.insert_image(sheet.rect, stream=data.tobytes())
            if hidden_text:
                _hidden_words(page, sheet, turn, zoom)
    made.save(target, deflate=True, garbage=3, no_new_id=True)
    pages = [(float(page.rect.width), float(page.rect.height)) for page in made]
    made.close()
    return [_turned(row, pages[row["page"]], skew_deg, target.stem, hidden_text) for row in rows]


def _hidden_words(page: Any, sheet: Any, turn: np.ndarray, zoom: float) -> None:
    for x0, _, x1, y1, word, *_ in page.get_text("words"):
        x, y = turn @ np.array([x0 * zoom, (y1 - 2) * zoom, 1.0]) / zoom
        length = max(0.1, len(word))
        sheet.insert_text(
            (float(x), float(y)), word, fontname="helv", fontsize=max(4.0, min(12.0, (x1 - x0) / length / 0.5)), render_mode=3
        )


def _turned(row: dict[str, Any], page_pt: tuple[float, float], skew_deg: float, name: str, hidden_text: bool) -> dict[str, Any]:
    def turned(box: Box) -> list[float]:
        turn = cv2.getRotationMatrix2D((page_pt[0] / 2, page_pt[1] / 2), skew_deg, 1.0)
        corners = np.array([(box[x], box[y], 1.0) for x in (0, 2) for y in (1, 3)]) @ turn.T
        return [round(float(value), 2) for value in (*corners.min(axis=0), *corners.max(axis=0))]

    calls = [{**call, "region": turned(call["region"])} for call in row["calls"]]
    return {
        **row,
        "document": name,
        "box": turned(row["box"]),
        "calls": calls,
        "scanned": True,
        "hidden_text": hidden_text,
        "skew_deg": round(skew_deg, 2),
    }
