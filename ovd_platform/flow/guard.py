"""The guarded workers of this process. Belongs here: one of each kind a process, and their limits from the configuration."""

import atexit
from functools import lru_cache

from ovd_platform.flow.workspace import Workspace
from ovd_platform.guarded import GuardedWorker


def worker(ws: Workspace) -> GuardedWorker:
    """The worker that reads files for a workspace; started on first use, ended with the process."""
    return _worker(ws.config.guard.memory_mb << 20, ws.config.guard.stall_s)


@lru_cache(maxsize=4)
def _worker(memory_bytes: int, stall_s: float) -> GuardedWorker:
    made = GuardedWorker(memory_bytes, stall_s)
    atexit.register(made.close)
    return made


def document_worker(ws: Workspace) -> GuardedWorker:
    """The worker that reads documents for a workspace: starting one takes longer than reading most buckets, so all share it."""
    return _document_worker(ws.config.document_seconds, ws.config.guard.memory_mb << 20)


@lru_cache(maxsize=4)
def _document_worker(seconds: float, memory_bytes: int) -> GuardedWorker:
    from ovd_platform.documents import guarded

    made = guarded.document_worker(seconds, memory_bytes)
    atexit.register(made.close)
    return made
