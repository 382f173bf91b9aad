"""One picture of many hits. Belongs here: laying out crops and captions; where crops come from is the caller's."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError, ResourceError, ShapeError
from ovd_platform.records.prompt import Hit

CropOf = Callable[[Hit], NDArray[np.uint8]]
_CAPTION_PX = 34
_GAP_PX = 6
_PAPER, _INK, _FAINT, _FLAG = (250, 250, 250), (25, 25, 25), (110, 110, 110), (190, 40, 30)


def contact_sheet(
    hits: Sequence[Hit], crop_of: CropOf, *, title: str = "", columns: int = 6, cell_px: int = 144
) -> NDArray[np.uint8]:
    """Lay hits out in rows, best first, each with rank, score and scene; rendered scenes say RENDERED.

    Args:
        hits: Hits in order.
        crop_of: Makes the picture of a hit: RGB, shape (H, W, 3), uint8, of any size; shrunk or grown to fit, never distorted.
        title: Words above, ASCII.
        columns: Cells a row.
        cell_px: Side of the square a crop fits in.

    Returns:
        RGB picture, shape (H, W, 3), uint8.

    Raises:
        ShapeError: If a crop is not RGB uint8.
    """
    if columns < 1 or cell_px < 32:
        raise InputError(f"Cannot make a contact sheet: expected columns >= 1 and cells >= 32 px, got {columns} and {cell_px}.")
    columns = max(1, min(columns, len(hits)))
    rows = -(-len(hits) // columns) if hits else 0
    header = 30 if title or not hits else _GAP_PX
    width = max(columns * (cell_px + _GAP_PX) + _GAP_PX, 320)
    sheet = np.full((header + rows * (cell_px + _CAPTION_PX + _GAP_PX) + _GAP_PX, width, 3), _PAPER, dtype=np.uint8)
    _write(sheet, title or ("" if hits else "no hits"), (_GAP_PX, 20), 0.5, _INK, width - 2 * _GAP_PX)
    for i, hit in enumerate(hits):
        left = _GAP_PX + (i % columns) * (cell_px + _GAP_PX)
        top = header + (i // columns) * (cell_px + _CAPTION_PX + _GAP_PX)
        _paste(sheet, _checked(crop_of(hit), hit), left, top, cell_px)
        _write(sheet, f"{hit.rank}  {hit.score:.3f}", (left, top + cell_px + 14), 0.42, _INK, cell_px)
        if hit.rendered:
            _write(sheet, "RENDERED", (left + cell_px - 62, top + cell_px + 14), 0.36, _FLAG, 62)
        _write(sheet, hit.scene_id, (left, top + cell_px + 28), 0.36, _FAINT, cell_px)
    return sheet


def write_contact_sheet(
    path: Path, hits: Sequence[Hit], crop_of: CropOf, *, title: str = "", columns: int = 6, cell_px: int = 144
) -> Path:
    """Write `contact_sheet` as a PNG; returns the path."""
    import cv2

    sheet = contact_sheet(hits, crop_of, title=title, columns=columns, cell_px=cell_px)
    fine, encoded = cv2.imencode(".png", sheet[:, :, ::-1])
    if not fine:
        raise ResourceError(f"Cannot write the contact sheet {path}: expected an encoded PNG, got none. Make it smaller.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded.tobytes())
    return path


def _checked(crop_hwc: NDArray[np.uint8], hit: Hit) -> NDArray[np.uint8]:
    if crop_hwc.ndim != 3 or crop_hwc.shape[2] != 3 or crop_hwc.dtype != np.uint8 or 0 in crop_hwc.shape:
        raise ShapeError(
            f"Cannot draw hit {hit.rank} of {hit.scene_id}: expected RGB (H, W, 3) uint8, got "
            f"{crop_hwc.shape} {crop_hwc.dtype}."
        )
    return crop_hwc


def _paste(sheet: NDArray[np.uint8], crop_hwc: NDArray[np.uint8], left: int, top: int, cell_px: int) -> None:
    import cv2

    height, width = crop_hwc.shape[:2]
    scale = cell_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shown: Any = cv2.resize(
        np.ascontiguousarray(crop_hwc), size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    )
    x, y = left + (cell_px - size[0]) // 2, top + (cell_px - size[1]) // 2
    sheet[y : y + size[1], x : x + size[0]] = shown


def _write(
    sheet: NDArray[np.uint8], words: str, origin_xy: tuple[int, int], size: float, colour: tuple[int, int, int], room_px: int
) -> None:
    import cv2

    words = words.encode("ascii", "replace").decode()
    font = cv2.FONT_HERSHEY_SIMPLEX
    while len(words) > 4 and cv2.getTextSize(words, font, size, 1)[0][0] > room_px:
        words = words[:-4] + "..." if words.endswith("...") else words[:-3] + "..."
    if words:
        cv2.putText(sheet, words, origin_xy, font, size, colour, 1, cv2.LINE_AA)
