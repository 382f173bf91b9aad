"""Pictures of made documents: chips, maps, photographs, charts, diagrams. Belongs here: pixels and marks; words are `words`'."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.generated.model import BLACK, Box, CallOut, Colour, Mark, Panel
from ovd_platform.demo.chips import CHIP_CLASSES, render_chip, stretch_8_bit
from ovd_platform.demo.distractors import logo, photograph, street_map
from ovd_platform.demo.noise import octave_noise
from ovd_platform.demo.spectra import instrument

_OPTICAL = ("pan-1x12", "pan-1x12", "ms-4x12", "rgb-3x8", "ms-8x12")
_SMALL = ("vehicle", "small boat", "helicopter")
RED: Colour = (0.9, 0.1, 0.1)
YELLOW: Colour = (1.0, 0.85, 0.0)
CYAN: Colour = (0.0, 0.85, 0.95)
WHITE: Colour = (1.0, 1.0, 1.0)
_LETTER_WIDTH = 0.56  # of the size: generous for a sans serif font


@dataclass(frozen=True)
class Chip:
    """A rendered chip: pixels, class, whether radar, boxes of its objects in pixels."""

    pixels: NDArray[np.uint8]
    class_name: str
    radar: bool
    boxes: tuple[tuple[str, Box], ...]
    source: object


def chip(seed: int, rng: np.random.Generator, *, radar: bool = False, class_name: str = "") -> Chip:
    """A chip of the rendered world, 72 to 300 px a side."""
    name = class_name or str(rng.choice(CHIP_CLASSES))
    sensor = "sar-grd-2" if radar else str(rng.choice(_OPTICAL))
    size = int(rng.integers(72, 120)) if name in _SMALL else int(rng.integers(96, 300))
    made = render_chip(seed, sensor, name, size, gsd_m=float(rng.uniform(0.4, 0.9)))
    pixels = stretch_8_bit(made.pixels_chw, instrument(sensor))
    boxes = tuple((item.class_name, tuple(float(value) for value in item.box_scene_xyxy)) for item in made.truth)
    return Chip(pixels, name, radar, boxes, made)  # type: ignore[arg-type]


def chip_panel(made: Chip, width_pt: float, rng: np.random.Generator, aspect: float = 1.0) -> Panel:
    """A chip as a panel; with `aspect` below 1 its lower part is cut off."""
    pixels = made.pixels[: max(32, round(made.pixels.shape[0] * aspect))]
    height = width_pt * pixels.shape[0] / pixels.shape[1]
    encoding = "jpeg" if rng.random() < 0.4 else "png"
    return Panel(
        np.ascontiguousarray(pixels),
        width_pt,
        height,
        "satellite",
        encoding=encoding,  # type: ignore[arg-type]
        modality="sar" if made.radar else "optical",
    )


def text_width(text: str, size: float) -> float:
    """Room that words in a sans serif font need, points."""
    return _LETTER_WIDTH * size * len(text)


def _text_box(mark: Mark) -> Box:
    (x, y), size = mark.points[0], mark.size
    return (x, y - size, x + text_width(mark.text, size), y + 0.3 * size)


def _inside(box: Box, width: float, height: float, margin: float = 2.0) -> Box:
    return (max(box[0], margin), max(box[1], margin), min(box[2], width - margin), min(box[3], height - margin))


def add_calls(panel: Panel, made: Chip, texts: list[str], rng: np.random.Generator) -> None:
    """Circles, boxes and arrows with words around objects of a chip; each text points to one region."""
    zoom = panel.width_pt / made.pixels.shape[1]
    size = made.pixels.shape[1]
    own = [box for name, box in made.boxes if name == made.class_name] or [(0.4 * size, 0.4 * size, 0.6 * size, 0.6 * size)]
    others = [box for name, box in made.boxes if name != made.class_name]
    spots = _separate([tuple(value * zoom for value in box) for box in [*own, *others]], panel)  # type: ignore[misc]
    colour = (RED, YELLOW, CYAN)[int(rng.integers(3))]
    for number, (text, spot) in enumerate(zip(texts, spots, strict=False)):
        grow = 4.0 + max(0.0, 9 - min(spot[2] - spot[0], spot[3] - spot[1])) / 2
        region = _inside((spot[0] - grow, spot[1] - grow, spot[2] + grow, spot[3] + grow), panel.width_pt, panel.height_pt)
        style = str(rng.choice(("ring", "box", "arrow", "leader")))
        if style in ("arrow", "leader"):
            _pointed(panel, region, text, colour, style, number, rng)
        else:
            _enclosed(panel, region, text, colour, style)


def _separate(boxes: list[Box], panel: Panel) -> list[Box]:
    """Regions that neither touch each other nor leave or fill the picture."""
    kept: list[Box] = []
    for box in boxes:
        clipped = _inside(box, panel.width_pt, panel.height_pt)
        width, height = clipped[2] - clipped[0], clipped[3] - clipped[1]
        if min(width, height) < 4 or max(width / panel.width_pt, height / panel.height_pt) > 0.7:
            continue
        clear = all(
            clipped[0] > other[2] + 26 or clipped[2] < other[0] - 26 or clipped[1] > other[3] + 26 or clipped[3] < other[1] - 26
            for other in kept
        )
        if clear:
            kept.append(clipped)
    return kept


def _enclosed(panel: Panel, region: Box, text: str, colour: Colour, style: str) -> None:
    """A ring or box around the region with the words right above or below it, over the picture."""
    size = 7.0
    above = region[1] > size + 5
    x = min(max(2.0, region[0]), max(2.0, panel.width_pt - text_width(text, size) - 2))
    y = region[1] - 3.0 if above else min(region[3] + size + 2, panel.height_pt - 2)
    words = Mark("text", ((x, y),), colour, text=text, size=size, bold=True)
    if any(_overlap(_text_box(words), _text_box(other)) for other in panel.marks if other.kind == "text"):
        return
    panel.marks.append(
        Mark("ellipse" if style == "ring" else "rect", ((region[0], region[1]), (region[2], region[3])), colour, 1.3)
    )
    panel.marks.append(words)
    panel.calls.append(CallOut(text, region, style))


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _pointed(panel: Panel, region: Box, text: str, colour: Colour, style: str, number: int, rng: np.random.Generator) -> None:
    """Words beside the picture (leader line) or over it (arrow), with a line that ends at the region."""
    middle = ((region[0] + region[2]) / 2, (region[1] + region[3]) / 2)
    size = 7.5
    if style == "leader":
        panel.pad_pt = max(panel.pad_pt, text_width(text, size) + 26)
        start = (panel.width_pt + 16.0, min(max(10.0, middle[1] - 18 + 14 * number), panel.height_pt - 4))
        words = Mark("text", ((start[0] + 3, start[1] + 2.5),), (0.25, 0.0, 0.0), text=text, size=size)
        tip = (region[2] - 1, middle[1])
    else:
        wide = text_width(text, size)
        left = middle[0] > panel.width_pt / 2
        x = 3.0 if left else panel.width_pt - wide - 3
        y = 12.0 if middle[1] > panel.height_pt / 2 else panel.height_pt - 6
        words = Mark("text", ((max(2.0, x), y),), colour, text=text, size=size, bold=True)
        box = _text_box(words)
        if _overlap(box, region) or wide > panel.width_pt - 6:
            return
        start = (min(max(middle[0], box[0] + 4), box[2] - 4), box[3] if y < middle[1] else box[1])
        tip = (middle[0], region[1] + 1 if y < middle[1] else region[3] - 1)
    if any(_overlap(_text_box(words), _text_box(other)) for other in panel.marks if other.kind == "text"):
        return
    panel.marks += [*arrow(start, tip, colour, rng, headless=style == "leader" and rng.random() < 0.4), words]
    panel.calls.append(CallOut(text, region, style))


def arrow(
    start: tuple[float, float], tip: tuple[float, float], colour: Colour, rng: np.random.Generator, headless: bool = False
) -> list[Mark]:
    """A line with a filled head, two barbs, or none."""
    along = np.array(start) - np.array(tip)
    along = along / max(float(np.linalg.norm(along)), 1e-6)
    marks = [Mark("line", (start, tip), colour, 1.1)]
    ends = []
    for turn in (0.42, -0.42):
        c, s = np.cos(turn), np.sin(turn)
        ends.append((tip[0] + 6 * (along[0] * c - along[1] * s), tip[1] + 6 * (along[0] * s + along[1] * c)))
    ends = [(float(x), float(y)) for x, y in ends]
    if headless:
        return marks
    if rng.random() < 0.6:
        return [*marks, Mark("polygon", (tip, ends[0], ends[1]), None, fill=colour)]
    return [*marks, Mark("line", (tip, ends[0]), colour, 1.1), Mark("line", (tip, ends[1]), colour, 1.1)]


def add_scale_and_north(panel: Panel, rng: np.random.Generator) -> None:
    """A scale bar with its length and a north arrow over the picture: words that point to nothing."""
    y = panel.height_pt - 8
    panel.marks.append(Mark("line", ((6, y), (6 + 0.2 * panel.width_pt, y)), WHITE, 1.6))
    panel.marks.append(Mark("text", ((6, y - 3),), WHITE, text=f"{int(rng.integers(1, 9)) * 10} m", size=6.5, bold=True))


def street_map_panel(width_pt: float, rng: np.random.Generator) -> Panel:
    """A printed map as raster, drawn names included."""
    pixels = street_map(rng)
    return Panel(pixels, width_pt, width_pt * pixels.shape[0] / pixels.shape[1], "map", encoding="png")


def relief_map_panel(width_pt: float, rng: np.random.Generator) -> Panel:
    """A hill-shaded map with contour lines and names."""
    height = 10 * octave_noise(rng, (240, 360), ((70, 1.0), (30, 0.5), (12, 0.2)))
    shade = np.clip(0.7 + 0.9 * (np.gradient(height, axis=1) - np.gradient(height, axis=0)), 0.3, 1.0)[..., None]
    tint = np.array([205, 214, 170], np.float32) + (
        np.clip(height / 20 + 0.5, 0, 1)[..., None] * np.array([30, -20, -30], np.float32)
    )
    picture = np.clip(tint * shade, 0, 255).astype(np.uint8)
    level = np.floor(height / 4)
    lines = (np.abs(np.diff(level, axis=0))[:, :-1] > 0) | (np.abs(np.diff(level, axis=1))[:-1] > 0)
    picture[:-1, :-1][lines] = (150, 110, 70)
    for name in ("Kap Nord", "P. 214", "Valley"):
        at = (int(rng.integers(8, 280)), int(rng.integers(20, 230)))
        cv2.putText(picture, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 40), 1, cv2.LINE_AA)
    return Panel(picture, width_pt, width_pt * 2 / 3, "map", encoding="jpeg" if rng.random() < 0.5 else "png")


def photograph_panel(width_pt: float, rng: np.random.Generator) -> Panel:
    """A view from the ground."""
    pixels = photograph(rng)
    pixels = cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    noisy = pixels.astype(np.float32) + rng.normal(0, 3, pixels.shape)
    if rng.random() < 0.5:
        _ground_things(noisy, rng)
    picture = np.clip(noisy, 0, 255).astype(np.uint8)
    return Panel(picture, width_pt, width_pt * picture.shape[0] / picture.shape[1], "photograph", encoding="jpeg")


def _ground_things(picture: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Walls with windows and a road in perspective."""
    height, width = picture.shape[:2]
    horizon = int(height * 0.6)
    road = np.array([[width * 0.45, horizon], [width * 0.55, horizon], [width * 0.9, height], [width * 0.1, height]], np.int32)
    cv2.fillPoly(picture, [road], (105.0, 103.0, 100.0))
    for _ in range(4):
        x, w, h = int(rng.integers(0, width - 60)), int(rng.integers(30, 80)), int(rng.integers(30, 110))
        tone = float(rng.uniform(90, 190))
        cv2.rectangle(picture, (x, horizon - h), (x + w, horizon + 8), (tone, tone * 0.9, tone * 0.8), -1)
        for row in range(horizon - h + 6, horizon - 8, 14):
            for column in range(x + 5, x + w - 8, 13):
                cv2.rectangle(picture, (column, row), (column + 6, row + 8), (50.0, 55.0, 65.0), -1)


