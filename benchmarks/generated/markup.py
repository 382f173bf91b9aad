"""Documents set by engines that place figures themselves: WeasyPrint (HTML) and Typst. Belongs here: their markup and calls."""

import html
from pathlib import Path

from benchmarks.generated.canvas import encoded
from benchmarks.generated.model import (
    BLACK,
    GUTTER_PT,
    MARGIN_PT,
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


def picture_files(made: Made, folder: Path) -> list[str]:
    """Write the rasters of a document; returns a file name per panel, "" for drawn ones."""
    names = []
    for number, (_, panel) in enumerate(made.panels()):
        name = f"{made.name}_{number}.{'jpg' if panel.encoding == 'jpeg' else 'png'}" if panel.pixels is not None else ""
        if panel.pixels is not None:
            (folder / name).write_bytes(encoded(panel.pixels, panel.encoding))
        names.append(name)
    if made.logo is not None:
        (folder / f"{made.name}_logo.png").write_bytes(encoded(made.logo, "png"))
    return names


def hex_colour(colour: Colour | None) -> str:
    """#rrggbb, or "none"."""
    return "none" if colour is None else "#" + "".join(f"{round(255 * value):02x}" for value in colour)


def svg(panel: Panel, fonts: str = "sans-serif") -> str:
    """The marks of a panel as SVG of its size with the pad."""
    parts = [_svg_mark(mark, fonts) for mark in panel.marks]
    width, height = panel.width_pt + panel.pad_pt, panel.height_pt
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.2f}pt" height="{height:.2f}pt" viewBox="0 0 {width:.2f} {height:.2f}">{"".join(parts)}</svg>'


def _svg_mark(mark: Mark, fonts: str) -> str:
    look = f'stroke="{hex_colour(mark.stroke)}" fill="{hex_colour(mark.fill)}" stroke-width="{mark.width}"'
    points = mark.points
    if mark.kind == "text":
        weight = ' font-weight="bold"' if mark.bold else ""
        return f'<text x="{points[0][0]:.2f}" y="{points[0][1]:.2f}" font-family="{fonts}" font-size="{mark.size:.2f}"{weight} fill="{hex_colour(mark.stroke or BLACK)}">{html.escape(mark.text)}</text>'
    if mark.kind == "line":
        (x0, y0), (x1, y1) = points
        return f'<line x1="{x0:.2f}" y1="{y0:.2f}" x2="{x1:.2f}" y2="{y1:.2f}" {look}/>'
    if mark.kind == "polygon":
        return f'<polygon points="{" ".join(f"{x:.2f},{y:.2f}" for x, y in points)}" {look}/>'
    (x0, y0), (x1, y1) = points
    if mark.kind == "rect":
        return f'<rect x="{x0:.2f}" y="{y0:.2f}" width="{x1 - x0:.2f}" height="{y1 - y0:.2f}" {look}/>'
    return (
        f'<ellipse cx="{(x0 + x1) / 2:.2f}" cy="{(y0 + y1) / 2:.2f}" rx="{(x1 - x0) / 2:.2f}" ry="{(y1 - y0) / 2:.2f}" {look}/>'
    )


def set_html(mades: list[Made], folder: Path) -> None:
    """Documents by WeasyPrint."""
    import weasyprint

    for made in mades:
        page = _html(made, picture_files(made, folder))
        weasyprint.HTML(string=page, base_url=str(folder)).write_pdf(folder / f"{made.name}.pdf")


