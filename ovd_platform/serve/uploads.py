"""Example chips that people drop on the page: taken, checked in the guarded process, kept under the hash of their bytes.

Belongs here: bytes from outside becoming a file the library may open. Does not belong here: embedding it.

The guarded child is the only one that decodes what came. It admits a few formats by their first bytes, refuses what could lead GDAL to other
files (VRT, OVD tags), reads every pixel and writes them again as a plain GeoTIFF; the server opens that file alone.
"""

import re
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ovd_platform.errors import InputError, NotARasterError, OvdError, UnknownNameError
from ovd_platform.flow.guard import worker
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import atomic_path, content_hash

MOST_CHIP_PX = 4_000_000
MOST_CHIP_BYTES = 256_000_000
_SHOWN_PX = 256
_NAME = re.compile(r"[0-9a-f]{16}")
_DRIVERS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\x00": "GTiff",
    b"MM\x00*": "GTiff",
    b"II+\x00": "GTiff",
    b"MM\x00+": "GTiff",
    b"\x00\x00\x00\x0cjP  ": "JP2OpenJPEG",
    b"NITF0": "NITF",
}
_NUMBER_OF = {"complex_int16": "int32"}
"""GDAL's names of sample types that numpy lacks, as a type of the same size."""
_HEAD_BYTES = 4096
_PNG_END = b"IEND\xaeB`\x82"
_MARKED = (b"<VRTDataset", b"<OGRVRT", b"<GDAL_WMS", b"<WMS_Tile")


def keep_upload(ws: Workspace, data: bytes) -> dict[str, Any]:
    """Check an uploaded chip and keep it.

    Args:
        ws: The workspace.
        data: The file's bytes: PNG, JPEG, TIFF, JPEG 2000 or NITF.

    Returns:
        ``upload`` (its name for questions), ``width_px``, ``height_px``, ``bands``, ``dtype``, ``instrument``.

    Raises:
        InputError: If it is empty or larger than 4 Mpx.
        DataError: If it is no such picture, is damaged, or crashed, hung or filled the guarded process.
    """
    if not data:
        raise InputError("Cannot take an example: expected the bytes of an image, got none. Drop a file.")
    driver_of(data[:_HEAD_BYTES])
    name = content_hash(data)
    folder = _folder(ws)
    kept = folder / f"{name}.tif"
    with TemporaryDirectory(dir=folder, prefix=".") as place:
        raw = Path(place) / "upload"
        raw.write_bytes(data)
        try:
            facts: dict[str, Any] = worker(ws).call(
                "ovd_platform.serve.uploads:rewrite_chip", about="the example", source=str(raw), target=str(kept), name=name
            )
        except OvdError as error:  # Said to people who know no path of the server.
            raise type(error)(str(error).replace(str(raw), "the example")) from error
    return {"upload": name, **facts}


def upload_path(ws: Workspace, name: str) -> Path:
    """File of a kept upload.

    Raises:
        UnknownNameError: If there is none of that name.
    """
    path = _folder(ws) / f"{name}.tif"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise UnknownNameError(
            f"Cannot use the upload {name[:40]!r}: expected one that was taken, got another. Drop the file again."
        )
    return path


def driver_of(head: bytes) -> str:
    """GDAL driver for the first bytes of a file.

    Raises:
        NotARasterError: If it is none of the formats that are taken, or hides another one.
    """
    driver = next((name for magic, name in _DRIVERS.items() if head.startswith(magic)), None)
    if driver is None or any(mark in head for mark in _MARKED):
        raise NotARasterError(
            "Cannot take the example: expected a PNG, JPEG, TIFF, JPEG 2000 or NITF file, got something else. Save it as one of these."
        )
    return driver


