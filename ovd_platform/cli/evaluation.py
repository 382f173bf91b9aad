"""The commands around reports: print the present one, compare two, evaluate detections of others."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ovd_platform.errors import DataError, InputError

console = Console(soft_wrap=True)
report_app = typer.Typer(invoke_without_command=True, no_args_is_help=False, add_completion=False)

Home = Annotated[Path, typer.Option("--home", "-C", envvar="OVD_HOME", help="Workspace folder (with ovd.yaml).")]
Modality = Annotated[str, typer.Option(help="optical or sar.")]
_HERE = Path()


@report_app.callback()
def report(context: typer.Context, home: Home = _HERE, modality: Modality = "optical") -> None:
    """Print the evaluation of the present release and where the full report lies; `compare` holds two against each other."""
    if context.invoked_subcommand is not None:
        return
    from ovd_platform.flow.stage import current
    from ovd_platform.flow.workspace import Workspace

    ws = Workspace.open(home)
    output = current(ws, modality, "evaluation_report", current(ws, modality, "release").version)
    console.print((output.folder / "report.md").read_text(), markup=False, highlight=False)
    console.print(f"HTML: {output.folder / 'report.html'}", markup=False)


@report_app.command()
def compare(
    a: Annotated[str, typer.Argument(help="Reference: a report's folder, its stats.json, or a release version.")],
    b: Annotated[str, typer.Argument(help="The other.")],
    out: Annotated[Path | None, typer.Option(help="Write comparison.json here.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print every figure, not only headline and changed ones.")] = False,
    home: Home = _HERE,
    modality: Modality = "optical",
) -> None:
    """Compare two evaluations of the same scenes by paired bootstrap, and say which is better."""
    from ovd_platform.evaluate.compare import compare_stats
    from ovd_platform.stores.home import write_json

    found = compare_stats(*(_read_stats(_stats_path(home, modality, name)) for name in (a, b)))
    console.print(_table(found, everything=everything))
    console.print(f"Verdict: [bold]{found['verdict']['word']}[/bold]. {escape(found['verdict']['reason'])}", highlight=False)
    if out is not None:
        console.print(f"Comparison: {write_json(out, found)}", markup=False)


def _stats_path(home: Path, modality: str, name: str) -> Path:
    """Where the statistics of a report lie."""
    for path in (Path(name), Path(name) / "stats.json"):
        if path.is_file():
            return path
    kept = sorted(home.glob(f"stages/{modality}/evaluation_report/{name}*/*/stats.json"), key=lambda path: path.stat().st_mtime)
    if not kept:
        raise InputError(
            f"Cannot compare {name!r}: expected a report's folder, a stats.json or a release evaluated in {home}, found none. "
            "`ovd status` names the releases."
        )
    return kept[-1]


def _read_stats(path: Path) -> dict[str, Any]:
    """Statistics of one evaluation."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read {path}: expected stats.json of an evaluation, got {error}. Evaluate again.") from error
    if not isinstance(values, dict) or not {"schema", "header", "replicates"} <= set(values):
        note = "; ".join(values.get("notes", ())) if isinstance(values, dict) else ""
        raise DataError(
            f"Cannot compare {path}: expected the statistics of an evaluation, got a file without them"
            f"{f' ({note})' if note else ''}. Pass a report's folder or its stats.json."
        )
    return values


def _table(found: dict[str, Any], *, everything: bool) -> Table:
    table = Table(title=f"{found['a'] or 'A'} against {found['b'] or 'B'}")
    for title in ("figure", "A", "B", "difference", "95 %", "chance B is better", "verdict"):
        table.add_column(title, justify="left" if title == "figure" else "right")
    headline = found["verdict"]["headline"]
    for path, row in found["figures"].items():
        if everything or path in headline or row["verdict"] != "open":
            between = "" if row["low"] is None else f"{row['low']:+.3f} to {row['high']:+.3f}"
            values = [_figure(row["a"]), _figure(row["b"]), _figure(row["difference"], "+"), between]
            table.add_row(path, *values, _figure(row["chance_better"]), row["verdict"])
    return table


def _figure(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"


def evaluate_outside(
    detections: Annotated[Path, typer.Option(help="COCO results (list, or under `annotations`).")],
    truth: Annotated[Path, typer.Option(help="COCO ground truth; images may carry gsd_m, footprint_lonlat, instrument.")],
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("evaluation"),
    threshold: Annotated[float, typer.Option(help="Score from which an answer counts as accepted.")] = 0.5,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Scores are probabilities: measure calibration.")
    ] = False,
    oriented: Annotated[bool, typer.Option("--oriented", help="Polygons of four corners are rotated boxes.")] = False,
    name: Annotated[str, typer.Option(help="What made the detections.")] = "outside",
    seed: Annotated[int, typer.Option(help="Seed of the resampling; comparisons need the same.")] = 0,
) -> None:
    """Evaluate detections of others (COCO files) with the platform's own protocol and report."""
    from datetime import UTC, datetime

    from ovd_platform.evaluate.outside import OutsideRules, outside_input
    from ovd_platform.evaluate.report import write_report
    from ovd_platform.evaluate.stats import evaluate

    if out.exists() and not out.is_dir():
        raise InputError(f"Cannot write a report to {out}: expected a folder, got a file. Name another with --out.")
    given = outside_input(detections, truth, OutsideRules(threshold, probabilities, oriented, name))
    with console.status("evaluating"):
        stats = evaluate(given, seed=seed, created_utc=datetime.now(UTC).isoformat(timespec="seconds"))
        paths = write_report(stats, {}, out)
    found = stats["detection"]
    console.print(f"{len(given.scenes)} scenes, {stats['header']['object_count']} objects, no cap on detections:")
    for figure in ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"):
        value = found[figure]["value"] if isinstance(found[figure], dict) else found[figure]
        console.print(f"  {figure:10} {'-' if value is None else f'{value:.6f}'}", highlight=False)
    console.print(f"Report: {paths.html}", markup=False)
