"""What surfaces reflect and what instruments measure. Belongs here: material spectra, band responses, instrument constants.

Illumination, blur and noise are `optical`'s and `sar`'s. Spectra are hand-drawn approximations of common surface types, good
enough that band ratios (vegetation bright in near infrared, water dark) behave as in nature; they are not measurements.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError

FloatArray = NDArray[np.float32]

_KNOTS_UM = np.array([0.42, 0.48, 0.55, 0.66, 0.72, 0.84, 0.97])
_GRID_UM = np.arange(0.40, 1.0001, 0.01)


@dataclass(frozen=True, slots=True)
class Material:
    """A surface type.

    Attributes:
        name: Its name.
        reflectance: Reflectance at 0.42, 0.48, 0.55, 0.66, 0.72, 0.84, 0.97 um, [0, 1].
        other: Reflectance of what it is patchily mixed with (dry grass in grass, stains on concrete), same knots.
        texture: Relative contrast of fine (one sample), middle (metres) and coarse (tens of metres) variation.
        sigma0_db: Radar backscatter co- and cross-polarised.
    """

    name: str
    reflectance: tuple[float, ...]
    other: tuple[float, ...]
    texture: tuple[float, float, float]
    sigma0_db: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Instrument:
    """What measures: bands, sampling and noise.

    Attributes:
        name: Id written to records.
        modality: ``optical`` or ``sar``.
        bands: (name, lower edge, upper edge) in micrometres; edges 0 for SAR.
        gsd_m: Default ground sample distance.
        bits: Bits that carry signal; 0 for SAR.
        psf_sigma_px: Blur of optics, motion and detector, in its own pixels.
        full_well_electrons: Electrons at full scale; sets the shot noise.
        read_noise_electrons: Electrons added by reading.
        looks: Independent looks averaged (SAR).
    """

    name: str
    modality: str
    bands: tuple[tuple[str, float, float], ...]
    gsd_m: float
    bits: int = 12
    psf_sigma_px: float = 0.55
    full_well_electrons: float = 60_000.0
    read_noise_electrons: float = 40.0
    looks: int = 1

    @property
    def wavelengths_um(self) -> tuple[float | None, ...]:
        """Centre of each band; None for SAR."""
        return tuple(round((low + high) / 2, 4) if high else None for _, low, high in self.bands)


INSTRUMENTS: dict[str, Instrument] = {
    item.name: item
    for item in (
        Instrument("pan-1x12", "optical", (("pan", 0.47, 0.83),), 0.7),
        Instrument(
            "ms-4x12",
            "optical",
            (("blue", 0.45, 0.52), ("green", 0.52, 0.60), ("red", 0.63, 0.69), ("nir", 0.76, 0.90)),
            0.8,
            psf_sigma_px=0.6,
            full_well_electrons=40_000.0,
        ),
        Instrument(
            "ms-8x12",
            "optical",
            (
                ("coastal", 0.40, 0.45),
                ("blue", 0.45, 0.51),
                ("green", 0.51, 0.58),
                ("yellow", 0.585, 0.625),
                ("red", 0.63, 0.69),
                ("rededge", 0.705, 0.745),
                ("nir1", 0.77, 0.895),
                ("nir2", 0.86, 0.99),
            ),
            0.9,
            psf_sigma_px=0.62,
            full_well_electrons=30_000.0,
        ),
        Instrument("rgb-3x8", "optical", (("red", 0.60, 0.70), ("green", 0.50, 0.60), ("blue", 0.43, 0.52)), 0.5, bits=8),
        Instrument("sar-grd-2", "sar", (("vv", 0.0, 0.0), ("vh", 0.0, 0.0)), 1.5, bits=0, looks=4),
        Instrument("sar-slc-1", "sar", (("vv", 0.0, 0.0),), 1.2, bits=0),
    )
}

_WATER = (0.050, 0.052, 0.045, 0.022, 0.015, 0.008, 0.006)
_DRY = (0.07, 0.09, 0.14, 0.19, 0.24, 0.31, 0.34)
_SOIL = (0.08, 0.11, 0.16, 0.22, 0.26, 0.31, 0.34)
_CONCRETE = (0.20, 0.25, 0.28, 0.31, 0.32, 0.34, 0.35)


def _grey(level: float, tilt: float = 0.0) -> tuple[float, ...]:
    return tuple(level * (1 + tilt * (um - 0.6)) for um in _KNOTS_UM)


# name: reflectance, what it is mixed with, texture (fine, middle, coarse), backscatter (co, cross) in dB
_TABLE: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, float, float], tuple[float, float]]] = {
    "water": (_WATER, (0.055, 0.064, 0.060, 0.028, 0.018, 0.009, 0.007), (0.05, 0.06, 0.09), (-21.0, -29.0)),
    "shallows": ((0.07, 0.09, 0.10, 0.045, 0.03, 0.012, 0.008), (0.08, 0.11, 0.13, 0.07, 0.04, 0.02, 0.01), (0.05, 0.09, 0.12), (-20.0, -28.0)),
    "foam": (_grey(0.33), _grey(0.18), (0.15, 0.30, 0.20), (-15.0, -24.0)),
    "sand": ((0.17, 0.23, 0.30, 0.38, 0.41, 0.45, 0.48), (0.13, 0.17, 0.23, 0.29, 0.32, 0.36, 0.38), (0.04, 0.08, 0.10), (-17.0, -26.0)),
    "grass": ((0.03, 0.04, 0.08, 0.06, 0.21, 0.38, 0.40), _DRY, (0.07, 0.12, 0.14), (-12.0, -19.0)),
    "crop": ((0.03, 0.035, 0.065, 0.04, 0.20, 0.44, 0.46), (0.04, 0.05, 0.09, 0.07, 0.22, 0.40, 0.42), (0.06, 0.07, 0.08), (-11.0, -18.0)),
    "stubble": ((0.09, 0.12, 0.19, 0.26, 0.30, 0.37, 0.40), _DRY, (0.06, 0.08, 0.09), (-13.0, -21.0)),
    "soil": (_SOIL, (0.06, 0.08, 0.11, 0.15, 0.18, 0.22, 0.24), (0.06, 0.10, 0.14), (-13.0, -22.0)),
    "scrub": ((0.04, 0.05, 0.08, 0.09, 0.19, 0.30, 0.32), _SOIL, (0.14, 0.26, 0.18), (-11.0, -17.0)),
    "tree": ((0.02, 0.026, 0.045, 0.03, 0.14, 0.30, 0.32), (0.03, 0.035, 0.065, 0.05, 0.17, 0.34, 0.36), (0.22, 0.26, 0.10), (-8.5, -14.0)),
    "asphalt": (_grey(0.105, 0.3), _grey(0.145, 0.3), (0.05, 0.09, 0.12), (-19.0, -28.0)),
    "concrete": (_CONCRETE, (0.15, 0.19, 0.22, 0.25, 0.26, 0.27, 0.28), (0.04, 0.09, 0.10), (-17.0, -27.0)),
    "gravel": ((0.14, 0.17, 0.20, 0.23, 0.24, 0.26, 0.27), _SOIL, (0.10, 0.14, 0.12), (-12.0, -22.0)),
    "marking": (_grey(0.50), _grey(0.32), (0.06, 0.16, 0.05), (-16.0, -26.0)),
    "yellowmark": ((0.10, 0.13, 0.33, 0.42, 0.44, 0.46, 0.47), (0.12, 0.15, 0.27, 0.33, 0.34, 0.36, 0.37), (0.06, 0.16, 0.05), (-16.0, -26.0)),
    "roofred": ((0.07, 0.08, 0.11, 0.24, 0.28, 0.33, 0.36), (0.06, 0.07, 0.09, 0.18, 0.21, 0.25, 0.27), (0.07, 0.09, 0.05), (-6.0, -14.0)),
    "roofbrown": ((0.08, 0.09, 0.12, 0.16, 0.18, 0.21, 0.23), (0.06, 0.07, 0.09, 0.12, 0.14, 0.17, 0.18), (0.07, 0.09, 0.05), (-6.0, -14.0)),
    "roofgrey": (_grey(0.19), _grey(0.15), (0.05, 0.09, 0.05), (-6.0, -14.0)),
    "roofdark": (_grey(0.09), _grey(0.12), (0.06, 0.10, 0.05), (-6.0, -14.0)),
    "roofwhite": (_grey(0.56), _grey(0.45), (0.03, 0.06, 0.04), (-5.0, -13.0)),
    "roofblue": ((0.14, 0.22, 0.21, 0.13, 0.14, 0.24, 0.28), (0.12, 0.18, 0.17, 0.12, 0.13, 0.21, 0.24), (0.04, 0.06, 0.04), (-5.0, -13.0)),
    "white": ((0.60, 0.68, 0.70, 0.71, 0.72, 0.73, 0.73), (0.55, 0.63, 0.65, 0.66, 0.67, 0.68, 0.68), (0.02, 0.02, 0.01), (-1.0, -10.0)),
    "lightgrey": (_grey(0.44), _grey(0.40), (0.02, 0.03, 0.01), (-1.0, -10.0)),
    "grey": (_grey(0.27), _grey(0.24), (0.03, 0.04, 0.01), (-1.0, -10.0)),
    "darkgrey": (_grey(0.13), _grey(0.11), (0.04, 0.05, 0.01), (-1.0, -10.0)),
    "black": (_grey(0.045), _grey(0.055), (0.04, 0.05, 0.01), (-4.0, -13.0)),
    "red": ((0.05, 0.05, 0.06, 0.36, 0.45, 0.50, 0.52), (0.05, 0.05, 0.06, 0.30, 0.40, 0.45, 0.47), (0.03, 0.04, 0.01), (-1.0, -10.0)),
    "deckred": ((0.07, 0.08, 0.10, 0.21, 0.24, 0.27, 0.28), (0.08, 0.09, 0.11, 0.18, 0.20, 0.23, 0.24), (0.04, 0.06, 0.02), (-1.0, -10.0)),
    "blue": ((0.14, 0.22, 0.17, 0.07, 0.08, 0.16, 0.20), (0.12, 0.19, 0.15, 0.07, 0.08, 0.15, 0.19), (0.03, 0.04, 0.01), (-1.0, -10.0)),
    "green": ((0.05, 0.08, 0.17, 0.08, 0.10, 0.20, 0.24), (0.05, 0.07, 0.14, 0.08, 0.10, 0.19, 0.22), (0.03, 0.04, 0.01), (-1.0, -10.0)),
    "yellow": ((0.06, 0.09, 0.37, 0.50, 0.53, 0.56, 0.57), (0.07, 0.10, 0.32, 0.43, 0.46, 0.49, 0.50), (0.03, 0.04, 0.01), (-1.0, -10.0)),
    "glass": (_grey(0.07), _grey(0.10), (0.04, 0.05, 0.01), (-6.0, -15.0)),
    "copper": ((0.14, 0.23, 0.30, 0.21, 0.20, 0.24, 0.26), (0.12, 0.20, 0.26, 0.19, 0.18, 0.22, 0.24), (0.04, 0.06, 0.02), (-3.0, -12.0)),
    "tan": ((0.13, 0.19, 0.28, 0.36, 0.39, 0.42, 0.43), (0.12, 0.17, 0.25, 0.32, 0.35, 0.38, 0.39), (0.04, 0.06, 0.02), (-4.0, -12.0)),
}  # fmt: skip

MATERIALS: tuple[Material, ...] = tuple(Material(name, *row) for name, row in _TABLE.items())
CODE: dict[str, int] = {material.name: index for index, material in enumerate(MATERIALS)}
WATER_CODES = (CODE["water"], CODE["shallows"], CODE["foam"])
NOTHING = 255  # code of an object patch's empty samples


def instrument(name: str) -> Instrument:
    """Look an instrument up.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in INSTRUMENTS:
        raise InputError(f"Cannot render for instrument {name!r}: expected one of {', '.join(INSTRUMENTS)}. Choose one of them.")
    return INSTRUMENTS[name]


