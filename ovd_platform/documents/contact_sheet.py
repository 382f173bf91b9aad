"""One picture of many figures with their words. Belongs here: laying out pairs; hits of a search have their own sheet (search)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.image_statistics import unit_image
from ovd_platform.documents.pair_images import read_image
from ovd_platform.errors import InputError, StaleError, UnreadableDocumentError
from ovd_platform.records.pair import Pair
from ovd_platform.stores.home import atomic_path

_GAP_PX = 8
_LINE_PX = 13
_LINES = 5
_TEXT_PX = 10
_PAPER, _INK, _FAINT = (250, 250, 250), (25, 25, 25), (110, 110, 110)
_FRAME = {
    "satellite": (30, 120, 60),
    "map": (160, 110, 20),
    "diagram": (60, 80, 170),
    "photograph": (150, 40, 120),
    "other": (120, 120, 120),
}


def write_contact_sheet(
    path: Path,
    pairs: Sequence[Pair],
    images_dir: Path,
    *,
    title: str = "",
    notes: Sequence[str] = (),
    columns: int = 5,
    cell_px: int = 190,
    most: int = 200,
) -> Path:
    """Draw figures in rows, each with page, kind, confidence, label and caption; the frame's colour is the kind.

    Args:
        path: PNG to make.
        pairs: Figures in order; those beyond `most` are counted below, not drawn.
        images_dir: Root of the extracted images.
        title: Words above.
        notes: Lines under the title: what went wrong, what was left out.
        columns: Cells a row.
        cell_px: Side of the square a picture fits in.
        most: Cells at most.

    Returns:
        The path.

    Raises:
        InputError: If `columns` or `cell_px` is too small.
    """
    from PIL import Image, ImageDraw, ImageFont

    if columns < 1 or cell_px < 64:
        raise InputError(f"Cannot draw a contact sheet: expected columns >= 1 and cells >= 64 px, got {columns} and {cell_px}.")
    shown = list(pairs[:most])
    font = ImageFont.truetype(_font_path(), _TEXT_PX)
    width = columns * (cell_px + _GAP_PX) + _GAP_PX
    head = [line for text in (title, *notes) for line in _wrapped(text, font, width - 2 * _GAP_PX, 3)]
    if len(pairs) > most:
        head.append(f"{len(pairs) - most} more figures are not drawn")
    top = _GAP_PX + len(head) * (_LINE_PX + 2) + _GAP_PX
    row_px = cell_px + _LINES * _LINE_PX + _GAP_PX
    sheet = Image.new("RGB", (width, top + max(1, -(-len(shown) // columns)) * row_px), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(head):
        draw.text((_GAP_PX, _GAP_PX + number * (_LINE_PX + 2)), line, fill=_INK, font=font)
    for index, pair in enumerate(shown):
        left, upper = _GAP_PX + (index % columns) * (cell_px + _GAP_PX), top + (index // columns) * row_px
        _cell(sheet, draw, font, pair, images_dir / pair.image_path, left, upper, cell_px)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)
    return path


def _cell(sheet: Any, draw: Any, font: Any, pair: Pair, path: Path, left: int, upper: int, cell_px: int) -> None:
    from PIL import Image

    try:
        picture = Image.fromarray(np.rint(unit_image(_thinned(read_image(path), 2 * cell_px)) * 255).astype(np.uint8))
        picture.thumbnail((cell_px, cell_px))
        sheet.paste(picture, (left + (cell_px - picture.width) // 2, upper + (cell_px - picture.height) // 2))
    except (StaleError, UnreadableDocumentError):
        draw.text((left + 4, upper + cell_px // 2), "image is gone or broken", fill=_FAINT, font=font)
    draw.rectangle((left - 1, upper - 1, left + cell_px, upper + cell_px), outline=_FRAME[pair.kind], width=2)
    first = f"p. {pair.page + 1}  {pair.kind}{' (SAR)' if pair.modality == 'sar' else ''}  {pair.confidence:.2f}"
    draw.text((left, upper + cell_px + 2), first, fill=_FRAME[pair.kind], font=font)
    words = f"{pair.label + ': ' if pair.label else ''}{pair.caption or 'no caption'}"
    for number, line in enumerate(_wrapped(words, font, cell_px, _LINES - 1), start=1):
        draw.text((left, upper + cell_px + 2 + number * _LINE_PX), line, fill=_INK if pair.caption else _FAINT, font=font)


def _thinned(array: NDArray[Any], side_px: int) -> NDArray[Any]:
    """Every n-th pixel of a large picture, so that huge ones cost no more than small ones."""
    step = max(1, min(array.shape[:2]) // side_px)
    return array[::step, ::step]


def _wrapped(text: str, font: Any, width_px: int, most: int) -> list[str]:
    """At most `most` lines; what does not fit is cut with three dots."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width_px:
            lines.append(line)
            line = word
        else:
            line = longer
    lines.append(line)
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1] + " ..."]
    cut = []
    for line in lines:
        while len(line) > 4 and font.getlength(line) > width_px:
            line = line[:-5] + " ..." if line.endswith(" ...") else line[:-1]
        cut.append(line)
    return cut if text.strip() else []


def _font_path() -> str:
    """A font with accents and Cyrillic that is always there: matplotlib's."""
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
