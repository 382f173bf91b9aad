import pytest
import torch

from ovd_platform.errors import InputError, ShapeError
from ovd_platform.models.stems import BandAdapters, BandKernels, SensorAdapter, WavelengthPatchEmbed, band_keys, inflated_kernel
from ovd_platform.records.scene import Band, SceneRecord


def _record(modality, *bands):
    return SceneRecord("s", "s.tif", "v", modality, "i", 8, 8, tuple(Band(*band) for band in bands), "uint16")


def test_band_keys_say_wavelength_polarisation_or_unknown():
    assert band_keys(_record("optical", ("pan", 0.6), ("red", None), ("b7", None))) == (0.6, 0.665, None)
    assert band_keys(_record("sar", ("VV", None), ("vh", None), ("span", None))) == ("vv", "vh", None)


def test_any_band_count_and_order_of_bands_does_not_matter():
    torch.manual_seed(0)
    stem = WavelengthPatchEmbed(8, 24).eval()
    for bands in (1, 3, 4, 8, 40):
        assert stem(torch.rand(2, bands, 32, 16), [0.4 + 0.02 * b for b in range(bands)]).shape == (2, 8, 24)
    images, keys = torch.rand(2, 4, 32, 32), [0.48, 0.56, 0.65, 0.84]
    order = [2, 0, 3, 1]
    assert torch.allclose(stem(images, keys), stem(images[:, order], [keys[i] for i in order]), atol=1e-5)


def test_what_a_band_is_changes_its_tokens():
    torch.manual_seed(0)
    stem = WavelengthPatchEmbed(8, 24)
    image = torch.rand(1, 1, 16, 16)
    tokens = [stem(image, [key]) for key in (0.48, 0.84, None, "vv", "vh")]
    for i in range(len(tokens)):
        for j in range(i):
            assert (tokens[i] - tokens[j]).abs().max() > 1e-3


def test_the_effective_kernel_equals_the_sum_over_bands():
    torch.manual_seed(0)
    stem = WavelengthPatchEmbed(4, 6)
    image, keys = torch.rand(1, 2, 4, 4), (0.5, "vv")
    scale, shift = stem.film(keys).chunk(2, dim=1)
    expected = stem.bias.clone()
    for band in range(2):
        patch = ((image[0, band] - 0.4) / 0.25).flatten()
        expected = expected + ((1 + scale[band]) * (stem.kernel.flatten(1) @ patch) + shift[band]) / 2**0.5
    assert torch.allclose(stem(image, keys)[0, 0], expected, atol=1e-5)


def test_bands_and_keys_must_agree():
    stem = WavelengthPatchEmbed(8, 24)
    with pytest.raises(ShapeError, match=r"\(B, 2, H, W\)"):
        stem(torch.rand(1, 3, 16, 16), (0.5, 0.6))
    with pytest.raises(InputError, match="circular"):
        stem(torch.rand(1, 1, 16, 16), ("circular",))


def test_adapter_initialisations():
    pixels = torch.rand(1, 5, 4, 4)
    assert torch.allclose(
        SensorAdapter(5, init="average")(pixels), pixels.mean(1, keepdim=True).expand(-1, 3, -1, -1), atol=1e-6
    )
    assert torch.equal(SensorAdapter(5, init="first3")(pixels), pixels[:, :3])
    assert torch.equal(SensorAdapter(1, init="first3")(pixels[:, :1]), pixels[:, :1].expand(-1, 3, -1, -1))
    with pytest.raises(InputError, match="random"):
        SensorAdapter(5, init="random")


def test_pca_adapter_is_centred_and_keeps_the_direction_of_brightness():
    generator = torch.Generator().manual_seed(3)
    brightness = torch.rand(500, 1, generator=generator)
    pixels = brightness * torch.tensor([0.9, 1.0, 0.8, 1.1]) + 0.02 * torch.rand(500, 4, generator=generator)
    adapter = SensorAdapter(4, init="pca")
    adapter.fit_pca(pixels)
    planes = adapter(pixels.t().reshape(1, 4, 20, 25)).detach()[0].flatten(1)
    assert torch.allclose(planes.mean(1), torch.full((3,), 0.4), atol=1e-3)
    assert torch.corrcoef(torch.stack([planes[0], brightness[:, 0]]))[0, 1] > 0.99
    assert abs(torch.corrcoef(planes)[0, 1]) < 0.01
    with pytest.raises(ShapeError, match="4 bands"):
        adapter.fit_pca(torch.rand(10, 3))


def test_inflated_kernels_answer_equal_bands_as_grey():
    torch.manual_seed(0)
    base = torch.nn.Conv2d(3, 5, 3, 2, 1)
    grey = torch.rand(2, 1, 16, 16)
    expected = base(grey.expand(-1, 3, -1, -1))
    kernels = BandKernels(base, (1, 3, 8))
    assert set(kernels.kernels) == {"1", "8"}
    for bands in (1, 2, 3, 8):
        assert torch.allclose(kernels(grey.expand(-1, bands, -1, -1), base), expected, atol=1e-6)
    assert torch.equal(inflated_kernel(base.weight, 3), base.weight)
    other = torch.rand(2, 8, 16, 16)
    before = kernels(other, base)
    with torch.no_grad():
        kernels.kernels["8"][:, 0] += 1.0
    assert not torch.allclose(kernels(other, base), before), "each band has weights of its own"


def test_adapters_are_fitted_only_where_they_start_so():
    pixels = torch.rand(500, 4)
    fitted = BandAdapters((3, 4), "pca")
    assert fitted.fit(pixels)
    assert not fitted.fit(pixels[:, :3])
    assert not fitted.fit(pixels[:, :2])
    assert not BandAdapters((4,), "average").fit(pixels)
    planes = fitted(pixels.t().reshape(1, 4, 20, 25)).flatten(2)[0]
    assert torch.allclose(planes.std(1), torch.full((3,), 0.25), atol=0.01)
