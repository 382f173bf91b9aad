"""Rendered pixels to georeferenced files.

Belongs here: the ground frame of a rendered scene and the writing of its GeoTIFF.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class GroundFrame:
    """North-up UTM frame of a scene.

    Attributes:
        epsg: UTM zone.
        west_m: Easting of the left edge.
        north_m: Northing of the top edge.
        gsd_m: Pixel size.
    """

    epsg: int
    west_m: float
    north_m: float
    gsd_m: float

    def to_lonlat(self, outlines: Sequence[Sequence[tuple[float, float]]]) -> list[list[list[float]]]:
        """Closed, counter-clockwise (lon, lat) rings of outlines in pixels."""
        if not outlines:
            return []
        from pyproj import Transformer

        convert = Transformer.from_crs(self.epsg, "OGC:CRS84", always_xy=True)
        flat = np.array([corner for outline in outlines for corner in outline], np.float64)
        lon, lat = convert.transform(self.west_m + flat[:, 0] * self.gsd_m, self.north_m - flat[:, 1] * self.gsd_m)
        rings, start = [], 0
        for outline in outlines:
            part = slice(start, start + len(outline))
            ring = [[round(float(x), 9), round(float(y), 9)] for x, y in zip(lon[part], lat[part], strict=True)]
            area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, ring[1:] + ring[:1], strict=True))
            ring = ring if area > 0 else ring[::-1]
            rings.append([*ring, ring[0]])
            start += len(outline)
        return rings


def write_geotiff(path: Path, pixels_chw: NDArray[Any], frame: GroundFrame, meta: dict[str, Any]) -> None:
    """Write a tiled, losslessly compressed GeoTIFF with its metadata in tags of the namespace ``OVD``.

    Args:
        path: File to write.
        pixels_chw: Native pixels, (C, H, W).
        frame: Where it lies.
        meta: Sidecar fields.
    """
    import json

    import rasterio
    from rasterio.transform import from_origin

    complex_pixels = np.iscomplexobj(pixels_chw)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": pixels_chw.shape[0],
        "height": pixels_chw.shape[1],
        "width": pixels_chw.shape[2],
        "dtype": pixels_chw.dtype.name,
        "crs": f"EPSG:{frame.epsg}",
        "transform": from_origin(frame.west_m, frame.north_m, frame.gsd_m, frame.gsd_m),
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "zlevel": 3,
        "interleave": "band",
    }
    if not complex_pixels:
        profile |= {"predictor": 2, "nodata": 0}
    with rasterio.open(path, "w", **profile) as file:
        file.write(pixels_chw)
        tags = {key: value if isinstance(value, str) else json.dumps(value) for key, value in meta.items() if value is not None}
        file.update_tags(ns="OVD", **(tags | {"rendered": "true"}))
        for index, band in enumerate(meta["bands"], start=1):
            file.set_band_description(index, band["name"])
