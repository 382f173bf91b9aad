"""A place being laid out: its ground, what stands on it, and what room is left.

Belongs here: placement and its rules; what is built where is `zones_*`'.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ovd_platform.demo.ground import Ground
from ovd_platform.demo.noise import octave_noise
from ovd_platform.demo.solids import Light, Model, Placed, Points

Surface = Literal["water", "land", "open", "any"]


class Site:
    """A square piece of invented country.

    Plans are drawn in a turned frame (u, v) with its origin in the middle of the scene: u along the coast or the runway, v
    inland. What never moves is drawn from ``fixed``, what moves from ``mobile``: a revisit of a place shares the first only.

    Attributes:
        size_m: Edge length.
        ground: What lies there.
        light: The illumination.
        fixed: Randomness of the place.
        mobile: Randomness of the visit.
        placed: Objects so far.
        turn_rad: Direction of u in the scene.
        signed_hw: Distance inland, where there is a sea.
        theme: What the place is.
    """

    def __init__(
        self,
        size_m: float,
        samples_per_m: float,
        light: Light,
        fixed: np.random.Generator,
        mobile: np.random.Generator,
        base: str,
    ) -> None:
        samples = round(size_m * samples_per_m)
        self.size_m = size_m
        self.light = light
        self.fixed = fixed
        self.mobile = mobile
        self.turn_rad = float(fixed.uniform(0, 2 * np.pi))
        self.ground = Ground((samples, samples), samples_per_m, base)
        self.placed: list[Placed] = []
        self._taken = np.zeros((int(size_m) + 1, int(size_m) + 1), np.uint8)  # one cell a metre
        self.signed_hw: NDArray[np.float32] | None = None
        self.theme = ""
        self._later: list[Callable[[], None]] = []

    @property
    def half_m(self) -> float:
        """Half the edge length."""
        return self.size_m / 2

    def xy(self, points_uv: Points | list[list[float]]) -> Points:
        """Plan frame to scene frame, metres, new array (N, 2)."""
        cosine, sine = np.cos(self.turn_rad), np.sin(self.turn_rad)
        turned: Points = np.asarray(points_uv, np.float64) @ np.array([[cosine, sine], [-sine, cosine]]) + self.half_m
        return turned

    def box(self, u0: float, v0: float, u1: float, v1: float) -> Points:
        """A rectangle of the plan in the scene frame, (4, 2)."""
        return self.xy([[u0, v0], [u1, v0], [u1, v1], [u0, v1]])

    def coordinates(self, step: int = 1) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Plan coordinates (u, v) of every sample, two (H, W) float32 arrays, metres."""
        count = self.ground.code_hw.shape[0] // step
        at = (np.arange(count, dtype=np.float32) + 0.5) * np.float32(step / self.ground.samples_per_m) - np.float32(self.half_m)
        cosine, sine = np.float32(np.cos(self.turn_rad)), np.float32(np.sin(self.turn_rad))
        return at[None, :] * cosine + at[:, None] * sine, at[:, None] * cosine - at[None, :] * sine

    def flood(self, coast_v: float, beach_m: float, rough_m: float, calm: tuple[float, float] | None = None) -> None:
        """Put the sea where v < ``coast_v``.

        Args:
            coast_v: Mean coast line.
            beach_m: Width of the beach.
            rough_m: Amplitude of bays and headlands.
            calm: Range of u with a straight coast, for a quay.
        """
        u_hw, v_hw = self.coordinates()
        bays = octave_noise(
            self.fixed, u_hw.shape, ((self.ground.samples_per_m * 240, 1.0), (self.ground.samples_per_m * 70, 0.35))
        )
        amplitude = np.full(u_hw.shape, np.float32(rough_m))
        if calm is not None:
            outside = np.maximum(np.maximum(calm[0] - u_hw, u_hw - calm[1]), 0)
            amplitude *= np.clip(outside / 90, 0, 1)
        self.signed_hw = v_hw - np.float32(coast_v) + bays * amplitude
        self.ground.sea(self.signed_hw, beach_m, amplitude > 0.2 * rough_m, self.fixed)

    def later(self, task: Callable[[], None]) -> None:
        """Put off what moves until all that does not has found its place, so that visits share it."""
        self._later.append(task)

    def settle(self) -> None:
        """Do what was put off."""
        for task in self._later:
            task()
        self._later.clear()

    def window(self, west_m: float, north_m: float, size_m: float) -> "Site":
        """A square part of the place as a place of its own, ready to be rendered (not to be built on)."""
        scale = self.ground.samples_per_m
        samples = round(size_m * scale)
        limit = self.ground.code_hw.shape[0] - samples
        x, y = (int(np.clip(round(at * scale), 0, limit)) for at in (west_m, north_m))
        part = object.__new__(Site)
        part.__dict__.update(self.__dict__)
        part.size_m = samples / scale
        part.ground = self.ground.window(x, y, samples)
        moved = [replace(item, centre_m=(item.centre_m[0] - x / scale, item.centre_m[1] - y / scale)) for item in self.placed]
        reach = part.size_m
        part.placed = [item for item in moved if item.corners_m.max() > -60 and item.corners_m.min() < reach + 60]
        part.signed_hw = None
        return part

    def inland(self, u: float, v: float, distance_m: float) -> float:
        """The smallest v' >= v at u that lies a distance from the sea."""
        if self.signed_hw is None:
            return v
        limit = self.signed_hw.shape[0] - 1
        for step in np.arange(0, self.size_m, 4.0):
            index = np.clip((self.xy([[u, v + step]])[0] * self.ground.samples_per_m).astype(int), 0, limit)
            if self.signed_hw[index[1], index[0]] > distance_m:
                return float(v + step)
        return v + distance_m

    def add(
        self,
        model: Model,
        uv: tuple[float, float],
        turn_rad: float,
        context: str = "",
        *,
        surface: Surface = "any",
        gap_m: float = 1.0,
        force: bool = False,
        claim: bool = True,
        odd: bool = False,
        cut: bool = False,
    ) -> Placed | None:
        """Place a model if there is room.

        Args:
            model: What.
            uv: Where, plan frame, metres.
            turn_rad: Heading in the plan frame.
            context: Surroundings in words.
            surface: What all of it must lie on; ``open`` is unpaved and without trees.
            gap_m: Room to leave around it.
            claim: Take the room; False for what reaches over others high up.
            force: Place it whatever stands there (clutter that touches, a bridge).
            odd: Whether its surroundings are unusual.
            cut: Allow it to reach out of the scene.

        Returns:
            The object placed, or None if there is no room.
        """
        x, y = self.xy([list(uv)])[0].tolist()
        placed = Placed(model, (x, y), self.turn_rad + turn_rad, context, odd)
        corners = placed.corners_m
        if not cut and (corners.min() < 1.5 or corners.max() > self.size_m - 1.5):
            return None
        if surface != "any":
            weights = np.array([[a, b] for a in (0, 0.5, 1) for b in (0, 0.5, 1)])
            spread = corners[0] + weights[:, :1] * (corners[1] - corners[0]) + weights[:, 1:] * (corners[3] - corners[0])
            wet = self.ground.is_water(spread)
            if (surface == "water" and not wet.all()) or (surface != "water" and wet.any()):
                return None
            if surface == "open" and not self.ground.is_open(spread).all():
                return None
        if claim and not self.reserve(corners, gap_m, force=force):
            return None
        self.placed.append(placed)
        return placed

    def scattered(
        self, count: int, make: Callable[[], Model], *, turn_rad: float, surface: Surface, gap_m: float, tries: int
    ) -> Iterator[tuple[Model, tuple[float, float]]]:
        """Place models at random spots of open ground.

        Args:
            count: How many at most.
            make: Draws the next model; what finds no room is drawn anew.
            turn_rad: Headings are drawn from [0, this).
            surface: As in `add`.
            gap_m: As in `add`.
            tries: Attempts for each of ``count``.

        Yields:
            What was placed and where, plan frame, metres.
        """
        found = 0
        for _ in range(count * tries):
            if found == count:
                return
            model = make()
            uv = (self.fixed.uniform(-0.6, 0.6) * self.size_m, self.fixed.uniform(-0.6, 0.6) * self.size_m)
            turn = float(self.fixed.uniform(0, turn_rad))
            if self.add(model, uv, turn, "on open ground", surface=surface, gap_m=gap_m) is not None:
                found += 1
                yield model, uv

    def reserve(self, corners_n2: Points, gap_m: float = 0.0, *, force: bool = False) -> bool:
        """Take an area (convex outline, scene frame); False, and nothing taken, if part of it is taken already."""
        middle = corners_n2.mean(0)
        out = corners_n2 - middle
        reach = np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
        outline = middle + out * (1 + gap_m * 1.4 / reach)
        limit = self._taken.shape[0]
        x0, y0 = np.clip(np.floor(outline.min(0)).astype(int), 0, limit)
        x1, y1 = np.clip(np.ceil(outline.max(0)).astype(int) + 1, 0, limit)
        if x1 <= x0 or y1 <= y0:
            return False
        mask = np.zeros((int(y1 - y0), int(x1 - x0)), np.uint8)
        cv2.fillConvexPoly(mask, np.round((outline - (x0, y0)) * 16).astype(np.int32), 1, shift=4)
        region = self._taken[y0:y1, x0:x1]
        if not force and (region & mask).any():
            return False
        region |= mask
        return True

    def plant(self, points_n2: Points, radius_m: tuple[float, float], keep_taken: bool = False) -> None:
        """Plant trees at points (N, 2), scene frame, where nothing stands and no water is."""
        points = np.asarray(points_n2)
        if len(points) == 0:
            return
        inside = ((points > 0) & (points < self.size_m)).all(1)
        points = points[inside]
        points = points[self.ground.is_open(points)]
        if not keep_taken:
            cells = np.clip(points.astype(int), 0, self._taken.shape[0] - 1)
            points = points[self._taken[cells[:, 1], cells[:, 0]] == 0]
        radii = self.fixed.uniform(*radius_m, len(points)).astype(np.float32)
        self.ground.trees(points, radii, self.light, self.fixed)