def rewrite_chip(source: str, target: str, name: str) -> dict[str, Any]:
    """Decode an uploaded chip and write its pixels anew; runs in the guarded child.

    Args:
        source: File with the bytes that came.
        target: GeoTIFF to make.
        name: Id of the chip.

    Returns:
        JSON-ready facts of the chip.

    Raises:
        InputError: If it is larger than 4 Mpx or 256 MB unpacked, or carries tags that point elsewhere.
        UnreadableRasterError: If it cannot be decoded.
    """
    import rasterio
    from rasterio.errors import RasterioError

    from ovd_platform.errors import DamagedRasterError
    from ovd_platform.raster.rasters import RasterScene
    from ovd_platform.records.window import Window

    data = Path(source).read_bytes()
    driver = driver_of(data[:_HEAD_BYTES])
    if driver == "PNG" and _PNG_END not in data:  # GDAL fills what is missing with zeros and says nothing
        raise DamagedRasterError("Cannot open the example: expected a whole PNG file, got one that is cut off. Save it again.")
    with rasterio.Env(
        GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO", CPL_VSIL_CURL_ALLOWED_FILENAME="none",
        GDAL_ERROR_ON_LIBJPEG_WARNING="TRUE",
    ):  # fmt: skip
        try:
            with rasterio.open(source, driver=driver) as probe:
                size, tags = (probe.width, probe.height), probe.tags(ns="OVD")
                unpacked = sum(size[0] * size[1] * np.dtype(_NUMBER_OF.get(one, one)).itemsize for one in probe.dtypes)
        except RasterioError as error:
            raise DamagedRasterError(
                f"Cannot open the example: expected a whole {driver} file, got {error}. Save it again."
            ) from error
        if size[0] * size[1] > MOST_CHIP_PX:
            raise InputError(
                f"Cannot take the example: expected a chip below {MOST_CHIP_PX / 1e6:g} Mpx, got {size[0]} x {size[1]} px. Cut it out."
            )
        if unpacked > MOST_CHIP_BYTES:
            raise InputError(
                f"Cannot take the example: expected at most {MOST_CHIP_BYTES / 1e6:g} MB of pixels, got {unpacked / 1e6:.0f} MB in "
                f"{len(probe.dtypes)} bands. Cut it out, or keep fewer bands."
            )
        if tags:
            raise InputError(f"Cannot take the example: expected no OVD tags, got {sorted(tags)}. Remove them.")
        with RasterScene(source, name, name) as scene:
            record = scene.record
            chip = scene.read(Window(0, 0, *size))
        _write_plain(Path(target), chip.pixels_chw, chip.valid_hw, record)
    return {
        "width_px": size[0],
        "height_px": size[1],
        "bands": [band.name for band in record.bands],
        "dtype": record.dtype,
        "instrument": record.instrument,
    }


def _write_plain(path: Path, pixels_chw: Any, valid_hw: Any, record: Any) -> None:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    bits = {} if record.bits_effective is None or record.dtype != "uint16" else {"NBITS": record.bits_effective}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with (
            atomic_path(path) as draft,
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                draft, "w", driver="GTiff", width=record.width_px, height=record.height_px, count=len(pixels_chw),
                dtype=record.dtype, photometric="RGB" if len(pixels_chw) == 3 and record.dtype == "uint8" else "MINISBLACK",
                compress="deflate", **bits,
            ) as out,
        ):  # fmt: skip
            out.write(pixels_chw)
            for index, band in enumerate(record.bands, start=1):
                out.set_band_description(index, band.name)
            if not valid_hw.all():
                out.write_mask(valid_hw)


def _folder(ws: Workspace) -> Path:
    folder = ws.home.root / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def upload_picture(ws: Workspace, name: str) -> tuple[bytes, str]:
    """A kept upload as a small picture: the bytes and their media type.

    Raises:
        UnknownNameError: If there is none of that name.
    """
    from ovd_platform.raster.radiometry import display_bands
    from ovd_platform.raster.radiometry import thumbnail as stretched
    from ovd_platform.raster.scene import open_scene
    from ovd_platform.records.window import Window
    from ovd_platform.serve.overviews import with_alpha
    from ovd_platform.serve.pictures import encoded
    from ovd_platform.tiles.scan import scan_scene

    with open_scene(str(upload_path(ws, name))) as scene:
        record = scene.record
        profile = scan_scene(scene, core_px=512, halo_px=0, min_valid_fraction=0.0, min_edge_density=0.0).profile
        chip = scene.read(Window(0, 0, record.width_px, record.height_px))
        rgb = stretched(chip.pixels_chw, chip.valid_hw, profile, display_bands(record))
    scale = min(1.0, _SHOWN_PX / max(rgb.shape[:2]))
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    return encoded(with_alpha(rgb, chip.valid_hw, size))
