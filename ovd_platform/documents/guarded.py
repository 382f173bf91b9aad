"""Extraction in a child process with limits: a hostile file costs one document, never the run.

Belongs here: starting, limiting and hearing the child. Does not belong here: what it computes (extract).
"""

import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ovd_platform.documents.opening import document_slug
from ovd_platform.documents.outcome import DocumentOutcome
from ovd_platform.errors import InputError
from ovd_platform.stores.home import file_hash

_log = logging.getLogger(__name__)
_GRACE_S = 10.0
DEFAULT_SECONDS = 300.0
DEFAULT_MEMORY_BYTES = 4 << 30


def extract_document_guarded(
    path: Path,
    images_dir: Path,
    *,
    passwords: Sequence[str] = (),
    seconds: float = DEFAULT_SECONDS,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    document_id: str | None = None,
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

    Returns:
        The outcome; a crash, a kill or a time-out is its `error`.

    Raises:
        InputError: If the file does not exist.
    """
    if not path.is_file():
        raise InputError(f"Cannot extract {path}: expected a file, found none. Check the configured documents.")
    with tempfile.TemporaryDirectory(prefix="ovd-document-") as folder:
        answer = Path(folder) / "outcome.json"
        order = {
            "path": str(path.resolve()),
            "images_dir": str(images_dir.resolve()),
            "passwords": list(passwords),
            "seconds": seconds,
            "memory_bytes": memory_bytes,
            "document_id": document_id,
            "answer": str(answer),
        }
        failure = _run_child(order, seconds + _GRACE_S)
        if answer.is_file():
            return DocumentOutcome.from_dict({**json.loads(answer.read_text()), "uri": str(path)})
    message = (
        f"Cannot extract {path.name}: expected an answer within {seconds:g} s and {memory_bytes >> 20} MiB, got {failure}."
    )
    return DocumentOutcome(
        document_id or document_slug(path), file_hash(path), 0, [], f"{message} Give it more, or leave it out.", uri=str(path)
    )


def _run_child(order: dict[str, Any], timeout_s: float) -> str:
    """Run the child; returns what went wrong, for people."""
    command = [sys.executable, "-m", "ovd_platform.documents.guarded"]
    try:
        done = subprocess.run(
            command, input=json.dumps(order).encode(), capture_output=True, timeout=timeout_s, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired:
        return "no answer before it was killed"
    if done.returncode == 0:
        return "no answer"
    last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
    if done.returncode < 0:
        return f"a crash with signal {-done.returncode} ({last[:200]})"
    return f"exit code {done.returncode} ({last[:200]})"


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": f"{root}{os.pathsep}{known}" if known else root,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _limit(memory_bytes: int, seconds: float) -> None:
    try:
        import resource
    except ImportError:  # not a POSIX system: the time limit of the parent is all there is
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds + _GRACE_S) + 1, int(seconds + _GRACE_S) + 2))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _serve(order: dict[str, Any]) -> None:
    from ovd_platform.documents.extract import extract_document

    _limit(int(order["memory_bytes"]), float(order["seconds"]))
    outcome = extract_document(
        Path(order["path"]),
        Path(order["images_dir"]),
        passwords=order["passwords"],
        document_id=order["document_id"],
        seconds=float(order["seconds"]),
    )
    Path(order["answer"]).write_text(json.dumps(outcome.to_dict()))


if __name__ == "__main__":
    _serve(json.loads(sys.stdin.read()))
