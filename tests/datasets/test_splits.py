"""Splits keep places together; the gate names what leaks."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.datasets.appearance import appearance_groups
from ovd_platform.datasets.splits import Split, block_of, check_leakage, footprint_centre, split_scenes
from ovd_platform.errors import InputError, LeakageError
from ovd_platform.records.scene import Band, SceneRecord, View


def scene(name: str, lon: float | None = None, lat: float = 50.0, size: float = 0.02, **more: object) -> SceneRecord:
    ring = () if lon is None else ((lon, lat), (lon + size, lat), (lon + size, lat + size), (lon, lat + size), (lon, lat))
    fields = {"modality": "optical", "version": f"v-{name}", "footprint_lonlat": ring, **more}
    return SceneRecord(
        name,
        f"/data/{name}.tif",
        instrument="pan-1x12",
        width_px=100,
        height_px=100,
        bands=(Band("pan"),),
        dtype="uint16",
        **fields,
    )


def places(count: int) -> list[SceneRecord]:
    return [scene(f"s{index:02d}", lon=float(index)) for index in range(count)]


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 30), st.integers(0, 1000), st.floats(0.1, 0.4), st.floats(0.1, 0.3))
def test_every_scene_once_and_no_leak(count: int, seed: int, holdout: float, calibration: float) -> None:
    scenes = places(count)
    split = split_scenes(scenes, holdout_fraction=holdout, calibration_fraction=calibration, seed=seed)
    assert sorted(split.train + split.calibration + split.test) == [one.scene_id for one in scenes]
    assert split.train
    assert split.calibration
    assert split.test
    assert abs(len(split.test) - holdout * count) <= 1
    check_leakage(split, scenes)
    assert split == split_scenes(scenes[::-1], holdout_fraction=holdout, calibration_fraction=calibration, seed=seed)
    assert Split.from_dict(split.to_dict()) == split


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 200))
def test_overlaps_blocks_groups_strips_and_copies_stay_together(seed: int) -> None:
    base = places(12)
    extra = [
        scene("over", lon=0.019),  # overlaps s00 by a sliver
        scene("revisit", lon=1.0, modality="sar"),  # same ground, other modality
        scene("copy", version="v-s02"),  # same bytes, no georeference
        scene("a1"),
        scene("a2"),
        scene("strip1", lon=40.0, view=View(acquired_utc="2024-05-01T10:00:00+00:00")),
        scene("strip2", lon=40.1, view=View(acquired_utc="2024-05-01T10:00:00+00:00")),
    ]
    scenes = base + extra
    split = split_scenes(
        scenes, holdout_fraction=0.3, calibration_fraction=0.2, seed=seed, groups={"a1": "airport", "a2": "airport"}
    )
    for one, other in (("s00", "over"), ("s01", "revisit"), ("s02", "copy"), ("a1", "a2"), ("strip1", "strip2")):
        assert split.side(one) == split.side(other)
    check_leakage(split, scenes)


def test_overlap_across_the_antimeridian_is_seen() -> None:
    east = scene("east", lon=179.99, size=0.02)
    west = dataclasses.replace(
        scene("west"), footprint_lonlat=((-179.995, 50.0), (-179.9, 50.0), (-179.9, 50.02), (-179.995, 50.02))
    )
    split = Split(("east",), (), ("west",))
    with pytest.raises(LeakageError, match=r"east.*west.*overlap"):
        check_leakage(split, [east, west])
    assert abs(abs(footprint_centre(east.footprint_lonlat)[0]) - 180) < 0.01


@pytest.mark.parametrize("how", ["scene", "bytes", "unit", "ground", "synthetic donor"])
def test_gate_names_the_pair(how: str) -> None:
    one, other = scene("one", lon=5.0), scene("two", lon=9.0)
    split = Split(("one",), (), ("two",), {"one": "one", "two": "two"})
    check_leakage(split, [one, other])
    if how == "scene":
        split = dataclasses.replace(split, train=("one", "two"))
    elif how == "bytes":
        other = dataclasses.replace(other, version=one.version)
    elif how == "unit":
        split = dataclasses.replace(split, unit_of={"one": "x", "two": "x"})
    elif how == "ground":
        other = dataclasses.replace(other, footprint_lonlat=one.footprint_lonlat)
    donors = ("two",) if how == "synthetic donor" else ()
    with pytest.raises(LeakageError, match="two"):
        check_leakage(split, [one, other], also_training=donors)


def test_too_few_places_are_told_not_leaked() -> None:
    scenes = [scene("one", lon=5.0), scene("two", lon=5.001)]
    split = split_scenes(scenes, holdout_fraction=0.3, calibration_fraction=0.2, seed=0)
    assert split.train == ("one", "two")
    assert len(split.notes) == 2
    with pytest.raises(InputError):
        split_scenes(scenes, holdout_fraction=0.7, calibration_fraction=0.4, seed=0)


def test_blocks_are_about_equally_wide() -> None:
    for lat in (0.0, 45.0, 80.0):
        columns = {block_of((lon, lat), 5.0)[1] for lon in np.linspace(0, 1, 2000)}
        assert abs(len(columns) - 111.32 * np.cos(np.radians(lat)) / 5) <= 2
    assert block_of((180.0, 0.0), 5.0) == block_of((-180.0, 0.0), 5.0)


def texture(seed: int, size: int = 320) -> np.ndarray:
    from scipy import ndimage

    generator = np.random.default_rng(seed)
    rough = ndimage.zoom(generator.random((size // 8, size // 8)), 8, order=1) + ndimage.gaussian_filter(
        generator.random((size, size)), 1.5
    )
    return ((rough - rough.min()) / np.ptp(rough) * 255).astype(np.uint8)


def test_appearance_groups_revisits_and_shifts() -> None:
    one, other = texture(1), texture(2)
    noise = np.random.default_rng(5).normal(0, 6, one.shape)
    revisit = np.clip(0.7 * one + 40 + noise, 0, 255).astype(np.uint8)
    shifted = np.roll(one, (40, -60), axis=(0, 1))
    pictures = {"a": one, "b": revisit, "c": shifted, "d": other}
    groups = appearance_groups({name: np.stack([picture] * 3, axis=-1) for name, picture in pictures.items()})
    assert groups == {"a": "a", "b": "a", "c": "a", "d": "d"}
