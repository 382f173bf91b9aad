"""Areas of pixels on Earth: rings, the antimeridian, the poles, the edge of the visible disc.

Belongs here: rings of a `SceneRecord`'s pixels. Does not belong here: single points (`place`, offered here as well).

Rings are (lon, lat) in degrees on OGC:CRS84, longitudes in [-180, 180]. A ring around a pole runs along its parallel from -180 to 180
and closes over the pole, as GeoJSON (RFC 7946) readers expect.
"""

import numpy as np
from numpy.typing import NDArray

from ovd_platform.geometry.place import (
    GEOD,
    crs_to_lonlat,
    gsd_m,
    has_lonlat,
    is_terrestrial,
    lonlat_to_pixel,
    pixel_to_lonlat,
)
from ovd_platform.records.scene import SceneRecord

__all__ = [
    "Box",
    "Ring",
    "area_km2",
    "box_footprint",
    "crs_to_lonlat",
    "gsd_m",
    "has_lonlat",
    "is_terrestrial",
    "lonlat_to_pixel",
    "pixel_to_lonlat",
    "scene_footprint",
    "split_antimeridian",
]

Ring = tuple[tuple[float, float], ...]
Box = tuple[float, float, float, float]

_NEAR_POLE_DEG = 80.0
_EDGE_POINTS = 8
_HALVINGS = 30


def _closed_ring(lonlat_n2: NDArray[np.float64]) -> Ring:
    """Counter-clockwise closed ring; around a pole where the points go once around the globe."""
    unwrapped = _unwrapped(lonlat_n2)
    turns = _turns(lonlat_n2)
    if abs(turns) > 180.0:
        return _polar_ring(lonlat_n2, eastward=turns > 0)
    x, y = unwrapped[:, 0], unwrapped[:, 1]
    if float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) < 0:
        lonlat_n2 = lonlat_n2[::-1]
    points = [(float(lon), float(lat)) for lon, lat in lonlat_n2]
    return (*points, points[0])


def _polar_ring(lonlat_n2: NDArray[np.float64], eastward: bool) -> Ring:
    """Ring of points that encircle a pole: cut at the antimeridian, closed over the pole."""
    points = lonlat_n2 if eastward else lonlat_n2[::-1]
    points = np.roll(points, -int(np.argmin(points[:, 0])), axis=0)
    first, last = points[0], points[-1]
    gap = (first[0] + 360.0) - last[0]
    crossing = float(last[1] + (first[1] - last[1]) * ((180.0 - last[0]) / gap)) if gap > 0 else float(first[1])
    parallel = [(-180.0, crossing), *((float(lon), float(lat)) for lon, lat in points), (180.0, crossing)]
    pole = 90.0 if float(points[:, 1].mean()) > 0 else -90.0
    ring = [*parallel, (180.0, pole), (-180.0, pole), (-180.0, crossing)]
    # Eastward along the parallel and back over the north pole is counter-clockwise on the map; over the south pole it is not.
    return tuple(ring) if pole > 0 else tuple(ring[::-1])


