"""Opening documents that may be broken, encrypted or empty. Belongs here: open, unlock, count; never what is on a page."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ovd_platform.errors import UnreadableDocumentError

_SLUG = re.compile(r"[^A-Za-z0-9_.-]+")


def document_slug(path: Path) -> str:
    """Id of a document: its file name without suffix, at most 80 safe characters."""
    return _SLUG.sub("-", path.stem).strip("-.")[:80] or "document"


def pdf_errors() -> tuple[type[Exception], ...]:
    """What PyMuPDF raises on files that are wrong; programming errors (type, attribute, name) are not among them."""
    import pymupdf

    return (RuntimeError, ValueError, KeyError, IndexError, ArithmeticError, pymupdf.mupdf.FzErrorBase)


@contextmanager
def opened(path: Path, passwords: Sequence[str] = ()) -> Iterator[tuple[Any, list[str]]]:
    """Open a PDF for reading, with notes on how it opened.

    Args:
        path: The file.
        passwords: Tried in order on encrypted files; the empty password always is.

    Yields:
        The PyMuPDF document and notes for people.

    Raises:
        UnreadableDocumentError: If it cannot be opened, is no PDF, is locked, or has no page.
    """
    import pymupdf

    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    try:
        document = pymupdf.open(path, filetype="pdf")
    except pdf_errors() as error:
        raise UnreadableDocumentError(
            f"Cannot open {path.name}: expected a PDF, got {_first_line(error)}. Check the file."
        ) from error
    with document:
        notes = _unlock(document, path, passwords)
        if document.is_repaired:
            notes.append("repaired: the file's structure was damaged; pages may be missing")
        try:
            pages = int(document.page_count)
        except pdf_errors() as error:
            raise UnreadableDocumentError(
                f"Cannot open {path.name}: expected a page tree, got {_first_line(error)}. Check the file."
            ) from error
        if pages < 1:
            raise UnreadableDocumentError(f"Cannot read {path.name}: expected at least one page, got none. Check the file.")
        yield document, notes


def _unlock(document: Any, path: Path, passwords: Sequence[str]) -> list[str]:
    if not document.needs_pass:
        return []
    for number, password in enumerate(passwords, start=1):
        if document.authenticate(password):
            return [f"encrypted: opened with password {number} of the list"]
    raise UnreadableDocumentError(
        f"Cannot open {path.name}: expected a password that fits, got {len(passwords)} that do not. Add it to the list."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
