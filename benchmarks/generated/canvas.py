"""Setting a document on bare canvases: columns, figures, captions at exact places. Belongs here: layout; drawing is `canvases`'."""

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.generated.model import (
    BLACK,
    GUTTER_PT,
    MARGIN_PT,
    Box,
    Colour,
    Figure,
    Made,
    Mark,
    Panel,
    TableBlock,
    Words,
    part_line,
    spoken_label,
)

Place = tuple[int, Box]
_GAP_PT = 10.0
_PANEL_GAP_PT = 8.0


class Canvas(Protocol):
    """What a PDF library must do; points, origin top left; fonts are serif, serif-bold, serif-italic, sans, sans-bold."""

    def new_page(self) -> None:
        """Begin a page."""

    def text(self, x: float, baseline: float, text: str, font: str, size: float, colour: Colour = BLACK) -> None:
        """Write one line."""

    def text_length(self, text: str, font: str, size: float) -> float:
        """Width of a line, points."""

    def image(self, data: bytes, box: Box) -> None:
        """Place a PNG or JPEG."""

    def mark(self, mark: Mark, x: float, y: float) -> None:
        """Draw a primitive (no text) with its origin at (x, y)."""

    def save(self, path: Path) -> None:
        """Write the file."""


def encoded(pixels: NDArray[np.uint8], encoding: str) -> bytes:
    """PNG or JPEG of a picture."""
    bgr = pixels[:, :, ::-1] if pixels.ndim == 3 else pixels
    done, data = cv2.imencode(
        ".jpg" if encoding == "jpeg" else ".png", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90] if encoding == "jpeg" else []
    )
    assert done
    return bytes(data.tobytes())


