"""Suppression on the ground and filters as SQL, antimeridian included."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.errors import InputError
from ovd_platform.records.prompt import SearchFilter
from ovd_platform.search.filters import proposal_where, tile_where
from ovd_platform.search.ground import ground_boxes, suppress


def rows(*objects: tuple[str, float, float, float | None, float | None, str]) -> pa.Table:
    """(scene, x, y, lon, lat, time); boxes of 20 px at 0.5 m."""
    n = len(objects)
    return pa.table(
        {
            "scene_id": [o[0] for o in objects],
            "x0": np.array([o[1] for o in objects]),
            "y0": np.array([o[2] for o in objects]),
            "x1": np.array([o[1] + 20 for o in objects]),
            "y1": np.array([o[2] + 20 for o in objects]),
            "lon": pa.array([o[3] for o in objects], pa.float64()),
            "lat": pa.array([o[4] for o in objects], pa.float64()),
            "acquired_utc": [o[5] for o in objects],
            "gsd_m": pa.array([0.5] * n, pa.float32()),
        }
    )


def kept(table: pa.Table, **options: Any) -> list[int]:
    return suppress(ground_boxes(table), top=100, **options).tolist()


def test_one_scene_is_compared_in_pixels_with_or_without_georeference() -> None:
    table = rows(
        ("a", 0, 0, None, None, ""), ("a", 5, 0, None, None, ""), ("a", 19, 0, None, None, ""), ("b", 0, 0, None, None, "")
    )
    assert kept(table) == [0, 2, 3]
    assert kept(table, collapse_revisits=True) == [0, 2, 3]


def test_other_scenes_are_compared_on_the_ground() -> None:
    same_time = rows(("a", 0, 0, 10.0, 50.0, "t"), ("b", 700, 0, 10.00001, 50.0, "t"), ("c", 0, 0, 10.001, 50.0, "t"))
    assert kept(same_time) == [0, 2]
    revisit = rows(("a", 0, 0, 10.0, 50.0, "t"), ("b", 700, 0, 10.00001, 50.0, "u"))
    assert kept(revisit) == [0, 1]
    assert kept(revisit, collapse_revisits=True) == [0]


def test_ground_comparison_crosses_the_antimeridian() -> None:
    table = rows(("a", 0, 0, 179.999995, 0.0, "t"), ("b", 0, 0, -179.999995, 0.0, "t"))
    assert kept(table) == [0]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=20))
def test_suppression_is_idempotent_and_keeps_the_best(places: list[tuple[int, int]]) -> None:
    table = rows(*(("a", float(x), float(y), None, None, "") for x, y in places))
    first = kept(table)
    assert first[0] == 0
    again = kept(table.take(pa.array(first)))
    assert again == list(range(len(first)))


POINTS = [(179.9, 0.0), (-179.9, 0.0), (0.0, 0.0), (10.0, 50.0), (-180.0, 89.0), (None, None)]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import lancedb

    values = {
        "i": list(range(len(POINTS))),
        "lon": pa.array([point[0] for point in POINTS], pa.float64()),
        "lat": pa.array([point[1] for point in POINTS], pa.float64()),
        "x0": np.zeros(len(POINTS), np.float32),
        "y0": np.zeros(len(POINTS), np.float32),
        "x1": np.full(len(POINTS), 1000, np.float32),
        "y1": np.full(len(POINTS), 1000, np.float32),
        "gsd_m": np.full(len(POINTS), 10, np.float32),
    }
    return lancedb.connect(tmp_path_factory.mktemp("points")).create_table("points", pa.table(values))


@pytest.mark.parametrize(
    ("box", "proposals", "tiles"),
    [
        ((179.0, -1.0, -179.0, 1.0), [0, 1], [0, 1]),
        ((179.95, -1.0, 180.0, 1.0), [], [0]),
        ((179.95, -1.0, -179.95, 1.0), [], [0, 1]),
        ((-179.89, -1.0, -170.0, 1.0), [], [1]),
        ((170.0, -1.0, 190.0, 1.0), [0, 1], [0, 1]),
        ((-180.0, -90.0, 180.0, 90.0), [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        ((9.0, 49.0, 11.0, 51.0), [3], [3]),
        ((10.05, 49.0, 11.0, 51.0), [], [3]),
        ((9.0, 50.04, 11.0, 51.0), [], [3]),
        ((0.0, -1.0, 0.0, 1.0), [2], [2]),
    ],
)
def test_bounding_boxes_select_by_centre_and_tiles_by_reach(
    table: Any, box: tuple[float, float, float, float], proposals: list[int], tiles: list[int]
) -> None:
    for where, expected in ((proposal_where, proposals), (tile_where, tiles)):
        found = table.search().where(where(SearchFilter(bbox_lonlat=box))).select(["i"]).to_arrow()
        assert sorted(found["i"].to_pylist()) == expected


def test_malformed_boxes_are_refused() -> None:
    for box in ((0.0, 10.0, 1.0, 5.0), (0.0, -100.0, 1.0, 5.0), (float("nan"), 0.0, 1.0, 5.0)):
        with pytest.raises(InputError, match="antimeridian"):
            proposal_where(SearchFilter(bbox_lonlat=box))
    assert proposal_where(SearchFilter()) is None
    assert tile_where(SearchFilter(min_objectness=0.5)) is None
