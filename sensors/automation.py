"""Named automation sensors: per-scene work and fan-ins are evaluated apart, so that neither waits for the other."""

from dagster import AssetKey, AssetSelection, AutomationConditionSensorDefinition

from assets.graph import SCENE_STAGES


def automation_sensors(modality: str) -> list[AutomationConditionSensorDefinition]:
    """The automation sensors of one modality."""
    per_scene = AssetSelection.assets(*(AssetKey([modality, name]) for name in SCENE_STAGES))
    fan_ins = AssetSelection.assets(AssetKey([modality, "scene_manifest"]), AssetKey([modality, "search_index"]))
    return [
        AutomationConditionSensorDefinition(
            f"{modality}_scene_automation",
            target=per_scene,
            minimum_interval_seconds=120,
            description="Runs what a new or changed scene needs.",
        ),
        AutomationConditionSensorDefinition(
            f"{modality}_fan_in_automation",
            target=fan_ins,
            minimum_interval_seconds=300,
            description="Updates manifest and index when scenes changed.",
        ),
    ]
