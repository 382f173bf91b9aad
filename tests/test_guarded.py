"""The guarded worker: answers, the library's own errors, crashes, hangs and memory bombs; the next call works again."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from ovd_platform.errors import DamagedRasterError, HostileRasterError, NotARasterError
from ovd_platform.guarded import GuardedWorker

ADMIT = "ovd_platform.raster.admission:admit"


def test_a_worker_answers_fails_by_name_and_survives(tmp_path: Path) -> None:
    np.save(tmp_path / "slc.npy", np.ones((20, 30), np.complex64))
    (tmp_path / "words.tif").write_text("not a raster")
    (tmp_path / "cut.tif").write_bytes(b"II*\x00\x08\x00\x00\x00\xff\xff")
    with GuardedWorker(memory_bytes=3 << 30, stall_s=60) as worker:
        for _ in range(2):
            record = worker.call(ADMIT, about="slc", uri=str(tmp_path / "slc.npy"))
            assert (record["modality"], record["width_px"]) == ("sar", 30)
            with pytest.raises(NotARasterError, match=r"words\.tif"):
                worker.call(ADMIT, about="words", uri=str(tmp_path / "words.tif"))
            with pytest.raises(DamagedRasterError, match=r"cut\.tif"):
                worker.call(ADMIT, about="cut", uri=str(tmp_path / "cut.tif"))
        killed = worker._child
        assert killed is not None
        os.kill(killed.pid, signal.SIGSTOP)
        _kill_soon(killed.pid)
        with pytest.raises(HostileRasterError, match="crash with signal 9"):
            worker.call(ADMIT, about="slc", uri=str(tmp_path / "slc.npy"))
        assert worker.call(ADMIT, about="slc", uri=str(tmp_path / "slc.npy"))["height_px"] == 20
        assert worker.peak_bytes > 1 << 20


def _kill_soon(pid: int) -> None:
    import threading

    threading.Timer(0.3, lambda: os.kill(pid, signal.SIGKILL)).start()


def test_a_hang_is_stopped_and_a_bomb_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "slc.npy", np.ones((20, 30), np.complex64))
    with GuardedWorker(memory_bytes=3 << 30, stall_s=1.0) as worker:
        assert worker.call(ADMIT, about="slc", uri=str(tmp_path / "slc.npy"))
        hung = worker._child
        assert hung is not None
        os.kill(hung.pid, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(HostileRasterError, match="no progress for 1 s"):
            worker.call(ADMIT, about="slc", uri=str(tmp_path / "slc.npy"))
        assert time.monotonic() - started < 20
        # A header of 128 bytes that announces 8 TB of pixels.
        header = np.lib.format.header_data_from_array_1_0(np.zeros((1, 1), np.float64))
        with (tmp_path / "bomb.npy").open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, {**header, "shape": (1 << 20, 1 << 20)})
        with pytest.raises((HostileRasterError, DamagedRasterError)):
            worker.call(ADMIT, about="bomb", uri=str(tmp_path / "bomb.npy"))


def test_only_the_library_may_be_called() -> None:
    with GuardedWorker(stall_s=60) as worker, pytest.raises(HostileRasterError, match="expected a function"):
        worker.call("os:getcwd", about="nothing")
