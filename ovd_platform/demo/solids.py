"""Objects as stacks of flat parts, and their drawing with shadows.

Belongs here: geometry and compositing; shapes are `craft`'s and `structures`'.

Local frame of an object: metres, x forward, y to its right. Scene frame: metres, x to the right (east), y down (south).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ovd_platform.demo.spectra import CODE, NOTHING

FloatArray = NDArray[np.float32]
Points = NDArray[np.float64]

_SHIFT = 4  # sub-sample bits of polygon corners
_FINE = 2  # samples of an object's patch per sample of the canvas


@dataclass(frozen=True, slots=True)
class Part:
    """One roof, deck, wing or hull seen from above.

    Attributes:
        corners_n2: Outline, shape (N, 2), metres, local frame.
        material: Name of the surface.
        low_m: Height of its underside above what lies below it.
        high_m: Height of its top; it throws a shadow from ``low_m`` to ``high_m`` (none if both are 0).
        tilt: Slope of the surface as (dx, dy): rise per metre along the local axes; (0, 0) is level.
        gain: Multiplies the reflectance.
        round_m: Radius of curvature for a dome or sphere around the outline's middle; 0 for flat parts.
    """

    corners_n2: Points
    material: str
    low_m: float = 0.0
    high_m: float = 0.0
    tilt: tuple[float, float] = (0.0, 0.0)
    gain: float = 1.0
    round_m: float = 0.0


@dataclass(frozen=True, slots=True)
class Model:
    """An object in its own frame.

    Attributes:
        class_name: Class of the truth; "" for clutter that is nobody's label.
        parts: From the lowest to the highest.
        kind: Sub-type for captions: "tanker", "light aircraft".
        metal: How strongly it sends radar back, 1 is a steel ship.
    """

    class_name: str
    parts: tuple[Part, ...]
    kind: str = ""
    metal: float = 0.3

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """Box around the parts in the local frame, metres; shadows do not count."""
        corners = np.concatenate([part.corners_n2 for part in self.parts])
        return (*corners.min(0).tolist(), *corners.max(0).tolist())

    @property
    def height_m(self) -> float:
        """Highest top."""
        return max(part.high_m for part in self.parts)


@dataclass(frozen=True, slots=True)
class Placed:
    """A model at its place in a scene.

    Attributes:
        model: What.
        centre_m: Where its origin is, scene frame.
        heading_rad: From the scene's x axis towards its y axis (clockwise as seen).
        context: What it stands on or in, for people and for the odd-context set.
        odd: True where the surroundings are unusual for the class.
    """

    model: Model
    centre_m: tuple[float, float]
    heading_rad: float
    context: str = ""
    odd: bool = False

    def to_scene_m(self, local_n2: Points) -> Points:
        """Local to scene frame, new array (N, 2)."""
        cosine, sine = np.cos(self.heading_rad), np.sin(self.heading_rad)
        turn = np.array([[cosine, sine], [-sine, cosine]])
        moved: Points = local_n2 @ turn + np.asarray(self.centre_m)
        return moved

    @property
    def corners_m(self) -> Points:
        """The oriented box's corners, (4, 2), scene frame, metres."""
        return self.to_scene_m(rectangle(*self.model.box_xyxy))

    @property
    def outline_m(self) -> Points:
        """Convex outline of what is visible of it (shadows do not count), (N, 2), scene frame, metres."""
        corners = np.concatenate([part.corners_n2 for part in self.model.parts]).astype(np.float32)
        hull = cv2.approxPolyDP(cv2.convexHull(corners), 0.12, True).reshape(-1, 2)
        return self.to_scene_m(hull.astype(np.float64))