def logo_picture(rng: np.random.Generator) -> NDArray[np.uint8]:
    """An emblem."""
    return logo(rng)


def composite_panel(chips: list[Chip], width_pt: float, rng: np.random.Generator) -> Panel:
    """Several chips with letters in one raster, white gutters between them: what a plotting program saves."""
    edge, gap = 180, 14
    across = 2 if len(chips) in (2, 4) else 3
    rows = -(-len(chips) // across)
    picture = np.full((rows * (edge + gap + 22) - gap, across * (edge + gap) - gap, 3), 255, np.uint8)
    for index, made in enumerate(chips):
        tile = cv2.resize(made.pixels, (edge, edge), interpolation=cv2.INTER_AREA)
        tile = tile if tile.ndim == 3 else np.repeat(tile[..., None], 3, axis=2)
        top, left = (index // across) * (edge + gap + 22), (index % across) * (edge + gap)
        picture[top : top + edge, left : left + edge] = tile
        cv2.putText(
            picture,
            f"({'abcdef'[index]})",
            (left + edge // 2 - 14, top + edge + 17),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.55,
            (0, 0, 0),
            1,
            cv2.LINE_AA,
        )
    return Panel(picture, width_pt, width_pt * picture.shape[0] / picture.shape[1], "satellite", encoding="png")


def bar_chart(width_pt: float, rng: np.random.Generator) -> Panel:
    """Bars with an axis and labels, drawn."""
    height = width_pt * 0.55
    marks = [Mark("line", ((18, 4), (18, height - 14))), Mark("line", ((18, height - 14), (width_pt, height - 14)))]
    colour: Colour = tuple(float(value) for value in rng.uniform(0.1, 0.8, 3))  # type: ignore[assignment]
    step = (width_pt - 26) / 8
    for index, share in enumerate(rng.uniform(0.15, 0.95, 8)):
        left = 22 + index * step
        top = height - 14 - float(share) * (height - 22)
        marks.append(Mark("rect", ((left, top), (left + 0.7 * step, height - 14)), BLACK, 0.5, fill=colour))
        marks.append(Mark("text", ((left, height - 4),), BLACK, text="JFMAMJJA"[index], size=7))
    for index in range(4):
        marks.append(Mark("text", ((2, height - 12 - index * (height - 22) / 4),), BLACK, text=str(index * 20), size=6.5))
    return Panel(None, width_pt, height, "diagram", marks)


def line_plot(width_pt: float, rng: np.random.Generator) -> Panel:
    """Curves in a frame with ticks."""
    height = width_pt * 0.6
    frame = ((20.0, 4.0), (width_pt - 2, height - 16))
    marks = [Mark("rect", frame, BLACK, 0.8)]
    for colour in ((0.1, 0.2, 0.8), (0.8, 0.2, 0.1)):
        values = np.cumsum(rng.normal(0, 1, 40))
        values = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
        points = [(22 + index * (width_pt - 26) / 39, 8 + float(value) * (height - 28)) for index, value in enumerate(values)]
        marks += [Mark("line", (a, b), colour, 1.0) for a, b in pairwise(points)]
    for index in range(5):
        x = 20 + index * (width_pt - 24) / 5
        marks.append(Mark("line", ((x, height - 16), (x, height - 13)), BLACK, 0.6))
        marks.append(Mark("text", ((x - 2, height - 5),), BLACK, text=str(index * 5), size=6.5))
        marks.append(Mark("text", ((4, height - 16 - index * (height - 22) / 5),), BLACK, text=f"0.{index * 2}", size=6.5))
    return Panel(None, width_pt, height, "diagram", marks)


def block_diagram(width_pt: float, rng: np.random.Generator) -> Panel:
    """Boxes with words, joined by arrows; its ink fills the panel, or the truth would hold blank paper."""
    height = 57.0
    names = ("Scenes", "Tiles", "Vectors", "Search")
    step = (width_pt + 14) / 4
    marks: list[Mark] = []
    for index, name in enumerate(names):
        left = index * step + 1
        marks.append(Mark("rect", ((left, 1), (left + step - 16, 33)), BLACK, 0.8, fill=(0.88, 0.92, 1.0)))
        marks.append(Mark("text", ((left + 3, 20),), BLACK, text=name, size=min(8.0, (step - 20) / (0.58 * len(name)))))
        if index < 3:
            marks += arrow((left + step - 15, 17), (left + step - 1, 17), BLACK, rng)
    marks += [
        Mark("ellipse", ((1.5 * step, 39), (2.5 * step, 56)), BLACK, 0.8),
        *arrow((2 * step, 33), (2 * step, 39), BLACK, rng),
    ]
    return Panel(None, width_pt, height, "diagram", marks)
