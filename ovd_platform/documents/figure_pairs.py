"""One figure -> its pair, its call-outs, and pairs of the parts that call-outs point to. Belongs here: pixels meet words.

Does not belong here: finding figures and words on a page (page_layout, words), the order of the pages (extract).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.callouts import Callout, callout_records, crop_box_px, fractions, linked
from ovd_platform.documents.drawings import Drawing
from ovd_platform.documents.image_statistics import measure, unit_image
from ovd_platform.documents.kind import Judgement, judge
from ovd_platform.documents.language import guess_language
from ovd_platform.documents.opening import pdf_errors
from ovd_platform.documents.outcome import Overlay
from ovd_platform.documents.page_boxes import Box
from ovd_platform.documents.page_layout import Figure
from ovd_platform.documents.pair_images import write_image
from ovd_platform.documents.pixel_marks import pixel_marks
from ovd_platform.documents.rasters import decode_placement, render_box
from ovd_platform.documents.reading import Reading
from ovd_platform.documents.recognition import recognised_words
from ovd_platform.documents.scans import cut
from ovd_platform.documents.trust import confidence, evidence
from ovd_platform.documents.words import FigureWords
from ovd_platform.errors import UnreadableDocumentError
from ovd_platform.records.pair import Pair
from ovd_platform.stores.home import content_hash

_MIN_SIDE_PX = 4
_CROP_PX = 64
_CROP_SHARE = 0.7  # a crop that is nearly the whole image is no pair of its own
_CROP_TRUST = 0.6  # of the confidence of its image, where the place is a pointer's tip: 0.8 of this
_CROP_KINDS = ("satellite", "photograph", "map")


def add_pairs(document: Any, figure: Figure, words: FigureWords, reading: Reading, about: float, language: str) -> None:
    """Decode a figure and add its pair, its call-outs and its parts to what was read.

    Args:
        document: The open PyMuPDF document.
        figure: Where it is.
        words: What is printed about it.
        reading: What was collected so far; grows.
        about: How much the document is about remote sensing, [0, 1].
        language: Of the document.
    """
    page = document[figure.page]
    if page.rotation:
        page.remove_rotation()
    unreadable: tuple[type[Exception], ...] = (UnreadableDocumentError, *pdf_errors())
    try:
        array = figure_pixels(document, page, figure)
    except unreadable as error:
        reading.failed.append(
            f"page {figure.page + 1}, image at {_whole(figure.place)}: {(str(error).splitlines() or ['unknown'])[0]}"
        )
        return
    if min(array.shape[:2]) < _MIN_SIDE_PX:
        reading.dropped["small image"] += 1
        return
    pair_id = content_hash(reading.version, figure.page, _whole(figure.place), figure.part)
    texts, records = _callouts(figure, words, array, reading, pair_id)
    judgement = judge(
        measure(array),
        caption=" ".join((words.caption, *texts)),
        nearby=words.context if words.mentioned else "",
        vector=figure.placement is None,
        remote_sensing=about,
    )
    pair = _pair(figure, replace(words, callouts=texts), judgement, reading, pair_id, array, language)
    write_image(reading.images_dir / pair.image_path, array)
    reading.pairs.append(pair)
    reading.overlays.extend(_overlay(mark, figure.place, pair_id) for mark in figure.marks)
    reading.callouts.extend(records)
    if figure.placement is not None and judgement.kind in _CROP_KINDS:
        for record in records:
            _add_crop(pair, record, array, reading)


def _callouts(
    figure: Figure, words: FigureWords, array: NDArray[Any], reading: Reading, pair_id: str
) -> tuple[tuple[str, ...], list[Callout]]:
    """All words over a figure, and those of them that point to something."""
    printed = [(line.text, line.place) for line in figure.callouts]
    read: list[tuple[str, Box]] = []
    if reading.recogniser is not None and reading.in_figures and _may_hold_words(figure):
        known = {text for text, _ in printed}
        read = [item for item in recognised_words(rgb8(array), reading.recogniser, figure.place) if item[0] not in known]
    marks = list(figure.marks)
    if figure.placement is not None and (read or (figure.cut and printed)):
        marks += pixel_marks(array, figure.place, [box for _, box in (*printed, *read)])
    records = callout_records(
        linked(printed, marks, figure.place), figure.place, pair_id, "recognised" if figure.cut else "vector"
    )
    linked_texts = {record.text for record in records}
    rest = [item for item in read if item[0] not in linked_texts]
    records += callout_records(linked(rest, marks, figure.place), figure.place, pair_id, "recognised")
    return (*words.callouts, *(text for text, _ in read)), records


def _may_hold_words(figure: Figure) -> bool:
    """Whether pixels are to be read: not those of whole pages and of scanned pictures whose words the page gave already."""
    return figure.placement is not None and not figure.scan and not (figure.cut and figure.callouts)


def figure_pixels(document: Any, page: Any, figure: Figure) -> NDArray[Any]:
    """Native pixels of a figure where there are any, else the page as people see it.

    Returns:
        New array, shape (H, W) or (H, W, 3), uint8 or uint16.

    Raises:
        UnreadableDocumentError: If the image cannot be decoded.
    """
    if figure.placement is None:
        return render_box(page, figure.place)
    array = decode_placement(document, page, figure.placement)
    return cut(array, figure.place, figure.placement.box) if figure.cut else array


def _pair(
    figure: Figure, words: FigureWords, judgement: Judgement, reading: Reading, pair_id: str, array: NDArray[Any], language: str
) -> Pair:
    notes = ["whole page"] if figure.scan else []
    if figure.cut:
        notes.append("cut from a scan")
    if array.dtype == np.uint16:
        notes.append(f"{int(array.max()).bit_length()} bit")
    own_language = guess_language(f"{words.caption} {words.context}", minimum_hits=5)
    return Pair(
        pair_id=pair_id,
        document_id=reading.document_id,
        document_version=reading.version,
        page=figure.page,
        box_page_xyxy=tuple(round(value, 2) for value in figure.place),  # type: ignore[arg-type]
        image_path=(Path(reading.document_id) / f"{pair_id}.png").as_posix(),
        caption=words.caption,
        label=words.label,
        context=words.context,
        callouts=words.callouts,
        kind=judgement.kind,
        modality=judgement.modality,
        confidence=confidence(words, judgement),
        evidence=evidence(words, judgement, figure.marks, notes),
        language=own_language if own_language != "und" else language,
    )


def _add_crop(pair: Pair, record: Callout, array: NDArray[Any], reading: Reading) -> None:
    """The part of an image that a call-out points to, with the call-out as its words."""
    if not any(letter.isalpha() for letter in record.text):
        return
    height, width = array.shape[:2]
    x0, y0, x1, y1 = crop_box_px(record.region_image_xyxy, (height, width), _CROP_PX)
    if min(x1 - x0, y1 - y0) < _CROP_PX // 2 or (x1 - x0) * (y1 - y0) > _CROP_SHARE * width * height:
        return
    pair_id = content_hash(pair.pair_id, record.text, (x0, y0, x1, y1))
    path = (Path(reading.document_id) / f"{pair_id}.png").as_posix()
    left, top, right, bottom = pair.box_page_xyxy
    across, down = (right - left) / width, (bottom - top) / height
    box = (left + x0 * across, top + y0 * down, left + x1 * across, top + y1 * down)
    pointed = record.shape in ("arrow", "line")
    write_image(reading.images_dir / path, array[y0:y1, x0:x1])
    reading.pairs.append(
        replace(
            pair,
            pair_id=pair_id,
            image_path=path,
            box_page_xyxy=(round(box[0], 2), round(box[1], 2), round(box[2], 2), round(box[3], 2)),
            caption=record.text,
            context=pair.caption or pair.context,
            callouts=(),
            confidence=round(_CROP_TRUST * (0.85 if pointed else 1.0), 2),
            evidence=f"part of another image, named by its call-out ({record.shape}, {record.source})",
            parent_id=pair.pair_id,
        )
    )


def rgb8(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Any figure as eight-bit RGB for a recogniser, shape (H, W, 3)."""
    eight = np.rint(unit_image(array) * 255).astype(np.uint8)
    return np.repeat(eight[..., None], 3, axis=2) if eight.ndim == 2 else eight


def _whole(box: Box) -> tuple[int, int, int, int]:
    return (round(box[0]), round(box[1]), round(box[2]), round(box[3]))


def _overlay(mark: Drawing, box: Box, pair_id: str) -> Overlay:
    return Overlay(pair_id, mark.shape, fractions(mark.box, box), mark.color)
