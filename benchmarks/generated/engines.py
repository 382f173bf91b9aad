"""Documents set by LaTeX and LibreOffice, where these are installed. Belongs here: their markup and calls.

`pdflatex` (texlive-latex-recommended, lmodern) and `soffice` (libreoffice-writer) are found on the path; a missing one is named by the benchmark.
"""

import os
import shutil
import subprocess
from base64 import b64encode
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.generated.canvas import encoded
from benchmarks.generated.markup import hex_colour, picture_files, svg
from benchmarks.generated.model import (
    BLACK,
    GUTTER_PT,
    MARGIN_PT,
    Figure,
    Made,
    Mark,
    Panel,
    TableBlock,
    Words,
    part_line,
    spoken_label,
)
from benchmarks.generated.pictures import text_width

_KAPPA = 0.5523


def latex_program() -> str | None:
    """Path of pdflatex, or None."""
    return shutil.which("pdflatex")


def office_program() -> str | None:
    """Path of LibreOffice, or None."""
    return shutil.which("soffice") or shutil.which("libreoffice")


def set_latex(mades: list[Made], folder: Path) -> None:
    """Documents by pdfLaTeX."""
    for made in mades:
        source = folder / f"{made.name}.tex"
        source.write_text(_latex(made, picture_files(made, folder)))
        command = [str(latex_program()), "-interaction=nonstopmode", "-halt-on-error", source.name]
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1767225600"},
        )
        if done.returncode:
            raise RuntimeError(f"Cannot set {source}: pdflatex says {done.stdout[-400:]}")


def _tex(text: str) -> str:
    for sign in "&%#_$":
        text = text.replace(sign, "\\" + sign)
    return text.replace("–", "--").replace("|", "\\textbar{}")


def _latex(made: Made, names: list[str]) -> str:
    width, height = made.page_pt
    columns = "twocolumn," if made.columns == 2 else ""
    family = "" if made.seed % 3 else "\\renewcommand{\\familydefault}{\\sfdefault}"
    lines = [
        f"\\documentclass[{columns}{round(made.body_pt)}pt]{{article}}",
        "\\usepackage[T1]{fontenc}\\usepackage[utf8]{inputenc}\\usepackage{lmodern}\\usepackage{graphicx}\\usepackage{color}",
        "\\pdfinfoomitdate=1\\pdftrailerid{}\\pdfsuppressptexinfo=-1\\unitlength=1bp\\setlength{\\parindent}{0pt}\\setlength{\\parskip}{5bp}",
        f"\\pdfpagewidth={width}bp\\pdfpageheight={height}bp\\paperwidth={width}bp\\paperheight={height}bp",
        f"\\hoffset=-1in\\voffset=-1in\\oddsidemargin={MARGIN_PT}bp\\topmargin={MARGIN_PT - 20}bp\\headheight=10bp\\headsep=10bp",
        f"\\textwidth={width - 2 * MARGIN_PT}bp\\textheight={height - 2 * MARGIN_PT}bp\\columnsep={GUTTER_PT}bp\\tolerance=2000\\emergencystretch=20pt",
        f"\\renewcommand{{\\topfraction}}{{0.95}}\\renewcommand{{\\textfraction}}{{0.03}}\\renewcommand{{\\floatpagefraction}}{{0.7}}\\setcounter{{topnumber}}{{4}}\\setcounter{{totalnumber}}{{6}}{family}",
        "\\begin{document}",
    ]
    title = f"{{\\Large\\bfseries {_tex(made.title)}}}"
    if made.logo is not None:
        title += f"\\hfill\\includegraphics[width=42bp]{{{made.name}_logo.png}}"
    lines += [title, ""]
    left = iter(names)
    for block in made.blocks:
        if isinstance(block, Words):
            lines.append(f"\\textbf{{{_tex(block.text)}}}\\nopagebreak\n" if block.heading else f"{_tex(block.text)}\n")
        elif isinstance(block, TableBlock):
            rows = "\\\\\n".join(" & ".join(_tex(cell) for cell in row) for row in block.rows)
            lines.append(
                f"\\begin{{table}}[!htb]\\small {_tex(block.caption)}\\\\[3pt]\\begin{{tabular}}{{lrr}}\\hline {rows}\\\\\\hline\\end{{tabular}}\\end{{table}}\n"
            )
        else:
            lines.append(_latex_figure(block, made, [next(left) for _ in block.panels]))
    return "\n".join([*lines, "\\end{document}\n"])


