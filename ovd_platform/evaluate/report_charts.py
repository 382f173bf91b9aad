"""The charts of a report from its statistics.

Belongs here: choosing lines and axes. Does not belong here: drawing (`curves`).
"""

from collections.abc import Mapping
from typing import Any

from ovd_platform.evaluate.curves import Axis, Series, line_chart, share_axis

MOST_LINES = 8


def charts(stats: Mapping[str, Any]) -> dict[str, str]:
    """HTML of every chart the statistics allow, by name: ``froc_per_km2``, ``precision_recall``, ``reliability`` ..."""
    made: dict[str, str] = {}
    for unit, name in (("per_km2", "km²"), ("per_mpx", "Mpx")):
        section = stats.get("froc", {}).get(unit)
        if section:
            made[f"froc_{unit}"] = _froc(section, name)
    if "detection" in stats:
        made["precision_recall"] = _precision_recall(stats["detection"])
    if stats.get("calibration", {}).get("bins"):
        made["reliability"] = _reliability(stats["calibration"])
    if stats.get("proposals", {}).get("recall"):
        made["proposals"] = _proposals(stats["proposals"])
    return made


def _busiest(rows: Mapping[str, Any]) -> list[str]:
    """Classes with most objects, at most as many as a chart can tell apart."""
    return sorted((name for name in rows if rows[name]["objects"]), key=lambda name: (-rows[name]["objects"], name))[
        :MOST_LINES
    ]


def _froc(section: Mapping[str, Any], unit: str) -> str:
    """Recall against false alarms, one staircase a class."""
    low, high = 0.01, 100.0
    series = []
    for name in _busiest(section["per_class"]):
        points = [(float(x), float(y)) for x, y in section["per_class"][name]["curve"]]
        # The staircase starts at the left border with what is found before it, and holds to the right one.
        before = [y for x, y in points if x <= low]
        inside = [(x, y) for x, y in points if x > low]
        line = [(low, before[-1] if before else 0.0), *inside, (high, points[-1][1])] if points else []
        series.append(Series(name, line, steps=True))
    x_axis = Axis(f"false alarms per {unit}", low, high, (0.01, 0.1, 1.0, 10.0, 100.0), log=True)
    return line_chart(f"Recall against false alarms per {unit}", series, x_axis, share_axis("recall"))


def _precision_recall(section: Mapping[str, Any]) -> str:
    """Precision against recall at IoU 0.5, one line a class."""
    recalls = section["recall_points"]
    series = [
        Series(
            name, [(r, p) for r, p in zip(recalls, section["per_class"][name]["precision_curve"], strict=True) if p is not None]
        )
        for name in _busiest(section["per_class"])
    ]
    return line_chart("Precision against recall at IoU 0.5", series, share_axis("recall"), share_axis("precision"))


def _reliability(section: Mapping[str, Any]) -> str:
    """Observed share against stated probability."""
    points = [(row["stated"], row["observed"]) for row in section["bins"] if row["stated"] is not None]
    return line_chart(
        "Observed share against stated probability",
        [Series("all classes", points)],
        share_axis("stated probability"),
        share_axis("observed share"),
        diagonal=True,
    )


def _proposals(section: Mapping[str, Any]) -> str:
    """Recall against proposals a megapixel, one line a size class; the interval of all sizes as a band."""
    budgets = section["budgets_per_mpx"]
    series = []
    for name, row in section["recall"].items():
        cells = [(float(n), row[f"at_{n}"]) for n in budgets]
        points = [(n, cell["value"]) for n, cell in cells if cell["value"] is not None]
        band = [(n, cell["low"], cell["high"]) for n, cell in cells if name == "all" and cell["low"] is not None]
        series.append(Series("all sizes" if name == "all" else f"{name} px", points, band=band))
    x_axis = Axis("proposals per Mpx", 0.0, float(budgets[-1]), (0, 50, 100, 150, 200, 250, 300))
    return line_chart("Objects reached against proposals per Mpx", series, x_axis, share_axis("recall"))
