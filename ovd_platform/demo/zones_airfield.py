"""Runways, aprons, terminals, parked aircraft. Belongs here: everything inside an airport's fence."""

from itertools import pairwise

import numpy as np

from ovd_platform.demo.craft import aircraft, helicopter, vehicle
from ovd_platform.demo.site import Site
from ovd_platform.demo.solids import ellipse
from ovd_platform.demo.structures import building, jet_bridge, terminal


def runway(site: Site, v: float, width_m: float = 45.0) -> None:
    """A runway along u through the whole scene, with centre line, edges, threshold and touch-down marks."""
    ground, rng = site.ground, site.fixed
    reach = site.size_m * 0.75
    ground.fill(site.box(-reach, v - width_m / 2 - 7, reach, v + width_m / 2 + 7), "asphalt", 1.25)
    ground.fill(site.box(-reach, v - width_m / 2, reach, v + width_m / 2), "asphalt", float(rng.uniform(0.85, 1.2)))
    for side in (-1, 1):
        ground.stroke(site.xy([[-reach, v + side * (width_m / 2 - 1)], [reach, v + side * (width_m / 2 - 1)]]), 0.9, "marking")
    ground.dashes(site.xy([[-reach, v]])[0], site.xy([[reach, v]])[0], 0.9, 30, 20)
    threshold = rng.uniform(-0.3, 0.3) * site.size_m
    for stripe in np.linspace(-width_m / 2 + 5, width_m / 2 - 5, 10):
        ground.fill(site.box(threshold, v + stripe - 0.9, threshold + 30, v + stripe + 0.9), "marking")
    for _ in range(60):  # rubber
        u, lane = threshold + 60 + abs(rng.normal(0, 90)), v + rng.normal(0, 3.5)
        ground.stroke(site.xy([[u, lane], [u + rng.uniform(20, 70), lane]]), 0.8, "asphalt", 0.7)
    site.reserve(site.box(-reach, v - width_m / 2, reach, v + width_m / 2), force=True)


def taxiway(site: Site, points_uv: list[list[float]], width_m: float = 21.0) -> None:
    """A taxiway with a yellow centre line."""
    scene = site.xy(points_uv)
    site.ground.stroke(scene, width_m + 8, "asphalt", 1.3)
    site.ground.stroke(scene, width_m, "asphalt", 1.05)
    site.ground.stroke(scene, 0.5, "yellowmark")
    for start, end in pairwise(scene):
        along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-6)
        across = np.array([-along[1], along[0]]) * width_m / 2
        site.reserve(np.stack([start - across, end - across, end + across, start + across]), force=True)


def apron(site: Site, u0: float, v0: float, u1: float, v1: float) -> None:
    """Slabs of concrete with stains and lines."""
    rng = site.fixed
    outline = site.box(u0, v0, u1, v1)
    site.ground.fill(outline, "concrete", float(rng.uniform(0.75, 1.1)))
    site.ground.slabs(outline, rng.uniform(5.5, 8.5), -site.turn_rad, rng)
    for _ in range(int((u1 - u0) / 9)):
        u, v = rng.uniform(u0, u1), rng.uniform(v0, v1)
        spot = site.xy(ellipse(u, v, rng.uniform(1, 6), rng.uniform(0.6, 2.5), 10))
        site.ground.fill(spot, "concrete", float(rng.uniform(0.62, 0.85)))
    site.ground.stroke(site.xy([[u0, v1 - 6], [u1, v1 - 6]]), 0.5, "yellowmark")


def gates(site: Site, u0: float, u1: float, terminal_v: float, apron_v: float, kinds: tuple[str, ...]) -> None:
    """A terminal along u with aircraft nose-in beside each other.

    Args:
        site: The place.
        u0: West end.
        u1: East end.
        terminal_v: Where the terminal's face is; the apron lies at larger v.
        apron_v: Far edge of the apron.
        kinds: Airframes to draw from.
    """
    depth = site.fixed.uniform(22, 34)
    edges = np.linspace(u0 + 3, u1 - 3, max(int((u1 - u0) / 52), 1) + 1)
    for left, right in pairwise(edges):  # sections with expansion joints, a building each
        model = terminal(site.fixed, float(right - left) - 0.8, depth)
        site.add(model, (float(left + right) / 2, terminal_v - depth / 2), 0.0, "at an airport", force=True, cut=True)
    site.later(lambda: _park_at_gates(site, u0, u1, terminal_v, apron_v, kinds))


