"""The ground of a scene: which material lies where, how bright, what trees stand on it.

Belongs here: painting of areas and lines in metres; objects with a class are `site`'s, light and bands are `optical`'s.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ovd_platform.demo.noise import octave_noise
from ovd_platform.demo.solids import Light, Points
from ovd_platform.demo.spectra import CODE, OPEN_CODES, WATER_CODES

FloatArray = NDArray[np.float32]

_SHIFT = 4


class Ground:
    """Material codes and brightness on the supersampled canvas.

    Attributes:
        code_hw: Material of each sample, (H, W) uint8.
        gain_hw: Multiplies the reflectance, (H, W) float32.
        shadow_hw: Shadows of trees, (H, W) float32, [0, 1].
        samples_per_m: Samples per metre.
    """

    def __init__(self, shape_hw: tuple[int, int], samples_per_m: float, material: str) -> None:
        self.code_hw = np.full(shape_hw, CODE[material], np.uint8)
        self.gain_hw = np.ones(shape_hw, np.float32)
        self.shadow_hw = np.zeros(shape_hw, np.float32)
        self.samples_per_m = samples_per_m

    def window(self, x: int, y: int, samples: int) -> "Ground":
        """A square part, in samples; views of this ground's arrays."""
        part = object.__new__(Ground)
        place = (slice(y, y + samples), slice(x, x + samples))
        part.code_hw, part.gain_hw, part.shadow_hw = self.code_hw[place], self.gain_hw[place], self.shadow_hw[place]
        part.samples_per_m = self.samples_per_m
        return part

    def _fixed(self, points_n2: Points) -> NDArray[np.int32]:
        return np.round((np.asarray(points_n2) * self.samples_per_m - 0.5) * (1 << _SHIFT)).astype(np.int32)

    def fill(self, points_n2: Points, material: str, gain: float = 1.0) -> None:
        """Paint an area: outline (N, 2) in metres, material, brightness."""
        fixed = self._fixed(points_n2)
        cv2.fillPoly(self.code_hw, [fixed], CODE[material], shift=_SHIFT)
        cv2.fillPoly(self.gain_hw, [fixed], gain, shift=_SHIFT)

    def stroke(self, points_n2: Points, width_m: float, material: str, gain: float = 1.0) -> None:
        """Paint a line of a width along points (N, 2), metres."""
        points = np.asarray(points_n2, np.float64)
        along = np.gradient(points, axis=0)
        along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
        across = np.stack([-along[:, 1], along[:, 0]], 1) * width_m / 2
        for start in range(len(points) - 1):  # short quads: a winding outline would cut holes into itself
            pair = slice(start, start + 2)
            self.fill(np.concatenate([(points + across)[pair], (points - across)[pair][::-1]]), material, gain)

    def dashes(
        self, start_2: Points, end_2: Points, width_m: float, on_m: float, off_m: float, material: str = "marking"
    ) -> None:
        """Paint a dashed straight line, metres."""
        start, end = np.asarray(start_2, np.float64), np.asarray(end_2, np.float64)
        length = float(np.linalg.norm(end - start))
        along = (end - start) / max(length, 1e-9)
        for at in np.arange(0, length, on_m + off_m):
            self.stroke(np.stack([start + along * at, start + along * min(at + on_m, length)]), width_m, material)

    def parcel(self, points_n2: Points, material: str, gain: float, stripe_m: float, turn_rad: float, depth: float) -> None:
        """Paint a field with rows: stripes of a spacing, direction and relative depth."""
        self.fill(points_n2, material, gain)
        fixed = np.asarray(points_n2) * self.samples_per_m
        height, width = self.code_hw.shape
        x0, y0 = np.clip(np.floor(fixed.min(0)).astype(int), 0, (width, height))
        x1, y1 = np.clip(np.ceil(fixed.max(0)).astype(int), 0, (width, height))
        if x1 <= x0 or y1 <= y0 or depth <= 0:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [np.round(fixed - (x0, y0)).astype(np.int32)], 1)
        phase = 2 * np.pi / (stripe_m * self.samples_per_m)
        x_w = (np.arange(x0, x1, dtype=np.float32) * np.float32(phase * np.cos(turn_rad)))[None, :]
        y_h = (np.arange(y0, y1, dtype=np.float32) * np.float32(phase * np.sin(turn_rad)))[:, None]
        rows = 1 + np.float32(depth) * (np.sin(x_w) * np.cos(y_h) + np.cos(x_w) * np.sin(y_h))
        self.gain_hw[y0:y1, x0:x1] *= np.where(mask, rows, np.float32(1))

    def slabs(self, points_n2: Points, spacing_m: float, turn_rad: float, rng: np.random.Generator) -> None:
        """Vary a paved area slab by slab and draw its joints."""
        fixed = np.asarray(points_n2) * self.samples_per_m
        height, width = self.code_hw.shape
        x0, y0 = np.clip(np.floor(fixed.min(0)).astype(int), 0, (width, height))
        x1, y1 = np.clip(np.ceil(fixed.max(0)).astype(int), 0, (width, height))
        if x1 <= x0 or y1 <= y0:
            return
        shape = (int(y1 - y0), int(x1 - x0))
        mask = np.zeros(shape, np.uint8)
        cv2.fillPoly(mask, [np.round(fixed - (x0, y0)).astype(np.int32)], 1)
        cells = int(np.hypot(*shape) / (spacing_m * self.samples_per_m)) + 3
        step = 12
        tile = np.repeat(np.repeat(rng.normal(1, 0.05, (cells, cells)), step, 0), step, 1).astype(np.float32)
        tile[::step] *= 0.86
        tile[:, ::step] *= 0.86
        zoom = step / (spacing_m * self.samples_per_m)
        cosine, sine = np.cos(turn_rad) * zoom, np.sin(turn_rad) * zoom
        middle = tile.shape[0] / 2
        view = np.array(
            [
                [cosine, sine, middle - cosine * shape[1] / 2 - sine * shape[0] / 2],
                [-sine, cosine, middle + sine * shape[1] / 2 - cosine * shape[0] / 2],
            ]
        )
        slab = cv2.warpAffine(
            tile, view, shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
        )
        self.gain_hw[y0:y1, x0:x1] *= np.where(mask, slab, np.float32(1))

    def trees(self, points_n2: Points, radius_n: Sequence[float] | FloatArray, light: Light, rng: np.random.Generator) -> None:
        """Plant trees: shadows first, then crowns with a lit side.

        Args:
            points_n2: Positions, (N, 2), metres.
            radius_n: Crown radii, (N,), metres.
            light: The illumination.
            rng: Varies brightness.
        """
        scale, factor = self.samples_per_m, 1 << _SHIFT
        centres = np.round(np.asarray(points_n2, np.float64) * scale * factor).astype(int)
        radii = np.maximum(np.round(np.asarray(radius_n) * scale * factor).astype(int), factor // 2)
        throw = light.shadow_per_m * 1.5
        lit = light.toward[:2] * 0.38
        height, width = self.code_hw.shape
        tones = rng.uniform(0.7, 1.25, len(centres))
        ends = centres + np.round(throw * radii[:, None]).astype(int)
        for (x, y), radius in zip(ends.tolist(), radii.tolist(), strict=True):
            cv2.circle(self.shadow_hw, (x, y), radius, 0.9, -1, cv2.LINE_8, _SHIFT)
        for (x, y), radius, tone in zip(centres.tolist(), radii.tolist(), tones.tolist(), strict=True):
            if not (-radius < x < width * factor + radius and -radius < y < height * factor + radius):
                continue
            cv2.circle(self.code_hw, (x, y), radius, CODE["tree"], -1, cv2.LINE_8, _SHIFT)
            cv2.circle(self.gain_hw, (x, y), radius, tone * 0.75, -1, cv2.LINE_8, _SHIFT)
            cv2.circle(self.shadow_hw, (x, y), radius, 0.15, -1, cv2.LINE_8, _SHIFT)
            top = (int(x + lit[0] * radius), int(y + lit[1] * radius))
            cv2.circle(self.gain_hw, top, int(radius * 0.62), tone * 1.3, -1, cv2.LINE_8, _SHIFT)

    def sea(self, signed_hw: FloatArray, beach_m: float, wild_hw: NDArray[np.bool_], rng: np.random.Generator) -> None:
        """Flood where a signed distance is negative, with a beach, surf and shallows.

        Args:
            signed_hw: Distance inland of each sample, (H, W) float32, metres; negative is sea.
            beach_m: Width of the beach.
            wild_hw: Where the shore is natural, (H, W) bool; elsewhere a quay, without beach and surf.
            rng: Shapes the surf.
        """
        scale = self.samples_per_m
        wobble = octave_noise(rng, self.code_hw.shape, ((scale * 5, 0.7), (scale * 14, 1.0), (scale * 50, 1.0)))
        beach = (signed_hw >= 0) & (signed_hw < beach_m * (1 + 0.35 * wobble)) & wild_hw
        self.code_hw[beach] = CODE["sand"]
        self.gain_hw[beach] = np.where(signed_hw[beach] < 2.5, np.float32(0.72), np.float32(1.0))
        wet = signed_hw < 0
        self.code_hw[wet] = CODE["water"]
        depth = np.minimum(signed_hw[wet] + 5 * wobble[wet], 0)
        self.gain_hw[wet] = 1 + np.where(wild_hw[wet], np.float32(1.5), np.float32(0.25)) * np.exp(depth / 16)
        surf = wet & wild_hw & (np.abs(signed_hw + 3.5 + 3.0 * wobble) < 0.3 + 0.9 * wobble)
        self.code_hw[surf] = CODE["foam"]
        self.gain_hw[surf] = 0.8

    def is_water(self, points_n2: Points) -> NDArray[np.bool_]:
        """Whether points (N, 2), metres, lie on water; points outside take the nearest sample. New array (N,)."""
        height, width = self.code_hw.shape
        index = np.floor(np.asarray(points_n2) * self.samples_per_m).astype(int)
        codes = self.code_hw[np.clip(index[:, 1], 0, height - 1), np.clip(index[:, 0], 0, width - 1)]
        return np.isin(codes, WATER_CODES)

    def is_open(self, points_n2: Points) -> NDArray[np.bool_]:
        """Whether points (N, 2), metres, lie on unpaved, treeless land. New array (N,)."""
        height, width = self.code_hw.shape
        index = np.floor(np.asarray(points_n2) * self.samples_per_m).astype(int)
        codes = self.code_hw[np.clip(index[:, 1], 0, height - 1), np.clip(index[:, 0], 0, width - 1)]
        return np.isin(codes, OPEN_CODES)
