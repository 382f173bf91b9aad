"""`ovd documents`: what was found in every document, what went wrong, and what to do about it."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

console = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)


def documents(
    only: Annotated[str, typer.Argument(help="Documents whose name contains this; all when empty.")] = "",
    home: Annotated[Path, typer.Option("--home", "-C", envvar="OVD_HOME", help="Workspace folder (with ovd.yaml).")] = Path(),
    sheets: Annotated[
        bool, typer.Option("--sheets", help="Write a contact sheet PNG per document into reports/documents.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the contact sheets here instead.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show per document: pages, figures, kinds, pairs for training, errors with their remedy."""
    from ovd_platform.flow.document_facts import document_facts, write_sheets
    from ovd_platform.flow.workspace import Workspace

    ws = Workspace.open(home)
    found, waiting = document_facts(ws)
    shown = [document for document in found if only.casefold() in document.document_id.casefold()]
    written = write_sheets(shown, out or ws.home.reports / "documents") if sheets or out is not None else []
    if as_json:
        facts = {
            "documents": [document.row() for document in shown],
            "waiting": waiting,
            "sheets": [str(path) for path in written],
        }
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    table = Table(title=f"{len(shown)} documents")
    for name in ("document", "pages", "figures", "captioned", "pairs", "kinds"):
        table.add_column(name, justify="left" if name in ("document", "kinds") else "right")
    for document in shown:
        row = document.row()
        kinds = ", ".join(f"{count} {kind}" for kind, count in row["kinds"].items())
        figures = f"{row['figures']}" + (f" + {row['parts']} parts" if row["parts"] else "")
        pairs = "-" if row["pairs"] is None else str(row["pairs"])
        table.add_row(row["document"], str(row["pages"]), figures, str(row["captioned"]), pairs, kinds)
    console.print(table)
    for document in shown:
        if document.error:
            errors.print(f"{document.document_id}: {document.error}", highlight=False, markup=False)
        for note in document.notes:
            console.print(f"{document.document_id}: {note}", highlight=False, markup=False)
    for path in waiting:
        errors.print(f"not read yet: {path}. `ovd run` reads it.", highlight=False, markup=False)
    if written:
        console.print(f"{len(written)} contact sheets: {written[0].parent}", highlight=False)
    elif not found:
        console.print("No document was read. Name PDFs under `documents` in ovd.yaml, then `ovd run`.", highlight=False)
