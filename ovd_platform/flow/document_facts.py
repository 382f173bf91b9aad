"""What was found in each document of a workspace, for `ovd documents`. Belongs here: reading outputs; printing is the CLI's."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ovd_platform.errors import InputError
from ovd_platform.flow.documents import documents_by_bucket
from ovd_platform.flow.stage import Output, current_or_none, partitions_of
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.pair import FigureKind, Pair
from ovd_platform.stores.home import read_json


@dataclass(frozen=True, slots=True)
class DocumentFacts:
    """One document.

    Attributes:
        document_id: Slug of the file name.
        uri: Where the file was.
        pages: Pages; 0 where it could not be opened.
        figures: Figures found, with their kind as the pair dataset judged it (where there is one).
        images_dir: Root of their images.
        kept: How many became pairs to train on; None before the pair dataset was made.
        error: What could not be read, with the remedy; "" if all was.
        notes: What people should know.
    """

    document_id: str
    uri: str
    pages: int
    figures: tuple[Pair, ...]
    images_dir: Path
    kept: int | None
    error: str
    notes: tuple[str, ...]

    def row(self) -> dict[str, Any]:
        """JSON-ready summary."""
        kinds = Counter(figure.kind for figure in self.figures if not figure.parent_id)
        return {
            "document": self.document_id,
            "uri": self.uri,
            "pages": self.pages,
            "figures": sum(not figure.parent_id for figure in self.figures),
            "parts": sum(bool(figure.parent_id) for figure in self.figures),
            "captioned": sum(bool(figure.caption) for figure in self.figures if not figure.parent_id),
            "kinds": dict(sorted(kinds.items())),
            "pairs": self.kept,
            "error": self.error,
            "notes": list(self.notes),
        }


def document_facts(ws: Workspace) -> tuple[list[DocumentFacts], list[str]]:
    """Documents that were read, sorted by id, and files that were not read yet.

    Args:
        ws: The workspace.
    """
    from ovd_platform.documents.outcome import DocumentOutcome

    kinds, kept = _judged(ws)
    found: list[DocumentFacts] = []
    for bucket in partitions_of(ws, "shared", "pdf_pairs"):
        output = current_or_none(ws, "shared", "pdf_pairs", bucket)
        if output is None or not (output.folder / "documents.json").is_file():
            continue
        for values in read_json(output.folder / "documents.json"):
            outcome = DocumentOutcome.from_dict(values)
            figures = tuple(replace(pair, kind=kinds.get(pair.pair_id, pair.kind)) for pair in outcome.pairs)
            own = None if kept is None else sum(pair.pair_id in kept for pair in figures)
            found.append(
                DocumentFacts(
                    outcome.document_id,
                    outcome.uri,
                    outcome.pages,
                    figures,
                    output.folder / "images",
                    own,
                    outcome.error or "",
                    outcome.notes,
                )
            )
    read = {facts.uri for facts in found}
    waiting = [str(path) for paths in documents_by_bucket(ws).values() for path in paths if str(path) not in read]
    return sorted(found, key=lambda facts: facts.document_id), sorted(waiting)


def _judged(ws: Workspace) -> tuple[dict[str, FigureKind], set[str] | None]:
    """Kinds by pair id and ids of the kept pairs, from the current pair dataset; nothing and None without one."""
    import pyarrow.parquet as pq

    dataset: Output | None = current_or_none(ws, "shared", "pair_dataset")
    if dataset is None:
        return {}, None
    table = pq.read_table(dataset.folder / "pairs.parquet", columns=["pair_id"])
    kinds = dataset.folder / "kinds.json"
    return (read_json(kinds) if kinds.is_file() else {}), set(table.column("pair_id").to_pylist())


def write_sheets(facts: Sequence[DocumentFacts], folder: Path) -> list[Path]:
    """A contact sheet for each document that has figures: ``<document>.png``.

    Raises:
        InputError: If `folder` is a file.
    """
    from ovd_platform.documents.contact_sheet import write_contact_sheet

    if folder.is_file():
        raise InputError(f"Cannot write contact sheets to {folder}: expected a folder, got a file. Name another.")
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_contact_sheet(
            folder / f"{document.document_id}.png",
            document.figures,
            document.images_dir,
            title=f"{document.document_id}: {document.pages} pages, {len(document.figures)} figures",
            notes=[note for note in (document.error, *document.notes) if note],
        )
        for document in facts
        if document.figures
    ]
