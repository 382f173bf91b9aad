"""Time, sun, view, orbit and polarisation of a scene, from tags and side files.

Belongs here: turning what vendors write into `View` fields. Does not belong here: finding side files (`sidecars`), facts a user
states (`overrides`). What is not said stays None: nothing is guessed.
"""

import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ovd_platform.raster.sidecars import Kind, Sidecar
from ovd_platform.records.scene import View

logger = logging.getLogger(__name__)

_MAX_BYTES = 64 << 20
_TIMES = ("%Y-%m-%d %H:%M:%S", "%Y%m%d%H%M%S", "%Y:%m:%d %H:%M:%S")
_SATELLITES = {
    "WV01": "worldview-1", "WV02": "worldview-2", "WV03": "worldview-3", "WV04": "worldview-4", "GE01": "geoeye-1",
    "QB02": "quickbird-2", "IK01": "ikonos-2", "S1A": "sentinel-1a", "S1B": "sentinel-1b", "S1C": "sentinel-1c",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Acquisition:
    """What is known of how a scene was taken.

    Attributes:
        view: Time, sun, view, orbit.
        polarisation: ``vv`` and so on where one file holds one; None otherwise.
        bits: Bits that carry signal, as a side file states them.
        sources: Names of the side files that said something.
    """

    view: View = field(default_factory=View)
    polarisation: str | None = None
    bits: int | None = None
    sources: tuple[str, ...] = ()


def acquisition_of(dataset: Any, sidecars: list[Sidecar]) -> Acquisition:
    """Everything tags and side files say; a side file is stronger than a tag, a later one stronger than an earlier.

    Args:
        dataset: Open rasterio dataset.
        sidecars: Its side files, weakest first.

    Returns:
        The acquisition. A side file that cannot be read is logged and skipped: the pixels are still worth having.
    """
    facts = _known(_from_tags(dataset))
    sources = []
    for sidecar in sidecars:
        reader = _READERS.get(sidecar.kind)
        if reader is None:
            continue
        try:
            if sidecar.path.stat().st_size > _MAX_BYTES:
                raise ValueError(f"expected at most {_MAX_BYTES >> 20} MiB")
            said = _known(reader(sidecar.path))
        except (OSError, ValueError, KeyError, TypeError, ElementTree.ParseError) as error:
            logger.warning("%s: cannot be read as %s metadata: %s", sidecar.path, sidecar.kind, error)
            continue
        if said:
            facts.update(said)
            sources.append(sidecar.path.name)
    polarisation, bits = facts.pop("polarisation", None), facts.pop("bits", None)
    return Acquisition(replace(View(), **facts), polarisation, bits, tuple(sources))


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value is not None}


def utc_text(text: str | None) -> str | None:
    """A time as ISO 8601 with zone (UTC where none is stated); None if it is no time."""
    cleaned = (text or "").strip().strip('";')
    try:
        parsed = datetime.fromisoformat(cleaned)
    except ValueError:
        for pattern in _TIMES:
            try:
                parsed = datetime.strptime(cleaned[:19] if "-" in pattern or ":" in pattern else cleaned, pattern)
                break
            except ValueError:
                continue
        else:
            return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).isoformat()


def _number(text: Any, low: float = -1e9, high: float = 1e9, scale: float = 1.0) -> float | None:
    """A finite number within [low, high] times scale, else None (vendors write -999 or NaN for unknown)."""
    try:
        value = float(str(text).strip().strip('";')) * scale
    except ValueError:
        return None
    return value if math.isfinite(value) and low <= value <= high else None


def _azimuth(text: Any) -> float | None:
    value = _number(text, -360.0, 360.0)
    return None if value is None else value % 360.0


def _from_zenith(text: Any) -> float | None:
    value = _number(text, 0.0, 180.0)
    return None if value is None else 90.0 - value


def _orbit(text: str | None) -> str | None:
    word = (text or "").strip().lower()
    return "ascending" if word.startswith("asc") else "descending" if word.startswith("desc") else None


# --- tags --------------------------------------------------------------------------------------------------------------------


def _from_tags(dataset: Any) -> dict[str, Any]:
    tags, imagery = dataset.tags(), dataset.tags(ns="IMAGERY")
    description = tags.get("TIFFTAG_IMAGEDESCRIPTION", "")
    # TIFFTAG_DATETIME is when a file was written; only Sentinel-1 products and Planet use it for the acquisition.
    written = tags.get("TIFFTAG_DATETIME") if description.startswith(("Sentinel-1", "{")) else None
    facts = {
        "acquired_utc": utc_text(imagery.get("ACQUISITIONDATETIME")) or utc_text(tags.get("NITF_IDATIM")) or utc_text(written),
        "cloud_fraction": _number(imagery.get("CLOUDCOVER"), 0.0, 1.0, 0.01),
        "orbit": _orbit(tags.get("ORBIT_DIRECTION")),
        "platform": _platform(description),
    }
    facts.update(_known(_from_use00a(dataset)))
    facts.update(_known(_from_imd(dataset.tags(ns="IMD"))))
    facts.update(_known(_from_description(description)))
    return facts


