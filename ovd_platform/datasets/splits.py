"""Which scenes may teach and which must test: by geographic block, then acquisition, and the gate that refuses leaks.

Belongs here: assignment of scenes to sides, and its check. Does not belong here: finding places without georeference
(`appearance`), or splitting tiles (a tile follows its scene, always).
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from ovd_platform.datasets.union_find import UnionFind
from ovd_platform.errors import InputError, LeakageError
from ovd_platform.records.scene import SceneRecord

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

Side = Literal["train", "calibration", "test"]
SIDES: tuple[Side, ...] = ("train", "calibration", "test")
_KM_PER_DEGREE = 111.32


@dataclass(frozen=True, slots=True)
class Split:
    """Scene ids by side; every scene is on exactly one.

    Attributes:
        train: Scenes that training, prototypes, synthetic donors and pseudo-labels may use.
        calibration: Scenes for calibration and thresholds; neither trained on nor tested on.
        test: Scenes held out.
        unit_of: Geographic unit of each scene: scenes of one unit are never separated.
        seed: Seed of the assignment.
        notes: What a reader should know, for example that there were too few places for a test side.
    """

    train: tuple[str, ...]
    calibration: tuple[str, ...]
    test: tuple[str, ...]
    unit_of: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    notes: tuple[str, ...] = ()

    def side(self, scene_id: str) -> Side:
        """The side of a scene.

        Raises:
            InputError: If the split does not know it.
        """
        for name in SIDES:
            if scene_id in getattr(self, name):
                return name
        raise InputError(f"Cannot tell the side of {scene_id}: expected a scene of the split, got another. Split again.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready mapping; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        lists = {name: tuple(values[name]) for name in SIDES}
        return cls(**lists, unit_of=dict(values["unit_of"]), seed=values["seed"], notes=tuple(values.get("notes", ())))

    @property
    def version(self) -> str:
        """Content hash, 16 hex digits."""
        text = "|".join(f"{name}:{','.join(getattr(self, name))}" for name in SIDES)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def split_scenes(
    scenes: Sequence[SceneRecord],
    *,
    holdout_fraction: float,
    calibration_fraction: float,
    seed: int,
    groups: Mapping[str, str] | None = None,
    block_km: float = 5.0,
) -> Split:
    """Assign scenes to train, calibration and test so that no two sides share ground or an acquisition.

    Scenes become one unit if their footprints overlap, their centres lie in one grid block, they share an entry of `groups`,
    they are the same bytes, or they are neighbours of one acquisition (same instrument, same time, blocks that touch). Units
    are shuffled by the seed and dealt out per set of modalities, so that each modality is tested where it has enough places.

    Args:
        scenes: Scene records of any modality.
        holdout_fraction: Share of scenes for test, [0, 1).
        calibration_fraction: Share of scenes for calibration, [0, 1).
        seed: Seed; the same scenes and seed give the same split in any order.
        groups: A place name by scene id, for scenes without georeference (see `appearance.appearance_groups`).
        block_km: Edge of a grid block in kilometres.

    Returns:
        The split. With a single unit everything is train and `notes` says so; with two there is no calibration side.

    Raises:
        InputError: If the fractions do not leave a training side, the block is not positive, or ids repeat.
    """
    _check_arguments(scenes, holdout_fraction, calibration_fraction, block_km)
    records = {scene.scene_id: scene for scene in sorted(scenes, key=lambda scene: scene.scene_id)}
    units = geographic_units(list(records.values()), groups=groups, block_km=block_km)
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for unit, members in units.items():
        strata[tuple(sorted({records[member].modality for member in members}))].append(unit)
    sides: dict[Side, list[str]] = {"train": [], "calibration": [], "test": []}
    notes: list[str] = []
    for stratum, names in sorted(strata.items()):
        sizes = {name: len(units[name]) for name in names}
        dealt = _deal(sizes, holdout_fraction, calibration_fraction, seed)
        for name, side in dealt.items():
            sides[side] += units[name]
        notes += _shortage("+".join(stratum), dealt, holdout_fraction, calibration_fraction)
    unit_of = {member: unit for unit, members in units.items() for member in members}
    ordered = {side: tuple(sorted(members)) for side, members in sides.items()}
    return Split(ordered["train"], ordered["calibration"], ordered["test"], unit_of, seed, tuple(notes))


def geographic_units(
    scenes: Sequence[SceneRecord], *, groups: Mapping[str, str] | None = None, block_km: float = 5.0
) -> dict[str, list[str]]:
    """Scenes that must stay on one side, by the unit's smallest scene id; arguments as in `split_scenes`."""
    union = UnionFind(scene.scene_id for scene in scenes)
    keys: dict[tuple[str, ...], list[SceneRecord]] = defaultdict(list)
    for scene in scenes:
        keys["version", scene.version].append(scene)
        if groups and scene.scene_id in groups:
            keys["group", groups[scene.scene_id]].append(scene)
        if scene.footprint_lonlat:
            keys["block", *map(str, block_of(footprint_centre(scene.footprint_lonlat), block_km))].append(scene)
    for members in keys.values():
        for scene in members[1:]:
            union.join(members[0].scene_id, scene.scene_id)
    for one, other in _shared_ground(scenes):
        union.join(one, other)
    for one, other in _strip_neighbours(scenes, block_km):
        union.join(one, other)
    return union.groups()


