import pytest
import torch

from ovd_platform.errors import DataError
from ovd_platform.models.clip import LanguageBranch, clip_loss, encode_images, recall_at
from ovd_platform.models.vit import MultiBandViT, ViTConfig

SMALL = ViTConfig(img_px=32, dim=48, depth=3, heads=3)


def test_branch_starts_from_the_backbone_and_round_trips():
    torch.manual_seed(0)
    backbone = MultiBandViT(SMALL).eval()
    language = LanguageBranch(backbone).eval()
    assert torch.equal(language.blocks.layers[1].linear1.weight, backbone.blocks.layers[2].linear1.weight)
    images, keys = torch.rand(2, 3, 32, 32), (0.65, 0.56, 0.48)
    again = LanguageBranch.from_state(language.to_state(), backbone).eval()
    vectors = encode_images(backbone, language, images, keys)
    assert torch.allclose(vectors, encode_images(backbone, again, images, keys), atol=5e-3)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)


def test_branch_of_another_backbone_is_refused():
    state = LanguageBranch(MultiBandViT(SMALL)).to_state()
    with pytest.raises(DataError, match="Train it on this backbone"):
        LanguageBranch.from_state(state, MultiBandViT(ViTConfig(img_px=32, dim=48, depth=4, heads=3)))


def test_loss_equals_cross_entropy_without_repeats_and_forgives_repeats():
    vectors = torch.nn.functional.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    others = torch.nn.functional.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(1)), dim=1)
    logits = 10 * vectors @ others.t()
    target = torch.arange(6)
    expected = (torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.t(), target)) / 2
    assert torch.allclose(clip_loss(vectors, others, torch.tensor(10.0), torch.eye(6, dtype=torch.bool)), expected)
    # Two images of one caption: with both pairs marked, the ideal answer costs log 2 and no more.
    twins = torch.eye(4)[[0, 0, 1, 2]].requires_grad_()
    same = twins.detach() @ twins.detach().t() > 0
    marked = clip_loss(twins, torch.eye(4)[[0, 0, 1, 2]], torch.tensor(50.0), same)
    assert float(marked.detach()) == pytest.approx(0.5 * 0.6931, abs=1e-3)
    (gradient,) = torch.autograd.grad(marked, twins)
    assert float(gradient.abs().max()) < 1e-3


def test_recall_counts_any_right_answer():
    similarity = torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.3, 0.1]])
    relevant = torch.tensor([[False, False, True], [False, True, True]])
    assert recall_at(similarity, relevant, (1, 2)) == {"r@1": 0.5, "r@2": 1.0}
