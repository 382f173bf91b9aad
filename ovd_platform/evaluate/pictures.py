"""Pictures of answers for people: best hits, missed objects, false alarms.

Belongs here: choosing what to show, cutting it out, laying out a sheet. Does not belong here: metrics; nothing here is ever an
input of a model.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import OvdError, ShapeError
from ovd_platform.evaluate.inputs import EvaluationInput
from ovd_platform.evaluate.match import FALSE, FOUND, MatchRules, match_scene
from ovd_platform.evaluate.mistakes import BADLY_PLACED, CONFUSED, DUPLICATE, scene_mistakes
from ovd_platform.evaluate.scene_boxes import Box, detection_boxes
from ovd_platform.evaluate.unjudged import judged_only
from ovd_platform.records.window import Window

if TYPE_CHECKING:
    from ovd_platform.raster.radiometry import InstrumentProfile
    from ovd_platform.raster.scene import Scene

LOG = logging.getLogger(__name__)

Picture = tuple[NDArray[np.uint8], str]
BEST, MISSED, FALSE_ALARM = "Best hits", "Missed objects", "False alarms"
CONFUSED_SHEET, PLACED_SHEET, TWICE_SHEET = "Taken for another class", "Badly placed", "Answered twice"
CROP_PX = 224
_SHEET_OF = {CONFUSED: CONFUSED_SHEET, BADLY_PLACED: PLACED_SHEET, DUPLICATE: TWICE_SHEET}


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """One thing worth looking at.

    Attributes:
        scene_id: The scene.
        box_scene_xyxy: What to frame, scene pixels.
        caption: One line for people.
    """

    scene_id: str
    box_scene_xyxy: Box
    caption: str


_Ranked = tuple[str, float, PictureRequest]


def select_pictures(
    given: EvaluationInput, *, each: int = 12, rules: MatchRules | None = None
) -> dict[str, list[PictureRequest]]:
    """What to show: the most certain right answers, the most certain wrong ones by kind, and the largest missed objects.

    Args:
        given: What is evaluated.
        each: At most so many of each kind, taken in turn from the classes.
        rules: When an answer counts as an object.

    Returns:
        Requests by kind; kinds without any are empty. A class without accepted false alarms shows its best rejected ones as such.
    """
    given = judged_only(given)
    rules, names = rules or MatchRules(), given.evaluated_classes()
    ranked: dict[str, list[_Ranked]] = {
        name: [] for name in (BEST, MISSED, CONFUSED_SHEET, PLACED_SHEET, TWICE_SHEET, FALSE_ALARM)
    }
    for record in given.ordered_scenes():
        found = given.detections.get(record.scene_id, ())
        scene = detection_boxes(record.scene_id, given.labels(record.scene_id), found, names)
        matches = match_scene(scene, rules)
        wrong = scene_mistakes(scene, matches.state_n, matches.answer_of_k >= 0, rules)
        where = f"{record.scene_id}{', RENDERED' if record.rendered else ''}"
        for n, state in enumerate(matches.state_n.tolist()):
            item = found[int(scene.found_by_n[n])]
            certain = f"{item.probability:.2f}" if item.probability is not None else f"score {item.score:.2f}"
            word = "" if item.accepted else ", not accepted"
            about = int(wrong.object_n[n])
            truth = f" (is {names[int(scene.truth_class_k[about])]})" if wrong.kind_n[n] == CONFUSED else ""
            request = PictureRequest(
                record.scene_id, item.box_scene_xyxy, f"{item.class_name} {certain}{truth}{word} · {where}"
            )
            if state in (FOUND, FALSE):
                kind = BEST if state == FOUND else _SHEET_OF.get(int(wrong.kind_n[n]), FALSE_ALARM)
                ranked[kind].append((item.class_name, item.accepted * 1e6 + item.score, request))
        for k in np.flatnonzero(~scene.truth_ignored_k):
            answer = int(matches.answer_of_k[k])
            if answer >= 0 and found[int(scene.found_by_n[answer])].accepted:
                continue
            name, size = names[int(scene.truth_class_k[k])], float(np.sqrt(scene.truth_areas_k[k]))
            how = "found but not accepted" if answer >= 0 else "no answer"
            x0, y0, x1, y1 = scene.truth_scene_xyxy[k].tolist()
            request = PictureRequest(record.scene_id, (x0, y0, x1, y1), f"{name}, {size:.0f} px, {how} · {where}")
            ranked[MISSED].append((name, size, request))
    return {kind: _in_turn(rows, each) for kind, rows in ranked.items()}


def _in_turn(rows: Sequence[tuple[str, float, PictureRequest]], limit: int) -> list[PictureRequest]:
    """Best of each class, then second best of each, and so on."""
    by_class: dict[str, list[tuple[float, PictureRequest]]] = {}
    for name, value, request in rows:
        by_class.setdefault(name, []).append((value, request))
    queues = [sorted(items, key=lambda item: -item[0]) for _, items in sorted(by_class.items())]
    turns = max((len(queue) for queue in queues), default=0)
    return [queue[turn][1] for turn in range(turns) for queue in queues if turn < len(queue)][:limit]


def make_pictures(
    requests: Mapping[str, Sequence[PictureRequest]],
    open_scene: "Callable[[str], Scene]",
    profile_of: "Callable[[str], InstrumentProfile]",
) -> dict[str, list[Picture]]:
    """Cut out what was selected; a scene whose pixels are gone is left out with a warning.

    Args:
        requests: Made by `select_pictures`.
        open_scene: Opens a scene by id; each scene is opened once.
        profile_of: Normalisation of a scene by id.
    """
    cut: dict[PictureRequest, NDArray[np.uint8]] = {}
    for scene_id in sorted({request.scene_id for rows in requests.values() for request in rows}):
        wanted = [request for rows in requests.values() for request in rows if request.scene_id == scene_id]
        try:
            with open_scene(scene_id) as scene:
                profile = profile_of(scene_id)
                cut |= {request: crop_rgb(scene, profile, request.box_scene_xyxy) for request in wanted}
        except OvdError as error:
            LOG.warning("No pictures of scene %s: %s", scene_id, error)
    return {kind: [(cut[r], r.caption) for r in rows if r in cut] for kind, rows in requests.items()}


def crop_rgb(scene: "Scene", profile: "InstrumentProfile", box: Box, *, size_px: int = CROP_PX) -> NDArray[np.uint8]:
    """A box with its surroundings as an 8-bit picture, the box outlined.

    Args:
        scene: An open scene.
        profile: Its instrument's normalisation.
        box: Scene pixels.
        size_px: Side of the picture. A small object is enlarged without smoothing, so that its pixels are seen as they are.

    Returns:
        New array, shape (size_px, size_px, 3), uint8.
    """
    import cv2

    from ovd_platform.raster.radiometry import display_bands, thumbnail

    x0, y0, x1, y1 = box
    side = int(max(24.0, 3.0 * max(x1 - x0, y1 - y0)))
    left, top = round((x0 + x1) / 2 - side / 2), round((y0 + y1) / 2 - side / 2)
    chip = scene.read(Window(left, top, side, side))
    picture: Any = thumbnail(chip.pixels_chw, chip.valid_hw, profile, display_bands(scene.record))
    if picture.shape[2] == 1:
        picture = np.repeat(picture, 3, axis=2)
    enlarging = side < size_px
    picture = cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_NEAREST if enlarging else cv2.INTER_AREA)
    scale = size_px / side
    corners = [round(value * scale) for value in (x0 - left, y0 - top, x1 - left, y1 - top)]
    cv2.rectangle(picture, (corners[0] - 3, corners[1] - 3), (corners[2] + 2, corners[3] + 2), (0, 0, 0), 3)
    cv2.rectangle(picture, (corners[0] - 3, corners[1] - 3), (corners[2] + 2, corners[3] + 2), (255, 214, 10), 1)
    return np.ascontiguousarray(picture, dtype=np.uint8)


def encode_png(rgb_hwc: NDArray[np.uint8]) -> bytes:
    """PNG file of a picture.

    Args:
        rgb_hwc: Shape (H, W, 3), uint8, red first.

    Raises:
        ShapeError: If it is not such a picture.
    """
    import cv2

    if rgb_hwc.ndim != 3 or rgb_hwc.shape[2] != 3 or rgb_hwc.dtype != np.uint8:
        raise ShapeError(
            f"Cannot encode a picture: expected (H, W, 3) uint8, got {rgb_hwc.shape} {rgb_hwc.dtype}. Use crop_rgb."
        )
    return bytes(cv2.imencode(".png", np.ascontiguousarray(rgb_hwc[:, :, ::-1]))[1].tobytes())


def picture_sheet(items: Sequence[Picture], *, columns: int = 4, side_px: int = CROP_PX) -> bytes:
    """One PNG with the pictures in a grid, each with its caption below.

    Args:
        items: Pictures (H, W, 3) uint8 with captions; any size, each is fitted into a square.
        columns: Pictures in a row.
        side_px: Side of a square.

    Returns:
        PNG file. Without pictures a sheet that says so.
    """
    import cv2
    from PIL import Image, ImageDraw, ImageFont

    font, gap, words = ImageFont.load_default(size=13), 8, 38
    shown = list(items) or [(np.full((side_px, side_px, 3), 235, dtype=np.uint8), "nothing to show")]
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    cell_w, cell_h = side_px + gap, side_px + words + gap
    sheet = Image.new("RGB", (columns * cell_w + gap, rows * cell_h + gap), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for number, (rgb_hwc, caption) in enumerate(shown):
        x, y = gap + number % columns * cell_w, gap + number // columns * cell_h
        scale = side_px / max(rgb_hwc.shape[:2])
        size = (max(1, round(rgb_hwc.shape[1] * scale)), max(1, round(rgb_hwc.shape[0] * scale)))
        sheet.paste(
            Image.fromarray(np.asarray(cv2.resize(rgb_hwc, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)), (x, y)
        )
        pen.multiline_text((x, y + side_px + 3), _wrapped(caption, font, side_px), fill=(20, 20, 20), font=font, spacing=2)
    return encode_png(np.asarray(sheet, dtype=np.uint8))


def _wrapped(caption: str, font: Any, width_px: int) -> str:
    """At most two lines that fit the width; the rest becomes an ellipsis."""
    lines, left = [], caption
    for number in range(2):
        end = len(left)
        while end and font.getlength(left[:end] + ("…" if number and end < len(left) else "")) > width_px:
            end -= 1
        if end < len(left) and not number:
            end = left.rfind(" ", 0, end) + 1 or end
        lines.append(left[:end].rstrip() + ("…" if number and end < len(left) else ""))
        left = left[end:]
        if not left:
            break
    return "\n".join(lines)
