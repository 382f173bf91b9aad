"""Shapes of what floats: ships and small boats, with wakes.

Belongs here: outlines in metres; where they lie is `harbour`'s.
"""

from itertools import pairwise

import numpy as np

from ovd_platform.demo.solids import Model, Part, Points, ellipse, rectangle

SHIP_KINDS = ("cargo ship", "tanker", "container ship", "warship", "fishing ship", "ferry", "barge", "tug")
BOAT_KINDS = ("motor boat", "sailing boat", "open boat", "dinghy")
_STACKS = ("red", "blue", "deckred", "lightgrey", "green", "tan", "yellow", "darkgrey", "white")


def _hull(length: float, beam: float, bow: float, stern: float = 0.85) -> Points:
    """Outline of a hull: pointed bow to +x over a share ``bow`` of the length, transom of relative width ``stern``."""
    rise = np.linspace(0, 1, 6)
    bow_x = length / 2 - bow * length * rise
    bow_y = beam / 2 * (1 - (1 - rise) ** 1.9)
    x_n = np.concatenate([bow_x, [-length * 0.36, -length / 2]])
    y_n = np.concatenate([bow_y, [beam / 2, beam / 2 * stern]])
    return np.concatenate([np.stack([x_n, y_n], 1), np.stack([x_n, -y_n], 1)[:0:-1]])


def ship(rng: np.random.Generator, kind: str | None = None, longest_m: float = 85.0) -> Model:
    """A ship seen from above, bow to +x, origin amidships.

    Args:
        rng: Varies size, colours and deck.
        kind: One of `SHIP_KINDS`; None draws one.
        longest_m: Upper limit of the length.
    """
    kind = kind or str(rng.choice(SHIP_KINDS, p=(0.20, 0.13, 0.13, 0.15, 0.15, 0.08, 0.08, 0.08)))
    low, high, slender = {
        "cargo ship": (42, 85, 6.2),
        "tanker": (45, 85, 6.0),
        "container ship": (50, 85, 6.3),
        "warship": (36, 85, 8.2),
        "fishing ship": (17, 34, 3.7),
        "ferry": (28, 70, 4.4),
        "barge": (28, 60, 4.6),
        "tug": (18, 30, 2.9),
    }[kind]
    length = rng.uniform(low, max(low + 1, min(high, longest_m)))
    beam = length / slender * rng.uniform(0.93, 1.1)
    parts = _DECKS[kind](rng, length, beam)
    return Model("ship", tuple(parts), kind, metal=1.0)


def _house(x0: float, x1: float, half: float, base: float, top: float, material: str = "white") -> list[Part]:
    """Superstructure in two storeys."""
    inset = (x1 - x0) * 0.18
    return [
        Part(rectangle(x0, -half, x1, half), material, 0, base),
        Part(rectangle(x0 + inset, -half * 0.8, x1 - inset, half * 0.8), material, 0, top, gain=1.08),
    ]


def _hull_parts(
    length: float, beam: float, bow: float, rim: str, deck: str, stern: float = 0.85, board: float = 4.0
) -> list[Part]:
    inner = _hull(length * 0.97, beam * 0.88, bow, stern)
    return [Part(_hull(length, beam, bow, stern), rim, 0, board), Part(inner, deck)]


def _cargo(rng: np.random.Generator, length: float, beam: float) -> list[Part]:
    parts = _hull_parts(
        length,
        beam,
        0.16,
        str(rng.choice(("darkgrey", "blue", "deckred", "black"))),
        str(rng.choice(("deckred", "grey", "green"))),
    )
    hatch = str(rng.choice(("tan", "grey", "lightgrey", "deckred")))
    count = int(rng.integers(3, 6))
    edges = np.linspace(-0.24, 0.36, count + 1) * length
    for left, right in pairwise(edges):
        parts.append(
            Part(rectangle(left + 0.6, -beam * 0.30, right - 0.9, beam * 0.30), hatch, 0, 1.6, gain=rng.uniform(0.9, 1.1))
        )
        if rng.random() < 0.6:
            parts.append(Part(rectangle(right - 1.4, -0.4, right + length * 0.07, 0.4), "yellow", 3, 7))
    parts += _house(-0.45 * length, -0.30 * length, beam * 0.46, 8, 13)
    parts.append(Part(rectangle(-0.43 * length, -beam * 0.1, -0.39 * length, beam * 0.1), "darkgrey", 0, 6))
    return parts


