"""A scan as files: what the tiles stage stores. Belongs here: writing and reading them; the pass over the pixels is `scan`'s.

`scan_to_folder` is called through `raster.guarded.GuardedWorker`: arguments and results are JSON values.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ovd_platform.raster.presented import RadiometrySettings, present
from ovd_platform.raster.radiometry import BandHistogram, InstrumentProfile
from ovd_platform.raster.scene import open_scene
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window
from ovd_platform.tiles.scan import scan_scene

TILES, PROFILE, HISTOGRAMS, THUMBNAIL = "tiles.json", "profile.json", "histograms.json", "thumbnail.jpg"


def scan_to_folder(
    uri: str,
    scene_id: str,
    version: str,
    folder: str,
    settings: dict[str, Any],
    origin: str | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Scan a scene and leave tiles, profile, histograms and thumbnail in a folder.

    Args:
        uri: As for `open_scene`.
        scene_id: Id of the scene.
        version: Version of the scene.
        folder: Where to write.
        settings: Keyword arguments of `scan_scene`; ``radiometry`` as a mapping.
        origin: Uri of the original files where ``uri`` is a copy.
        progress: Called with (done, total, what).

    Returns:
        Facts for people: tiles, kept, megapixels, bands, bits, instrument, valid pixels.

    Raises:
        BitDepthError: If a value exceeds the declared bits.
        UnreadableRasterError: If pixels cannot be decoded.
    """
    import cv2

    target, settings = Path(folder), dict(settings)
    radiometry = RadiometrySettings(**settings.pop("radiometry", {}))
    with present(open_scene(uri, scene_id=scene_id, version=version), radiometry, origin) as scene:
        scan = scan_scene(scene, radiometry=radiometry, progress=progress, **settings)
        record = scene.record
    (target / TILES).write_text(json.dumps([asdict(tile) for tile in scan.tiles]))
    (target / PROFILE).write_text(json.dumps(scan.profile.to_dict()))
    (target / HISTOGRAMS).write_text(json.dumps([histogram.to_dict() for histogram in scan.histograms]))
    cv2.imwrite(str(target / THUMBNAIL), scan.thumbnail_hwc[..., ::-1])
    kept = sum(tile.kept for tile in scan.tiles)
    return {
        "tiles": len(scan.tiles),
        "tiles_kept": kept,
        "screened_out": len(scan.tiles) - kept,
        "screened_why": json.dumps(Counter(tile.reason for tile in scan.tiles if tile.reason), sort_keys=True),
        "megapixels": round(record.area_mpx, 3),
        "valid_px": scan.valid_px,
        "bands": len(record.bands),
        "bits": (record.bits_effective if record.bits_declared else scan.bits_observed) or 0,
        "bits_observed": scan.bits_observed or 0,
        "bits_from": "declared" if record.bits_declared else "histogram" if scan.bits_observed else "",
        "instrument": record.instrument,
        "values": ", ".join(dict.fromkeys(band.unit or "source" for band in record.bands)),
        "rendered": record.rendered,
    }


def load_tiles(folder: Path) -> list[TileRecord]:
    """Tiles of a scan, kept and screened out."""
    return [_tile(row) for row in json.loads((folder / TILES).read_text())]


def load_profile(folder: Path) -> InstrumentProfile:
    """Normalisation profile of a scan."""
    return InstrumentProfile.from_dict(json.loads((folder / PROFILE).read_text()))


def load_histograms(folder: Path) -> list[BandHistogram]:
    """Exact histograms of a scan, one a band."""
    return [BandHistogram.from_dict(values) for values in json.loads((folder / HISTOGRAMS).read_text())]


def _tile(row: dict[str, Any]) -> TileRecord:
    values = dict(row)
    values["core"] = Window(**values["core"])
    values["footprint_lonlat"] = tuple(tuple(point) for point in values["footprint_lonlat"])
    return TileRecord(**values)
