import time

import numpy as np
import pytest
import torch
from array_scene import ArrayScene

from ovd_platform.embed.builtin import BuiltinEncoder
from ovd_platform.embed.encoder import load_encoder
from ovd_platform.errors import DataError, InputError
from ovd_platform.models.clip import LanguageBranch
from ovd_platform.models.vit import MultiBandViT, RegionModel, ViTConfig, half_state
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.records.scene import Band
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window
from ovd_platform.stores.models import save_model

SMALL = ViTConfig(img_px=32, dim=48, depth=3, heads=3)


def _states(config=SMALL, seed=0):
    torch.manual_seed(seed)
    model = RegionModel(MultiBandViT(config))
    return half_state(model), LanguageBranch(model.backbone).to_state()


def _scene(bands=4, size=600):
    return ArrayScene(np.random.default_rng(1).integers(0, 4096, (bands, size, size)).astype(np.uint16))


def _profile(bands=4):
    return InstrumentProfile("x", (0.0,) * bands, (4095.0,) * bands)


BOXES = np.array([[10, 10, 40, 30], [300, 200, 310, 260], [580, 580, 640, 620], [12, 11, 41, 33]], dtype=np.float32)


def test_unit_vectors_whose_visual_part_does_not_know_the_words():
    backbone, clip = _states()
    alone, both = load_encoder(backbone), load_encoder(backbone, clip)
    visual, language = both.embed_boxes(_scene(), BOXES, _profile())
    visual_alone, nothing = alone.embed_boxes(_scene(), BOXES, _profile())
    assert nothing is None
    assert not alone.has_language
    assert np.allclose(visual, visual_alone, atol=1e-5)
    assert visual.dtype == language.dtype == np.float32
    for vectors in (visual, language):
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert alone.visual_version == both.visual_version
    assert alone.version != both.version
    assert visual[0] @ visual[3] > visual[0] @ visual[2]


def test_no_boxes_no_vectors():
    encoder = load_encoder(*_states())
    visual, language = encoder.embed_boxes(_scene(), np.zeros((0, 4), dtype=np.float32), _profile())
    assert visual.shape == language.shape == (0, 48)


def test_tiles_and_texts():
    encoder = load_encoder(*_states())
    tile = TileRecord("t", "s", 0, 0, Window(0, 0, 256, 256), 32, (), "", 1.0, 0.1, 0.5, True)
    visual, language = encoder.embed_tiles(_scene(), [tile, tile], _profile())
    assert visual.shape == language.shape == (2, 48)
    assert np.allclose(visual[0], visual[1], atol=1e-5)
    words = encoder.embed_text(["ship", "Ships", "storage tank"])
    assert np.allclose(words[0], words[1], atol=1e-6)
    assert words[0] @ words[2] < 0.9999
    with pytest.raises(InputError, match="domain CLIP"):
        load_encoder(_states()[0]).embed_text(["ship"])


def test_an_example_chip_lies_where_its_box_lies():
    encoder = load_encoder(_states()[0])
    scene = _scene()
    box = np.array([[100, 100, 132, 132]], dtype=np.float32)
    (vector,), _ = encoder.embed_boxes(scene, box, _profile())
    chip = scene.pixels[:, 92:140, 92:140]
    keys = [band.wavelength_um for band in scene.record.bands]
    (same,) = encoder.embed_images([(chip, None, _profile(), keys)])
    assert vector @ same > 0.999
    with pytest.raises(InputError, match="profile"):
        encoder.embed_images([(chip, None, None, keys)])
    assert encoder.embed_images([(np.zeros((3, 20, 50), dtype=np.uint8), None, None, None)]).shape == (1, 48)


def test_complex_sar_scene():
    encoder = load_encoder(*_states())
    rng = np.random.default_rng(0)
    pixels = (rng.normal(size=(2, 200, 200)) + 1j * rng.normal(size=(2, 200, 200))).astype(np.complex64)
    scene = ArrayScene(pixels, bands=(Band("vv"), Band("vh")), modality="sar")
    profile = InstrumentProfile("c", (-20.0, -20.0), (20.0, 20.0), log=True)
    visual, _ = encoder.embed_boxes(scene, BOXES[:1], profile)
    assert np.isfinite(visual).all()


def test_loading_from_folders_keeps_the_version(tmp_path):
    backbone, clip = _states()
    paths = [tmp_path / kind / save_model(tmp_path, kind, state, {}) for kind, state in (("b", backbone), ("c", clip))]
    saved = load_encoder(*paths)
    fresh = load_encoder(backbone, clip)
    assert saved.version == fresh.version
    assert np.array_equal(saved.embed_text(["dome"]), fresh.embed_text(["dome"]))
    assert load_encoder(backbone, version="named").version == "named"


def test_states_that_do_not_belong_together_are_refused():
    other = _states(ViTConfig(img_px=32, dim=48, depth=4, heads=3))[1]
    with pytest.raises(DataError, match="Train it on this backbone"):
        load_encoder(_states()[0], other)


def test_bfloat16_changes_vectors_by_less_than_a_thousandth():
    backbone, clip = _states(ViTConfig())
    pair = [
        BuiltinEncoder(backbone, clip, precision=p).embed_boxes(_scene(), BOXES, _profile()) for p in ("float32", "bfloat16")
    ]
    for exact, half in zip(*pair, strict=True):
        assert ((exact * half).sum(1) > 0.999).all()


def test_default_size_embeds_fast_enough_for_millions():
    encoder = load_encoder(*_states(ViTConfig()))
    boxes = np.repeat(BOXES, 64, axis=0)
    scene, profile = _scene(), _profile()
    encoder.embed_boxes(scene, boxes[:64], profile)
    started = time.process_time()
    encoder.embed_boxes(scene, boxes, profile)
    rate = len(boxes) / (time.process_time() - started)
    assert rate > 30, f"{rate:.0f} crops a CPU second"  # 180 on a quiet core; the bound only catches an accident
