"""A small workspace that can be searched by words and by example: two rendered scenes, starter weights, an untrained text tower.

What words mean is not tested here (they mean nothing); that they travel from the address to the answer is.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ovd_platform.config import OvdConfig, ProposeConfig, TilesConfig
from ovd_platform.flow import models
from ovd_platform.flow.ingest import ingest
from ovd_platform.flow.labels import VOCABULARY
from ovd_platform.flow.scenes import TILES, embeddings_stage, proposals_stage, publish_embeddings
from ovd_platform.flow.stage import Built, Stage, Task
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import write_json
from tests.graph.conftest import write_scene


@pytest.fixture(scope="session")
def searchable(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    from ovd_platform.models.clip import LanguageBranch
    from ovd_platform.models.vit import RegionModel
    from ovd_platform.stores.models import save_model

    root = tmp_path_factory.mktemp("served")
    (root / "imagery").mkdir()
    for index in range(2):
        write_scene(root / "imagery", f"scene_{index}", 52_000 + index, index)
    OvdConfig(
        imagery=("imagery",), rendered=True, tiles=TilesConfig(core_px=256, halo_px=32, min_edge_density=0.0),
        propose=ProposeConfig(max_per_mpx=300, min_per_scene=40),
    ).save(root)  # fmt: skip
    ws = Workspace.open(root)
    ingest(ws)
    states = {kind: models.Starter.of(f"optical-{kind}").state() for kind in ("backbone", "proposer")}
    parts = {
        kind: save_model(ws.home.models, f"optical-{kind}", state, {**_card(kind), "recipe": {}})
        for kind, state in states.items() if state is not None
    }  # fmt: skip
    assert states["backbone"] is not None
    branch = LanguageBranch(RegionModel.from_state(states["backbone"]).backbone).to_state()
    parts["domain_clip"] = save_model(ws.home.models, "optical-domain_clip", branch, {"recipe": {}})
    encoder = models.encoder_id(ws, "optical", parts["backbone"], parts["domain_clip"])
    release = {**parts, "encoder": encoder, "calibration": models.NO_MODEL}

    def promote(task: Task) -> Built:
        write_json(task.folder / "release.json", release)
        return Built()

    Stage("release", "test", lambda *_: release, promote).materialize(ws, "optical")
    VOCABULARY.materialize(ws, "shared")
    for record in ws.scenes("optical"):
        for stage in (TILES, proposals_stage(), embeddings_stage()):
            stage.materialize(ws, "optical", record.scene_id)
        publish_embeddings(ws, "optical", record.scene_id)
    return ws


def _card(kind: str) -> dict[str, object]:
    from ovd_platform.stores.home import read_json

    card: dict[str, object] = read_json(models.STARTER_FOLDER / f"optical-{kind}" / "card.json")
    return card


@pytest.fixture(scope="session")
def address(searchable: Workspace) -> Iterator[str]:
    from benchmarks.page_walk import running

    with running(searchable) as where:
        yield where


@pytest.fixture
def chip(tmp_path: Path) -> Path:
    import cv2
    import numpy as np

    path = tmp_path / "chip.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8))
    return path
