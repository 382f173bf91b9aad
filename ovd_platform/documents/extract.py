"""One document -> figures with their words. Belongs here: the order of the steps and what happens when one fails.

Does not belong here: how a step works (rasters, drawings, captions, matching, kind, trust), limits of the process (guarded).
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.drawings import Drawing
from ovd_platform.documents.headings import set_headings
from ovd_platform.documents.image_statistics import measure, unit_image
from ovd_platform.documents.kind import judge, remote_sensing_share
from ovd_platform.documents.language import guess_language
from ovd_platform.documents.matching import side_votes, text_columns
from ovd_platform.documents.opening import document_slug, opened, pdf_errors
from ovd_platform.documents.outcome import DocumentOutcome, Overlay
from ovd_platform.documents.page_boxes import Box, box_area
from ovd_platform.documents.page_layout import Figure, PageLayout, page_figures, read_layout, repeated_images
from ovd_platform.documents.pair_images import write_image
from ovd_platform.documents.rasters import decode_placement, render_box
from ovd_platform.documents.recognition import Recogniser, recognised_callouts, recognised_page
from ovd_platform.documents.trust import confidence, evidence
from ovd_platform.documents.words import FigureWords, joined_fragments, page_words, spoken_boxes
from ovd_platform.errors import InputError, UnreadableDocumentError
from ovd_platform.records.pair import Pair
from ovd_platform.stores.home import content_hash, file_hash

_log = logging.getLogger(__name__)
_RUN_STRENGTH, _LONE_STRENGTH = 0.5, 0.2  # of a heading over several images, and over one
_SCAN_SHARE = 0.5  # of the page: one image without text beside it
_MIN_LONE_SHARE = 0.012  # of the page: smaller uncaptioned drawings are logos and icons


@dataclass(slots=True)
class _Reading:
    """What has been collected of a document so far."""

    path: Path
    document_id: str
    version: str
    images_dir: Path
    recogniser: Recogniser | None
    deadline: float | None
    pages: int = 0
    error: str | None = None
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    overlays: list[Overlay] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def outcome(self) -> DocumentOutcome:
        notes = list(self.notes)
        if self.dropped:
            notes.append("left out: " + ", ".join(f"{count} {reason}" for reason, count in sorted(self.dropped.items())))
        error = self.error
        if self.failed:
            listed = "; ".join(self.failed[:5]) + (f"; and {len(self.failed) - 5} more" if len(self.failed) > 5 else "")
            error = f"Cannot read all of {self.path.name}: expected {self.pages} good pages, got: {listed}. The rest was kept."
        return DocumentOutcome(
            self.document_id, self.version, self.pages, self.pairs, error, tuple(notes), str(self.path), tuple(self.overlays)
        )


def extract_document(
    path: Path,
    images_dir: Path,
    *,
    passwords: Sequence[str] = (),
    document_id: str | None = None,
    recogniser: Recogniser | None = None,
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
        seconds: Stop starting new pages after this long and keep what there is; None for no limit.

    Returns:
        The outcome; `error` is None if everything was read.

    Raises:
        InputError: If the file does not exist.
    """
    if not path.is_file():
        raise InputError(f"Cannot extract {path}: expected a file, found none. Check the configured documents.")
    deadline = None if seconds is None else time.monotonic() + seconds
    reading = _Reading(path, document_id or document_slug(path), file_hash(path), images_dir, recogniser, deadline)
    try:
        with opened(path, passwords) as (document, notes):
            reading.notes.extend(notes)
            reading.pages = int(document.page_count)
            _read(document, reading)
    except UnreadableDocumentError as error:
        reading.error = str(error)
    return reading.outcome()


def _read(document: Any, reading: _Reading) -> None:
    layouts = [layout for _, layout in _layouts(document, reading)]
    repeated = repeated_images(layouts)
    text = [paragraph for layout in layouts for paragraph in layout.paragraphs]
    captions = [caption.text for layout in layouts for caption in layout.captions]
    everything = " ".join([*(paragraph.text for paragraph in text), *captions])
    found: list[tuple[PageLayout, list[Figure]]] = []
    votes = np.zeros(2)
    for layout in layouts:
        figures, dropped = page_figures(layout, repeated)
        reading.dropped.update(dropped)
        found.append((layout, figures))
        votes += side_votes(spoken_boxes(layout, figures), layout.captions)
    habit = float((votes[0] - votes[1]) / (votes.sum() + 2))
    columns = text_columns(text)
    about, language = remote_sensing_share(everything), guess_language(everything[:20_000])
    worded: list[tuple[PageLayout, list[Figure], list[FigureWords]]] = []
    for layout, figures in found:
        words = page_words(layout, figures, text, habit, columns)
        whole = joined_fragments(figures, words)
        if len(whole) != len(figures):
            figures, words = whole, page_words(layout, whole, text, habit, columns)
        worded.append((layout, figures, words))
    for layout, figures, words in _with_headings(worded):
        if reading.late:
            reading.failed.append(f"page {layout.page + 1} and later: time ran out")
            return
        for figure, of_figure in _worth_keeping(layout, figures, words, reading):
            _add_pair(document, figure, of_figure, reading, about, language)


