"""Made pictures of every kind that documents hold, to train the figure classifier where nobody has labelled any.

Belongs here: pictures with their kind. Does not belong here: pages and words (documents, captions), the classifier (documents).
Photographs are crops of the three that scikit-learn and matplotlib ship, and rendered views; one of the real ones is held out for measuring.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ovd_platform.demo.chips import CHIP_CLASSES, render_chip, stretch_8_bit
from ovd_platform.demo.distractors import logo, photograph, street_map
from ovd_platform.demo.noise import octave_noise
from ovd_platform.demo.spectra import INSTRUMENTS, instrument
from ovd_platform.records.pair import FigureKind

Picture = NDArray[np.uint8]
HELD_OUT_PHOTOGRAPH = "china.jpg"
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)
_WORDS = (
    "Harbour",
    "North Bay",
    "input",
    "A",
    "B 12",
    "scene",
    "Old Town",
    "0.5",
    "encoder",
    "100 m",
    "Site 4",
    "loss",
    "2019",
)


def training_pictures(seed: int, of_each: int) -> Iterator[tuple[FigureKind, Picture]]:
    """Pictures with their kinds, each kind equally often.

    Args:
        seed: Decides everything.
        of_each: Pictures of each kind.
    """
    makers: dict[FigureKind, Callable[[np.random.Generator, int], Picture]] = {
        "satellite": _satellite,
        "map": _map,
        "diagram": _diagram,
        "photograph": _photograph,
        "other": _other,
    }
    for number in range(of_each):
        for position, (kind, make) in enumerate(makers.items()):
            rng = np.random.default_rng([seed, position, number, 81])
            yield kind, _as_printed(make(rng, seed * 100_000 + number), rng)


@lru_cache
def photographs(held_out: bool = False) -> list[Picture]:
    """Real photographs that packages ship, RGB; the held-out one, or the others."""
    import matplotlib
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "images"
    paths = (
        [folder / HELD_OUT_PHOTOGRAPH]
        if held_out
        else [folder / "flower.jpg", Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"]
    )
    found = [cv2.imread(str(path)) for path in paths]
    return [np.ascontiguousarray(image[:, :, ::-1], dtype=np.uint8) for image in found if image is not None]


def random_crop(picture: Picture, rng: np.random.Generator, least_px: int = 90) -> Picture:
    """A part of a picture, 40 to 100 % of its side, perhaps mirrored, with another brightness and colour."""
    share = float(rng.uniform(0.4, 1.0))
    height, width = (max(least_px, round(share * side)) for side in picture.shape[:2])
    top, left = (
        int(rng.integers(0, max(1, have - want + 1))) for have, want in zip(picture.shape[:2], (height, width), strict=True)
    )
    part = picture[top : top + height, left : left + width]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    values = part.astype(np.float32) * rng.uniform(0.7, 1.25) * rng.uniform(0.92, 1.08, 3)
    return np.clip(values, 0, 255).astype(np.uint8)


def _as_printed(picture: Picture, rng: np.random.Generator) -> Picture:
    """Grey, scaled or JPEG-compressed now and then, as files are when they reach a document."""
    if rng.random() < 0.2 and picture.ndim == 3:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    if rng.random() < 0.4:
        scale = float(rng.uniform(0.6, 2.2))
        how = cv2.INTER_AREA if scale < 1 else (cv2.INTER_CUBIC, cv2.INTER_NEAREST)[int(rng.integers(2))]
        picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how), dtype=np.uint8)
    if rng.random() < 0.5:
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])[1]
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), dtype=np.uint8)
    return np.ascontiguousarray(picture)


def _colour(rng: np.random.Generator, low: int = 0, high: int = 255) -> tuple[int, int, int]:
    red, green, blue = rng.integers(low, high, 3).tolist()
    return (red, green, blue)


def _write(picture: Picture, text: str, at: tuple[int, int], rng: np.random.Generator, colour: tuple[int, int, int]) -> None:
    cv2.putText(
        picture, text, at, _FONTS[int(rng.integers(len(_FONTS)))], float(rng.uniform(0.35, 0.7)), colour, 1, cv2.LINE_AA
    )


def _satellite(rng: np.random.Generator, seed: int) -> Picture:
    device = str(rng.choice(list(INSTRUMENTS)))
    size = int(rng.integers(72, 360))
    made = render_chip(seed, device, str(rng.choice(CHIP_CLASSES)), size, gsd_m=float(rng.uniform(0.3, 2.5)))
    picture = stretch_8_bit(made.pixels_chw, instrument(device))
    if rng.random() < 0.35:  # marks of an analyst
        picture = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture.copy()
        for _ in range(int(rng.integers(1, 6))):
            x, y = rng.integers(0, max(1, size - 30), 2).tolist()
            corner = (x + int(rng.integers(12, 60)), y + int(rng.integers(12, 60)))
            cv2.rectangle(picture, (x, y), corner, _colour(rng), int(rng.integers(1, 3)))
        _write(picture, str(rng.choice(_WORDS)), (4, size - 6), rng, (255, 255, 255))
    return picture


def _areas(rng: np.random.Generator, height: int, width: int, colours: list[tuple[int, int, int]]) -> Picture:
    """Coloured areas with smooth borders."""
    field = octave_noise(rng, (height, width), ((width / 3, 1.0), (width / 9, 0.4)))
    steps = np.quantile(field, np.linspace(0, 1, len(colours) + 1)[1:-1])
    return np.array(colours, np.uint8)[np.digitize(field, steps)]


def _map(rng: np.random.Generator, seed: int) -> Picture:
    which = rng.random()
    if which < 0.3:
        return random_crop(street_map(rng), rng)
    height, width = int(rng.integers(160, 420)), int(rng.integers(180, 480))
    pale = [_colour(rng, 150, 255) for _ in range(int(rng.integers(3, 7)))]
    picture = _areas(rng, height, width, pale)
    if which < 0.55:  # relief
        field = octave_noise(rng, (height, width), ((90, 1.0), (40, 0.5), (15, 0.2)))
        shade = np.clip(0.75 + 9 * (np.gradient(field, axis=1) - np.gradient(field, axis=0)), 0.35, 1.0)
        picture = np.clip(picture * shade[..., None], 0, 255).astype(np.uint8)
    if which > 0.45:  # contours and roads
        field = octave_noise(rng, (height, width), ((120, 1.0), (50, 0.4)))
        level = np.floor(field * float(rng.uniform(4, 12)))
        edge = np.zeros((height, width), bool)
        edge[:-1, :-1] = (np.diff(level, axis=0)[:, :-1] != 0) | (np.diff(level, axis=1)[:-1] != 0)
        picture[edge] = _colour(rng, 60, 180)
    for _ in range(int(rng.integers(2, 14))):
        ends = (rng.uniform(-0.1, 1.1, (2, 2)) * (width, height)).astype(int).tolist()
        cv2.line(picture, ends[0], ends[1], _colour(rng), int(rng.integers(1, 4)), cv2.LINE_AA)
    for _ in range(int(rng.integers(2, 9))):
        _write(
            picture,
            str(rng.choice(_WORDS)),
            (int(rng.integers(0, width - 40)), int(rng.integers(14, height))),
            rng,
            (40, 40, 40),
        )
    if rng.random() < 0.5:  # legend
        cv2.rectangle(picture, (4, height - 60), (90, height - 4), (255, 255, 255), -1)
        for row, colour in enumerate(pale[:3]):
            cv2.rectangle(picture, (8, height - 56 + 17 * row), (24, height - 44 + 17 * row), colour, -1)
    return picture


def _diagram(rng: np.random.Generator, seed: int) -> Picture:
    height, width = int(rng.integers(140, 460)), int(rng.integers(180, 560))
    paper = (255, 255, 255) if rng.random() < 0.75 else _colour(rng, 215, 250)
    picture = np.full((height, width, 3), paper, np.uint8)
    which = rng.random()
    if which < 0.35:
        _plot(picture, rng)
    elif which < 0.6:
        _blocks(picture, rng)
    elif which < 0.8:
        _window(picture, rng)
    else:
        _solid(picture, rng)
    for _ in range(int(rng.integers(1, 10))):
        _write(
            picture,
            str(rng.choice(_WORDS)),
            (int(rng.integers(0, width - 40)), int(rng.integers(14, height))),
            rng,
            (20, 20, 20),
        )
    return picture


def _plot(picture: Picture, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    cv2.rectangle(picture, (30, 10), (width - 10, height - 25), (0, 0, 0), 1)
    if rng.random() < 0.4:
        for index in range(int(rng.integers(4, 14))):
            left, tall = 36 + index * 26, int(rng.integers(10, height - 50))
            cv2.rectangle(picture, (left, height - 26 - tall), (left + 17, height - 26), _colour(rng), -1)
        return
    for _ in range(int(rng.integers(1, 6))):
        values = np.cumsum(rng.normal(0, 1, 60))
        values = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
        points = np.stack([np.linspace(32, width - 12, 60), 14 + values * (height - 44)], axis=1).astype(np.int32)
        cv2.polylines(picture, [points], False, _colour(rng, 0, 200), int(rng.integers(1, 3)), cv2.LINE_AA)


def _blocks(picture: Picture, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    last = None
    for _ in range(int(rng.integers(3, 9))):
        x, y = int(rng.integers(4, width - 70)), int(rng.integers(4, height - 40))
        corner = (x + int(rng.integers(40, 100)), y + int(rng.integers(20, 46)))
        cv2.rectangle(picture, (x, y), corner, _colour(rng, 150, 255), -1)
        cv2.rectangle(picture, (x, y), corner, (0, 0, 0), 1)
        if last is not None:
            cv2.arrowedLine(picture, last, (x, y + 10), (0, 0, 0), 1, cv2.LINE_AA, tipLength=0.1)
        last = (corner[0], y + 10)


def _window(picture: Picture, rng: np.random.Generator) -> None:
    """A screenshot: bars, lists, buttons."""
    height, width = picture.shape[:2]
    picture[:] = _colour(rng, 225, 250)
    cv2.rectangle(picture, (0, 0), (width, 20), _colour(rng, 40, 200), -1)
    for row in range(30, height - 12, 16):
        _write(picture, " ".join(rng.choice(_WORDS, 3).tolist()), (int(rng.integers(6, 40)), row + 10), rng, (30, 30, 30))
    cv2.rectangle(picture, (width // 3, 26), (width - 6, height - 8), (160, 160, 160), 1)


def _solid(picture: Picture, rng: np.random.Generator) -> None:
    """A shaded solid on paper, as mathematics and engineering draw it."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    centre, radius = (height * 0.5, width * 0.5), 0.38 * min(height, width)
    distance = np.hypot(rows - centre[0], columns - centre[1]) / radius
    light = np.clip(1.1 - 0.7 * np.hypot(rows - centre[0] + radius / 3, columns - centre[1] + radius / 3) / radius, 0.1, 1)
    inside = (distance < 1) & ((distance > 0.45) | (rng.random() < 0.5))
    picture[inside] = (light[..., None] * np.array(_colour(rng, 60, 255)))[inside].astype(np.uint8)