def _park_at_gates(site: Site, u0: float, u1: float, terminal_v: float, apron_v: float, kinds: tuple[str, ...]) -> None:
    rng = site.mobile
    u = u0 + 10.0
    parked = []
    while u < u1 - 22:
        plane = aircraft(rng, str(rng.choice(kinds)))
        x0, y0, x1, y1 = plane.box_xyxy
        span = y1 - y0
        u += span / 2 + rng.uniform(2.5, 6)
        if u + span / 2 > u1:
            break
        nose_v = terminal_v + rng.uniform(7, 11)
        site.ground.stroke(site.xy([[u, nose_v - 2], [u, apron_v - 4]]), 0.45, "yellowmark")
        where = (u, nose_v + x1)
        if rng.random() < 0.88 and site.add(plane, where, -np.pi / 2 + rng.normal(0, 0.015), "on an apron beside a terminal"):
            parked.append((u, nose_v, x1 - x0, span))
        u += span / 2
    for u, nose_v, length, span in parked:  # after all aircraft, or a van would keep the next one out
        if rng.random() < 0.8:
            _bridge(site, u, terminal_v, nose_v + 0.16 * length, length * 0.055)
        _service(site, u, nose_v, length, span)


def _bridge(site: Site, u: float, terminal_v: float, door_v: float, half_body: float) -> None:
    start = (u - 9.0, terminal_v)
    end = (u - half_body - 0.5, door_v)
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    model = jet_bridge(site.mobile, length)
    site.add(model, start, float(np.arctan2(end[1] - start[1], end[0] - start[0])), "at a gate", force=True)


def _service(site: Site, u: float, nose_v: float, length: float, span: float) -> None:
    rng = site.mobile
    for _ in range(int(rng.integers(1, 6))):
        where = (u + rng.choice((-1, 1)) * rng.uniform(0.10, 0.5) * span, nose_v + rng.uniform(0.05, 1.05) * length)
        kind = str(rng.choice(("van", "car", "lorry")))
        site.add(vehicle(rng, kind), where, float(rng.uniform(0, 6.28)), "beside an aircraft", gap_m=0.2)


def stands(
    site: Site, u0: float, v0: float, u1: float, v1: float, kinds: tuple[str, ...], slant: float, share: float = 0.8
) -> None:
    """Aircraft parked in rows on an open apron, close to each other."""
    site.later(lambda: _park_in_rows(site, u0, v0, u1, v1, kinds, slant, share))


def _park_in_rows(
    site: Site, u0: float, v0: float, u1: float, v1: float, kinds: tuple[str, ...], slant: float, share: float
) -> None:
    rng, v = site.mobile, v0
    while v < v1:
        u, deepest = u0, 0.0
        while u < u1:
            plane = aircraft(rng, str(rng.choice(kinds)))
            x0, y0, x1, y1 = plane.box_xyxy
            length, span = x1 - x0, y1 - y0
            reach = max(length * abs(np.sin(slant)) + span * abs(np.cos(slant)), 6.0)
            wide = span * abs(np.sin(slant)) + length * abs(np.cos(slant))
            if v + reach > v1 + 2 or u + wide > u1:
                break
            if rng.random() < share:
                turn = slant + rng.normal(0, 0.03) + (np.pi if rng.random() < 0.12 else 0)
                site.add(plane, (u + wide / 2, v + reach / 2), turn, "parked on an apron", gap_m=0.3)
            u += wide * rng.uniform(0.92, 1.1) + 2
            deepest = max(deepest, reach)
        v += max(deepest, 12.0) + rng.uniform(5, 12)


def heliport(site: Site, u: float, v: float, count: int) -> None:
    """Round pads with an H, most of them taken."""
    for index in range(count):
        at = (u + index * 27.0, v)
        site.ground.fill(site.xy(ellipse(*at, 11.5, 11.5, 24)), "marking", 0.8)
        site.ground.fill(site.xy(ellipse(*at, 10.8, 10.8, 24)), "asphalt", 1.1)
        for du in (-2.2, 2.2):
            site.ground.stroke(site.xy([[at[0] + du, v - 3.5], [at[0] + du, v + 3.5]]), 0.9, "marking")
        site.ground.stroke(site.xy([[at[0] - 2.2, v], [at[0] + 2.2, v]]), 0.9, "marking")
        site.later(lambda at=at: _land(site, at))  # type: ignore[misc]


def _land(site: Site, at: tuple[float, float]) -> None:
    if site.mobile.random() < 0.8:
        site.add(helicopter(site.mobile), at, float(site.mobile.uniform(0, 6.28)), "on a helipad", gap_m=0.2)


def hangars(site: Site, u0: float, v: float, u1: float) -> None:
    """A row of hangars."""
    u = u0
    while u < u1:
        model = building(site.fixed, "hall")
        x0, _, x1, _ = model.box_xyxy
        site.add(model, (u + (x1 - x0) / 2, v), float(site.fixed.normal(0, 0.01)), "at an airfield", surface="land", gap_m=2)
        u += x1 - x0 + site.fixed.uniform(5, 14)
