"""Shapes of what moves: aircraft, helicopters, vehicles.

Belongs here: outlines in metres; ships are `vessels`', buildings `structures`'. Every function takes a generator and
returns a `Model`; sizes follow common types of the real world.
"""

from dataclasses import dataclass

import numpy as np

from ovd_platform.demo.solids import Model, Part, Points, ellipse, mirrored, rectangle

_PAINT = ("white", "white", "white", "white", "lightgrey", "white", "grey", "lightgrey")
_CAR = ("white", "white", "lightgrey", "grey", "grey", "darkgrey", "black", "black", "red", "blue", "tan")


@dataclass(frozen=True, slots=True)
class _Airframe:
    """Proportions: lengths in metres, sweep in degrees, positions as shares of the length from the nose."""

    kind: str
    length_m: tuple[float, float]
    span: float  # share of the length
    fuselage: float
    sweep_deg: float
    wing_root: float  # leading edge at the fuselage
    root_chord: float
    tip_chord: float
    tail_span: float
    engines: tuple[float, ...]  # shares of the half span under the wing
    rear_engines: bool = False
    propellers: bool = False
    paint: tuple[str, ...] = _PAINT


_AIRFRAMES = {
    frame.kind: frame
    for frame in (
        _Airframe("wide-body airliner", (54, 66), 0.96, 0.092, 33, 0.30, 0.20, 0.045, 0.33, (0.33,)),
        _Airframe("four-engine airliner", (62, 72), 0.95, 0.092, 35, 0.28, 0.21, 0.045, 0.33, (0.34, 0.66)),
        _Airframe("airliner", (32, 44), 0.92, 0.104, 27, 0.33, 0.20, 0.050, 0.35, (0.33,)),
        _Airframe("regional jet", (25, 34), 0.79, 0.098, 27, 0.42, 0.18, 0.055, 0.28, (), rear_engines=True),
        _Airframe("turboprop", (22, 30), 1.02, 0.105, 2, 0.38, 0.115, 0.060, 0.30, (0.31,), propellers=True),
        _Airframe("business jet", (14, 22), 0.95, 0.115, 28, 0.40, 0.19, 0.060, 0.38, (), rear_engines=True),
        _Airframe("light aircraft", (8, 12), 1.25, 0.125, 0, 0.24, 0.185, 0.130, 0.42, (), propellers=True),
        _Airframe("transport aircraft", (30, 41), 1.20, 0.125, 4, 0.34, 0.145, 0.075, 0.42, (0.28, 0.55), propellers=True,
                  paint=("grey", "darkgrey", "grey", "green")),
    )
}  # fmt: skip
AIRFRAME_KINDS = (*_AIRFRAMES, "fighter")


def aircraft(rng: np.random.Generator, kind: str | None = None) -> Model:
    """An aircraft seen from above: fuselage, wings, tail, engines; nose to +x, origin in the middle of the fuselage.

    Args:
        rng: Varies size, proportions and paint.
        kind: One of `AIRFRAME_KINDS`; None draws one.
    """
    if kind is None:
        kind = str(rng.choice(AIRFRAME_KINDS, p=(0.13, 0.05, 0.36, 0.12, 0.09, 0.10, 0.05, 0.05, 0.05)))
    if kind == "fighter":
        return _fighter(rng)
    frame = _AIRFRAMES[kind]
    length = rng.uniform(*frame.length_m)
    paint = str(rng.choice(frame.paint))
    wing_paint = "lightgrey" if paint == "white" and rng.random() < 0.6 else paint
    half_span = length * frame.span * rng.uniform(0.96, 1.04) / 2
    half_body = length * frame.fuselage / 2
    nose = length / 2
    z = 0.055 * length + 0.6
    parts: list[Part] = []
    tail_x = nose - 0.86 * length if frame.rear_engines else nose - 0.87 * length
    stabiliser = _wing(
        tail_x, length * frame.tail_span / 2, 0.115 * length, 0.05 * length, max(frame.sweep_deg, 6), half_body * 0.3
    )
    wing = _wing(
        nose - frame.wing_root * length,
        half_span,
        frame.root_chord * length,
        frame.tip_chord * length,
        frame.sweep_deg,
        half_body * 0.6,
    )
    gain = rng.uniform(0.88, 1.05)
    for outline in (stabiliser, mirrored(stabiliser)):
        parts.append(Part(outline, wing_paint, z, z + 0.4, gain=gain))
    parts += _engines(frame, length, half_span, half_body, nose, z, paint)
    for outline in (wing, mirrored(wing)):
        parts.append(Part(outline, wing_paint, z - 0.5, z + 0.3, gain=gain * 0.97))
    parts += _fuselage(length, half_body, z, paint, rng)
    fin_paint = paint if rng.random() < 0.5 else str(rng.choice(("blue", "red", "darkgrey", "green", "yellow")))
    fin_root = tail_x + 0.05 * length
    fin = np.array([[fin_root, -0.25], [fin_root - 0.16 * length, -0.3], [fin_root - 0.16 * length, 0.3], [fin_root, 0.25]])
    parts.append(Part(fin, fin_paint, z, z + 0.19 * length))
    return Model("aircraft", tuple(parts), kind, metal=0.6)


