"""The rendered scenes: same seed same pixels, truth where the pixels are, depth, held-out class."""

import numpy as np
import pytest

from ovd_platform.demo.plans import THEMES
from ovd_platform.demo.scene import SceneRecipe, lay_out, render, render_scene
from ovd_platform.demo.spectra import INSTRUMENTS, band_tables, irradiance
from ovd_platform.errors import InputError


@pytest.mark.parametrize("name", sorted(INSTRUMENTS))
def test_pixels_have_the_instruments_shape_and_depth(name):
    pixels, truth, meta = render_scene(3, name, 192)
    device = INSTRUMENTS[name]
    assert pixels.shape == (len(device.bands), 192, 192)
    assert meta["instrument"] == name
    assert meta["rendered"] is True
    assert [band["name"] for band in meta["bands"]] == [band[0] for band in device.bands]
    if device.bits == 12:
        assert pixels.dtype == np.uint16
        assert pixels.max() <= 4095
        assert pixels.max() > 600  # not a dark 12-bit scene squeezed into 8 bits
    elif device.bits == 8:
        assert pixels.dtype == np.uint8
    elif device.looks == 1:
        assert pixels.dtype == np.complex64
    else:
        assert pixels.dtype == np.uint16
    for item in truth:
        x0, y0, x1, y1 = item.box_scene_xyxy
        assert -0.01 <= x0 < x1 <= 192.01
        assert -0.01 <= y0 < y1 <= 192.01


def test_same_seed_same_pixels_other_seed_other_pixels():
    first, again, other = (render_scene(seed, "pan-1x12", 256) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.pixels_chw, again.pixels_chw)
    assert first.truth == again.truth
    assert not np.array_equal(first.pixels_chw, other.pixels_chw)


def test_truth_boxes_hold_what_changes_when_the_object_is_left_out():
    recipe = SceneRecipe(8, 8, "pan-1x12", 640, 0.8, "airfield", domes=3)
    site = lay_out(recipe)
    full = render(recipe, site=site)
    wanted = {"aircraft": 3, "dome building": 2, "helicopter": 1}
    seen = 0
    for index, placed in enumerate(site.placed):
        name = placed.model.class_name
        corners = placed.outline_m / 0.8
        if not wanted.get(name) or corners.min() < 60 or corners.max() > 580:
            continue
        wanted[name] -= 1
        seen += 1
        bare = render(recipe, without=index, site=site)
        change = np.abs(full.pixels_chw[0].astype(int) - bare.pixels_chw[0].astype(int)) > 60
        inside = _inside(corners, change.shape)
        assert change[inside].mean() > 0.2, name
        rows, cols = np.nonzero(change)
        x0, y0, x1, y1 = *corners.min(0), *corners.max(0)
        # every side of the box is reached by what changed, to about a pixel
        assert cols.min() <= x0 + 2.5
        assert rows.min() <= y0 + 2.5
        assert cols.max() + 1 >= x1 - 2.5
        assert rows.max() + 1 >= y1 - 2.5
        # what changed outside the box is darker without exception: the object's shadow
        outside = change & ~_inside(corners, change.shape, grow=2.5)
        assert (full.pixels_chw[0][outside] < bare.pixels_chw[0][outside]).all()
    assert seen >= 4


def _inside(corners, shape, grow=0.0):
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    inside = np.ones(shape, bool)
    middle = corners.mean(0)
    for start, end in zip(corners, np.roll(corners, -1, 0), strict=True):
        normal = np.array([-(end - start)[1], (end - start)[0]]) / np.linalg.norm(end - start)
        if normal @ (middle - start) < 0:
            normal = -normal
        inside &= (x - start[0]) * normal[0] + (y - start[1]) * normal[1] >= -grow
    return inside


def test_dome_buildings_only_where_asked_and_never_for_labels():
    without = render_scene(2, "pan-1x12", 720, theme="town")
    assert "dome building" not in {item.class_name for item in without.truth}
    with_domes = render_scene(2, "pan-1x12", 720, theme="country", domes=4)
    domes = [item for item in with_domes.truth if item.class_name == "dome building"]
    assert len(domes) >= 3
    assert not any(item.labelled for item in domes)
    assert all(item.labelled for item in with_domes.truth if item.class_name != "dome building")
    for item in domes:
        x0, y0, x1, y1 = item.box_scene_xyxy
        assert 12 <= max(x1 - x0, y1 - y0) <= 56  # axis-aligned box of a turned square of 14 to 38 px