@dataclass(frozen=True, slots=True)
class Light:
    """Direction of illumination (the sun, or a radar).

    Attributes:
        azimuth_deg: Where it stands, clockwise from north.
        elevation_deg: Above the horizon.
    """

    azimuth_deg: float
    elevation_deg: float

    @property
    def toward(self) -> Points:
        """Unit vector to the light: x right, y down, z up."""
        azimuth, elevation = np.deg2rad(self.azimuth_deg), np.deg2rad(self.elevation_deg)
        return np.array([np.cos(elevation) * np.sin(azimuth), -np.cos(elevation) * np.cos(azimuth), np.sin(elevation)])

    @property
    def shadow_per_m(self) -> Points:
        """Displacement of the shadow on the ground per metre of height, (2,)."""
        toward = self.toward
        throw: Points = -toward[:2] / max(toward[2], 0.1)
        return throw


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Points:
    """Corners of a box, (4, 2)."""
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)


def ellipse(x: float, y: float, rx: float, ry: float, corners: int = 20) -> Points:
    """Corners of an ellipse, (corners, 2)."""
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([x + rx * np.cos(turn), y + ry * np.sin(turn)], 1)


def mirrored(corners_n2: Points) -> Points:
    """The same outline on the other side of the x axis."""
    other: Points = corners_n2 * np.array([1.0, -1.0])
    return other


def slope_gain(light: Light, tilt_xy: Points) -> float:
    """Brightness of a slope relative to level ground (Lambert), limited to [0.35, 1.6].

    Args:
        light: The illumination.
        tilt_xy: Rise per metre along the scene's axes, (2,).
    """
    normal = np.array([-tilt_xy[0], -tilt_xy[1], 1.0])
    cosine = float(normal @ light.toward / np.linalg.norm(normal))
    return float(np.clip(0.25 + 0.75 * cosine / max(light.toward[2], 0.1), 0.35, 1.6))