def _latex_figure(figure: Figure, made: Made, names: list[str]) -> str:
    cells = []
    size = f"\\fontsize{{{made.caption_pt}}}{{{1.2 * made.caption_pt}}}\\selectfont "
    for panel, name in zip(figure.panels, names, strict=True):
        words = part_line(panel, figure)
        part = f"\\\\[1bp]{{{size}{_tex(words)}}}" if words else ""
        cells.append(
            f"\\begin{{minipage}}[t]{{{panel.width_pt + panel.pad_pt:.2f}bp}}\\vspace{{0pt}}\\centering {_latex_panel(panel, name)}{part}\\end{{minipage}}"
        )
    rows = ["\\hspace{6bp}".join(cells[start : start + figure.across]) for start in range(0, len(cells), figure.across)]
    pictures = "\\\\[5bp]".join(rows)
    centring = "\\centering" if made.seed % 2 else "\\raggedright"
    if not figure.label:
        return f"\\begin{{figure}}[!htb]{centring} {pictures}\\end{{figure}}\n"
    label = f"\\textbf{{{_tex(spoken_label(figure))}}}" if made.seed % 4 < 2 else _tex(spoken_label(figure))
    caption = f"{{{size}{label} {_tex(figure.caption)}\\par}}"
    if figure.side == "beside":
        width = made.column_pt - figure.panels[0].width_pt - figure.panels[0].pad_pt - 14
        beside = f"\\begin{{minipage}}[t]{{{width:.1f}bp}}\\vspace{{0pt}}{caption}\\end{{minipage}}"
        return f"\\begin{{figure}}[!htb]{cells[0]}\\hfill {beside}\\end{{figure}}\n"
    block = f"\\parbox{{\\columnwidth}}{{{caption}}}"
    inner = f"{block}\\par\\vspace{{3bp}}{pictures}" if figure.side == "above" else f"{pictures}\\par\\vspace{{3bp}}{block}"
    return f"\\begin{{figure}}[!htb]{centring} {inner}\\end{{figure}}\n"


def _latex_panel(panel: Panel, name: str) -> str:
    width, height = panel.width_pt + panel.pad_pt, panel.height_pt
    parts = [f"\\put(0,0){{\\includegraphics[width={panel.width_pt:.2f}bp,height={height:.2f}bp]{{{name}}}}}"] if name else []
    shapes = "\n".join(pdf_operators(mark, height) for mark in panel.marks if mark.kind != "text")
    if shapes:
        parts.append(f"\\put(0,0){{\\pdfliteral{{q {shapes} Q}}}}")
    for mark in panel.marks:
        if mark.kind == "text":
            colour = ",".join(f"{value:.2f}" for value in mark.stroke or BLACK)
            weight = "\\bfseries " if mark.bold else ""
            words = f"\\color[rgb]{{{colour}}}\\sffamily\\fontsize{{{mark.size}}}{{{mark.size}}}\\selectfont {weight}{_tex(mark.text)}"
            parts.append(f"\\put({mark.points[0][0]:.2f},{height - mark.points[0][1]:.2f}){{{words}}}")
    return f"\\begin{{picture}}({width:.2f},{height:.2f}){''.join(parts)}\\end{{picture}}"


def pdf_operators(mark: Mark, height: float) -> str:
    """A primitive in PDF operators, origin at the lower left corner of its panel."""
    points = [(x, height - y) for x, y in mark.points]
    look = f"{mark.width} w "
    look += "{:.3f} {:.3f} {:.3f} RG ".format(*mark.stroke) if mark.stroke else ""
    look += "{:.3f} {:.3f} {:.3f} rg ".format(*mark.fill) if mark.fill else ""
    paint = "B" if mark.stroke and mark.fill else ("f" if mark.fill else "S")
    (x0, y0), (x1, y1) = points[0], points[1]
    if mark.kind == "line":
        return f"{look}{x0:.2f} {y0:.2f} m {x1:.2f} {y1:.2f} l S"
    if mark.kind == "rect":
        return f"{look}{x0:.2f} {y1:.2f} {x1 - x0:.2f} {y0 - y1:.2f} re {paint}"
    if mark.kind == "polygon":
        rest = " ".join(f"{x:.2f} {y:.2f} l" for x, y in points[1:])
        return f"{look}{x0:.2f} {y0:.2f} m {rest} h {paint}"
    cx, cy, rx, ry = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, abs(y1 - y0) / 2
    corners = [(cx + rx, cy), (cx, cy + ry), (cx - rx, cy), (cx, cy - ry), (cx + rx, cy)]
    tangents = [(0, ry), (-rx, 0), (0, -ry), (rx, 0), (0, ry)]
    text = f"{look}{corners[0][0]:.2f} {corners[0][1]:.2f} m "
    for (a, b), (ta, tb) in zip(pairwise(corners), pairwise(tangents), strict=True):
        text += f"{a[0] + _KAPPA * ta[0]:.2f} {a[1] + _KAPPA * ta[1]:.2f} {b[0] - _KAPPA * tb[0]:.2f} {b[1] - _KAPPA * tb[1]:.2f} {b[0]:.2f} {b[1]:.2f} c "
    return text + f"h {paint}"


