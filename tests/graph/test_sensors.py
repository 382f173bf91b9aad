"""The sensors: what they notice, and that they fail loudly when nothing can be read."""

from pathlib import Path

import pytest
from dagster import DagsterInstance, SkipReason, build_sensor_context

from ovd_platform.config import OvdConfig
from ovd_platform.errors import DataError
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
