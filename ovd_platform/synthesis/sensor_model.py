"""What an instrument does to a signal: sampling, blur, noise, quantisation; and matching a paste to its ground.

Belongs here: physics of one chip in native values (DN). Does not belong here: normalisation for networks (raster's).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError

FloatArray = NDArray[np.float64]
_LOOKS_PX = 5


@dataclass(frozen=True, slots=True)
class SensorModel:
    """An instrument in numbers.

    Attributes:
        mtf_sigma_x_px: Gaussian blur across track in pixels, 0 for none.
        mtf_sigma_y_px: Gaussian blur along track in pixels.
        shot_dn: Shot noise: variance in DN^2 per DN of signal.
        read_noise_dn: Standard deviation of the read noise in DN.
        bits: Quantisation depth; values are rounded and clipped to [0, 2^bits - 1].
    """

    mtf_sigma_x_px: float = 0.5
    mtf_sigma_y_px: float = 0.5
    shot_dn: float = 0.05
    read_noise_dn: float = 2.0
    bits: int = 12

    def apply(self, signal_chw: NDArray[Any], generator: np.random.Generator) -> FloatArray:
        """Blur, then noise, then quantisation.

        Args:
            signal_chw: Noise-free signal in DN, shape (C, H, W).
            generator: Source of the noise.

        Returns:
            New array of whole numbers, shape (C, H, W), float64, in [0, 2^bits - 1].
        """
        blurred_chw = apply_mtf(signal_chw, self.mtf_sigma_x_px, self.mtf_sigma_y_px)
        noisy_chw = add_noise(blurred_chw, self.shot_dn, self.read_noise_dn, generator)
        return quantise(noisy_chw, self.bits)


def apply_mtf(signal_chw: NDArray[Any], sigma_x_px: float, sigma_y_px: float) -> FloatArray:
    """Anisotropic Gaussian blur, shape (C, H, W) -> new (C, H, W), float64; the mean is kept."""
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(signal_chw.astype(np.float64), (0, sigma_y_px, sigma_x_px), mode="nearest"))


def add_noise(signal_chw: NDArray[Any], shot_dn: float, read_noise_dn: float, generator: np.random.Generator) -> FloatArray:
    """Gaussian noise of variance ``shot_dn * signal + read_noise_dn^2``; new array (C, H, W), float64."""
    signal = signal_chw.astype(np.float64)
    deviation = np.sqrt(shot_dn * np.maximum(signal, 0) + read_noise_dn**2)
    return np.asarray(signal + deviation * generator.standard_normal(signal.shape))


def quantise(values_chw: NDArray[Any], bits: int) -> FloatArray:
    """Round half to even and clip to [0, 2^bits - 1]; new array, float64 of whole numbers.

    Raises:
        InputError: If bits is not in 1..16.
    """
    if not 1 <= bits <= 16:
        raise InputError(f"Cannot quantise: expected 1 to 16 bits, got {bits}. Use the instrument's bits_effective.")
    return np.asarray(np.clip(np.rint(values_chw), 0, 2**bits - 1), dtype=np.float64)


def resample_gsd(signal_chw: NDArray[Any], from_gsd_m: float, to_gsd_m: float) -> FloatArray:
    """Resample to another ground sample distance; coarsening averages first, so nothing aliases.

    Args:
        signal_chw: Shape (C, H, W).
        from_gsd_m: Its ground sample distance, metres.
        to_gsd_m: The wanted one, metres.

    Returns:
        New array (C, round(H f), round(W f)) with f = from / to, at least one pixel a side, float64.

    Raises:
        InputError: If a distance is not positive.
    """
    if from_gsd_m <= 0 or to_gsd_m <= 0:
        raise InputError(f"Cannot resample: expected positive distances, got {from_gsd_m} and {to_gsd_m} m. Check gsd_m.")
    from scipy import ndimage

    factor = from_gsd_m / to_gsd_m
    values_chw = anti_alias(signal_chw, factor)
    _, height, width = values_chw.shape
    rows, columns = max(1, round(height * factor)), max(1, round(width * factor))
    y_h = (np.arange(rows) + 0.5) * height / rows - 0.5
    x_w = (np.arange(columns) + 0.5) * width / columns - 0.5
    grid = np.meshgrid(y_h, x_w, indexing="ij")
    return np.stack([ndimage.map_coordinates(band_hw, grid, order=1, mode="nearest") for band_hw in values_chw])


def anti_alias(signal_chw: NDArray[Any], factor: float) -> FloatArray:
    """Blur that removes what a coarser grid (factor < 1) cannot hold; a copy for factor >= 1."""
    if factor >= 1:
        return signal_chw.astype(np.float64)
    sigma = 0.5 * float(np.sqrt(1 / factor**2 - 1))
    return apply_mtf(signal_chw, sigma, sigma)


def noise_sigma(values_chw: NDArray[Any], where_hw: NDArray[np.bool_] | None = None) -> FloatArray:
    """Noise of each band from second differences (Immerkaer 1996, eq. 2), robust against texture by the lower half.

    Args:
        values_chw: Shape (C, H, W).
        where_hw: Pixels to use, shape (H, W), bool; None for all.

    Returns:
        Standard deviations, shape (C,), float64; 0 where fewer than 16 pixels can be used.
    """
    from scipy import ndimage

    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float64)
    where_hw = np.ones(values_chw.shape[1:], dtype=bool) if where_hw is None else where_hw
    inner_hw = ndimage.binary_erosion(where_hw, structure=np.ones((3, 3)))
    if inner_hw.sum() < 16:
        return np.zeros(len(values_chw))
    responses = [np.abs(ndimage.convolve(band_hw.astype(np.float64), kernel))[inner_hw] for band_hw in values_chw]
    return np.array([np.quantile(response, 0.25) / (0.3186 * 6) for response in responses])


def match_noise(
    values_chw: FloatArray,
    where_hw: NDArray[np.bool_],
    have_sigma_c: FloatArray,
    want_sigma_c: FloatArray,
    generator: np.random.Generator,
) -> FloatArray:
    """Add the noise a pasted object lacks; noise it has too much of stays.

    Args:
        values_chw: Composite, shape (C, H, W).
        where_hw: The pasted pixels, shape (H, W), bool.
        have_sigma_c: Noise of the pasted pixels, shape (C,).
        want_sigma_c: Noise of the ground, shape (C,).
        generator: Source of the noise.

    Returns:
        New array (C, H, W), float64, equal to the input outside of `where_hw`.
    """
    missing_c = np.sqrt(np.maximum(want_sigma_c**2 - have_sigma_c**2, 0))
    noise_chw = generator.standard_normal(values_chw.shape) * missing_c[:, None, None]
    return np.asarray(values_chw + noise_chw * where_hw)


def equivalent_looks(amplitude_hw: NDArray[Any], where_hw: NDArray[np.bool_] | None = None) -> float:
    """Equivalent number of looks: the median of mean^2 / variance of intensity over small windows.

    Texture only lowers the ratio, and windows of few pixels raise it a little; both sides of a comparison are measured alike.

    Args:
        amplitude_hw: Linear amplitude, shape (H, W).
        where_hw: Pixels to use, shape (H, W), bool; None for all.

    Returns:
        The number of looks, or inf if fewer than 16 windows of 5 x 5 px lie inside.
    """
    from scipy import ndimage

    where_hw = np.ones(amplitude_hw.shape, dtype=bool) if where_hw is None else where_hw
    intensity_hw = amplitude_hw.astype(np.float64) ** 2
    inner_hw = ndimage.binary_erosion(where_hw, structure=np.ones((_LOOKS_PX, _LOOKS_PX)))
    if inner_hw.sum() < 16:
        return float("inf")
    mean_hw = ndimage.uniform_filter(intensity_hw, _LOOKS_PX)[inner_hw]
    variance_hw = ndimage.uniform_filter(intensity_hw**2, _LOOKS_PX)[inner_hw] - mean_hw**2
    variance_hw = np.maximum(variance_hw * _LOOKS_PX**2 / (_LOOKS_PX**2 - 1), 1e-9 * mean_hw**2 + 1e-30)
    return float(np.median(mean_hw**2 / variance_hw))


def match_speckle(
    amplitude_chw: FloatArray, where_hw: NDArray[np.bool_], have_looks: float, want_looks: float, generator: np.random.Generator
) -> FloatArray:
    """Multiply Gamma speckle onto a pasted SAR object that is smoother than its ground; new array (C, H, W), float64.

    Intensity of L looks times unit Gamma of L' looks has 1 / looks = 1/L + 1/L' + 1/(L L'), solved for L'.
    """
    want, have = 1 / want_looks, 0.0 if np.isinf(have_looks) else 1 / have_looks
    extra = (want - have) / (1 + have)
    if extra <= 1e-3:
        return amplitude_chw.copy()
    speckle_chw = np.sqrt(generator.gamma(1 / extra, extra, size=amplitude_chw.shape))
    return np.where(where_hw, amplitude_chw * speckle_chw, amplitude_chw)
