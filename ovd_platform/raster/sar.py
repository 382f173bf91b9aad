"""SAR values: complex encodings for networks, and calibration of Sentinel-1 amplitudes to sigma nought.

Belongs here: what complex and calibrated values mean. Does not belong here: polarimetric decompositions, dB histograms (`histogram`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import DataError, ShapeError
from ovd_platform.raster.histogram import magnitude_db
from ovd_platform.records.window import Window

SlcEncoding = Literal["re_im", "log_polar"]


def encode_slc(pixels_chw: NDArray[Any], encoding: SlcEncoding) -> NDArray[np.float32]:
    """Complex bands as real planes, the planes of one band next to each other.

    Args:
        pixels_chw: Complex values, shape (C, H, W).
        encoding: ``re_im``: real and imaginary part. ``log_polar``: magnitude in dB, cosine and sine of the phase (0 where the
            magnitude is 0, which has no phase).

    Returns:
        New array, float32, shape (2C, H, W) or (3C, H, W).

    Raises:
        ShapeError: If the values are not complex or not (C, H, W).
    """
    if pixels_chw.ndim != 3 or pixels_chw.dtype.kind != "c":
        raise ShapeError(f"Cannot encode SLC: expected complex (C, H, W), got {pixels_chw.dtype} {pixels_chw.shape}.")
    if encoding == "re_im":
        planes = [pixels_chw.real, pixels_chw.imag]
    else:
        magnitude = np.abs(pixels_chw)
        safe = np.where(magnitude > 0, magnitude, 1.0)
        planes = [magnitude_db(pixels_chw), pixels_chw.real / safe, pixels_chw.imag / safe]
    stacked = np.stack(planes, axis=1).astype(np.float32)
    return np.asarray(stacked.reshape(-1, *pixels_chw.shape[1:]))


@dataclass(frozen=True, slots=True, eq=False)
class SigmaNought:
    """Sentinel-1 calibration: sigma0 = |DN|^2 / A^2, with A bilinear between stated vectors (ESA S1-RS-MDA-52-7441).

    Attributes:
        lines_v: Image row of each vector, shape (V,).
        pixels_p: Image columns, shape (P,).
        factor_vp: A at these places, shape (V, P).
    """

    lines_v: NDArray[np.float64]
    pixels_p: NDArray[np.float64]
    factor_vp: NDArray[np.float64]

    @classmethod
    def read(cls, path: Path) -> "SigmaNought":
        """Read a calibration annotation (``annotation/calibration/calibration-*.xml``).

        Raises:
            DataError: If it holds no usable vectors.
        """
        try:
            vectors = list(ElementTree.parse(path).getroot().iter("calibrationVector"))
            lines = np.array([float(vector.findtext("line", "nan")) for vector in vectors])
            pixels = [np.array(vector.findtext("pixel", "").split(), dtype=np.float64) for vector in vectors]
            factors = [np.array(vector.findtext("sigmaNought", "").split(), dtype=np.float64) for vector in vectors]
            even = np.stack([np.interp(pixels[0], own, row) for own, row in zip(pixels, factors, strict=True)])
        except (OSError, ValueError, IndexError, ElementTree.ParseError) as error:
            raise DataError(
                f"Cannot calibrate by {path}: expected sigmaNought vectors, got {error}. Restore the file."
            ) from error
        order = np.argsort(lines)
        return cls(lines[order], pixels[0], even[order])

    def decibels(self, pixels_hw: NDArray[Any], window: Window) -> NDArray[np.float32]:
        """Sigma nought in dB of one band.

        Args:
            pixels_hw: Digital numbers or complex values of the window, shape (H, W).
            window: Where they lie in the image.

        Returns:
            New array, shape (H, W), float32; values below -120 dB of the digital number count as that.
        """
        return np.asarray(magnitude_db(pixels_hw) - 20.0 * np.log10(self.amplitude(window)), dtype=np.float32)

    def amplitude(self, window: Window) -> NDArray[np.float64]:
        """A over a window, shape (H, W): digital numbers divided by it are square roots of sigma nought."""
        rows = np.arange(window.row_px, window.bottom_px)
        cols = np.arange(window.col_px, window.right_px)
        across_vw = np.stack([np.interp(cols, self.pixels_p, row) for row in self.factor_vp])
        place = np.clip(np.interp(rows, self.lines_v, np.arange(len(self.lines_v))), 0, len(self.lines_v) - 1)
        low = np.minimum(place.astype(int), max(len(self.lines_v) - 2, 0))
        high = np.minimum(low + 1, len(self.lines_v) - 1)
        share = (place - low)[:, None]
        return np.asarray(across_vw[low] * (1 - share) + across_vw[high] * share)
