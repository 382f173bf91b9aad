"""A search filter as an SQL condition. Belongs here: where and when; ranking is `ranking`'s.

Conditions always go to the table before the search (prefilter): filtering afterwards returns few or no answers.
"""

import math

from ovd_platform.errors import InputError
from ovd_platform.records.prompt import Range, SearchFilter
from ovd_platform.search.area import Area, box_cells, cells_where
from ovd_platform.stores.tables import sql_text
from ovd_platform.stores.vector_rows import utc_text

_METRES_PER_DEGREE = 111_320.0
_RANGES = ("off_nadir_deg", "sun_elevation_deg", "incidence_deg")


def area_of(search_filter: SearchFilter) -> Area | None:
    """The polygons of a filter, or None where it has none."""
    return Area(search_filter.area_lonlat) if search_filter.area_lonlat else None


def columns_needed(search_filter: SearchFilter) -> tuple[str, ...]:
    """Columns of the view that the conditions name; tables of before they were stored lack them."""
    ranges = {name: getattr(search_filter, name) for name in _RANGES}
    return (*(name for name, limits in ranges.items() if limits is not None), *(("orbit",) if search_filter.orbits else ()))


def proposal_where(search_filter: SearchFilter, area: Area | None = None, *, cells: bool = False) -> str | None:
    """SQL condition on proposal rows, or None where nothing is restricted.

    Boxes are matched by their centre. A west above east crosses the antimeridian. A bare date in ``to_utc`` includes that day.

    Args:
        search_filter: The restrictions.
        area: `area_of` the filter. Its condition is a cover: rows at its edge still need `Area.contains`.
        cells: Name geohash cells, so that a large table's ordered index answers.

    Raises:
        InputError: If the bounding box, a range or a time is malformed.
    """
    parts = _common(search_filter)
    if search_filter.bbox_lonlat is not None:
        parts.append(_bbox(search_filter.bbox_lonlat, "0", "0"))
        if cells:
            parts.append(cells_where(box_cells(search_filter.bbox_lonlat)))
    if area is not None:
        boxes = " OR ".join(_bbox(bounds, "0", "0") for bounds in area.bounds())
        parts.append(cells_where(area.cells()) if cells else f"({boxes})")
    if search_filter.min_objectness > 0:
        parts.append(f"objectness >= {float(search_filter.min_objectness)}")
    return " AND ".join(parts) or None


def tile_where(search_filter: SearchFilter, area: Area | None = None) -> str | None:
    """SQL condition on tile rows: like `proposal_where`, but a tile counts when any part of it may lie in the bounding box."""
    parts = _common(search_filter)
    if search_filter.bbox_lonlat is not None:
        parts.append(_near(search_filter.bbox_lonlat))
    if area is not None:
        parts.append(f"({' OR '.join(_near(bounds) for bounds in area.bounds())})")
    return " AND ".join(parts) or None


def _near(bounds: tuple[float, float, float, float]) -> str:
    """Condition on tiles: any part may lie in a box."""
    shrink = max(math.cos(math.radians(min(89.0, max(abs(bounds[1]), abs(bounds[3])) + 0.5))), 0.01)
    reach_m = f"gsd_m * 0.5 * ((x1 - x0) + (y1 - y0)) / {_METRES_PER_DEGREE}"
    return _bbox(bounds, f"({reach_m} / {shrink})", f"({reach_m})")


def _common(search_filter: SearchFilter) -> list[str]:
    parts = []
    if search_filter.scene_ids:
        parts.append(_any_of("scene_id", search_filter.scene_ids))
    if search_filter.instruments:
        parts.append(_any_of("instrument", search_filter.instruments))
    if search_filter.orbits:
        parts.append(_any_of("orbit", search_filter.orbits))
    for name in ("gsd_m", *_RANGES):
        limits: Range | None = getattr(search_filter, name)
        if limits is not None:
            parts.append(_between(name, limits))
    if search_filter.from_utc or search_filter.to_utc:
        parts.append("acquired_utc != ''")
    if search_filter.from_utc:
        parts.append(f"acquired_utc >= {sql_text(utc_text(search_filter.from_utc))}")
    if search_filter.to_utc:
        parts.append(f"acquired_utc <= {sql_text(utc_text(search_filter.to_utc, end_of_day=True))}")
    return parts


def _between(column: str, limits: Range) -> str:
    low, high = (float(value) for value in limits)
    if not low <= high:
        raise InputError(f"Cannot search by {column}: expected (lowest, highest), got {limits}. Swap the values.")
    return f"({column} >= {low} AND {column} <= {high})"


def _any_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(sql_text(value) for value in sorted(set(values)))})"


def _bbox(bbox_lonlat: tuple[float, float, float, float], reach_lon: str, reach_lat: str) -> str:
    west, south, east, north = (float(value) for value in bbox_lonlat)
    if (
        not all(math.isfinite(value) for value in (west, south, east, north))
        or south > north
        or abs(south) > 90
        or abs(north) > 90
    ):
        raise InputError(
            f"Cannot search in {bbox_lonlat}: expected (west, south, east, north) in degrees with south <= north, got "
            "something else. Only west may be above east: that crosses the antimeridian."
        )
    latitude = f"lat + {reach_lat} >= {south} AND lat - {reach_lat} <= {north}"
    if east - west >= 360:
        return f"({latitude})"
    inside_west, inside_east = (west + 180) % 360 - 180, (east + 180) % 360 - 180
    if inside_east == -180 and east > west:
        inside_east = 180.0
    word = "AND" if inside_west <= inside_east else "OR"
    sides = f"lon + {reach_lon} >= {inside_west} {word} lon - {reach_lon} <= {inside_east}"
    wrapped = f"lon + {reach_lon} - 360 >= {inside_west} OR lon - {reach_lon} + 360 <= {inside_east}"
    if reach_lon == "0":
        return f"(({sides}) AND {latitude})"
    return f"((({sides}) OR {wrapped}) AND {latitude})"
