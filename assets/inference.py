"""What a release makes of a scene: proposals, embeddings, detections; the index over all scenes; the report."""

from dagster import AssetExecutionContext, AssetsDefinition

from assets.conditions import manifest_condition, scene_condition
from assets.partitions import RELEASES, SCENES
from assets.stage_asset import key, stage_asset
from ovd_platform.flow import release, report, saved_classes, scenes
from ovd_platform.flow.stage import Output
from ovd_platform.flow.workspace import Workspace


def inference_assets(modality: str) -> list[AssetsDefinition]:
    """The assets of this module for one modality."""

    def publish(context: AssetExecutionContext, ws: Workspace, output: Output) -> None:
        scenes.publish_embeddings(ws, modality, output.partition)

    return [
        stage_asset(
            scenes.proposals_stage(),
            modality,
            "Class-agnostic boxes with objectness after seam merging.",
            deps=[key(modality, "tiles"), key(modality, "release")],
            kinds={"pytorch"},
            partitions=SCENES[modality],
            condition=scene_condition(modality),
            pool="gpu",
        ),
        stage_asset(
            scenes.embeddings_stage(),
            modality,
            "Tile vectors and two vectors a proposal (visual, language-aligned) in LanceDB, replaced in one commit.",
            deps=[key(modality, "proposals"), key(modality, "release")],
            kinds={"pytorch", "lancedb"},
            partitions=SCENES[modality],
            condition=scene_condition(modality),
            pool="gpu",
            after=publish,
        ),
        stage_asset(
            scenes.DETECTIONS,
            modality,
            "Open-vocabulary detections with calibrated probabilities; GeoJSON and GeoParquet.",
            deps=[key(modality, "embeddings"), key(modality, "release"), key("shared", "vocabulary")],
            kinds={"geojson", "parquet"},
            partitions=SCENES[modality],
            condition=scene_condition(modality),
        ),
        stage_asset(
            saved_classes.SAVED_CLASSES,
            modality,
            "Searches that were kept as classes: prototypes, heads and thresholds from words and marks.",
            deps=[key(modality, "release"), key("shared", "vocabulary")],
            kinds={"sklearn"},
        ),
        stage_asset(
            saved_classes.WATCH,
            modality,
            "What of the kept classes a scene shows; alerts of those on the watchlist as GeoJSON.",
            deps=[key(modality, "embeddings"), key(modality, "saved_classes")],
            kinds={"geojson", "parquet"},
            partitions=SCENES[modality],
            condition=scene_condition(modality),
        ),
        stage_asset(
            release.SEARCH_INDEX,
            modality,
            "Compacted tables, ANN indexes and their health.",
            deps=[key(modality, "scene_manifest"), key(modality, "embeddings")],
            kinds={"lancedb", "faiss"},
            condition=manifest_condition(modality),
            pool="table_writers",
        ),
        stage_asset(
            report.PSEUDO_LABELS,
            modality,
            "Confident detections of scenes that nobody labelled and that are not held out: labels for the next round.",
            deps=[key(modality, "detections"), key(modality, "training_shards")],
            kinds={"parquet"},
        ),
        stage_asset(
            report.EVALUATION_REPORT,
            modality,
            "Held-out evaluation of a release: statistics, Markdown and HTML with pictures.",
            deps=[key(modality, "release"), key(modality, "annotations"), key(modality, "detections")],
            kinds={"html"},
            partitions=RELEASES[modality],
        ),
    ]
