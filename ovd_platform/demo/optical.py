"""From ground and objects to digital numbers of an optical instrument.

Belongs here: the physically ordered chain; materials are `spectra`'s.

Order: reflectance of the surface in each band (spectra averaged over the band's response; averaging commutes with the
linear steps that follow) -> sun and sky light, shadows, slopes -> light scattered into the view -> blur of optics,
motion and detector on the supersampled canvas -> area average to the ground sample distance -> shot noise and read
noise in electrons -> quantisation.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from ovd_platform.demo.noise import octave_noise
from ovd_platform.demo.site import Site
from ovd_platform.demo.solids import Canvas, Placed
from ovd_platform.demo.spectra import CODE, MATERIALS, WATER_CODES, Instrument, band_tables, irradiance

FloatArray = NDArray[np.float32]

FULL_SCALE_RADIANCE = 0.80  # units of the sun's irradiance; a white wall in high sun comes close, a tilted one saturates
_GAMMA_8_BIT = 0.62  # tone curve of the 8-bit product


def textures(site: Site, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fine, middle and coarse variation of a place, three (H, W) float32 fields of about unit variance."""
    shape, scale = site.ground.code_hw.shape, site.ground.samples_per_m
    fine = octave_noise(rng, shape, ((1, 1.0), (max(scale * 1.3, 2.0), 1.0)))
    middle = octave_noise(rng, shape, ((scale * 3.2, 1.0), (scale * 8, 1.0)))
    coarse = octave_noise(rng, shape, ((scale * 24, 0.6), (scale * 80, 1.0), (scale * 260, 0.8)))
    return fine, middle, coarse


def ground_levels(
    site: Site, tables: tuple[FloatArray, FloatArray], fields: tuple[FloatArray, FloatArray, FloatArray]
) -> FloatArray:
    """Reflectance (or backscatter) of the bare ground with its texture.

    Args:
        site: The place.
        tables: Levels of the materials and of what they are mixed with, each (C, 256).
        fields: From `textures`.

    Returns:
        New array (C, H, W) float32.
    """
    fine, middle, coarse = fields
    code = site.ground.code_hw
    amplitude = np.zeros((3, 256), np.float32)
    for index, material in enumerate(MATERIALS):
        amplitude[:, index] = material.texture
    factor = cv2.LUT(code, amplitude[0]) * fine
    factor += cv2.LUT(code, amplitude[1]) * middle
    factor += cv2.LUT(code, amplitude[2]) * coarse
    factor += 1
    np.maximum(factor, 0.15, out=factor)
    factor *= site.ground.gain_hw
    mix = np.clip(0.38 + 0.30 * coarse + 0.18 * middle, 0, 1)
    levels = np.empty((len(tables[0]), *code.shape), np.float32)
    for band, (own, other) in enumerate(zip(*tables, strict=True)):
        levels[band] = cv2.LUT(code, other - own)
        levels[band] *= mix
        levels[band] += cv2.LUT(code, own)
        levels[band] *= factor
    return levels


def _waves(site: Site, levels_chw: FloatArray, rng: np.random.Generator) -> None:
    """Swell and glint on water, in place."""
    wet = np.isin(site.ground.code_hw, WATER_CODES[:2])
    if not wet.any():
        return
    shape, scale = site.ground.code_hw.shape, site.ground.samples_per_m
    stretch = rng.uniform(2.5, 5)
    small = octave_noise(rng, (int(shape[0] / stretch) + 2, shape[1]), ((scale * 4, 1.0), (scale * 9, 0.8), (scale * 1.8, 0.7)))
    turn = cv2.getRotationMatrix2D((shape[1] / 2, shape[0] / 2), float(rng.uniform(0, 360)), 1.5)
    swell = cv2.warpAffine(cv2.resize(small, shape[::-1]), turn, shape[::-1], borderMode=cv2.BORDER_REFLECT)
    strength = np.float32(rng.uniform(0.05, 0.16))
    glint = np.where(wet, strength * swell + np.float32(0.35) * np.maximum(swell - 2.4, 0), np.float32(0))
    for band in levels_chw:
        band *= 1 + glint
        band += np.where(wet & (swell > 2.9), np.float32(0.02), np.float32(0))


