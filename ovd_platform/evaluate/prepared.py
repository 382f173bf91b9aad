"""An evaluation's scenes as arrays, matched once, for every section of the statistics.

Belongs here: what several sections need. Does not belong here: any figure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ovd_platform.evaluate.bootstrap import Replicates
from ovd_platform.evaluate.froc import Exposure, scene_exposure
from ovd_platform.evaluate.inputs import EvaluationInput
from ovd_platform.evaluate.match import Matches, MatchRules, match_scene
from ovd_platform.evaluate.scene_boxes import BoolArray, SceneBoxes, detection_boxes
from ovd_platform.evaluate.unjudged import taken_off_px
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.detection import Detection
from ovd_platform.records.scene import SceneRecord


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Labels and detections of every scene, in the fixed order of the scenes.

    Attributes:
        given: What is evaluated.
        rules: When an answer counts as an object outside of COCO's own figures.
        names: Evaluated classes; positions are class indices.
        records: The scenes.
        labels: Labels as judged, a list a scene.
        exposures: Ground looked at.
        scenes: Arrays of labels and detections.
        matches: Who found what under ``rules``.
        accepted: Which answers lie at or above their threshold, an array a scene.
        over_scenes: The resampling.
    """

    given: EvaluationInput
    rules: MatchRules
    names: list[str]
    records: list[SceneRecord]
    labels: list[list[Annotation]]
    exposures: list[Exposure]
    scenes: list[SceneBoxes]
    matches: list[Matches]
    accepted: list[BoolArray]
    over_scenes: Replicates

    @property
    def gsd_m_s(self) -> list[float | None]:
        """Metres a pixel of each scene."""
        return [record.gsd_m for record in self.records]

    def found(self, s: int) -> Sequence[Detection]:
        """Detections of a scene, as given."""
        return self.given.detections.get(self.records[s].scene_id, ())

    def ground(self, unit: str) -> "tuple[np.ndarray[tuple[int], np.dtype[np.float64]], BoolArray]":
        """Ground of each scene in ``per_km2`` or ``per_mpx``, and which scenes are told in that unit; shapes (S,)."""
        on_ground = np.asarray([exposure.km2 is not None for exposure in self.exposures])
        members = on_ground if unit == "per_km2" else ~on_ground
        values = np.asarray([(e.km2 or 0.0) if unit == "per_km2" else e.mpx for e in self.exposures])
        return values * members, members


def exposures_of(given: EvaluationInput) -> list[Exposure]:
    """Ground looked at in every scene, in order."""
    return [
        scene_exposure(
            record,
            given.valid_fraction.get(record.scene_id, 1.0),
            taken_off_px(given, record.scene_id),
        )
        for record in given.ordered_scenes()
    ]


def prepare(
    given: EvaluationInput,
    judged: Mapping[str, list[Annotation]],
    exposures: list[Exposure],
    over_scenes: Replicates,
    rules: MatchRules,
) -> Prepared:
    """Arrays and matches of every scene; ``judged`` holds `EvaluationInput.labels` by scene id."""
    records, names = given.ordered_scenes(), given.evaluated_classes()
    labels = [judged[record.scene_id] for record in records]
    scenes = [boxes_of(given, record, rows, names) for record, rows in zip(records, labels, strict=True)]
    accepted = []
    for record, scene in zip(records, scenes, strict=True):
        found = given.detections.get(record.scene_id, ())
        accepted_n = np.fromiter((item.accepted for item in found), dtype=np.bool_, count=len(found))
        accepted.append(accepted_n[scene.found_by_n])
    matches = [match_scene(scene, rules) for scene in scenes]
    return Prepared(given, rules, names, records, labels, exposures, scenes, matches, accepted, over_scenes)


def boxes_of(
    given: EvaluationInput,
    record: SceneRecord,
    labels: Sequence[Annotation],
    names: Sequence[str],
    *,
    class_agnostic: bool = False,
) -> SceneBoxes:
    """Arrays of one scene."""
    return detection_boxes(
        record.scene_id,
        labels,
        given.detections.get(record.scene_id, ()),
        names,
        class_agnostic=class_agnostic,
        areas_px2=given.label_areas_px2 or None,
    )
