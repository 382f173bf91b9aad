"""Polygons on Earth as conditions: cells that cover them, and the exact test of points.

Belongs here: areas people draw. Does not belong here: other filters (`filters`), areas of scenes (`geometry.footprint`).

Rings go the shorter way between neighbours. Inside, longitudes are unwrapped, so that a ring over the antimeridian is one piece; a
ring once around the globe is closed over the pole it is nearer to.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError
from ovd_platform.records.prompt import LonLatPolygon, LonLatRing

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

MOST_CELLS = 96
_ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"
_DEEPEST = 8
_MARGIN_DEG = 1e-9


class Area:
    """Polygons ready to be asked.

    Args:
        polygons: Each an exterior ring and its holes, (lon, lat) in degrees.

    Raises:
        InputError: If a ring has fewer than three points, is not finite, or a latitude is off the globe.
    """

    def __init__(self, polygons: Sequence[LonLatPolygon]) -> None:
        from shapely import make_valid, prepare
        from shapely.affinity import translate
        from shapely.geometry import Polygon
        from shapely.ops import unary_union

        pieces: list[Any] = []
        for rings in polygons:
            if not rings:
                raise InputError("Cannot search in an area: expected an exterior ring, got none. Draw a polygon.")
            shell, *holes = (_unwrapped(ring) for ring in rings)
            middle = shell[:, 0].mean()
            for hole in holes:
                hole[:, 0] += 360.0 * np.round((middle - hole[:, 0].mean()) / 360.0)
            pieces.append(make_valid(Polygon(shell, holes)))
        whole = unary_union(pieces)
        # Everything once more a turn to the east and to the west: a point in [-180, 180) meets its copy.
        self.shape: BaseGeometry = unary_union([translate(whole, xoff=turn) for turn in (-360.0, 0.0, 360.0)])
        prepare(self.shape)

    def contains(self, lon_n: NDArray[np.floating], lat_n: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether points lie in the area or on its edge; False for NaN. Degrees, shape (N,) each."""
        from shapely import intersects_xy

        known = np.isfinite(lon_n) & np.isfinite(lat_n)
        found = np.zeros(len(lon_n), dtype=bool)
        lon = (np.asarray(lon_n, dtype=np.float64)[known] + 180.0) % 360.0 - 180.0
        found[known] = intersects_xy(self.shape, lon, np.asarray(lat_n, dtype=np.float64)[known])
        return found

    def bounds(self) -> tuple[tuple[float, float, float, float], ...]:
        """Boxes (west, south, east, north) in [-180, 180] that hold the area: one on each side of the antimeridian at most."""
        from shapely import box

        inside = self.shape.intersection(box(-180.0, -90.0, 180.0, 90.0))
        parts = [part.bounds for part in getattr(inside, "geoms", [inside]) if not part.is_empty]
        low = [(max(west - _MARGIN_DEG, -180.0), max(south - _MARGIN_DEG, -90.0)) for west, south, _, _ in parts]
        high = [(min(east + _MARGIN_DEG, 180.0), min(north + _MARGIN_DEG, 90.0)) for _, _, east, north in parts]
        return tuple((*corner, *opposite) for corner, opposite in zip(low, high, strict=True))

    def cells(self, most: int = MOST_CELLS) -> tuple[str, ...]:
        """Geohash prefixes that cover the area; about ``most`` of them, finer where the edge runs."""
        return _cover(self.shape, most)


def cells_where(cells: Sequence[str]) -> str:
    """SQL condition on the column ``geohash``: any of these prefixes; ranges, so that an ordered index serves them."""
    if not cells:
        return "geohash = 'nowhere'"
    return "(" + " OR ".join(f"(geohash >= '{cell}' AND geohash < '{cell}~')" for cell in cells) + ")"


def box_cells(bbox_lonlat: tuple[float, float, float, float], most: int = MOST_CELLS) -> tuple[str, ...]:
    """Geohash prefixes that cover a box (west, south, east, north); west > east crosses the antimeridian."""
    from shapely import box
    from shapely.affinity import translate
    from shapely.ops import unary_union

    west, south, east, north = bbox_lonlat
    shape = box(west, south, east if east >= west else east + 360.0, north)
    return _cover(unary_union([translate(shape, xoff=turn) for turn in (-360.0, 0.0, 360.0)]), most)


