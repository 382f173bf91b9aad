"""What is in each made document: figures of all sorts with their words, decided by a seed. Belongs here: content; setting is the producers'."""

import numpy as np

from benchmarks.generated import pictures, words
from benchmarks.generated.model import Block, Figure, Made, Panel, Side, TableBlock, Words, part_line
from ovd_platform.demo.captions import describe

DRAWN_CAPTIONS = {
    "en": ("Number of objects counted per month.", "Course of two measures over the season.", "Overview of the method: from scenes to search."),
    "de": ("Zahl der gezählten Objekte je Monat.", "Verlauf zweier Messgrößen.", "Ablauf des Verfahrens."),
    "fr": ("Nombre d'objets comptés par mois.", "Évolution de deux mesures.", "Schéma de la méthode."),
    "es": ("Número de objetos contados por mes.", "Evolución de dos medidas.", "Esquema del método."),
}  # fmt: skip
_MAP_CAPTION = {
    "en": "Map of the study area with main roads.",
    "de": "Karte des Untersuchungsgebiets.",
    "fr": "Carte de la zone d'étude.",
    "es": "Mapa de la zona de estudio.",
}
_PHOTO_CAPTION = {"en": "Photograph taken from the ground on the day of the visit.", "de": "Foto vom Boden am Tag des Besuchs.", "fr": "Photo prise au sol le jour de la visite.", "es": "Foto tomada desde tierra el día de la visita."}  # fmt: skip


class Author:
    """Makes the blocks of one document; numbers figures as it goes."""

    def __init__(self, made: Made, rng: np.random.Generator) -> None:
        self.made, self.rng, self.number, self.tables = made, rng, 0, 0
        self.radar = rng.random() < 0.3
        self.figure_word, self.delimiter = words.FIGURE_WORDS[made.language][
            int(rng.integers(len(words.FIGURE_WORDS[made.language])))
        ]
        self.dotted = rng.random() < 0.15
        self.seeds = made.seed * 1000

    def label(self) -> str:
        self.number += 1
        return f"{self.figure_word} 2.{self.number}" if self.dotted else f"{self.figure_word} {self.number}"

    def chip(self) -> pictures.Chip:
        self.seeds += 1
        return pictures.chip(self.seeds, self.rng, radar=self.radar and self.rng.random() < 0.35)

    def caption_of(self, made: pictures.Chip) -> str:
        text = (
            describe(made.source, self.rng)  # type: ignore[arg-type]
            if self.made.language == "en"
            else words.foreign_caption(made.class_name, self.made.language, self.rng)
        )
        if self.rng.random() < 0.4:
            text = text.rstrip(".") + "." + words.long_tail(self.made.language, self.rng)
        return text

    def width(self, share_low: float = 0.45, share_high: float = 0.85) -> float:
        return float(min(self.made.column_pt * self.rng.uniform(share_low, share_high), 215.0))

    def figure(self, caption: str, panels: list[Panel], side: Side | None = None, **more: object) -> Figure:
        return Figure(self.label(), self.delimiter, caption, side or self.made.side, panels, **more)  # type: ignore[arg-type]

    def single(self) -> Figure:
        made = self.chip()
        side = self.made.side
        width = min(self.width(), 0.42 * self.made.column_pt) if side == "beside" else self.width()
        panel = pictures.chip_panel(made, width, self.rng, aspect=float(self.rng.choice((1.0, 1.0, 0.7))))
        if self.rng.random() < 0.3:
            pictures.add_scale_and_north(panel, self.rng)
        return self.figure(self.caption_of(made), [panel])

    def called(self) -> Figure:
        made = self.chip()
        wide = max(self.width(0.5, 0.62), 118.0)
        panel = pictures.chip_panel(made, wide, self.rng)
        count = int(self.rng.integers(1, 4))
        texts = [words.noun(made.class_name, self.made.language), f"T{self.number + 1}", f"{self.number + 3} m"][:count]
        pictures.add_calls(panel, made, texts, self.rng)
        return self.figure(self.caption_of(made), [panel], side="above" if self.made.side == "above" else "below")

    def panels(self) -> Figure:
        count = int(self.rng.choice((2, 2, 3, 4, 6)))
        across = {2: 2, 3: 3, 4: 2, 6: 3}[count]
        gap = 8.0
        width = min((self.made.column_pt - (across - 1) * gap) / across - 2, 150.0)
        style = str(self.rng.choice(("under", "under", "inline", "letters")))
        if width < 90 and style == "under":
            style = "inline"
        figure = self.figure(words.shared_words(self.made.language, self.rng), [], across=across, part_style=style)
        if figure.side == "beside":
            figure.side = "below"
        for index in range(count):
            made = self.chip()
            panel = pictures.chip_panel(made, width, self.rng)
            side = min(panel.pixels.shape[:2])  # type: ignore[union-attr]
            panel.pixels, panel.height_pt = panel.pixels[:side, :side].copy(), width  # type: ignore[index]
            panel.letter = "abcdef"[index]
            panel.words = words.panel_words(made.class_name, self.made.language, self.rng)
            figure.panels.append(panel)
        if style == "inline":
            figure.caption += ": " + ", ".join(f"({panel.letter}) {panel.words}" for panel in figure.panels) + "."
        elif style == "letters":
            figure.caption += "."
            for panel in figure.panels:
                panel.words = ""
        else:
            figure.caption += "."
        return figure

    def composite(self) -> Figure:
        chips = [self.chip() for _ in range(int(self.rng.choice((2, 4))))]
        names = ", ".join(
            f"({'abcdef'[index]}) {words.panel_words(made.class_name, self.made.language, self.rng)}"
            for index, made in enumerate(chips)
        )
        panel = pictures.composite_panel(chips, min(self.made.column_pt * 0.9, 260.0), self.rng)
        return self.figure(
            f"{words.shared_words(self.made.language, self.rng)}: {names}.", [panel], side="below", composite=True
        )

    def drawn(self) -> Figure:
        which = int(self.rng.integers(3))
        make = (pictures.bar_chart, pictures.line_plot, pictures.block_diagram)[which]
        panel = make(min(self.made.column_pt * 0.92, 230.0), self.rng)
        side: Side = "above" if self.made.side == "above" else "below"
        return self.figure(DRAWN_CAPTIONS[self.made.language][which], [panel], side=side)

    def other(self) -> Figure:
        which = int(self.rng.integers(3))
        make = (pictures.street_map_panel, pictures.relief_map_panel, pictures.photograph_panel)[which]
        caption = (_PHOTO_CAPTION if which == 2 else _MAP_CAPTION)[self.made.language]
        side: Side = "above" if self.made.side == "above" else "below"
        return self.figure(caption, [make(self.width(0.6, 0.9), self.rng)], side=side)

    def bare(self) -> Figure:
        """A picture without any caption."""
        return Figure("", "", "", "below", [pictures.chip_panel(self.chip(), self.width(0.4, 0.6), self.rng)])

    def table(self) -> TableBlock:
        self.tables += 1
        rows = tuple(
            (f"site {index}", f"{self.rng.integers(1, 90)}", f"{self.rng.uniform(0, 9):.1f}")
            for index in range(1, int(self.rng.integers(4, 8)))
        )
        return TableBlock(
            f"{words.TABLE_WORDS[self.made.language]} {self.tables}: counts and mean lengths.", (("site", "count", "m"), *rows)
        )


