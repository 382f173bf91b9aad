"""The Dagster code location: the only place that sees assets, resources and sensors together."""

from dagster import Definitions, in_process_executor

from assets.graph import all_assets, all_checks, scene_jobs
from ovd_platform.records.scene import MODALITIES
from resources.workspace import WorkspaceResource
from sensors.automation import automation_sensors
from sensors.sources import source_sensors

defs = Definitions(
    assets=all_assets(),
    asset_checks=all_checks(),
    jobs=scene_jobs(),
    resources={"workspace": WorkspaceResource()},
    sensors=[*source_sensors(), *(sensor for modality in MODALITIES for sensor in automation_sensors(modality))],
    # One scene is one run is one process: its steps share loaded models and the page cache.
    executor=in_process_executor,
)