def _html(made: Made, names: list[str]) -> str:
    serif = "serif" if made.seed % 3 else "sans-serif"
    style = f"""@page {{ size: {made.page_pt[0]}pt {made.page_pt[1]}pt; margin: {MARGIN_PT}pt; @bottom-center {{ content: counter(page); font-size: 8pt }} }}
body {{ font: {made.body_pt}pt {serif}; columns: {made.columns}; column-gap: {GUTTER_PT}pt; margin: 0; text-align: justify }}
h1 {{ font-size: {1.5 * made.body_pt}pt }} h2 {{ font-size: {made.body_pt}pt; break-after: avoid }} p {{ margin: 0 0 6pt 0 }}
figure {{ margin: 8pt 0; break-inside: avoid; text-align: {"center" if made.seed % 2 else "left"} }}
figcaption {{ font: {made.caption_pt}pt sans-serif; margin: 5pt 0; text-align: left }} .part {{ font: {made.caption_pt - 0.5}pt sans-serif; text-align: center }}
.panel {{ position: relative; display: inline-block; vertical-align: top; text-align: left }} .panel img {{ display: block }} .panel svg {{ position: absolute; left: 0; top: 0 }}
.side {{ display: inline-block; vertical-align: {"top" if made.seed % 3 else "middle"}; margin-left: 12pt; text-align: left; font: {made.caption_pt}pt sans-serif }}
table {{ font-size: {made.caption_pt}pt; border-collapse: collapse; break-inside: avoid; margin-bottom: 8pt }} td {{ border-bottom: 0.5pt solid black; padding: 2pt 14pt 2pt 2pt }}
"""
    logo = (
        f'<img src="{made.name}_logo.png" style="position: absolute; top: -38pt; right: 0; width: 52pt">'
        if made.logo is not None
        else ""
    )
    body = [logo, f"<h1>{html.escape(made.title)}</h1>"]
    left = iter(names)
    for block in made.blocks:
        if isinstance(block, Words):
            tag = "h2" if block.heading else "p"
            body.append(f"<{tag}>{html.escape(block.text)}</{tag}>")
        elif isinstance(block, TableBlock):
            rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in block.rows)
            body.append(f"<p>{block.caption}</p><table>{rows}</table>")
        else:
            body.append(_html_figure(block, made, [next(left) for _ in block.panels]))
    return f"<html><head><style>{style}</style></head><body>{''.join(body)}</body></html>"


def _html_figure(figure: Figure, made: Made, names: list[str]) -> str:
    cells = []
    for panel, name in zip(figure.panels, names, strict=True):
        width = panel.width_pt + panel.pad_pt
        image = f'<img src="{name}" style="width:{panel.width_pt:.2f}pt;height:{panel.height_pt:.2f}pt">' if name else ""
        marks = svg(panel) if panel.marks else ""
        words = part_line(panel, figure)
        part = f'<div class="part" style="width:{panel.width_pt:.2f}pt">{html.escape(words)}</div>' if words else ""
        inner = f'<div style="position:relative;width:{width:.2f}pt;height:{panel.height_pt:.2f}pt">{image}{marks}</div>{part}'
        cells.append(f'<div class="panel" style="width:{width:.2f}pt;margin:2pt 3pt">{inner}</div>')
    rows = ["".join(cells[start : start + figure.across]) for start in range(0, len(cells), figure.across)]
    pictures = "".join(f"<div>{row}</div>" for row in rows)
    if not figure.label:
        return f"<figure>{pictures}</figure>"
    words = (
        f"<b>{spoken_label(figure)}</b> {html.escape(figure.caption)}"
        if made.seed % 2
        else f"{spoken_label(figure)} {html.escape(figure.caption)}"
    )
    if figure.side == "beside":
        width = made.column_pt - figure.panels[0].width_pt - figure.panels[0].pad_pt - 26
        return f'<figure style="text-align:left">{cells[0]}<div class="side" style="width:{width:.1f}pt">{words}</div></figure>'
    caption = f"<figcaption>{words}</figcaption>"
    return f"<figure>{caption}{pictures}</figure>" if figure.side == "above" else f"<figure>{pictures}{caption}</figure>"


def set_typst(mades: list[Made], folder: Path) -> None:
    """Documents by Typst."""
    import typst

    for made in mades:
        source = folder / f"{made.name}.typ"
        source.write_text(_typst(made, picture_files(made, folder)))
        typst.compile(source, output=folder / f"{made.name}.pdf", timestamp=1767225600)