def make(name: str, producer: str, seed: int, columns: int, side: Side, language: str) -> Made:
    """All content of a document.

    Args:
        name: File stem.
        producer: Who will set it.
        seed: Decides everything else.
        columns: 1 or 2.
        side: Where captions stand.
        language: Of all words.
    """
    rng = np.random.default_rng([seed, 61])
    page = ((595.0, 842.0), (612.0, 792.0))[int(rng.integers(2))]
    made = Made(
        name,
        producer,
        seed,
        columns,
        side,
        language,
        words.title(language, rng),
        [],
        page,
        float(rng.choice((9.0, 10.0, 11.0))),
        float(rng.choice((8.0, 9.0))),
    )
    author = Author(made, rng)
    wanted = ["single", "single", "single", "panels", "called", "called", "drawn"]
    wanted += [str(rng.choice(("other", "composite"))), str(rng.choice(("table", "bare", "panels", "other")))]
    for position in rng.permutation(len(wanted)):
        _add(made, author, wanted[position], rng)
    made.blocks.append(Words(words.paragraph(language, rng)))
    if rng.random() < 0.5:
        made.logo, made.logo_every_page = pictures.logo_picture(rng), bool(rng.random() < 0.7)
    return made


def _add(made: Made, author: Author, what: str, rng: np.random.Generator) -> None:
    blocks: list[Block] = []
    if rng.random() < 0.2:
        blocks.append(Words(f"{len(made.blocks) + 1} {words.title(made.language, rng)}", heading=True))
    block: Block = getattr(author, what)()
    said = words.mention(block.label, made.language, rng) if isinstance(block, Figure) and block.label else ""
    before = rng.random() < 0.6
    if before or not made.blocks:
        blocks.append(Words(words.paragraph(made.language, rng, said, first=rng.random() < 0.4)))
    blocks.append(block)
    if not before or rng.random() < 0.4:
        blocks.append(Words(words.paragraph(made.language, rng, "" if before else said, first=rng.random() < 0.6)))
    made.blocks += blocks


def truth_rows(made: Made, places: list[tuple[int, tuple[float, float, float, float]]]) -> list[dict[str, object]]:
    """Truth of all panels, in order, once it is known where they stand.

    Args:
        made: The document.
        places: Page (0-based) and page box of each panel.
    """
    rows: list[dict[str, object]] = []
    for number, ((figure, panel), (page, box)) in enumerate(zip(made.panels(), places, strict=True)):
        x0, y0 = box[0], box[1]
        zoom = (box[2] - box[0]) / panel.width_pt
        calls = [
            {"text": call.text, "style": call.style, "region": [round(x0 + call.region[0] * zoom, 2), round(y0 + call.region[1] * zoom, 2),
                                                                  round(x0 + call.region[2] * zoom, 2), round(y0 + call.region[3] * zoom, 2)]}
            for call in panel.calls
        ]  # fmt: skip
        rows.append(
            {
                "document": made.name,
                "producer": made.producer,
                "columns": made.columns,
                "side": figure.side if figure.label else "",
                "panel": number,
                "panels": len(figure.panels),
                "page": page,
                "box": [round(value, 2) for value in box],
                "label": figure.label,
                "letter": panel.letter,
                "caption": figure.caption,
                "words": panel.words,
                "part": part_line(panel, figure),
                "kind": panel.kind,
                "modality": panel.modality,
                "drawn": panel.pixels is None,
                "composite": figure.composite,
                "calls": calls,
                "scanned": False,
            }
        )
    return rows
