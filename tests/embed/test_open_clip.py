import numpy as np
import pytest
from array_scene import ArrayScene

from ovd_platform.errors import InputError
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window


@pytest.fixture(scope="module")
def encoder():
    import torch

    from ovd_platform.embed.open_clip_encoder import OpenClipEncoder

    torch.manual_seed(0)
    return OpenClipEncoder("test-tiny", None, adapter="average")


@pytest.fixture(scope="module", autouse=True)
def tiny_architecture(tmp_path_factory):
    """A small architecture: what is tested is the adapter, not somebody's hundred million weights."""
    import json

    import open_clip

    folder = tmp_path_factory.mktemp("open_clip")
    settings = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    (folder / "test-tiny.json").write_text(json.dumps(settings))
    open_clip.add_model_config(folder / "test-tiny.json")


def test_any_bands_through_the_adapter(encoder):
    boxes = np.array([[10, 10, 40, 30], [60, 70, 90, 99]], dtype=np.float32)
    for bands in (1, 3, 8):
        pixels = np.random.default_rng(bands).integers(0, 255, (bands, 120, 120)).astype(np.uint8)
        profile = InstrumentProfile("x", (0.0,) * bands, (255.0,) * bands)
        visual, language = encoder.embed_boxes(ArrayScene(pixels), boxes, profile)
        assert visual.shape == (2, 32)
        assert np.array_equal(visual, language)
        assert np.allclose(np.linalg.norm(visual, axis=1), 1, atol=1e-5)


def test_words_tiles_and_images_share_the_space(encoder):
    assert encoder.embed_text(["a ship", "a plane"]).shape == (2, encoder.dim)
    tile = TileRecord("t", "s", 0, 0, Window(0, 0, 64, 64), 8, (), "", 1.0, 0.1, 0.5, True)
    pixels = np.random.default_rng(0).integers(0, 255, (3, 64, 64)).astype(np.uint8)
    profile = InstrumentProfile("x", (0.0,) * 3, (255.0,) * 3)
    (tile_vector,), _ = encoder.embed_tiles(ArrayScene(pixels), [tile], profile)
    (image_vector,) = encoder.embed_images([(pixels, None, None, None)])
    assert tile_vector @ image_vector > 0.9999


def test_unknown_architecture_is_named():
    from ovd_platform.embed.open_clip_encoder import OpenClipEncoder

    with pytest.raises(InputError, match="no-such-model"):
        OpenClipEncoder("no-such-model")


def test_native_bands_inflate_the_first_convolution(encoder):
    from ovd_platform.embed.open_clip_encoder import OpenClipEncoder

    native = OpenClipEncoder("test-tiny", None, adapter="native")
    native._model.load_state_dict(encoder._model.state_dict())
    boxes = np.array([[10, 10, 60, 50]], dtype=np.float32)
    grey = np.random.default_rng(0).integers(0, 255, (1, 90, 90)).astype(np.uint8)
    three = native.embed_boxes(ArrayScene(np.repeat(grey, 3, axis=0)), boxes, InstrumentProfile("x", (0.0,) * 3, (255.0,) * 3))[
        0
    ]
    for bands in (1, 5):
        profile = InstrumentProfile("x", (0.0,) * bands, (255.0,) * bands)
        same = native.embed_boxes(ArrayScene(np.repeat(grey, bands, axis=0)), boxes, profile)[0]
        assert float((same * three).sum()) > 0.97, "bands that are all alike are grey"
    other = np.random.default_rng(1).integers(0, 255, (5, 90, 90)).astype(np.uint8)
    profile = InstrumentProfile("x", (0.0,) * 5, (255.0,) * 5)
    assert float((native.embed_boxes(ArrayScene(other), boxes, profile)[0] * three).sum()) < 0.999


def test_a_workspace_may_name_an_open_clip_encoder(encoder, tmp_path):
    import torch

    from ovd_platform.config import EmbedConfig, OvdConfig
    from ovd_platform.flow import models
    from ovd_platform.flow.workspace import Workspace

    torch.save(encoder._model.state_dict(), tmp_path / "tiny.pt")
    settings = EmbedConfig(open_clip="test-tiny", open_clip_weights="tiny.pt", open_clip_bands="native")
    OvdConfig(embed=settings).save(tmp_path)
    ws = Workspace.open(tmp_path)
    version = models.encoder_id(ws, "optical", "any", models.NO_MODEL)
    loaded = models.encoder(ws, "optical", version)
    assert loaded.version == version
    assert np.allclose(loaded.embed_text(["a ship"]), encoder.embed_text(["a ship"]), atol=1e-5)
    assert "optical" in models.encoder_card(ws, "optical", version)["radiometry"]
    OvdConfig(embed=settings.model_copy(update={"open_clip_bands": "first3"})).save(tmp_path)
    assert models.encoder_id(Workspace.open(tmp_path), "optical", "any", models.NO_MODEL) != version
    OvdConfig(embed=settings.model_copy(update={"open_clip_weights": None})).save(tmp_path)
    with pytest.raises(InputError, match="open_clip_weights"):
        models.encoder_id(Workspace.open(tmp_path), "optical", "any", models.NO_MODEL)
