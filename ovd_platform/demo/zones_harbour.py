"""Quays, piers, marinas, anchorages. Belongs here: everything at the water's edge and afloat."""

import numpy as np

from ovd_platform.demo.craft import vehicle
from ovd_platform.demo.site import Site
from ovd_platform.demo.structures import building, container_stack, crane
from ovd_platform.demo.vessels import ship, small_boat, wake


def port(site: Site, u0: float, u1: float, coast_v: float) -> None:
    """A quay with cranes, containers, halls; piers with ships alongside, some rafted two or three deep."""
    rng = site.fixed
    site.ground.fill(site.box(u0, coast_v - 2, u1, coast_v + 78), "concrete", float(rng.uniform(0.75, 1.0)))
    site.ground.slabs(site.box(u0, coast_v - 2, u1, coast_v + 78), 10.0, -site.turn_rad, rng)
    site.ground.stroke(site.xy([[u0, coast_v - 1], [u1, coast_v - 1]]), 1.6, "concrete", 1.25)
    for rail in (6.0, 21.0):
        site.ground.stroke(site.xy([[u0, coast_v + rail], [u1, coast_v + rail]]), 0.5, "black", 1.5)
    piers = []
    for u in np.arange(u0 + rng.uniform(60, 90), u1 - 40, rng.uniform(105, 150)):
        if rng.random() < 0.75:
            piers.append(_pier(site, float(u), coast_v, rng.uniform(80, 135)))
    for u in np.arange(u0 + 18, u1 - 18, rng.uniform(44, 80)):
        if rng.random() < 0.55:
            site.add(crane(rng, "quay crane"), (u, coast_v + 14), -np.pi / 2, "on a quay", claim=False)
    for u in np.arange(u0 + 20, u1 - 30, 46):
        if rng.random() < 0.65:
            stack = container_stack(rng, int(rng.integers(3, 7)), int(rng.integers(1, 4)))
            site.add(stack, (u, coast_v + 36), 0.0, "on a quay", surface="land", gap_m=1)
        site.add(building(rng, "hall"), (u + 8, coast_v + 62), 0.0, "in a port", surface="land", gap_m=2)
    site.later(lambda: _alongside(site, u0, u1, coast_v - 2.5))
    site.later(lambda: _port_traffic(site, u0, u1, coast_v))


def _port_traffic(site: Site, u0: float, u1: float, coast_v: float) -> None:
    for _ in range(int((u1 - u0) / 30)):
        where = (site.mobile.uniform(u0, u1), coast_v + site.mobile.uniform(22, 76))
        site.add(
            vehicle(site.mobile, str(site.mobile.choice(("lorry", "lorry", "van")))),
            where,
            float(site.mobile.choice((0, 1.571))),
            "in a port",
            surface="land",
        )


def _pier(site: Site, u: float, coast_v: float, length: float) -> float:
    rng = site.fixed
    half = rng.uniform(6, 10)
    outline = site.box(u - half, coast_v - length, u + half, coast_v + 2)
    site.ground.fill(outline, "concrete", 0.95)
    site.ground.slabs(outline, 7.0, -site.turn_rad, rng)
    site.later(lambda: _moor(site, u, half, coast_v, length))
    return u


def _moor(site: Site, u: float, half: float, coast_v: float, length: float) -> None:
    if site.mobile.random() < 0.5:
        site.add(vehicle(site.mobile, "lorry"), (u, coast_v - length * 0.4), np.pi / 2, "on a pier", surface="land")
    for side in (-1, 1):
        v = coast_v - 12.0
        while v > coast_v - length:
            model = ship(site.mobile, longest_m=float(site.mobile.choice((30.0, 45.0, min(80.0, length)))))
            x0, y0, x1, y1 = model.box_xyxy
            long, beam = x1 - x0, y1 - y0
            v -= long / 2 + 3
            if v - long / 2 < coast_v - length - 10:
                break
            if site.mobile.random() < 0.88:
                heading = np.pi / 2 * site.mobile.choice((-1, 1))
                at = u + side * (half + 0.8 + beam / 2)
                placed = site.add(model, (at, v), heading, "moored at a pier", surface="water", gap_m=0.0)
                if placed is not None and site.mobile.random() < 0.35:
                    _raft(site, at, v, heading, side, beam, long)
            v -= long / 2


