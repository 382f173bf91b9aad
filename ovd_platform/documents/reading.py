"""What has been collected of a document while it is read. Belongs here: the growing record; the steps are extract's."""

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ovd_platform.documents.callouts import Callout
from ovd_platform.documents.outcome import DocumentOutcome, Overlay
from ovd_platform.documents.recognition import Recogniser
from ovd_platform.records.pair import Pair

_LISTED = 5


@dataclass(slots=True)
class Reading:
    """A document's findings so far.

    Attributes:
        path: The file.
        document_id: Its id.
        version: Content hash.
        images_dir: Root of the extracted images.
        recogniser: Reads words in pixels; None leaves them unread.
        in_figures: Whether the recogniser also reads the figures, not only pages without text.
        deadline: Monotonic time after which no page is begun; None for no limit.
        pages: Number of pages.
        error: Why the document could not be read.
        notes: For people.
        failed: Pages and images that could not be read, with the reason.
        pairs: Figures with their words.
        overlays: Marks over the images.
        callouts: Words with what they point to.
        dropped: Counts of what is no figure, by reason.
    """

    path: Path
    document_id: str
    version: str
    images_dir: Path
    recogniser: Recogniser | None
    in_figures: bool
    deadline: float | None
    pages: int = 0
    error: str | None = None
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    overlays: list[Overlay] = field(default_factory=list)
    callouts: list[Callout] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def late(self) -> bool:
        """Whether time has run out."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def outcome(self) -> DocumentOutcome:
        """The finished record."""
        notes = list(self.notes)
        if self.dropped:
            notes.append("left out: " + ", ".join(f"{count} {reason}" for reason, count in sorted(self.dropped.items())))
        error = self.error
        if self.failed:
            more = len(self.failed) - _LISTED
            listed = "; ".join(self.failed[:_LISTED]) + (f"; and {more} more" if more > 0 else "")
            error = (
                f"Cannot read all of {self.path.name}: expected {self.pages} good pages, got: {listed}. The rest was kept; "
                f"open the file in a viewer, save it anew, and give it again if those pages matter."
            )
        return DocumentOutcome(
            self.document_id,
            self.version,
            self.pages,
            self.pairs,
            error,
            tuple(notes),
            str(self.path),
            tuple(self.overlays),
            callouts=tuple(self.callouts),
        )