def _with_headings(
    worded: Sequence[tuple[PageLayout, list[Figure], list[FigureWords]]],
) -> Iterator[tuple[PageLayout, list[Figure], list[FigureWords]]]:
    """Images without a caption take the heading that introduces them."""
    bare = [
        (layout, [(figure, _is_bare(figure, of_figure)) for figure, of_figure in zip(figures, words, strict=True)])
        for layout, figures, words in worded
    ]
    headings = set_headings(bare)
    for layout, figures, words in worded:
        result = []
        for figure, of_figure in zip(figures, words, strict=True):
            heading = headings.get((figure.page, figure.box, figure.part))
            if heading is not None:
                strength = _RUN_STRENGTH if heading.figures > 1 else _LONE_STRENGTH
                of_figure = replace(of_figure, caption=heading.text, strength=strength, run=heading.figures)
            result.append(of_figure)
        yield layout, figures, result


def _is_bare(figure: Figure, words: FigureWords) -> bool:
    return figure.placement is not None and not figure.scan and not words.caption and not words.label


def _layouts(document: Any, reading: _Reading) -> Iterator[tuple[int, PageLayout]]:
    scanned = []
    for number in range(reading.pages):
        if reading.late:
            reading.failed.append(f"page {number + 1} and later: time ran out")
            break
        try:
            page = document[number]
            layout = read_layout(page)
            if not layout.lines and _is_scan(layout):
                scanned.append(number + 1)
                if reading.recogniser is not None:
                    layout = read_layout(page, recognised_page(page, reading.recogniser))
        except pdf_errors() as error:
            reading.failed.append(f"page {number + 1}: {(str(error).splitlines() or ['unknown'])[0]}")
            continue
        yield number, layout
    if scanned:
        how = "read by the recogniser" if reading.recogniser is not None else "no recogniser is configured"
        reading.notes.append(f"{len(scanned)} page(s) of images without text ({how}), first {scanned[0]}")


def _is_scan(layout: PageLayout) -> bool:
    return any(box_area(placement.box) > _SCAN_SHARE * box_area(layout.bounds) for placement in layout.placements)


def _worth_keeping(
    layout: PageLayout, figures: Sequence[Figure], words: Sequence[FigureWords], reading: _Reading
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


def _add_pair(document: Any, figure: Figure, words: FigureWords, reading: _Reading, about: float, language: str) -> None:
    page = document[figure.page]
    if page.rotation:
        page.remove_rotation()
    unreadable: tuple[type[Exception], ...] = (UnreadableDocumentError, *pdf_errors())
    try:
        array = render_box(page, figure.box) if figure.placement is None else decode_placement(document, page, figure.placement)
    except unreadable as error:
        reading.failed.append(
            f"page {figure.page + 1}, image at {_whole(figure.box)}: {(str(error).splitlines() or ['unknown'])[0]}"
        )
        return
    if min(array.shape[:2]) < 4:
        reading.dropped["small image"] += 1
        return
    callouts = words.callouts
    if reading.recogniser is not None and figure.placement is not None and not figure.scan:
        callouts = (*callouts, *recognised_callouts(_rgb8(array), reading.recogniser))
    statistics = measure(array)
    judgement = judge(
        statistics,
        caption=" ".join((words.caption, *callouts)),
        nearby=words.context if words.mentioned else "",
        vector=figure.placement is None,
        remote_sensing=about,
    )
    pair_id = content_hash(reading.version, figure.page, _whole(figure.box), figure.part)
    relative = Path(reading.document_id) / f"{pair_id}.png"
    write_image(reading.images_dir / relative, array)
    notes = ["whole page"] if figure.scan else []
    if array.dtype == np.uint16:
        notes.append(f"{int(array.max()).bit_length()} bit")
    own_language = guess_language(f"{words.caption} {words.context}", minimum_hits=5)
    reading.overlays.extend(_overlay(mark, figure.box, pair_id) for mark in figure.marks)
    reading.pairs.append(
        Pair(
            pair_id=pair_id,
            document_id=reading.document_id,
            document_version=reading.version,
            page=figure.page,
            box_page_xyxy=tuple(round(value, 2) for value in figure.box),  # type: ignore[arg-type]
            image_path=relative.as_posix(),
            caption=words.caption,
            label=words.label,
            context=words.context,
            callouts=callouts,
            kind=judgement.kind,
            modality=judgement.modality,
            confidence=confidence(words, judgement),
            evidence=evidence(words, judgement, figure.marks, notes),
            language=own_language if own_language != "und" else language,
        )
    )


def _whole(box: Box) -> tuple[int, int, int, int]:
    return (round(box[0]), round(box[1]), round(box[2]), round(box[3]))


def _rgb8(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.rint(unit_image(array) * 255).astype(np.uint8)


def _overlay(mark: Drawing, box: Box, pair_id: str) -> Overlay:
    width, height = max(box[2] - box[0], 1e-6), max(box[3] - box[1], 1e-6)
    x0, y0, x1, y1 = mark.box
    place = ((x0 - box[0]) / width, (y0 - box[1]) / height, (x1 - box[0]) / width, (y1 - box[1]) / height)
    inside = tuple(round(min(1.0, max(0.0, value)), 4) for value in place)
    return Overlay(pair_id, mark.shape, (inside[0], inside[1], inside[2], inside[3]), mark.color)
