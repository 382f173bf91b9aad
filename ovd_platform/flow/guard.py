"""The guarded worker of this process. Belongs here: one worker a process and its limits from the configuration."""

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
