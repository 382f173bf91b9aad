"""What surfaces reflect and what instruments measure.

Belongs here: material spectra, band responses, instrument constants.

Illumination, blur and noise are `optical`'s and `sar`'s. Spectra are hand-drawn approximations of common surface types,
good enough that band ratios (vegetation bright in near infrared, water dark) behave as in nature; they are not
measurements.
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

# name: reflectance in percent at the knots, that of what it is mixed with, texture (fine, middle, coarse), backscatter in dB
_TABLE: dict[str, tuple[str, str, tuple[float, float, float], tuple[float, float]]] = {
    "water": ("5 5.2 4.5 2.2 1.5 0.8 0.6", "5.5 6.4 6 2.8 1.8 0.9 0.7", (0.05, 0.06, 0.09), (-21.0, -29.0)),
    "shallows": ("7 9 10 4.5 3 1.2 0.8", "8 11 13 7 4 2 1", (0.05, 0.09, 0.12), (-20.0, -28.0)),
    "foam": ("33 33 33 33 33 33 33", "18 18 18 18 18 18 18", (0.15, 0.3, 0.2), (-15.0, -24.0)),
    "sand": ("17 23 30 38 41 45 48", "13 17 23 29 32 36 38", (0.04, 0.08, 0.1), (-17.0, -26.0)),
    "grass": ("3 4 8 6 21 38 40", "7 9 14 19 24 31 34", (0.07, 0.12, 0.14), (-12.0, -19.0)),
    "crop": ("3 3.5 6.5 4 20 44 46", "4 5 9 7 22 40 42", (0.06, 0.07, 0.08), (-11.0, -18.0)),
    "stubble": ("9 12 19 26 30 37 40", "7 9 14 19 24 31 34", (0.06, 0.08, 0.09), (-13.0, -21.0)),
    "soil": ("8 11 16 22 26 31 34", "6 8 11 15 18 22 24", (0.06, 0.1, 0.14), (-13.0, -22.0)),
    "scrub": ("5 6 10 11 20 30 32", "8 11 16 22 26 31 34", (0.14, 0.2, 0.14), (-11.0, -17.0)),
    "tree": ("2 2.6 4.5 3 14 30 32", "3 3.5 6.5 5 17 34 36", (0.22, 0.26, 0.1), (-8.5, -14.0)),
    "asphalt": ("9.93 10.1 10.3 10.7 10.9 11.3 11.7", "13.2 13.5 13.8 14.3 14.5 15 15.6", (0.05, 0.06, 0.05), (-19.0, -28.0)),
    "concrete": ("20 25 28 31 32 34 35", "15 19 22 25 26 27 28", (0.04, 0.09, 0.1), (-17.0, -27.0)),
    "gravel": ("14 17 20 23 24 26 27", "8 11 16 22 26 31 34", (0.1, 0.14, 0.12), (-12.0, -22.0)),
    "marking": ("50 50 50 50 50 50 50", "32 32 32 32 32 32 32", (0.06, 0.16, 0.05), (-16.0, -26.0)),
    "yellowmark": ("10 13 33 42 44 46 47", "12 15 27 33 34 36 37", (0.06, 0.16, 0.05), (-16.0, -26.0)),
    "roofred": ("9 10 15 31 34 38 40", "7 8 11 22 25 30 32", (0.07, 0.09, 0.05), (-6.0, -14.0)),
    "roofbrown": ("11 13 17 22 24 27 29", "6 7 9 12 14 17 18", (0.07, 0.09, 0.05), (-6.0, -14.0)),
    "roofgrey": ("26 26 26 26 26 26 26", "20 20 20 20 20 20 20", (0.05, 0.09, 0.05), (-6.0, -14.0)),
    "roofdark": ("12 12 12 12 12 12 12", "15 15 15 15 15 15 15", (0.06, 0.1, 0.05), (-6.0, -14.0)),
    "roofwhite": ("56 56 56 56 56 56 56", "45 45 45 45 45 45 45", (0.03, 0.06, 0.04), (-5.0, -13.0)),
    "roofblue": ("14 22 21 13 14 24 28", "12 18 17 12 13 21 24", (0.04, 0.06, 0.04), (-5.0, -13.0)),
    "white": ("60 68 70 71 72 73 73", "55 63 65 66 67 68 68", (0.02, 0.02, 0.01), (-1.0, -10.0)),
    "lightgrey": ("44 44 44 44 44 44 44", "40 40 40 40 40 40 40", (0.02, 0.03, 0.01), (-1.0, -10.0)),
    "grey": ("27 27 27 27 27 27 27", "24 24 24 24 24 24 24", (0.03, 0.04, 0.01), (-1.0, -10.0)),
    "darkgrey": ("13 13 13 13 13 13 13", "11 11 11 11 11 11 11", (0.04, 0.05, 0.01), (-1.0, -10.0)),
    "black": ("4.5 4.5 4.5 4.5 4.5 4.5 4.5", "5.5 5.5 5.5 5.5 5.5 5.5 5.5", (0.04, 0.05, 0.01), (-4.0, -13.0)),
    "red": ("5 5 6 36 45 50 52", "5 5 6 30 40 45 47", (0.03, 0.04, 0.01), (-1.0, -10.0)),
    "deckred": ("7 8 10 21 24 27 28", "8 9 11 18 20 23 24", (0.04, 0.06, 0.02), (-1.0, -10.0)),
    "blue": ("14 22 17 7 8 16 20", "12 19 15 7 8 15 19", (0.03, 0.04, 0.01), (-1.0, -10.0)),
    "green": ("5 8 17 8 10 20 24", "5 7 14 8 10 19 22", (0.03, 0.04, 0.01), (-1.0, -10.0)),
    "yellow": ("6 9 37 50 53 56 57", "7 10 32 43 46 49 50", (0.03, 0.04, 0.01), (-1.0, -10.0)),
    "glass": ("7 7 7 7 7 7 7", "10 10 10 10 10 10 10", (0.04, 0.05, 0.01), (-6.0, -15.0)),
    "copper": ("14 23 30 21 20 24 26", "12 20 26 19 18 22 24", (0.04, 0.06, 0.02), (-3.0, -12.0)),
    "tan": ("13 19 28 36 39 42 43", "12 17 25 32 35 38 39", (0.04, 0.06, 0.02), (-4.0, -12.0)),
}


def _shares(percent: str) -> tuple[float, ...]:
    return tuple(float(word) / 100 for word in percent.split())


MATERIALS: tuple[Material, ...] = tuple(
    Material(name, _shares(own), _shares(other), texture, sigma0_db)
    for name, (own, other, texture, sigma0_db) in _TABLE.items()
)
CODE: dict[str, int] = {material.name: index for index, material in enumerate(MATERIALS)}
WATER_CODES = (CODE["water"], CODE["shallows"], CODE["foam"])
OPEN_CODES = tuple(CODE[name] for name in ("sand", "grass", "crop", "stubble", "soil", "scrub"))
NOTHING = 255  # code of an object patch's empty samples


def instrument(name: str) -> Instrument:
    """Look an instrument up.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in INSTRUMENTS:
        raise InputError(
            f"Cannot render for instrument {name!r}: expected one of {', '.join(INSTRUMENTS)}. Choose one of them."
        )
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

    Beer-Lambert with a Rayleigh (fourth power) and an aerosol depth; some half of what is scattered reaches the ground.

    Returns:
        (direct, diffuse, path), each (C,) float32, in units of the sun's irradiance outside the atmosphere in that band.
    """
    sine = float(np.sin(np.deg2rad(max(sun_elevation_deg, 5.0))))
    centres_um = np.array([(low + high) / 2 for _, low, high in device.bands])
    depth = 0.0088 * centres_um**-4.05 + 0.10 * (centres_um / 0.55) ** -1.2
    through = np.exp(-depth / sine)
    diffuse = 0.62 * (1 - through) * sine + 0.05 * sine
    path = 0.22 * (1 - np.exp(-depth)) * sine**0.5
    return (through * sine).astype(np.float32), diffuse.astype(np.float32), (0.35 * path).astype(np.float32)
