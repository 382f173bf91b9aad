"""`ovd`: make a workspace, fill it, ask it. Commands print what they did and where it lies; errors name the thing and the remedy."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ovd_platform.cli.evaluation import evaluate_outside, report_app
from ovd_platform.errors import OvdError
from ovd_platform.flow.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assets.launch import Summary
    from ovd_platform.records.prompt import Hit

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", help=__doc__, pretty_exceptions_enable=False
)
app.add_typer(report_app, name="report")
app.command(name="eval")(evaluate_outside)
console = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)

Home = Annotated[Path, typer.Option("--home", "-C", envvar="OVD_HOME", help="Workspace folder (with ovd.yaml).")]
_HERE = Path()
_INTERRUPTED = 130


def main() -> None:
    """Entry point: errors of the platform become one line and exit code 1, Ctrl-C exit code 130."""
    try:
        app()
    except OvdError as error:
        errors.print(f"[red]{type(error).__name__}[/red]: {error}", highlight=False)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as stop:  # typer turns Ctrl-C inside a command into an exit with 130
        if isinstance(stop, SystemExit) and stop.code != _INTERRUPTED:
            raise
        errors.print("Interrupted. What was finished is kept; the same command goes on from there.")
        sys.exit(_INTERRUPTED)


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Folder to make.")],
    imagery: Annotated[list[str], typer.Option(help="Scene file, folder or glob; repeatable.")],
    documents: Annotated[list[str] | None, typer.Option(help="PDF, folder or glob; repeatable.")] = None,
    labels: Annotated[list[str] | None, typer.Option(help="Label file or folder; repeatable.")] = None,
    vocabulary: Annotated[Path | None, typer.Option(help="Vocabulary file.")] = None,
) -> None:
    """Make a workspace: `ovd.yaml` and a Dagster instance."""
    from ovd_platform.flow.setup import make_workspace

    ws = make_workspace(directory, imagery=imagery, documents=documents or [], labels=labels or [], vocabulary=vocabulary)
    console.print(f"Workspace {ws.home.root}: {len(ws.imagery_files())} scene files, {len(ws.document_files())} documents.")
    console.print(f"Next: [bold]ovd run -C {directory}[/bold]")


@app.command()
def ingest(home: Home = _HERE) -> None:
    """Register new and changed scenes."""
    from ovd_platform.cli import graph

    report = graph.ingest(Workspace.open(home)).ingest
    console.print(
        f"{len(report.new)} new, {len(report.changed)} changed, {len(report.unchanged)} unchanged, {len(report.refused)} refused"
    )
    for uri, reason in report.refused.items():
        errors.print(f"refused {uri}: {reason}", highlight=False)


@app.command()
def run(home: Home = _HERE) -> None:
    """Materialize everything that is missing or out of date; what is trained stays as it is."""
    _run(home, retrain=False, only_training=False)


@app.command()
def train(home: Home = _HERE) -> None:
    """Renew trained models whose inputs changed, and promote them if the gate lets them through."""
    _run(home, retrain=True, only_training=True)


def _run(home: Path, *, retrain: bool, only_training: bool) -> None:
    from ovd_platform.cli import graph

    started = time.monotonic()
    with console.status("looking for work") as status:
        summary = graph.run(
            Workspace.open(home), retrain=retrain, only_training=only_training, say=lambda line: status.update(line)
        )
    print_summary(summary, time.monotonic() - started)
    if summary.failed:
        raise typer.Exit(1)


def print_summary(summary: "Summary", seconds: float) -> None:
    """Print what a run of the graph did."""
    counts: dict[str, int] = {}
    for name in summary.materialized:
        asset = name.split("[")[0]
        counts[asset] = counts.get(asset, 0) + 1
    if not counts and not summary.failed:
        console.print(f"Nothing to do: every asset is up to date ({seconds:.1f} s).")
    else:
        console.print(f"{len(summary.materialized)} materializations in {seconds:.0f} s:")
        for asset, count in counts.items():
            console.print(f"  {asset}" + (f" x {count}" if count > 1 else ""), highlight=False)
    for uri, reason in summary.ingest.refused.items():
        errors.print(f"refused {uri}: {reason}", highlight=False)
    for name in summary.stale_training:
        console.print(f"[yellow]older than its inputs[/yellow]: {name} (renew with `ovd train`)")
    for name, reason in summary.failed.items():
        errors.print(f"[red]failed[/red] {name}: {reason}", highlight=False)


@app.command()
def up(
    home: Home = _HERE,
    host: Annotated[str, typer.Option(help="Address to listen on; loopback by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the Dagster UI.")] = 3000,
) -> None:
    """Show the asset graph: the Dagster UI and daemon on this workspace."""
    from ovd_platform.cli import graph

    console.print(f"Dagster UI: http://{host}:{port}  (Ctrl-C stops it)")
    raise typer.Exit(graph.serve(Workspace.open(home), host, port))


@app.command()
def search(
    text: Annotated[str, typer.Option(help="Words.")] = "",
    chip: Annotated[list[str] | None, typer.Option(help="Example: image file or SCENE:x0,y0,x1,y1; repeatable.")] = None,
    not_chip: Annotated[list[str] | None, typer.Option(help="Example of what is not meant; repeatable.")] = None,
    bbox: Annotated[str, typer.Option(help="west,south,east,north in degrees.")] = "",
    from_: Annotated[str, typer.Option("--from", help="Earliest acquisition, ISO 8601.")] = "",
    to: Annotated[str, typer.Option(help="Latest acquisition, ISO 8601.")] = "",
    instrument: Annotated[list[str] | None, typer.Option(help="Only this instrument; repeatable.")] = None,
    top: Annotated[int, typer.Option(help="Hits at most.", min=1)] = 20,
    modality: Annotated[str, typer.Option(help="optical or sar.")] = "optical",
    documents: Annotated[
        bool, typer.Option(help="Let pictures of the documents whose captions say the words join as examples.")
    ] = True,
    geojson: Annotated[Path | None, typer.Option(help="Write the hits as GeoJSON.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet (PNG).")] = None,
    home: Home = _HERE,
) -> None:
    """Find objects by words, by example, or both."""
    from ovd_platform.flow import query
    from ovd_platform.records.prompt import SearchFilter
    from ovd_platform.search.answers import hits_to_geojson

    ws = Workspace.open(home)
    where = SearchFilter(
        bbox_lonlat=_bbox(bbox), from_utc=from_ or None, to_utc=to or None, instruments=tuple(instrument or ()),
    )  # fmt: skip
    question = query.Question(text, tuple(chip or ()), tuple(not_chip or ()), modality, top, where, documents=documents)
    hits = query.search(ws, question)
    shown = query.document_examples(ws, question)
    if shown is not None:
        console.print(
            f"{len(shown)} pictures of your documents have such captions and joined as examples (--no-documents: words alone)."
        )
    print_hits(hits, title=text or "by example")
    if geojson:
        geojson.write_text(json.dumps(hits_to_geojson(hits)))
        console.print(f"GeoJSON: {geojson}")
    path = sheet or ws.home.reports / "searches" / f"{time.strftime('%Y%m%d-%H%M%S')}.png"
    console.print(f"Contact sheet: {query.write_sheet(ws, question, hits, path)}")


def print_hits(hits: "Sequence[Hit]", title: str) -> None:
    """Print hits as a table."""
    from ovd_platform.search.answers import hits_to_rows

    rows = hits_to_rows(hits)
    table = Table(title=title)
    for name in rows[0] if rows else ("no hits",):
        table.add_column(name)
    for row in rows:
        table.add_row(*row.values())
    console.print(table)


def _bbox(text: str) -> tuple[float, float, float, float] | None:
    if not text:
        return None
    try:
        west, south, east, north = (float(value) for value in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"expected west,south,east,north in degrees, got {text!r}", param_hint="--bbox") from error
    return (west, south, east, north)


@app.command()
def status(home: Home = _HERE, as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False) -> None:
    """Say what the workspace holds, what is missing, what was refused."""
    from ovd_platform.flow.status import workspace_status

    facts = workspace_status(Workspace.open(home))
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    for modality, row in facts["modalities"].items():
        table = Table(title=f"{modality}: {row['scenes']} scenes, release {row['release'] or 'none'}")
        for name in ("asset", "partitions", "version", "made"):
            table.add_column(name)
        for asset, values in row["assets"].items():
            table.add_row(asset, str(values["partitions"]), values["version"], values["made_utc"])
        console.print(table)
        for asset, values in row["assets"].items():
            for partition, reason in values["failed"].items():
                errors.print(f"failed {modality}/{asset}[{partition}]: {reason}", highlight=False)
    for uri, reason in facts["refused"].items():
        errors.print(f"refused {uri}: {reason}", highlight=False)


@app.command()
def lineage(
    identifier: Annotated[str, typer.Argument(help="Detection, proposal, scene, model, release or report.")], home: Home = _HERE
) -> None:
    """Which scene version, models, labels and runs made it."""
    from ovd_platform.flow.lineage import lineage as trace

    console.print_json(json.dumps(trace(Workspace.open(home), identifier)))


@app.command(name="age-off")
def age_off(
    older_than: Annotated[float, typer.Option(help="Age of the acquisition in days.", min=0)],
    dry_run: Annotated[bool, typer.Option("--dry-run/--delete", help="Only say what would go (default), or delete.")] = True,
    home: Home = _HERE,
) -> None:
    """Let originals go whose archive was verified by decoding; the scenes stay readable and searchable."""
    from ovd_platform.cli import graph
    from ovd_platform.flow.ageoff import age_off_scenes

    ws = Workspace.open(home)
    for line in age_off_scenes(ws, older_than, dry_run=dry_run):
        console.print(line, highlight=False)
    if not dry_run:
        graph.renew_manifests(ws)


@app.command()
def demo(
    directory: Annotated[Path, typer.Option(help="Where the demo workspace goes.")] = Path("demo-home"),
    seed: Annotated[int, typer.Option(help="Seed of the rendered world.")] = 7,
) -> None:
    """Render a small world and run the whole platform on it: everything real but the imagery."""
    from ovd_platform.cli.demo import run_demo

    raise typer.Exit(run_demo(directory, seed))
