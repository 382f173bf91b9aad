"""Several processes under one command, ended together. Belongs here: starting, watching, ending; what they do is theirs."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

Children = Mapping[str, "subprocess.Popen[bytes]"]


def run_beside(commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], folder: Path, *, silent: str = "") -> int:
    """Run commands side by side until Ctrl-C, SIGTERM, or until all have ended; if one ends, the others go on.

    Args:
        commands: Command by the name it is spoken of.
        environment: Of all.
        folder: Where they run.
        silent: Name of one whose standard output is dropped.

    Returns:
        0 after Ctrl-C, else the first exit code that was not 0.
    """
    children = {
        name: subprocess.Popen(
            command, env=dict(environment), cwd=folder, stdout=subprocess.DEVNULL if name == silent else None
        )
        for name, command in commands.items()
    }  # fmt: skip
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return watch(children)
    except KeyboardInterrupt:
        return 0
    finally:
        end(children)


def watch(children: Children) -> int:
    """Wait for all; say so when one ends by itself; returns the first exit code that was not 0."""
    left, worst = dict(children), 0
    while left:
        for name in [name for name, child in left.items() if child.poll() is not None]:
            code = left.pop(name).returncode
            worst = worst or code
            if left:
                print(f"{name} ended with code {code}; still running: {', '.join(left)}.", file=sys.stderr)
        time.sleep(0.3)
    return worst


def end(children: Children, patience_s: tuple[float, float, float] = (3.0, 8.0, 3.0)) -> None:
    """Let all end by themselves (the terminal tells them of Ctrl-C too), then ask as Ctrl-C would, then insist, then end them.

    Args:
        children: Processes by name.
        patience_s: Seconds for each of the three.
    """
    for signal_, seconds in zip((None, signal.SIGINT, signal.SIGTERM), patience_s, strict=True):
        for child in children.values():
            if signal_ is not None and child.poll() is None:
                with contextlib.suppress(OSError):
                    child.send_signal(signal_)
        until = time.monotonic() + seconds
        while time.monotonic() < until and any(child.poll() is None for child in children.values()):
            time.sleep(0.1)
    for child in children.values():
        if child.poll() is None:
            child.kill()
        child.wait()


def _interrupt(*_: object) -> None:
    """SIGTERM ends as Ctrl-C does: no child stays behind."""
    raise KeyboardInterrupt
