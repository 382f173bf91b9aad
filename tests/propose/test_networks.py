"""Borrowed networks as proposers: tiny random ones answer in the right frame, whatever the bands; the choice in ovd.yaml."""

import functools

import numpy as np
import pytest
import torch

from ovd_platform.config import ProposerConfig
from ovd_platform.errors import InputError
from ovd_platform.geometry.boxes import iou_matrix
from ovd_platform.propose.blocks import Found
from ovd_platform.propose.cfar import CfarProposer
from ovd_platform.propose.chosen import chosen_proposer, chosen_version, entries_for
from ovd_platform.propose.network import NetworkProposer
from ovd_platform.propose.torchvision_detectors import TorchvisionDetector, load_torchvision, torchvision_network
from ovd_platform.records.mask import Mask
from ovd_platform.stores.proposal_files import load_proposals, save_proposals
from tests.propose.scenes import ArrayScene, plan, profile

POINTS = [(30, 30), (255, 255), (256, 316), (511, 100), (690, 490), (128, 127), (400, 20)]


def spots(bands=1, size=(500, 700), valid_hw=None):
    pixels_chw = np.zeros((bands, *size), np.float32)
    for x, y in POINTS:
        pixels_chw[:, y - 3 : y + 3, x - 4 : x + 4] = 1.0
    return ArrayScene(pixels_chw, valid_hw=valid_hw)


def blobs(planes_bchw, *, masks=False, corners=False):
    """A detector that knows: boxes around what is bright."""
    from scipy import ndimage

    assert planes_bchw.shape[1] == 3
    assert not planes_bchw.shape[2] % 32
    assert not planes_bchw.shape[3] % 32
    found = []
    for planes in planes_bchw.numpy():
        labels, _ = ndimage.label(planes.mean(0) > 0.5)
        places = ndimage.find_objects(labels)
        boxes = np.array([(s[1].start, s[0].start, s[1].stop, s[0].stop) for s in places], np.float32).reshape(-1, 4)
        cut = tuple(Mask(s[1].start, s[0].start, np.ones(labels[s].shape, bool)) for s in places) if masks else None
        quads = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2) if corners else None
        found.append(Found(boxes, np.full(len(boxes), 0.9, np.float32), quads, cut))
    return found


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("scale", [1.0, 2.0, 0.5])
def test_every_object_is_answered_once_in_scene_pixels(bands, scale):
    scene = spots(bands)
    finder = functools.partial(blobs, masks=True, corners=True)
    proposer = NetworkProposer(finder, "v", scale=scale, stem="pca" if bands == 5 else "average", batch=3)
    found = proposer.propose(scene, plan(scene, 128, 24), profile(bands), max_per_mpx=1000)
    truth = np.array([(x - 4, y - 3, x + 4, y + 3) for x, y in POINTS], float)
    assert len(found) == len(POINTS)
    overlap = iou_matrix(found.boxes_scene_xyxy, truth)
    assert (overlap.max(0) > (0.99 if scale == 1.0 else 0.45)).all()
    for box, mask, quad in zip(found.boxes_scene_xyxy, found.masks, found.corners_n42, strict=True):
        assert np.abs(np.array(mask.box_xyxy) - box).max() <= 1
        np.testing.assert_allclose([*quad.min(0), *quad.max(0)], box, atol=1e-3)


def test_no_data_is_never_proposed():
    valid_hw = np.ones((500, 700), bool)
    valid_hw[:, :200] = False
    scene = spots(valid_hw=valid_hw)
    found = NetworkProposer(blobs, "v").propose(scene, plan(scene, 128, 24), profile(1), max_per_mpx=1000)
    assert len(found) == sum(x >= 200 for x, _ in POINTS)


def test_masks_and_oriented_boxes_survive_the_file(tmp_path):
    scene = spots()
    finder = functools.partial(blobs, masks=True, corners=True)
    found = NetworkProposer(finder, "v").propose(scene, plan(scene, 128, 24), profile(1), max_per_mpx=1000)
    save_proposals(tmp_path, found)
    again = load_proposals(tmp_path, "scene")
    np.testing.assert_array_equal(again.corners_n42, found.corners_n42)
    for one, other in zip(again.masks, found.masks, strict=True):
        assert (one.left_px, one.top_px) == (other.left_px, other.top_px)
        np.testing.assert_array_equal(one.bits_hw, other.bits_hw)


