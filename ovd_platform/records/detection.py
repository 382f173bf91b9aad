"""Proposal matched to a class and calibrated."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Detection:
    """One answer of open-vocabulary detection.

    Attributes:
        detection_id: ``{proposal_id}:{class_name}``.
        proposal_id: The proposal it rests on.
        tile_id: The tile that answered for it.
        scene_id: The scene.
        scene_version: Version of the scene's pixels.
        class_name: Name in the vocabulary.
        box_scene_xyxy: Scene pixels.
        objectness: Proposer's output, [0, 1].
        similarity: Cosine to the class minus cosine to the best background prototype.
        score: Rank value that combines both; comparable inside a class only.
        probability: Calibrated probability that the object is of the class; None where the class is not calibrated.
        accepted: Score at or above the class's threshold.
        footprint_lonlat: Corner ring in (lon, lat) degrees; empty without georeference.
        odd_context: True where the surroundings are unusual for the class; never suppresses.
        proposer: Version of the proposer.
        encoder: Version of the encoder whose vectors were compared.
        vocabulary: Version of the vocabulary.
        release: Version of the release.
        rendered: True if the scene is rendered.
    """

    detection_id: str
    proposal_id: str
    tile_id: str
    scene_id: str
    scene_version: str
    class_name: str
    box_scene_xyxy: tuple[float, float, float, float]
    objectness: float
    similarity: float
    score: float
    probability: float | None
    accepted: bool
    footprint_lonlat: tuple[tuple[float, float], ...]
    odd_context: bool
    proposer: str
    encoder: str
    vocabulary: str
    release: str
    rendered: bool = False
