"""Streets, blocks, car parks, tank farms, domes. Belongs here: built-up land without ships or aircraft."""

from itertools import pairwise

import numpy as np

from ovd_platform.demo.craft import vehicle
from ovd_platform.demo.site import Site
from ovd_platform.demo.structures import building, crane, dome_building, storage_tank
from ovd_platform.demo.zones_country import road


def town(site: Site, u0: float, v0: float, u1: float, v1: float, density: float = 0.8) -> None:
    """A grid of streets with houses and blocks between, gardens, trees, and traffic."""
    rng = site.fixed
    pitch_u, pitch_v = rng.uniform(70, 105), rng.uniform(46, 62)
    us, vs = np.arange(u0, u1 + 1, pitch_u), np.arange(v0, v1 + 1, pitch_v)
    if len(us) < 2 or len(vs) < 2:
        return
    dense = rng.random() < 0.5
    for u in us:
        road(site, [[u, vs[0]], [u, vs[-1]]], 6.5, line=False)
    for v in vs:
        road(site, [[us[0], v], [us[-1], v]], 6.5, line=False)
    for left, right in pairwise(us):
        for low, high in pairwise(vs):
            ground = (
                str(rng.choice(("grass", "grass", "concrete", "soil")))
                if dense
                else str(rng.choice(("grass", "grass", "soil")))
            )
            site.ground.fill(site.box(left + 5, low + 5, right - 5, high - 5), ground, float(rng.uniform(0.8, 1.1)))
            if rng.random() < density:
                _block(site, left + 6, low + 6, right - 6, high - 6, "block" if dense and rng.random() < 0.6 else "house")
            elif rng.random() < 0.25:
                car_park(site, left + 8, low + 8, right - 8, high - 8)
            _gardens(site, left + 5, low + 5, right - 5, high - 5)
    site.later(lambda: _traffic(site, us, vs))


def _block(site: Site, u0: float, v0: float, u1: float, v1: float, kind: str) -> None:
    rng = site.fixed
    rows = ((v0 + 7.5, 0.0), (v1 - 7.5, np.pi))
    for v, turn in rows:
        u = u0 + rng.uniform(2, 8)
        while u < u1 - 7:
            model = building(rng, kind)
            x0, _, x1, _ = model.box_xyxy
            site.add(
                model,
                (u + (x1 - x0) / 2, v + rng.normal(0, 1)),
                turn + rng.normal(0, 0.02),
                "in a town",
                surface="land",
                gap_m=0.8,
            )
            u += (x1 - x0) + rng.uniform(3, 9)


def _gardens(site: Site, u0: float, v0: float, u1: float, v1: float) -> None:
    count = int(site.fixed.integers(6, 26))
    points = site.fixed.uniform((u0, v0), (u1, v1), (count, 2))
    site.plant(site.xy(points), (1.2, 3.4))


def _traffic(site: Site, us: np.ndarray, vs: np.ndarray) -> None:  # type: ignore[type-arg]
    rng = site.mobile
    for _ in range(int(len(us) * len(vs) * 0.7)):
        if rng.random() < 0.5:
            where, turn = (rng.choice(us) + rng.choice((-1.7, 1.7)), rng.uniform(vs[0], vs[-1])), np.pi / 2
        else:
            where, turn = (rng.uniform(us[0], us[-1]), rng.choice(vs) + rng.choice((-1.7, 1.7))), 0.0
        on_street(site, where, turn + np.pi * int(rng.integers(2)))


def on_street(site: Site, uv: tuple[float, float], turn_rad: float, kind: str | None = None) -> None:
    """Put a vehicle on a road; roads are reserved ground, so only other vehicles can be in its way."""
    model = vehicle(site.mobile, kind)
    x, y = site.xy([list(uv)])[0].tolist()
    if any(
        abs(other.centre_m[0] - x) + abs(other.centre_m[1] - y) < 14
        for other in site.placed
        if other.model.class_name == "vehicle"
    ):
        return
    site.add(model, uv, turn_rad, "on a road", surface="land", gap_m=0.2, force=True)


def road_traffic(site: Site, centre_uv: np.ndarray, count: int, lane_m: float = 2.2) -> None:  # type: ignore[type-arg]
    """Vehicles along a road's centre line, (N, 2), plan frame."""
    site.later(lambda: _road_traffic(site, centre_uv, count, lane_m))


def _road_traffic(site: Site, centre_uv: np.ndarray, count: int, lane_m: float) -> None:  # type: ignore[type-arg]
    rng = site.mobile
    for _ in range(count):
        at = int(rng.integers(1, max(len(centre_uv) - 1, 2)))
        along = centre_uv[at] - centre_uv[at - 1]
        turn = float(np.arctan2(along[1], along[0]))
        side = rng.choice((-1, 1))
        where = centre_uv[at] + np.array([-np.sin(turn), np.cos(turn)]) * lane_m * side
        on_street(site, (float(where[0]), float(where[1])), turn + (np.pi if side < 0 else 0))


