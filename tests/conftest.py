"""Shared fixtures: no network (see pyproject), one torch thread, the real test data where it is present."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(os.environ.get("OVD_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real test data is absent: expected {folder}")
    return folder
