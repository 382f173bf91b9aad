"""Band and metadata settings of `ovd.yaml` reach the trained backbone, its card and the vectors made with it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from ovd_platform.config import LearnConfig
from ovd_platform.errors import StaleError
from ovd_platform.flow import models
from ovd_platform.flow.ingest import ingest
from ovd_platform.flow.labels import ANNOTATIONS
from ovd_platform.flow.radiometry import check_trained_with
from ovd_platform.flow.release import SCENE_MANIFEST
from ovd_platform.flow.scenes import TILES, load_profile, open_registered
from ovd_platform.flow.setup import make_workspace
from ovd_platform.flow.training import BACKBONE, TRAINING_SHARDS
from ovd_platform.learn import mae
from ovd_platform.stores.models import load_model


def write_scene(folder: Path, number: int) -> None:
    rng = np.random.default_rng(number)
    values = rng.integers(200, 3000, (4, 96, 96)).astype(np.uint16)
    place = Affine(0.5, 0, 400_000 + 20_000 * number, 0, -0.5, 5_600_000)
    with rasterio.open(
        folder / f"s{number}.tif",
        "w",
        driver="GTiff",
        count=4,
        width=96,
        height=96,
        dtype="uint16",
        crs="EPSG:32631",
        transform=place,
    ) as out:
        out.write(values)
    view = {"sun_elevation_deg": 20.0 + 10 * number, "acquired_utc": "2024-06-01T10:30:00+00:00"}
    (folder / f"s{number}.ovd.json").write_text(json.dumps({"instrument": "ms-4", "view": view}))


def test_adapters_and_metadata_are_trained_kept_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imagery = tmp_path / "imagery"
    imagery.mkdir()
    for number in range(3):
        write_scene(imagery, number)
    learn = LearnConfig(chips_per_scene=8, backbone_minutes=0.0, bands="pca", metadata=True)
    ws = make_workspace(tmp_path / "home", imagery=[str(imagery)], learn=learn, radiometry={"ms-4": {"curve": "gamma"}})
    ingest(ws)
    scene_ids = [record.scene_id for record in ws.scenes("optical")]
    for scene_id in scene_ids:
        TILES.materialize(ws, "optical", scene_id)
    train = mae.train_backbone

    def short(*arguments: Any, **settings: Any) -> Any:
        return train(*arguments, **{**settings, "minutes": None, "steps": 1})

    monkeypatch.setattr(mae, "train_backbone", short)
    for stage in (ANNOTATIONS, SCENE_MANIFEST, TRAINING_SHARDS):
        stage.materialize(ws, "optical")
    made = BACKBONE.materialize(ws, "optical")
    state, card = load_model(ws.home.models, "optical-backbone", made.version)
    assert state["backbone.adapters.maps.4.projection.weight"].shape[:2] == (3, 4)
    assert "backbone.film.mlp.0.weight" in state
    assert (card["recipe"]["bands"], card["recipe"]["metadata"]) == ("pca", True)
    assert card["profiles"]["ms-4"]["low_c"][0] < card["profiles"]["ms-4"]["high_c"][0]
    assert card["radiometry"]["ms-4"]["curve"] == "gamma"
    version = models.encoder_id(ws, "optical", made.version, models.NO_MODEL)
    encoder = models.encoder(ws, "optical", version)
    scene_id = scene_ids[0]
    with open_registered(ws, "optical", scene_id) as scene:
        visual, _ = encoder.embed_boxes(scene, np.array([[10, 10, 40, 40]], np.float32), load_profile(ws, "optical", scene_id))
    assert np.linalg.norm(visual, axis=1) == pytest.approx(1.0, abs=1e-3)
    check_trained_with(ws, "optical", "ms-4", models.encoder_card(ws, "optical", version), "this encoder")
    with pytest.raises(StaleError, match="curve linear -> gamma"):
        check_trained_with(ws, "optical", "ms-4", {}, "the shipped proposer")
    ws.config.model_copy(update={"radiometry": {}}).save(ws.home.root)
    assert not TRAINING_SHARDS.is_current(type(ws).open(ws.home.root), "optical"), "new values, new chips"
    ws.config.model_copy(update={"learn": learn.model_copy(update={"bands": "native"})}).save(ws.home.root)
    assert not BACKBONE.is_current(type(ws).open(ws.home.root), "optical")
