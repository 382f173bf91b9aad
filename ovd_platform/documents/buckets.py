"""Documents in buckets, extracted again only when their bytes change. Belongs here: what is where, and what is stale."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

from ovd_platform.documents.guarded import (
    DEFAULT_SECONDS,
    PixelWords,
    document_worker,
    extract_document_guarded,
    extract_with_words,
    extractor_version,
)
from ovd_platform.documents.opening import document_slug
from ovd_platform.documents.outcome import DocumentOutcome
from ovd_platform.errors import InputError
from ovd_platform.guarded import DEFAULT_MEMORY_BYTES, GuardedWorker
from ovd_platform.stores.home import file_hash

_log = logging.getLogger(__name__)
_Progress = Callable[[int, int, str], None]


def document_bucket(document_id: str, buckets: int = 64) -> int:
    """Bucket of a document, ``0 <= bucket < buckets``; the same on every machine.

    Raises:
        InputError: If `buckets` is not positive.
    """
    if buckets < 1:
        raise InputError(f"Cannot put {document_id} in a bucket: expected at least one bucket, got {buckets}.")
    return int.from_bytes(sha256(document_id.encode()).digest()[:8], "big") % buckets


def bucket_paths(paths: Iterable[Path], bucket: int, buckets: int = 64) -> list[Path]:
    """The documents of one bucket, sorted; files of one name are always in one bucket."""
    return sorted(path for path in paths if document_bucket(document_slug(path), buckets) == bucket)


def extract_bucket(
    paths: Sequence[Path],
    images_dir: Path,
    previous: Sequence[DocumentOutcome] = (),
    *,
    passwords: Sequence[str] = (),
    guarded: bool = True,
    seconds: float = DEFAULT_SECONDS,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    processes: int = 1,
    words: PixelWords = "off",
    worker: GuardedWorker | None = None,
    progress: _Progress | None = None,
) -> list[DocumentOutcome]:
    """Outcomes of the documents of a bucket; unchanged ones are taken from before, vanished ones are dropped.

    Parallel over documents. A document is extracted again when its bytes, its id or the extractor changed, when one of its
    images is gone, or when it failed before.

    Args:
        paths: Documents of the bucket. Equal bytes at two paths count once, under the first path.
        images_dir: Root of the extracted images.
        previous: Outcomes of the last time.
        passwords: Tried in order on encrypted files.
        guarded: Use a child process for the documents; False for tests and debugging.
        seconds: Wall time for a document.
        memory_bytes: Memory of a child that is started here.
        processes: Children at once.
        words: Where words are read from pixels (`extract_document_guarded`); another choice than before extracts again.
        worker: A child to use instead of starting one; it has its own limits and stays alive. It answers one call at a time, so it
            goes with one process.
        progress: Told (done, total, document).

    Returns:
        One outcome a document, in the order of their ids.
    """
    known = {(outcome.document_id, outcome.version): outcome for outcome in previous if _reusable(outcome, images_dir, words)}
    wanted = _identified(paths)
    children, local = ExitStack(), threading.local()

    def worker_of_thread() -> GuardedWorker:
        if worker is not None:
            return worker
        if not hasattr(local, "worker"):
            local.worker = children.enter_context(document_worker(seconds, memory_bytes))
        mine: GuardedWorker = local.worker
        return mine

    def one(item: tuple[str, str, Path]) -> DocumentOutcome:
        document_id, version, path = item
        before = known.get((document_id, version))
        if before is not None:
            return before
        if not guarded:
            return extract_with_words(
                path, images_dir, passwords=passwords, document_id=document_id, seconds=seconds, words=words
            )
        return extract_document_guarded(
            path,
            images_dir,
            passwords=passwords,
            seconds=seconds,
            memory_bytes=memory_bytes,
            document_id=document_id,
            words=words,
            worker=worker_of_thread(),
        )

    outcomes = []
    with children, ThreadPoolExecutor(max_workers=max(1, processes)) as pool:
        for done, outcome in enumerate(pool.map(one, wanted), start=1):
            outcomes.append(outcome)
            if outcome.error:
                _log.warning("%s", outcome.error)
            if progress is not None:
                progress(done, len(wanted), outcome.document_id)
    return sorted(outcomes, key=lambda outcome: outcome.document_id)


def _identified(paths: Sequence[Path]) -> list[tuple[str, str, Path]]:
    """(id, version, path) of each document; a name taken by other bytes gets the start of its hash appended."""
    found: list[tuple[str, str, Path]] = []
    versions: set[str] = set()
    ids: set[str] = set()
    for path in sorted(paths):
        version, slug = file_hash(path), document_slug(path)
        if version in versions:
            _log.info("%s has the same bytes as another document and is left out", path)
            continue
        document_id = slug if slug not in ids else f"{slug}-{version[:6]}"
        versions.add(version)
        ids.add(document_id)
        found.append((document_id, version, path))
    return found


def _reusable(outcome: DocumentOutcome, images_dir: Path, words: PixelWords) -> bool:
    current = outcome.extractor == extractor_version(words) and outcome.error is None
    return current and all((images_dir / pair.image_path).is_file() for pair in outcome.pairs)
