"""Laws of place: pixel -> ground -> pixel, the antimeridian, areas, ground sample distance, geohash."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.errors import InputError
from ovd_platform.geometry.affine import crs_to_pixel, fit_affine, pixel_to_crs
from ovd_platform.geometry.footprint import (
    area_km2,
    box_footprint,
    gsd_m,
    has_lonlat,
    lonlat_to_pixel,
    pixel_to_lonlat,
    scene_footprint,
    split_antimeridian,
)
from ovd_platform.geometry.geohash import encode
from ovd_platform.records.scene import Band, SceneRecord

MARS = (
    'GEOGCS["Mars",DATUM["Mars",SPHEROID["Mars",3396190,169.8944]],PRIMEM["Reference meridian",0],'
    'UNIT["degree",0.0174532925199433]]'
)


def make_record(crs: str | None, transform: tuple[float, ...] | None, size: tuple[int, int] = (4000, 3000)) -> SceneRecord:
    return SceneRecord(
        scene_id="s", uri="s.tif", version="v", modality="optical", instrument="i", width_px=size[0], height_px=size[1],
        bands=(Band("pan"),), dtype="uint16", georeference="affine" if crs else "none", crs=crs, transform=transform,
    )  # fmt: skip


TRANSFORMS = {
    "north_up_utm": ("EPSG:32631", (0.5, 0.0, 593000.0, 0.0, -0.5, 5749000.0)),
    "south_up_utm": ("EPSG:32733", (0.5, 0.0, 300000.0, 0.0, 0.5, 6200000.0)),
    "rotated_utm": ("EPSG:32631", (-0.02857, -2.4998, 593124.1, 2.4998, -0.02857, 5749208.2)),
    "mercator": ("EPSG:3857", (10.0, 0.0, -848632.0, 0.0, -10.0, 3978375.0)),
    "geographic": ("EPSG:4326", (1e-5, 0.0, 13.0, 0.0, -1e-5, 52.0)),
    "polar": ("EPSG:3413", (5.0, 1.0, -200000.0, 1.0, -5.0, -300000.0)),
    "antimeridian_geographic": ("EPSG:4326", (1e-3, 0.0, 178.0, 0.0, -1e-3, -16.0)),
    "antimeridian_utm": ("EPSG:32660", (100.0, 0.0, 570585.0, 0.0, -100.0, 5847615.0)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@settings(max_examples=25, deadline=None)
@given(x=st.floats(-100, 4100), y=st.floats(-100, 3100))
def test_pixel_to_ground_to_pixel(name: str, x: float, y: float) -> None:
    record = make_record(*TRANSFORMS[name])
    back = lonlat_to_pixel(record, pixel_to_lonlat(record, [[x, y]]))
    assert np.abs(back - [x, y]).max() < 0.01


@pytest.mark.parametrize("name", TRANSFORMS)
def test_footprints_are_closed_counter_clockwise_and_in_range(name: str) -> None:
    record = make_record(*TRANSFORMS[name])
    for ring in (box_footprint(record, (10, 20, 300, 400)), scene_footprint(record)):
        lonlat = np.array(ring)
        assert ring[0] == ring[-1]
        assert np.abs(lonlat[:, 0]).max() <= 180
        lon, lat = np.rad2deg(np.unwrap(np.deg2rad(lonlat[:, 0]))), lonlat[:, 1]
        assert np.sum(lon[:-1] * lat[1:] - lon[1:] * lat[:-1]) > 0
    assert len(box_footprint(record, (10, 20, 300, 400))) == 5


def test_area_equals_pixels_times_gsd_even_across_the_antimeridian() -> None:
    for name in ("north_up_utm", "rotated_utm", "mercator", "antimeridian_geographic"):
        record = make_record(*TRANSFORMS[name], size=(1000, 800))
        step = gsd_m(record)
        assert step is not None
        assert area_km2(scene_footprint(record)) == pytest.approx(1000 * 800 * step**2 / 1e6, rel=5e-3)


def test_mercator_gsd_is_measured_on_the_ground() -> None:
    step = gsd_m(make_record(*TRANSFORMS["mercator"]))
    assert step == pytest.approx(10.0 * np.cos(np.deg2rad(33.5)), rel=0.01)


def test_split_antimeridian_keeps_area_and_leaves_others_alone() -> None:
    record = make_record(*TRANSFORMS["antimeridian_geographic"])
    ring = scene_footprint(record)
    parts = split_antimeridian(ring)
    assert len(parts) == 2
    assert sum(area_km2(part) for part in parts) == pytest.approx(area_km2(ring), rel=1e-3)
    for part in parts:
        lon = np.array(part)[:, 0]
        assert np.ptp(lon) < 5
        assert np.abs(lon).max() <= 180
    plain = scene_footprint(make_record(*TRANSFORMS["north_up_utm"]))
    assert split_antimeridian(plain) == (plain,)


def test_no_place_means_no_footprint_and_a_clear_error() -> None:
    for record in (make_record(None, None), make_record(MARS, (1e-3, 0.0, 0.0, 0.0, -1e-3, 0.0))):
        assert not has_lonlat(record)
        assert scene_footprint(record) == ()
        assert gsd_m(record) is None
        with pytest.raises(InputError, match="Cannot place pixels of s on Earth"):
            pixel_to_lonlat(record, [[0, 0]])


def test_affine_inverse_fit_and_degenerate_transform() -> None:
    transform = (2.0, 0.3, 1e6, -0.4, -2.1, 5e6)
    xy = np.array([[0, 0], [4000, 0], [0, 3000], [4000, 3000], [17, 2999]], dtype=float)
    assert np.abs(crs_to_pixel(transform, pixel_to_crs(transform, xy)) - xy).max() < 1e-6
    fitted, residual_px = fit_affine(xy, pixel_to_crs(transform, xy))
    assert residual_px < 1e-6
    assert np.allclose(fitted, transform, rtol=1e-9)
    with pytest.raises(InputError, match="line"):
        fit_affine([[0, 0], [1, 1], [2, 2]], [[0, 0], [1, 1], [2, 2]])
    with pytest.raises(InputError, match="determinant"):
        crs_to_pixel((1, 1, 0, 1, 1, 0), [[0, 0]])


def test_geohash_of_published_points() -> None:
    assert encode(-5.6, 42.6, 5) == "ezs42"
    assert encode(10.40744, 57.64911, 11) == "u4pruydqqvj"
    assert encode(190.0, 10.0) == encode(-170.0, 10.0)
    with pytest.raises(InputError):
        encode(10.0, 91.0)