class Composer:
    """Fills columns from the top; keeps a figure and its words together."""

    def __init__(self, canvas: Canvas, made: Made) -> None:
        self.canvas, self.made = canvas, made
        self.page, self.column, self.y = -1, 0, 0.0
        self.body, self.heading = ("serif", "serif-bold") if made.seed % 3 else ("sans", "sans-bold")
        self.caption_font = "sans" if made.seed % 2 else "serif-italic"
        self.label_font = "sans-bold" if made.seed % 4 < 2 else self.caption_font
        self.places: list[Place] = []

    def compose(self) -> list[Place]:
        """Set everything; returns page and box of each panel."""
        self._new_page()
        self._lines(self.made.title, self.heading, 1.5 * self.made.body_pt)
        self.y += 8
        for block in self.made.blocks:
            if isinstance(block, Words):
                self._lines(block.text, self.heading if block.heading else self.body, self.made.body_pt)
                self.y += 6
            elif isinstance(block, TableBlock):
                self._table(block)
            else:
                self._figure(block)
        return self.places

    @property
    def left(self) -> float:
        return MARGIN_PT + self.column * (self.made.column_pt + GUTTER_PT)

    @property
    def bottom(self) -> float:
        return self.made.page_pt[1] - 56

    def _new_page(self) -> None:
        self.canvas.new_page()
        self.page, self.column = self.page + 1, 0
        self.y = MARGIN_PT
        width, height = self.made.page_pt
        self.canvas.text(width / 2 - 4, height - 30, str(self.page + 1), self.body, 8)
        if self.page and self.made.seed % 2:
            self.canvas.text(MARGIN_PT, 34, self.made.title, "serif-italic", 8)
        if self.made.logo is not None and (self.page == 0 or self.made.logo_every_page):
            data = encoded(self.made.logo, "png")
            self.canvas.image(
                data,
                (width - MARGIN_PT - 52, 18, width - MARGIN_PT, 18 + 52 * self.made.logo.shape[0] / self.made.logo.shape[1]),
            )

    def _need(self, height: float) -> None:
        if self.y + height <= self.bottom:
            return
        if self.column + 1 < self.made.columns:
            self.column, self.y = self.column + 1, MARGIN_PT
        else:
            self._new_page()

    def _wrapped(self, text: str, font: str, size: float, width: float, first_font: str = "", first: str = "") -> list[str]:
        lines, line = [], first
        for word in text.split():
            longer = f"{line} {word}".strip()
            if line and self.canvas.text_length(longer, first_font or font, size) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        return [*lines, line]

    def _lines(self, text: str, font: str, size: float) -> None:
        for line in self._wrapped(text, font, size, self.made.column_pt):
            self._need(1.25 * size)
            self.y += 1.25 * size
            self.canvas.text(self.left, self.y - 0.3 * size, line, font, size)

    def _caption(self, figure: Figure, x: float, width: float) -> None:
        """Label and words at the present height; short captions are centred in every other document."""
        size = self.made.caption_pt
        label = spoken_label(figure)
        lines = self._caption_lines(figure, width)
        for number, line in enumerate(lines):
            self.y += 1.22 * size
            start = x
            if len(lines) == 1 and self.made.seed % 2 == 0:
                start = x + max(0.0, (width - self.canvas.text_length(line, self.label_font, size)) / 2)
            if number == 0 and label and self.label_font != self.caption_font and line.startswith(label):
                self.canvas.text(start, self.y - 0.3 * size, label, self.label_font, size)
                rest = line[len(label) :].strip()
                gap = self.canvas.text_length(label + " ", self.label_font, size)
                self.canvas.text(start + gap, self.y - 0.3 * size, rest, self.caption_font, size)
            else:
                self.canvas.text(start, self.y - 0.3 * size, line, self.caption_font, size)

    def _caption_lines(self, figure: Figure, width: float) -> list[str]:
        label = spoken_label(figure)
        return (
            self._wrapped(f"{label} {figure.caption}".strip(), self.caption_font, self.made.caption_pt, width, self.label_font)
            if label
            else []
        )

    def _figure(self, figure: Figure) -> None:
        width = self.made.column_pt
        rows = [figure.panels[start : start + figure.across] for start in range(0, len(figure.panels), figure.across)]
        under = [self._under_height(row, figure) for row in rows]
        tall = sum(
            max(panel.height_pt for panel in row) + extra + _PANEL_GAP_PT for row, extra in zip(rows, under, strict=True)
        )
        beside = figure.side == "beside"
        words = len(self._caption_lines(figure, width)) * 1.22 * self.made.caption_pt + 6
        self._need(tall + (0 if beside else words) + 2 * _GAP_PT)
        self.y += _GAP_PT / 2
        if figure.side == "above":
            self._caption(figure, self.left, width)
            self.y += 5
        top = self.y
        for row, extra in zip(rows, under, strict=True):
            self._row(row, figure, width, beside)
            self.y += max(panel.height_pt for panel in row) + extra + _PANEL_GAP_PT
        end = self.y
        if figure.side == "below":
            self.y -= _PANEL_GAP_PT - 4
            self._caption(figure, self.left, width)
            end = self.y
        elif beside:
            panel = figure.panels[0]
            self.y = top + (0 if self.made.seed % 3 else max(0.0, panel.height_pt / 2 - 20))
            x = self.left + panel.width_pt + panel.pad_pt + 12
            self._caption(figure, x, width - (x - self.left))
            end = max(end, self.y)
        self.y = end + _GAP_PT

    def _under_height(self, row: list[Panel], figure: Figure) -> float:
        counts = [len(self._part_lines(panel, figure)) for panel in row]
        return max(counts) * 1.2 * (self.made.caption_pt - 0.5) + (3 if max(counts) else 0)

    def _part_lines(self, panel: Panel, figure: Figure) -> list[str]:
        text = part_line(panel, figure)
        return self._wrapped(text, "sans", self.made.caption_pt - 0.5, panel.width_pt + _PANEL_GAP_PT - 4) if text else []

    def _row(self, row: list[Panel], figure: Figure, width: float, beside: bool) -> None:
        used = sum(panel.width_pt + panel.pad_pt for panel in row) + _PANEL_GAP_PT * (len(row) - 1)
        centred = len(row) > 1 or (self.made.seed % 4 != 1 and not beside)
        x = self.left + (max(0.0, (width - used) / 2) if centred else 0.0)
        size = self.made.caption_pt - 0.5
        for panel in row:
            box = (x, self.y, x + panel.width_pt, self.y + panel.height_pt)
            if panel.pixels is not None:
                self.canvas.image(encoded(panel.pixels, panel.encoding), box)
            for mark in panel.marks:
                if mark.kind == "text":
                    font = "sans-bold" if mark.bold else "sans"
                    self.canvas.text(
                        x + mark.points[0][0], self.y + mark.points[0][1], mark.text, font, mark.size, mark.stroke or BLACK
                    )
                else:
                    self.canvas.mark(mark, x, self.y)
            for number, line in enumerate(self._part_lines(panel, figure)):
                indent = max(0.0, (panel.width_pt - self.canvas.text_length(line, "sans", size)) / 2)
                self.canvas.text(x + indent, box[3] + 2 + (number + 1) * 1.2 * size - 1, line, "sans", size)
            self.places.append((self.page, box))
            x += panel.width_pt + panel.pad_pt + _PANEL_GAP_PT

    def _table(self, table: TableBlock) -> None:
        size = self.made.caption_pt
        self._need((len(table.rows) + 2) * 1.5 * size + 20)
        self.y += 6
        self._lines(table.caption, self.caption_font, size)
        self.y += 4
        width = min(self.made.column_pt, 240.0)
        for number, row in enumerate(table.rows):
            for index, cell in enumerate(row):
                self.canvas.text(self.left + index * width / 3 + 3, self.y + 1.1 * size, cell, self.body, size)
            if number in (0, 1, len(table.rows) - 1):
                y = self.y if number < 2 else self.y + 1.5 * size
                self.canvas.mark(Mark("line", ((0, 0), (width, 0)), BLACK, 0.6), self.left, y)
            self.y += 1.5 * size
        self.y += _GAP_PT