def _visible_ring(record: SceneRecord, edge_xy: NDArray[np.float64], centre_xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of a box's edge, pulled towards the centre until they look at the Earth; empty if the centre does not."""
    if not np.isfinite(pixel_to_lonlat(record, [centre_xy])).all():
        return np.zeros((0, 2))
    inside, outside = np.zeros(len(edge_xy)), np.ones(len(edge_xy))
    sees = np.isfinite(pixel_to_lonlat(record, edge_xy)).all(axis=1)
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        seen = np.isfinite(pixel_to_lonlat(record, centre_xy + middle[:, None] * (edge_xy - centre_xy))).all(axis=1)
        inside, outside = np.where(seen, middle, inside), np.where(seen, outside, middle)
    reach = np.where(sees, 1.0, inside)
    return pixel_to_lonlat(record, centre_xy + reach[:, None] * (edge_xy - centre_xy))


def box_footprint(record: SceneRecord, box: Box, points_per_edge: int = 1) -> Ring:
    """Ring of a pixel box on Earth.

    Args:
        record: The scene; may lack a georeference.
        box: (x0, y0, x1, y1) in scene pixels.
        points_per_edge: Vertices an edge contributes; 1 gives the four corners.

    Returns:
        Closed counter-clockwise ring of (lon, lat) degrees (first point repeated at the end); empty without georeference. A
        ring that crosses the antimeridian jumps by about 360 degrees: see `split_antimeridian`. A ring around a pole goes from
        -180 to 180 and over the pole. Where corners do not look at the Earth (full-disc scenes), the visible edge.
    """
    if not has_lonlat(record):
        return ()
    edge_xy = _edge_points(box, points_per_edge)
    lonlat = pixel_to_lonlat(record, edge_xy)
    if not np.isfinite(lonlat).all():
        centre_xy = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
        lonlat = _visible_ring(record, _edge_points(box, max(points_per_edge, _EDGE_POINTS)), centre_xy)
        return _closed_ring(lonlat) if len(lonlat) else ()
    if points_per_edge < _EDGE_POINTS and np.abs(lonlat[:, 1]).max() > _NEAR_POLE_DEG:
        # Corners alone cannot tell on which side of a pole an edge passes.
        dense = pixel_to_lonlat(record, _edge_points(box, _EDGE_POINTS))
        if abs(_turns(dense)) > 180.0:
            return _closed_ring(dense)
    return _closed_ring(lonlat)


def _edge_points(box: Box, points_per_edge: int) -> NDArray[np.float64]:
    x0, y0, x1, y1 = box
    corners = np.array([[x0, y0], [x0, y1], [x1, y1], [x1, y0], [x0, y0]], dtype=np.float64)
    steps = np.arange(points_per_edge, dtype=np.float64)[:, None] / points_per_edge
    return np.concatenate([corners[i] + steps * (corners[i + 1] - corners[i]) for i in range(4)])


def _turns(lonlat_n2: NDArray[np.float64]) -> float:
    """Degrees of longitude a ring of points goes through; about 360 around a pole, else 0."""
    steps = np.diff(np.append(lonlat_n2[:, 0], lonlat_n2[0, 0]))
    return float(np.sum((steps + 180.0) % 360.0 - 180.0))


def scene_footprint(record: SceneRecord) -> Ring:
    """Ring of the whole scene; eight vertices an edge, because straight pixel edges bend on the globe."""
    return box_footprint(record, (0.0, 0.0, float(record.width_px), float(record.height_px)), points_per_edge=8)


def _unwrapped(lonlat_n2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes without jumps; the step over a pole, where all meridians meet, is none."""
    unwrapped = lonlat_n2.copy()
    at_pole = np.abs(lonlat_n2[:, 1]) == 90.0
    over_pole = at_pole & np.roll(at_pole, -1) & (np.abs(np.roll(lonlat_n2[:, 0], -1) - lonlat_n2[:, 0]) == 360.0)
    if over_pole.any():
        return unwrapped
    unwrapped[:, 0] = np.rad2deg(np.unwrap(np.deg2rad(lonlat_n2[:, 0])))
    return unwrapped


def area_km2(ring: Ring) -> float:
    """Geodesic area of a ring in square kilometres, always positive; 0 for an empty ring.

    The area is that of the ellipsoid (never of a projection), so it holds across the antimeridian and at any latitude.
    """
    if len(ring) < 3:
        return 0.0
    square_m = GEOD.polygon_area_perimeter([lon for lon, _ in ring], [lat for _, lat in ring])[0]
    return abs(float(square_m)) / 1e6


def split_antimeridian(ring: Ring) -> tuple[Ring, ...]:
    """Cut a ring at 180 degrees so that no part jumps across the map.

    Args:
        ring: Closed ring, (lon, lat) degrees, shorter than 180 degrees of longitude; neighbours more than 180 degrees apart are
            taken as crossing.

    Returns:
        The ring itself if it does not cross, else its parts west and east of the antimeridian, each closed, in [-180, 180].
    """
    if len(ring) < 4:
        return (ring,) if ring else ()
    unwrapped = _unwrapped(np.array(ring, dtype=np.float64))
    if np.abs(unwrapped[:, 0]).max() <= 180.0:
        return (ring,)
    from shapely import box
    from shapely.affinity import translate
    from shapely.geometry import Polygon
    from shapely.geometry.polygon import orient

    polygon = Polygon(unwrapped)
    parts: list[Ring] = []
    for turn in (-1, 0, 1):
        piece = polygon.intersection(box(-180 + 360 * turn, -90, 180 + 360 * turn, 90))
        for part in getattr(piece, "geoms", [piece]):
            if part.geom_type == "Polygon" and not part.is_empty:
                moved = orient(translate(part, xoff=-360.0 * turn))
                parts.append(tuple((float(x), float(y)) for x, y in moved.exterior.coords))
    return tuple(parts)
