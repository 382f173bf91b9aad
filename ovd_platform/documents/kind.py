"""What an image of a document is. Belongs here: kind and modality from statistics and words; finding the words is extract's.

The rules were set on real chips (five satellite collections, ship chips of a document) against a handful of photographs and
drawings. Drawings are told from nature by their pixels alone; photographs and satellite images look alike, and there the words
have the last say.
"""

import re
from dataclasses import dataclass
from typing import Literal

from ovd_platform.documents.image_statistics import ImageStatistics
from ovd_platform.records.pair import FigureKind

_SATELLITE = re.compile(
    r"\b(?:satellit\w*|aerial|overhead|orthophoto\w*|google earth|worldview|pl[eé]iades|sentinel|landsat|quickbird|geoeye|"
    r"ikonos|kompsat|skysat|planetscope|image chips?|chips?|pan(?:chromatic|chromatisch\w*)?|multispectral|hyperspectral|gsd|"
    r"airport|airfield|harbou?rs?|ships?|vessels?|aircraft|runway|remote sensing|nadir|scene|luftbild\w*|schiffe?|flugzeuge?|"
    r"from above|from orbit|(?:air)?planes?|boats?|helicopters?|hafen|teledetecci[oó]n|imagen satelital|buques?|puerto|"
    r"t[eé]l[eé]d[eé]tection|navires?)\b",
    re.IGNORECASE,
)
_RADAR = re.compile(
    r"\b(?:SAR|radar|sentinel-?1\w*|terrasar\S*|radarsat\S*|cosmo-?skymed|iceye|capella|alos-?2|backscatter|speckle|"
    r"sigma[ -]?0|interferogram|synthetic aperture|radarbild\w*|SLC|GRD|"
    r"(?:VV|VH|HH|HV)(?:[ /-](?:VV|VH|HH|HV))*[ -](?:polari[sz]\w*|channel|band))\b",
    re.IGNORECASE,
)
_OPTICAL = re.compile(
    r"\b(?:optical|optisch\w*|óptic\w*|optique|pan(?:chromatic|chromatisch\w*)?|multispectral|multispektral\w*|RGB|"
    r"true[- ]colou?r|worldview|pl[eé]iades|sentinel-?2\w*|landsat|google earth)\b",
    re.IGNORECASE,
)
_PHOTO = re.compile(
    r"\b(?:photo(?:graph)?s?|foto(?:graf\w*)?s?|portrait|selfie|ground[- ]level|handheld|lens|painting)\b", re.IGNORECASE
)
_MAP = re.compile(
    r"\b(?:maps?|mapa|karten?|carte|lageplan|study area|overview of the area|site plan|bathymetr\w*|topographic)\b",
    re.IGNORECASE,
)
_DRAWN = re.compile(
    r"\b(?:diagram|flow ?chart|architecture|schem\w*|plots?|graph|curves?|histogram|workflow|pipeline|block|screenshot|icon|"
    r"statistics|bar chart|confusion|illustration of|overview of the (?:method|system))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an image was taken for.

    Attributes:
        kind: One of the kinds of a pair.
        modality: Of a satellite image; "optical" for everything else.
        certainty: How clear it was, [0, 1].
        reason: For people.
    """

    kind: FigureKind
    modality: Literal["optical", "sar"]
    certainty: float
    reason: str


def judge(statistics: ImageStatistics, *, caption: str, nearby: str, vector: bool, remote_sensing: float) -> Judgement:
    """Decide what an image is.

    Args:
        statistics: Of its pixels.
        caption: Its caption and call-outs: words that surely are about it.
        nearby: Context that mentions it: words that may be.
        vector: True if it was drawn by the page and not embedded.
        remote_sensing: How much the whole document is about remote sensing, [0, 1] (`remote_sensing_share`).
    """
    dark_radar = not vector and statistics.grey and statistics.white < 0.2 and bool(_RADAR.search(caption))
    if vector or (_is_drawn(statistics) and not dark_radar):
        is_map = bool(_MAP.search(caption)) and not _DRAWN.search(caption)
        source = "drawn by the page" if vector else f"flat areas {statistics.flat:.2f}, white {statistics.white:.2f}"
        return Judgement("map" if is_map else "diagram", "optical", 0.9 if vector or is_map else 0.75, source)
    if statistics.contrast < 0.008:
        return Judgement("other", "optical", 0.8, f"almost uniform, contrast {statistics.contrast:.3f}")
    for_map, for_satellite = bool(_MAP.search(caption)), bool(_SATELLITE.search(caption) or _RADAR.search(caption))
    if for_map and not for_satellite and statistics.flat > 0.3:
        return Judgement("map", "optical", 0.7, "words say map")
    if _DRAWN.search(caption) and not for_satellite and statistics.flat > 0.35:
        return Judgement("diagram", "optical", 0.65, "words say diagram")
    score, reason = _overhead_score(statistics, caption, nearby, remote_sensing)
    if score < 0:
        return Judgement("photograph", "optical", min(0.9, 0.5 - score / 3), reason)
    modality = radar_or_optical(caption, nearby, statistics.grey)
    return Judgement("satellite", modality, min(0.95, 0.5 + score / 3), reason)


def word_evidence(caption: str, nearby: str) -> dict[FigureKind, float]:
    """How much the words speak for each kind, log units; 0 everywhere where they say nothing.

    Args:
        caption: Words that surely are about the image.
        nearby: Words that may be.
    """
    satellite = bool(_SATELLITE.search(caption) or _RADAR.search(caption))
    drawn, chart = bool(_DRAWN.search(caption)), bool(_MAP.search(caption))
    return {
        "satellite": (1.8 if satellite else 0.0) + (0.4 if _SATELLITE.search(nearby) or _RADAR.search(nearby) else 0.0),
        "map": 2.2 if chart and not drawn else 0.0,
        "diagram": 1.5 if drawn else 0.0,
        "photograph": 2.2 if _PHOTO.search(caption) else 0.0,
        "other": -1.0 if caption.strip() else 0.0,
    }


def _is_drawn(statistics: ImageStatistics) -> bool:
    """Large exactly flat areas, or much paper white; dark water is flat too, but noisy and never white."""
    paper = statistics.white > 0.25 and statistics.flat > 0.35
    plain = statistics.exact > 0.55 and (statistics.palette > 0.8 or statistics.white > 0.1)
    return paper or plain or statistics.exact > 0.85


def _overhead_score(statistics: ImageStatistics, caption: str, nearby: str, remote_sensing: float) -> tuple[float, str]:
    """Positive for a view from above, negative for a photograph; about -3 to 3."""
    looks = 0.35
    looks -= min(1.0, 10 * max(0.0, statistics.saturation - 0.16))
    looks -= 0.4 * max(0.0, statistics.tilt - 1.0)
    looks -= 0.3 if statistics.contrast > 0.3 else 0.0
    words = 0.0
    words += 1.2 if _SATELLITE.search(caption) or _RADAR.search(caption) else 0.0
    words -= 1.5 if _PHOTO.search(caption) else 0.0
    words += 0.3 if _SATELLITE.search(nearby) or _RADAR.search(nearby) else 0.0
    words += 1.2 * remote_sensing - 0.45
    return looks + words, f"looks {looks:+.2f}, words {words:+.2f}"


def radar_or_optical(caption: str, nearby: str, grey: bool) -> Literal["optical", "sar"]:
    """Modality from words; only grey images follow the context, because one paragraph often tells of both."""
    if _RADAR.search(caption):
        return "sar" if grey or not _OPTICAL.search(caption) else "optical"
    if _OPTICAL.search(caption):
        return "optical"
    return "sar" if grey and _RADAR.search(nearby) and not _OPTICAL.search(nearby) else "optical"


def remote_sensing_share(text: str) -> float:
    """How much a document is about remote sensing: words a thousand characters, saturating at two; [0, 1]."""
    hits = len(_SATELLITE.findall(text)) + len(_RADAR.findall(text))
    return min(1.0, hits / max(1.0, len(text) / 1000) / 2)