def _photograph(rng: np.random.Generator, seed: int) -> Picture:
    if rng.random() < 0.3:
        grown = np.asarray(cv2.resize(photograph(rng), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), dtype=np.float32)
        return np.clip(grown + rng.normal(0, 3, grown.shape), 0, 255).astype(np.uint8)
    real = photographs()
    return random_crop(real[int(rng.integers(len(real)))], rng)


def _other(rng: np.random.Generator, seed: int) -> Picture:
    which = rng.random()
    height, width = int(rng.integers(60, 260)), int(rng.integers(60, 300))
    if which < 0.4:
        return logo(rng) if rng.random() < 0.5 else _emblem(rng, height, width)
    if which < 0.6:  # a gradient or one colour
        ramp: NDArray[Any] = (
            np.linspace(0, 1, width)[None, :, None] if rng.random() < 0.5 else np.linspace(0, 1, height)[:, None, None]
        )
        ends = np.array(_colour(rng)), np.array(_colour(rng))
        return np.broadcast_to(ends[0] * (1 - ramp) + ends[1] * ramp, (height, width, 3)).astype(np.uint8)
    if which < 0.85:  # a page or a part of one
        page = np.full((3 * height, 3 * width, 3), 250, np.uint8)
        for row in range(16, 3 * height - 6, 13):
            _write(page, " ".join(rng.choice(_WORDS, 12).tolist()), (12, row), rng, (25, 25, 25))
        return page
    mask = octave_noise(rng, (height, width), ((40, 1.0), (12, 0.5))) > 0.4
    return np.repeat((255 * mask.astype(np.uint8))[..., None], 3, axis=2)


def _emblem(rng: np.random.Generator, height: int, width: int) -> Picture:
    picture = np.full((height, width, 3), 255, np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        at = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = (int(rng.integers(10, max(11, width // 2))), int(rng.integers(10, max(11, height // 2))))
        cv2.ellipse(
            picture, at, axes, float(rng.uniform(0, 180)), 0, 360, _colour(rng), -1 if rng.random() < 0.6 else 5, cv2.LINE_AA
        )
    if rng.random() < 0.6:
        cv2.putText(
            picture,
            str(rng.choice(("IBX", "Acme", "geo", "ORB"))),
            (4, height // 2),
            cv2.FONT_HERSHEY_DUPLEX,
            1.1,
            _colour(rng),
            3,
            cv2.LINE_AA,
        )
    return picture
