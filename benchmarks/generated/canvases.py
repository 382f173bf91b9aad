"""Four PDF libraries behind one canvas: PyMuPDF, ReportLab, fpdf2, matplotlib's PDF backend. Belongs here: drawing, no layout."""

from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pymupdf

from benchmarks.generated.model import BLACK, Box, Colour, Mark

_MUPDF = {"serif": "tiro", "serif-bold": "tibo", "serif-italic": "tiit", "sans": "helv", "sans-bold": "hebo"}
_REPORTLAB = {
    "serif": "Times-Roman",
    "serif-bold": "Times-Bold",
    "serif-italic": "Times-Italic",
    "sans": "Helvetica",
    "sans-bold": "Helvetica-Bold",
}
_FPDF = {"serif": ("Times", ""), "serif-bold": ("Times", "B"), "serif-italic": ("Times", "I"), "sans": ("Helvetica", ""), "sans-bold": ("Helvetica", "B")}  # fmt: skip
_MATPLOTLIB = {
    "serif": ("DejaVu Serif", "normal", "normal"), "serif-bold": ("DejaVu Serif", "normal", "bold"), "serif-italic": ("DejaVu Serif", "italic", "normal"),
    "sans": ("DejaVu Sans", "normal", "normal"), "sans-bold": ("DejaVu Sans", "normal", "bold"),
}  # fmt: skip


class PyMuPdfCanvas:
    """Text and drawing by PyMuPDF's page methods."""

    def __init__(self, page_pt: tuple[float, float], seed: int) -> None:
        self._size, self._document = page_pt, pymupdf.open()

    def new_page(self) -> None:
        self._page = self._document.new_page(width=self._size[0], height=self._size[1])

    def text(self, x: float, baseline: float, text: str, font: str, size: float, colour: Colour = BLACK) -> None:
        self._page.insert_text((x, baseline), text.replace("–", "-"), fontname=_MUPDF[font], fontsize=size, color=colour)

    def text_length(self, text: str, font: str, size: float) -> float:
        return float(pymupdf.get_text_length(text, fontname=_MUPDF[font], fontsize=size))

    def image(self, data: bytes, box: Box) -> None:
        self._page.insert_image(pymupdf.Rect(box), stream=data, keep_proportion=False)

    def mark(self, mark: Mark, x: float, y: float) -> None:
        points = [pymupdf.Point(x + a, y + b) for a, b in mark.points]
        if mark.kind == "line":
            self._page.draw_line(points[0], points[1], color=mark.stroke, width=mark.width)
        elif mark.kind == "polygon":
            self._page.draw_polyline(points, color=mark.stroke, fill=mark.fill, width=mark.width, closePath=True)
        else:
            draw = self._page.draw_rect if mark.kind == "rect" else self._page.draw_oval
            draw(pymupdf.Rect(points[0], points[1]), color=mark.stroke, fill=mark.fill, width=mark.width)

    def save(self, path: Path) -> None:
        self._document.save(path, deflate=True, garbage=3, no_new_id=True)
        self._document.close()


class ReportLabCanvas:
    """ReportLab's canvas: origin at the bottom, images as XObjects, text objects."""

    def __init__(self, page_pt: tuple[float, float], seed: int) -> None:
        from reportlab.pdfgen.canvas import Canvas

        self._height, self._buffer = page_pt[1], BytesIO()
        self._canvas = Canvas(self._buffer, pagesize=page_pt, pageCompression=1, invariant=1)
        self._begun = False

    def new_page(self) -> None:
        if self._begun:
            self._canvas.showPage()
        self._begun = True

    def text(self, x: float, baseline: float, text: str, font: str, size: float, colour: Colour = BLACK) -> None:
        self._canvas.setFillColorRGB(*colour)
        self._canvas.setFont(_REPORTLAB[font], size)
        self._canvas.drawString(x, self._height - baseline, text)

    def text_length(self, text: str, font: str, size: float) -> float:
        return float(self._canvas.stringWidth(text, _REPORTLAB[font], size))

    def image(self, data: bytes, box: Box) -> None:
        from reportlab.lib.utils import ImageReader

        self._canvas.drawImage(ImageReader(BytesIO(data)), box[0], self._height - box[3], box[2] - box[0], box[3] - box[1])

    def mark(self, mark: Mark, x: float, y: float) -> None:
        canvas = self._canvas
        points = [(x + a, self._height - y - b) for a, b in mark.points]
        canvas.setLineWidth(mark.width)
        canvas.setStrokeColorRGB(*(mark.stroke or BLACK))
        canvas.setFillColorRGB(*(mark.fill or BLACK))
        how = {"stroke": int(mark.stroke is not None), "fill": int(mark.fill is not None)}
        (x0, y0), (x1, y1) = points[0], points[1]
        if mark.kind == "line":
            canvas.line(x0, y0, x1, y1)
        elif mark.kind == "rect":
            canvas.rect(x0, y1, x1 - x0, y0 - y1, **how)
        elif mark.kind == "ellipse":
            canvas.ellipse(x0, y1, x1, y0, **how)
        else:
            path = canvas.beginPath()
            path.moveTo(x0, y0)
            for point in points[1:]:
                path.lineTo(*point)
            path.close()
            canvas.drawPath(path, **how)

    def save(self, path: Path) -> None:
        self._canvas.showPage()
        self._canvas.save()
        path.write_bytes(self._buffer.getvalue())


