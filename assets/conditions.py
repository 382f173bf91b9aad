"""Automation conditions. A stage re-runs when the *data version* of an input changes, never because an input was made again."""

from dagster import AssetKey, AssetSelection
from dagster import AutomationCondition as AC


def _deps_changed(modality: str) -> AC:
    release = AssetSelection.assets(AssetKey([modality, "release"]))
    return AC.any_deps_updated().replace("newly_updated", AC.data_version_changed()).ignore(release)


def scene_condition(modality: str) -> AC:
    """For per-scene assets: changed scene data, not a new release (that is a backfill); one retry after a failure."""
    per_scene = AC.eager().replace("any_deps_updated", _deps_changed(modality)) & AC.all_deps_blocking_checks_passed()
    retry_once = AC.execution_failed().newly_true() & ~AC.any_deps_missing() & ~AC.in_progress()
    return per_scene | retry_once


def manifest_condition(modality: str) -> AC:
    """For fan-ins over all scenes: changed data of any scene, once nothing upstream is still running."""
    changed = _deps_changed(modality).since(AC.newly_requested() | AC.newly_updated())
    return changed & ~AC.any_deps_in_progress() & ~AC.in_progress()


NIGHTLY_IF_CHANGED = (
    AC.cron_tick_passed("0 2 * * *")
    & AC.any_deps_updated().replace("newly_updated", AC.data_version_changed()).since(AC.newly_requested() | AC.newly_updated())
    & ~AC.any_deps_missing()
    & ~AC.any_deps_in_progress()
    & ~AC.in_progress()
)
