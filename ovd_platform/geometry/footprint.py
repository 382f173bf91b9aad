"""Where pixels lie on Earth: pixel <-> lon/lat, rings, areas, the antimeridian.

Belongs here: geographic coordinates of a `SceneRecord`'s pixels. Does not belong here: reading GCPs and RPCs; raster fits an
affine to those when it makes the record, so that everything downstream sees one kind of transform.

Output is always (lon, lat) in degrees on OGC:CRS84, longitudes in [-180, 180].
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError, ProjError

from ovd_platform.errors import InputError
from ovd_platform.geometry.affine import Transform, crs_to_pixel, pixel_to_crs, points_n2
from ovd_platform.records.scene import SceneRecord

Ring = tuple[tuple[float, float], ...]
Box = tuple[float, float, float, float]

_GEOD = Geod(ellps="WGS84")
_EARTH_RADIUS_M = (6.3e6, 6.4e6)


@lru_cache(maxsize=64)
def _transformers(crs: str) -> tuple[Transformer, Transformer]:
    source, target = CRS.from_user_input(crs), CRS.from_user_input("OGC:CRS84")
    return Transformer.from_crs(source, target, always_xy=True), Transformer.from_crs(target, source, always_xy=True)


@lru_cache(maxsize=64)
def is_terrestrial(crs: str) -> bool:
    """Whether a CRS is tied to the Earth: local and engineering systems and other planets are not.

    Args:
        crs: Authority string or WKT.
    """
    try:
        parsed = CRS.from_user_input(crs)
        ellipsoid = parsed.ellipsoid
        if ellipsoid is None or not _EARTH_RADIUS_M[0] < ellipsoid.semi_major_metre < _EARTH_RADIUS_M[1]:
            return False
        _transformers(crs)
    except (CRSError, ProjError):
        return False
    return True


def has_lonlat(record: SceneRecord) -> bool:
    """Whether pixels of the scene have a place on Earth."""
    return record.crs is not None and record.transform is not None and is_terrestrial(record.crs)


def _georeference(record: SceneRecord) -> tuple[str, Transform]:
    if record.crs is None or record.transform is None or not is_terrestrial(record.crs):
        raise InputError(
            f"Cannot place pixels of {record.scene_id} on Earth: expected a terrestrial CRS and a transform, got crs "
            f"{record.crs!r} and transform {record.transform}. Work in pixels, or add a georeference and ingest again."
        )
    return record.crs, record.transform


def crs_to_lonlat(crs: str, crs_n2: ArrayLike) -> NDArray[np.float64]:
    """Coordinates of a CRS as lon, lat.

    Args:
        crs: Authority string or WKT.
        crs_n2: Shape (N, 2), x (east or lon) first.

    Returns:
        New array, shape (N, 2), degrees, longitudes in [-180, 180]; inf where the projection is undefined.
    """
    points = points_n2(crs_n2)
    lon, lat = _transformers(crs)[0].transform(points[:, 0], points[:, 1])
    lon = np.asarray(lon, dtype=np.float64)
    outside = np.isfinite(lon) & (np.abs(lon) > 180.0)
    lon[outside] = (lon[outside] + 180.0) % 360.0 - 180.0
    return np.stack([lon, np.asarray(lat, dtype=np.float64)], axis=1)


def pixel_to_lonlat(record: SceneRecord, xy_n2: ArrayLike) -> NDArray[np.float64]:
    """Pixel coordinates to degrees.

    Args:
        record: Scene with a terrestrial CRS. For GCP and RPC scenes its affine is a fit: expect metres to tens of metres.
        xy_n2: Shape (N, 2), (col, row); (0, 0) is the outer corner of the top-left pixel.

    Returns:
        New array, shape (N, 2), (lon, lat) degrees.

    Raises:
        InputError: If the scene has no georeference.
    """
    crs, transform = _georeference(record)
    return crs_to_lonlat(crs, pixel_to_crs(transform, xy_n2))


def lonlat_to_pixel(record: SceneRecord, lonlat_n2: ArrayLike) -> NDArray[np.float64]:
    """Inverse of `pixel_to_lonlat`.

    Args:
        record: Scene with a terrestrial CRS.
        lonlat_n2: Shape (N, 2), (lon, lat) degrees.

    Returns:
        New array, shape (N, 2), pixel coordinates; may lie outside of the scene.

    Raises:
        InputError: If the scene has no georeference.
    """
    crs, transform = _georeference(record)
    points = points_n2(lonlat_n2)
    x, y = _transformers(crs)[1].transform(points[:, 0], points[:, 1])
    x = np.asarray(x, dtype=np.float64)
    if CRS.from_user_input(crs).is_geographic:
        # A geographic scene may count 175 .. 185 or -185 .. -175: take the turn nearest to its middle.
        middle = pixel_to_crs(transform, [[record.width_px / 2, record.height_px / 2]])[0, 0]
        x = x + 360.0 * np.round((middle - x) / 360.0)
    return crs_to_pixel(transform, np.stack([x, np.asarray(y, dtype=np.float64)], axis=1))


def _closed_ring(record: SceneRecord, corners_xy: NDArray[np.float64]) -> Ring:
    lonlat = pixel_to_lonlat(record, corners_xy)
    if not np.isfinite(lonlat).all():
        return ()
    unwrapped = _unwrapped(lonlat)
    x, y = unwrapped[:, 0], unwrapped[:, 1]
    if float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) < 0:
        lonlat = lonlat[::-1]
    points = [(float(lon), float(lat)) for lon, lat in lonlat]
    return (*points, points[0])


def box_footprint(record: SceneRecord, box: Box, points_per_edge: int = 1) -> Ring:
    """Ring of a pixel box on Earth.

    Args:
        record: The scene; may lack a georeference.
        box: (x0, y0, x1, y1) in scene pixels.
        points_per_edge: Vertices an edge contributes; 1 gives the four corners.

    Returns:
        Closed counter-clockwise ring of (lon, lat) degrees (first point repeated at the end); empty without georeference. A
        ring that crosses the antimeridian jumps by about 360 degrees: see `split_antimeridian`.
    """
    if not has_lonlat(record):
        return ()
    x0, y0, x1, y1 = box
    corners = np.array([[x0, y0], [x0, y1], [x1, y1], [x1, y0], [x0, y0]], dtype=np.float64)
    steps = np.arange(points_per_edge, dtype=np.float64)[:, None] / points_per_edge
    edges = [corners[i] + steps * (corners[i + 1] - corners[i]) for i in range(4)]
    return _closed_ring(record, np.concatenate(edges))


def scene_footprint(record: SceneRecord) -> Ring:
    """Ring of the whole scene; eight vertices an edge, because straight pixel edges bend on the globe."""
    return box_footprint(record, (0.0, 0.0, float(record.width_px), float(record.height_px)), points_per_edge=8)


def _unwrapped(lonlat_n2: NDArray[np.float64]) -> NDArray[np.float64]:
    unwrapped = lonlat_n2.copy()
    unwrapped[:, 0] = np.rad2deg(np.unwrap(np.deg2rad(lonlat_n2[:, 0])))
    return unwrapped


def area_km2(ring: Ring) -> float:
    """Geodesic area of a ring in square kilometres, always positive; 0 for an empty ring.

    The area is that of the ellipsoid (never of a projection), so it holds across the antimeridian and at any latitude.
    """
    if len(ring) < 3:
        return 0.0
    square_m = _GEOD.polygon_area_perimeter([lon for lon, _ in ring], [lat for _, lat in ring])[0]
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


def gsd_m(record: SceneRecord) -> float | None:
    """Ground sample distance at the scene's centre, measured on the ellipsoid.

    Returns:
        Geometric mean of the column and row steps in metres; None without georeference. A Mercator scene gets its true step,
        not the stretched one of the CRS.
    """
    if not has_lonlat(record):
        return None
    x, y = record.width_px / 2, record.height_px / 2
    lonlat = pixel_to_lonlat(record, [[x - 0.5, y], [x + 0.5, y], [x, y - 0.5], [x, y + 0.5]])
    if not np.isfinite(lonlat).all():
        return None
    steps_m = _GEOD.inv(lonlat[::2, 0], lonlat[::2, 1], lonlat[1::2, 0], lonlat[1::2, 1])[2]
    return float(np.sqrt(steps_m[0] * steps_m[1]))
