"""Plans of whole places: which zones a theme has and where. Belongs here: composition only; zones do the building."""

from collections.abc import Callable

import numpy as np

from ovd_platform.demo.craft import aircraft, helicopter, vehicle
from ovd_platform.demo.inventions import scatter
from ovd_platform.demo.site import Site
from ovd_platform.demo.vessels import ship, small_boat
from ovd_platform.demo.zones_airfield import apron, gates, hangars, heliport, runway, stands, taxiway
from ovd_platform.demo.zones_country import farm, fields, mottle, river, road, scattered_trees, wind_farm
from ovd_platform.demo.zones_harbour import afloat, marina, port
from ovd_platform.demo.zones_town import car_park, domes, industry, road_traffic, tank_farm, town

_JETS = ("airliner", "airliner", "airliner", "wide-body airliner", "regional jet", "four-engine airliner")
_SMALL = ("light aircraft", "light aircraft", "business jet", "business jet", "turboprop")
_MILITARY = ("fighter", "fighter", "transport aircraft")
_REMOTE = ("airliner", "regional jet", "turboprop", "airliner", "wide-body airliner")
THEMES = ("port", "airfield", "coast", "town", "country", "industry")
BASES = ("grass", "soil", "scrub", "stubble")


def _port(site: Site) -> None:
    half, rng = site.half_m, site.fixed
    coast = -half * rng.uniform(0.05, 0.3)
    split = half * rng.uniform(0.05, 0.4)
    site.flood(coast, 7.0, 25.0, calm=(-half, split + 130))
    fields(site, -half * 1.5, coast + 200, half * 1.5, half * 1.5)
    port(site, -half * 0.95, split - 14, coast)
    marina(site, split, split + 120, coast)
    road_traffic(site, road(site, [[-half * 1.5, coast + 92], [0, coast + 94], [half * 1.5, coast + 90]], 11), 10)
    town(site, -half * 0.3, coast + 112, half * 0.9, half * 1.2)
    tank_farm(site, -half * 0.9, coast + 112, -half * 0.38, coast + 205)
    afloat(site, -half, -half * 1.3, half, coast - 120, 10, 8)


def _airfield(site: Site) -> None:
    half, rng = site.half_m, site.fixed
    mottle(site, "scrub", 0.3)
    strip = half * rng.uniform(0.45, 0.62)
    runway(site, strip)
    taxiway(site, [[-half * 1.5, strip - 110], [half * 1.5, strip - 110]])
    for u in (-half * 0.7, half * 0.1, half * 0.75):
        taxiway(site, [[u, strip - 110], [u + 30, strip - 20]], 18)
    far, near = strip - 124, strip - 124 - rng.uniform(150, 190)
    apron(site, -half * 1.1, near, half * 1.1, far)
    split = rng.uniform(-0.1, 0.35) * half
    gates(site, -half * 0.95, split, near, far, _JETS)
    stands(site, -half * 0.9, near + 88, split, far - 6, _REMOTE, float(rng.choice((-1.571, -1.1, -2.0))), 0.85)
    stands(
        site,
        split + 18,
        near + 6,
        half * 0.95,
        far - 50,
        _SMALL if rng.random() < 0.6 else _MILITARY,
        float(rng.choice((1.571, 1.1, 0.8))),
        0.85,
    )
    heliport(site, split + 34, far - 18, 3)
    hangars(site, split + 14, near - 22, half * 0.95)
    car_park(site, -half * 0.9, near - 105, split - 20, near - 45)
    road_traffic(site, road(site, [[-half * 1.5, near - 125], [half * 1.5, near - 118]], 12), 14)
    town(site, -half, -half * 1.2, half, near - 140, 0.75)
    _more_aircraft(site, strip)


def _more_aircraft(site: Site, strip: float) -> None:
    """One on the runway or the taxiway."""
    site.later(lambda: _taxi(site, strip))


def _taxi(site: Site, strip: float) -> None:
    if site.mobile.random() < 0.7:
        where = (site.mobile.uniform(-0.6, 0.6) * site.half_m, strip - (110 if site.mobile.random() < 0.6 else 0))
        site.add(aircraft(site.mobile, "airliner"), where, np.pi * int(site.mobile.integers(2)), "on a taxiway", force=True)