def car_park(site: Site, u0: float, v0: float, u1: float, v1: float, fill: float = 0.3) -> None:
    """Rows of bays, partly taken."""
    site.ground.fill(site.box(u0, v0, u1, v1), "asphalt", float(site.fixed.uniform(0.9, 1.25)))
    site.reserve(site.box(u0, v0, u1, v1), force=True)
    bays = []
    for v in np.arange(v0 + 4, v1 - 3, 17.0):
        for u in np.arange(u0 + 2, u1 - 2, 2.7):
            site.ground.stroke(site.xy([[u - 1.35, v - 2.4], [u - 1.35, v + 2.4]]), 0.22, "marking", 0.8)
            bays.append((float(u), float(v)))
    site.later(lambda: _park_cars(site, bays, fill))


def _park_cars(site: Site, bays: list[tuple[float, float]], fill: float) -> None:
    rng = site.mobile
    share = rng.uniform(fill * 0.4, min(fill * 1.3, 0.95))
    for bay in bays:
        if rng.random() < share:
            turn = np.pi / 2 * rng.choice((-1, 1)) + rng.normal(0, 0.03)
            site.add(vehicle(rng, "car"), bay, turn, "in a car park", surface="land", force=True)


def tank_farm(site: Site, u0: float, v0: float, u1: float, v1: float) -> None:
    """Tanks in bunds."""
    rng = site.fixed
    site.ground.fill(site.box(u0, v0, u1, v1), "gravel", 0.95)
    radius = rng.uniform(6, min(15.0, (v1 - v0) / 2.6))
    pitch = radius * rng.uniform(2.5, 3.1)
    for u in np.arange(u0 + pitch / 2, u1 - radius, pitch):
        for v in np.arange(v0 + pitch / 2, v1 - radius, pitch):
            if rng.random() < 0.12:
                continue
            site.ground.fill(site.box(u - pitch * 0.46, v - pitch * 0.46, u + pitch * 0.46, v + pitch * 0.46), "soil", 1.1)
            site.ground.fill(site.box(u - pitch * 0.43, v - pitch * 0.43, u + pitch * 0.43, v + pitch * 0.43), "gravel", 1.05)
            site.add(storage_tank(rng, radius * rng.uniform(0.85, 1.1)), (u, v), 0.0, "in a tank farm", surface="land", gap_m=1)
    site.ground.stroke(site.xy([[u0, v0 + 1], [u1, v0 + 1]]), 1.6, "lightgrey", 0.8)


def industry(site: Site, u0: float, v0: float, u1: float, v1: float) -> None:
    """Halls, yards, lorries, perhaps a tower crane on a building site."""
    rng = site.fixed
    site.ground.fill(site.box(u0, v0, u1, v1), "concrete", 0.85)
    site.ground.slabs(site.box(u0, v0, u1, v1), 9.0, -site.turn_rad, rng)
    for u in np.arange(u0 + 36, u1 - 30, 76):
        for v in np.arange(v0 + 22, v1 - 15, 44):
            if rng.random() < 0.08:
                site.ground.fill(site.box(u - 28, v - 16, u + 28, v + 16), "soil", 1.1)
                site.add(
                    crane(rng, "tower crane"), (u - 8, v), float(rng.uniform(0, 6.28)), "on a building site", surface="land"
                )
            else:
                site.add(
                    building(rng, "hall"), (u, v), float(rng.normal(0, 0.01)), "in an industrial area", surface="land", gap_m=3
                )
    site.later(lambda: _lorries(site, u0, v0, u1, v1))


def _lorries(site: Site, u0: float, v0: float, u1: float, v1: float) -> None:
    for _ in range(9):
        kind = str(site.mobile.choice(("lorry", "van", "lorry", "car")))
        where = (site.mobile.uniform(u0 + 6, u1 - 6), site.mobile.uniform(v0 + 6, v1 - 6))
        site.add(
            vehicle(site.mobile, kind),
            where,
            float(site.mobile.choice((0, np.pi / 2))),
            "in an industrial area",
            surface="land",
        )


def domes(site: Site, count: int) -> int:
    """Dome buildings on free land with a little yard around them.

    Returns:
        How many found room.
    """
    rng = site.fixed
    found = 0
    placed = site.scattered(count, lambda: dome_building(rng), turn_rad=1.57, surface="open", gap_m=4, tries=200)
    for model, uv in placed:
        found += 1
        reach = model.box_xyxy[2] + rng.uniform(2, 5)
        site.ground.fill(
            site.box(uv[0] - reach, uv[1] - reach, uv[0] + reach, uv[1] + reach),
            str(rng.choice(("concrete", "grass", "gravel"))),
        )
        site.ground.stroke(site.xy([[uv[0], uv[1]], [uv[0] + reach + rng.uniform(8, 20), uv[1]]]), 2.5, "gravel")
    return found
