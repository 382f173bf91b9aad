"""A scene in the values an instrument's settings ask for: complex values as real planes, SAR amplitudes as sigma nought.

Belongs here: `RadiometrySettings` and the scene that applies the part of them that makes new planes. Does not belong here: percentiles
and curves (`radiometry`), what the planes mean (`sar`). The archive, synthesis and CFAR read the original scene.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ovd_platform.raster.chips import padded_chip
from ovd_platform.raster.identity import is_local, member_paths
from ovd_platform.raster.sar import SigmaNought, SlcEncoding, encode_slc
from ovd_platform.raster.scene import Scene
from ovd_platform.raster.sidecars import sidecars_of
from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import Band, SceneRecord
from ovd_platform.records.window import Window

DECIBELS = "dB"


@dataclass(frozen=True, slots=True)
class RadiometrySettings:
    """How an instrument's values become model input; one choice for training and use, kept in every model's card.

    Attributes:
        curve: What follows the linear map from P1..P99 to 0..1: nothing, log1p or a power.
        gamma: The power, for ``curve="gamma"``.
        tile_clip: Share of a chip's values cut off at either end before anything else, [0, 0.5); 0 cuts nothing. What a pixel is worth
            then depends on its chip.
        slc: Complex values as magnitude, as real and imaginary part, or as log magnitude, cosine and sine.
        sigma0: Calibrate SAR amplitudes where the product states how (Sentinel-1).
    """

    curve: Literal["linear", "log1p", "gamma"] = "linear"
    gamma: float = 0.5
    tile_clip: float = 0.0
    slc: Literal["magnitude"] | SlcEncoding = "magnitude"
    sigma0: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready mapping."""
        return asdict(self)


class PresentedScene:
    """A scene whose planes are computed from the source's: float32, in dB or encoded.

    Args:
        source: Open scene; closed with this one.
        tables: Calibration of each band, or None.
        encoding: How complex values are told; None for decibels.
    """

    def __init__(self, source: Scene, tables: Sequence[SigmaNought | None], encoding: SlcEncoding | None) -> None:
        self._source, self._tables, self._encoding = source, tuple(tables), encoding
        bands = [plane for band in source.record.bands for plane in _planes(band, encoding)]
        self.record: SceneRecord = replace(
            source.record, bands=tuple(bands), dtype="float32", bits_effective=None, bits_declared=False, nodata=None
        )

    def read(self, window: Window, band_indices: Sequence[int] | None = None) -> Chip:
        """See `Scene.read`."""
        return padded_chip(self.record, window, band_indices, self._read_inside)

    def read_into(self, window: Window, out_chw: NDArray[Any]) -> NDArray[np.bool_]:
        """See `Scene.read_into`."""
        out_chw[...], valid_hw = self._read_inside(window, tuple(range(len(self.record.bands))))
        return valid_hw

    def _read_inside(self, window: Window, bands: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        chip = self._source.read(window)
        if self._encoding is None:
            planes_chw = np.stack(
                [
                    table.decibels(band_hw, window)
                    for band_hw, table in zip(chip.pixels_chw, self._tables, strict=True)
                    if table is not None
                ]
            )
        else:
            scaled = [
                band_hw if table is None else band_hw / table.amplitude(window)
                for band_hw, table in zip(chip.pixels_chw, self._tables, strict=True)
            ]
            planes_chw = encode_slc(np.stack(scaled), self._encoding)
        return planes_chw[list(bands)], chip.valid_hw

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def __enter__(self) -> Self:
        """The scene itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()


def present(scene: Scene, settings: RadiometrySettings, origin: str | None = None) -> Scene:
    """The scene in the planes its settings ask for; the scene itself where they ask for none or nothing states a calibration.

    Args:
        scene: Open scene.
        settings: Of its instrument.
        origin: Uri of the original files, beside which calibration lies, where the scene is read from a copy.

    Returns:
        A scene; closing it closes the given one.

    Raises:
        DataError: If a calibration file is broken.
    """
    record = scene.record
    encoding = settings.slc if settings.slc != "magnitude" and np.dtype(record.dtype).kind == "c" else None
    tables: list[SigmaNought | None] = [None] * len(record.bands)
    if settings.sigma0 and record.modality == "sar" and record.dtype != "uint8":
        tables = _calibrations(record, origin or record.uri)
    if encoding is None and any(table is None for table in tables):
        return scene
    return PresentedScene(scene, tables, encoding)


def _planes(band: Band, encoding: SlcEncoding | None) -> list[Band]:
    if encoding == "re_im":
        return [Band(f"{band.name}.{part}", unit="amplitude") for part in ("re", "im")]
    decibels = Band(band.name, band.wavelength_um, unit=DECIBELS)
    if encoding is None:
        return [decibels]
    return [decibels, *(Band(f"{band.name}.{part}", unit="phase") for part in ("cos", "sin"))]


def _calibrations(record: SceneRecord, uri: str) -> list[SigmaNought | None]:
    """Calibration of every band: one measurement file holds one polarisation, and one calibration file belongs to it."""
    members = member_paths(uri)
    if len(members) != len(record.bands) or not all(is_local(path) for path in members):
        return [None] * len(record.bands)
    files: list[Path | None] = [
        next((item.path for item in sidecars_of(path) if item.kind == "sentinel1_calibration"), None) for path in members
    ]
    return [None if path is None else SigmaNought.read(path) for path in files]