def _escaped(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'#"{quoted}"'


def _typst(made: Made, names: list[str]) -> str:
    width, height = made.page_pt
    logo = ""
    if made.logo is not None:
        logo = f'#place(top + right, dx: 0pt, dy: 18pt, image("{made.name}_logo.png", width: 52pt))'
        logo = logo if made.logo_every_page else f"#context if here().page() == 1 [{logo}]"
    lines = [
        f'#set page(width: {width}pt, height: {height}pt, margin: {MARGIN_PT}pt, columns: {made.columns}, numbering: "1", '
        f"background: [#place(top + left, dx: {MARGIN_PT}pt, box(width: {width - 2 * MARGIN_PT}pt, height: 60pt)[{logo}])])",
        f"#set columns(gutter: {GUTTER_PT}pt)",
        f"#set text(size: {made.body_pt}pt)",
        "#set par(justify: true)",
        f'#text(size: {1.5 * made.body_pt}pt, weight: "bold")[{_escaped(made.title)}]\n',
    ]
    left = iter(names)
    for block in made.blocks:
        if isinstance(block, Words):
            lines.append(
                f'#block(sticky: true, text(weight: "bold")[{_escaped(block.text)}])\n'
                if block.heading
                else f"{_escaped(block.text)}\n"
            )
        elif isinstance(block, TableBlock):
            cells = ", ".join(f"[{_escaped(cell)}]" for row in block.rows for cell in row)
            lines.append(f"{_escaped(block.caption)}\n\n#table(columns: 3, stroke: (x: none, y: 0.5pt), {cells})\n")
        else:
            lines.append(_typst_figure(block, made, [next(left) for _ in block.panels]))
    return "\n".join(lines)


def _typst_figure(figure: Figure, made: Made, names: list[str]) -> str:
    cells = []
    for panel, name in zip(figure.panels, names, strict=True):
        words = part_line(panel, figure)
        part = f"#v(3pt, weak: true) #align(center, text(size: {made.caption_pt - 0.5}pt)[{_escaped(words)}])" if words else ""
        cells.append(
            f"[#block(width: {panel.width_pt + panel.pad_pt:.2f}pt, breakable: false)[{_typst_panel(panel, name)}{part}]]"
        )
    grid = f"#grid(columns: {min(figure.across, len(cells))}, gutter: 7pt, {', '.join(cells)})"
    align = "center" if made.seed % 2 else "left"
    if not figure.label:
        return f"#block(breakable: false, width: 100%, align({align})[{grid}])\n"
    label = f"*{_escaped(spoken_label(figure))}*" if made.seed % 4 < 2 else _escaped(spoken_label(figure))
    caption = f"#text(size: {made.caption_pt}pt)[{label} {_escaped(figure.caption)}]"
    if figure.side == "beside":
        where = "horizon" if made.seed % 3 == 0 else "top"
        return f"#block(breakable: false, width: 100%)[#grid(columns: (auto, 1fr), gutter: 12pt, align: {where}, [{grid}], [{caption}])]\n"
    caption = f"#align(left, block(width: 100%)[{caption}])"
    inner = f"{caption}#v(4pt, weak: true){grid}" if figure.side == "above" else f"{grid}#v(5pt, weak: true){caption}"
    return f"#block(breakable: false, width: 100%, above: 12pt, below: 12pt, align({align})[{inner}])\n"


def _typst_panel(panel: Panel, name: str) -> str:
    parts = []
    if name:
        parts.append(
            f'#place(top + left, image("{name}", width: {panel.width_pt:.2f}pt, height: {panel.height_pt:.2f}pt, fit: "stretch"))'
        )
    parts += [_typst_mark(mark) for mark in panel.marks]
    return f"#box(width: {panel.width_pt + panel.pad_pt:.2f}pt, height: {panel.height_pt:.2f}pt)[{''.join(parts)}]"


def _typst_mark(mark: Mark) -> str:
    stroke = f'{mark.width}pt + rgb("{hex_colour(mark.stroke)}")' if mark.stroke is not None else "none"
    fill = f'rgb("{hex_colour(mark.fill)}")' if mark.fill is not None else "none"
    (x0, y0) = mark.points[0]
    if mark.kind == "text":
        weight = ', weight: "bold"' if mark.bold else ""
        drawn = f'text(size: {mark.size:.2f}pt, top-edge: "baseline", fill: rgb("{hex_colour(mark.stroke or BLACK)}"){weight})[#box[{_escaped(mark.text)}]]'
        return f"#place(top + left, dx: {x0:.2f}pt, dy: {y0:.2f}pt, {drawn})"
    if mark.kind == "line":
        x1, y1 = mark.points[1]
        return f"#place(top + left, line(start: ({x0:.2f}pt, {y0:.2f}pt), end: ({x1:.2f}pt, {y1:.2f}pt), stroke: {stroke}))"
    if mark.kind == "polygon":
        points = ", ".join(f"({x:.2f}pt, {y:.2f}pt)" for x, y in mark.points)
        return f"#place(top + left, polygon(fill: {fill}, stroke: {stroke}, {points}))"
    x1, y1 = mark.points[1]
    shape = "rect" if mark.kind == "rect" else "ellipse"
    return f"#place(top + left, dx: {x0:.2f}pt, dy: {y0:.2f}pt, {shape}(width: {x1 - x0:.2f}pt, height: {y1 - y0:.2f}pt, fill: {fill}, stroke: {stroke}))"
