"""Ending several processes: nothing any of them started stays behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Starts a child of its own that ignores Ctrl-C and SIGTERM, writes its number down, and waits.
STUBBORN = """
import signal, subprocess, sys, time
from pathlib import Path
code = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
own = subprocess.Popen([sys.executable, "-c", code])
Path("started").write_text(str(own.pid))
time.sleep(600)
"""

BESIDE = """
import os, signal, sys
from pathlib import Path
from ovd_platform.cli.processes import run_beside
sys.exit(run_beside({"one": [sys.executable, "stubborn.py"]}, os.environ, Path.cwd()))
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize(("signal_", "ignored"), [(signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGTERM, True)])
def test_nothing_stays_behind(tmp_path: Path, signal_: signal.Signals, ignored: bool) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    quiet = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" if ignored else ""  # as under nohup
    parent = subprocess.Popen([sys.executable, "-c", quiet + BESIDE], cwd=tmp_path, env={**os.environ})
    until = time.monotonic() + 30
    while not (tmp_path / "started").is_file() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.2)
    grandchild = int((tmp_path / "started").read_text())
    assert alive(grandchild)
    parent.send_signal(signal_)
    assert parent.wait(20) == 0
    assert not alive(grandchild)
