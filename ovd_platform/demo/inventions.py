"""Structures that nobody builds: designs for teaching the starter weights to tell apart what they have no name for.

Belongs here: drawing a design, and examples of it. The demo's world and its documents hold none of them.

A visual embedding trained on ten named classes only learns what separates those ten. Over a hundred invented designs, each seen under
many suns, sizes, paints and instruments, make it compare shape and make instead (metric learning on synthetic classes,
after "domain randomisation", Tobin et al. 2017). No design has a curved roof: domes stay unknown to the starter weights.
"""

from collections.abc import Callable

import numpy as np

from ovd_platform.demo.site import Site
from ovd_platform.demo.solids import Model, Part, Points, ellipse, rectangle

DESIGNS = 128
"""How many designs there are."""

CLASS_PREFIX = "invented "

_PAINTS = (
    "roofred", "roofbrown", "roofgrey", "roofdark", "roofwhite", "roofblue", "white", "lightgrey", "grey", "darkgrey", "red",
    "deckred", "blue", "green", "yellow", "glass", "copper", "tan", "concrete",
)  # fmt: skip
_GROUNDS = ("concrete", "gravel", "asphalt", "sand", "grass")


def _polygon(rng: np.random.Generator) -> Points:
    return ellipse(0, 0, 1, float(rng.uniform(0.6, 1)), int(rng.integers(3, 9)))


def _disc(rng: np.random.Generator) -> Points:
    return ellipse(0, 0, 1, float(rng.choice((1.0, 1.0, 0.7, 0.5))), 28)


def _bar(rng: np.random.Generator) -> Points:
    half = float(rng.uniform(0.15, 0.85))
    return rectangle(-1, -half, 1, half)


def _cross(rng: np.random.Generator) -> Points:
    a, b = rng.uniform(0.15, 0.4, 2)
    return np.array(
        [[-1, -a], [-b, -a], [-b, -1], [b, -1], [b, -a], [1, -a], [1, a], [b, a], [b, 1], [-b, 1], [-b, a], [-1, a]]
    )


def _tee(rng: np.random.Generator) -> Points:
    a, b = rng.uniform(0.15, 0.4, 2)
    return np.array([[-1, -1], [-1 + 2 * a, -1], [-1 + 2 * a, -b], [1, -b], [1, b], [-1 + 2 * a, b], [-1 + 2 * a, 1], [-1, 1]])


def _angle(rng: np.random.Generator) -> Points:
    a, b = rng.uniform(-0.5, 0.3, 2)
    return np.array([[-1, -1], [1, -1], [1, a], [b, a], [b, 1], [-1, 1]])


def _horseshoe(rng: np.random.Generator) -> Points:
    a, b = rng.uniform(0.25, 0.6), rng.uniform(-0.6, 0.2)
    return np.array([[-1, -1], [1, -1], [1, -a], [b, -a], [b, a], [1, a], [1, 1], [-1, 1]])


def _star(rng: np.random.Generator) -> Points:
    points = 2 * int(rng.integers(3, 8))
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    reach = np.where(np.arange(points) % 2 == 0, 1.0, rng.uniform(0.35, 0.7))
    return np.stack([np.cos(turn) * reach, np.sin(turn) * reach], 1)


def _arrow(rng: np.random.Generator) -> Points:
    a, b = rng.uniform(0.15, 0.35), rng.uniform(-0.3, 0.4)
    return np.array([[1, 0], [b, -0.9], [b, -a], [-1, -a], [-1, a], [b, a], [b, 0.9]])


def _hoop(rng: np.random.Generator) -> Points:
    turn = np.linspace(0, 2 * np.pi, 33)
    circle = np.stack([np.cos(turn), np.sin(turn)], 1)
    return np.concatenate([circle, circle[::-1] * rng.uniform(0.45, 0.8)])


_OUTLINES: tuple[Callable[[np.random.Generator], Points], ...] = (
    _polygon, _disc, _bar, _cross, _tee, _angle, _horseshoe, _star, _arrow, _hoop,
)  # fmt: skip


