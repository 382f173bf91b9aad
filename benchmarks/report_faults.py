"""Faults injected into a sound evaluation, and the number of the report that shows each."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.outcome import Outcome
from benchmarks.workspaces import save_result
from ovd_platform.evaluate.inputs import EvaluationInput
from ovd_platform.evaluate.prepared import exposures_of, prepare
from ovd_platform.evaluate.report import write_report
from ovd_platform.evaluate.stats import Stats, evaluate
from ovd_platform.records.proposal import ProposalSet
from tests.evaluate.evaluation_world import SIZE_PX, make_input, make_scene

TILE_PX, COPIES, MISLABELLED = 250, 9, 5
SHIFT_PX = (7.0, -4.0)


@dataclass(frozen=True)
class Shown:
    """What the report says of a fault: the number, the number that was put in, how near it must be, and words on the page."""

    number: float
    expected: float
    tolerance: float
    words: str


def run(arguments: list[str]) -> list[Outcome]:
    """Inject every fault."""
    base = evaluate(sound_input(), replicates=60)
    facts: dict[str, object] = {"findings_without_fault": base["health"]["findings"]}
    visible = 0
    for name, fault in FAULTS.items():
        shown = report_of(fault)
        ok = is_visible(shown)
        visible += ok
        facts[name] = {"reported": shown.number, "injected": shown.expected, "visible": ok}
        print(f"{name:28} reported {shown.number:g}, injected {shown.expected:g}: {'visible' if ok else 'NOT visible'}")
    facts["command"] = "uv run python -m benchmarks report-faults"
    save_result("report-faults", facts)
    return [
        Outcome("faults visible as the right number", visible, len(FAULTS)),
        Outcome("findings without any fault", len(base["health"]["findings"]), 0, at_least=False),
    ]


def report_of(fault: "Fault") -> Shown:
    """Evaluate the faulty input, write the report, and read what it says; ``words`` becomes empty if the page lacks them."""
    given, read = fault(sound_input())
    stats = evaluate(given, replicates=60)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_report(stats, {}, Path(folder))
        pages = [paths.html.read_text(), paths.markdown.read_text()]
    shown = read(stats)
    return shown if all(shown.words in page for page in pages) else replace(shown, words="")


def is_visible(shown: Shown) -> bool:
    """Whether the number is the one put in and stands on the pages."""
    return abs(shown.number - shown.expected) <= shown.tolerance and bool(shown.words)


Fault = Callable[[EvaluationInput], tuple[EvaluationInput, Callable[[Stats], Shown]]]


def sound_input() -> EvaluationInput:
    """Six scenes with good answers, their tiles, and a training scene elsewhere."""
    given = make_input(miss=0.1, false=4)
    cores = [
        (float(x), float(y), float(x + TILE_PX), float(y + TILE_PX))
        for y in range(0, SIZE_PX, TILE_PX)
        for x in range(0, SIZE_PX, TILE_PX)
    ]
    scenes = tuple(replace(record, footprint_lonlat=_ring(index)) for index, record in enumerate(given.scenes))
    elsewhere = replace(make_scene(99), footprint_lonlat=_ring(40))
    tiles = {record.scene_id: cores for record in scenes}
    return replace(given, scenes=scenes, tiles=tiles, training_scenes=(elsewhere,), queries=(), tags={})


def _ring(index: float) -> tuple[tuple[float, float], ...]:
    west, south = 10.0 + 0.1 * index, 45.0
    return ((west, south), (west + 0.02, south), (west + 0.02, south + 0.01), (west, south + 0.01), (west, south))


def shifted_boxes(given: EvaluationInput) -> tuple[EvaluationInput, Callable[[Stats], Shown]]:
    """Every answer moved."""
    dx, dy = SHIFT_PX
    moved = {
        scene_id: [
            replace(item, box_scene_xyxy=tuple(v + d for v, d in zip(item.box_scene_xyxy, (dx, dy, dx, dy), strict=True)))  # type: ignore[arg-type]
            for item in items
        ]
        for scene_id, items in given.detections.items()
    }

    def read(stats: Stats) -> Shown:
        offset = stats["health"]["offset"]
        gap = max(abs(offset["x_px"]["value"] - dx), abs(offset["y_px"]["value"] - dy))
        return Shown(offset["x_px"]["value"] if gap > 0.5 else dx, dx, 0.0, "px off their objects in x")

    return replace(given, detections=moved, proposals={}), read


def swapped_axes(given: EvaluationInput) -> tuple[EvaluationInput, Callable[[Stats], Shown]]:
    """x and y of every answer exchanged."""
    sound = evaluate(given, replicates=20)["health"]["axes"]["recall_as_answered"]
    turned = {
        scene_id: [replace(item, box_scene_xyxy=tuple(item.box_scene_xyxy[i] for i in (1, 0, 3, 2))) for item in items]  # type: ignore[arg-type]
        for scene_id, items in given.detections.items()
    }
    return replace(given, detections=turned, proposals={}), lambda stats: Shown(
        stats["health"]["axes"]["recall_with_axes_swapped"], sound, 1e-9, "the axes of answers or labels are swapped"
    )


def duplicated_seams(given: EvaluationInput) -> tuple[EvaluationInput, Callable[[Stats], Shown]]:
    """Some accepted answers of one scene come a second time, from the tile beside."""
    first = given.scenes[0].scene_id
    kept = [item for item in given.detections[first] if item.accepted][:COPIES]
    copies = [
        replace(item, detection_id=f"{item.detection_id}:copy", tile_id="tile-beside", score=item.score - 1e-6) for item in kept
    ]
    found = {**given.detections, first: [*given.detections[first], *copies]}
    return replace(given, detections=found, proposals={}), lambda stats: Shown(
        stats["duplicates"]["detections"]["pairs"], COPIES, 0.0, "repeat another across a seam"
    )


def leaked_scene(given: EvaluationInput) -> tuple[EvaluationInput, Callable[[Stats], Shown]]:
    """One test scene was trained on under another name, and another shares a quarter of its ground with training."""
    twin = replace(make_scene(77), version=given.scenes[2].version)
    beside = replace(make_scene(78), footprint_lonlat=_ring(4 + 0.15))

    def read(stats: Stats) -> Shown:
        rows = stats["health"]["leak"]["scenes"]
        hows = sorted((row["how"], round(row["share"], 2)) for row in rows)
        right = hows == [("the same ground", 0.25), ("the same pixels", 1.0)]
        return Shown(stats["health"]["leak"]["leaked_scenes"] if right else -1, 2, 0.0, "share pixels or ground with training")

    return replace(given, training_scenes=(*given.training_scenes, twin, beside)), read


def mislabelled_class(given: EvaluationInput) -> tuple[EvaluationInput, Callable[[Stats], Shown]]:
    """Some ships that were found are labelled aircraft."""
    from ovd_platform.evaluate.bootstrap import Replicates
    from ovd_platform.evaluate.match import MatchRules

    judged = {record.scene_id: given.labels(record.scene_id) for record in given.scenes}
    ready = prepare(given, judged, exposures_of(given), Replicates(list(judged), replicates=20, seed=0), MatchRules())
    found: list[str] = []
    for s, scene in enumerate(ready.scenes):
        ship = ready.names.index("ship")
        for k in np.flatnonzero((scene.truth_class_k == ship) & (ready.matches[s].answer_of_k >= 0) & ~scene.truth_ignored_k):
            if ready.accepted[s][ready.matches[s].answer_of_k[k]]:
                found.append(ready.labels[s][int(k)].annotation_id)
    wrong = set(found[:: len(found) // MISLABELLED][:MISLABELLED])
    truth = {
        scene_id: [replace(label, class_name="aircraft") if label.annotation_id in wrong else label for label in labels]
        for scene_id, labels in given.truth.items()
    }

    def read(stats: Stats) -> Shown:
        doubted = stats["health"]["labels_doubted"]
        named = {row["annotation_id"] for row in doubted["most_certain"]}
        confused = stats["mistakes"]["confusion"]["aircraft"].get("ship", 0)
        return Shown(
            doubted["count"] if named == wrong and confused == MISLABELLED else -1,
            MISLABELLED,
            0.0,
            "labels are answered as another class",
        )

    return replace(given, truth=truth), read


def dropped_tile_row(given: EvaluationInput) -> tuple[EvaluationInput, Callable[[Stats], Shown]]:
    """Nothing answers in the third row of tiles of one scene."""
    scene_id, top, bottom = given.scenes[3].scene_id, 2 * TILE_PX, 3 * TILE_PX

    def inside(box: "tuple[float, float, float, float]") -> bool:
        return top <= (box[1] + box[3]) / 2 <= bottom

    left = [item for item in given.detections[scene_id] if not inside(item.box_scene_xyxy)]
    made = given.proposals[scene_id]
    kept = np.asarray([not inside(tuple(box)) for box in made.boxes_scene_xyxy.tolist()])
    fewer = ProposalSet(scene_id, made.boxes_scene_xyxy[kept], made.objectness_n[kept], made.tile_index_n[kept], made.proposer)
    objects = sum(inside(label.box_scene_xyxy) and not label.difficult for label in given.truth[scene_id])

    def read(stats: Stats) -> Shown:
        bands = stats["health"]["coverage"]["silent_bands"]
        right = [b for b in bands if (b["scene_id"], b["band"], b["from_px"], b["to_px"]) == (scene_id, "row", top, bottom)]
        return Shown(
            right[0]["objects"] if len(bands) == len(right) == 1 else -1, int(objects), 0.0, "No answer in a whole row"
        )

    found, proposals = {**given.detections, scene_id: left}, {**given.proposals, scene_id: fewer}
    return replace(given, detections=found, proposals=proposals), read


FAULTS: dict[str, Fault] = {
    "shifted boxes": shifted_boxes,
    "swapped axes": swapped_axes,
    "duplicated seams": duplicated_seams,
    "leaked scene": leaked_scene,
    "mislabelled class": mislabelled_class,
    "dropped tile row": dropped_tile_row,
}
