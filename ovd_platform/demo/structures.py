"""Shapes of what stands: buildings, domes, tanks, turbines, cranes, bridges, and unlabelled clutter.

Belongs here: outlines in metres, local frame.
"""

import numpy as np

from ovd_platform.demo.solids import Model, Part, Points, ellipse, rectangle

_PITCHED = ("roofred", "roofred", "roofbrown", "roofgrey", "roofdark")
_FLAT = ("roofgrey", "roofwhite", "roofgrey", "concrete", "roofbrown", "roofdark")
_HALL = ("roofwhite", "roofgrey", "roofblue", "roofgrey", "roofwhite", "roofred")
_CONTAINER = ("red", "blue", "deckred", "lightgrey", "green", "tan", "white", "darkgrey", "yellow")


def building(rng: np.random.Generator, kind: str | None = None) -> Model:
    """A house, block or hall with its origin in the middle.

    Args:
        rng: Varies size, roof and height.
        kind: ``house``, ``block``, ``hall``; None draws one.
    """
    kind = kind or str(rng.choice(("house", "house", "block", "hall")))
    if kind == "house":
        return Model("building", tuple(_house(rng)), kind, metal=0.35)
    long, wide, high = (rng.uniform(16, 36), rng.uniform(11, 16), rng.uniform(8, 24))
    if kind == "hall":
        long, wide, high = rng.uniform(24, 58), rng.uniform(15, 28), rng.uniform(6, 11)
    roof = str(rng.choice(_HALL if kind == "hall" else _FLAT))
    outline = rectangle(-long / 2, -wide / 2, long / 2, wide / 2)
    if kind == "block" and rng.random() < 0.35:
        cut_x, cut_y = rng.uniform(0.35, 0.6) * long, rng.uniform(0.4, 0.55) * wide
        x0, y0, x1, y1 = -long / 2, -wide / 2, long / 2, wide / 2
        outline = np.array([[x0, y0], [x1, y0], [x1, y1 - cut_y], [x1 - cut_x, y1 - cut_y], [x1 - cut_x, y1], [x0, y1]])
    gain = rng.uniform(0.8, 1.12)
    parts = [Part(outline, roof, 0, high, gain=gain)]
    if kind == "hall" and rng.random() < 0.75:
        parts.append(Part(rectangle(-long / 2, 0, long / 2, wide / 2), roof, tilt=(0, -0.16), gain=gain))
        parts.append(Part(rectangle(-long / 2, -wide / 2, long / 2, 0), roof, tilt=(0, 0.16), gain=gain))
        for x in np.arange(-long / 2 + 4, long / 2 - 4, rng.uniform(6, 10)):
            parts.append(
                Part(rectangle(x, -wide * 0.36, x + 0.9, wide * 0.36), "glass" if rng.random() < 0.5 else "lightgrey", gain=1.1)
            )
    else:
        y_limit = -wide * 0.08 if len(outline) == 6 else wide * 0.32
        for _ in range(int(rng.integers(2, 7))):
            x, y, s = rng.uniform(-long * 0.42, long * 0.36), rng.uniform(-wide * 0.42, y_limit), rng.uniform(1.2, 3.6)
            parts.append(
                Part(
                    rectangle(x, y, x + s, y + s * 0.7),
                    str(rng.choice(("lightgrey", "grey", "darkgrey"))),
                    0,
                    rng.uniform(0.8, 2.5),
                )
            )
    return Model("building", tuple(parts), kind, metal=0.45)


