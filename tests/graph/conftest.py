"""A small workspace that went through the whole graph with the starter weights: six rendered scenes, labels, no documents."""

from pathlib import Path

import pytest

from ovd_platform.config import ArchiveConfig, LearnConfig, OvdConfig, ProposeConfig, SplitConfig, SynthesisConfig, TilesConfig
from ovd_platform.demo.geotiff import GroundFrame, write_geotiff
from ovd_platform.demo.scene import render_scene
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import write_json

SIZE_PX = 384


def write_scene(folder: Path, name: str, seed: int, place: int, labels: Path | None = None, theme: str = "airfield") -> Path:
    rendered = render_scene(seed, "pan-1x12", SIZE_PX, theme=theme)  # type: ignore[arg-type]
    meta = rendered.meta | {"view": {**rendered.meta["view"], "acquired_utc": f"2024-03-{place + 1:02d}T10:00:00+00:00"}}
    path = folder / f"{name}.tif"
    write_geotiff(path, rendered.pixels_chw, GroundFrame(32631, 400_000.0 + 10_000.0 * place, 5_600_000.0, meta["gsd_m"]), meta)
    if labels is not None:
        features = [
            {
                "type": "Feature",
                "geometry": None,
                "properties": {"scene": path.name, "class": one.class_name, "corners_px": one.corners_scene_xy},
            }
            for one in rendered.truth
            if one.labelled
        ]
        write_json(labels / f"{name}.geojson", {"type": "FeatureCollection", "features": features})
    return path


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    from assets.launch import run_graph

    root = tmp_path_factory.mktemp("workspace")
    for folder in ("imagery", "labels"):
        (root / folder).mkdir()
    for index in range(6):
        write_scene(root / "imagery", f"scene_{index}", 50_000 + index, index, root / "labels" if index < 4 else None)
    OvdConfig(
        imagery=("imagery",),
        labels=("labels",),
        rendered=True,
        tiles=TilesConfig(core_px=256, halo_px=32, min_edge_density=0.0),
        learn=LearnConfig(chips_per_scene=8, backbone_minutes=0.0, regions_minutes=0.0, clip_minutes=0.0, proposer_minutes=0.0),
        propose=ProposeConfig(max_per_mpx=200, min_per_scene=30),
        split=SplitConfig(holdout_fraction=0.2, calibration_fraction=0.2),
        synthesis=SynthesisConfig(max_tiles=4),
        archive=ArchiveConfig(lossless_edge_density=0.02),
    ).save(root)
    ws = Workspace.open(root)
    summary = run_graph(ws, say=lambda line: None)
    assert not summary.failed, summary.failed
    return ws
