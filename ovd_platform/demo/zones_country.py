"""Fields, woods, roads, rivers, wind farms.

Belongs here: what covers a place before anything is built on it, and farmland.
"""

from itertools import pairwise

import cv2
import numpy as np

from ovd_platform.demo.noise import octave_noise
from ovd_platform.demo.site import Site
from ovd_platform.demo.solids import Points
from ovd_platform.demo.spectra import CODE
from ovd_platform.demo.structures import bridge, building, wind_turbine


def fields(site: Site, u0: float, v0: float, u1: float, v1: float) -> None:
    """Cover a rectangle of the plan with parcels, hedges between them and some woods."""
    rng = site.fixed
    pitch_u, pitch_v = rng.uniform(75, 150), rng.uniform(60, 120)
    us = np.arange(u0, u1 + pitch_u, pitch_u)
    vs = np.arange(v0, v1 + pitch_v, pitch_v)
    grid = np.stack(np.meshgrid(us, vs), -1)
    grid = grid + rng.normal(0, 1, grid.shape) * (pitch_u * 0.11, pitch_v * 0.11)
    for row in range(len(vs) - 1):
        for col in range(len(us) - 1):
            corners = site.xy(np.stack([grid[row, col], grid[row, col + 1], grid[row + 1, col + 1], grid[row + 1, col]]))
            if corners.max() < 0 or corners.min() > site.size_m or site.ground.is_water(corners).all():
                continue
            material = str(rng.choice(("crop", "grass", "stubble", "soil", "crop", "soil", "scrub", "grass")))
            turn = site.turn_rad + rng.normal(0, 0.05) + (np.pi / 2 if rng.random() < 0.5 else 0)
            depth = 0.0 if material in ("grass", "scrub") else rng.uniform(0.03, 0.12)
            site.ground.parcel(corners, material, float(rng.uniform(0.78, 1.2)), rng.uniform(3, 9), turn, depth)
            if rng.random() < 0.13:
                wood(site, corners)
            elif rng.random() < 0.45:
                _hedge(site, corners[0], corners[1])
            if rng.random() < 0.3:
                site.ground.stroke(corners[1:3], 3.0, "gravel", 0.95)


def _hedge(site: Site, start_2: Points, end_2: Points) -> None:
    count = int(np.linalg.norm(end_2 - start_2) / site.fixed.uniform(3.5, 9))
    share = np.linspace(0, 1, max(count, 2))[:, None]
    points = start_2 + (end_2 - start_2) * share + site.fixed.normal(0, 0.8, (max(count, 2), 2))
    site.plant(points[site.fixed.random(len(points)) < 0.8], (1.3, 3.2))


def wood(site: Site, corners_n2: Points) -> None:
    """Fill a quadrilateral of the scene frame with trees."""
    rng = site.fixed
    area = cv2.contourArea(corners_n2.astype(np.float32))
    count = int(min(area / 30, 1500))
    a, b = rng.random((2, count, 1))
    points = (
        (1 - a) * (1 - b) * corners_n2[0] + a * (1 - b) * corners_n2[1] + a * b * corners_n2[2] + (1 - a) * b * corners_n2[3]
    )
    site.plant(points, (2.0, 4.2))


def scattered_trees(site: Site, count: int) -> None:
    """Trees in clumps where noise is high and nothing stands."""
    rng = site.fixed
    points = rng.uniform(0, site.size_m, (count * 3, 2))
    lattice = octave_noise(rng, (64, 64), ((16, 1.0), (6, 0.7)))
    cells = np.clip((points / site.size_m * 64).astype(int), 0, 63)
    site.plant(points[lattice[cells[:, 1], cells[:, 0]] > 0.55][:count], (1.5, 4.0))


def mottle(site: Site, material: str, share: float) -> None:
    """Patches of another ground cover on unbuilt land, over a share of it."""
    shape = site.ground.code_hw.shape
    scale = site.ground.samples_per_m
    field = octave_noise(site.fixed, shape, ((scale * 90, 1.0), (scale * 22, 0.7), (scale * 6, 0.6), (scale * 1.6, 0.55)))
    limit = np.quantile(field[::8, ::8], 1 - share)
    site.ground.code_hw[(field > limit) & (site.ground.code_hw == site.ground.code_hw[0, 0])] = CODE[material]