def _house(rng: np.random.Generator) -> list[Part]:
    long, wide, high = rng.uniform(9, 17), rng.uniform(7, 11), rng.uniform(4.5, 8)
    roof, gain = str(rng.choice(_PITCHED)), rng.uniform(0.8, 1.15)
    pitch = rng.uniform(0.35, 0.65)
    parts = []
    if rng.random() < 0.4:
        side = rng.choice((-1, 1))
        near, far = sorted((side * wide * 0.1, side * long * 0.48))
        wing = rectangle(near, 0, far, wide * 0.95)
        parts.append(Part(wing, roof, 0, high * 0.85, tilt=(pitch * side, 0), gain=gain))
    parts.append(Part(rectangle(-long / 2, -wide / 2, long / 2, wide / 2), roof, 0, high, gain=gain))
    if rng.random() < 0.45:  # hipped
        ridge = long / 2 - wide / 2
        parts.append(
            Part(
                np.array([[-long / 2, wide / 2], [long / 2, wide / 2], [ridge, 0], [-ridge, 0]]),
                roof,
                tilt=(0, -pitch),
                gain=gain,
            )
        )
        parts.append(
            Part(
                np.array([[-long / 2, -wide / 2], [long / 2, -wide / 2], [ridge, 0], [-ridge, 0]]),
                roof,
                tilt=(0, pitch),
                gain=gain,
            )
        )
        parts.append(
            Part(np.array([[long / 2, -wide / 2], [long / 2, wide / 2], [ridge, 0]]), roof, tilt=(-pitch, 0), gain=gain)
        )
        parts.append(
            Part(np.array([[-long / 2, -wide / 2], [-long / 2, wide / 2], [-ridge, 0]]), roof, tilt=(pitch, 0), gain=gain)
        )
    else:
        parts.append(Part(rectangle(-long / 2, 0, long / 2, wide / 2), roof, tilt=(0, -pitch), gain=gain))
        parts.append(Part(rectangle(-long / 2, -wide / 2, long / 2, 0), roof, tilt=(0, pitch), gain=gain))
    x = rng.uniform(-long * 0.3, long * 0.3)
    parts.append(Part(rectangle(x, 0.4, x + 0.9, 1.3), "roofdark", 0, 1.5))
    return parts


def dome_building(rng: np.random.Generator, radius_m: float | None = None) -> Model:
    """A small building under one round dome: plinth or round wall, shaded dome, lantern.

    The class is in no label and in no vocabulary: documents show it, searches must find it.
    """
    radius = radius_m or rng.uniform(5.2, 11.5)
    dome = str(rng.choice(("white", "copper", "tan", "lightgrey", "white", "lightgrey")))
    wall = str(rng.choice(("roofwhite", "tan", "concrete", "lightgrey")))
    style = rng.random()
    parts: list[Part] = []
    if style < 0.4:
        parts.append(
            Part(rectangle(-radius * 1.12, -radius * 1.12, radius * 1.12, radius * 1.12), wall, 0, radius * 0.5, gain=0.9)
        )
    elif style < 0.65:
        turn = np.arange(8) * np.pi / 4 + np.pi / 8
        parts.append(Part(np.stack([np.cos(turn), np.sin(turn)], 1) * radius * 1.17, wall, 0, radius * 0.5, gain=0.85))
    else:
        parts.append(Part(ellipse(0, 0, radius * 1.1, radius * 1.1, 32), wall, 0, radius * 0.5, gain=0.85))
    # The dome's shadow on the ground: its widest circle, lifted, then smaller ones up to the top.
    for share, lift in ((1.0, 0.75), (0.75, 1.05), (0.42, 1.3)):
        parts.append(Part(ellipse(0, 0, radius * share, radius * share, 36), dome, 0, radius * lift))
    parts.append(Part(ellipse(0, 0, radius, radius, 40), dome, round_m=radius * 1.04, gain=0.82))
    parts.append(Part(ellipse(0, 0, max(radius * 0.10, 0.5), max(radius * 0.10, 0.5), 8), "white", 0, 1.2))
    return Model("dome building", tuple(parts), "dome building", metal=0.35)