def _tanker(rng: np.random.Generator, length: float, beam: float) -> list[Part]:
    parts = _hull_parts(
        length,
        beam,
        0.13,
        str(rng.choice(("black", "deckred", "darkgrey"))),
        str(rng.choice(("deckred", "deckred", "green", "grey"))),
    )
    parts.append(Part(rectangle(-0.28 * length, -0.5, 0.40 * length, 0.5), "lightgrey", 0, 1.5))
    for x in np.linspace(-0.22, 0.36, int(rng.integers(4, 8))) * length:
        parts.append(Part(rectangle(x - 0.3, -beam * 0.36, x + 0.3, beam * 0.36), "lightgrey", 0, 1.2, gain=0.8))
    parts.append(Part(rectangle(0.02 * length, -beam * 0.4, 0.06 * length, beam * 0.4), "yellow", 0, 3, gain=0.8))
    return parts + _house(-0.45 * length, -0.31 * length, beam * 0.46, 9, 14)


def _container(rng: np.random.Generator, length: float, beam: float) -> list[Part]:
    parts = _hull_parts(length, beam, 0.17, str(rng.choice(("blue", "black", "deckred", "green"))), "darkgrey")
    bays = np.linspace(-0.26, 0.36, max(5, int(length / 8)))
    rows = max(3, int(beam / 2.6))
    for left, right in zip(bays[:-1] * length, bays[1:] * length, strict=True):
        tier = rng.uniform(3, 9)
        for row in range(rows):
            if rng.random() < 0.12:
                continue
            y0 = -beam * 0.43 + row * beam * 0.86 / rows
            box = rectangle(left + 0.25, y0, right - 0.35, y0 + beam * 0.86 / rows - 0.12)
            parts.append(
                Part(box, str(rng.choice(_STACKS)), 0, tier if row in (0, rows - 1) else 0.0, gain=rng.uniform(0.85, 1.1))
            )
    return parts + _house(-0.40 * length, -0.29 * length, beam * 0.47, 11, 16)


def _warship(rng: np.random.Generator, length: float, beam: float) -> list[Part]:
    paint = str(rng.choice(("grey", "grey", "darkgrey", "lightgrey")))
    parts = [
        Part(_hull(length, beam, 0.42, 0.8), paint, 0, 4),
        Part(_hull(length * 0.96, beam * 0.86, 0.42, 0.8), paint, gain=0.8),
    ]
    parts.append(Part(rectangle(-0.20 * length, -beam * 0.36, 0.16 * length, beam * 0.36), paint, 0, 6, gain=1.15))
    parts.append(Part(rectangle(0.02 * length, -beam * 0.28, 0.13 * length, beam * 0.28), paint, 0, 10, gain=1.25))
    parts.append(Part(rectangle(-0.12 * length, -beam * 0.16, -0.05 * length, beam * 0.16), "darkgrey", 0, 9))
    parts.append(Part(ellipse(0.06 * length, 0, 0.9, 0.9, 8), "darkgrey", 8, 19))
    parts.append(Part(ellipse(0.27 * length, 0, beam * 0.16, beam * 0.16, 12), paint, 0, 3, gain=1.2))
    parts.append(Part(rectangle(0.27 * length, -0.35, 0.35 * length, 0.35), paint, 1, 2.5))
    if length > 55:
        parts.append(Part(ellipse(-0.35 * length, 0, beam * 0.27, beam * 0.27, 18), "lightgrey", gain=0.7))
        parts.append(Part(ellipse(-0.35 * length, 0, beam * 0.20, beam * 0.20, 18), paint, gain=0.8))
    return parts


def _fishing(rng: np.random.Generator, length: float, beam: float) -> list[Part]:
    parts = _hull_parts(
        length,
        beam,
        0.30,
        str(rng.choice(("blue", "white", "red", "green", "black"))),
        str(rng.choice(("tan", "grey", "green", "deckred"))),
        board=2.5,
    )
    ahead = 0.10 if rng.random() < 0.7 else -0.32
    parts += _house(ahead * length, (ahead + 0.20) * length, beam * 0.33, 3.5, 6)
    parts.append(Part(rectangle(-0.40 * length, -beam * 0.34, -0.36 * length, beam * 0.34), "yellow", 3, 7))
    parts.append(Part(rectangle(-0.18 * length, -beam * 0.18, -0.02 * length, beam * 0.18), "darkgrey", gain=1.2))
    return parts


def _ferry(rng: np.random.Generator, length: float, beam: float) -> list[Part]:
    parts = _hull_parts(length, beam, 0.22, "white", "lightgrey", 0.95)
    parts.append(Part(rectangle(-0.40 * length, -beam * 0.42, 0.28 * length, beam * 0.42), "white", 0, 9))
    parts.append(
        Part(
            rectangle(-0.36 * length, -beam * 0.30, 0.10 * length, beam * 0.30),
            str(rng.choice(("green", "blue", "lightgrey"))),
            gain=0.9,
        )
    )
    parts.append(
        Part(
            rectangle(-0.22 * length, -beam * 0.12, -0.14 * length, beam * 0.12),
            str(rng.choice(("red", "blue", "darkgrey"))),
            0,
            7,
        )
    )
    parts.append(Part(rectangle(0.16 * length, -beam * 0.46, 0.24 * length, beam * 0.46), "white", 0, 12, gain=1.05))
    for side in (1, -1):
        for x in np.linspace(-0.3, 0.05, 4) * length:
            parts.append(Part(ellipse(x, side * beam * 0.37, 2.2, 0.8, 8), "red"))
    return parts