def _cover(shape: "BaseGeometry", most: int) -> tuple[str, ...]:
    """Split the cells that the edge runs through until there would be too many."""
    from shapely import box, prepare

    prepare(shape)
    done: list[str] = []
    edge = [("", (-180.0, -90.0, 180.0, 90.0))]
    for depth in range(_DEEPEST):
        finer: list[tuple[str, tuple[float, float, float, float]]] = []
        inside: list[str] = []
        for cell, bounds in edge:
            for child, child_bounds in _children(cell, bounds):
                square = box(*child_bounds)
                if not shape.intersects(square):
                    continue
                (inside.append(child) if shape.contains(square) else finer.append((child, child_bounds)))
        if depth and len(done) + len(inside) + len(finer) > most:
            break
        done, edge = [*done, *inside], finer
        if not edge:
            break
    return tuple(sorted([*done, *(cell for cell, _ in edge if cell)]))


def _children(cell: str, bounds: tuple[float, float, float, float]) -> list[tuple[str, tuple[float, float, float, float]]]:
    """The 32 geohash cells of one cell: 8 columns by 4 rows at odd places of the name, 4 by 8 at even ones."""
    west, south, east, north = bounds
    wide = len(cell) % 2 == 0
    columns, rows = (8, 4) if wide else (4, 8)
    width, height = (east - west) / columns, (north - south) / rows
    found = []
    for column in range(columns):
        for row in range(rows):
            code, x, y = 0, column, row
            lon_bits, lat_bits = (3, 2) if wide else (2, 3)
            for place in range(5):
                is_lon = (place % 2 == 0) == wide
                if is_lon:
                    lon_bits -= 1
                    bit = (x >> lon_bits) & 1
                else:
                    lat_bits -= 1
                    bit = (y >> lat_bits) & 1
                code = (code << 1) | bit
            left, bottom = west + column * width, south + row * height
            found.append((cell + _ALPHABET[code], (left, bottom, left + width, bottom + height)))
    return found


def _unwrapped(ring: LonLatRing) -> NDArray[np.float64]:
    points = np.asarray(ring, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"Cannot search in an area: expected rings of (lon, lat), got shape {points.shape}.")
    if len(points) > 1 and (points[0] == points[-1]).all():
        points = points[:-1]
    if len(points) < 3 or not np.isfinite(points).all() or np.abs(points[:, 1]).max() > 90.0:
        raise InputError(
            f"Cannot search in an area: expected rings of three or more points (lon, lat) with latitudes in [-90, 90], got {ring[:4]}. "
            "Check the order of the axes."
        )
    steps = np.diff(np.append(points[:, 0], points[0, 0]))
    if np.abs(steps).max() == 360.0:  # drawn along the edge of the map, as a ring around a pole or a box around the globe is
        return points
    steps = (steps + 180.0) % 360.0 - 180.0
    lon = points[0, 0] + np.concatenate([[0.0], np.cumsum(steps)])
    lon -= 360.0 * np.round(lon.mean() / 360.0)
    if abs(steps.sum()) < 180.0:
        return np.stack([lon[:-1], points[:, 1]], axis=1)
    pole = 90.0 if points[:, 1].mean() > 0 else -90.0
    latitudes = np.append(points[:, 1], points[0, 1])
    closed = np.stack([lon, latitudes], axis=1)
    return np.concatenate([closed, [[lon[-1], pole], [lon[0], pole]]])


def polygons_of_geojson(values: Any) -> tuple[LonLatPolygon, ...]:
    """Polygons of a GeoJSON object: a geometry, a feature or a collection.

    Raises:
        InputError: If there is no polygon in it.
    """
    found = tuple(_polygons(values))
    if not found:
        raise InputError("Cannot search in an area: expected GeoJSON with a Polygon or MultiPolygon, got none. Draw one.")
    return found


def _polygons(values: Any) -> list[LonLatPolygon]:
    kind = values.get("type") if isinstance(values, dict) else None
    if kind in ("FeatureCollection", "GeometryCollection"):
        parts = values.get("features") or values.get("geometries") or []
        return [polygon for part in parts for polygon in _polygons(part)]
    if kind == "Feature":
        return _polygons(values.get("geometry"))
    try:
        if kind == "Polygon":
            return [tuple(tuple((float(x), float(y)) for x, y, *_ in ring) for ring in values["coordinates"])]
        if kind == "MultiPolygon":
            rings = values["coordinates"]
            return [tuple(tuple((float(x), float(y)) for x, y, *_ in ring) for ring in polygon) for polygon in rings]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"Cannot search in an area: expected GeoJSON coordinates, got {error}. Check the file.") from error
    return []
