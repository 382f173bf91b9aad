"""Listening: a taken port is said plainly; `ovd up` keeps the other going when one ends, and ends both."""

import socket
import subprocess
import sys
import time

import pytest

from ovd_platform.cli.processes import end, watch
from ovd_platform.errors import ResourceError
from ovd_platform.serve.server import check_port


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ResourceError, match=f"127.0.0.1:{port}"):
            check_port("127.0.0.1", port)


def test_one_that_ends_leaves_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    def child(code: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)

    children = {"search page": child("import time; time.sleep(1.5)"), "Dagster": child("raise SystemExit(3)")}
    assert watch(children) == 3
    assert "Dagster ended with code 3; still running: search page" in capsys.readouterr().err
    stubborn = {
        "a": child("import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"),
        "b": child("0"),
    }
    started = time.monotonic()
    end(stubborn, patience_s=(0.5, 2.0))
    assert time.monotonic() - started < 5
    assert all(one.returncode is not None for one in stubborn.values())
