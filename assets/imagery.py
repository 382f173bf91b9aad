"""Scenes, their tiles, the manifest, and the codec policy and archive that let originals go."""

import warnings

from dagster import AssetsDefinition, BetaWarning, DataVersionsByPartition, OpExecutionContext, observable_source_asset

from assets.conditions import manifest_condition, scene_condition
from assets.partitions import SCENES
from assets.stage_asset import key, stage_asset
from ovd_platform.flow import archive, release, scenes
from resources.workspace import WorkspaceResource


def scene_asset(modality: str) -> AssetsDefinition:
    """The outside world: one partition a scene; its version is the content hash of the file and the ingest generation."""

    def scene(context: OpExecutionContext, workspace: WorkspaceResource) -> DataVersionsByPartition:
        ws = workspace.open()
        return DataVersionsByPartition({record.scene_id: record.version for record in ws.scenes(modality)})

    with warnings.catch_warnings():
        # Dagster calls the decorator beta at every import; the graph stands on its behaviour and tests it with real ticks.
        warnings.simplefilter("ignore", BetaWarning)
        return observable_source_asset(
            name="scene",
            key_prefix=modality,
            group_name=modality,
            description=f"Registered {modality} scenes. Observed, never made: the version is the content hash of the pixels.",
            partitions_def=SCENES[modality],
        )(scene)


def imagery_assets(modality: str) -> list[AssetsDefinition]:
    """The assets of this module for one modality."""
    return [
        scene_asset(modality),
        stage_asset(
            scenes.TILES,
            modality,
            "Tile grid of a scene with validity, edge density and footprint; exact histogram and normalisation profile.",
            deps=[key(modality, "scene")],
            kinds={"python", "parquet"},
            partitions=SCENES[modality],
            condition=scene_condition(modality),
        ),
        stage_asset(
            release.SCENE_MANIFEST,
            modality,
            "Content-addressed list of scenes: version and state (live, archived, aged off). Fan-ins depend on it.",
            deps=[key(modality, "tiles")],
            kinds={"json"},
            condition=manifest_condition(modality),
        ),
        stage_asset(
            archive.CODEC_POLICY,
            modality,
            "Which tiles stay lossless and at which JPEG XL distance the rest is stored, with measured errors.",
            deps=[key(modality, "training_shards")],
            kinds={"python", "jxl"},
        ),
        stage_asset(
            archive.ARCHIVE,
            modality,
            "JPEG XL archive of a scene, verified by decoding every tile. Made after proposals and embeddings.",
            deps=[key(modality, "tiles"), key(modality, "embeddings"), key(modality, "codec_policy")],
            kinds={"jxl"},
            partitions=SCENES[modality],
            condition=scene_condition(modality),
            pool="jxl_writers",
        ),
    ]
