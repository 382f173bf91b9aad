"""Calibration and detection on synthetic scenes whose truth is known."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.detect.calibrate import fit_calibration
from ovd_platform.detect.calibration import Calibration, load_calibration
from ovd_platform.detect.detect import detect_scene
from ovd_platform.detect.matching import DIFFICULT, NEGATIVE, UNLABELLED, label_proposals, overlap_pairs, without_duplicates
from ovd_platform.detect.prototypes import visual_prototypes, vocabulary_vectors
from ovd_platform.detect.thresholds import threshold_at_precision, wilson_interval
from ovd_platform.detect.vocabulary import Vocabulary, vocabulary_from_dict
from ovd_platform.errors import InputError, ShapeError, StaleError, VersionMismatchError
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.detection import Detection

World = Any
COUNTS = {"ship": 16, "aircraft": 5, "tank": 1}


@pytest.fixture(scope="module")
def labelled(world: World) -> tuple[pa.Table, list[Annotation]]:
    made = [world.make(f"cal{i}", COUNTS, seed=i) for i in range(4)]
    return pa.concat_tables([rows for rows, _, _ in made]), [label for _, labels, _ in made for label in labels]


@pytest.fixture(scope="module")
def calibration(world: World, vocabulary: Vocabulary, labelled: tuple[pa.Table, list[Annotation]]) -> Calibration:
    return fit_calibration(*labelled, vocabulary, *vocabulary_vectors(vocabulary, world.embed_text))


def detect(
    world: World, vocabulary: Vocabulary, calibration: Calibration, scene_id: str, seed: int, **options: Any
) -> tuple[list[Detection], list[Annotation]]:
    rows, labels, scene = world.make(scene_id, COUNTS, seed=seed, **options)
    text, _ = vocabulary_vectors(vocabulary, world.embed_text)
    return detect_scene(rows, scene, vocabulary, calibration, text, "rel1"), labels


def matches(detections: list[Detection], labels: list[Annotation]) -> list[bool]:
    if not detections:
        return []
    i, j, iou = overlap_pairs(np.array([d.box_scene_xyxy for d in detections]), np.array([a.box_scene_xyxy for a in labels]))
    right = {(a, labels[b].class_name) for a, b, overlap in zip(i, j, iou, strict=True) if overlap >= 0.5}
    return [(n, detection.class_name) in right for n, detection in enumerate(detections)]


@pytest.fixture(scope="module")
def hard(world: World, vocabulary: Vocabulary) -> tuple[World, Calibration]:
    """Clusters that overlap, so that precision and probability are at stake."""
    noisy = replace(world, noise=2.5)
    made = [noisy.make(f"cal{i}", COUNTS, seed=i) for i in range(4)]
    rows, labels = pa.concat_tables([rows for rows, _, _ in made]), [label for _, found, _ in made for label in found]
    return noisy, fit_calibration(rows, labels, vocabulary, *vocabulary_vectors(vocabulary, noisy.embed_text))


def test_accepted_detections_reach_the_target_precision_on_unseen_scenes(
    hard: tuple[World, Calibration], vocabulary: Vocabulary
) -> None:
    world, calibration = hard
    right, found, objects = [], 0, 0
    for seed in range(100, 106):
        detections, labels = detect(world, vocabulary, calibration, f"new{seed}", seed)
        accepted = [detection for detection in detections if detection.accepted and detection.class_name == "ship"]
        right += matches(accepted, labels)
        found += sum(matches(accepted, labels))
        objects += sum(label.class_name == "ship" for label in labels)
    entry = calibration.entry("ship")
    assert entry is not None
    assert entry.precision is not None
    assert entry.precision >= 0.8
    assert np.mean(right) >= 0.75
    assert found / objects >= 0.7


def test_probabilities_are_calibrated_on_unseen_scenes(hard: tuple[World, Calibration], vocabulary: Vocabulary) -> None:
    world, calibration = hard
    probability, right = [], []
    for seed in range(200, 208):
        detections, labels = detect(world, vocabulary, calibration, f"new{seed}", seed)
        chosen = [detection for detection in detections if detection.class_name == "ship" and detection.probability is not None]
        probability += [detection.probability for detection in chosen]
        right += matches(chosen, labels)
    values, truth = np.array(probability, float), np.array(right, float)
    assert abs(values.mean() - truth.mean()) < 0.1
    assert truth[values > 0.7].mean() > 0.75
    assert truth[values < 0.2].mean() < 0.3


def test_a_class_with_few_examples_abstains_and_says_so(world: World, vocabulary: Vocabulary, calibration: Calibration) -> None:
    entry = calibration.entry("tank")
    assert entry is not None
    assert 0 < entry.positives < 10
    assert (entry.slope, entry.threshold) == (None, None)
    assert "abstains" in entry.reason
    detections, labels = detect(world, vocabulary, calibration, "new", 300)
    tanks = [detection for detection in detections if detection.class_name == "tank"]
    assert tanks
    assert not any(detection.accepted or detection.probability is not None for detection in tanks)
    best = max(tanks, key=lambda detection: detection.score)
    assert matches([best], labels) == [True]


def test_each_proposal_has_one_class_and_no_box_comes_twice(
    world: World, vocabulary: Vocabulary, calibration: Calibration
) -> None:
    detections, _ = detect(world, vocabulary, calibration, "new", 301)
    ids = [detection.proposal_id for detection in detections]
    assert len(set(ids)) == len(ids)
    boxes = np.array([detection.box_scene_xyxy for detection in detections])
    i, j, iou = overlap_pairs(boxes, boxes)
    assert not ((i != j) & (iou > 0.5)).any()
    one = detections[0]
    assert one.detection_id == f"{one.proposal_id}:{one.class_name}"
    assert (one.encoder, one.proposer, one.release, one.vocabulary) == ("enc1", "prop1", "rel1", vocabulary.version)
    assert len(one.footprint_lonlat) == 5
    assert one.footprint_lonlat[0][0] == pytest.approx(10 + 5e-6 * one.box_scene_xyxy[0], abs=1e-9)
    assert one.footprint_lonlat[0][1] == pytest.approx(50 - 5e-6 * one.box_scene_xyxy[1], abs=1e-9)
    (x0, y0), (x1, y1), (x2, y2) = one.footprint_lonlat[:3]
    assert (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0) > 0
    flat, _ = detect(world, vocabulary, calibration, "flat", 301, georeferenced=False)
    assert all(detection.footprint_lonlat == () for detection in flat)


def test_a_head_is_chosen_only_where_it_helps(world: World, vocabulary: Vocabulary, labelled: Any) -> None:
    text, background = vocabulary_vectors(vocabulary, world.embed_text)
    entry = fit_calibration(*labelled, vocabulary, text, background).entry("ship")
    assert entry is not None
    assert entry.positives >= 20
    rng = np.random.default_rng(0)
    rows, labels = labelled
    scrambled = [replace(label, class_name=str(rng.choice(["ship", "aircraft"]))) for label in labels]
    broken = fit_calibration(rows, scrambled, vocabulary, text, background).entry("ship")
    assert broken is not None
    assert broken.average_precision is not None
    assert entry.average_precision is not None
    assert broken.average_precision < entry.average_precision - 0.2
    assert broken.threshold is None
    assert broken.reason


def test_odd_context_flags_but_never_suppresses(world: World, vocabulary: Vocabulary, calibration: Calibration) -> None:
    rows, labels, scene = world.make("new", COUNTS, seed=302)
    text, _ = vocabulary_vectors(vocabulary, world.embed_text)
    usual = detect_scene(rows, scene, vocabulary, calibration, text, "rel1")
    right = matches(usual, labels)
    ships = [d.proposal_id for d, true in zip(usual, right, strict=True) if d.class_name == "ship" and true]
    assert len(ships) > 10
    dry = rows.set_column(rows.schema.get_field_index("context"), "context", pa.array(np.zeros(len(rows), np.float32)))
    on_land = detect_scene(dry, scene, vocabulary, calibration, text, "rel1")
    assert [d.detection_id for d in on_land] == [d.detection_id for d in usual]
    assert all(d.odd_context for d in on_land if d.proposal_id in ships)
    assert not any(d.odd_context for d in usual if d.proposal_id in ships)


def test_a_new_class_needs_no_fitting(world: World, calibration: Calibration, vocabulary: Vocabulary) -> None:
    values = vocabulary.to_dict()
    values["classes"] = [entry for entry in values["classes"] if entry["name"] != "tank"]
    fitted = fit_calibration(
        *_labels(world), vocabulary_from_dict(values), *vocabulary_vectors(vocabulary_from_dict(values), world.embed_text)
    )
    detections, labels = detect(world, vocabulary, fitted, "new", 303)
    tanks = sorted((d for d in detections if d.class_name == "tank"), key=lambda d: -d.score)
    assert matches(tanks[:1], labels) == [True]
    assert tanks[0].probability is None


def _labels(world: World) -> tuple[pa.Table, list[Annotation]]:
    rows, labels, _ = world.make("cal9", {"ship": 30, "aircraft": 12}, seed=9)
    return rows, labels


def test_without_labels_or_words_it_still_answers_or_says_why(world: World, vocabulary: Vocabulary, labelled: Any) -> None:
    rows, labels = labelled
    text, background = vocabulary_vectors(vocabulary, world.embed_text)
    unlabelled = fit_calibration(rows, [], vocabulary, text, background)
    assert all("abstains" in entry.reason for entry in unlabelled.classes)
    detections, truth = detect(world, vocabulary, unlabelled, "new", 304)
    ships = sorted((d for d in detections if d.class_name == "ship"), key=lambda d: -d.score)[:10]
    assert np.mean(matches(ships, truth)) >= 0.8
    assert not any(d.accepted for d in detections)
    empty = fit_calibration(rows.slice(0, 0), [], vocabulary, text, background)
    assert detect(world, vocabulary, empty, "new", 304)[0]

    by_looks = fit_calibration(rows.drop_columns(["language"]), labels, vocabulary, None, None)
    new_rows, truth, scene = world.make("new", COUNTS, seed=305)
    found = detect_scene(new_rows.drop_columns(["language"]), scene, vocabulary, by_looks, None, "rel1")
    accepted = [d for d in found if d.accepted and d.class_name == "ship"]
    assert len(accepted) >= 8
    assert np.mean(matches(accepted, truth)) >= 0.7
    assert detect_scene(new_rows.slice(0, 0), scene, vocabulary, by_looks, None, "rel1") == []


def test_calibrations_round_trip_and_their_version_follows_them(
    calibration: Calibration, world: World, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    again = load_calibration(calibration.save(tmp_path / "c"))
    assert again.version == calibration.version
    assert again.classes == calibration.classes
    assert detect(world, vocabulary, again, "new", 306)[0] == detect(world, vocabulary, calibration, "new", 306)[0]
    other = replace(calibration, target_precision=0.9)
    assert other.version != calibration.version
    (tmp_path / "c" / "calibration.npz").write_bytes((other.save(tmp_path / "d") / "calibration.npz").read_bytes())
    assert load_calibration(tmp_path / "c").version == calibration.version
    altered = replace(calibration, prototypes={**calibration.prototypes, "ship": calibration.prototypes["ship"] * 0.5})
    (tmp_path / "c" / "calibration.npz").write_bytes((altered.save(tmp_path / "d") / "calibration.npz").read_bytes())
    with pytest.raises(StaleError, match="Calibrate again"):
        load_calibration(tmp_path / "c")
    with pytest.raises(StaleError):
        load_calibration(tmp_path / "none")


def test_a_calibration_of_an_older_layout_is_stale(calibration: Calibration, tmp_path: Path) -> None:
    folder = calibration.save(tmp_path / "c")
    facts = json.loads((folder / "calibration.json").read_text())
    del facts["layout"]
    (folder / "calibration.json").write_text(json.dumps(facts))
    with pytest.raises(StaleError, match="ovd train"):
        load_calibration(folder)


def test_fitting_is_reproducible(world: World, vocabulary: Vocabulary, labelled: Any, calibration: Calibration) -> None:
    again = fit_calibration(*labelled, vocabulary, *vocabulary_vectors(vocabulary, world.embed_text))
    assert again.version == calibration.version


def test_mismatches_are_errors(world: World, vocabulary: Vocabulary, calibration: Calibration, labelled: Any) -> None:
    rows, _, scene = world.make("new", COUNTS, seed=307)
    text, background = vocabulary_vectors(vocabulary, world.embed_text)
    other = rows.set_column(rows.schema.get_field_index("model_version"), "model_version", pa.array(["enc2"] * len(rows)))
    with pytest.raises(VersionMismatchError, match="enc2"):
        detect_scene(other, scene, vocabulary, calibration, text, "rel1")
    with pytest.raises(VersionMismatchError, match="one encoder"):
        fit_calibration(pa.concat_tables([rows, other]), [], vocabulary, text, background)
    with pytest.raises(InputError, match="its rows only"):
        detect_scene(labelled[0], scene, vocabulary, calibration, text, "rel1")
    with pytest.raises(ShapeError):
        fit_calibration(rows, [], vocabulary, text[:2], background)


def test_pseudo_labels_do_not_calibrate(world: World, vocabulary: Vocabulary, labelled: Any) -> None:
    rows, labels = labelled
    pseudo = [replace(label, source="pseudo") for label in labels]
    fitted = fit_calibration(rows, pseudo, vocabulary, *vocabulary_vectors(vocabulary, world.embed_text))
    assert all(entry.positives == 0 for entry in fitted.classes)


def test_wilson_interval_matches_the_published_form() -> None:
    low, high = wilson_interval(8, 10)
    assert (low, high) == (pytest.approx(0.4901, abs=1e-3), pytest.approx(0.9433, abs=1e-3))
    assert wilson_interval(10, 10)[0] == pytest.approx(0.7225, abs=1e-3)
    with pytest.raises(InputError):
        wilson_interval(1, 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=40), st.sampled_from([0.5, 0.8, 0.95]))
def test_threshold_finds_the_most_at_the_target_and_then_is_the_highest(pairs: list[tuple[int, bool]], target: float) -> None:
    score = np.array([value for value, _ in pairs], float)
    true = np.array([flag for _, flag in pairs], bool)
    good = [t for t in sorted(set(score)) if (score >= t).sum() >= 5 and true[score >= t].mean() >= target - 1e-12]
    found = threshold_at_precision(score, true, target)
    assert (found is None) == (not good)
    if found is not None:
        most = max(true[score >= t].sum() for t in good)
        assert found[0] == max(t for t in good if true[score >= t].sum() == most)
        assert found[1:3] == (most, (score >= found[0]).sum())


def test_labels_follow_the_best_overlap_and_difficult_ones_count_as_neither() -> None:
    def label(name: str, x: float, *, difficult: bool = False) -> Annotation:
        return Annotation(f"{name}{x}", "a", name, ((x, 0), (x + 10, 0), (x + 10, 10), (x, 10)), "human", difficult)

    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [30, 0, 40, 10], [50, 0, 60, 10], [70, 0, 80, 10], [0, 0, 10, 10]], float)
    scenes = ["a"] * 5 + ["b"]
    labels = [label("ship", 0), label("tank", 5), label("ship", 50, difficult=True), label("car", 70)]
    found, iou = label_proposals(boxes, scenes, labels, {"ship": 0, "tank": 1}, {"a"})
    assert found.tolist() == [0, 1, NEGATIVE, DIFFICULT, NEGATIVE, UNLABELLED]
    assert iou[2] == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(5, 20)), max_size=25))
def test_duplicate_removal_equals_plain_greedy(places: list[tuple[int, int, int]]) -> None:
    boxes = np.array([(x, y, x + size, y + size) for x, y, size in places], float).reshape(-1, 4)
    kept: list[int] = []
    for i in range(len(boxes)):
        _, _, iou = overlap_pairs(boxes[i : i + 1], boxes[kept])
        if not (iou > 0.5).any():
            kept.append(i)
    assert without_duplicates(boxes).tolist() == kept


def test_many_examples_get_several_prototypes() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(8)[:3]
    vectors = (centres[rng.integers(0, 3, 60)] + 0.05 * rng.normal(size=(60, 8))).astype(np.float32)
    prototypes = visual_prototypes(vectors)
    assert len(prototypes) == 6
    assert ((prototypes @ centres.T).max(axis=0) > 0.98).all()
    assert visual_prototypes(vectors[:20]).shape == (1, 8)
    assert visual_prototypes(vectors[:0]).shape == (0, 8)
