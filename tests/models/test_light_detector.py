"""Light detector: shapes, any band count, decoding, folding."""

import pytest
import torch

from ovd_platform.errors import InputError
from ovd_platform.models.light_detector import (
    CONTEXT_PX,
    STRIDE_PX,
    DetectorMaps,
    LightDetector,
    LightDetectorConfig,
    boxes_from_reach,
    decode_maps,
)

SMALL = LightDetectorConfig((8, 8, 8, 8), (1, 1, 1, 1), 8)


@pytest.mark.parametrize("bands", [1, 3, 4, 7])
def test_any_band_count_gives_maps_at_stride_four(bands):
    maps = LightDetector(SMALL).eval()(torch.rand(2, bands, 64, 96))
    assert maps.heat_bhw.shape == maps.quality_bhw.shape == (2, 16, 24)
    assert maps.reach_b4hw.shape == (2, 4, 16, 24)
    assert (maps.reach_b4hw > 0).all()


def test_unknown_band_count_sees_the_mean_band():
    model = LightDetector(SMALL).eval()
    x = torch.rand(1, 7, 64, 64)
    mean = x.mean(1, keepdim=True)
    torch.testing.assert_close(model(x).heat_bhw, model(mean.expand(-1, 5, -1, -1)).heat_bhw)


def test_an_answer_depends_on_no_pixel_beyond_the_context():
    torch.manual_seed(0)
    model = LightDetector().eval()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d) and "adapters" not in name:
            torch.nn.init.constant_(module.weight, 0.02)  # no rectifier closes a path
    pixels = (0.5 + 0.5 * torch.rand(1, 3, 512, 512)).requires_grad_()
    model(pixels).heat_bhw[0, 64, 64].backward()
    reached = torch.nonzero(pixels.grad.abs().sum((0, 1)))
    middle = 64 * STRIDE_PX + STRIDE_PX // 2
    assert 64 < (reached - middle).abs().max() <= CONTEXT_PX + 2


def test_unpadded_chips_are_refused():
    with pytest.raises(InputError, match="multiples of 32"):
        LightDetector(SMALL)(torch.rand(1, 3, 60, 64))


def test_default_weights_fit_in_two_and_a_half_megabytes():
    assert sum(v.numel() * 2 for v in LightDetector().state_dict().values()) <= 2.5e6


def test_folding_changes_nothing():
    torch.manual_seed(0)
    model = LightDetector(SMALL)
    model(torch.rand(4, 3, 64, 64))
    model.eval()
    x = torch.rand(1, 3, 64, 64)
    before = model(x).heat_bhw.detach()
    torch.testing.assert_close(model.fused()(x).heat_bhw.detach(), before, atol=1e-4, rtol=1e-4)


def test_decoding_returns_the_box_that_was_put_in():
    heat = torch.full((1, 16, 16), -9.0)
    heat[0, 5, 7] = 4.0
    heat[0, 5, 8] = 3.0  # a neighbour, not a peak
    reach = torch.full((1, 4, 16, 16), 1.0)
    reach[0, :, 5, 7] = torch.tensor([10.0, 6.0, 2.0, 4.0])
    ((boxes, scores),) = decode_maps(DetectorMaps(heat, reach, torch.full((1, 16, 16), 9.0)), top=10)
    torch.testing.assert_close(boxes, torch.tensor([[20.0, 16.0, 32.0, 26.0]]))
    assert scores[0] == pytest.approx(0.982, abs=1e-3)


def test_cell_centres_lie_in_the_middle_of_four_pixels():
    boxes = boxes_from_reach(torch.zeros(1, 4, 2, 3))
    assert boxes[0, :, 1, 2].tolist() == [10.0, 6.0, 10.0, 6.0]


def test_native_bands_start_as_the_average_and_then_have_weights_of_their_own():
    torch.manual_seed(0)
    average = LightDetector(SMALL, (1, 3, 4))
    average(torch.rand(4, 3, 64, 64))
    native = LightDetector(SMALL, (1, 3, 4), "native")
    native.load_state_dict(average.state_dict(), strict=False)
    native.inflate()
    average.eval()
    native.eval()
    x = torch.rand(1, 4, 64, 64)
    torch.testing.assert_close(native(x).heat_bhw, average(x).heat_bhw, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        native.kernels.kernels["4"][:, 0] *= 3.0
    changed = native(x).heat_bhw.detach()
    assert not torch.allclose(changed, average(x).heat_bhw, atol=1e-3)
    torch.testing.assert_close(native.fused()(x).heat_bhw, changed, atol=1e-4, rtol=1e-4)