def _fixed(points_n2: Points) -> NDArray[np.int32]:
    # cv2 takes sample centres as whole numbers; our (0, 0) is the outer corner of the first sample.
    return np.round((points_n2 - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _fill(target_hw: NDArray[np.uint8], points_n2: Points, value: int) -> None:
    cv2.fillPoly(target_hw, [_fixed(points_n2)], value, shift=_SHIFT)


def _sweep(target_hw: NDArray[np.uint8], points_n2: Points, low_2: Points, high_2: Points) -> None:
    """Fill what an outline covers on its way from one displacement to another."""
    _fill(target_hw, points_n2 + high_2, 255)
    if np.abs(high_2 - low_2).max() < 0.25:
        return
    _fill(target_hw, points_n2 + low_2, 255)
    ends = np.roll(points_n2, -1, 0)
    quads = np.stack([points_n2 + low_2, ends + low_2, ends + high_2, points_n2 + high_2], 1)
    for quad in _fixed(quads):
        cv2.fillConvexPoly(target_hw, quad, 255, shift=_SHIFT)


def _round_gain(
    shape_hw: tuple[int, int], centre_2: Points, radius_samples: float, curvature_samples: float, light: Light
) -> FloatArray:
    """Lambert shading and a soft highlight of a dome, (H, W) float32."""
    y_hw, x_hw = np.mgrid[0 : shape_hw[0], 0 : shape_hw[1]].astype(np.float32)
    nx = (x_hw + 0.5 - centre_2[0]) / curvature_samples
    ny = (y_hw + 0.5 - centre_2[1]) / curvature_samples
    nz = np.sqrt(np.clip(1 - nx**2 - ny**2, 0.02, 1))
    toward = light.toward.astype(np.float32)
    cosine = np.clip(nx * toward[0] + ny * toward[1] + nz * toward[2], 0, 1)
    half = toward + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    shine = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0, 1) ** 40
    gain: FloatArray = np.clip(0.18 + 0.72 * cosine / max(float(toward[2]), 0.55) + 0.55 * shine, 0.2, 1.7).astype(np.float32)
    return gain


@dataclass(slots=True)
class Canvas:
    """Supersampled image under construction.

    Attributes:
        level_chw: Reflectance (or backscatter), (C, H, W) float32.
        shadow_hw: Share of the direct light that is blocked, (H, W) float32, [0, 1].
        samples_per_m: Samples of the canvas per metre.
        table_ck: Level of each material code, (C, 256) float32.
    """

    level_chw: FloatArray
    shadow_hw: FloatArray
    samples_per_m: float
    table_ck: FloatArray

    def draw(self, placed: Placed, light: Light) -> None:
        """Draw an object and its shadow; draw low objects before high ones.

        Args:
            placed: What and where.
            light: The illumination.
        """
        scale = self.samples_per_m * _FINE
        outlines = [placed.to_scene_m(part.corners_n2) * scale for part in placed.model.parts]
        throw = light.shadow_per_m * scale
        reach = np.concatenate([o + throw * p.high_m for o, p in zip(outlines, placed.model.parts, strict=True)] + outlines)
        height, width = self.shadow_hw.shape
        x0, y0 = np.maximum(np.floor(reach.min(0) / _FINE).astype(int) - 1, 0)
        x1, y1 = np.minimum(np.ceil(reach.max(0) / _FINE).astype(int) + 1, (width, height))
        if x1 <= x0 or y1 <= y0:
            return
        offset = np.array([x0, y0]) * _FINE
        shape = (int(y1 - y0) * _FINE, int(x1 - x0) * _FINE)
        code, gain, shadow = np.full(shape, NOTHING, np.uint8), np.ones(shape, np.float32), np.zeros(shape, np.uint8)
        for part, outline in zip(placed.model.parts, outlines, strict=True):
            _draw_part(part, outline - offset, placed.heading_rad, light, throw, scale, code, gain, shadow)
        self._composite((slice(y0, y1), slice(x0, x1)), code, gain, shadow)

    def _composite(
        self, place: tuple[slice, slice], code: NDArray[np.uint8], gain: FloatArray, shadow: NDArray[np.uint8]
    ) -> None:
        size = (code.shape[1] // _FINE, code.shape[0] // _FINE)
        solid = (code != NOTHING).astype(np.float32)
        dark = shadow.astype(np.float32) / 255
        alpha = cv2.resize(solid, size, interpolation=cv2.INTER_AREA)
        own_dark = cv2.resize(dark * solid, size, interpolation=cv2.INTER_AREA)
        ground_dark = cv2.resize(dark * (1 - solid), size, interpolation=cv2.INTER_AREA) / np.maximum(1 - alpha, 1e-3)
        below = self.shadow_hw[place]
        self.shadow_hw[place] = np.maximum(below, ground_dark) * (1 - alpha) + own_dark
        for band in range(len(self.level_chw)):
            level = cv2.LUT(code, self.table_ck[band]) * gain * solid
            target = self.level_chw[band][place]
            target *= 1 - alpha
            target += cv2.resize(level, size, interpolation=cv2.INTER_AREA)


def _draw_part(
    part: Part,
    outline: Points,
    heading_rad: float,
    light: Light,
    throw_2: Points,
    scale: float,
    code: NDArray[np.uint8],
    gain: FloatArray,
    shadow: NDArray[np.uint8],
) -> None:
    if part.high_m > 0:
        _sweep(shadow, outline, throw_2 * part.low_m, throw_2 * part.high_m)
    _fill(shadow, outline, 0)
    _fill(code, outline, CODE[part.material])
    level = part.gain
    if part.tilt != (0.0, 0.0):
        cosine, sine = np.cos(heading_rad), np.sin(heading_rad)
        tilt = np.array([part.tilt[0] * cosine - part.tilt[1] * sine, part.tilt[0] * sine + part.tilt[1] * cosine])
        level *= slope_gain(light, tilt)
    if part.round_m <= 0:
        cv2.fillPoly(gain, [_fixed(outline)], level, shift=_SHIFT)
        return
    mask = np.zeros(code.shape, np.uint8)
    _fill(mask, outline, 1)
    radius = float(np.ptp(outline[:, 0])) / 2
    curved = _round_gain(code.shape, outline.mean(0), radius, part.round_m * scale, light)
    np.copyto(gain, curved * np.float32(level), where=mask.astype(bool))