def set_office(mades: list[Made], folder: Path) -> None:
    """Documents by LibreOffice Writer from flat OpenDocument files, all in one run."""
    sources = []
    for made in mades:
        source = folder / f"{made.name}.fodt"
        source.write_text(_office(made))
        sources.append(source.name)
    profile = (folder / "profile").resolve().as_uri()
    command = [
        str(office_program()),
        "--headless",
        f"-env:UserInstallation={profile}",
        "--convert-to",
        "pdf:writer_pdf_Export",
        "--outdir",
        ".",
        *sources,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False, timeout=300)
    shutil.rmtree(folder / "profile", ignore_errors=True)
    missing = [made.name for made in mades if not (folder / f"{made.name}.pdf").is_file()]
    if missing:
        raise RuntimeError(f"Cannot set {missing}: LibreOffice says {done.stdout[-200:]} {done.stderr[-300:]}")


_SPACES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{value}:1.0"'
    for name, value in {"office": "office", "style": "style", "text": "text", "table": "table", "draw": "drawing", "fo": "xsl-fo-compatible", "svg": "svg-compatible"}.items()
) + ' xmlns:xlink="http://www.w3.org/1999/xlink"'  # fmt: skip


class _Styles:
    """Automatic styles of shapes, made as they are needed."""

    def __init__(self) -> None:
        self.text: list[str] = []

    def shape(self, mark: Mark) -> str:
        name = f"m{len(self.text)}"
        stroke = (
            f'draw:stroke="solid" svg:stroke-width="{mark.width}pt" svg:stroke-color="{hex_colour(mark.stroke)}"'
            if mark.stroke
            else 'draw:stroke="none"'
        )
        fill = f'draw:fill="solid" draw:fill-color="{hex_colour(mark.fill)}"' if mark.fill else 'draw:fill="none"'
        if mark.kind == "text":
            stroke, fill = (
                'draw:stroke="none" fo:border="none" fo:padding="0pt"',
                'draw:fill="none" fo:background-color="transparent"',
            )
        where = 'style:horizontal-pos="from-left" style:horizontal-rel="paragraph" style:vertical-pos="from-top" style:vertical-rel="paragraph" style:wrap="run-through" style:run-through="foreground" style:flow-with-text="false"'
        self.text.append(
            f'<style:style style:name="{name}" style:family="graphic"><style:graphic-properties {stroke} {fill} {where}/></style:style>'
        )
        if mark.kind == "text":
            weight = ' fo:font-weight="bold"' if mark.bold else ""
            self.text.append(
                f'<style:style style:name="{name}t" style:family="paragraph"><style:paragraph-properties fo:margin="0pt"/>'
                f'<style:text-properties style:font-name="Liberation Sans" fo:font-family="Liberation Sans" fo:font-size="{mark.size}pt" fo:color="{hex_colour(mark.stroke or BLACK)}"{weight}/></style:style>'
            )
        return name