def _wing(leading_x: float, half_span: float, root: float, tip: float, sweep_deg: float, inner_y: float) -> Points:
    """One wing with a kinked trailing edge, on the right (+y)."""
    back = (half_span - inner_y) * np.tan(np.deg2rad(sweep_deg))
    kink_y = inner_y + 0.36 * (half_span - inner_y)
    kink_x = leading_x - root * 0.98 - back * 0.08
    return np.array(
        [
            [leading_x, inner_y],
            [leading_x - back * 0.97, half_span * 0.975],
            [leading_x - back - tip * 0.4, half_span],
            [leading_x - back - tip, half_span],
            [kink_x if sweep_deg > 8 else leading_x - root * 0.9, kink_y],
            [leading_x - root, inner_y],
        ]
    )


def _fuselage(length: float, half_body: float, z: float, paint: str, rng: np.random.Generator) -> list[Part]:
    """Body in three strips, so that the light falls on a round tube; cockpit glass."""
    x_n = np.array([0.5, 0.488, 0.465, 0.42, 0.36, -0.12, -0.30, -0.42, -0.49, -0.5]) * length
    y_n = np.array([0.10, 0.42, 0.66, 0.90, 1.0, 1.0, 0.80, 0.42, 0.16, 0.06]) * half_body
    parts = [
        Part(np.concatenate([np.stack([x_n, y_n], 1), np.stack([x_n, -y_n], 1)[::-1]]), paint, z - half_body, z + half_body)
    ]
    for side, tilt in ((1.0, -0.75), (-1.0, 0.75)):
        strip = np.concatenate([np.stack([x_n, side * y_n], 1), np.stack([x_n, side * y_n * 0.42], 1)[::-1]])
        parts.append(Part(strip, paint, tilt=(0.0, tilt)))
    x = 0.47 * length
    parts.append(Part(rectangle(x - 0.018 * length, -half_body * 0.45, x, half_body * 0.45), "glass"))
    if rng.random() < 0.3 and length > 20:
        band = rng.uniform(-0.2, 0.25) * length
        stripe = rectangle(band, -half_body * 0.95, band + 0.12 * length, half_body * 0.95)
        parts.append(Part(stripe, str(rng.choice(("blue", "red", "darkgrey", "tan")))))
    return parts


def _engines(
    frame: _Airframe, length: float, half_span: float, half_body: float, nose: float, z: float, paint: str
) -> list[Part]:
    parts = []
    size = 0.034 * length if not frame.propellers else 0.020 * length
    for share in frame.engines:
        y = share * half_span
        x = nose - frame.wing_root * length - y * np.tan(np.deg2rad(frame.sweep_deg))
        reach = 0.075 * length if not frame.propellers else 0.055 * length
        for side in (1, -1):
            pod = rectangle(x - 0.03 * length, side * y - size, x + reach, side * y + size)
            parts.append(Part(pod, "grey" if paint == "white" else "darkgrey", z - 2.0, z - 0.2))
            if frame.propellers:
                disc = rectangle(x + reach, side * y - 0.07 * length, x + reach + 0.5, side * y + 0.07 * length)
                parts.append(Part(disc, "darkgrey", gain=1.2))
    if frame.rear_engines:
        x = nose - 0.72 * length
        for side in (1, -1):
            y = side * (half_body * 1.75)
            parts.append(
                Part(
                    rectangle(x - 0.10 * length, y - size * 0.8, x + 0.02 * length, y + size * 0.8), paint, z, z + 1, gain=0.85
                )
            )
    if frame.propellers and not frame.engines:
        parts.append(Part(rectangle(nose, -0.13 * length, nose + 0.35, 0.13 * length), "darkgrey"))
    return parts