def road(site: Site, points_uv: Points | list[list[float]], width_m: float = 9.0, *, line: bool = True) -> Points:
    """A paved road along smoothed points of the plan; reserves its ground.

    Returns:
        The centre line, (N, 2), plan frame, one point about every 8 m.
    """
    knots = np.asarray(points_uv, np.float64)
    steps = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    at = np.linspace(0, steps[-1], max(int(steps[-1] / 8), 3))
    centre = np.stack([np.interp(at, steps, knots[:, axis]) for axis in (0, 1)], 1)
    if len(knots) > 2:
        window = np.hanning(9)[1:-1] / np.hanning(9)[1:-1].sum()
        padded = np.pad(centre, ((3, 3), (0, 0)), mode="reflect", reflect_type="odd")
        centre = np.stack([np.convolve(padded[:, axis], window, "valid") for axis in (0, 1)], 1)
    scene = site.xy(centre)
    site.ground.stroke(scene, width_m + 3, "gravel", 0.95)
    site.ground.stroke(scene, width_m, "asphalt", float(site.fixed.uniform(0.85, 1.15)))
    for start, end in pairwise(scene):
        along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-6)
        across = np.array([-along[1], along[0]]) * (width_m / 2 + 1.0)
        site.reserve(np.stack([start - across, end - across, end + across, start + across]), force=True)
        if line:
            site.ground.stroke(np.stack([start, start + (end - start) * 0.5]), 0.35, "marking")
    return centre


def river(site: Site, v: float, width_m: float) -> float:
    """A winding river along u with a road bridge across it.

    Returns:
        The u of the bridge.
    """
    rng = site.fixed
    u_n = np.linspace(-site.size_m, site.size_m, 80)
    swing = rng.uniform(12, 30)
    phase = rng.uniform(0, 6.28)
    v_n = v + swing * np.sin(u_n / rng.uniform(70, 120) + phase)
    line = np.stack([u_n, v_n], 1)
    site.ground.stroke(site.xy(line), width_m + 9, "grass", 0.9)
    site.ground.stroke(site.xy(line), width_m + 3, "soil", 0.8)
    site.ground.stroke(site.xy(line), width_m, "water")
    at = float(rng.uniform(-0.25, 0.25) * site.size_m)
    middle = float(np.interp(at, u_n, v_n))
    road(site, [[at, -site.size_m], [at, middle - width_m]], 8.5)
    road(site, [[at, middle + width_m], [at, site.size_m]], 8.5)
    span = width_m + rng.uniform(10, 16)
    site.ground.stroke(site.xy([[at, middle - width_m - 6], [at, middle - span / 2 + 2]]), 9, "asphalt")
    site.ground.stroke(site.xy([[at, middle + span / 2 - 2], [at, middle + width_m + 6]]), 9, "asphalt")
    site.add(bridge(rng, span), (at, middle), np.pi / 2, "over a river", force=True, cut=True)
    return at


def farm(site: Site, u: float, v: float) -> None:
    """A farmstead: a few houses and halls, a yard, trees."""
    rng = site.fixed
    site.ground.fill(site.box(u - 32, v - 26, u + 32, v + 26), "gravel", 0.95)
    for _ in range(int(rng.integers(3, 6))):
        model = building(rng, str(rng.choice(("house", "hall", "house"))))
        turn = float(rng.choice((0, np.pi / 2)) + rng.normal(0, 0.03))
        site.add(model, (u + rng.uniform(-26, 26), v + rng.uniform(-20, 20)), turn, "on a farm", surface="land", gap_m=2)
    around = rng.normal(0, 1, (24, 2)) * (30, 24) + (u, v)
    site.plant(site.xy(around), (2, 4))


def wind_farm(site: Site, u: float, v: float, count: int) -> None:
    """Turbines in a row with a service track."""
    rng = site.fixed
    for index in range(count):
        where = (u + index * rng.uniform(95, 130), v + rng.normal(0, 12))
        if site.add(wind_turbine(rng), where, rng.uniform(-0.3, 0.3), "in a field", surface="land", gap_m=3):
            site.ground.stroke(site.xy([[where[0] - 110, v + 14], [where[0], where[1]]]), 3.2, "gravel", 1.1)
