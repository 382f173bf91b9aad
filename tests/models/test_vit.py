from dataclasses import replace

import pytest
import torch

from ovd_platform.errors import DataError
from ovd_platform.models.conditioning import METADATA_FIELDS, metadata_vector
from ovd_platform.models.vit import MultiBandViT, RegionModel, ViTConfig, build_backbone, half_state, state_version
from ovd_platform.records.scene import Band, SceneRecord, View

SMALL = ViTConfig(img_px=32, dim=48, depth=2, heads=3)


def test_default_backbone_with_head_fits_seven_megabytes_in_half_precision():
    state = half_state(RegionModel(MultiBandViT()))
    assert sum(tensor.numel() * tensor.element_size() for tensor in state.values()) < 7e6


def test_a_state_alone_rebuilds_the_same_model_and_keeps_its_version():
    torch.manual_seed(0)
    state = half_state(RegionModel(MultiBandViT(SMALL, metadata=True)))
    model = RegionModel.from_state(state)
    assert model.backbone.size == SMALL
    assert model.backbone.film is not None
    again = half_state(model)
    assert state.keys() == again.keys()
    assert (
        state_version(state)
        == state_version(again)
        == state_version({n: t.float() if t.is_floating_point() else t for n, t in state.items()})
    )
    again["visual_head.linear.bias"] += 1
    assert state_version(state) != state_version(again)
    assert state_version(state, ("backbone.",)) == state_version(again, ("backbone.",))


def test_adapter_stem_starts_from_the_same_weights():
    state = half_state(MultiBandViT(SMALL, bands="first3", band_counts=(1, 8)))
    rebuilt = build_backbone(state, prefix="").eval()
    images = torch.rand(2, 8, 32, 32)
    tokens, _ = rebuilt(images, (None,) * 8)
    assert tokens.shape == (2, 16, 48)
    native = half_state(MultiBandViT(SMALL))
    adapted = build_backbone(native, prefix="", bands="first3", band_counts=(8,), metadata=True)
    own = build_backbone(native, prefix="")
    rgb = (0.65, 0.56, 0.48)
    assert torch.equal(adapted.eval()(images, (None,) * 8)[0], own.eval()(images[:, :3], rgb)[0])
    assert torch.equal(build_backbone(half_state(adapted), prefix="").adapters.maps["8"].projection.weight,
                       adapted.adapters.maps["8"].projection.weight)  # fmt: skip


def test_hidden_patches_cannot_influence_the_visible_ones():
    torch.manual_seed(0)
    model = MultiBandViT(SMALL).eval()
    images = torch.rand(1, 3, 32, 32)
    changed = images.clone()
    changed[:, :, 8:16, 8:16] = 0.0  # patch 5
    keep = torch.tensor([[0, 1, 6, 15]])
    keys = (0.65, 0.56, 0.48)
    assert torch.equal(model(images, keys, keep_bp=keep)[0], model(changed, keys, keep_bp=keep)[0])
    assert not torch.equal(model(images, keys)[0], model(changed, keys)[0])


def test_branch_tokens_continue_to_the_same_result():
    torch.manual_seed(0)
    model = MultiBandViT(SMALL).eval()
    images, keys = torch.rand(2, 1, 32, 32), (0.6,)
    tokens, branch = model(images, keys, branch=1)
    assert torch.allclose(model.norm(model.blocks.layers[1](branch)), tokens, atol=1e-6)
    assert torch.allclose(model.branch_tokens(images, keys, 1), branch)


def test_metadata_starts_as_the_identity_and_then_matters():
    torch.manual_seed(0)
    model = MultiBandViT(SMALL, metadata=True).eval()
    images, keys = torch.rand(1, 1, 32, 32), (0.6,)
    record = SceneRecord(
        "s",
        "u",
        "v",
        "optical",
        "i",
        9,
        9,
        (Band("pan", 0.6),),
        "uint16",
        gsd_m=0.5,
        view=View(acquired_utc="2026-06-01T10:30:00+00:00", sun_elevation_deg=45.0),
    )
    numbers = metadata_vector(record)
    assert len(numbers) == 2 * len(METADATA_FIELDS)
    assert numbers[:4] == (0.5, 1.0, 0.0, 0.0)  # sun known, off-nadir unknown
    metadata = torch.tensor([numbers])
    nothing = torch.zeros_like(metadata)
    assert torch.equal(model(images, keys, metadata_bm=nothing)[0], model(images, keys)[0]), "not given is unknown"
    assert torch.equal(model(images, keys, metadata_bm=metadata)[0], model(images, keys)[0])
    torch.nn.init.normal_(model.film.mlp[2].weight, std=0.1)
    assert not torch.allclose(model(images, keys, metadata_bm=metadata)[0], model(images, keys)[0], atol=1e-3)


def test_look_is_told_and_a_model_that_did_not_know_it_is_read() -> None:
    record = SceneRecord("s", "u", "v", "sar", "i", 9, 9, (Band("vv"),), "float32", view=View(look="left", incidence_deg=45.0))
    numbers = metadata_vector(record)
    assert numbers[-2:] == (-1.0, 1.0)
    assert metadata_vector(replace(record, view=View(look="right")))[-2:] == (1.0, 1.0)
    assert metadata_vector(replace(record, view=View()))[-2:] == (0.0, 0.0)
    model = MultiBandViT(SMALL, metadata=True).eval()
    torch.nn.init.normal_(model.film.mlp[2].weight, std=0.1)
    state = {**model.state_dict()}
    state["film.mlp.0.weight"] = state["film.mlp.0.weight"][:, :-2]
    older = build_backbone(state, prefix="").eval()
    images, known = torch.rand(1, 1, 32, 32), torch.tensor([numbers])
    unknown = torch.cat([known[:, :-2], torch.zeros(1, 2)], dim=1)
    assert torch.equal(older(images, ("vv",), metadata_bm=known)[0], older(images, ("vv",), metadata_bm=unknown)[0])
    assert not torch.equal(older(images, ("vv",), metadata_bm=known)[0], older(images, ("vv",))[0])


def test_a_state_without_backbone_is_refused():
    with pytest.raises(DataError, match="config_numbers"):
        RegionModel.from_state({"text.head.weight": torch.zeros(1)})
