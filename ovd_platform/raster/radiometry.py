"""From source values to model input: profiles per instrument, normalisation, wavelengths, pictures for people.

Belongs here: everything that gives numbers in pixels a meaning. Does not belong here: reading them. A profile belongs to the
model trained with it; values are never stretched per chip.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError, ShapeError
from ovd_platform.raster.chips import is_every_pixel_valid
from ovd_platform.raster.histogram import BandHistogram, magnitude_db
from ovd_platform.records.scene import SceneRecord

__all__ = [
    "BandHistogram",
    "InstrumentProfile",
    "band_wavelengths",
    "display_bands",
    "merge_histograms",
    "normalise",
    "profile_from_histograms",
    "thumbnail",
    "uses_log",
]

UPPER_CLIP = 1.25
# Nominal centres of colour names; used only where a band is named after a colour.
NOMINAL_WAVELENGTH_UM = {
    "coastal": 0.443, "blue": 0.49, "green": 0.56, "yellow": 0.605, "red": 0.665, "rededge": 0.72, "red_edge": 0.72,
    "nir": 0.84, "nir1": 0.83, "nir2": 0.95, "swir1": 1.61, "swir2": 2.2, "pan": 0.625,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class InstrumentProfile:
    """How one instrument's values become model input.

    Attributes:
        instrument: Id of the instrument.
        low_c: Value that maps to 0, per band; decibels if ``log``.
        high_c: Value that maps to 1, per band; decibels if ``log``.
        log: Take 20 log10 of the magnitude first (SAR, also complex).
        source: Where it comes from: scene ids, or the model version it belongs to.
        curve: What follows the linear map: nothing, ``log1p`` (log10(1 + 9 v)) or ``gamma``; each keeps 0 and 1 and is monotone.
        gamma: The power of ``gamma``.
        tile_clip: Share of a chip's valid values cut off at either end first; see `presented.RadiometrySettings`.
    """

    instrument: str
    low_c: tuple[float, ...]
    high_c: tuple[float, ...]
    log: bool = False
    source: str = ""
    curve: Literal["linear", "log1p", "gamma"] = "linear"
    gamma: float = 0.5
    tile_clip: float = 0.0

    def __post_init__(self) -> None:
        if self.curve not in ("linear", "log1p", "gamma") or not self.gamma > 0 or not 0 <= self.tile_clip < 0.5:
            raise InputError(
                f"Cannot make a profile of {self.instrument}: expected curve linear, log1p or gamma, gamma above 0 and tile_clip in "
                f"[0, 0.5), got {self.curve!r}, {self.gamma} and {self.tile_clip}."
            )
        paired = len(self.low_c) == len(self.high_c)
        if not paired or not all(low < high for low, high in zip(self.low_c, self.high_c, strict=True)):
            raise InputError(
                f"Cannot make a profile of {self.instrument}: expected low < high a band, got {self.low_c} and {self.high_c}."
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready mapping; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        return cls(**{**values, "low_c": tuple(values["low_c"]), "high_c": tuple(values["high_c"])})


def uses_log(record: SceneRecord) -> bool:
    """Whether a scene is normalised in decibels: SAR of any depth but 8 bit, which somebody already stretched for display.

    Planes that were computed (`presented`) are taken as they are.
    """
    return record.modality == "sar" and record.dtype != "uint8" and not any(band.unit for band in record.bands)


def merge_histograms(scenes: Sequence[Sequence[BandHistogram]]) -> list[BandHistogram]:
    """Band by band sum over several scenes of one instrument.

    Args:
        scenes: One list of band histograms a scene, all with the same bands.

    Returns:
        One histogram a band.

    Raises:
        ShapeError: If there is no scene or the band counts differ.
    """
    if not scenes or len({len(bands) for bands in scenes}) != 1:
        raise ShapeError(f"Cannot merge histograms: expected scenes with equal bands, got {[len(bands) for bands in scenes]}.")
    merged = list(scenes[0])
    for bands in scenes[1:]:
        merged = [left.merged(right) for left, right in zip(merged, bands, strict=True)]
    return merged


def profile_from_histograms(
    histograms: Sequence[BandHistogram],
    instrument: str,
    *,
    low_q: float = 0.01,
    high_q: float = 0.99,
    source: str = "",
) -> InstrumentProfile:
    """Robust profile: P1 maps to 0, P99 to 1.

    Args:
        histograms: One a band; of a scene, or merged over an instrument's scenes.
        instrument: Id of the instrument.
        low_q: Lower fraction.
        high_q: Upper fraction.
        source: Recorded in the profile.

    Returns:
        The profile. A band without any valid value, or with a single one, gets a range of one unit.
    """
    lows, highs = [], []
    for histogram in histograms:
        low = histogram.percentile(low_q) if histogram.total else 0.0
        high = histogram.percentile(high_q) if histogram.total else 1.0
        if not high > low:
            # Sparse scenes (nearly all water) may put both percentiles on one value: take the extremes, then one unit.
            low, high = (histogram.percentile(0.0), histogram.percentile(1.0)) if histogram.total else (low, high)
            high = high if high > low else low + 1.0
        lows.append(low)
        highs.append(high)
    return InstrumentProfile(instrument, tuple(lows), tuple(highs), histograms[0].kind == "db", source)


def normalise(
    pixels_chw: NDArray[Any], valid_hw: NDArray[np.bool_], profile: InstrumentProfile, *, upper_clip: float = UPPER_CLIP
) -> NDArray[np.float32]:
    """Model input from source values; monotone in the source value of every band.

    Args:
        pixels_chw: Source values, shape (C, H, W), any real or complex dtype.
        valid_hw: Shape (H, W), bool.
        profile: Profile with C bands.
        upper_clip: Largest output; above 1 so that bright targets keep some contrast.

    Returns:
        New array, shape (C, H, W), float32, in [0, upper_clip]; invalid pixels are 0.

    Raises:
        ShapeError: If bands or sizes disagree.
    """
    if pixels_chw.ndim != 3 or len(pixels_chw) != len(profile.low_c) or valid_hw.shape != pixels_chw.shape[1:]:
        raise ShapeError(
            f"Cannot normalise with the profile of {profile.instrument}: expected ({len(profile.low_c)}, H, W) pixels and an "
            f"(H, W) mask, got {pixels_chw.shape} and {valid_hw.shape}. Choose the profile of the scene's instrument."
        )
    if not profile.log and pixels_chw.dtype.kind == "c":
        raise InputError(f"Cannot normalise complex pixels with the linear profile of {profile.instrument}: expected log=True.")
    from ovd_platform.raster.kernels import normalise_bands

    values_chw = magnitude_db(pixels_chw) if profile.log else pixels_chw
    low_c = np.asarray(profile.low_c, dtype=np.float64)
    scale_c = 1.0 / (np.asarray(profile.high_c, dtype=np.float64) - low_c)
    if profile.tile_clip:
        values_chw = _clipped(values_chw, valid_hw, profile.tile_clip)
    out_chw = np.empty(pixels_chw.shape, dtype=np.float32)
    normalise_bands(values_chw, low_c.astype(np.float32), scale_c.astype(np.float32), upper_clip, out_chw)
    if profile.curve == "gamma":
        np.power(out_chw, np.float32(profile.gamma), out=out_chw)
    elif profile.curve == "log1p":
        np.log1p(9.0 * out_chw, out=out_chw)
        out_chw /= np.float32(np.log(10.0))
    if not is_every_pixel_valid(valid_hw) and not valid_hw.all():
        out_chw[:, ~valid_hw] = 0.0
    return out_chw


def _clipped(values_chw: NDArray[Any], valid_hw: NDArray[np.bool_], share: float) -> NDArray[np.float32]:
    """Values of a chip without the extremes of its valid pixels, band by band; a new array."""
    clipped_chw = values_chw.astype(np.float32)
    for band_hw in clipped_chw if valid_hw.any() else ():
        low, high = np.quantile(band_hw[valid_hw], [share, 1.0 - share])
        np.clip(band_hw, low, high, out=band_hw)
    return clipped_chw


def band_wavelengths(record: SceneRecord) -> list[float | None]:
    """Centre wavelength of every band in micrometres: as described, else nominal for colour names, else None."""
    if record.modality == "sar":
        return [None] * len(record.bands)
    return [
        band.wavelength_um if band.wavelength_um is not None else NOMINAL_WAVELENGTH_UM.get(band.name.lower())
        for band in record.bands
    ]


def display_bands(record: SceneRecord) -> tuple[int, ...]:
    """Band indices to show to people: red, green, blue where wavelengths tell, else the first three, or the first for grey."""
    if len(record.bands) < 3:
        return (0,)
    known = [(index, wave) for index, wave in enumerate(band_wavelengths(record)) if wave is not None]
    if len(known) >= 3:
        chosen = tuple(min(known, key=lambda item: abs(item[1] - target))[0] for target in (0.665, 0.56, 0.49))
        if len(set(chosen)) == 3:
            return chosen
    return (0, 1, 2)


def thumbnail(
    pixels_chw: NDArray[Any], valid_hw: NDArray[np.bool_], profile: InstrumentProfile, bands: Sequence[int]
) -> NDArray[np.uint8]:
    """Eight-bit picture for people; never an input of a model.

    Args:
        pixels_chw: Source values, shape (C, H, W).
        valid_hw: Shape (H, W), bool.
        profile: Profile with C bands.
        bands: One or three indices into C (`display_bands`).

    Returns:
        New array, shape (H, W, 3), uint8.
    """
    chosen = list(bands) if len(bands) == 3 else [bands[0]] * 3
    values = normalise(pixels_chw, valid_hw, profile, upper_clip=1.0)[chosen]
    # Eight-bit sources are already stretched for the eye, decibels as well; linear counts need a gamma.
    shown_chw = values if profile.log or pixels_chw.dtype == np.uint8 else np.sqrt(values)
    return np.asarray(np.round(np.moveaxis(shown_chw, 0, -1) * 255.0), dtype=np.uint8)
