"""Several processes under one command, ended together. Belongs here: starting, watching, ending; what they do is theirs."""

import contextlib
import os
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
            command,
            env=dict(environment),
            cwd=folder,
            stdout=subprocess.DEVNULL if name == silent else None,
            start_new_session=True,
        )
        for name, command in commands.items()
    }  # fmt: skip
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return watch(children)
    except KeyboardInterrupt:
        return 0
    finally:
        try:
            end(children)
        except KeyboardInterrupt:  # asked twice: at once
            end(children, (0.0, 0.0))


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


def end(children: Children, patience_s: tuple[float, float] = (8.0, 3.0)) -> None:
    """Ask all as Ctrl-C would, then insist, then end them and whatever they started.

    Every child leads a process group of its own, so that nothing it started stays behind, also where Ctrl-C is ignored (`nohup`, `&` in a script).

    Args:
        children: Processes by name, each the leader of its process group.
        patience_s: Seconds after SIGINT and after SIGTERM.
    """
    for signal_, seconds in zip((signal.SIGINT, signal.SIGTERM), patience_s, strict=True):
        for child in children.values():
            if child.poll() is None:
                _tell_group(child, signal_)
        until = time.monotonic() + seconds
        while time.monotonic() < until and any(child.poll() is None for child in children.values()):
            time.sleep(0.1)
    for child in children.values():
        _tell_group(child, signal.SIGKILL)
        child.wait()


def _tell_group(child: "subprocess.Popen[bytes]", signal_: signal.Signals) -> None:
    with contextlib.suppress(OSError):  # the group is gone
        os.killpg(child.pid, signal_)


def _interrupt(*_: object) -> None:
    """SIGTERM ends as Ctrl-C does: no child stays behind."""
    raise KeyboardInterrupt