def _coast(site: Site) -> None:
    half, rng = site.half_m, site.fixed
    coast = half * rng.uniform(-0.05, 0.25)
    calm = (-half * 0.35, half * 0.05)
    site.flood(coast, 22.0, 60.0, calm=calm)
    fields(site, -half * 1.5, coast + 110, half * 1.5, half * 1.5)
    if rng.random() < 0.75:
        marina(site, calm[0] + 15, calm[1] - 15, coast + 3)
    line = [[u, site.inland(u, coast + 62 + rng.normal(0, 9), 45.0)] for u in np.linspace(-half * 1.5, half * 1.5, 14)]
    road_traffic(site, road(site, line, 8), 8)
    town(site, -half * 0.7, max(v for _, v in line[3:10]) + 25, half * 0.35, half * 1.1, 0.7)
    afloat(site, -half, -half * 1.25, half, coast - 60, 12, 12)


def _town(site: Site) -> None:
    half = site.half_m
    fields(site, -half * 1.5, -half * 1.5, half * 1.5, half * 1.5)
    at = river(site, half * site.fixed.uniform(-0.75, -0.5), site.fixed.uniform(20, 30))
    road_traffic(site, road(site, [[-half * 1.5, -half * 0.25], [0, -half * 0.2], [half * 1.5, -half * 0.3]], 12), 14)
    town(site, -half * 0.85, -half * 0.14, half * 0.7, half * 1.1, 0.85)
    heliport(site, half * 0.72, half * 0.4, 1)
    industry(site, at + 30, half * -0.48, at + 200, -half * 0.29)


def _country(site: Site) -> None:
    half, rng = site.half_m, site.fixed
    fields(site, -half * 1.5, -half * 1.5, half * 1.5, half * 1.5)
    river(site, half * rng.uniform(0.4, 0.7), rng.uniform(14, 24))
    road_traffic(
        site, road(site, [[-half * 1.5, 0], [-half * 0.3, rng.uniform(-60, 60)], [half * 1.5, rng.uniform(-90, 90)]], 9), 10
    )
    for _ in range(4):
        farm(site, rng.uniform(-0.8, 0.8) * half, rng.uniform(-0.85, -0.15) * half)
    wind_farm(site, -half * 0.5, half * rng.uniform(0.2, 0.35), int(rng.integers(3, 6)))


def _industry(site: Site) -> None:
    half, rng = site.half_m, site.fixed
    fields(site, -half * 1.5, -half * 1.5, half * 1.5, half * 1.5)
    road_traffic(site, road(site, [[-half * 1.5, 8], [half * 1.5, -8]], 13), 22)
    industry(site, -half * 0.9, 22, half * 0.35, half * 0.75)
    tank_farm(site, half * 0.4, 30, half * 0.95, half * rng.uniform(0.55, 0.8))
    car_park(site, -half * 0.85, -80, -half * 0.25, -16, 0.35)
    town(site, -half * 0.2, -half * 0.85, half * 0.9, -24, 0.8)


_PLANS: dict[str, Callable[[Site], None]] = {
    "port": _port,
    "airfield": _airfield,
    "coast": _coast,
    "town": _town,
    "country": _country,
    "industry": _industry,
}


def build(site: Site, theme: str, dome_count: int, odd_count: int, invention_count: int = 0) -> None:
    """Lay a place out.

    Args:
        site: Empty place.
        theme: One of `THEMES`.
        dome_count: Dome buildings wanted.
        odd_count: Objects in unusual surroundings wanted.
        invention_count: Invented structures wanted.
    """
    _PLANS[theme](site)
    domes(site, dome_count)
    scatter(site, invention_count)
    scattered_trees(site, int(site.size_m * site.size_m / 2600))
    site.settle()
    odd_contexts(site, odd_count)


def odd_contexts(site: Site, count: int) -> None:
    """Ships on land, aircraft and helicopters in fields, vehicles on beaches."""
    rng = site.mobile
    for _ in range(count):
        choice = str(rng.choice(("ship", "aircraft", "boat", "helicopter")))
        model = {
            "ship": lambda: ship(rng, str(rng.choice(("fishing ship", "warship", "tug"))), 50),
            "aircraft": lambda: aircraft(rng, str(rng.choice(("airliner", "fighter", "light aircraft")))),
            "boat": lambda: small_boat(rng),
            "helicopter": lambda: helicopter(rng),
        }[choice]()
        where = "on land" if choice in ("ship", "boat") else "in a field"
        for _ in range(40):
            uv = (rng.uniform(-1, 1) * site.half_m, rng.uniform(-1, 1) * site.half_m)
            if site.add(model, uv, float(rng.uniform(0, 6.28)), where, surface="open", gap_m=3, odd=True):
                break
    if count and site.signed_hw is not None:
        uv = (rng.uniform(-0.5, 0.5) * site.half_m, rng.uniform(-0.5, 0.5) * site.half_m)
        site.add(vehicle(rng, "car"), uv, float(rng.uniform(0, 6.28)), "off the road", surface="open", odd=True)
