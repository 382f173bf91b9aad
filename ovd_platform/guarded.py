"""Reading hostile files in a child process: a crash, a hang or a memory bomb costs one file, never the run.

Belongs here: starting, limiting, watching and hearing the child. Does not belong here: what it computes. One child serves many calls;
it is started when first needed, replaced when it dies, and ends with its parent.
"""

import contextlib
import importlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ovd_platform import errors
from ovd_platform.errors import HostileRasterError, OvdError, ResourceError

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]

DEFAULT_MEMORY_BYTES = 4 << 30
DEFAULT_STALL_S = 120.0
_BLOCK_CACHE_MB = 256
_PACKAGE = "ovd_platform."
_START_S = 120.0


class GuardedWorker:
    """Calls library functions in a child process with limits.

    A child may run as long as it makes progress: it is stopped after ``stall_s`` seconds without a sign of life, so that a scene of
    five gigapixels and a file that hangs are told apart.

    Args:
        memory_bytes: Address space of the child, where the system can limit it.
        stall_s: Seconds without progress after which the child is stopped.
        hostile: The error for a file that crashed, hung or filled the child.
        remedy: What to do about it, for the message.
    """

    def __init__(
        self,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        stall_s: float = DEFAULT_STALL_S,
        *,
        hostile: type[OvdError] = HostileRasterError,
        remedy: str = "Leave the file out, or raise guard.memory_mb and guard.stall_s.",
    ) -> None:
        self.memory_bytes, self.stall_s = memory_bytes, stall_s
        self._hostile, self._remedy = hostile, remedy
        self._child: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._lock = threading.Lock()
        self.peak_bytes = 0
        """Largest resident set the child reported after a call."""

    def call(self, function: str, /, *, about: str, progress: Progress | None = None, **arguments: Any) -> Any:
        """Run a function of the library in the child.

        Args:
            function: ``ovd_platform.module:name``; it takes and returns JSON values. If it has an argument ``progress``, it is
                called as sign of life.
            about: The file or scene, for messages.
            progress: Called with what the child reports.
            **arguments: JSON values.

        Returns:
            What the function returned, as JSON values.

        Raises:
            OvdError: What the function raised, under its own name.
            hostile: (as given) If the child crashed, hung, or ran out of memory.
            ResourceError: If no child could be started.
        """
        with self._lock:
            child = self._started()
            order = {"function": function, "arguments": arguments, "progress": progress is not None}
            assert child.stdin is not None
            try:
                child.stdin.write(json.dumps(order) + "\n")
                child.stdin.flush()
            except OSError:
                self._stop()
                raise self._hostile(self._message(about, "a worker that had died")) from None
            return self._answer(child, about, progress)

    def _answer(self, child: "subprocess.Popen[str]", about: str, progress: Progress | None) -> Any:
        while True:
            try:
                line = self._lines.get(timeout=self.stall_s)
            except queue.Empty:
                self._stop()
                raise self._hostile(self._message(about, f"no progress for {self.stall_s:g} s")) from None
            if line is None:
                code = child.wait()
                self._stop()
                what = f"a crash with signal {-code}" if code < 0 else f"an end with code {code}"
                raise self._hostile(self._message(about, what))
            answer = json.loads(line)
            self.peak_bytes = max(self.peak_bytes, int(answer.get("peak_bytes", 0)))
            if "done" in answer:
                if progress is not None:
                    progress(answer["done"], answer["total"], answer["what"])
            elif "error" in answer:
                raise self._raised(answer["error"], answer["message"], about)
            else:
                return answer["result"]

    def _message(self, about: str, got: str) -> str:
        return (
            f"Cannot read {about}: expected an answer within {self.memory_bytes >> 20} MiB and {self.stall_s:g} s between signs of "
            f"life, got {got}. {self._remedy}"
        )

    def _raised(self, name: str, message: str, about: str) -> OvdError:
        """The child's error under its own name; what is no error of the platform is the file's fault."""
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, OvdError):
            return kind(message)
        described = self._message(about, message)
        return self._hostile(described if name == "MemoryError" else f"{described} ({name})")

    def _started(self) -> "subprocess.Popen[str]":
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._stop()
        self._lines = queue.Queue()
        command = [sys.executable, "-m", __name__, str(self.memory_bytes)]
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=_environment(),
                bufsize=1,
                start_new_session=True,  # Ctrl-C is the parent's affair.
            )
        except OSError as error:
            raise ResourceError(f"Cannot start a worker: {error}. Free memory or processes and try again.") from error
        self._child = child
        threading.Thread(target=_listen, args=(child, self._lines), daemon=True).start()
        try:
            ready = self._lines.get(timeout=_START_S)
        except queue.Empty:
            ready = None
        if ready is None:
            self._stop()
            raise ResourceError(f"Cannot start a worker: expected a sign of life within {_START_S:g} s, got none. Try again.")
        return child

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(OSError):
            if child.stdin is not None:
                child.stdin.close()
        try:
            child.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()

    def close(self) -> None:
        """End the child; the next call starts another."""
        with self._lock:
            self._stop()

    def __enter__(self) -> Self:
        """The worker itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the child."""
        self.close()


def _listen(child: "subprocess.Popen[str]", lines: "queue.Queue[str | None]") -> None:
    assert child.stdout is not None
    with contextlib.suppress(ValueError, OSError):
        for line in child.stdout:
            if line.startswith("{"):
                lines.put(line)
    lines.put(None)


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[1])
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": f"{root}{os.pathsep}{known}" if known else root,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "GDAL_CACHEMAX": str(_BLOCK_CACHE_MB),
        # A page for malloc's arenas: threads would otherwise reserve address space that the limit counts.
        "MALLOC_ARENA_MAX": "2",
    }


def _limit(memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # not a POSIX system: watching for signs of life is all there is
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def peak_bytes() -> int:
    """Largest resident set of this process so far; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        # Not getrusage: its peak is inherited from the process that started this one.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


def _serve(memory_bytes: int) -> None:
    """Answer orders, one JSON object a line, until the parent closes the pipe."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Libraries that print must not garble the answers.
    _limit(memory_bytes)

    def say(**answer: Any) -> None:
        answers.write(json.dumps({**answer, "peak_bytes": peak_bytes()}) + "\n")

    def report(done: int, total: int, what: str) -> None:
        say(done=done, total=total, what=what)

    say(ready=True)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            module, name = order["function"].split(":")
            if not module.startswith(_PACKAGE):
                raise ValueError(f"expected a function of {_PACKAGE}, got {module}")
            arguments = {**order["arguments"], **({"progress": report} if order["progress"] else {})}
            result = getattr(importlib.import_module(module), name)(**arguments)
        except BrokenPipeError:  # The parent is gone; so is the reason to go on.
            return
        except Exception as error:  # Everything goes to the parent, under its name.
            say(error=type(error).__name__, message=str(error))
        else:
            say(result=result)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