@pytest.mark.parametrize("model", ["fasterrcnn_mobilenet_v3_large_fpn", "fcos_resnet50_fpn"])
def test_torchvision_weights_come_back(tmp_path, model):
    torch.manual_seed(0)
    network = torchvision_network(model).eval()
    torch.save({"model": network.state_dict()}, tmp_path / "w.pth")
    planes = torch.rand(1, 3, 64, 64)
    again, before = load_torchvision(model, tmp_path / "w.pth")(planes), TorchvisionDetector(network)(planes)
    assert len(again) == 1
    for one, other in zip(again, before, strict=True):
        np.testing.assert_allclose(one.boxes_n4, other.boxes_n4, atol=1e-4)
    with pytest.raises(InputError, match="expected"):
        load_torchvision("fcos_resnet50_fpn" if "rcnn" in model else "fasterrcnn_mobilenet_v3_large_fpn", tmp_path / "w.pth")


BACKBONE = {"model_type": "rt_detr_resnet", "embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1],
            "layer_type": "basic", "out_features": ["stage2", "stage3", "stage4"]}  # fmt: skip
SHARED = {"encoder_hidden_dim": 16, "d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "decoder_layers": 2,
          "encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_queries": 20, "num_labels": 2}  # fmt: skip


def tiny_detr(kind):
    transformers = pytest.importorskip("transformers", reason="the extra `detectors` is not installed")
    if kind == "deformable_detr":
        backbone = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1],
                                             layer_type="basic", out_features=["stage2", "stage3", "stage4"])  # fmt: skip
        return {"model_type": kind, "backbone_config": backbone, "use_timm_backbone": False, "use_pretrained_backbone": False,
                "num_feature_levels": 3, "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2,
                "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "num_queries": 20}  # fmt: skip
    backbone = transformers.RTDetrResNetConfig(**{k: v for k, v in BACKBONE.items() if k != "model_type"})
    return {"model_type": kind, "backbone_config": backbone, "encoder_in_channels": [16, 24, 32], "feat_strides": [8, 16, 32],
            "decoder_in_channels": [16, 16, 16], **SHARED}  # fmt: skip


@pytest.mark.parametrize("kind", ["d_fine", "rt_detr", "deformable_detr"])
def test_detection_transformers_from_configuration_and_from_a_folder(tmp_path, kind):
    config = tiny_detr(kind)
    from ovd_platform.propose.detr import load_detr

    torch.manual_seed(0)
    fresh = load_detr(config=config)
    planes = torch.rand(2, 3, 96, 128)
    found = fresh(planes)
    assert len(found) == 2
    assert ((found[0].objectness_n >= 0) & (found[0].objectness_n <= 1)).all()
    assert (np.diff(found[0].objectness_n) <= 0).all()
    middle = (found[0].boxes_n4[:, :2] + found[0].boxes_n4[:, 2:]) / 2
    assert (middle >= 0).all()
    assert (middle <= [128, 96]).all()
    fresh.network.save_pretrained(tmp_path)
    np.testing.assert_allclose(load_detr(tmp_path)(planes)[1].boxes_n4, found[1].boxes_n4, atol=1e-3)


def test_a_folder_without_a_checkpoint_is_named(tmp_path):
    pytest.importorskip("transformers", reason="the extra `detectors` is not installed")
    from ovd_platform.propose.detr import load_detr

    with pytest.raises(InputError, match="detection checkpoint"):
        load_detr(tmp_path)


def tiny_sam():
    pytest.importorskip("segment_anything", reason="the extra `detectors` is not installed")
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    torch.manual_seed(1)
    return Sam(
        ImageEncoderViT(img_size=128, patch_size=16, depth=1, embed_dim=32, num_heads=2, out_chans=16),
        PromptEncoder(16, (8, 8), (128, 128), 16),
        MaskDecoder(num_multimask_outputs=3, transformer=TwoWayTransformer(1, 16, 2, 16), transformer_dim=16),
    )


def test_sam_gives_masks_for_grid_boxes_and_points():
    sam = tiny_sam()
    from ovd_platform.propose.sam import SamDetector

    finder = SamDetector(sam, points_per_side=3, quality_floor=-99, stability_floor=-1, most_fraction=1.1)
    planes = torch.rand(1, 3, 64, 96)
    found = finder(planes)[0]
    assert len(found.masks) == len(found.boxes_n4) > 0
    for box, mask in zip(found.boxes_n4, found.masks, strict=True):
        np.testing.assert_array_equal(mask.box_xyxy, box)
        assert mask.box_xyxy[2] <= 96
        assert mask.box_xyxy[3] <= 64
    boxes = [[5, 5, 40, 40], [50, 10, 90, 60], [0, 0, 96, 64]]
    assert len(finder.refine_boxes(planes[0], boxes).masks) == 3
    assert len(finder.refine_points(planes[0], [[20, 20], [60, 30]], [True, False]).masks) == 1


def test_boxes_of_a_scene_get_masks_in_scene_pixels():
    from ovd_platform.propose.refine import masks_of_boxes

    class Filler:
        def refine_boxes(self, planes_chw, boxes_n4):
            assert planes_chw.shape[0] == 3
            cuts = [Mask(int(x0), int(y0), np.ones((int(y1 - y0), int(x1 - x0)), bool)) for x0, y0, x1, y1 in boxes_n4]
            return Found(np.asarray(boxes_n4), np.ones(len(boxes_n4), np.float32), masks=tuple(cuts))

    boxes = np.array([(x - 4, y - 3, x + 4, y + 3) for x, y in POINTS], np.float32)
    masks = masks_of_boxes(spots(), boxes, profile(1), Filler(), side_px=200, context_px=20)
    np.testing.assert_array_equal([mask.box_xyxy for mask in masks], boxes)


def test_detectron_answers_are_read():
    pytest.importorskip("detectron2", reason="detectron2 is not on PyPI and not installed here")
    from detectron2 import model_zoo

    from ovd_platform.propose.detectron import load_detectron

    small = ("MODEL.RESNETS.DEPTH", "18", "MODEL.RESNETS.RES2_OUT_CHANNELS", "64", "MODEL.FPN.OUT_CHANNELS", "16",
             "MODEL.ROI_BOX_HEAD.FC_DIM", "16", "INPUT.MIN_SIZE_TEST", "0", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0")  # fmt: skip
    for name in ("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml", "COCO-Detection/rpn_R_50_FPN_1x.yaml"):
        from pathlib import Path

        finder = load_detectron(Path(model_zoo.get_config_file(name)), None, small)
        found = finder(torch.rand(2, 3, 96, 128))
        assert len(found) == 2
        assert len(found[0].boxes_n4) == len(found[0].objectness_n) > 0
        assert ((found[0].objectness_n >= 0) & (found[0].objectness_n <= 1)).all()
        assert (found[0].boxes_n4 <= [128, 96, 128, 96]).all()


def test_ovd_yaml_chooses_and_versions(tmp_path):
    torch.manual_seed(0)
    torch.save(torchvision_network("fasterrcnn_mobilenet_v3_large_fpn").state_dict(), tmp_path / "w.pth")
    entry = ProposerConfig(kind="torchvision", model="fasterrcnn_mobilenet_v3_large_fpn", checkpoint="w.pth", weight=0.5)
    released = CfarProposer()
    assert chosen_proposer((), released, tmp_path) is released
    assert chosen_version((), tmp_path) == ""
    both = chosen_proposer((ProposerConfig(kind="release"), entry), released, tmp_path)
    assert both.version.startswith("fused-")
    alone = chosen_proposer((entry.model_copy(update={"weight": 1.0}),), released, tmp_path)
    assert alone.version.startswith("torchvision-")
    before = chosen_version((entry,), tmp_path)
    torch.save(torchvision_network("fasterrcnn_mobilenet_v3_large_fpn").state_dict(), tmp_path / "w.pth")
    assert chosen_version((entry,), tmp_path) != before, "other bytes are another version"
    land = ProposerConfig(kind="cfar", settings={"method": "os", "train_px": 40})
    assert entries_for((entry, land), "optical") == (entry,)
    assert chosen_proposer(entries_for((land,), "sar"), released, tmp_path).settings.method == "os"
    with pytest.raises(InputError, match="model"):
        chosen_proposer((ProposerConfig(kind="torchvision", checkpoint="w.pth"),), released, tmp_path)
    with pytest.raises(InputError, match="known settings"):
        chosen_proposer((ProposerConfig(kind="cfar", settings={"colour": 1}),), released, tmp_path)