def _platform(description: str) -> str | None:
    match = re.match(r"(Sentinel-1[A-D])\b", description)
    return match.group(1).lower() if match else None


def _from_use00a(dataset: Any) -> dict[str, Any]:
    """Exploitation usability record of a NITF (STDI-0002), as GDAL has taken it apart."""
    text = "".join(dataset.tags(ns="xml:TRE").values())
    match = re.search(r'<tre name="USE00A".*?</tre>', text, re.DOTALL)
    values = dict(re.findall(r'name="(\w+)" value="([^"]*)"', match.group(0))) if match else {}
    return {
        "off_nadir_deg": _number(values.get("OBL_ANG"), 0.0, 90.0),
        "sun_elevation_deg": _number(values.get("SUN_EL"), -90.0, 90.0),
        "sun_azimuth_deg": _number(values.get("SUN_AZ"), 0.0, 359.9),
    }


def _from_description(text: str) -> dict[str, Any]:
    """JSON some producers (Planet) write into the description: sun and satellite angles."""
    try:
        angles = json.loads(text)["atmospheric_correction"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {
        "sun_azimuth_deg": _azimuth(angles.get("solar_azimuth_angle")),
        "sun_elevation_deg": _from_zenith(angles.get("solar_zenith_angle")),
    }


# --- side files --------------------------------------------------------------------------------------------------------------


def _pairs(path: Path) -> dict[str, str]:
    """``key = value;`` lines as a mapping; the first mention of a key counts."""
    found: dict[str, str] = {}
    for match in re.finditer(r"^\s*(\w+)\s*=\s*(.*?);?\s*$", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE):
        found.setdefault(match.group(1), match.group(2).strip('"'))
    return found


def _from_imd(pairs: Mapping[str, str]) -> dict[str, Any]:
    values = {key.rsplit(".", 1)[-1]: value.strip('"') for key, value in pairs.items()}
    time = next((values[key] for key in ("firstLineTime", "earliestAcqTime", "TLCTime") if key in values), None)
    return {
        "acquired_utc": utc_text(time),
        "sun_azimuth_deg": _azimuth(values.get("meanSunAz", values.get("sunAz"))),
        "sun_elevation_deg": _number(values.get("meanSunEl", values.get("sunEl")), -90.0, 90.0),
        "off_nadir_deg": _number(values.get("meanOffNadirViewAngle", values.get("offNadirViewAngle")), 0.0, 90.0),
        "view_azimuth_deg": _azimuth(values.get("meanSatAz", values.get("satAz"))),
        "cloud_fraction": _number(values.get("cloudCover"), 0.0, 1.0),
        "platform": _SATELLITES.get(values.get("satId", ""), values.get("satId", "").lower() or None),
    }


def _landsat(path: Path) -> dict[str, Any]:
    values = _pairs(path)
    moment = f"{values.get('DATE_ACQUIRED', '')}T{values.get('SCENE_CENTER_TIME', '')[:15].rstrip('Z')}"
    return {
        "acquired_utc": utc_text(moment),
        "sun_azimuth_deg": _azimuth(values.get("SUN_AZIMUTH")),
        "sun_elevation_deg": _number(values.get("SUN_ELEVATION"), -90.0, 90.0),
        "cloud_fraction": _number(values.get("CLOUD_COVER"), 0.0, 1.0, 0.01),
        "platform": values.get("SPACECRAFT_ID", "").lower().replace("_", "-") or None,
    }


class _Xml:
    """Elements of an XML file by local name, wherever they stand."""

    def __init__(self, path: Path) -> None:
        self._texts: dict[str, str] = {}
        self.root = ElementTree.parse(path).getroot()
        self._collect(self.root)

    def _collect(self, root: ElementTree.Element) -> None:
        for element in root.iter():
            name = element.tag.rsplit("}", 1)[-1]
            if element.text and element.text.strip():
                self._texts.setdefault(name, element.text.strip())

    def within(self, name: str, child: str = "", text: str = "") -> "_Xml | None":
        """The first element of a name, that holds a child of the given text if one is asked for."""
        for element in self.root.iter():
            if element.tag.rsplit("}", 1)[-1] != name:
                continue
            part = object.__new__(_Xml)
            part._texts, part.root = {}, element
            part._collect(element)
            if not child or part.get(child) == text:
                return part
        return None

    def get(self, *names: str) -> str | None:
        return next((self._texts[name] for name in names if name in self._texts), None)


def _dimap(path: Path) -> dict[str, Any]:
    product = _Xml(path)
    centre = product.within("Located_Geometric_Values", "LOCATION_TYPE", "Center") or product
    moment = centre.get("TIME") or f"{product.get('IMAGING_DATE')}T{product.get('IMAGING_TIME')}"
    mission = {"PHR": "pleiades", "SPOT": "spot", "PNEO": "pleiades-neo"}.get(
        product.get("MISSION") or "", product.get("MISSION")
    )
    index = (product.get("MISSION_INDEX") or "").lower()
    return {
        "acquired_utc": utc_text(moment),
        "sun_azimuth_deg": _azimuth(centre.get("SUN_AZIMUTH")),
        "sun_elevation_deg": _number(centre.get("SUN_ELEVATION"), -90.0, 90.0),
        "off_nadir_deg": _number(centre.get("VIEWING_ANGLE"), 0.0, 90.0),
        "view_azimuth_deg": _azimuth(centre.get("AZIMUTH_ANGLE")),
        "cloud_fraction": _number(product.get("CLOUD_COVERAGE"), 0.0, 1.0, 0.01),
        "platform": f"{mission}-{index}".strip("-").lower() if mission else None,
        "bits": _bits(product.get("NBITS")),
    }


def _bits(text: str | None) -> int | None:
    value = _number(text, 1, 64)
    return None if value is None else int(value)


def _sentinel1(path: Path) -> dict[str, Any]:
    product = _Xml(path)
    return {
        "acquired_utc": utc_text(product.get("startTime")),
        "orbit": _orbit(product.get("pass")),
        "incidence_deg": _number(product.get("incidenceAngleMidSwath"), 0.0, 89.9),
        "look": "right",  # Sentinel-1 never looks left.
        "platform": _SATELLITES.get(product.get("missionId") or ""),
        "polarisation": (product.get("polarisation") or "").lower() or None,
    }


def _sentinel2(path: Path) -> dict[str, Any]:
    tile = _Xml(path)
    sun = tile.within("Mean_Sun_Angle") or tile
    match = re.match(r"(S2[A-D])_", tile.get("TILE_ID") or "")
    return {
        "acquired_utc": utc_text(tile.get("SENSING_TIME")),
        "sun_azimuth_deg": _azimuth(sun.get("AZIMUTH_ANGLE")),
        "sun_elevation_deg": _from_zenith(sun.get("ZENITH_ANGLE")),
        "cloud_fraction": _number(tile.get("CLOUDY_PIXEL_PERCENTAGE"), 0.0, 1.0, 0.01),
        "platform": f"sentinel-{match.group(1)[1:].lower()}" if match else None,
    }


def _eop(path: Path) -> dict[str, Any]:
    """Earth Observation Profile of GML (Planet, RapidEye and others)."""
    product = _Xml(path)
    return {
        "acquired_utc": utc_text(product.get("acquisitionDate", "acquisitionDateTime", "beginPosition")),
        "sun_azimuth_deg": _azimuth(product.get("illuminationAzimuthAngle")),
        "sun_elevation_deg": _number(product.get("illuminationElevationAngle"), -90.0, 90.0),
        "off_nadir_deg": _number(product.get("spaceCraftViewAngle", "acrossTrackIncidenceAngle"), 0.0, 90.0),
        "view_azimuth_deg": _azimuth(product.get("azimuthAngle")),
        "cloud_fraction": _number(product.get("cloudCoverPercentage"), 0.0, 1.0, 0.01),
        "orbit": _orbit(product.get("orbitDirection")),
    }


def _stac(path: Path) -> dict[str, Any]:
    facts = json.loads(path.read_text(encoding="utf-8"))["properties"]
    look = facts.get("sar:observation_direction")
    return {
        "acquired_utc": utc_text(facts.get("datetime") or facts.get("start_datetime")),
        "sun_azimuth_deg": _azimuth(facts.get("view:sun_azimuth")),
        "sun_elevation_deg": _number(facts.get("view:sun_elevation"), -90.0, 90.0),
        "off_nadir_deg": _number(facts.get("view:off_nadir"), 0.0, 90.0),
        "view_azimuth_deg": _azimuth(facts.get("view:azimuth")),
        "incidence_deg": _number(facts.get("view:incidence_angle"), 0.0, 89.9),
        "look": look if look in ("left", "right") else None,
        "orbit": _orbit(facts.get("sat:orbit_state")),
        "cloud_fraction": _number(facts.get("eo:cloud_cover"), 0.0, 1.0, 0.01),
        "platform": facts.get("platform"),
    }


_READERS: dict[Kind, Callable[[Path], dict[str, Any]]] = {
    "imd": lambda path: _from_imd(_pairs(path)),
    "dimap": _dimap,
    "landsat": _landsat,
    "sentinel1": _sentinel1,
    "sentinel2": _sentinel2,
    "eop": _eop,
    "stac": _stac,
}
