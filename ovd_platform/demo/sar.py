"""From ground and objects to radar amplitude or complex samples.

Belongs here: the radar's measurement; materials are `spectra`'s.

Order: backscatter of surfaces, layover-free shadows away from the radar -> area average to the sample distance ->
complex Gaussian speckle plus strong point scatterers (double bounce along the side that faces the radar, corners on
metal) -> the band-limited impulse response, whose side lobes cross bright points -> thermal noise -> one look kept
complex, or several looks averaged.
"""

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ovd_platform.demo.optical import ground_levels, textures
from ovd_platform.demo.site import Site
from ovd_platform.demo.solids import Canvas, Placed
from ovd_platform.demo.spectra import WATER_CODES, Instrument, band_tables

FloatArray = NDArray[np.float32]
ComplexArray = NDArray[np.complex64]

AMPLITUDE_SCALE = 1000.0  # digital number of the amplitude of 0 dB
_NOISE_FLOOR_DB = -27.0
_BANDWIDTH = 0.82  # share of the sampled spectrum that is filled
_CROSS_DB = -9.0


def measure(
    site: Site, device: Instrument, objects: list[Placed], texture_seed: list[int], supersample: int, rng: np.random.Generator
) -> NDArray[np.uint16] | ComplexArray:
    """Measure a place with a radar.

    Args:
        site: The place; its light is the radar's direction.
        device: Bands and looks.
        objects: What to draw.
        texture_seed: Seeds the texture of the ground.
        supersample: Samples of the canvas per pixel along each axis.
        rng: Speckle, scatterers and noise.

    Returns:
        New array (C, H, W): uint16 amplitude if the instrument averages looks, else complex64.
    """
    sigma0 = backscatter(site, device, objects, texture_seed, supersample)
    scatterers = [_scatterers(placed, site, sigma0.shape[1], [*texture_seed, index]) for index, placed in enumerate(objects)]
    points_n3 = np.concatenate([found for found in scatterers if len(found)] or [np.zeros((0, 3))])
    response = _response(sigma0.shape[1:])
    looks = [_look(sigma0, points_n3, response, rng) for _ in range(device.looks)]
    if device.looks == 1:
        return (looks[0] * np.float32(AMPLITUDE_SCALE)).astype(np.complex64)
    intensity = sum(np.abs(look) ** 2 for look in looks) / device.looks
    return np.clip(np.rint(np.sqrt(intensity) * AMPLITUDE_SCALE), 1, 65535).astype(np.uint16)


