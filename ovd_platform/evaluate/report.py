"""The report of an evaluation: statistics for machines, Markdown, and one HTML page that needs no other file.

Belongs here: writing the three files. Does not belong here: computing (`stats`), drawing (`curves`, `pictures`).
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovd_platform.evaluate.pictures import Picture, encode_png, picture_sheet
from ovd_platform.evaluate.report_charts import charts
from ovd_platform.stores.home import write_json

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """Files of one report.

    Attributes:
        stats: JSON.
        markdown: Markdown; its picture sheets lie beside it.
        html: Self-contained page.
        sheets: PNG sheets by kind.
    """

    stats: Path
    markdown: Path
    html: Path
    sheets: tuple[Path, ...]


def write_report(
    stats: Mapping[str, Any],
    pictures: Mapping[str, Sequence[Picture]],
    destination: Path,
    *,
    comparison: Mapping[str, Any] | None = None,
) -> ReportPaths:
    """Write ``stats.json``, ``report.md`` and ``report.html`` into a folder.

    Args:
        stats: Made by `stats.evaluate`.
        pictures: Pictures (H, W, 3) uint8 with captions, by heading.
        destination: Folder; made if absent, files of an older report in it are replaced.
        comparison: Made by `compare.compare_stats`, if the release was compared with another.

    Returns:
        Where the files are.
    """
    destination.mkdir(parents=True, exist_ok=True)
    sheets: dict[str, Path] = {}
    for heading, items in pictures.items():
        if items:
            sheets[heading] = destination / f"{re.sub(r'[^a-z0-9]+', '_', heading.lower()).strip('_')}.png"
            sheets[heading].write_bytes(picture_sheet(items))
    write_json(destination / "stats.json", dict(stats))
    values: dict[str, Any] = {"stats": stats, "comparison": _changed(comparison)}
    markdown = _render("report.md.j2", sheets={heading: path.name for heading, path in sheets.items()}, **values)
    (destination / "report.md").write_text(markdown, encoding="utf-8")
    inline = {heading: [(_data_uri(rgb), caption) for rgb, caption in items] for heading, items in pictures.items()}
    page = _render("report.html.j2", charts=charts(stats), pictures=inline, **values)
    (destination / "report.html").write_text(page, encoding="utf-8")
    return ReportPaths(
        destination / "stats.json", destination / "report.md", destination / "report.html", tuple(sheets.values())
    )


def _changed(comparison: Mapping[str, Any] | None, limit: int = 40) -> dict[str, Any] | None:
    """The comparison with the headline figures and whatever became better or worse."""
    if comparison is None:
        return None
    headline = ("detection.ap", "detection.ap50", "class_agnostic.ap50", "proposals.ap", "retrieval.mean_ap", "calibration.ece")
    figures = comparison["figures"]
    kept = [path for path in figures if path in headline or path.startswith("froc.per_km2.mean.")]
    changed = [path for path in figures if figures[path]["verdict"] != "open" and path not in kept]
    # Neighbouring budgets say the same: one point of each proposal curve is enough here.
    kept += [path for path in changed if not path.startswith("proposals.recall.") or path.endswith(".at_100")]
    return {
        **comparison,
        "figures": {path: figures[path] for path in kept[:limit]},
        "left_out": len(figures) - len(kept[:limit]),
    }


def _render(template: str, **values: Any) -> str:
    """Fill a template; names in HTML are escaped, charts come ready."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "estimate": estimate, "spread": spread, "cell": cell}
    return environment.get_template(template).render(**values)


def _data_uri(rgb_hwc: Any) -> str:
    """A picture inside of the page."""
    return "data:image/png;base64," + base64.b64encode(encode_png(rgb_hwc)).decode("ascii")


def figure(value: Any, digits: int = 3) -> str:
    """A number for people; an en dash where there is none."""
    if isinstance(value, Mapping):
        value = value.get("value")
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"


def spread(value: Any, digits: int = 3) -> str:
    """The interval of an estimate, or nothing."""
    if not isinstance(value, Mapping) or value.get("low") is None:
        return ""
    return f"{value['low']:.{digits}f} to {value['high']:.{digits}f}"


def estimate(value: Any, digits: int = 3) -> str:
    """A number with its interval in brackets."""
    between = spread(value, digits)
    return f"{figure(value, digits)} [{between}]" if between else figure(value, digits)


def cell(text: Any) -> str:
    """Text for a cell of a Markdown table: bars and line breaks would end it."""
    return str(text).replace("|", "\\|").replace("\n", " ")
