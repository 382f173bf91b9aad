"""Places by RPC and ground control points: round trips, terrain, errors; footprints at poles and of full discs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.errors import InputError
from ovd_platform.geometry import rational
from ovd_platform.geometry.control_points import pixel_to_points_crs, points_crs_to_pixel
from ovd_platform.geometry.footprint import area_km2, box_footprint, gsd_m, scene_footprint, split_antimeridian
from ovd_platform.geometry.place import lonlat_to_pixel, pixel_to_lonlat, position_error_m
from ovd_platform.records.ground_control import GroundControl, RationalModel, Terrain
from ovd_platform.records.scene import Band, SceneRecord

SIZE = (4000, 3000)


def model(lon: float = 10.0) -> RationalModel:
    """A sensor that looks 30 degrees to the side: line falls with latitude, sample grows with longitude and height."""
    line, samp, one = [0.0] * 20, [0.0] * 20, [1.0] + [0.0] * 19
    line[2], line[7] = -1.0, 0.01
    samp[1], samp[3], samp[4] = 1.0, 0.2, 0.005
    return RationalModel(
        (1500, 2000, 45.0, lon, 200.0), (1500, 2000, 0.01, 0.02, 500.0), tuple(line), tuple(one), tuple(samp), tuple(one), 3.0
    )


def record(kind: str, control: GroundControl | None, crs: str = "EPSG:4326", **changes: object) -> SceneRecord:
    return SceneRecord(
        "s", "s.tif", "v", "optical", "i", SIZE[0], SIZE[1], (Band("pan"),), "uint16", georeference=kind, crs=crs,
        transform=(1e-5, 0, 10, 0, -1e-5, 45), ground_control=control, **changes,
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(x=st.floats(-50, 4050), y=st.floats(-50, 3050), lon=st.sampled_from([10.0, 179.995, -179.995]))
def test_rpc_round_trip(x: float, y: float, lon: float) -> None:
    scene = record("rpc", GroundControl(rational=model(lon)))
    place = pixel_to_lonlat(scene, [[x, y]])
    assert np.abs(place[:, 0]).max() <= 180
    assert np.abs(lonlat_to_pixel(scene, place) - [x, y]).max() < 1e-3


def test_terrain_moves_places_and_a_height_is_a_flat_terrain() -> None:
    flat = tuple((700.0,) * 5 for _ in range(5))
    terrain = Terrain(9.9, 44.9, 0.05, 0.05, flat)
    by_height = record("rpc", GroundControl(rational=model(), height_m=700.0))
    by_terrain = record("rpc", GroundControl(rational=model(), terrain=terrain))
    xy = [[100.0, 200.0], [3000.0, 2500.0]]
    assert np.allclose(pixel_to_lonlat(by_height, xy), pixel_to_lonlat(by_terrain, xy), atol=1e-9)
    moved = pixel_to_lonlat(by_height, xy) - pixel_to_lonlat(record("rpc", GroundControl(rational=model())), xy)
    assert (moved[:, 0] < -1e-3).all()
    slope = tuple(tuple(200.0 + 100 * col for col in range(5)) for _ in range(5))
    sloped = GroundControl(rational=model(), terrain=Terrain(9.9, 44.9, 0.05, 0.05, slope))
    ground = rational.pixel_to_ground(sloped, xy)
    assert np.abs(rational.ground_to_pixel(sloped, ground) - xy).max() < 0.05


def test_position_error_says_what_is_unknown() -> None:
    unknown = position_error_m(record("rpc", GroundControl(rational=model())))
    known = position_error_m(record("rpc", GroundControl(rational=model(), terrain=Terrain(9, 44, 1, 1, ((0.0,),)))))
    assert unknown is not None
    assert known is not None
    assert unknown > 20 * known / 2
    assert known >= 3.0, "never better than the model's published error"
    assert position_error_m(record("affine", None)) == 0.0
    assert position_error_m(record("none", None, transform=None) if False else replace(record("none", None), crs=None)) is None


def warped_points(count: int) -> GroundControl:
    rng = np.random.default_rng(count)
    xy = rng.uniform((0, 0), SIZE, (count, 2))
    ground = np.stack(
        [10 + 1e-5 * xy[:, 0] + 2e-11 * xy[:, 0] ** 2, 45 - 1e-5 * xy[:, 1] + 1e-11 * xy[:, 0] * xy[:, 1]], axis=1
    )
    return GroundControl(tuple(tuple(map(float, row)) for row in np.concatenate([xy, ground], axis=1)), "EPSG:4326")


@pytest.mark.parametrize("count", [4, 7, 60])
def test_control_points_round_trip(count: int) -> None:
    control = warped_points(count)
    xy = np.random.default_rng(1).uniform((500, 500), (3500, 2500), (40, 2))
    ground = pixel_to_points_crs(control, xy)
    assert np.abs(points_crs_to_pixel(control, ground) - xy).max() < 1e-3
    error = position_error_m(record("gcp", control))
    assert error is not None
    assert 0 < error < 2000


def test_points_on_a_line_place_nothing() -> None:
    line = GroundControl(tuple((float(i), float(i), 10 + i * 1e-5, 45 - i * 1e-5) for i in range(12)), "EPSG:4326")
    with pytest.raises(InputError, match="not on a line"):
        pixel_to_points_crs(line, [[0, 0]])


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3413", 90.0), ("EPSG:3031", -90.0)])
def test_a_footprint_around_a_pole_closes_over_it(crs: str, pole: float) -> None:
    scene = replace(record("affine", None, crs), transform=(100.0, 0, -180_000.0, 0, -100.0, 120_000.0))
    ring = scene_footprint(scene)
    lonlat = np.array(ring)
    assert ring[0] == ring[-1]
    assert (lonlat[:, 1] == pole).sum() >= 2
    assert (lonlat[:, 0].min(), lonlat[:, 0].max()) == (-180.0, 180.0)
    assert split_antimeridian(ring) == (ring,)
    step = gsd_m(scene)
    assert step is not None
    assert area_km2(ring) == pytest.approx(SIZE[0] * SIZE[1] * step**2 / 1e6, rel=0.05)
    from shapely.geometry import Point, Polygon

    polygon = Polygon(ring)
    assert polygon.is_valid
    inside = pixel_to_lonlat(scene, np.random.default_rng(0).uniform((100, 100), (3900, 2900), (50, 2)))
    assert all(polygon.contains(Point(*point)) for point in inside)


def test_a_tile_with_the_pole_has_a_ring_and_its_neighbours_do_not_wrap() -> None:
    scene = replace(record("affine", None, "EPSG:3413"), transform=(100.0, 0, -180_000.0, 0, -100.0, 120_000.0))
    with_pole = box_footprint(scene, (1700.0, 1100.0, 1900.0, 1300.0))
    assert max(lat for _, lat in with_pole) == 90.0
    beside = box_footprint(scene, (0.0, 0.0, 200.0, 200.0))
    assert len(beside) == 5
    assert max(lat for _, lat in beside) < 89


def test_a_full_disc_has_the_visible_edge() -> None:
    geos = "+proj=geos +h=35785831 +lon_0=-75 +sweep=x +datum=WGS84"
    scene = replace(record("affine", None, geos), transform=(2700.0, 0, -5_400_000.0, 0, -3600.0, 5_400_000.0))
    ring = np.array(scene_footprint(scene))
    assert len(ring) > 8
    assert np.isfinite(ring).all()
    assert ring[:, 0].min() > -160
    assert ring[:, 0].max() < 10


def test_a_broken_rpc_is_refused_and_records_round_trip() -> None:
    with pytest.raises(InputError, match="20 finite"):
        replace(model(), line_num=(1.0,))
    scene = record("rpc", GroundControl(rational=model(), terrain=Terrain(9, 44, 1, 1, ((0.0, 1.0), (2.0, 3.0)))))
    import json

    assert SceneRecord.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene
