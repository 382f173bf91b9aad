"""Adding, changing and ageing off one scene, by real automation ticks: runs the test that shows it."""

import subprocess
import sys

from benchmarks.outcome import Outcome


def run(arguments: list[str]) -> list[Outcome]:
    """Run `tests/graph/test_affected.py`; the value is 1 if every case held."""
    code = subprocess.call([sys.executable, "-m", "pytest", "-q", "tests/graph/test_affected.py", *arguments])
    return [Outcome("only what is affected", float(code == 0), 1)]