def _fighter(rng: np.random.Generator) -> Model:
    length = rng.uniform(14, 20)
    paint = str(rng.choice(("grey", "darkgrey", "grey", "tan")))
    x_n = np.array([0.5, 0.36, 0.16, 0.02, -0.30, -0.34, -0.42, -0.46, -0.5]) * length
    y_n = np.array([0.0, 0.045, 0.055, 0.10, 0.34, 0.34, 0.10, 0.20, 0.09]) * length
    outline = np.concatenate([np.stack([x_n, y_n], 1), np.stack([x_n, -y_n], 1)[::-1]])
    spine = np.array([[0.42, 0.02], [-0.48, 0.045], [-0.48, -0.045], [0.42, -0.02]]) * length
    canopy = ellipse(0.30 * length, 0, 0.07 * length, 0.022 * length, 10)
    parts = [Part(outline, paint, 1.2, 2.6), Part(spine, paint, 2.5, 3.6, gain=1.15), Part(canopy, "glass")]
    for side in (1, -1):
        y = side * 0.07 * length
        parts.append(Part(rectangle(-0.46 * length, y - 0.2, -0.28 * length, y + 0.2), paint, 3, 5.5, gain=1.1))
    return Model("aircraft", tuple(parts), "fighter", metal=0.6)


def helicopter(rng: np.random.Generator) -> Model:
    """Drop-shaped cabin, tail boom, tail rotor and standing rotor blades; nose to +x."""
    length = rng.uniform(9.5, 16.5)
    paint = str(rng.choice(("white", "green", "darkgrey", "red", "blue", "yellow", "grey")))
    body = 0.085 * length
    cabin = np.concatenate([ellipse(0.20 * length, 0, 0.26 * length, body * 1.25, 18)])
    boom = np.array([[0.02, 0.05], [-0.5, 0.014], [-0.5, -0.014], [0.02, -0.05]]) * length
    parts = [Part(boom, paint, 1.6, 2.2), Part(cabin, paint, 0.8, 3.0, round_m=0.30 * length)]
    parts.append(Part(ellipse(0.36 * length, 0, 0.07 * length, body * 0.8, 10), "glass"))
    parts.append(Part(rectangle(-0.47 * length, -0.11 * length, -0.41 * length, 0.11 * length), paint, 2.0, 2.2))
    radius, blades, first = 0.52 * length, int(rng.choice((3, 4, 4, 5))), rng.uniform(0, np.pi)
    for turn in first + np.arange(blades) * 2 * np.pi / blades:
        along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)]) * 0.26
        hub = np.array([0.17 * length, 0.0])
        parts.append(
            Part(
                np.array([hub + across, hub + along * radius + across, hub + along * radius - across, hub - across]),
                "black",
                3.4,
                3.5,
            )
        )
    parts.append(Part(ellipse(0.17 * length, 0, 0.6, 0.6, 8), "grey", 3.0, 3.8))
    return Model("helicopter", tuple(parts), "helicopter", metal=0.5)


def vehicle(rng: np.random.Generator, kind: str | None = None) -> Model:
    """A car, van, lorry or bus; forward to +x."""
    kind = kind or str(rng.choice(("car", "car", "car", "van", "lorry", "bus")))
    paint = str(rng.choice(_CAR))
    if kind in ("car", "van"):
        length, half, top = (rng.uniform(4.0, 4.9), 0.92, 1.5) if kind == "car" else (rng.uniform(5.2, 6.6), 1.05, 2.4)
        parts = [Part(rectangle(-length / 2, -half, length / 2, half), paint, 0.2, top * 0.6)]
        parts.append(Part(rectangle(-length * 0.32, -half * 0.85, length * 0.16, half * 0.85), paint, 0.5, top, gain=1.15))
        parts.append(Part(rectangle(length * 0.14, -half * 0.8, length * 0.27, half * 0.8), "glass"))
        return Model("vehicle", tuple(parts), kind, metal=0.3)
    length = rng.uniform(9, 16.5) if kind == "lorry" else rng.uniform(10.5, 13)
    body = str(rng.choice(("white", "lightgrey", "blue", "red", "tan", "white", "yellow")))
    cab = rectangle(length / 2 - 2.3, -1.2, length / 2, 1.2)
    box = rectangle(-length / 2, -1.27, length / 2 - (2.9 if kind == "lorry" else 0.6), 1.27)
    parts = [Part(cab, paint if kind == "lorry" else body, 0.4, 2.8), Part(box, body, 0.6, 3.6)]
    if kind == "bus":
        parts.append(Part(rectangle(-length * 0.2, -0.7, -length * 0.02, 0.7), "grey"))
    return Model("vehicle", tuple(parts), kind, metal=0.4)
