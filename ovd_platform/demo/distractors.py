"""Figures of documents that are no satellite images: charts, logos, photographs, maps.

Belongs here: their pixels and vectors.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ovd_platform.demo.noise import octave_noise


def logo(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Flat shapes in few colours, (H, W, 3)."""
    picture = np.full((110, 190, 3), 255, np.uint8)
    colour = tuple(int(value) for value in rng.integers(0, 200, 3))
    cv2.circle(picture, (50, 55), 36, colour, -1, cv2.LINE_AA)
    cv2.circle(picture, (58, 48), 26, (255, 255, 255), -1, cv2.LINE_AA)
    cv2.putText(picture, "ORBIS", (92, 66), cv2.FONT_HERSHEY_DUPLEX, 0.8, colour, 2, cv2.LINE_AA)
    return picture


def photograph(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Sky over a skyline, soft gradients, (H, W, 3)."""
    height, width = 120, 200
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    sky = np.array([90, 140, 210], np.float32) * (1 - ramp[..., None]) + np.array([235, 215, 180], np.float32) * ramp[..., None]
    picture = np.repeat(sky, width, 1) + 10 * octave_noise(rng, (height, width), ((30, 1.0), (9, 0.5)))[..., None]
    edge = (height * 0.68 + 10 * octave_noise(rng, (1, width), ((24, 1.0), (4, 0.4)))[0]).astype(int)
    land = np.arange(height)[:, None] > edge[None, :]
    picture[land] = np.array([52, 62, 44], np.float32) + 9 * rng.standard_normal((int(land.sum()), 1), np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)


def street_map(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A printed map: pale areas, coloured lines, names, (H, W, 3)."""
    picture = np.full((220, 380, 3), (243, 239, 228), np.uint8)
    for _ in range(5):
        corners = (rng.uniform(0, 1, (4, 2)) * (380, 220)).astype(np.int32)
        cv2.fillPoly(
            picture, [cv2.convexHull(corners)], ((205, 228, 190), (190, 215, 235), (236, 226, 205))[int(rng.integers(3))]
        )
    for _ in range(14):
        start, end = (rng.uniform(-0.2, 1.2, (2, 2)) * (380, 220)).astype(int).tolist()
        wide = int(rng.integers(2, 6))
        cv2.line(picture, start, end, (150, 140, 130), wide + 2, cv2.LINE_AA)
        cv2.line(picture, start, end, ((255, 255, 255), (250, 210, 120))[int(rng.integers(2))], wide, cv2.LINE_AA)
    for name in ("North Bay", "Old Town", "Mill Road"):
        at = (int(rng.integers(10, 260)), int(rng.integers(20, 210)))
        cv2.putText(picture, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (70, 60, 60), 1, cv2.LINE_AA)
    return picture


def draw_bars(page: Any, box: tuple[float, float, float, float], rng: np.random.Generator) -> None:
    """A bar chart as vector drawing."""
    x0, y0, x1, y1 = box
    page.draw_line((x0 + 20, y0), (x0 + 20, y1 - 14))
    page.draw_line((x0 + 20, y1 - 14), (x1, y1 - 14))
    colour = tuple(float(value) for value in rng.uniform(0.1, 0.8, 3))
    step = (x1 - x0 - 30) / 8
    for index, share in enumerate(rng.uniform(0.15, 0.95, 8)):
        left = x0 + 26 + index * step
        page.draw_rect((left, y1 - 14 - share * (y1 - y0 - 20), left + step * 0.7, y1 - 14), color=colour, fill=colour)
        page.insert_text((left, y1 - 4), "JFMAMJJA"[index], fontname="helv", fontsize=7)


DISTRACTORS: dict[str, tuple[Callable[[np.random.Generator], NDArray[np.uint8]], str]] = {
    "logo": (logo, "Emblem of the survey office."),
    "photograph": (photograph, "Photograph taken from the ground on the day of the visit."),
    "map": (street_map, "Map of the study area with main roads."),
}