def _raft(site: Site, u: float, v: float, heading: float, side: int, beam: float, long: float) -> None:
    """More ships beside a moored one, hull against hull."""
    edge = u + side * beam / 2
    for _ in range(int(site.mobile.integers(1, 3))):
        kind = str(site.mobile.choice(("fishing ship", "tug", "barge", "warship", "cargo ship")))
        model = ship(site.mobile, kind, longest_m=max(long * 1.05, 20.0))
        half = (model.box_xyxy[3] - model.box_xyxy[1]) / 2
        edge += side * 0.6
        if site.add(model, (edge + side * half, v), heading, "rafted to another ship", surface="water", gap_m=0.0) is None:
            return
        edge += side * half * 2


def _alongside(site: Site, u0: float, u1: float, face_v: float) -> None:
    rng, u = site.mobile, u0 + 4.0
    while u < u1:
        model = ship(rng)
        x0, y0, x1, y1 = model.box_xyxy
        if rng.random() < 0.85:
            turn = np.pi * int(rng.integers(2))
            site.add(
                model, (u + (x1 - x0) / 2, face_v - (y1 - y0) / 2 - 0.6), turn, "moored at a quay", surface="water", gap_m=0.0
            )
        u += (x1 - x0) + rng.uniform(6, 20)


def marina(site: Site, u0: float, u1: float, coast_v: float) -> None:
    """Floating piers with small boats side by side."""
    rng = site.fixed
    site.ground.fill(site.box(u0, coast_v - 1, u1, coast_v + 26), "concrete", 0.9)
    reach = rng.uniform(55, 85)
    for u in np.arange(u0 + 12, u1 - 8, rng.uniform(34, 42)):
        site.ground.stroke(site.xy([[u, coast_v], [u, coast_v - reach]]), 2.2, "lightgrey", 0.9)
        for v in np.arange(coast_v - 6, coast_v - reach + 3, -4.6):
            for side in (-1, 1):
                site.ground.stroke(site.xy([[u, v + 2.3], [u + side * 8, v + 2.3]]), 0.5, "lightgrey", 0.8)
                site.later(lambda u=float(u), v=float(v), side=side: _berth(site, u, v, side))  # type: ignore[misc]


def _berth(site: Site, u: float, v: float, side: int) -> None:
    if site.mobile.random() < 0.72:
        model = small_boat(site.mobile)
        long = model.box_xyxy[2] - model.box_xyxy[0]
        turn = (np.pi if side < 0 else 0.0) + np.pi * int(site.mobile.random() < 0.3) + site.mobile.normal(0, 0.03)
        site.add(model, (u + side * (1.6 + long / 2), v), turn, "in a marina", surface="any", gap_m=-0.1)


def afloat(site: Site, u0: float, v0: float, u1: float, v1: float, ships: int, boats: int) -> None:
    """Vessels at anchor or under way on open water."""
    site.later(lambda: _set_afloat(site, (u0, v0, u1, v1), ships, boats))


def _set_afloat(site: Site, area: tuple[float, float, float, float], ships: int, boats: int) -> None:
    rng = site.mobile
    u0, v0, u1, v1 = area
    for index in range(ships + boats):
        model = ship(rng) if index < ships else small_boat(rng)
        x0, y0, x1, y1 = model.box_xyxy
        for _ in range(12):
            uv, turn = (rng.uniform(u0, u1), rng.uniform(v0, v1)), float(rng.uniform(0, 6.28))
            moving = rng.random() < (0.45 if index < ships else 0.55) and model.kind not in ("barge", "dinghy")
            placed = site.add(model, uv, turn, "under way at sea" if moving else "at anchor", surface="water", gap_m=6)
            if placed is None:
                continue
            if moving:
                foam = site.add(wake(rng, x1 - x0, y1 - y0), uv, turn, surface="water", claim=False, cut=True)
                if foam is not None and index >= ships:
                    site.placed[-2:] = [site.placed[-1], site.placed[-2]]
            break
