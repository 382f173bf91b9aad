"""`ovd`: make a workspace, fill it, ask it. Commands print what they did and where it lies; errors name the thing and the remedy."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ovd_platform.cli.documents import documents
from ovd_platform.cli.evaluation import evaluate_outside, report_app
from ovd_platform.cli.searching import classes_app, search, watch
from ovd_platform.errors import OvdError
from ovd_platform.flow.workspace import Workspace

if TYPE_CHECKING:
    from assets.launch import Summary

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", help=__doc__, pretty_exceptions_enable=False
)
app.add_typer(report_app, name="report")
app.command(name="eval")(evaluate_outside)
app.command()(documents)
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
        errors.print(f"[red]{type(error).__name__}[/red]: {escape(str(error))}", highlight=False)
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
    console.print(
        f"Workspace {ws.home.root}: {len(ws.imagery_files())} scene files, {len(ws.document_files())} documents.", markup=False
    )
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
        errors.print(f"refused {uri}: {reason}", highlight=False, markup=False)


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
        errors.print(f"refused {uri}: {reason}", highlight=False, markup=False)
    for name in summary.stale_training:
        console.print(f"[yellow]older than its inputs[/yellow]: {escape(name)} (renew with `ovd train`)")
    for reason in dict.fromkeys(summary.failed.values()):  # one cause may fail every scene
        first, *others = [name for name, own in summary.failed.items() if own == reason]
        more = f" and {len(others)} more" if others else ""
        errors.print(f"[red]failed[/red] {escape(f'{first}{more}: {reason}')}", highlight=False)


@app.command()
def up(
    home: Home = _HERE,
    host: Annotated[str, typer.Option(help="Address to listen on; loopback by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the Dagster UI.")] = 3000,
    page_port: Annotated[int, typer.Option(help="Port of the search page.")] = 8080,
    token: Annotated[
        str, typer.Option(envvar="OVD_TOKEN", help="Secret the page asks for; made up where the host is not loopback.")
    ] = "",
) -> None:
    """Show the workspace: the search page, and the Dagster UI and daemon beside it; Ctrl-C stops all."""
    from ovd_platform.cli import graph

    ws, token = Workspace.open(home), _token(host, token)
    console.print(f"Search page: [bold]{_address(host, page_port, token)}[/bold]")
    console.print(f"Dagster UI:  http://{host}:{port}  (Ctrl-C stops both)")
    raise typer.Exit(graph.serve(ws, host, port, page_port=page_port, token=token))


@app.command()
def page(
    home: Home = _HERE,
    host: Annotated[str, typer.Option(help="Address to listen on; loopback by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the search page.")] = 8080,
    token: Annotated[
        str, typer.Option(envvar="OVD_TOKEN", help="Secret the page asks for; made up where the host is not loopback.")
    ] = "",
    name: Annotated[list[str] | None, typer.Option(help="Further host name it is reached by; repeatable.")] = None,
) -> None:
    """Serve the search page alone, without Dagster."""
    from ovd_platform.serve.guards import Access
    from ovd_platform.serve.server import serve

    ws, token = Workspace.open(home), _token(host, token)
    console.print(f"Search page: [bold]{_address(host, port, token)}[/bold]  (Ctrl-C stops it; API: /api/docs)")
    serve(ws, Access(host, token, tuple(one.lower() for one in name or ())), port)


def _token(host: str, token: str) -> str:
    """The given token; a made-up one where others than this machine can reach the page."""
    from secrets import token_urlsafe

    return token or ("" if host in ("127.0.0.1", "localhost", "::1") else token_urlsafe(24))


def _address(host: str, port: int, token: str) -> str:
    return f"http://{host}:{port}/" + (f"?token={token}" if token else "")


app.command(name="search")(search)
app.command(name="watch")(watch)
app.add_typer(classes_app, name="classes")


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
                errors.print(f"failed {modality}/{asset}[{partition}]: {reason}", highlight=False, markup=False)
    for uri, reason in facts["refused"].items():
        errors.print(f"refused {uri}: {reason}", highlight=False, markup=False)


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
