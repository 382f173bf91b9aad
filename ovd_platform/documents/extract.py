"""One document -> figures with their words. Belongs here: the order of the steps and what happens when one fails.

Does not belong here: how a step works (rasters, drawings, captions, matching, kind, trust), limits of the process (guarded).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ovd_platform.documents.carried_captions import Worded, with_carried_captions
from ovd_platform.documents.document_text import DocumentText
from ovd_platform.documents.figure_pairs import add_pairs
from ovd_platform.documents.headings import set_headings
from ovd_platform.documents.hidden_text import hidden_lines
from ovd_platform.documents.image_statistics import brightness, unit_image
from ovd_platform.documents.kind import remote_sensing_share
from ovd_platform.documents.language import guess_language
from ovd_platform.documents.matching import side_votes, text_columns
from ovd_platform.documents.opening import document_slug, opened, pdf_errors
from ovd_platform.documents.outcome import DocumentOutcome
from ovd_platform.documents.page_boxes import box_area
from ovd_platform.documents.page_layout import Figure, PageLayout, page_figures, read_layout, repeated_images, with_lines
from ovd_platform.documents.page_text import RECOGNISED, page_lines
from ovd_platform.documents.rasters import decode_placement
from ovd_platform.documents.reading import Reading
from ovd_platform.documents.recognition import Recogniser, has_ink_beside, recognised_page, straightened
from ovd_platform.documents.scans import ink_of, is_poor_text, is_printed, pictures_of_scan
from ovd_platform.documents.skew import page_skew
from ovd_platform.documents.words import FigureWords, joined_fragments, page_words, spoken_boxes
from ovd_platform.errors import InputError, UnreadableDocumentError
from ovd_platform.stores.home import file_hash

_RUN_STRENGTH = 0.5  # of a heading over several images; one over a single image is no caption
_MIN_SCAN_PX = 400
_ABOUT_LETTERS = 60_000  # what a document is about shows in its first pages
_SCAN_SHARE = 0.5  # of the page: one image without text beside it
_MIN_LONE_SHARE = 0.012  # of the page: smaller uncaptioned drawings are logos and icons


def extract_document(
    path: Path,
    images_dir: Path,
    *,
    passwords: Sequence[str] = (),
    document_id: str | None = None,
    recogniser: Recogniser | None = None,
    in_figures: bool = True,
    seconds: float | None = None,
) -> DocumentOutcome:
    """Extract every figure of a PDF with its words.

    Images are written to ``images_dir / document_id / pair_id.png`` at native pixels. Whatever is wrong with the file is
    recorded in the outcome; what could be read is kept.

    Args:
        path: The PDF.
        images_dir: Root of the extracted images.
        passwords: Tried in order on encrypted files.
        document_id: Id to use instead of the slug of the file name.
        recogniser: Reads words inside images and on pages without text; None leaves them unread.
        in_figures: Let the recogniser read the figures too, not only pages without text.
        seconds: Stop starting new pages after this long and keep what there is; None for no limit.

    Returns:
        The outcome; `error` is None if everything was read.

    Raises:
        InputError: If the file does not exist.
    """
    if not path.is_file():
        raise InputError(f"Cannot extract {path}: expected a file, found none. Check the configured documents.")
    deadline = None if seconds is None else time.monotonic() + seconds
    reading = Reading(path, document_id or document_slug(path), file_hash(path), images_dir, recogniser, in_figures, deadline)
    try:
        with opened(path, passwords) as (document, notes):
            reading.notes.extend(notes)
            reading.pages = int(document.page_count)
            _read(document, reading)
    except UnreadableDocumentError as error:
        reading.error = str(error)
    return reading.outcome()


def _read(document: Any, reading: Reading) -> None:
    layouts = [layout for _, layout in _layouts(document, reading)]
    repeated = repeated_images(layouts)
    text = DocumentText(paragraph for layout in layouts for paragraph in layout.paragraphs)
    captions = [caption.text for layout in layouts for caption in layout.captions]
    everything = " ".join([*(paragraph.text for paragraph in text.paragraphs), *captions])
    found: list[tuple[PageLayout, list[Figure]]] = []
    votes = np.zeros(2)
    for layout in layouts:
        if layout.plain:
            continue
        figures, dropped = page_figures(layout, repeated)
        reading.dropped.update(dropped)
        found.append((layout, figures))
        votes += side_votes(spoken_boxes(layout, figures), layout.captions)
    habit = float((votes[0] - votes[1]) / (votes.sum() + 2))
    columns = text_columns(text.paragraphs)
    about, language = remote_sensing_share(everything[:_ABOUT_LETTERS]), guess_language(everything[:20_000])
    worded: list[Worded] = []
    for layout, figures in found:
        words = page_words(layout, figures, text, habit, columns)
        whole = joined_fragments(figures, words)
        if len(whole) != len(figures):
            figures, words = whole, page_words(layout, whole, text, habit, columns)
        worded.append((layout, figures, words))
    worded = with_carried_captions(worded, text)
    for layout, figures, words in _with_headings(document, layouts, worded):
        if reading.late:
            reading.failed.append(f"page {layout.page + 1} and later: time ran out")
            return
        for figure, of_figure in _worth_keeping(layout, figures, words, reading):
            add_pairs(document, figure, of_figure, reading, about, language)


def _with_headings(document: Any, layouts: Sequence[PageLayout], worded: Sequence[Worded]) -> Iterator[Worded]:
    """Images without a caption take the heading that introduces them."""
    bare = {
        layout.page: [(figure, _is_bare(figure, of_figure)) for figure, of_figure in zip(figures, words, strict=True)]
        for layout, figures, words in worded
    }
    if not any(is_bare for figures in bare.values() for _, is_bare in figures):
        yield from worded
        return
    whole = [with_lines(layout, page_lines(document[layout.page])) if layout.plain else layout for layout in layouts]
    headings = set_headings([(layout, bare.get(layout.page, [])) for layout in whole])
    for layout, figures, words in worded:
        result = []
        for figure, of_figure in zip(figures, words, strict=True):
            heading = headings.get((figure.page, figure.box, figure.part))
            if heading is not None and heading.figures > 1:
                of_figure = replace(of_figure, caption=heading.text, strength=_RUN_STRENGTH, run=heading.figures)
            result.append(of_figure)
        yield layout, figures, result


def _is_bare(figure: Figure, words: FigureWords) -> bool:
    return figure.placement is not None and not figure.scan and not words.caption and not words.label


def _layouts(document: Any, reading: Reading) -> Iterator[tuple[int, PageLayout]]:
    scanned = []
    unreadable: tuple[type[Exception], ...] = (UnreadableDocumentError, *pdf_errors())
    for number in range(reading.pages):
        if reading.late:
            reading.failed.append(f"page {number + 1} and later: time ran out")
            break
        try:
            page = document[number]
            layout = read_layout(page)
            if not layout.lines and layout.placements and has_ink_beside(page, [item.box for item in layout.placements]):
                scanned.append(number + 1)
                if reading.recogniser is not None:
                    layout = with_lines(layout, recognised_page(page, reading.recogniser))
            layout = _look_into_scan(document, page, layout, reading)
        except unreadable as error:
            reading.failed.append(f"page {number + 1}: {(str(error).splitlines() or ['unknown'])[0]}")
            continue
        yield number, layout
    if scanned:
        how = "read by the recogniser" if reading.recogniser is not None else "no recogniser is configured"
        reading.notes.append(f"{len(scanned)} page(s) of images without text ({how}), first {scanned[0]}")


def _look_into_scan(document: Any, page: Any, layout: PageLayout, reading: Reading) -> PageLayout:
    """Find the pictures of a page that is one image with words in it, and let them take the place of that image."""
    whole = next((item for item in layout.placements if box_area(item.box) > _SCAN_SHARE * box_area(layout.bounds)), None)
    if whole is None or not layout.lines or whole.stencil or whole.width_px < _MIN_SCAN_PX:
        return layout
    page_hw = brightness(unit_image(decode_placement(document, page, whole)))
    if not is_printed(page_hw, layout.lines, whole.box):
        return layout
    skew = page_skew(ink_of(page_hw), whole.box)
    lines = layout.lines
    if lines[0].font == RECOGNISED:
        lines = straightened(lines, skew)
    else:
        lines = hidden_lines(page, skew)
        if reading.recogniser is not None and is_poor_text(lines):
            lines = straightened(recognised_page(page, reading.recogniser), skew)
            reading.notes.append(f"page {layout.page + 1}: its hidden words run together, so they were read from the pixels")
    layout = with_lines(layout, lines)
    layout.scanned, layout.skew = whole, skew
    layout.pictures = pictures_of_scan(page_hw, layout.lines, whole.box, skew.turn_deg)
    return layout


def _worth_keeping(
    layout: PageLayout, figures: Sequence[Figure], words: Sequence[FigureWords], reading: Reading
) -> Iterator[tuple[Figure, FigureWords]]:
    for figure, of_figure in zip(figures, words, strict=True):
        if not of_figure.label and not figure.certain:
            reading.dropped["table or frame"] += 1
        elif (
            not of_figure.label
            and figure.placement is None
            and box_area(figure.box) < _MIN_LONE_SHARE * box_area(layout.bounds)
        ):
            reading.dropped["small drawing"] += 1
        else:
            yield figure, of_figure
