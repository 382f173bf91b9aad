import numpy as np
import pytest
import torch

from ovd_platform.errors import InputError, ShapeError
from ovd_platform.learn.clip import choose_text, train_clip
from ovd_platform.models.vit import MultiBandViT, RegionModel, ViTConfig, half_state, state_version

TINY = ViTConfig(img_px=32, dim=48, depth=2, heads=3)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return half_state(RegionModel(MultiBandViT(TINY)))


def _pairs(count=60, bands=3):
    """Bright squares and dark stripes with captions that say so."""
    rng = np.random.default_rng(0)
    images, texts = [], []
    for index in range(count):
        image = rng.uniform(0.3, 0.4, (bands, 40, 50)).astype(np.float32)
        if index % 2:
            image[:, 10:30, 15:35] = 1.0
            texts.append([f"A bright square roof number {index}", "roof"])
        else:
            image[:, ::6] = 0.0
            texts.append([f"Dark striped fields, plot {index}", "fields"])
        images.append(image)
    return images, texts


def test_words_find_their_images_after_training(backbone):
    images, texts = _pairs()
    trained = train_clip(images, texts, None, backbone, steps=25, seed=0)
    scores = trained.card["scores"]
    # Captions differ by number only, so half of the held-out captions of a kind are interchangeable: r@10 of 12 is what may rise.
    assert scores["held_out_pairs"] == 12
    assert scores["text_to_image_r@5"] >= scores["text_to_image_r@5_before"]
    assert trained.card["loss_last"] < trained.card["loss_first"]

    from ovd_platform.embed.builtin import BuiltinEncoder

    encoder = BuiltinEncoder(backbone, trained.state)
    words = encoder.embed_text(["roofs", "field"])
    vectors = np.stack([encoder.embed_image_language(image) for image in images[:20]])
    best = (vectors @ words.T).argmax(axis=1)
    assert (best == np.array([1, 0] * 10)).mean() > 0.9


def test_the_same_steps_give_the_same_model_and_leave_the_backbone_alone(backbone):
    images, texts = _pairs(16)
    before = state_version(backbone)
    runs = [train_clip(images, texts, None, backbone, steps=3, seed=1) for _ in range(2)]
    assert state_version(runs[0].state) == state_version(runs[1].state)
    assert state_version(backbone) == before


def test_mixed_band_counts_and_missing_texts(backbone):
    images, texts = _pairs(12)
    images[3] = images[3][:1]
    texts[5] = ["", " "]
    trained = train_clip(images, texts, None, backbone, steps=2)
    assert trained.card["scores"]["train_pairs"] + trained.card["scores"]["held_out_pairs"] == 11
    with pytest.raises(ShapeError, match="2 bands"):
        train_clip(images, texts, [0.5, 0.6], backbone, steps=1)
    with pytest.raises(InputError, match="at least 4"):
        train_clip(images[:3], texts[:3], None, backbone, steps=1)


def test_identical_captions_never_straddle_the_split(backbone):
    images, _ = _pairs(40)
    texts = [[f"Caption {index // 2}"] for index in range(40)]
    scores = train_clip(images, texts, None, backbone, steps=1).card["scores"]
    assert scores["held_out_pairs"] == 8
    assert scores["held_out_captions"] == 4


def test_chosen_texts_are_parts_of_what_was_given():
    options = ["Two ships at a quay. A crane beside them", "ships"]
    allowed = {word.strip(".").lower() for text in options for word in text.split()}
    seen = set()
    for seed in range(40):
        text = choose_text(options, torch.Generator().manual_seed(seed))
        assert {word.strip(".").lower() for word in text.split()} <= allowed
        seen.add(text)
    assert len(seen) > 8
