"""Captions, panels, matching and language on made-up lines: no file is read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.documents.captions import Caption, find_captions, part_captions, split_parts
from ovd_platform.documents.document_text import DocumentText
from ovd_platform.documents.kind import radar_or_optical
from ovd_platform.documents.language import guess_language
from ovd_platform.documents.matching import match_captions, reading_order, text_columns
from ovd_platform.documents.page_boxes import box_area, covered_fraction, intersection_area, union_box
from ovd_platform.documents.page_text import Paragraph, TextLine, join_lines


def line(
    text: str, x: float, y: float, *, width: float | None = None, size: float = 10.0, block: int = 0, bold: bool = False
) -> TextLine:
    return TextLine(text, (x, y, x + (width or 5.0 * len(text)), y + size), size, bold, False, "Times", block)


@pytest.mark.parametrize(
    ("text", "label", "words"),
    [
        ("Figure 3: A ship at a pier.", "Figure 3", "A ship at a pier."),
        ("Fig. 12. Two aircraft on an apron", "Fig. 12", "Two aircraft on an apron"),
        ("FIG. 4 – Harbour", "FIG. 4", "Harbour"),
        ("Abbildung 2.1: Ein Schiff im Hafen", "Abbildung 2.1", "Ein Schiff im Hafen"),
        ("Figura 7. Un buque", "Figura 7", "Un buque"),
        ("Figure A1: Setup", "Figure A1", "Setup"),
        ("Fig. SRBBS_b_1: The results", "Fig. SRBBS_b_1", "The results"),
        ("Figure 1-12: Rivets", "Figure 1-12", "Rivets"),
        ("Рис. 5. Судно у причала", "Рис. 5", "Судно у причала"),
        ("Obr. 3: Loď v přístavu", "Obr. 3", "Loď v přístavu"),
        ("Afbeelding 4: Een schip", "Afbeelding 4", "Een schip"),
        ("Şekil 2. Limanda bir gemi", "Şekil 2", "Limanda bir gemi"),
        ("图 3：港口的船", "图 3", "港口的船"),
        ("図2 港の船", "図 2", "港の船"),
    ],
)
def test_caption_is_read(text: str, label: str, words: str) -> None:
    (caption,) = find_captions([line(text, 50, 300)])
    assert (caption.label, caption.text) == (label, words)


@pytest.mark.parametrize(
    "text",
    [
        "Figure 3 shows that ships are small.",
        "Table 2: Counts",
        "figures are nice",
        "The Figure 3: no",
        "Figure 3 and Figure 4 differ",
    ],
)
def test_sentences_and_tables_are_no_captions(text: str) -> None:
    assert find_captions([line(text, 50, 300)]) == []


def test_caption_goes_on_over_lines_and_stops_at_body_text() -> None:
    lines = [
        line("Figure 2: A very long caption that needs a sec-", 50, 300, width=240, size=8),
        line("ond line to end.", 50, 309, width=80, size=8),
        line("Body text begins here and has another size.", 50, 325, width=240, size=10, block=1),
    ]
    (caption,) = find_captions(lines)
    assert caption.text == "A very long caption that needs a second line to end."


def test_parts_are_split_only_when_letters_run() -> None:
    assert split_parts("Harbour: (a) before, and (b) after.") == ("Harbour", {"a": "before", "b": "after"})
    assert split_parts("Ship (b) and (a)")[1] == {}
    assert split_parts("A loop with an if statement (a). A loop with two (b).")[1] == {}


def test_part_captions_wrap() -> None:
    parts = part_captions([line("(a) A road bridge seen by", 50, 100, size=7), line("the satellite", 50, 109, size=7)])
    assert [(part.letter, part.text) for part in parts] == [("a", "A road bridge seen by the satellite")]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("as in Figures 1 and 2 above", True),
        ("(see fig. 2)", True),
        ("Abb. 2 zeigt es", True),
        ("Figure 2a shows a part", True),
        ("Figure 21 is another", False),
        ("Figure 2.1 is another", False),
        ("Table 2 is none", False),
    ],
)
def test_mentions_respect_the_number(text: str, named: bool) -> None:
    caption = Caption("Fig. 2", "A ship", (50, 300, 200, 310), 1.0, ())
    found = DocumentText([Paragraph(0, text, (50, 20, 540, 60))]).mention(caption, 0)
    assert (found == text) == named


def test_each_column_keeps_its_caption() -> None:
    boxes = [(50.0, 100.0, 250.0, 200.0), (320.0, 100.0, 520.0, 200.0)]
    captions = find_captions([line("Figure 1: left", 50, 206, block=0), line("Figure 2: right", 320, 206, block=1)])
    assert [match.caption for match in match_captions(boxes, captions, [])] == [0, 1]


def test_caption_at_the_edge_of_its_column_is_found() -> None:
    columns = text_columns([Paragraph(0, "x" * 200, (50, 20, 540, 60))])
    captions = find_captions([line("Figure 1: ship", 50, 206, width=90)])
    box = (240.0, 100.0, 350.0, 200.0)
    assert match_captions([box], captions, [], columns=columns)[0].caption == 0
    assert match_captions([box], captions, [])[0].caption is None


def test_habit_of_the_document_decides_between_above_and_below() -> None:
    boxes = [(50.0, 100.0, 250.0, 200.0), (50.0, 230.0, 250.0, 330.0)]
    captions = find_captions([line("Figure 1: between", 50, 210, width=200)])
    below = [match.caption for match in match_captions(boxes, captions, [], habit=0.8)]
    above = [match.caption for match in match_captions(boxes, captions, [], habit=-0.8)]
    assert below[0] == 0
    assert above[1] == 0


def test_panels_share_a_centred_caption() -> None:
    boxes = [(126.0, 73.0, 298.0, 196.0), (298.0, 74.0, 469.0, 196.0)]
    captions = find_captions([line("Fig. 2. Detected ships", 250, 200, width=90)])
    matches = match_captions(boxes, captions, [])
    assert [(match.caption, match.panel, match.panels) for match in matches] == [(0, 0, 2), (0, 1, 2)]


def test_running_text_parts_figure_and_caption() -> None:
    body = [line("one two three four five six seven eight", 50, 215, width=200)]
    captions = find_captions([line("Figure 1: far away", 50, 240, width=200, block=2)])
    assert match_captions([(50.0, 100.0, 250.0, 200.0)], captions, body)[0].caption is None


def test_reading_order_goes_by_rows() -> None:
    assert reading_order([(300, 10, 400, 110), (50, 14, 150, 114), (50, 200, 150, 300)]) == [1, 0, 2]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The ship lies at the pier of the harbour and is seen from above", "en"),
        ("Das Schiff liegt an der Mole und ist von oben zu sehen", "de"),
        ("El buque está en el puerto de la ciudad con una grúa", "es"),
        ("Корабль у причала", "ru"),
        ("Lorem ipsum dolor sit amet, consetetur sadipscing elitr, sed diam nonumy eirmod tempor", "und"),
        ("", "und"),
    ],
)
def test_language(text: str, code: str) -> None:
    assert guess_language(text) == code


def test_modality_follows_the_caption_before_the_context() -> None:
    assert radar_or_optical("SAR image of a ship", "", grey=True) == "sar"
    assert radar_or_optical("Panchromatic image of a ship", "the SAR image", grey=True) == "optical"
    assert radar_or_optical("A ship", "the SAR image", grey=True) == "sar"
    assert radar_or_optical("A ship", "the SAR image", grey=False) == "optical"


def test_hyphens_are_joined() -> None:
    assert join_lines(["multi-", "panel figures", "of Sentinel-", "2"]) == "multipanel figures of Sentinel- 2"


_BOX = st.tuples(*[st.floats(0, 500)] * 2, *[st.floats(1, 200)] * 2).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@settings(max_examples=50, deadline=None)
@given(_BOX, _BOX)
def test_box_laws(first: tuple[float, float, float, float], second: tuple[float, float, float, float]) -> None:
    common = intersection_area(first, second)
    assert common == intersection_area(second, first)
    assert 0 <= common <= min(box_area(first), box_area(second)) + 1e-6
    assert covered_fraction(first, union_box([first, second])) > 0.97 or min(first[2] - first[0], first[3] - first[1]) < 40
