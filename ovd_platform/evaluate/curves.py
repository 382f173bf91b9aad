"""Line charts as small inline SVG that follow the page's colours, light and dark.

Belongs here: drawing. Does not belong here: any figure.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 20.0, 12.0, 42.0
SHADES = 8


@dataclass(frozen=True, slots=True)
class Series:
    """One line.

    Attributes:
        name: Printed in the legend.
        points_xy: Points in data units, in drawing order.
        steps: Draw a staircase: the value holds until the next point.
        band: (x, low, high) of an interval around the line.
    """

    name: str
    points_xy: Sequence[tuple[float, float]]
    steps: bool = False
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """Scale of one axis.

    Attributes:
        label: Printed beside it, with the unit.
        low: Least value.
        high: Largest value.
        ticks: Values that get a line and a number.
        log: Logarithmic; values below ``low`` are drawn at ``low``.
    """

    label: str
    low: float
    high: float
    ticks: Sequence[float]
    log: bool = False

    def place(self, value: float) -> float:
        """Share of the axis, [0, 1]."""
        bounded = min(max(value, self.low), self.high)
        if self.log:
            return (math.log10(bounded) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return (bounded - self.low) / (self.high - self.low)


UNIT_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def share_axis(label: str) -> Axis:
    """Axis from 0 to 1."""
    return Axis(label, 0.0, 1.0, UNIT_TICKS)


def line_chart(title: str, series: Sequence[Series], x_axis: Axis, y_axis: Axis, *, diagonal: bool = False) -> str:
    """An SVG element with a legend below it, as HTML.

    Colours come from the page as ``--line-0`` to ``--line-7`` and ``currentColor``; dashes tell lines apart without colour.

    Args:
        title: For screen readers.
        series: Lines; empty ones are left out.
        x_axis: Horizontal scale.
        y_axis: Vertical scale.
        diagonal: Draw the line where both agree.
    """
    kept = [line for line in series if line.points_xy]

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x_axis.place(x) * (WIDTH - LEFT - RIGHT)
        return round(across, 1), round(HEIGHT - BOTTOM - y_axis.place(y) * (HEIGHT - TOP - BOTTOM), 1)

    parts = [
        f'<div class="plot"><svg class="chart" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" tabindex="0" '
        f'aria-label="{escape(title)}">'
    ]
    for tick in x_axis.ticks:
        x, y = at(tick, y_axis.low)
        parts.append(f'<line class="grid" x1="{x}" y1="{TOP}" x2="{x}" y2="{y}"/>')
        parts.append(f'<text x="{x}" y="{round(y + 18, 1)}" text-anchor="middle">{tick:g}</text>')
    for tick in y_axis.ticks:
        x, y = at(x_axis.low, tick)
        parts.append(f'<line class="grid" x1="{x}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
        parts.append(f'<text x="{x - 6}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="label" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_axis.label)}</text>')
    across = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="label" transform="translate(12 {across}) rotate(-90)" text-anchor="middle">{escape(y_axis.label)}</text>'
    )
    if diagonal:
        (x0, y0), (x1, y1) = at(x_axis.low, y_axis.low), at(x_axis.high, y_axis.high)
        parts.append(f'<line class="diagonal" x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}"/>')
    for number, line in enumerate(kept):
        shade = f"var(--line-{number % SHADES})"
        parts.append(f'<g data-line="{number}">')
        if line.band:
            outline = [at(x, high) for x, _, high in line.band] + [at(x, low) for x, low, _ in reversed(line.band)]
            corners = " ".join(f"{x},{y}" for x, y in outline)
            parts.append(f'<polygon points="{corners}" fill="{shade}" fill-opacity="0.14"/>')
        parts.append(
            f'<path d="{_path([at(x, y) for x, y in line.points_xy], line.steps)}" fill="none" stroke="{shade}" '
            f'stroke-width="2" stroke-dasharray="{_dash(number)}"/>'
        )
        if len(line.points_xy) <= 12:
            dots = (at(x, y) for x, y in line.points_xy)
            parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{shade}"/>' for x, y in dots]
        parts.append("</g>")
    parts.append(f'<line class="hair" x1="0" x2="0" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/></svg>')
    return "".join(parts) + f"<output>\N{NO-BREAK SPACE}</output>{_legend(kept)}{_facts(kept, x_axis)}</div>"


def _facts(series: Sequence[Series], x_axis: Axis) -> str:
    """What the page's script needs to read values off the lines."""
    facts = {
        "x": {
            "label": x_axis.label,
            "low": x_axis.low,
            "high": x_axis.high,
            "log": x_axis.log,
            "span": [LEFT, WIDTH - RIGHT],
        },
        "lines": [
            {"name": line.name, "steps": line.steps, "points": [list(point) for point in line.points_xy]} for line in series
        ],
    }
    text = json.dumps(facts).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'


def _path(points: Sequence[tuple[float, float]], steps: bool) -> str:
    """SVG path data."""
    commands = [f"M{points[0][0]} {points[0][1]}"]
    for x, y in points[1:]:
        commands.append(f"H{x}V{y}" if steps else f"L{x} {y}")
    return "".join(commands)


def _dash(number: int) -> str:
    """Dash pattern of a line."""
    return ("none", "7 3", "2 3", "9 3 2 3")[number % 4]


def _legend(series: Sequence[Series]) -> str:
    """Names of the lines; nothing for a single one."""
    if len(series) < 2:
        return ""
    items = [
        f'<li><button type="button" aria-pressed="true"><svg viewBox="0 0 26 8" aria-hidden="true"><line x1="0" y1="4" x2="26" y2="4" stroke="var(--line-{n % SHADES})" '
        f'stroke-width="2.5" stroke-dasharray="{_dash(n)}"/></svg>{escape(line.name)}</button></li>'
        for n, line in enumerate(series)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'
