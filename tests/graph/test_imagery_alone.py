"""No label, no document, no vocabulary: the starter weights still give proposals, vectors and search by example."""

from pathlib import Path

from ovd_platform.config import ArchiveConfig, LearnConfig, OvdConfig, TilesConfig
from ovd_platform.flow.query import Question, search
from ovd_platform.flow.scenes import load_proposals
from ovd_platform.flow.stage import current
from ovd_platform.flow.workspace import Workspace
from tests.graph.conftest import write_scene


def test_imagery_alone_is_searchable_by_example(tmp_path: Path) -> None:
    from assets.launch import run_graph

    (tmp_path / "imagery").mkdir()
    for index in range(2):
        write_scene(tmp_path / "imagery", f"scene_{index}", 51_000 + index, index)
    OvdConfig(
        imagery=("imagery",),
        rendered=True,
        tiles=TilesConfig(core_px=256, halo_px=32, min_edge_density=0.0),
        learn=LearnConfig(chips_per_scene=8, backbone_minutes=0.0, regions_minutes=0.0),
        archive=ArchiveConfig(enabled=False),
    ).save(tmp_path)
    ws = Workspace.open(tmp_path)
    summary = run_graph(ws, say=lambda line: None)
    assert not summary.failed, summary.failed
    found = load_proposals(current(ws, "optical", "proposals", "scene_0").folder, "scene_0")
    box = ",".join(f"{value:.0f}" for value in found.boxes_scene_xyxy[0])
    hits = search(ws, Question(chips=(f"scene_0:{box}",), top=5))
    assert len(hits) == 5
    assert hits[0].scene_id == "scene_0"
