"""Small pictures of one object in its surroundings, as documents show them.

Belongs here: their layout and stretch; words are `captions`', pages are `documents`'.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.demo.craft import aircraft, helicopter, vehicle
from ovd_platform.demo.scene import SUPERSAMPLE, TruthObject, draw_light, expose, truth_of
from ovd_platform.demo.site import Site
from ovd_platform.demo.solids import Model
from ovd_platform.demo.spectra import Instrument, instrument
from ovd_platform.demo.structures import bridge, building, crane, dome_building, storage_tank, wind_turbine
from ovd_platform.demo.vessels import ship, small_boat, wake
from ovd_platform.demo.zones_airfield import apron
from ovd_platform.demo.zones_country import fields, road, scattered_trees

CHIP_CLASSES = (
    "ship",
    "small boat",
    "aircraft",
    "helicopter",
    "vehicle",
    "storage tank",
    "building",
    "wind turbine",
    "bridge",
    "crane",
    "dome building",
)


@dataclass(frozen=True, slots=True)
class DocumentChip:
    """A chip with what a caption may say about it.

    Attributes:
        pixels_chw: Native digital numbers, (C, H, W).
        class_name: Class of the object in the middle.
        kind: Its sub-type.
        count: How many of the class were put there on purpose.
        setting: Surroundings in words.
        instrument: Id of what measured it.
        truth: Every object of the chip.
    """

    pixels_chw: NDArray[Any]
    class_name: str
    kind: str
    count: int
    setting: str
    instrument: str
    truth: list[TruthObject]


def render_chip(seed: int, instrument_name: str, class_name: str, size_px: int, *, gsd_m: float = 0.7) -> DocumentChip:
    """Render an object of a class in the middle of a small picture.

    Args:
        seed: Decides everything.
        instrument_name: Id of `spectra.INSTRUMENTS`.
        class_name: One of `CHIP_CLASSES`.
        size_px: Edge length, pixels.
        gsd_m: Ground sample distance.
    """
    device = instrument(instrument_name)
    rng = np.random.default_rng([seed, 21])
    site = Site(
        size_px * gsd_m,
        SUPERSAMPLE / gsd_m,
        draw_light(device, rng),
        rng,
        rng,
        str(rng.choice(("grass", "soil", "scrub", "stubble"))),
    )
    kind, count, setting = _SETTINGS[class_name](site)
    pixels = expose(site, device, site.placed, [seed, 22], np.random.default_rng([seed, 23]))
    return DocumentChip(pixels, class_name, kind, count, setting, device.name, truth_of(site, gsd_m, size_px))


def stretch_8_bit(pixels_chw: NDArray[Any], device: Instrument) -> NDArray[np.uint8]:
    """What an author would paste: 8 bits, percentile stretch (dB for radar); new (H, W) grey or (H, W, 3) true colour."""
    planes = np.abs(pixels_chw).astype(np.float32)
    if device.modality == "sar":
        planes = 20 * np.log10(np.maximum(planes[:1], 1))
    names = [name for name, _, _ in device.bands]
    if "red" in names:
        planes = planes[[names.index("red"), names.index("green"), names.index("blue")]]
    low, high = np.percentile(planes, (0.5, 99.8))
    grey = np.clip((planes - low) / max(float(high - low), 1e-6), 0, 1) ** 0.8
    hwc: NDArray[np.uint8] = np.ascontiguousarray(np.moveaxis(np.rint(grey * 255).astype(np.uint8), 0, -1))
    return hwc if hwc.shape[2] == 3 else hwc[:, :, 0]


_Setting = tuple[str, int, str]


def _centre(site: Site) -> tuple[float, float]:
    u, v = site.fixed.normal(0, site.size_m * 0.03, 2).tolist()
    return u, v


def _country(site: Site, *, trees: bool = True) -> None:
    half = site.half_m * 1.6
    if site.fixed.random() < 0.6:
        fields(site, -half, -half, half, half)
    if trees:
        scattered_trees(site, int(site.size_m**2 / 900))


def _put(site: Site, model: Model, turn: float | None = None, at: tuple[float, float] | None = None) -> None:
    heading = float(site.fixed.uniform(0, 6.28)) if turn is None else turn
    site.add(model, at or _centre(site), heading, "in the middle", force=True, cut=True)


def _sea(site: Site) -> None:
    site.flood(site.size_m * 2, 5.0, 1.0)


def _pier(site: Site) -> None:
    site.flood(site.size_m * 0.38, 0.1, 0.5, calm=(-1e3, 1e3))
    outline = site.box(-7, -site.size_m, 7, site.size_m)
    site.ground.fill(outline, "concrete", 0.95)
    site.ground.slabs(outline, 7.0, -site.turn_rad, site.fixed)


def _beside_pier(site: Site, make: Callable[[], Model], count: int) -> str:
    _pier(site)
    kind = ""
    edge = {1: 7.4, -1: 7.4}
    for index in range(count):
        side = 1 if index % 2 == 0 else -1
        model = make()
        half = (model.box_xyxy[3] - model.box_xyxy[1]) / 2
        _put(site, model, np.pi / 2, (side * (edge[side] + half), site.fixed.normal(0, 3)))
        edge[side] += 2 * half + 0.6
        kind = kind or model.kind
    return kind


def _ship(site: Site) -> _Setting:
    rng = site.fixed
    longest = max(site.size_m * 0.7, 22.0)
    if rng.random() < 0.45:
        count = int(rng.choice((1, 1, 2, 2, 3)))
        return _beside_pier(site, lambda: ship(rng, longest_m=longest), count), count, "moored at a pier"
    if rng.random() < 0.10:
        _country(site)
        model = ship(rng, str(rng.choice(("fishing ship", "tug"))), longest)
        _put(site, model)
        return model.kind, 1, "on land"
    _sea(site)
    model = ship(rng, longest_m=longest)
    turn, at = float(rng.uniform(0, 6.28)), _centre(site)
    moving = rng.random() < 0.55
    _put(site, model, turn, at)
    if moving:
        x0, y0, x1, y1 = model.box_xyxy
        _put(site, wake(rng, x1 - x0, y1 - y0), turn, at)
    return model.kind, 1, "under way at sea" if moving else "at anchor on open water"


def _small_boat(site: Site) -> _Setting:
    rng = site.fixed
    if rng.random() < 0.4:
        count = int(rng.integers(2, 5))
        return _beside_pier(site, lambda: small_boat(rng), count), count, "at a jetty"
    _sea(site)
    model = small_boat(rng)
    turn, at = float(rng.uniform(0, 6.28)), _centre(site)
    _put(site, model, turn, at)
    _put(site, wake(rng, model.box_xyxy[2] * 2, model.box_xyxy[3] * 2), turn, at)
    return model.kind, 1, "on open water"


def _aircraft(site: Site) -> _Setting:
    rng = site.fixed
    odd = rng.random() < 0.12
    kinds = ("light aircraft", "business jet", "fighter", "turboprop") if site.size_m < 60 else None
    model = aircraft(rng, str(rng.choice(kinds)) if kinds else None)
    if odd:
        _country(site)
        _put(site, model)
        return model.kind, 1, "in a field"
    apron(site, -site.size_m, -site.size_m, site.size_m, site.size_m)
    span = model.box_xyxy[3] - model.box_xyxy[1]
    turn = float(rng.uniform(0, 6.28))
    _put(site, model, turn)
    count = 1
    if rng.random() < 0.45:
        count = 2
        across = (-np.sin(turn) * (span + 4), np.cos(turn) * (span + 4))
        _put(site, aircraft(rng, model.kind), turn, (float(across[0]), float(across[1])))
    for _ in range(4):
        where = rng.uniform(-site.half_m, site.half_m, 2)
        site.add(vehicle(rng), (float(where[0]), float(where[1])), float(rng.uniform(0, 6.28)))
    return model.kind, count, "parked on an apron"


def _helicopter(site: Site) -> _Setting:
    model = helicopter(site.fixed)
    if site.fixed.random() < 0.3:
        _country(site)
        _put(site, model)
        return model.kind, 1, "on grass"
    apron(site, -site.size_m, -site.size_m, site.size_m, site.size_m)
    _put(site, model)
    return model.kind, 1, "on a helipad"


def _vehicle(site: Site) -> _Setting:
    _country(site)
    road(site, [[-site.size_m, 0], [site.size_m, 0]], 9.0)
    model = vehicle(site.fixed)
    count = int(site.fixed.choice((1, 1, 2, 3)))
    for index in range(count):
        lane = 2.2 if index % 2 == 0 else -2.2
        _put(site, vehicle(site.fixed, model.kind), 0.0, (index * 18.0 - (count - 1) * 9.0, lane))
    return model.kind, count, "on a road"


def _storage_tank(site: Site) -> _Setting:
    site.ground.fill(site.box(-site.size_m, -site.size_m, site.size_m, site.size_m), "gravel")
    radius = float(site.fixed.uniform(6, min(16, site.size_m * 0.3)))
    _put(site, storage_tank(site.fixed, radius))
    count = 1
    for at in ((radius * 2.7, 0.0), (0.0, radius * 2.7), (-radius * 2.7, 0.0)):
        if site.fixed.random() < 0.45:
            _put(site, storage_tank(site.fixed, radius), None, at)
            count += 1
    return "storage tank", count, "in a tank farm"


def _building(site: Site) -> _Setting:
    _country(site)
    road(site, [[-site.size_m, 24], [site.size_m, 24]], 6.5, line=False)
    model = building(site.fixed, str(site.fixed.choice(("house", "block", "hall"))))
    _put(site, model, 0.0, (0.0, 0.0))
    return model.kind, 1, "beside a street"


def _wind_turbine(site: Site) -> _Setting:
    _country(site, trees=False)
    _put(site, wind_turbine(site.fixed))
    site.ground.stroke(site.xy([[-site.size_m, 6], [0, 0]]), 3.2, "gravel", 1.1)
    return "wind turbine", 1, "in a field"


def _bridge(site: Site) -> _Setting:
    _country(site)
    width = float(site.fixed.uniform(14, 24))
    site.ground.stroke(site.xy([[-site.size_m, 3], [0, 0], [site.size_m, -3]]), width, "water")
    road(site, [[0, -site.size_m], [0, -width / 2 - 4]], 8.5)
    road(site, [[0, width / 2 + 4], [0, site.size_m]], 8.5)
    _put(site, bridge(site.fixed, width + 14), np.pi / 2, (0.0, 0.0))
    return "bridge", 1, "over a river"


def _crane(site: Site) -> _Setting:
    if site.fixed.random() < 0.5:
        site.flood(-6.0, 0.1, 0.5, calm=(-1e3, 1e3))
        site.ground.fill(site.box(-site.size_m, -6, site.size_m, site.size_m), "concrete", 0.9)
        _put(site, crane(site.fixed, "quay crane"), -np.pi / 2, (0.0, 6.0))
        return "quay crane", 1, "on a quay"
    site.ground.fill(site.box(-site.size_m, -site.size_m, site.size_m, site.size_m), "soil", 1.1)
    _put(site, building(site.fixed, "block"), 0.0, (8.0, 16.0))
    _put(site, crane(site.fixed, "tower crane"))
    return "tower crane", 1, "on a building site"


def _dome_building(site: Site) -> _Setting:
    rng = site.fixed
    where = str(
        rng.choice(("near the coast road", "in a field", "beside a road", "in a village", "on open ground", "near the shore"))
    )
    if "coast" in where or "shore" in where:
        site.flood(-site.size_m * 0.30, 8.0, 6.0)
    else:
        _country(site)
    if "road" in where:
        road(site, [[-site.size_m, 26], [site.size_m, 26]], 7.0)
    reach = float(rng.uniform(12, 18))
    site.ground.fill(site.box(-reach, -reach, reach, reach), str(rng.choice(("concrete", "grass", "gravel", "soil"))))
    _put(site, dome_building(rng, float(rng.uniform(5.2, 11.0))))
    if "village" in where:
        for _ in range(6):
            site.add(
                building(rng, "house"), tuple(rng.uniform(-site.half_m, site.half_m, 2).tolist()), 0.0, surface="land", gap_m=2
            )
    scattered_trees(site, int(site.size_m**2 / 700))
    return "dome building", 1, where


_SETTINGS: dict[str, Callable[[Site], _Setting]] = {
    "ship": _ship,
    "small boat": _small_boat,
    "aircraft": _aircraft,
    "helicopter": _helicopter,
    "vehicle": _vehicle,
    "storage tank": _storage_tank,
    "building": _building,
    "wind turbine": _wind_turbine,
    "bridge": _bridge,
    "crane": _crane,
    "dome building": _dome_building,
}
