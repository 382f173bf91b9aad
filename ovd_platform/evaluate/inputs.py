"""What an evaluation is made from, gathered once. Belongs here: the input record. Does not belong here: any figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ovd_platform.errors import InputError
from ovd_platform.evaluate.retrieval import RetrievalQuery
from ovd_platform.evaluate.scene_boxes import Box
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.detection import Detection
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.scene import SceneRecord


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
        ignore_boxes: Regions by scene id, scene pixels, where answers are neither true nor false (cloud, unlabelled).
        tags: Context of a label by annotation id (``on land``); recall is told apart by it.
        asked_precision: Precision that was asked of each class's threshold.
        notes: Sentences for the head of the report.
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
    tags: Mapping[str, str] = field(default_factory=dict)
    asked_precision: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

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

    def evaluated_classes(self) -> list[str]:
        """Class names in a fixed order."""
        if self.class_names:
            return sorted(self.class_names)
        ids = {record.scene_id for record in self.scenes}
        named = {label.class_name for scene_id in ids for label in self.truth[scene_id]}
        named |= {item.class_name for scene_id in ids for item in self.detections.get(scene_id, ())}
        return sorted(named - {""})
