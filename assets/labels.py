"""Labels and datasets: annotations, vocabulary, COCO, chip library, synthetic and merged datasets."""

from dagster import AssetExecutionContext, AssetsDefinition

from assets.partitions import TARGETS, set_name
from assets.stage_asset import key, stage_asset
from ovd_platform.flow import labels, synthetic
from ovd_platform.flow.stage import Output
from ovd_platform.flow.workspace import Workspace


def vocabulary_asset() -> AssetsDefinition:
    """What detection is asked for."""
    return stage_asset(
        labels.VOCABULARY,
        "shared",
        "Classes with prompts and synonyms, and background prompts; from a file, else from the label names.",
        deps=[key("optical", "annotations"), key("sar", "annotations")],
        kinds={"yaml"},
    )


def label_assets(modality: str) -> list[AssetsDefinition]:
    """The assets of this module for one modality."""

    def register_targets(context: AssetExecutionContext, ws: Workspace, output: Output) -> None:
        context.instance.add_dynamic_partitions(set_name("targets", modality), list(synthetic.targets(ws, modality)))

    return [
        stage_asset(
            labels.ANNOTATIONS,
            modality,
            "Labels of every format in canonical form, in pixels of their scenes, with a list of what was dropped and why.",
            kinds={"parquet"},
        ),
        stage_asset(
            labels.COCO_DATASET,
            modality,
            "Tile-level COCO of the training side of the geographic split.",
            deps=[key(modality, "annotations"), key(modality, "training_shards")],
            kinds={"coco"},
        ),
        stage_asset(
            synthetic.CHIP_LIBRARY,
            modality,
            "Object chips with masks, cut from training scenes.",
            deps=[key(modality, "annotations"), key(modality, "training_shards")],
            kinds={"numpy"},
            after=register_targets,
        ),
        stage_asset(
            synthetic.SYNTHETIC_COCO,
            modality,
            "Composites of one class: Poisson-blended at native depth, noise matched, judged; rejects kept with reasons.",
            deps=[key(modality, "chip_library")],
            kinds={"coco", "tiff"},
            partitions=TARGETS[modality],
        ),
        stage_asset(
            synthetic.MERGED_DATASET,
            modality,
            "Real labels with a bounded share of synthetic tiles, rebalanced by class, with a merge report.",
            deps=[key(modality, "coco_dataset"), key(modality, "synthetic_coco")],
            kinds={"coco"},
        ),
    ]
