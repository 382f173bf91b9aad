"""`ovd search`, `ovd classes`, `ovd watch`: ask the archive, keep a question as a class, see what new scenes hold of it."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ovd_platform.flow.workspace import Workspace

if TYPE_CHECKING:
    from ovd_platform.flow.query import Question
    from ovd_platform.records.prompt import Hit, LonLatPolygon

console = Console(soft_wrap=True)
classes_app = typer.Typer(no_args_is_help=True, add_completion=False, help="Searches kept as classes.")

Home = Annotated[Path, typer.Option("--home", "-C", envvar="OVD_HOME", help="Workspace folder (with ovd.yaml).")]
Modality = Annotated[str, typer.Option(help="optical or sar.")]
Text = Annotated[list[str] | None, typer.Option(help="Words, `WORDS::WEIGHT` to weigh them; repeatable.")]
NotText = Annotated[list[str] | None, typer.Option(help="Words for what is not meant; repeatable.")]
Chip = Annotated[
    list[str] | None, typer.Option(help="Example: image file or SCENE:x0,y0,x1,y1, with `::WEIGHT` to weigh it; repeatable.")
]
NotChip = Annotated[list[str] | None, typer.Option(help="Example of what is not meant; repeatable.")]
Like = Annotated[list[str] | None, typer.Option(help="Id of an answer that is right; repeatable.")]
Unlike = Annotated[list[str] | None, typer.Option(help="Id of an answer that is wrong; repeatable.")]
_HERE = Path()


def search(
    text: Text = None,
    not_text: NotText = None,
    chip: Chip = None,
    not_chip: NotChip = None,
    like: Like = None,
    unlike: Unlike = None,
    bbox: Annotated[str, typer.Option(help="west,south,east,north in degrees.")] = "",
    area: Annotated[Path | None, typer.Option(help="GeoJSON file with polygons to look in.")] = None,
    from_: Annotated[str, typer.Option("--from", help="Earliest acquisition, ISO 8601.")] = "",
    to: Annotated[str, typer.Option(help="Latest acquisition, ISO 8601.")] = "",
    instrument: Annotated[list[str] | None, typer.Option(help="Only this instrument; repeatable.")] = None,
    scene: Annotated[list[str] | None, typer.Option(help="Only this scene; repeatable.")] = None,
    gsd: Annotated[str, typer.Option(help="Lowest,highest pixel size in metres.")] = "",
    off_nadir: Annotated[str, typer.Option(help="Lowest,highest view angle in degrees.")] = "",
    sun: Annotated[str, typer.Option(help="Lowest,highest sun elevation in degrees.")] = "",
    incidence: Annotated[str, typer.Option(help="Lowest,highest SAR incidence angle in degrees.")] = "",
    orbit: Annotated[list[str] | None, typer.Option(help="ascending or descending.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Leave out answers with a lower score.")] = None,
    min_objectness: Annotated[float, typer.Option(help="Leave out proposals with less objectness.", min=0, max=1)] = 0.0,
    top: Annotated[int, typer.Option(help="Hits at most.", min=1)] = 20,
    modality: Modality = "optical",
    collapse: Annotated[bool, typer.Option(help="One hit per place over all times; the others are counted beside it.")] = False,
    tiles_first: Annotated[
        bool, typer.Option(help="Search tiles before proposals where there are too many to compare all.")
    ] = True,
    level: Annotated[
        Literal["proposal", "grid", "tile"], typer.Option(help="What is found: objects, cells of the grid, tiles.")
    ] = "proposal",
    documents: Annotated[
        bool, typer.Option(help="Let pictures of the documents whose captions say the words join as examples.")
    ] = True,
    geojson: Annotated[Path | None, typer.Option(help="Write the hits as GeoJSON.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet (PNG).")] = None,
    home: Home = _HERE,
) -> None:
    """Find objects by words, by example, or both; mark answers with --like and --unlike and ask again."""
    from dataclasses import replace

    from ovd_platform.flow import query
    from ovd_platform.records.prompt import SearchFilter
    from ovd_platform.search.answers import hits_to_geojson

    ws = Workspace.open(home)
    where = SearchFilter(
        bbox_lonlat=_bbox(bbox), from_utc=from_ or None, to_utc=to or None, instruments=tuple(instrument or ()),
        scene_ids=tuple(scene or ()), min_objectness=min_objectness, area_lonlat=_polygons(area), gsd_m=_range(gsd, "--gsd"),
        off_nadir_deg=_range(off_nadir, "--off-nadir"), sun_elevation_deg=_range(sun, "--sun"),
        incidence_deg=_range(incidence, "--incidence"), orbits=tuple(orbit or ()), min_score=min_score,
    )  # fmt: skip
    question = _question(text, not_text, chip, not_chip, like, unlike, modality)
    question = replace(
        question, top=top, filter=where, documents=documents, collapse_revisits=collapse, two_stage=tiles_first, level=level
    )
    found = query.answer(ws, question)
    shown = query.document_examples(ws, question)
    if shown is not None:
        console.print(
            f"{len(shown)} pictures of your documents have such captions and joined as examples (--no-documents: words alone)."
        )
    print_hits(found.hits, title=_title(question))
    plan = found.plan
    console.print(
        f"{plan.candidates} of {plan.matching} matching proposals compared ({plan.way}) in {plan.seconds * 1000:.0f} ms"
        + (f"; marks weigh {plan.feedback_share:.2f}" if plan.feedback_share else "")
    )
    if geojson:
        geojson.write_text(json.dumps(hits_to_geojson(found.hits)))
        console.print(f"GeoJSON: {geojson}", markup=False)
    path = sheet or ws.home.reports / "searches" / f"{time.strftime('%Y%m%d-%H%M%S')}.png"
    console.print(f"Contact sheet: {query.write_sheet(ws, question, list(found.hits), path)}", markup=False)


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


@classes_app.command("save")
def save(
    name: Annotated[str, typer.Argument(help="Name of the class.")],
    text: Text = None,
    not_text: NotText = None,
    chip: Chip = None,
    not_chip: NotChip = None,
    like: Like = None,
    unlike: Unlike = None,
    watch: Annotated[bool, typer.Option(help="Look for it in new scenes and report what is found.")] = False,
    modality: Modality = "optical",
    home: Home = _HERE,
) -> None:
    """Keep a search as a class: fitted from its words, examples and marks, and looked for in every scene."""
    from ovd_platform.cli import graph
    from ovd_platform.flow import saved_classes

    ws = Workspace.open(home)
    question = _question(text, not_text, chip, not_chip, like, unlike, modality)
    kept = saved_classes.save_class(ws, name, question, watch=watch)
    console.print(
        f"Kept {kept.name}: {len(kept.texts)} phrases, {len(kept.right)} right, {len(kept.wrong)} wrong.", markup=False
    )
    _renew(ws, modality, graph.renew_saved_classes(ws, modality).failed)


@classes_app.command("list")
def list_classes(modality: Modality = "optical", home: Home = _HERE) -> None:
    """Kept classes and what their fit says."""
    from ovd_platform.flow import saved_classes
    from ovd_platform.flow.stage import current_or_none

    ws = Workspace.open(home)
    fitted = current_or_none(ws, modality, "saved_classes")
    facts = json.loads(fitted.metadata.get("fitted", "{}")) if fitted else {}
    table = Table(title=f"kept classes of {modality}")
    for column in ("class", "words", "right", "wrong", "watched", "fit", "saved"):
        table.add_column(column)
    for kept in saved_classes.saved_classes(ws, modality):
        fit = facts.get(kept.name, {})
        words = ", ".join(f"{one.text} ({one.weight:g})" for one in kept.texts)
        table.add_row(
            kept.name, words, str(len(kept.right)), str(len(kept.wrong)), "yes" if kept.watch else "no",
            f"{fit.get('kind', '-')}, precision {fit.get('precision')}", kept.saved_utc,
        )  # fmt: skip
    console.print(table)


@classes_app.command("remove")
def remove(name: str, modality: Modality = "optical", home: Home = _HERE) -> None:
    """Forget a kept class."""
    from ovd_platform.cli import graph
    from ovd_platform.flow import saved_classes

    ws = Workspace.open(home)
    saved_classes.remove_class(ws, modality, name)
    _renew(ws, modality, graph.renew_saved_classes(ws, modality).failed)


def watch(
    since: Annotated[str, typer.Option(help="Only scenes looked at since then, ISO 8601.")] = "",
    on: Annotated[list[str] | None, typer.Option(help="Put this kept class on the watchlist; repeatable.")] = None,
    off: Annotated[list[str] | None, typer.Option(help="Take it off; repeatable.")] = None,
    geojson: Annotated[Path | None, typer.Option(help="Write what was found as GeoJSON.")] = None,
    modality: Modality = "optical",
    home: Home = _HERE,
) -> None:
    """What scenes hold of the watched classes, newest look first; `ovd run` looks at new scenes."""
    from ovd_platform.cli import graph
    from ovd_platform.detect.export import write_geojson
    from ovd_platform.flow import saved_classes

    ws = Workspace.open(home)
    changes = [(name, True) for name in on or ()] + [(name, False) for name in off or ()]
    for name, wanted in changes:
        saved_classes.set_watch(ws, modality, name, watch=wanted)
    if changes:
        _renew(ws, modality, graph.renew_saved_classes(ws, modality).failed)
    found = saved_classes.alerts(ws, modality, since_utc=since)
    table = Table(title=f"watched classes of {modality}")
    for column in ("looked at", "class", "scene", "probability", "score", "box px", "id"):
        table.add_column(column)
    for made_utc, one in found:
        probability = "-" if one.probability is None else f"{one.probability:.2f}"
        box = ",".join(f"{value:.0f}" for value in one.box_scene_xyxy)
        scene = one.scene_id + (" (RENDERED)" if one.rendered else "")
        table.add_row(made_utc, one.class_name, scene, probability, f"{one.score:.3f}", box, one.proposal_id)
    console.print(table)
    if geojson:
        write_geojson(geojson, [one for _, one in found])
        console.print(f"GeoJSON: {geojson}", markup=False)


def _renew(ws: Workspace, modality: str, failed: dict[str, str]) -> None:
    from ovd_platform.flow import saved_classes

    for name, reason in failed.items():
        console.print(f"[red]failed[/red] {escape(f'{name}: {reason}')}", highlight=False)
    if failed:
        raise typer.Exit(1)
    count = len(saved_classes.alerts(ws, modality))
    console.print(f"Fitted and looked for in every embedded scene; {count} finds of watched classes (`ovd watch`).")


def _question(
    text: list[str] | None,
    not_text: list[str] | None,
    chip: list[str] | None,
    not_chip: list[str] | None,
    like: list[str] | None,
    unlike: list[str] | None,
    modality: str,
) -> "Question":
    from ovd_platform.flow.query import Question
    from ovd_platform.records.prompt import Words

    phrases = [_weighed(one) for one in text or ()]
    against = [Words(words, -weight) for words, weight in (_weighed(one) for one in not_text or ())]
    plain = len(phrases) == 1 and phrases[0][1] == 1.0  # the documents are asked for plain words
    chips = [_weighed(one) for one in chip or ()]
    weights = tuple(weight for _, weight in chips) if any(weight != 1.0 for _, weight in chips) else ()
    texts: tuple[Words, ...] = (*(() if plain else (Words(*one) for one in phrases)), *against)
    return Question(
        text=phrases[0][0] if plain else "", texts=texts, chips=tuple(name for name, _ in chips), chip_weights=weights,
        not_chips=tuple(not_chip or ()), liked=tuple(like or ()), disliked=tuple(unlike or ()), modality=modality,
    )  # fmt: skip


def _weighed(value: str) -> tuple[str, float]:
    head, mark, tail = value.rpartition("::")
    if not mark:
        return value, 1.0
    try:
        return head, float(tail)
    except ValueError as error:
        raise typer.BadParameter(f"expected a number after ::, got {value!r}") from error


def _title(question: "Question") -> str:
    words = [question.text, *(one.text for one in question.texts if one.weight > 0)]
    return " + ".join(one for one in words if one) or "by example"


def _range(text: str, name: str) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        low, high = (float(value) for value in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"expected LOWEST,HIGHEST, got {text!r}", param_hint=name) from error
    return (low, high)


def _bbox(text: str) -> tuple[float, float, float, float] | None:
    if not text:
        return None
    try:
        west, south, east, north = (float(value) for value in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"expected west,south,east,north in degrees, got {text!r}", param_hint="--bbox") from error
    return (west, south, east, north)


def _polygons(path: Path | None) -> "tuple[LonLatPolygon, ...]":
    from ovd_platform.search.area import polygons_of_geojson

    return polygons_of_geojson(json.loads(path.read_text())) if path is not None else ()
