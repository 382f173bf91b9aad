"""The whole graph in one place: every asset of both modalities, the checks and the jobs."""

from typing import Any

from dagster import AssetChecksDefinition, AssetKey, AssetsDefinition, AssetSelection, define_asset_job

from assets.documents import document_assets
from assets.imagery import imagery_assets
from assets.inference import inference_assets
from assets.labels import label_assets, vocabulary_asset
from assets.learning import learning_assets, release_check
from ovd_platform.records.scene import MODALITIES

SCENE_STAGES = ("tiles", "proposals", "embeddings", "detections", "archive")


def all_assets() -> list[AssetsDefinition]:
    """Every asset of the platform."""
    per_modality = [
        definition
        for modality in MODALITIES
        for make in (imagery_assets, label_assets, learning_assets, inference_assets)
        for definition in make(modality)
    ]
    return [*per_modality, *document_assets(), vocabulary_asset()]


def all_checks() -> list[AssetChecksDefinition]:
    """Every asset check."""
    return [release_check(modality) for modality in MODALITIES]


def scene_jobs() -> list[Any]:
    """Everything a scene needs, as one job a modality: launch or backfill it over scenes from the UI."""
    return [
        define_asset_job(
            f"{modality}_scene_job",
            selection=AssetSelection.assets(*(AssetKey([modality, name]) for name in SCENE_STAGES)),
            description=f"All stages of one {modality} scene in one run.",
        )
        for modality in MODALITIES
    ]