def footprint_centre(ring_lonlat: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Centre of a ring in (lon, lat) degrees as the mean of unit vectors: right across the antimeridian and near the poles."""
    points = list(ring_lonlat[:-1] if len(ring_lonlat) > 1 and ring_lonlat[0] == ring_lonlat[-1] else ring_lonlat)
    lon_n, lat_n = np.radians(np.asarray(points, dtype=np.float64)).T
    x, y, z = (np.cos(lat_n) * np.cos(lon_n)).mean(), (np.cos(lat_n) * np.sin(lon_n)).mean(), np.sin(lat_n).mean()
    return float(np.degrees(np.arctan2(y, x))), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def block_of(lonlat: tuple[float, float], block_km: float) -> tuple[int, int]:
    """Row and column of the block of a point, on a grid whose rows are equally high and whose cells are about equally wide."""
    lon, lat = lonlat
    row = math.floor((lat + 90) * _KM_PER_DEGREE / block_km)
    middle = min(max((row + 0.5) * block_km / _KM_PER_DEGREE - 90, -90.0), 90.0)
    columns = max(1, round(360 * _KM_PER_DEGREE * math.cos(math.radians(middle)) / block_km))
    return row, math.floor((lon + 180) % 360 / 360 * columns) % columns


def check_leakage(split: Split, scenes: Sequence[SceneRecord], *, also_training: Collection[str] = ()) -> None:
    """Refuse a split whose sides share a scene, bytes, a unit or ground.

    Args:
        split: The split to check; it may have been made elsewhere.
        scenes: Records of its scenes.
        also_training: Further scene ids that training reads (synthetic donors, pseudo-labels, self-supervised shards).

    Raises:
        LeakageError: Naming the first pair that leaks and why.
        InputError: If the split names a scene that has no record.
    """
    side: dict[str, Side] = {}
    members: list[tuple[Side, str]] = [(name, scene_id) for name in SIDES for scene_id in getattr(split, name)]
    members += [("train", scene_id) for scene_id in also_training]
    for name, scene_id in members:
        if side.setdefault(scene_id, name) != name:
            raise _leak(scene_id, scene_id, side[scene_id], name, "the same scene is on both sides")
    records = {scene.scene_id: scene for scene in scenes}
    missing = sorted(set(side) - set(records))
    if missing:
        raise InputError(
            f"Cannot check the split: expected a record for each scene, got none for {missing[0]}. Pass all scenes."
        )
    used = [records[scene_id] for scene_id in sorted(side)]
    for what, key in (("version", lambda scene: scene.version), ("unit", lambda scene: split.unit_of.get(scene.scene_id, ""))):
        owners: dict[str, str] = {}
        for scene in used:
            first = owners.setdefault(key(scene), scene.scene_id) if key(scene) else scene.scene_id
            if side[first] != side[scene.scene_id]:
                reason = "the same bytes" if what == "version" else "one geographic unit"
                raise _leak(first, scene.scene_id, side[first], side[scene.scene_id], f"{reason} ({key(scene)})")
    for one, other in _shared_ground(used):
        if side[one] != side[other]:
            raise _leak(one, other, side[one], side[other], "their footprints overlap")


def _leak(one: str, other: str, side_one: str, side_other: str, reason: str) -> LeakageError:
    return LeakageError(
        f"Cannot accept the split: expected {side_one} and {side_other} to share nothing, got {one} ({side_one}) and {other} "
        f"({side_other}): {reason}. Split again with split_scenes."
    )


def _check_arguments(scenes: Sequence[SceneRecord], holdout: float, calibration: float, block_km: float) -> None:
    """Refuse what cannot give a split."""
    if not (0 <= holdout < 1 and 0 <= calibration < 1 and holdout + calibration < 1) or block_km <= 0:
        raise InputError(
            "Cannot split scenes: expected fractions in [0, 1) that leave a training side and a positive block, got holdout "
            f"{holdout}, calibration {calibration}, block {block_km} km. Lower the fractions."
        )
    ids = [scene.scene_id for scene in scenes]
    if len(set(ids)) != len(ids):
        repeated = next(name for name in ids if ids.count(name) > 1)
        raise InputError(f"Cannot split scenes: expected each scene id once, got {repeated} twice. Remove the duplicate.")


def _deal(sizes: Mapping[str, int], holdout: float, calibration: float, seed: int) -> dict[str, Side]:
    """Side of each unit: shuffled by seed, test first, then calibration; each gets a unit as soon as training keeps one."""
    order = sorted(sizes, key=lambda name: hashlib.sha256(f"{seed}|{name}".encode()).hexdigest())
    total = sum(sizes.values())
    side: dict[str, Side] = dict.fromkeys(sizes, "train")
    wanted: tuple[tuple[Side, float, int], ...] = (("test", holdout, 2), ("calibration", calibration, 3))
    for name, fraction, needed in wanted:
        if fraction <= 0 or len(sizes) < needed:
            continue
        target, taken = fraction * total, 0
        free = [unit for unit in order if side[unit] == "train"]
        for unit in free:
            remaining = sum(1 for one in side.values() if one == "train")
            if remaining > 1 and taken + sizes[unit] <= target + 0.5 * sizes[unit]:
                side[unit] = name
                taken += sizes[unit]
        if not taken:
            side[min(free, key=lambda unit: (sizes[unit], order.index(unit)))] = name
    return side


def _shortage(stratum: str, dealt: Mapping[str, Side], holdout: float, calibration: float) -> list[str]:
    """Notes on sides that were asked for and stay empty."""
    asked: tuple[tuple[Side, float], ...] = (("test", holdout), ("calibration", calibration))
    return [
        f"{stratum}: no {side} scenes, because there are only {len(dealt)} separate places"
        for side, fraction in asked
        if fraction > 0 and side not in dealt.values()
    ]


def _shared_ground(scenes: Sequence[SceneRecord]) -> list[tuple[str, str]]:
    """Pairs of scenes whose footprints overlap by area, also across the antimeridian."""
    from shapely import STRtree

    shapes: list[BaseGeometry] = []
    owners: list[str] = []
    for scene in scenes:
        for shape in _unwrapped(scene.footprint_lonlat):
            shapes.append(shape)
            owners.append(scene.scene_id)
    if len(shapes) < 2:
        return []
    left_n, right_n = STRtree(shapes).query(shapes, predicate="intersects")
    pairs = set()
    for left, right in zip(left_n.tolist(), right_n.tolist(), strict=True):
        if owners[left] < owners[right] and shapes[left].intersection(shapes[right]).area > 0:
            pairs.add((owners[left], owners[right]))
    return sorted(pairs)


def _unwrapped(ring_lonlat: Sequence[tuple[float, float]]) -> "list[BaseGeometry]":
    """Polygons of a ring with longitudes made continuous, with a copy 360 degrees away where they leave [-180, 180]."""
    if len(ring_lonlat) < 3:
        return []
    from shapely.affinity import translate
    from shapely.geometry import Polygon

    lon_n, lat_n = np.asarray(ring_lonlat, dtype=np.float64).T
    shape = Polygon(np.stack([np.degrees(np.unwrap(np.radians(lon_n))), lat_n], axis=-1)).buffer(0)
    if shape.is_empty:
        return []
    left, _, right, _ = shape.bounds
    copies: list[BaseGeometry] = [shape]
    if left < -180:
        copies.append(translate(shape, 360))
    if right > 180:
        copies.append(translate(shape, -360))
    return copies


def _strip_neighbours(scenes: Sequence[SceneRecord], block_km: float) -> list[tuple[str, str]]:
    """Pairs of one acquisition (instrument and second) that lie within two blocks of each other."""
    strips: dict[tuple[str, str], list[tuple[str, float, float]]] = defaultdict(list)
    for scene in scenes:
        if scene.view.acquired_utc and scene.footprint_lonlat:
            lon, lat = footprint_centre(scene.footprint_lonlat)
            strips[scene.instrument, scene.view.acquired_utc[:19]].append((scene.scene_id, lon, lat))
    pairs = []
    for members in strips.values():
        for (one, lon_a, lat_a), (other, lon_b, lat_b) in combinations(members, 2):
            east = ((lon_b - lon_a + 180) % 360 - 180) * math.cos(math.radians((lat_a + lat_b) / 2))
            if math.hypot(east, lat_b - lat_a) * _KM_PER_DEGREE <= 2 * block_km:
                pairs.append((one, other))
    return pairs
