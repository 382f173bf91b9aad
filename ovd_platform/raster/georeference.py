"""Which georeference a raster has, as plain records. Belongs here: transforms, GCPs, RPCs and RPC side files of one open dataset.

Geolocation arrays count as ground control points. Does not belong here: using them (geometry). The choice: RPC before the corner coordinates of a NITF (whole arc seconds), else affine,
else ground control points, else RPC, else none.
"""

import logging
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ovd_platform.errors import InputError
from ovd_platform.geometry import control_points, rational
from ovd_platform.geometry.affine import Transform, fit_affine
from ovd_platform.raster.geolocation import geolocation_points
from ovd_platform.raster.identity import is_local
from ovd_platform.records.ground_control import GroundControl, RationalModel
from ovd_platform.records.scene import Georeference

logger = logging.getLogger(__name__)

_GRID = 11
# Corner coordinates of a NITF are whole arc seconds, thousandths of a degree or metres: what rounding does to a place.
_NITF_STEP_M = {"G": 30.9, "C": 30.9, "D": 111.3, "U": 1.0, "N": 1.0, "S": 1.0}
_RPC_KEYS = {
    "LINE_OFF": "lineOffset", "SAMP_OFF": "sampOffset", "LAT_OFF": "latOffset", "LONG_OFF": "longOffset",
    "HEIGHT_OFF": "heightOffset", "LINE_SCALE": "lineScale", "SAMP_SCALE": "sampScale", "LAT_SCALE": "latScale",
    "LONG_SCALE": "longScale", "HEIGHT_SCALE": "heightScale",
}  # fmt: skip
_RPC_LISTS = {
    "LINE_NUM_COEFF": "lineNumCoef", "LINE_DEN_COEFF": "lineDenCoef", "SAMP_NUM_COEFF": "sampNumCoef",
    "SAMP_DEN_COEFF": "sampDenCoef",
}  # fmt: skip
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Place:
    """What a raster says about its place.

    Attributes:
        kind: Which georeference decides.
        crs: CRS of ``transform``; None without georeference.
        transform: Affine pixel -> CRS: the raster's own, or the best fit to GCPs or RPC.
        control: GCPs and RPC as stated, kept even where an affine decides.
        error_m: Error of an affine that is known to be rounded; None where `place.position_error_m` knows better.
    """

    kind: Georeference = "none"
    crs: str | None = None
    transform: Transform | None = None
    control: GroundControl | None = None
    error_m: float | None = None


def crs_text(crs: Any) -> str:
    """`EPSG:32633` where the CRS has an authority code, else WKT."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())


def place_of(dataset: Any, *, height_m: float | None = None) -> Place:
    """Georeference of an open rasterio dataset.

    Args:
        dataset: Open dataset.
        height_m: Constant height for an RPC, metres above the ellipsoid; None for the model's own.

    Returns:
        The place; a GCP or RPC that cannot be used is logged and skipped.
    """
    control = _control_of(dataset, height_m)
    affine = _affine_of(dataset)
    if control is not None and control.rational is not None and (affine is None or dataset.driver == "NITF"):
        placed = _with_fit("rpc", dataset, control)
        if placed is not None:
            return placed
    if affine is not None:
        crs, transform = affine
        return Place("affine", crs, transform, control, _rounding_m(dataset))
    if control is not None and len(control.points) >= 3 and control.points_crs:
        placed = _with_fit("gcp", dataset, control)
        if placed is not None:
            return placed
    if not dataset.crs and not dataset.transform.is_identity:
        logger.warning("%s: it has a transform but no CRS: only pixel coordinates are known", dataset.name)
    return Place(control=control)


def _affine_of(dataset: Any) -> tuple[str, Transform] | None:
    if dataset.transform.is_identity:
        return None
    a, b, c, d, e, f = tuple(dataset.transform)[:6]
    if a * e - b * d == 0:
        logger.warning("%s: its transform has no inverse and is not used", dataset.name)
        return None
    if not dataset.crs:
        return None
    return crs_text(dataset.crs), (a, b, c, d, e, f)


def _rounding_m(dataset: Any) -> float | None:
    """Error of a NITF's corner coordinates; None for other formats and for finer corners (BLOCKA)."""
    if dataset.driver != "NITF":
        return None
    tags = dataset.tags()
    step = _NITF_STEP_M.get(tags.get("NITF_ICORDS", "").strip())
    if step is None or any(key.startswith("NITF_BLOCKA_") for key in tags):
        return None
    return step / math.sqrt(6.0)  # Uniform rounding in two directions.


