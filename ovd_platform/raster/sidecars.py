"""Files vendors put beside a raster. Belongs here: finding them; what they say is read by `acquisition`.

Found by name only, without opening anything but a candidate STAC item, so that hashing a scene's version stays cheap.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ovd_platform.raster.identity import is_local

Kind = Literal["imd", "dimap", "landsat", "sentinel1", "sentinel1_calibration", "sentinel2", "eop", "stac"]

_STAC_MARK = b'"stac_version"'
_STAC_HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One side file.

    Attributes:
        kind: Whose format.
        path: Where it lies.
    """

    kind: Kind
    path: Path


def sidecars_of(path: str) -> list[Sidecar]:
    """Metadata files of a local raster, weakest first.

    Args:
        path: The raster. Known: DigitalGlobe/Maxar ``<stem>.IMD``; Airbus DIMAP ``DIM_*.XML`` of an ``IMG_*`` raster; Landsat
            ``*_MTL.txt``; Sentinel-1 SAFE annotation and calibration; Sentinel-2 SAFE ``MTD_TL.xml``; Planet and other EOP
            ``<stem>_metadata.xml`` or ``<stem>.xml``; a STAC item ``<stem>.json`` or ``<stem>.stac.json``.

    Returns:
        Existing files; empty for /vsi paths.
    """
    if not is_local(path):
        return []
    file = Path(path)
    found = [*_digital_globe(file), *_airbus(file), *_landsat(file), *_sentinel(file), *_eop(file), *_stac(file)]
    return [Sidecar(kind, item) for kind, item in found if item.is_file()]


def _digital_globe(file: Path) -> list[tuple[Kind, Path]]:
    return [("imd", file.with_name(file.stem + suffix)) for suffix in (".IMD", ".imd")]


def _airbus(file: Path) -> list[tuple[Kind, Path]]:
    if not file.stem.startswith("IMG_"):
        return []
    # IMG_PHR1A_PMS_..._R1C1.TIF belongs to DIM_PHR1A_PMS_....XML: the tile's row and column are not in its name.
    product = file.stem[4:].rsplit("_R", 1)[0]
    return [("dimap", file.with_name(f"DIM_{product}{suffix}")) for suffix in (".XML", ".xml")]


def _landsat(file: Path) -> list[tuple[Kind, Path]]:
    base = file.stem.rsplit("_", 1)[0]
    return [("landsat", file.with_name(f"{name}_MTL.txt")) for name in dict.fromkeys((base, file.stem))]


def _sentinel(file: Path) -> list[tuple[Kind, Path]]:
    found: list[tuple[Kind, Path]] = []
    if file.parent.name == "measurement":
        annotation = file.parent.parent / "annotation"
        found = [
            ("sentinel1", annotation / f"{file.stem}.xml"),
            ("sentinel1_calibration", annotation / "calibration" / f"calibration-{file.stem}.xml"),
        ]
    folders = [file.parent, *file.parents[1:4]] if "IMG_DATA" in file.parts else [file.parent]
    return [*found, *(("sentinel2", folder / "MTD_TL.xml") for folder in folders)]


def _eop(file: Path) -> list[tuple[Kind, Path]]:
    return [("eop", file.with_name(file.stem + suffix)) for suffix in ("_metadata.xml", ".xml", ".XML")]


def _stac(file: Path) -> list[tuple[Kind, Path]]:
    found: list[tuple[Kind, Path]] = []
    for candidate in (file.with_name(f"{file.stem}.json"), file.with_name(f"{file.stem}.stac.json")):
        if candidate.is_file():
            with candidate.open("rb") as stream:  # A label file may carry the same name.
                if _STAC_MARK in stream.read(_STAC_HEAD_BYTES):
                    found.append(("stac", candidate))
    return found
