"""The graph as a newcomer sees it: every asset described, grouped, owned, versioned; loading is light."""

import subprocess
import sys

from dagster import AssetKey

from definitions import defs

PER_MODALITY = {
    "scene", "tiles", "proposals", "embeddings", "detections", "archive", "scene_manifest", "annotations", "training_shards", "backbone",
    "domain_clip", "coco_dataset", "merged_dataset", "chip_library", "synthetic_coco", "proposer", "calibration", "release",
    "search_index", "codec_policy", "evaluation_report", "pseudo_labels", "saved_classes", "watch",
}  # fmt: skip
SHARED = {"pdf_pairs", "pair_dataset", "vocabulary"}


def test_every_artifact_is_an_asset_with_a_face() -> None:
    graph = defs.resolve_asset_graph()
    expected = {AssetKey([m, name]) for m in ("optical", "sar") for name in PER_MODALITY} | {
        AssetKey(["shared", name]) for name in SHARED
    }
    assert graph.get_all_asset_keys() == expected
    for key in expected:
        node = graph.get(key)
        assert node.description, key
        assert node.group_name in ("optical", "sar", "shared"), key
        if node.is_materializable:
            assert node.owners, key
            assert node.code_version, key


def test_training_is_never_automatic() -> None:
    graph = defs.resolve_asset_graph()
    for modality in ("optical", "sar"):
        for name in ("training_shards", "backbone", "domain_clip", "proposer", "calibration", "release"):
            assert graph.get(AssetKey([modality, name])).automation_condition is None, name


def test_the_code_location_imports_nothing_heavy() -> None:
    code = "import sys, definitions; print([m for m in ('torch','timm','open_clip','lancedb','rasterio','cv2','sklearn') if m in sys.modules])"
    outcome = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"