def _office(made: Made) -> str:
    width, height = made.page_pt
    family = "Liberation Serif" if made.seed % 3 else "Liberation Sans"
    columns = f'<style:columns fo:column-count="{made.columns}" fo:column-gap="{GUTTER_PT}pt"/>' if made.columns > 1 else ""
    styles = _Styles()
    body = [_paragraph("Title", made.title)]
    for block in made.blocks:
        if isinstance(block, Words):
            body.append(_paragraph("Head" if block.heading else "Body", block.text))
        elif isinstance(block, TableBlock):
            rows = "".join(
                "<table:table-row>"
                + "".join(
                    f'<table:table-cell table:style-name="Cell">{_paragraph("Small", cell)}</table:table-cell>' for cell in row
                )
                + "</table:table-row>"
                for row in block.rows
            )
            body.append(
                _paragraph("Caption", block.caption)
                + f'<table:table table:style-name="Grid"><table:table-column table:number-columns-repeated="3"/>{rows}</table:table>'
            )
        else:
            body.append(_office_figure(block, made, styles))
    keep = 'fo:keep-with-next="always"'
    paragraph_styles = "".join(
        f'<style:style style:name="{name}" style:family="paragraph"><style:paragraph-properties fo:margin-top="{top}pt" fo:margin-bottom="{bottom}pt" fo:text-align="{align}" {more}/>'
        f'<style:text-properties fo:font-family="{family}" fo:font-size="{size}pt" {text}/></style:style>'
        for name, top, bottom, align, more, size, text in (
            ("Title", 0, 8, "start", "", 1.5 * made.body_pt, 'fo:font-weight="bold"'), ("Head", 6, 4, "start", keep, made.body_pt, 'fo:font-weight="bold"'),
            ("Body", 0, 6, "justify" if made.seed % 2 else "start", "", made.body_pt, ""), ("Picture", 6, 3, "start", keep, made.body_pt, ""),
            ("Last", 6, 8, "start", "", made.body_pt, ""), ("Caption", 2, 8, "start", "", made.caption_pt, 'fo:font-style="italic"'),
            ("Over", 6, 3, "start", keep, made.caption_pt, 'fo:font-style="italic"'), ("Small", 0, 0, "center", keep, made.caption_pt - 0.5, ""),
        )
    )  # fmt: skip
    fixed = (
        '<style:style style:name="In" style:family="graphic"><style:graphic-properties style:vertical-pos="top" style:vertical-rel="baseline" fo:border="none" fo:padding="0pt"/></style:style>'
        f'<style:style style:name="Grid" style:family="table"><style:table-properties table:align="left" style:width="{min(made.column_pt, 240):.0f}pt" fo:margin-bottom="8pt"/></style:style>'
        '<style:style style:name="Cell" style:family="table-cell"><style:table-cell-properties fo:border-bottom="0.5pt solid #000000" fo:padding="1pt"/></style:style>'
        '<style:style style:name="Plain" style:family="table-cell"><style:table-cell-properties fo:border="none" fo:padding="2pt"/></style:style>'
    )
    page = f'<style:page-layout style:name="P"><style:page-layout-properties fo:page-width="{width}pt" fo:page-height="{height}pt" fo:margin="{MARGIN_PT}pt">{columns}</style:page-layout-properties></style:page-layout>'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document {_SPACES} office:version="1.2" office:mimetype="application/vnd.oasis.opendocument.text">'
        f"<office:automatic-styles>{page}{paragraph_styles}{fixed}{''.join(styles.text)}</office:automatic-styles>"
        '<office:master-styles><style:master-page style:name="Standard" style:page-layout-name="P"/></office:master-styles>'
        f"<office:body><office:text>{''.join(body)}</office:text></office:body></office:document>"
    )


def _paragraph(style: str, text: str, before: str = "") -> str:
    return f'<text:p text:style-name="{style}">{before}{escape(text)}</text:p>'


def _office_figure(figure: Figure, made: Made, styles: _Styles) -> str:
    caption = f"{spoken_label(figure)} {figure.caption}".strip()
    if len(figure.panels) == 1 and figure.side != "beside":
        style = "Picture" if figure.label and figure.side == "below" else "Last"
        picture = f'<text:p text:style-name="{style}">{_office_panel(figure.panels[0], styles)}</text:p>'
        if not figure.label:
            return picture
        return _paragraph("Over", caption) + picture if figure.side == "above" else picture + _paragraph("Caption", caption)
    widths = [panel.width_pt + panel.pad_pt + 5 for panel in figure.panels[: figure.across]]
    if figure.side == "beside":
        widths.append(made.column_pt - widths[0])
        cells = [
            _office_cell(figure.panels[0], figure, styles),
            f'<table:table-cell table:style-name="Plain">{_paragraph("Caption", caption)}</table:table-cell>',
        ]
        return _office_table([cells], widths, styles) + _paragraph("Body", "")
    panels = [_office_cell(panel, figure, styles) for panel in figure.panels]
    table = _office_table(
        [panels[start : start + figure.across] for start in range(0, len(panels), figure.across)], widths, styles
    )
    if not figure.label:
        return table
    return (
        _paragraph("Over", caption) + table + _paragraph("Body", "")
        if figure.side == "above"
        else table + _paragraph("Caption", caption)
    )