def _control_of(dataset: Any, height_m: float | None) -> GroundControl | None:
    gcps, crs = dataset.gcps
    points = tuple((float(point.col), float(point.row), float(point.x), float(point.y)) for point in gcps)
    if not points and (arrays := geolocation_points(dataset)) is not None:
        points, crs = arrays
    model = _rational_of(dataset)
    if not points and model is None:
        return None
    return GroundControl(points, crs_text(crs) if crs else None, model, height_m)


def _rational_of(dataset: Any) -> RationalModel | None:
    try:
        # Asking for an incomplete one is an error in itself.
        model = dataset.rpcs
        stated = model.to_gdal() if model is not None else _side_file(dataset.name)
        return _rational(stated) if stated else None
    except (InputError, KeyError, ValueError, IndexError) as error:
        logger.warning("%s: its RPC cannot be used: %s", dataset.name, error)
        return None


def _rational(stated: dict[str, Any]) -> RationalModel:
    def number(key: str) -> float:
        return float(_NUMBER.findall(str(stated[key]))[0])

    def numbers(key: str) -> tuple[float, ...]:
        return tuple(float(text) for text in _NUMBER.findall(str(stated[key])))

    errors = [float(stated[key]) for key in ("ERR_BIAS", "ERR_RAND") if stated.get(key) is not None]
    known = [error for error in errors if error > 0]
    names = ("LINE", "SAMP", "LAT", "LONG", "HEIGHT")
    offsets = [number(f"{name}_OFF") for name in names]
    scales = [number(f"{name}_SCALE") for name in names]
    return RationalModel(
        (offsets[0], offsets[1], offsets[2], offsets[3], offsets[4]),
        (scales[0], scales[1], scales[2], scales[3], scales[4]),
        numbers("LINE_NUM_COEFF"),
        numbers("LINE_DEN_COEFF"),
        numbers("SAMP_NUM_COEFF"),
        numbers("SAMP_DEN_COEFF"),
        math.hypot(*known) if known else None,
    )


def _side_file(name: str) -> dict[str, Any]:
    """RPC of a `_rpc.txt` or `.RPB` beside the raster, with GDAL's keys; GDAL itself looks for them only beside some formats."""
    if not is_local(name):
        return {}
    path = Path(name)
    for suffix in ("_rpc.txt", "_RPC.TXT", ".RPB", ".rpb"):
        side = path.with_name(path.stem + suffix)
        if side.is_file():
            return read_rpc_text(side.read_text(encoding="utf-8", errors="replace"))
    return {}


def read_rpc_text(text: str) -> dict[str, Any]:
    """RPC text as a mapping with GDAL's keys.

    Args:
        text: Lines ``KEY: value unit`` with ``LINE_NUM_COEFF_1`` .. ``_20`` (`_rpc.txt`), or ``key = value;`` with lists in
            brackets (`.RPB`).

    Returns:
        Values as text; whatever is missing is missing.
    """
    found: dict[str, Any] = {}
    for key, name in {**_RPC_KEYS, **_RPC_LISTS}.items():
        if match := re.search(rf"\b{name}\s*=\s*(\([^)]*\)|[^;]*);", text):
            found[key] = match.group(1)
        elif numbered := re.findall(rf"^\s*{key}_(\d+)\s*:\s*(\S+)", text, re.MULTILINE):
            found[key] = " ".join(value for _, value in sorted(numbered, key=lambda item: int(item[0])))
        elif match := re.search(rf"^\s*{key}\s*:\s*(\S+)", text, re.MULTILINE):
            found[key] = match.group(1)
    for key, name in (("ERR_BIAS", "errBias"), ("ERR_RAND", "errRand")):
        if match := re.search(rf"(?:{name}\s*=|{key}\s*:)\s*([-+.\deE]+)", text):
            found[key] = match.group(1)
    return found


def _with_fit(kind: Georeference, dataset: Any, control: GroundControl) -> Place | None:
    """Place by ground control, with the affine that comes closest; None where the control defines none."""
    cols, rows = np.linspace(0, dataset.width, _GRID), np.linspace(0, dataset.height, _GRID)
    pixels = np.stack([axis.ravel() for axis in np.meshgrid(cols, rows)], axis=1)
    try:
        if kind == "rpc":
            crs, ground = "EPSG:4326", rational.pixel_to_ground(control, pixels)
        else:
            crs, ground = str(control.points_crs), control_points.pixel_to_points_crs(control, pixels)
        finite = np.isfinite(ground).all(axis=1)
        transform, residual_px = fit_affine(pixels[finite], ground[finite])
    except (InputError, np.linalg.LinAlgError) as error:
        logger.warning("%s: its %s georeference does not define a place: %s", dataset.name, kind, error)
        return None
    logger.info("%s: placed by %s; an affine would be %.2f px off (root mean square)", dataset.name, kind, residual_px)
    return Place(kind, crs, transform, control)
