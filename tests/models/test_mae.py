import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.models.mae import MaskedAutoencoder, patchify, random_keep, reconstruction_picture, unpatchify
from ovd_platform.models.vit import MultiBandViT, ViTConfig

SMALL = ViTConfig(img_px=32, dim=48, depth=2, heads=3)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.sampled_from([2, 4, 8]))
def test_patchify_round_trips(batch, bands, rows, cols, patch_px):
    images = torch.rand(batch, bands, rows * patch_px, cols * patch_px)
    assert torch.equal(unpatchify(patchify(images, patch_px), patch_px, rows, cols), images)


def test_masks_keep_a_quarter_and_are_reproducible():
    keep = random_keep(4, 64, 0.25, torch.Generator().manual_seed(1))
    assert keep.shape == (4, 16)
    assert torch.equal(keep, random_keep(4, 64, 0.25, torch.Generator().manual_seed(1)))
    assert all(len(set(row.tolist())) == 16 for row in keep)


def test_loss_counts_hidden_patches_only():
    torch.manual_seed(0)
    model = MaskedAutoencoder(MultiBandViT(SMALL)).eval()
    images, keep = torch.rand(2, 3, 32, 32), random_keep(2, 16, 0.25, torch.Generator().manual_seed(0))
    output = model(images, (0.65, 0.56, 0.48), keep)
    assert output.hidden_bp.sum() == 2 * 12
    assert output.bands_bcpv.shape == (2, 3, 16, 64)
    output.loss.backward()
    assert 0.8 < float(output.loss.detach()) < 3.0  # an untrained model is no better than the patch mean


def test_picture_shows_the_visible_patches_untouched():
    torch.manual_seed(0)
    model = MaskedAutoencoder(MultiBandViT(SMALL))
    picture = reconstruction_picture(model, torch.rand(2, 1, 32, 32), (None,))
    assert picture.shape == (64, 96, 3)
    original, masked, rebuilt = picture[:, :32], picture[:, 32:64], picture[:, 64:]
    visible = masked == original
    assert visible.mean() > 0.2
    assert (rebuilt[visible] == original[visible]).mean() > 0.95
    assert (rebuilt != original).any()