def test_a_revisit_shares_what_stands_and_moves_what_moves():
    first = lay_out(SceneRecipe(4, 4, "pan-1x12", 900, 0.8, "port", domes=3))
    second = lay_out(SceneRecipe(4, 99, "pan-1x12", 900, 0.8, "port", domes=3))

    def where(site, names):
        return sorted(item.centre_m for item in site.placed if item.model.class_name in names)

    standing = {"building", "storage tank", "crane", "dome building", "bridge"}
    assert where(first, standing) == where(second, standing)
    assert where(first, {"ship"}) != where(second, {"ship"})
    assert first.light != second.light


def test_objects_of_a_class_do_not_overlap():
    site = lay_out(SceneRecipe(6, 6, "pan-1x12", 900, 0.8, "airfield"))
    planes = [
        item
        for item in site.placed
        if item.model.class_name == "aircraft" and item.context.startswith(("on an apron", "parked"))
    ]
    assert len(planes) >= 8
    for index, one in enumerate(planes):
        for other in planes[index + 1 :]:
            distance = np.hypot(*np.subtract(one.centre_m, other.centre_m))
            assert distance > 5


def test_every_theme_has_its_objects():
    has = {
        theme: {item.model.class_name for item in lay_out(SceneRecipe(1, 1, "pan-1x12", 800, 1.0, theme)).placed}
        for theme in THEMES
    }
    assert {"ship", "small boat", "crane", "storage tank"} <= has["port"]
    assert {"aircraft", "helicopter", "building", "vehicle"} <= has["airfield"]
    assert {"ship", "small boat"} <= has["coast"]
    assert {"building", "vehicle", "bridge"} <= has["town"]
    assert {"wind turbine", "bridge"} <= has["country"]
    assert {"storage tank", "building"} <= has["industry"]


def test_radar_sees_ships_bright_and_the_sea_dark():
    site = lay_out(SceneRecipe(5, 5, "sar-grd-2", 512, None, "port"))
    scene = render(SceneRecipe(5, 5, "sar-grd-2", 512, None, "port"), site=site)
    amplitude = scene.pixels_chw[0].astype(float)
    step = site.size_m / 512
    y, x = np.mgrid[0:512, 0:512]
    points = np.stack([x.ravel() + 0.5, y.ravel() + 0.5], 1) * step
    wet = site.ground.is_water(points).reshape(512, 512)
    land = ~wet
    ships = [item for item in scene.truth if item.class_name == "ship"]
    assert ships
    peaks = []
    for item in ships:
        x0, y0, x1, y1 = (int(value) for value in item.box_scene_xyxy)
        peaks.append(amplitude[y0 : y1 + 1, x0 : x1 + 1].max())
        wet[max(y0 - 40, 0) : y1 + 40, max(x0 - 40, 0) : x1 + 40] = False
    assert np.median(peaks) > 10 * np.median(amplitude[wet])
    assert np.median(amplitude[wet]) < 0.6 * np.median(amplitude[land])


def test_averaged_looks_have_the_stated_number_of_looks():
    from ovd_platform.demo.sar import _look, _response

    flat = np.full((1, 256, 256), 0.1, np.float32)
    rng = np.random.default_rng(0)
    looks = [np.abs(_look(flat, np.zeros((0, 3)), _response((256, 256)), rng)) ** 2 for _ in range(4)]
    intensity = np.mean(looks, axis=0)[0]
    assert 3.3 < intensity.mean() ** 2 / intensity.var() < 4.7
    assert intensity.mean() == pytest.approx(0.1, rel=0.1)


def test_spectra_behave_as_in_nature():
    device = INSTRUMENTS["ms-4x12"]
    own, _ = band_tables(device, None)
    from ovd_platform.demo.spectra import CODE

    nir, red, blue = own[3], own[2], own[0]
    assert nir[CODE["grass"]] > 4 * red[CODE["grass"]]
    assert nir[CODE["water"]] < blue[CODE["water"]]
    assert red[CODE["roofred"]] > 2 * blue[CODE["roofred"]]
    direct_high, diffuse, path = irradiance(device, 60)
    direct_low, _, _ = irradiance(device, 20)
    assert (direct_high > direct_low).all()
    assert path[0] > path[3]  # haze is blue
    assert diffuse[0] / direct_high[0] > diffuse[3] / direct_high[3]  # and so are shadows


def test_unknown_instrument_is_an_input_error():
    with pytest.raises(InputError, match="expected one of"):
        render_scene(0, "pan-2x16", 64)
