"""The sensors: what they notice, and that they fail loudly when nothing can be read."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from dagster import AssetKey, AssetObservation, DagsterInstance, SkipReason, build_sensor_context

from assets.observe import register_and_observe
from ovd_platform.config import OvdConfig
from ovd_platform.errors import DataError
from ovd_platform.flow.status import workspace_status
from ovd_platform.flow.workspace import Workspace
from resources.workspace import WorkspaceResource
from sensors.sources import new_documents, new_imagery, retention


def test_new_imagery_fails_loudly_when_nothing_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "imagery").mkdir()
    (tmp_path / "imagery" / "broken.tif").write_bytes(b"not a raster")
    OvdConfig(imagery=("imagery",)).save(tmp_path)
    with DagsterInstance.ephemeral() as instance, pytest.raises(DataError, match="any of 1 scene files"):
        new_imagery(build_sensor_context(instance=instance, resources={"workspace": WorkspaceResource(home=str(tmp_path))}))


def test_without_documents_and_retention_the_sensors_rest(tmp_path: Path) -> None:
    OvdConfig().save(tmp_path)
    with DagsterInstance.ephemeral() as instance:
        context = build_sensor_context(instance=instance, resources={"workspace": WorkspaceResource(home=str(tmp_path))})
        assert isinstance(new_documents(context), SkipReason)
        assert isinstance(retention(context), SkipReason)


def test_refused_files_show_on_the_scene_assets_and_only_when_they_change(tmp_path: Path) -> None:
    (tmp_path / "imagery").mkdir()
    (tmp_path / "imagery" / "broken.tif").write_bytes(b"not a raster")
    with rasterio.open(
        tmp_path / "imagery" / "good.tif", "w", driver="GTiff", count=1, width=64, height=64, dtype="uint16"
    ) as out:
        out.write(np.arange(4096, dtype=np.uint16).reshape(1, 64, 64))
    OvdConfig(imagery=("imagery",)).save(tmp_path)
    ws = Workspace.open(tmp_path)

    def shown(instance: DagsterInstance) -> list[AssetObservation]:
        records = instance.fetch_observations(AssetKey(["optical", "scene"]), limit=50).records
        observed = [record.event_log_entry.asset_observation for record in records]
        return [one for one in observed if one is not None and "refused_files" in one.metadata]

    with DagsterInstance.ephemeral() as instance:
        register_and_observe(instance, ws)
        (first,) = shown(instance)
        assert first.metadata["refused"].value == 1
        table = str(first.metadata["refused_files"].value)
        assert "broken.tif" in table
        assert "NotARasterError: Cannot open" in table
        register_and_observe(instance, ws)
        assert len(shown(instance)) == 1, "nothing changed, nothing is reported again"
        (tmp_path / "imagery" / "broken.tif").unlink()
        register_and_observe(instance, ws)
        newest = shown(instance)[0]
        assert newest.metadata["refused"].value == 0
    assert not workspace_status(ws)["refused"]