def _barge(rng: np.random.Generator, length: float, beam: float) -> list[Part]:
    rim = str(rng.choice(("deckred", "darkgrey", "black")))
    parts = [Part(rectangle(-length / 2, -beam / 2, length / 2, beam / 2), rim, 0, 2.5)]
    hold = str(rng.choice(("soil", "gravel", "sand", "black", "grey")))
    parts.append(Part(rectangle(-length * 0.40, -beam * 0.37, length * 0.46, beam * 0.37), hold, gain=rng.uniform(0.8, 1.2)))
    if rng.random() < 0.6:
        parts += _house(-0.48 * length, -0.41 * length, beam * 0.3, 4, 6)
    return parts


def _tug(rng: np.random.Generator, length: float, beam: float) -> list[Part]:
    parts = _hull_parts(length, beam, 0.34, "black", str(rng.choice(("deckred", "green", "grey"))), board=2.5)
    parts += _house(-0.06 * length, 0.22 * length, beam * 0.33, 5, 9)
    parts.append(Part(ellipse(-0.10 * length, 0, 1.1, 1.1, 10), str(rng.choice(("red", "yellow", "black"))), 0, 7))
    return parts


_DECKS = {
    "cargo ship": _cargo,
    "tanker": _tanker,
    "container ship": _container,
    "warship": _warship,
    "fishing ship": _fishing,
    "ferry": _ferry,
    "barge": _barge,
    "tug": _tug,
}


def small_boat(rng: np.random.Generator, kind: str | None = None) -> Model:
    """A boat of 4 to 14 m, bow to +x."""
    kind = kind or str(rng.choice(BOAT_KINDS, p=(0.42, 0.30, 0.16, 0.12)))
    length = rng.uniform(4, 6.5) if kind == "dinghy" else rng.uniform(6, 14)
    beam = length / rng.uniform(2.7, 3.4)
    rim = str(rng.choice(("white", "white", "white", "lightgrey", "blue", "darkgrey"))) if kind != "dinghy" else "grey"
    parts = [Part(_hull(length, beam, 0.42, 0.8), rim, 0, 1.2)]
    if kind == "motor boat":
        parts.append(Part(rectangle(-0.18 * length, -beam * 0.33, 0.18 * length, beam * 0.33), "white", 0, 2.2, gain=1.05))
        parts.append(Part(rectangle(0.13 * length, -beam * 0.28, 0.21 * length, beam * 0.28), "glass"))
        parts.append(Part(rectangle(-0.44 * length, -beam * 0.30, -0.20 * length, beam * 0.30), "tan", gain=0.8))
    elif kind == "sailing boat":
        parts.append(Part(rectangle(-0.40 * length, -beam * 0.24, -0.16 * length, beam * 0.24), "tan", gain=0.7))
        parts.append(
            Part(
                rectangle(-0.30 * length, -0.16, 0.12 * length, 0.16),
                str(rng.choice(("blue", "lightgrey", "darkgrey"))),
                1.5,
                2,
            )
        )
        parts.append(Part(ellipse(0.12 * length, 0, 0.16, 0.16, 6), "lightgrey", 0, length * 1.15))
    else:
        parts.append(
            Part(_hull(length * 0.82, beam * 0.66, 0.40, 0.8), str(rng.choice(("tan", "darkgrey", "deckred"))), gain=0.8)
        )
    return Model("small boat", tuple(parts), kind, metal=0.25)


def wake(rng: np.random.Generator, length_m: float, beam_m: float) -> Model:
    """Foam behind something under way; clutter, nobody's label. Same frame as the vessel: it lies behind x = -length / 2."""
    tail = length_m * rng.uniform(0.9, 2.2) + 12
    stern = -length_m * 0.47
    parts = []
    for behind in np.sort(rng.random(int(26 + tail / 2)))[::-1]:  # churned water: broken, fading, widening
        y = rng.normal(0, beam_m * (0.10 + 0.16 * behind))
        size = beam_m * rng.uniform(0.10, 0.26) * (1 + behind)
        parts.append(
            Part(
                ellipse(stern - behind * tail, y, size * 1.9, size * 0.7, 9), "foam", gain=max(0.16, 0.9 * (1 - behind) ** 1.4)
            )
        )
    for side in (1, -1):  # bow waves
        for out in np.linspace(0, 1, 9):
            x, y = length_m * (0.40 - 0.95 * out), beam_m * (0.38 + 1.2 * out)
            ray = ellipse(x + rng.normal(0, 0.5), side * y, length_m * 0.055, beam_m * 0.045, 7)
            parts.append(Part(ray, "foam", gain=0.5 - 0.33 * out))
    return Model("", tuple(parts), "wake", metal=0.0)