def storage_tank(rng: np.random.Generator, radius_m: float | None = None) -> Model:
    """A cylindrical tank: flat cone roof, or a floating roof sunk below its rim."""
    radius = radius_m or rng.uniform(5.5, 17)
    high = rng.uniform(8, 15)
    paint = str(rng.choice(("white", "lightgrey", "white", "grey", "tan")))
    parts = [Part(ellipse(0, 0, radius, radius, 36), paint, 0, high)]
    if rng.random() < 0.55:
        parts.append(Part(_ring(radius, radius - 0.6), "lightgrey", gain=1.1))
        for turn in np.arange(8) * np.pi / 4 + rng.uniform(0, 0.7):
            along = np.array([np.cos(turn), np.sin(turn)]) * radius
            across = np.array([-np.sin(turn), np.cos(turn)]) * 0.22
            parts.append(Part(np.array([across, along + across, along - across, -across]), paint, gain=0.86))
        stair = rng.uniform(0, 6.28)
        x, y = np.cos(stair) * radius * 0.86, np.sin(stair) * radius * 0.86
        parts.append(Part(ellipse(x, y, 0.9, 0.9, 8), "darkgrey"))
    else:
        inner = radius - 0.7
        parts.append(Part(ellipse(0, 0, inner, inner, 32), str(rng.choice(("grey", "lightgrey", "deckred"))), gain=0.85))
        parts.append(Part(_ring(radius, inner), "lightgrey", 0, high * rng.uniform(0.15, 0.6), gain=1.1))
    return Model("storage tank", tuple(parts), "storage tank", metal=0.9)


def _ring(outer: float, inner: float) -> Points:
    """A ring as one outline with a slit."""
    turn = np.linspace(0, 2 * np.pi, 33)
    circle = np.stack([np.cos(turn), np.sin(turn)], 1)
    return np.concatenate([circle * outer, circle[::-1] * inner])


def wind_turbine(rng: np.random.Generator) -> Model:
    """A turbine seen nearly from above: leaning tower (off-nadir view), nacelle, blades edge-on, pad; long shadow."""
    hub, blade, lean = rng.uniform(55, 80), rng.uniform(17, 24), rng.uniform(5, 11)
    pad = Part(ellipse(0, 0, 5.5, 5.5, 16), "gravel", gain=1.1)
    tower = np.array([[-0.3, -1.7], [lean, -1.0], [lean, 1.0], [-0.3, 1.7]])
    shadow = Part(ellipse(0, 0, 1.5, 1.5, 10), "white", 0, hub)
    parts = [pad, shadow, Part(tower, "white"), Part(rectangle(lean - 3.2, -1.5, lean + 3.6, 1.5), "white", hub - 3, hub)]
    first = rng.uniform(0, 2.09)
    near, far = np.array([0.9, 0.5]), np.array([0.35, 0.0])
    for turn in first + np.arange(3) * 2.0944:
        reach, rise = np.sin(turn) * blade, np.cos(turn) * blade
        tip = np.array([lean + 3.4 + 0.12 * rise, reach])
        root = np.array([lean + 3.4, 0.0])
        blade_outline = np.array([root - near, root + near, tip + far, tip - far])
        parts.append(Part(blade_outline, "white", hub + min(0.0, rise) * 0.5, hub + max(0.0, rise) * 0.5 + 0.5))
    return Model("wind turbine", tuple(parts), "wind turbine", metal=0.7)


def crane(rng: np.random.Generator, kind: str | None = None) -> Model:
    """A quay crane (boom over the water, +x) or a tower crane."""
    kind = kind or str(rng.choice(("quay crane", "tower crane")))
    paint = str(rng.choice(("blue", "red", "yellow", "lightgrey")))
    parts: list[Part] = []
    if kind == "quay crane":
        reach, back, half = rng.uniform(24, 34), rng.uniform(12, 17), rng.uniform(6.5, 9)
        for x in (-8.0, 7.0):
            parts.append(Part(rectangle(x - 0.8, -half, x + 0.8, half), paint, 0, 18, gain=0.9))
        for y in (-half, half):
            parts.append(Part(rectangle(-8.0, y - 0.7, 7.0, y + 0.7), paint, 0, 2))
        for y in (-1.9, 1.9):
            parts.append(Part(rectangle(-back, y - 0.6, reach, y + 0.6), paint, 27, 30))
        for x in np.arange(-back, reach, 5.0):
            parts.append(Part(rectangle(x, -1.9, x + 0.6, 1.9), paint, 27, 29))
        parts.append(Part(rectangle(-back + 1, -3.2, -back + 8, 3.2), "white", 28, 34))
        parts.append(Part(rectangle(reach * 0.4, -1.6, reach * 0.4 + 3, 1.6), "darkgrey"))
        return Model("crane", tuple(parts), kind, metal=1.0)
    jib, counter, high = rng.uniform(26, 42), rng.uniform(9, 14), rng.uniform(28, 45)
    for side in (-0.75, 0.75):
        parts.append(Part(rectangle(-counter, side - 0.28, jib, side + 0.28), paint, high - 1, high))
    for x in np.arange(-counter, jib, 2.6):
        parts.append(Part(np.array([[x, -0.75], [x + 0.5, -0.75], [x + 1.6, 0.75], [x + 1.1, 0.75]]), paint, high - 1, high))
    parts.append(Part(rectangle(-counter - 1.0, -1.5, -counter + 3.0, 1.5), "darkgrey", high - 4, high))
    parts.append(Part(rectangle(-1.3, -1.3, 1.3, 1.3), paint, 0, high + 5))
    return Model("crane", tuple(parts), kind, metal=1.0)


