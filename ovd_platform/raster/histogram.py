"""Exact histograms of bands. Belongs here: accumulation, merging and percentiles; profiles made from them are radiometry's.

Every kind has 65,536 fixed bins, so histograms of windows, scenes and workers add up without knowing the range beforehand:
integers of up to 16 bits have one bin a value; floats are binned by the upper half of their bit pattern (relative width below
0.8 %); decibels by 1/256 dB.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError

HistogramKind = Literal["unsigned", "signed", "float", "db"]

_BINS = 65536
_DB_LOW, _DB_STEP = -128.0, 1.0 / 256.0


def kind_of(dtype: np.dtype[Any], log: bool) -> HistogramKind:
    """Which bins suit a dtype: ``db`` for complex and for log profiles, one bin a value for up to 16 bits, else ``float``."""
    if log or dtype.kind == "c":
        return "db"
    if dtype.kind in "ub" and dtype.itemsize <= 2:
        return "unsigned"
    return "signed" if dtype.kind == "i" and dtype.itemsize <= 2 else "float"


def magnitude_db(values: NDArray[Any]) -> NDArray[np.float32]:
    """20 log10 |value|, float32; magnitudes below -120 dB count as -120 dB.

    Args:
        values: Real or complex amplitudes, any shape.

    Returns:
        New array of the same shape, float32, decibels.
    """
    magnitude = np.abs(values).astype(np.float32)
    return np.asarray(20.0 * np.log10(np.maximum(magnitude, np.float32(1e-6))), dtype=np.float32)


def _float_values(keys: NDArray[np.int64]) -> NDArray[np.float64]:
    # The middle of a bin: lower half of the bit pattern at 0x8000.
    ordered = (keys.astype(np.uint32) << np.uint32(16)) | np.uint32(0x8000)
    bits = np.where(ordered >> 31 != 0, ordered & np.uint32(0x7FFFFFFF), ~ordered)
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


class Extent(NamedTuple):
    """What counting a part of a band found besides: extremes and mean, in source units or in dB; 0 where nothing was counted."""

    low: float
    high: float
    mean: float


@dataclass(slots=True)
class BandHistogram:
    """Counts of one band's valid values.

    Attributes:
        kind: Which bins.
        counts: Shape (65536,), int64.
    """

    kind: HistogramKind
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, dtype=np.int64))

    @classmethod
    def for_dtype(cls, dtype: str | np.dtype[Any], *, log: bool = False) -> Self:
        """Empty histogram for a source dtype; ``log`` bins decibels of the magnitude."""
        return cls(kind_of(np.dtype(dtype), log))

    @property
    def total(self) -> int:
        """Number of values counted."""
        return int(self.counts.sum())

    def accumulate(self, values: NDArray[Any]) -> None:
        """Add valid values of any shape (mask them first); NaN is not a value and must not be among them."""
        if values.size:
            self.accumulate_band(values if values.ndim == 2 else values.reshape(1, -1), None)

    def accumulate_band(self, band_hw: NDArray[Any], valid_hw: NDArray[np.bool_] | None) -> Extent:
        """Add the valid pixels of a band.

        Args:
            band_hw: Values, shape (H, W); may be a view. A ``db`` histogram takes amplitudes here.
            valid_hw: Shape (H, W), bool; None where all are valid.

        Returns:
            Extent of the valid values; of decibels for a ``db`` histogram.
        """
        if self.kind == "db":
            return self.accumulate_decibels(magnitude_db(band_hw), valid_hw)
        from ovd_platform.raster.kernels import count_floats, count_values

        if self.kind in ("unsigned", "signed") and band_hw.dtype.kind in "ui":
            offset = 32768 if self.kind == "signed" else 0
            lowest, highest, number, total = count_values(band_hw, valid_hw, self.counts, offset)
            if not number:
                return Extent(0.0, 0.0, 0.0)
            return Extent(float(lowest - offset), float(highest - offset), total / number - offset)
        low, high, number, mean = count_floats(band_hw.astype(np.float32, copy=False), valid_hw, self.counts, None)
        if not number:
            return Extent(0.0, 0.0, 0.0)
        if band_hw.dtype != np.float32:  # Bins are coarse anyway; the extremes are exact.
            values_n = band_hw if valid_hw is None else band_hw[valid_hw]
            low, high = float(values_n.min()), float(values_n.max())
        return Extent(low, high, mean / number)

    def accumulate_decibels(self, band_hw: NDArray[np.float32], valid_hw: NDArray[np.bool_] | None) -> Extent:
        """Add the valid pixels of a band that is in decibels already (`magnitude_db`); for ``db`` histograms."""
        from ovd_platform.raster.kernels import count_floats

        low, high, number, total = count_floats(band_hw, valid_hw, self.counts, (_DB_LOW, _DB_STEP))
        return Extent(low, high, total / number) if number else Extent(0.0, 0.0, 0.0)

    def merged(self, other: "BandHistogram") -> "BandHistogram":
        """New histogram of both.

        Raises:
            InputError: If the kinds differ.
        """
        if self.kind != other.kind:
            raise InputError(f"Cannot merge histograms: expected two of one kind, got {self.kind} and {other.kind}.")
        return BandHistogram(self.kind, self.counts + other.counts)

    def _bin_value(self, key: int) -> float:
        if self.kind == "unsigned":
            return float(key)
        if self.kind == "signed":
            return float(key - 32768)
        if self.kind == "db":
            return _DB_LOW + (key + 0.5) * _DB_STEP
        return float(_float_values(np.array([key], dtype=np.int64))[0])

    def percentile(self, q: float) -> float:
        """Smallest value below or at which a fraction ``q`` of the values lies.

        Args:
            q: Fraction in [0, 1] (0.01 is P1).

        Returns:
            The value in source units, or in dB for a ``db`` histogram; exact for integers.

        Raises:
            InputError: If nothing was counted or q is out of range.
        """
        total = self.total
        if total == 0 or not 0.0 <= q <= 1.0:
            raise InputError(f"Cannot take percentile {q}: expected q in [0, 1] and a filled histogram, got {total} values.")
        rank = max(1, int(np.ceil(q * total)))
        return self._bin_value(int(np.searchsorted(np.cumsum(self.counts), rank)))

    @property
    def mean(self) -> float:
        """Mean of the counted values (of bin middles for floats and dB).

        Raises:
            InputError: If nothing was counted.
        """
        filled = np.flatnonzero(self.counts)
        if len(filled) == 0:
            raise InputError("Cannot take the mean of a histogram: expected values, got none. Accumulate first.")
        values = np.array([self._bin_value(int(key)) for key in filled])
        return float(np.average(values, weights=self.counts[filled]))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready sparse form."""
        filled = np.flatnonzero(self.counts)
        return {"kind": self.kind, "bins": filled.tolist(), "counts": self.counts[filled].tolist()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        histogram = cls(values["kind"])
        histogram.counts[np.asarray(values["bins"], dtype=np.int64)] = np.asarray(values["counts"], dtype=np.int64)
        return histogram