def _relief(site: Site, coarse: FloatArray) -> FloatArray:
    """Gentle hills: brightness of slopes on open ground relative to level ground, (H, W) float32."""
    small = cv2.resize(coarse, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    dy, dx = np.gradient(cv2.GaussianBlur(small, (0, 0), 3))
    toward = site.light.toward
    slope = -(dx * toward[0] + dy * toward[1]) / max(toward[2], 0.25) * 0.9
    shade = cv2.resize(slope.astype(np.float32), coarse.shape[::-1], interpolation=cv2.INTER_LINEAR)
    flat = np.isin(site.ground.code_hw, (*WATER_CODES, CODE["concrete"], CODE["marking"]))
    relief: FloatArray = np.where(flat, np.float32(1), np.clip(1 + shade, 0.75, 1.3))
    return relief


def radiance(site: Site, device: Instrument, objects: list[Placed], texture_seed: list[int]) -> FloatArray:
    """Radiance at the instrument on the supersampled canvas.

    Args:
        site: The place.
        device: Bands.
        objects: What to draw; the truth test leaves one out.
        texture_seed: Seeds the textures, apart from what is drawn.

    Returns:
        New array (C, H, W) float32, units of the sun's irradiance.
    """
    rng = np.random.default_rng(texture_seed)
    tables = band_tables(device, rng)
    fields = textures(site, rng)
    levels = ground_levels(site, tables, fields)
    _waves(site, levels, np.random.default_rng([*texture_seed, int(site.light.azimuth_deg * 100)]))
    relief = _relief(site, fields[2])
    canvas = Canvas(levels, site.ground.shadow_hw.copy(), site.ground.samples_per_m, tables[0])
    for placed in sorted(objects, key=lambda item: item.model.height_m):
        canvas.draw(placed, site.light)
    direct, diffuse, path = irradiance(device, site.light.elevation_deg)
    lit = (1 - canvas.shadow_hw) * relief * (1 + np.float32(0.02) * fields[0])
    for band, level in enumerate(levels):
        level *= lit * direct[band] + diffuse[band]
        level += path[band]
    return levels


def digitise(
    radiance_chw: FloatArray, device: Instrument, supersample: int, gain: float, rng: np.random.Generator
) -> NDArray[np.uint16 | np.uint8]:
    """Blur, sample, add noise, quantise.

    Args:
        radiance_chw: On the canvas, (C, H, W) float32.
        device: Blur, noise and depth.
        supersample: Samples of the canvas per pixel along each axis.
        gain: Exposure; 1 puts `FULL_SCALE_RADIANCE` at full scale.
        rng: Noise.

    Returns:
        New array (C, h, w): uint16 with 12 bits (at least 1: 0 is nodata), or uint8 after a tone curve.
    """
    count, height, width = radiance_chw.shape
    size = (width // supersample, height // supersample)
    top = 4095
    pixels = np.empty((count, size[1], size[0]), np.uint8 if device.bits == 8 else np.uint16)
    for band, plane in enumerate(radiance_chw):
        sigma = device.psf_sigma_px * supersample
        blurred = cv2.GaussianBlur(plane, (0, 0), sigma * 1.08, sigmaY=sigma * 0.94)  # motion smears along one axis
        sampled = cv2.resize(blurred, size, interpolation=cv2.INTER_AREA)
        electrons = sampled * np.float32(gain / FULL_SCALE_RADIANCE * device.full_well_electrons)
        deviation = np.sqrt(np.maximum(electrons, 0) + np.float32(device.read_noise_electrons**2))
        electrons += deviation * rng.standard_normal(electrons.shape, np.float32)
        numbers = np.clip(np.rint(electrons * np.float32(top / device.full_well_electrons)), 1, top)
        if device.bits == 8:
            numbers = np.clip(
                np.rint(255 * np.minimum(numbers / np.float32(top * 0.55), 1) ** np.float32(_GAMMA_8_BIT)), 1, 255
            )
        pixels[band] = numbers.astype(pixels.dtype)
    return pixels