def invented(design: int, rng: np.random.Generator) -> Model:
    """An example of a design, origin in the middle.

    Args:
        design: Number of the design, [0, `DESIGNS`): what is fixed.
        rng: Varies size, proportion, height, brightness, and now and then the paint.
    """
    fixed = np.random.default_rng([design, 77])
    half_m = float(fixed.uniform(4.5, 15) * rng.uniform(0.85, 1.18))
    squeeze = np.array([1.0, float(fixed.uniform(0.7, 1.0) * rng.uniform(0.93, 1.07))]) * half_m
    gain, repaint = float(rng.uniform(0.82, 1.15)), bool(rng.random() < 0.3)
    parts: list[Part] = []
    for level, (outline, height) in enumerate(_layout(fixed)):
        paint = str(fixed.choice(_PAINTS))
        if repaint:
            paint = str(rng.choice(_PAINTS))
        high = height * float(rng.uniform(0.85, 1.15))
        parts.append(
            Part(outline * squeeze, paint, 0, high, gain=gain * (1.0 if level == 0 else float(fixed.uniform(0.8, 1.2))))
        )
    if fixed.random() < 0.35:
        parts.extend(_pitched(parts[-1].corners_n2, parts[-1].material, gain, float(fixed.uniform(0.3, 0.7))))
    return Model(f"{CLASS_PREFIX}{design:03d}", tuple(parts), "invention", metal=0.5)


def _layout(fixed: np.random.Generator) -> list[tuple[Points, float]]:
    """Outlines within [-1, 1] and heights in metres, from the lowest to the highest."""
    base = _OUTLINES[int(fixed.integers(len(_OUTLINES)))](fixed)
    form = str(fixed.choice(("single", "stacked", "stacked", "row", "around", "beside")))
    height = float(fixed.uniform(2, 12))
    small = _OUTLINES[int(fixed.integers(len(_OUTLINES)))](fixed)
    if form == "single":
        return [(base, height)]
    if form == "stacked":
        at = fixed.uniform(-0.35, 0.35, 2) * int(fixed.integers(0, 2))
        return [(base, height), (small * float(fixed.uniform(0.25, 0.6)) + at, float(fixed.uniform(2, 8)))]
    if form == "row":
        count = int(fixed.integers(2, 5))
        return [(base * np.array([0.8 / count, 0.55]) + [x, 0.0], height) for x in np.linspace(-1, 1, 2 * count + 1)[1::2]]
    if form == "around":
        count = int(fixed.integers(3, 7))
        turns = np.arange(count) * 2 * np.pi / count
        ring = [(small * 0.22 + [np.cos(turn) * 0.78, np.sin(turn) * 0.78], height * 0.7) for turn in turns]
        return [*ring, (base * 0.45, height)]
    return [(base * 0.5 + [-0.5, 0.0], height), (small * 0.42 + [0.55, float(fixed.uniform(-0.3, 0.3))], height * 0.6)]


def _pitched(outline: Points, paint: str, gain: float, rise: float) -> list[Part]:
    """Facets from every edge of an outline to its middle."""
    middle = outline.mean(0)
    facets = []
    for start, end in zip(outline, np.roll(outline, -1, 0), strict=True):
        inward = middle - (start + end) / 2
        length = float(np.linalg.norm(inward))
        if length > 1e-6:
            slope = inward / length * rise
            tilt = (float(slope[0]), float(slope[1]))
            facets.append(Part(np.array([start, end, middle]), paint, tilt=tilt, gain=gain))
    return facets


def scatter(site: Site, count: int) -> int:
    """Examples of random designs on free land, some with a yard.

    Returns:
        How many found room.
    """
    rng = site.fixed
    found = 0
    placed = site.scattered(
        count, lambda: invented(int(rng.integers(DESIGNS)), rng), turn_rad=6.28, surface="land", gap_m=2, tries=60
    )
    for model, uv in placed:
        found += 1
        if rng.random() < 0.4:
            x0, y0, x1, y1 = model.box_xyxy
            reach = max(x1 - x0, y1 - y0) / 2 + rng.uniform(1, 5)
            yard = site.box(uv[0] - reach, uv[1] - reach, uv[0] + reach, uv[1] + reach)
            site.ground.fill(yard, str(rng.choice(_GROUNDS)))
    return found
