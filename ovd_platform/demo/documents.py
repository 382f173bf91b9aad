"""Rendered PDF documents with figures, captions and exact truth.

Belongs here: page layout; words are `captions`', pictures are `chips`'. Pictures are native PNGs of 8-bit stretches of
the 12-bit chips, as authors paste them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pymupdf
from numpy.typing import NDArray

from ovd_platform.demo.captions import TITLES, describe, paragraph, short_name
from ovd_platform.demo.chips import CHIP_CLASSES, DocumentChip, render_chip, stretch_8_bit
from ovd_platform.demo.distractors import DISTRACTORS, draw_bars
from ovd_platform.demo.spectra import instrument

_WIDTH, _HEIGHT, _MARGIN = 595.0, 842.0, 54.0
LAYOUTS = ("one-column", "two-columns", "caption-above", "grid", "call-outs")
FOOTER = "rendered imagery - not a real place"


@dataclass
class _Writer:
    """A document under construction; a column is (left, right)."""

    document: Any
    name: str
    truth: list[dict[str, Any]]
    columns: list[tuple[float, float]]
    page: Any = None
    column: int = 0
    y: float = 0.0
    figure: int = 0

    def new_page(self) -> None:
        self.page = self.document.new_page(width=_WIDTH, height=_HEIGHT)
        self.page.insert_text(
            (_MARGIN, _HEIGHT - 28), f"{FOOTER}  |  page {self.document.page_count}", fontname="helv", fontsize=7
        )
        self.column, self.y = 0, _MARGIN

    def need(self, height: float) -> None:
        """Go to the next column or page unless there is room."""
        if self.page is None:
            self.new_page()
        if self.y + height <= _HEIGHT - 50:
            return
        if self.column + 1 < len(self.columns):
            self.column, self.y = self.column + 1, _MARGIN
        else:
            self.new_page()

    def text(self, words: str, size: float = 9.0, font: str = "tiro", gap: float = 6.0) -> tuple[float, float, float, float]:
        """Write a wrapped paragraph; returns its box."""
        left, right = self.columns[self.column]
        lines = wrap(words, right - left, size, font)
        self.need(len(lines) * size * 1.25 + gap)
        left, right = self.columns[self.column]
        top = self.y
        for line in lines:
            self.y += size * 1.25
            self.page.insert_text((left, self.y - size * 0.25), line, fontname=font, fontsize=size)
        box = (left, top, right, self.y)
        self.y += gap
        return box

    def image(self, pixels: NDArray[np.uint8], box: tuple[float, float, float, float]) -> None:
        """Place a picture as PNG."""
        bgr = pixels[:, :, ::-1] if pixels.ndim == 3 else pixels
        done, png = cv2.imencode(".png", bgr)
        assert done
        self.page.insert_image(pymupdf.Rect(*box), stream=png.tobytes())

    def record(self, box: tuple[float, float, float, float], caption: str, chip: DocumentChip | None, **more: Any) -> None:
        """Note the truth of a figure."""
        entry: dict[str, Any] = {
            "document": self.name,
            "page": self.document.page_count - 1,
            "box": [round(value, 2) for value in box],
            "label": f"Figure {self.figure}",
            "caption": caption,
            "class": chip.class_name if chip else "",
            "count": chip.count if chip else 0,
            "kind": "satellite" if chip else "distractor",
            "modality": "sar" if chip and chip.instrument.startswith("sar") else "optical",
            "instrument": chip.instrument if chip else "",
        }
        self.truth.append(entry | more)


def wrap(words: str, width: float, size: float, font: str) -> list[str]:
    """Break text into lines that fit a width in points."""
    lines, line = [], ""
    for word in words.split():
        longer = f"{line} {word}".strip()
        if line and pymupdf.get_text_length(longer, fontname=font, fontsize=size) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line]


def write_document(path: Path, seed: int, classes: list[str], layout: str, *, sar: bool = False) -> list[dict[str, Any]]:
    """Write one PDF.

    Args:
        path: Where.
        seed: Decides pictures and words.
        classes: Class of each chip, in order.
        layout: One of `LAYOUTS`.
        sar: Whether a third of the chips are radar images.

    Returns:
        Truth of its figures: document, page, box (points, origin top left), label, caption, class, kind, modality.
    """
    rng = np.random.default_rng([seed, 31])
    columns = [(_MARGIN, _WIDTH - _MARGIN)]
    if layout == "two-columns":
        columns = [(_MARGIN, _WIDTH / 2 - 10), (_WIDTH / 2 + 10, _WIDTH - _MARGIN)]
    writer = _Writer(pymupdf.open(), path.name, [], columns)
    title = TITLES[seed % len(TITLES)]
    writer.need(40)
    writer.text(title, 15.0, "tibo", 10)
    writer.text(paragraph(rng))
    chips = [_chip(seed * 1000 + index, name, rng, sar and index % 3 == 0) for index, name in enumerate(classes)]
    while chips:
        take = min(len(chips), int(rng.choice((4, 6, 6)))) if layout == "grid" else 1
        now, chips = chips[:take], chips[take:]
        if layout == "grid" and take > 1:
            _grid(writer, now, rng)
        elif layout == "call-outs":
            _call_out(writer, now[0], rng)
        else:
            _single(writer, now[0], rng, above=layout == "caption-above")
        if rng.random() < 0.22:
            _distractor(writer, rng)
    _distractor(writer, rng)
    writer.document.set_metadata(
        {
            "title": title,
            "author": "rendered world",
            "subject": FOOTER,
            "keywords": "rendered",
            "creationDate": "D:20260101000000Z",
            "modDate": "D:20260101000000Z",
        }
    )
    writer.document.save(path, deflate=True, garbage=3, no_new_id=True)
    writer.document.close()
    return writer.truth


def _chip(seed: int, class_name: str, rng: np.random.Generator, radar: bool) -> DocumentChip:
    name = "sar-grd-2" if radar else str(rng.choice(("pan-1x12", "pan-1x12", "pan-1x12", "ms-4x12", "rgb-3x8", "ms-8x12")))
    gsd = float(rng.uniform(0.5, 0.85))
    small = class_name in ("vehicle", "small boat", "helicopter")
    size = int(rng.integers(64, 97)) if small else int(rng.integers(84, 161))
    return render_chip(seed, name, class_name, size, gsd_m=gsd)


def _picture(chip: DocumentChip) -> NDArray[np.uint8]:
    return stretch_8_bit(chip.pixels_chw, instrument(chip.instrument))


def _single(writer: _Writer, chip: DocumentChip, rng: np.random.Generator, *, above: bool) -> None:
    writer.figure += 1
    caption = describe(chip, rng)
    label = str(rng.choice(("Figure", "Figure", "Fig."))) + f" {writer.figure}" + str(rng.choice((":", ".")))
    edge = float(rng.uniform(105, 165))
    writer.need(edge + 75)
    if rng.random() < 0.65:
        writer.text(paragraph(rng, f"Figure {writer.figure} shows the object in detail."))
        writer.need(edge + 45)
    if above:
        writer.text(f"{label} {caption}", 8.5, "helv", 4)
    left, right = writer.columns[writer.column]
    x = left + (right - left - edge) / 2 if len(writer.columns) > 1 or rng.random() < 0.7 else left
    box = (x, writer.y, x + edge, writer.y + edge)
    writer.image(_picture(chip), box)
    writer.y += edge + 5
    if not above:
        writer.text(f"{label} {caption}", 8.5, "helv", 12)
    else:
        writer.y += 10
    writer.record(box, caption, chip)


def _grid(writer: _Writer, chips: list[DocumentChip], rng: np.random.Generator) -> None:
    writer.figure += 1
    across, edge, gap = 3 if len(chips) > 4 else 2, 118.0, 16.0
    rows = -(-len(chips) // across)
    writer.need(rows * (edge + 34) + 50)
    left, _ = writer.columns[writer.column]
    top = writer.y
    parts = []
    for index, chip in enumerate(chips):
        x = left + (index % across) * (edge + gap + 24)
        y = top + (index // across) * (edge + 34)
        box = (x, y, x + edge, y + edge)
        writer.image(_picture(chip), box)
        words, letter = describe(chip, rng).rstrip("."), "abcdefgh"[index]
        for number, line in enumerate(wrap(f"({letter}) {words}", edge + 24, 7.5, "helv")[:2]):
            writer.page.insert_text((x, y + edge + 10 + number * 9), line, fontname="helv", fontsize=7.5)
        parts.append((box, letter, words, chip))
    writer.y = top + rows * (edge + 34) + 4
    main = (
        f"Examples of objects found in the area; {', '.join(f'({letter}) {chip.class_name}' for _, letter, _, chip in parts)}."
    )
    writer.text(f"Figure {writer.figure}: {main}", 8.5, "helv", 12)
    for box, letter, words, chip in parts:
        writer.record(box, words, chip, part=f"({letter})", main_caption=main)


def _call_out(writer: _Writer, chip: DocumentChip, rng: np.random.Generator) -> None:
    """A picture with a circle or box drawn over the object and words with an arrow: vector drawing, not pixels."""
    writer.figure += 1
    edge = float(rng.uniform(130, 175))
    writer.need(edge + 60)
    left, _ = writer.columns[writer.column]
    box = (left + 30, writer.y, left + 30 + edge, writer.y + edge)
    writer.image(_picture(chip), box)
    size = chip.pixels_chw.shape[2]
    own = [item for item in chip.truth if item.class_name == chip.class_name]
    x0, y0, x1, y1 = min(own or chip.truth, key=lambda item: abs(sum(item.box_scene_xyxy) / 4 - size / 2)).box_scene_xyxy
    zoom = edge / size
    ring = pymupdf.Rect(box[0] + x0 * zoom - 5, box[1] + y0 * zoom - 5, box[0] + x1 * zoom + 5, box[1] + y1 * zoom + 5)
    ring &= pymupdf.Rect(*box)
    colour = ((1, 0.1, 0.1), (1, 0.9, 0), (0, 0.9, 1))[int(rng.integers(3))]
    if rng.random() < 0.6:
        writer.page.draw_oval(ring, color=colour, width=1.4)
    else:
        writer.page.draw_rect(ring, color=colour, width=1.4)
    name = short_name(chip, rng)
    tail, head = pymupdf.Point(box[2] + 20, ring.y0), pymupdf.Point(ring.x1, (ring.y0 + ring.y1) / 2)
    writer.page.draw_line(tail, head, color=colour, width=1.2)
    back = (tail - head) / max(abs(tail - head), 1e-6)
    for turn in (0.45, -0.45):
        c, s = np.cos(turn), np.sin(turn)
        writer.page.draw_line(
            head, head + pymupdf.Point(back.x * c - back.y * s, back.x * s + back.y * c) * 6, color=colour, width=1.2
        )
    writer.page.insert_text(tail + pymupdf.Point(3, 3), name, fontname="hebo", fontsize=8, color=(0.6, 0, 0))
    inside = pymupdf.Point(box[0] + 4, box[3] - 5)
    writer.page.insert_text(
        inside, "N" if rng.random() < 0.5 else f"target {writer.figure}", fontname="hebo", fontsize=7, color=colour
    )
    writer.y += edge + 5
    caption = describe(chip, rng)
    writer.text(f"Figure {writer.figure}: {caption}", 8.5, "helv", 12)
    writer.record(box, caption, chip, callout=name, ring=[round(value, 2) for value in ring])


def _distractor(writer: _Writer, rng: np.random.Generator) -> None:
    writer.figure += 1
    kind = str(rng.choice((*DISTRACTORS, "bars")))
    left, right = writer.columns[writer.column]
    width, height = min(right - left, 190.0), 110.0
    writer.need(height + 40)
    left, _ = writer.columns[writer.column]
    box = (left, writer.y, left + width, writer.y + height)
    if kind == "bars":
        draw_bars(writer.page, box, rng)
        caption = "Number of objects counted per month."
    else:
        make, caption = DISTRACTORS[kind]
        writer.image(make(rng), box)
    writer.y += height + 5
    writer.text(f"Figure {writer.figure}: {caption}", 8.5, "helv", 12)
    writer.record(box, caption, None, distractor=kind)


def write_documents(directory: Path, seed: int, count: int) -> list[dict[str, Any]]:
    """Write a set of PDFs in all layouts, every class in several of them, at least four dome buildings in each.

    Args:
        directory: Existing folder.
        seed: Decides everything; chips are of other places than any scene.
        count: Documents.

    Returns:
        Truth of all figures.
    """
    rng = np.random.default_rng([seed, 32])
    truth: list[dict[str, Any]] = []
    common = [name for name in CHIP_CLASSES if name != "dome building"]
    for index in range(count):
        wanted = ["dome building"] * int(rng.integers(4, 7)) + common + ["ship", "aircraft"]
        wanted += rng.choice(common, int(rng.integers(0, 2))).tolist()
        wanted = [str(name) for name in rng.permutation(wanted)][:20]
        layout = LAYOUTS[index % len(LAYOUTS)]
        name = f"report_{index + 1:02d}_{layout.replace('-', '_')}.pdf"
        truth += write_document(directory / name, seed * 100 + 7 + index, wanted, layout, sar=index % 4 == 2)
    return truth
