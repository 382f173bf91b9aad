"""One human (or exact rendered) label. Belongs here: the canonical, lossless form; formats are datasets'."""

from dataclasses import dataclass
from typing import Literal

from ovd_platform.errors import InputError


@dataclass(frozen=True, slots=True)
class Annotation:
    """A labelled object in pixels of its scene.

    Attributes:
        annotation_id: Reproducible id: hash of scene, geometry and class.
        scene_id: The scene it lies in.
        class_name: Singular, lower case; "" for a class-agnostic label.
        corners_scene_xy: Polygon in scene pixels, at least three corners (four for boxes and oriented boxes), one for a point.
        source: ``human``, ``rendered``, ``synthetic``, ``pseudo``.
        difficult: Ignored by the evaluation: neither true nor false.
    """

    annotation_id: str
    scene_id: str
    class_name: str
    corners_scene_xy: tuple[tuple[float, float], ...]
    source: Literal["human", "rendered", "synthetic", "pseudo"] = "human"
    difficult: bool = False

    def __post_init__(self) -> None:
        if not self.corners_scene_xy:
            raise InputError(f"Cannot record annotation {self.annotation_id} of {self.scene_id}: expected corners, got none.")

    @property
    def box_scene_xyxy(self) -> tuple[float, float, float, float]:
        """Axis-aligned box around the corners, scene pixels."""
        xs = [corner[0] for corner in self.corners_scene_xy]
        ys = [corner[1] for corner in self.corners_scene_xy]
        return (min(xs), min(ys), max(xs), max(ys))