class FpdfCanvas:
    """fpdf2 with its core fonts."""

    def __init__(self, page_pt: tuple[float, float], seed: int) -> None:
        from fpdf import FPDF

        self._pdf = FPDF(unit="pt", format=page_pt)
        self._pdf.set_auto_page_break(False)
        self._pdf.set_margin(0)

    def new_page(self) -> None:
        self._pdf.add_page()

    def text(self, x: float, baseline: float, text: str, font: str, size: float, colour: Colour = BLACK) -> None:
        family, style = _FPDF[font]
        self._pdf.set_font(family, style, size)
        self._pdf.set_text_color(*(round(255 * value) for value in colour))
        self._pdf.text(x, baseline, text.replace("–", "-"))

    def text_length(self, text: str, font: str, size: float) -> float:
        return float(pymupdf.get_text_length(text, fontname=_MUPDF[font], fontsize=size))

    def image(self, data: bytes, box: Box) -> None:
        self._pdf.image(BytesIO(data), box[0], box[1], box[2] - box[0], box[3] - box[1])

    def mark(self, mark: Mark, x: float, y: float) -> None:
        pdf = self._pdf
        points = [(x + a, y + b) for a, b in mark.points]
        pdf.set_line_width(mark.width)
        pdf.set_draw_color(*(round(255 * value) for value in mark.stroke or BLACK))
        pdf.set_fill_color(*(round(255 * value) for value in mark.fill or BLACK))
        style = ("D" if mark.stroke is not None else "") + ("F" if mark.fill is not None else "")
        (x0, y0), (x1, y1) = points[0], points[1]
        if mark.kind == "line":
            pdf.line(x0, y0, x1, y1)
        elif mark.kind == "polygon":
            pdf.polygon(points, style=style)
        else:
            (pdf.rect if mark.kind == "rect" else pdf.ellipse)(x0, y0, x1 - x0, y1 - y0, style=style)

    def save(self, path: Path) -> None:
        from datetime import UTC, datetime

        self._pdf.set_creation_date(datetime(2026, 1, 1, tzinfo=UTC))
        self._pdf.output(str(path))


class MatplotlibCanvas:
    """A page is a figure; images are resampled or not, fonts are Type 3 or TrueType, as its users have them."""

    def __init__(self, page_pt: tuple[float, float], seed: int) -> None:
        self._size, self._type, self._figures = page_pt, (3, 42)[seed % 2], []  # type: ignore[var-annotated]

    def new_page(self) -> None:
        from matplotlib.backends.backend_pdf import FigureCanvasPdf
        from matplotlib.figure import Figure

        figure = Figure(figsize=(self._size[0] / 72, self._size[1] / 72))
        FigureCanvasPdf(figure)
        self._figures.append(figure)
        self._order = 0

    def _next(self) -> int:
        self._order += 1
        return self._order

    def text(self, x: float, baseline: float, text: str, font: str, size: float, colour: Colour = BLACK) -> None:
        family, style, weight = _MATPLOTLIB[font]
        self._figures[-1].text(
            x / self._size[0], 1 - baseline / self._size[1], text, family=family, style=style, weight=weight, size=0.86 * size,
            color=colour, va="baseline", parse_math=False, zorder=self._next(),
        )  # fmt: skip

    def text_length(self, text: str, font: str, size: float) -> float:
        drawn = _measuring_font(*_MATPLOTLIB[font])
        drawn.set_size(0.86 * size, 72)
        drawn.set_text(text, 0.0, flags=2)
        return float(drawn.get_width_height()[0] / 64)

    def image(self, data: bytes, box: Box) -> None:
        import numpy as np
        from PIL import Image

        pixels = np.asarray(Image.open(BytesIO(data)))
        width, height = self._size
        axes = self._figures[-1].add_axes(
            (box[0] / width, 1 - box[3] / height, (box[2] - box[0]) / width, (box[3] - box[1]) / height), zorder=self._next()
        )
        axes.set_axis_off()
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, aspect="auto", interpolation="none")

    def mark(self, mark: Mark, x: float, y: float) -> None:
        from matplotlib import patches
        from matplotlib.transforms import Affine2D

        figure = self._figures[-1]
        points = [(x + a, self._size[1] - y - b) for a, b in mark.points]
        (x0, y0), (x1, y1) = points[0], points[1]
        look: dict[str, Any] = {
            "edgecolor": mark.stroke or "none", "facecolor": mark.fill or "none", "linewidth": mark.width if mark.stroke else 0,
            "transform": Affine2D().scale(1 / self._size[0], 1 / self._size[1]) + figure.transFigure, "zorder": self._next(),
        }  # fmt: skip
        if mark.kind == "rect":
            patch: Any = patches.Rectangle((x0, y1), x1 - x0, y0 - y1, **look)
        elif mark.kind == "ellipse":
            patch = patches.Ellipse(((x0 + x1) / 2, (y0 + y1) / 2), x1 - x0, y0 - y1, **look)
        else:
            patch = patches.Polygon(points, closed=mark.kind == "polygon", **look)
        figure.add_artist(patch)

    def save(self, path: Path) -> None:
        import matplotlib
        from matplotlib.backends.backend_pdf import PdfPages

        with matplotlib.rc_context({"pdf.fonttype": self._type}), PdfPages(path, metadata={"CreationDate": None}) as pages:
            for figure in self._figures:
                pages.savefig(figure, dpi=72)


@lru_cache
def _measuring_font(family: str, style: str, weight: str) -> Any:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return get_font(findfont(FontProperties(family=family, style=style, weight=weight)))
