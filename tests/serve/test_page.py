"""The page in a real browser against the real server. Skipped where there is no Chromium; the API's own tests always run."""

import os
from pathlib import Path

import pytest

from benchmarks.chromium import Chromium, find_chromium
from benchmarks.page_walk import running, walk
from ovd_platform.flow.workspace import Workspace

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="needs Chromium or Chrome on the PATH")


def test_a_person_finds_marks_keeps_and_exports(searchable: Workspace, chip: Path, tmp_path: Path) -> None:
    shots = Path(os.environ.get("OVD_TEST_SHOTS", tmp_path / "shots"))
    with running(searchable) as address, Chromium() as browser:
        facts = walk(browser, address, "ship", chip, shots)
    assert facts["complaints"] == []
    assert facts["text_answers"] > 20
    assert facts["chip_answers"] > 20
    assert facts["drawn_answers"] > 20
    assert facts["refined"]["order_changed"]
    assert (facts["class"]["right"], facts["class"]["wrong"]) == (2, 2)
    assert facts["exports"] == {"geojson": 2, "coco": 2, "evidence": 2}
    for seen in facts["narrow"]:
        assert seen["page"] <= seen["window"]
        assert (seen["small"], seen["unnamed"]) == (0, 0)
    assert facts["thousand"]["answers"] > 60
    assert facts["thousand"]["ms_a_step"] < 500
    assert facts["states"]["loading"].startswith("Searching")
    assert "Widen the dates" in facts["states"]["nothing"]
    assert "Is `ovd up` still running?" in facts["states"]["gone"]
    assert len(list(shots.glob("*.png"))) == 16