def backscatter(site: Site, device: Instrument, objects: list[Placed], texture_seed: list[int], supersample: int) -> FloatArray:
    """Mean backscatter per pixel without speckle, (C, h, w) float32, linear."""
    rng = np.random.default_rng(texture_seed)
    tables = band_tables(device, rng)
    fields = textures(site, rng)
    gain = site.ground.gain_hw
    site.ground.gain_hw = np.sqrt(np.clip(gain, 0.5, 2.0))  # paint and stains mean less to a radar than to an eye
    levels = ground_levels(site, tables, fields)
    site.ground.gain_hw = gain
    wet = np.isin(site.ground.code_hw, WATER_CODES[:2])
    wind = np.where(wet, np.exp(np.float32(0.35) * fields[2] + np.float32(0.25) * fields[1]), np.float32(1))
    levels *= wind
    canvas = Canvas(levels, site.ground.shadow_hw * np.float32(0.8), site.ground.samples_per_m, tables[0])
    for placed in sorted(objects, key=lambda item: item.model.height_m):
        canvas.draw(placed, site.light)
    levels *= 1 - np.float32(0.97) * canvas.shadow_hw
    size = (levels.shape[2] // supersample, levels.shape[1] // supersample)
    return np.stack([cv2.resize(level, size, interpolation=cv2.INTER_AREA) for level in levels])


def _scatterers(placed: Placed, site: Site, size_px: int, seed: list[int]) -> NDArray[np.float64]:
    """Strong points of an object as (x, y, amplitude), (N, 3), pixels."""
    metal = placed.model.metal
    if metal < 0.2:
        return np.zeros((0, 3))
    rng = np.random.default_rng([*seed, int(abs(placed.centre_m[0]) * 8), int(abs(placed.centre_m[1]) * 8)])
    to_px = size_px / site.size_m
    x0, y0, x1, y1 = placed.model.box_xyxy
    count = int(np.clip((x1 - x0) * (y1 - y0) * 0.035 * metal, 2, 60))
    parts = placed.model.parts
    inside = []
    for index in rng.integers(0, len(parts), count):
        weight = rng.dirichlet(np.full(len(parts[index].corners_n2), 0.6))
        inside.append(weight @ parts[index].corners_n2)
    points = placed.to_scene_m(np.array(inside)) * to_px
    power_db = rng.normal(9 + 9 * metal, 6, count)
    corners = placed.corners_m
    toward = site.light.toward[:2]
    edges = [(corners[i], corners[(i + 1) % 4]) for i in range(4)]
    facing = max(edges, key=lambda edge: float(((edge[0] + edge[1]) / 2 - corners.mean(0)) @ toward))
    along = int(np.clip(np.linalg.norm(facing[1] - facing[0]) * to_px * 0.8, 2, 80))
    share = rng.random((along, 1))
    bounce = (facing[0] + (facing[1] - facing[0]) * share) * to_px
    normal = facing[1] - facing[0]
    squareness = abs(float(normal[0] * toward[1] - normal[1] * toward[0])) / max(
        float(np.linalg.norm(normal) * np.linalg.norm(toward)), 1e-9
    )
    bounce_db = rng.normal(3 + 9 * metal * squareness, 4, along)
    amplitude = 10 ** (np.concatenate([power_db, bounce_db]) / 20)
    return np.concatenate([np.concatenate([points, bounce]), amplitude[:, None]], 1)


def _response(shape_hw: tuple[int, ...]) -> FloatArray:
    """Transfer function of the impulse response: a lightly tapered rectangle, unit mean power, (H, W) float32."""
    axes = []
    for size in shape_hw:
        frequency = np.abs(scipy.fft.fftfreq(size)) / (_BANDWIDTH / 2)
        axes.append(np.where(frequency <= 1, 0.72 + 0.28 * np.cos(np.pi * frequency), 0.0))
    transfer = axes[0][:, None] * axes[1][None, :]
    scaled: FloatArray = (transfer / np.sqrt((transfer**2).mean())).astype(np.float32)
    return scaled


def _look(sigma0: FloatArray, points_n3: NDArray[np.float64], response: FloatArray, rng: np.random.Generator) -> ComplexArray:
    count, height, width = sigma0.shape
    columns, rows = np.floor(points_n3[:, 0]).astype(int), np.floor(points_n3[:, 1]).astype(int)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    phasors = points_n3[:, 2] * np.exp(2j * np.pi * rng.random(len(points_n3)))
    looks = np.empty(sigma0.shape, np.complex64)
    for band in range(count):
        field = rng.standard_normal((height, width), np.float32) + 1j * rng.standard_normal((height, width), np.float32)
        field *= np.sqrt(sigma0[band] / 2)
        strength = 1.0 if band == 0 else 10 ** (_CROSS_DB / 20)
        np.add.at(field, (rows[inside], columns[inside]), phasors[inside].astype(np.complex64) * np.float32(strength))
        spectrum = scipy.fft.fft2(field) * response
        focused = scipy.fft.ifft2(spectrum)
        thermal = rng.standard_normal((height, width), np.float32) + 1j * rng.standard_normal((height, width), np.float32)
        looks[band] = focused + thermal * np.float32(np.sqrt(10 ** (_NOISE_FLOOR_DB / 10) / 2))
    return looks
