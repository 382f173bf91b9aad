"""What an evaluation is made from, gathered once. Belongs here: the input record. Does not belong here: any figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError, ShapeError
from ovd_platform.evaluate.retrieval import RetrievalQuery
from ovd_platform.evaluate.scene_boxes import Box
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.detection import Detection
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.scene import SceneRecord

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

Quad = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
LEAST_VISIBLE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ClassScoreTable:
    """Every proposal of a scene scored for every class of the vocabulary, each class by itself.

    Attributes:
        names: Class names, K of them.
        boxes_scene_xyxy: Proposals, shape (N, 4), scene pixels.
        score_nk: Rank values, comparable in a column only, shape (N, K).
        likeness_nk: What classes compete with (probability, or the margin where a class has none), shape (N, K).
        accepted_nk: Score at or above the class's threshold, shape (N, K), bool.
    """

    names: tuple[str, ...]
    boxes_scene_xyxy: NDArray[np.float64]
    score_nk: NDArray[np.float64]
    likeness_nk: NDArray[np.float64]
    accepted_nk: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = (len(self.boxes_scene_xyxy), len(self.names))
        if not self.score_nk.shape == self.likeness_nk.shape == self.accepted_nk.shape == shape:
            raise ShapeError(
                f"Cannot evaluate class scores: expected arrays of {shape}, got {self.score_nk.shape}, "
                f"{self.likeness_nk.shape} and {self.accepted_nk.shape}. Pass one row a proposal and one column a class."
            )


@dataclass(frozen=True, slots=True, eq=False)
class FewShotData:
    """Vectors of examples and of what is searched; the two never share a scene.

    Attributes:
        supports: Vectors of labelled objects of other scenes by class, each (M, D), unit.
        support_ids: Id of each support by class, published with the result.
        background_d: Mean vector of other scenes, shape (D,), taken away from every vector.
        vectors_nd: Proposals of the test scenes, shape (N, D), unit.
        boxes_n4: Their boxes, shape (N, 4), scene pixels.
        scene_ids: Their scenes, N of them.
    """

    supports: Mapping[str, NDArray[np.float32]]
    support_ids: Mapping[str, Sequence[str]]
    background_d: NDArray[np.float32]
    vectors_nd: NDArray[np.float32]
    boxes_n4: NDArray[np.float64]
    scene_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class FilteredSearch:
    """One search under a filter, by the index and exactly.

    Attributes:
        query_id: The search.
        filter_name: The filter in words.
        selectivity: Share of the rows that pass it, [0, 1].
        answered: Keys of the index's answer, best first.
        exact: Keys of the exact answer, best first.
    """

    query_id: str
    filter_name: str
    selectivity: float
    answered: tuple[str, ...]
    exact: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Costs:
    """What the evaluated answers took.

    Attributes:
        seconds: Wall-clock seconds by stage over the evaluated scenes.
        eur_per_hour: Price of the machine.
        machine: What it was, for people.
    """

    seconds: Mapping[str, float]
    eur_per_hour: float
    machine: str


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationInput:
    """Labelled scenes of one modality, everything that was answered in them, and who answered.

    Attributes:
        scenes: The labelled scenes held out from training; scenes without objects belong to them.
        truth: Labels by scene id; a scene without an entry is an error, one without objects has an empty list.
        detections: Detections after merging by scene id, accepted or not (the ranking needs all of them).
        proposals: Proposals after merging by scene id; empty where they are not evaluated.
        queries: Searches with the class they should have found.
        release: Version of the release.
        versions: Versions of what answered: ``encoder``, ``proposer``, ``vocabulary``, ``calibration`` ...
        lineage: What the labels and the training rest on: dataset versions, split, runs.
        class_names: Classes to evaluate; empty takes every class of truth and detections.
        novel_classes: Classes unknown in training, for base, novel and harmonic mean.
        valid_fraction: Share of valid pixels by scene id; where silent the whole scene counts, and the report says so.
        ignore_boxes: Regions by scene id, scene pixels, where nothing is judged (cloud, unlabelled); see `unjudged`.
        masks: The same as polygons (shapely geometries) by scene id, scene pixels.
        tags: Context of a label by annotation id (``on land``); recall is told apart by it.
        asked_precision: Precision that was asked of each class's threshold.
        notes: Sentences for the head of the report.
        blank_boxes: Regions by scene id without valid pixels; not judged either, their area is already off by ``valid_fraction``.
        ignore_classes: Labels of these classes are regions nobody judges (cloud, crowd, unlabelled), not objects.
        training_scenes: Every scene anything was trained or calibrated on, to find what leaked into the test.
        tiles: Tiles that had to be looked at, by scene id, as boxes in scene pixels; to find ground nobody answered for.
        class_scores: Scores of every proposal for every class by scene id, for the vocabulary modes.
        answer_corners: Four corners (x, y) of rotated answers by detection id; others stand upright.
        shifted_proposals: Proposals of the same scenes from a grid moved by half a tile, for the stability.
        shifted_detections: Detections made from them.
        archived_detections: Detections by scene id from archived pixels and the same proposals, for the effect of the codec.
        archived_drift: How far the vector of each proposal drifted there (one minus cosine), shape (N,) by scene id.
        label_areas_px2: Area by annotation id for the size classes, where it is not that of the box (COCO's mask areas).
        few_shot: Vectors to search by few examples with, if measured.
        filtered: Filtered searches with their exact answers, if measured.
        costs: What the answers took, if recorded.
    """

    scenes: tuple[SceneRecord, ...]
    truth: Mapping[str, Sequence[Annotation]]
    detections: Mapping[str, Sequence[Detection]] = field(default_factory=dict)
    proposals: Mapping[str, ProposalSet] = field(default_factory=dict)
    queries: tuple[RetrievalQuery, ...] = ()
    release: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    novel_classes: frozenset[str] = frozenset()
    valid_fraction: Mapping[str, float] = field(default_factory=dict)
    ignore_boxes: Mapping[str, Sequence[Box]] = field(default_factory=dict)
    masks: Mapping[str, "BaseGeometry"] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    asked_precision: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    blank_boxes: Mapping[str, Sequence[Box]] = field(default_factory=dict)
    ignore_classes: frozenset[str] = frozenset()
    training_scenes: tuple[SceneRecord, ...] = ()
    tiles: Mapping[str, Sequence[Box]] = field(default_factory=dict)
    class_scores: Mapping[str, ClassScoreTable] = field(default_factory=dict)
    answer_corners: Mapping[str, Quad] = field(default_factory=dict)
    shifted_proposals: Mapping[str, ProposalSet] = field(default_factory=dict)
    shifted_detections: Mapping[str, Sequence[Detection]] = field(default_factory=dict)
    archived_detections: Mapping[str, Sequence[Detection]] = field(default_factory=dict)
    archived_drift: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    label_areas_px2: Mapping[str, float] = field(default_factory=dict)
    few_shot: FewShotData | None = None
    filtered: tuple[FilteredSearch, ...] = ()
    costs: Costs | None = None

    def __post_init__(self) -> None:
        ids = [record.scene_id for record in self.scenes]
        if not ids or len(set(ids)) != len(ids):
            raise InputError(
                f"Cannot evaluate release {self.release or '(none)'}: expected at least one scene, each once, got "
                f"{len(ids)} with {len(set(ids))} different ids. Pass the held-out labelled scenes."
            )
        missing = sorted(set(ids) - set(self.truth))
        if missing:
            raise InputError(
                f"Cannot evaluate scene {missing[0]}: expected its labels, got none. Pass an empty list if it holds no object; "
                "leave it out if nobody has labelled it."
            )
        if len({record.modality for record in self.scenes}) > 1:
            raise InputError(
                "Cannot evaluate optical and SAR scenes together: expected one modality, got two. Evaluate each modality alone."
            )

    def ordered_scenes(self) -> list[SceneRecord]:
        """Scenes sorted by id: the order of every ranking and every resampling."""
        return sorted(self.scenes, key=lambda record: record.scene_id)

    def labels(self, scene_id: str) -> list[Annotation]:
        """Labels of a scene as they are judged: regions taken out, objects cut by the border made difficult. New list."""
        record = next(record for record in self.scenes if record.scene_id == scene_id)
        kept = [label for label in self.truth[scene_id] if label.class_name not in self.ignore_classes]
        boxes = np.asarray([label.box_scene_xyxy for label in kept], dtype=np.float64).reshape(-1, 4)
        cut_k = visible_shares(boxes, record) < LEAST_VISIBLE
        return [replace(label, difficult=True) if cut else label for label, cut in zip(kept, cut_k, strict=True)]

    def evaluated_classes(self) -> list[str]:
        """Class names in a fixed order."""
        if self.class_names:
            return sorted(self.class_names)
        ids = {record.scene_id for record in self.scenes}
        named = {label.class_name for scene_id in ids for label in self.truth[scene_id]}
        named |= {item.class_name for scene_id in ids for item in self.detections.get(scene_id, ())}
        return sorted(named - {""} - self.ignore_classes)


def visible_shares(boxes_k4: NDArray[np.float64], record: SceneRecord) -> NDArray[np.float64]:
    """Share of each box that lies inside of its scene, shape (K,), [0, 1]; of a point, whether it does."""
    size = np.array([record.width_px, record.height_px], dtype=np.float64)
    low, high = np.clip(boxes_k4[:, :2], 0.0, size), np.clip(boxes_k4[:, 2:], 0.0, size)
    sides = boxes_k4[:, 2:] - boxes_k4[:, :2]
    inside = (boxes_k4[:, :2] >= 0.0) & (boxes_k4[:, :2] <= size)
    return np.asarray(np.prod(np.where(sides > 0, (high - low) / np.where(sides > 0, sides, 1.0), inside), axis=1))
