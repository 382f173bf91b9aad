"""Extraction in a child process with limits: a hostile file costs one document, never the run.

Belongs here: what a failed child means for a document. Does not belong here: the child (`guarded`), what it computes (extract).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ovd_platform.documents.opening import document_slug
from ovd_platform.documents.outcome import EXTRACTOR_VERSION, DocumentOutcome
from ovd_platform.errors import InputError, OvdError, UnreadableDocumentError
from ovd_platform.guarded import DEFAULT_MEMORY_BYTES, GuardedWorker
from ovd_platform.stores.home import file_hash

PixelWords = Literal["off", "pages", "figures"]

_GRACE_S = 10.0
DEFAULT_SECONDS = 300.0


def extract_document_guarded(
    path: Path,
    images_dir: Path,
    *,
    passwords: Sequence[str] = (),
    seconds: float = DEFAULT_SECONDS,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    document_id: str | None = None,
    words: PixelWords = "off",
) -> DocumentOutcome:
    """`extract_document` in a child process that may not run or grow without end.

    The child first stops by itself after ``seconds`` and hands over what it has; it is killed ten seconds later.

    Args:
        path: The PDF.
        images_dir: Root of the extracted images.
        passwords: Tried in order on encrypted files; they travel on standard input, never on the command line.
        seconds: Wall time for the document.
        memory_bytes: Address space of the child, where the system can limit it.
        document_id: Id to use instead of the slug of the file name.
        words: Where words are read from pixels: nowhere, on pages without text, or inside figures as well.

    Returns:
        The outcome; a crash, a kill or a time-out is its `error`.

    Raises:
        InputError: If the file does not exist.
    """
    if not path.is_file():
        raise InputError(f"Cannot extract {path}: expected a file, found none. Check the configured documents.")
    worker = GuardedWorker(
        memory_bytes, seconds + _GRACE_S, hostile=UnreadableDocumentError, remedy="Give it more, or leave it out."
    )
    try:
        with worker:
            values = worker.call(
                f"{__name__}:extract_to_dict",
                about=path.name,
                path=str(path.resolve()),
                images_dir=str(images_dir.resolve()),
                passwords=list(passwords),
                seconds=seconds,
                document_id=document_id,
                words=words,
            )
    except OvdError as error:
        message = f"Cannot extract {path.name}: {error}"
        return DocumentOutcome(document_id or document_slug(path), file_hash(path), 0, [], message, uri=str(path))
    return DocumentOutcome.from_dict({**values, "uri": str(path)})


def extract_to_dict(
    path: str, images_dir: str, passwords: Sequence[str], seconds: float, document_id: str | None, words: PixelWords
) -> dict[str, Any]:
    """`extract_document` in JSON values, for the child."""
    return extract_with_words(
        Path(path), Path(images_dir), passwords=passwords, document_id=document_id, seconds=seconds, words=words
    ).to_dict()


def extract_with_words(
    path: Path,
    images_dir: Path,
    *,
    passwords: Sequence[str] = (),
    document_id: str | None = None,
    seconds: float | None = None,
    words: PixelWords = "off",
) -> DocumentOutcome:
    """`extract_document` with the recogniser that is shipped, where words in pixels are wanted."""
    from ovd_platform.documents.extract import extract_document

    recogniser = None
    if words != "off":
        from ovd_platform.documents.rapid import read_words as recogniser
    outcome = extract_document(
        path,
        images_dir,
        passwords=passwords,
        document_id=document_id,
        seconds=seconds,
        recogniser=recogniser,
        in_figures=words == "figures",
    )
    return replace(outcome, extractor=extractor_version(words))


def extractor_version(words: PixelWords) -> str:
    """Name of the extraction with this choice of words; outcomes of another one are made again."""
    return f"{EXTRACTOR_VERSION}/{words}"
