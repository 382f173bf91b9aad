"""Training on request: shards, backbone, domain CLIP, proposer, calibration, and the gated release."""

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetExecutionContext,
    AssetsDefinition,
    asset_check,
)

from assets.partitions import set_name
from assets.stage_asset import key, stage_asset
from ovd_platform.flow import calibration, proposer_training, release, training
from ovd_platform.flow.stage import Output, current
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import read_json
from resources.workspace import WorkspaceResource


def learning_assets(modality: str) -> list[AssetsDefinition]:
    """The assets of this module for one modality."""

    def register_release(context: AssetExecutionContext, ws: Workspace, output: Output) -> None:
        context.instance.add_dynamic_partitions(set_name("releases", modality), [output.version])

    return [
        stage_asset(
            training.TRAINING_SHARDS,
            modality,
            "Chips for self-supervision from the training side of the split, and the split itself.",
            deps=[key(modality, "scene_manifest")],
            kinds={"numpy"},
        ),
        stage_asset(
            training.BACKBONE,
            modality,
            "MAE-pretrained ViT for any number of bands, with the metric head of the visual embedding.",
            deps=[key(modality, "training_shards"), key(modality, "annotations")],
            kinds={"pytorch"},
            pool="gpu",
        ),
        stage_asset(
            training.DOMAIN_CLIP,
            modality,
            "Image and text towers trained on the document pairs.",
            deps=[key(modality, "backbone"), key("shared", "pair_dataset")],
            kinds={"pytorch"},
            pool="gpu",
        ),
        stage_asset(
            proposer_training.PROPOSER,
            modality,
            "Class-agnostic detector (optical: centre-point network; SAR: CFAR at a stated false-alarm rate).",
            deps=[key(modality, "backbone"), key(modality, "merged_dataset")],
            kinds={"pytorch"},
            pool="gpu",
        ),
        stage_asset(
            calibration.CALIBRATION,
            modality,
            "Prototypes, probabilities and thresholds per class, from labelled scenes kept away from the test side.",
            deps=[
                key(modality, "proposer"),
                key(modality, "domain_clip"),
                key(modality, "annotations"),
                key("shared", "vocabulary"),
            ],
            kinds={"scikitlearn"},
        ),
        stage_asset(
            release.RELEASE,
            modality,
            "The promoted, pinned set of models. Promoted only through the gate in ovd.yaml; scene assets use nothing else.",
            deps=[
                key(modality, "backbone"),
                key(modality, "domain_clip"),
                key(modality, "proposer"),
                key(modality, "calibration"),
            ],
            kinds={"json"},
            after=register_release,
        ),
    ]


def release_check(modality: str) -> AssetChecksDefinition:
    """The blocking gate of `release`."""

    @asset_check(
        asset=key(modality, "release"), blocking=True, name="gate", description="The candidate passed every gate rule."
    )
    def gate(context: AssetCheckExecutionContext, workspace: WorkspaceResource) -> AssetCheckResult:
        decision = read_json(current(workspace.open(), modality, "release").folder / "gate.json")
        return AssetCheckResult(passed=bool(decision["passed"]), metadata={"reasons": decision["reasons"]})

    return gate