def band_tables(device: Instrument, jitter: np.random.Generator | None) -> tuple[FloatArray, FloatArray]:
    """Band-averaged reflectance (optical) or linear backscatter (SAR) of every material.

    Args:
        device: The instrument; its response is a box between the band's edges.
        jitter: Varies the materials of a place by a few percent, so that no two places have one asphalt; None for none.

    Returns:
        Tables of the materials and of what they are mixed with, each (C, 256) float32; codes without a material are 0.
    """
    tables = np.zeros((2, len(device.bands), 256), np.float32)
    for code, material in enumerate(MATERIALS):
        spread = 1.0 if jitter is None else float(np.exp(jitter.normal(0, 0.10 if material.texture[0] > 0.035 else 0.04)))
        for side, knots in enumerate((material.reflectance, material.other)):
            if device.modality == "sar":
                co_db, cross_db = material.sigma0_db
                levels = [10 ** (db / 10) * (0.75 if side else 1.0) for db in (co_db, cross_db)]
                tables[side, :, code] = np.array(levels[: len(device.bands)], np.float32) * spread
                continue
            curve = np.interp(_GRID_UM, _KNOTS_UM, knots)
            for band, (_, low, high) in enumerate(device.bands):
                inside = (low <= _GRID_UM) & (high >= _GRID_UM)
                tables[side, band, code] = curve[inside].mean() * spread
    return tables[0], tables[1]


def irradiance(device: Instrument, sun_elevation_deg: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Direct and scattered light on level ground, and light scattered into the view, per band.

    Beer-Lambert with a Rayleigh (fourth power) and an aerosol (first power) depth; half of what is scattered reaches the ground.

    Returns:
        (direct, diffuse, path), each (C,) float32, in units of the sun's irradiance outside the atmosphere in that band.
    """
    sine = float(np.sin(np.deg2rad(max(sun_elevation_deg, 5.0))))
    centres_um = np.array([(low + high) / 2 for _, low, high in device.bands])
    depth = 0.0088 * centres_um**-4.05 + 0.10 * (centres_um / 0.55) ** -1.2
    through = np.exp(-depth / sine)
    diffuse = 0.5 * (1 - through) * sine + 0.02 * sine
    path = 0.22 * (1 - np.exp(-depth)) * sine**0.5
    return (through * sine).astype(np.float32), diffuse.astype(np.float32), (0.35 * path).astype(np.float32)