def _office_cell(panel: Panel, figure: Figure, styles: _Styles) -> str:
    part = part_line(panel, figure)
    words = _paragraph("Small", part) if part else ""
    return f'<table:table-cell table:style-name="Plain"><text:p text:style-name="Small">{_office_panel(panel, styles)}</text:p>{words}</table:table-cell>'


def _office_table(rows: list[list[str]], widths: list[float], styles: _Styles) -> str:
    name = f"t{len(styles.text)}"
    styles.text.append(
        f'<style:style style:name="{name}" style:family="table"><style:table-properties table:align="left" style:width="{sum(widths):.1f}pt" style:may-break-between-rows="false" fo:keep-with-next="always"/></style:style>'
        + "".join(
            f'<style:style style:name="{name}c{number}" style:family="table-column"><style:table-column-properties style:column-width="{width:.1f}pt"/></style:style>'
            for number, width in enumerate(widths)
        )
        + f'<style:style style:name="{name}r" style:family="table-row"><style:table-row-properties fo:keep-together="always"/></style:style>'
    )
    columns = "".join(f'<table:table-column table:style-name="{name}c{number}"/>' for number in range(len(widths)))
    body = "".join(f'<table:table-row table:style-name="{name}r">{"".join(row)}</table:table-row>' for row in rows)
    return f'<table:table table:style-name="{name}">{columns}{body}</table:table>'


def _office_panel(panel: Panel, styles: _Styles) -> str:
    if panel.pixels is None:
        data, width = b64encode(svg(panel, "Liberation Sans").encode()).decode(), panel.width_pt + panel.pad_pt
        marks: list[Mark] = []
    else:
        data, width, marks = b64encode(encoded(panel.pixels, panel.encoding)).decode(), panel.width_pt, panel.marks
    frame = (
        f'<draw:frame draw:style-name="In" text:anchor-type="as-char" svg:width="{width:.2f}pt" svg:height="{panel.height_pt:.2f}pt">'
        f"<draw:image><office:binary-data>{data}</office:binary-data></draw:image></draw:frame>"
    )
    return "".join(_office_mark(mark, styles) for mark in marks) + frame


def _office_mark(mark: Mark, styles: _Styles) -> str:
    name = styles.shape(mark)
    common = f'draw:style-name="{name}" text:anchor-type="paragraph"'
    (x0, y0) = mark.points[0]
    if mark.kind == "text":
        width = text_width(mark.text, mark.size) * 1.25 + 4
        box = f'<draw:text-box><text:p text:style-name="{name}t">{escape(mark.text)}</text:p></draw:text-box>'
        return f'<draw:frame {common} svg:x="{x0:.2f}pt" svg:y="{y0 - 0.91 * mark.size:.2f}pt" svg:width="{width:.2f}pt" svg:height="{1.3 * mark.size:.2f}pt">{box}</draw:frame>'
    if mark.kind == "line":
        x1, y1 = mark.points[1]
        return f'<draw:line {common} svg:x1="{x0:.2f}pt" svg:y1="{y0:.2f}pt" svg:x2="{x1:.2f}pt" svg:y2="{y1:.2f}pt"/>'
    xs, ys = [x for x, _ in mark.points], [y for _, y in mark.points]
    left, top, width, height = min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
    place = f'{common} svg:x="{left:.2f}pt" svg:y="{top:.2f}pt" svg:width="{width:.2f}pt" svg:height="{height:.2f}pt"'
    if mark.kind == "polygon":
        points = " ".join(f"{100 * (x - left):.0f},{100 * (y - top):.0f}" for x, y in mark.points)
        return f'<draw:polygon {place} svg:viewBox="0 0 {100 * width:.0f} {100 * height:.0f}" draw:points="{points}"/>'
    return f"<draw:{'rect' if mark.kind == 'rect' else 'ellipse'} {place}/>"