def bridge(rng: np.random.Generator, length_m: float) -> Model:
    """A road bridge along x over a river, canal or track; deck, parapets, lane line."""
    half = rng.uniform(4.6, 7.0)
    parts = [Part(rectangle(-length_m / 2, -half, length_m / 2, half), "concrete", 1, 6, gain=1.12)]
    parts.append(Part(rectangle(-length_m / 2, -half + 1.3, length_m / 2, half - 1.3), "asphalt"))
    for x in np.arange(-length_m / 2, length_m / 2 - 3, 9.0):
        parts.append(Part(rectangle(x, -0.15, x + 4, 0.15), "marking"))
    if rng.random() < 0.4:
        for side in (-half + 0.5, half - 0.5):
            parts.append(Part(rectangle(-length_m * 0.4, side - 0.45, length_m * 0.4, side + 0.45), "lightgrey", 6, 12))
    return Model("bridge", tuple(parts), "bridge", metal=0.8)


def container_stack(rng: np.random.Generator, rows: int, columns: int) -> Model:
    """Stacked containers of many colours; clutter."""
    parts = []
    for row in range(rows):
        for column in range(columns):
            if rng.random() < 0.15:
                continue
            x, y, tier = column * 12.9 - columns * 6.45, row * 2.75 - rows * 1.375, int(rng.integers(1, 4)) * 2.6
            parts.append(
                Part(rectangle(x, y, x + 12.2, y + 2.44), str(rng.choice(_CONTAINER)), 0, tier, gain=rng.uniform(0.85, 1.12))
            )
    parts = parts or [Part(rectangle(-6, -1.2, 6, 1.2), "blue", 0, 2.6)]
    return Model("", tuple(parts), "containers", metal=0.7)


def terminal(rng: np.random.Generator, length_m: float, depth_m: float) -> Model:
    """A passenger terminal along x; its apron side is +y. Labelled as a building."""
    half = length_m / 2
    parts = [
        Part(
            rectangle(-half, -depth_m / 2, half, depth_m / 2),
            str(rng.choice(("roofwhite", "roofgrey", "lightgrey", "concrete"))),
            0,
            14,
        )
    ]
    for x in np.arange(-half + 4, half - 8, rng.uniform(11, 17)):
        parts.append(
            Part(
                rectangle(x, -depth_m * 0.32, x + rng.uniform(3, 7), depth_m * 0.30),
                str(rng.choice(("glass", "grey", "lightgrey"))),
                0,
                1.5,
            )
        )
    parts.append(Part(rectangle(-half, depth_m / 2 - 2.2, half, depth_m / 2), "darkgrey"))
    return Model("building", tuple(parts), "terminal", metal=0.5)


def jet_bridge(rng: np.random.Generator, length_m: float) -> Model:
    """A passenger bridge along x from a terminal to an aircraft's door; clutter."""
    parts = [Part(rectangle(0, -1.5, length_m, 1.5), "lightgrey", 4, 7), Part(ellipse(0, 0, 2.6, 2.6, 10), "grey", 0, 7)]
    parts.append(Part(rectangle(length_m - 4, -2.0, length_m, 2.0), "grey" if rng.random() < 0.5 else "white", 4, 7.5))
    return Model("", tuple(parts), "jet bridge", metal=0.4)
