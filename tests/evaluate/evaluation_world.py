"""A small world of boxes with known answers, for the tests of whole evaluations."""

import numpy as np
from numpy.typing import NDArray

from ovd_platform.evaluate.inputs import EvaluationInput
from ovd_platform.evaluate.retrieval import RetrievalQuery
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.detection import Detection
from ovd_platform.records.prompt import Hit
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.scene import Band, SceneRecord

SIZE_PX, GSD_M = 1000, 1.0


def make_scene(number: int, *, rendered: bool = True, place: bool = True) -> SceneRecord:
    return SceneRecord(
        scene_id=f"scene-{number}",
        uri=f"/nowhere/scene-{number}.tif",
        version=f"v{number}",
        modality="optical",
        instrument="pan-1x12",
        width_px=SIZE_PX,
        height_px=SIZE_PX,
        bands=(Band("pan"),),
        dtype="uint16",
        gsd_m=GSD_M if place else None,
        georeference="affine" if place else "none",
        crs="EPSG:32633" if place else None,
        transform=(GSD_M, 0.0, 500_000.0 + 5000 * number, 0.0, -GSD_M, 5_000_000.0) if place else None,
        rendered=rendered,
    )


def make_truth(scene_id: str, rng: np.random.Generator, count: int = 25) -> list[Annotation]:
    cells = rng.choice(400, count, replace=False)
    labels = []
    for i, cell in enumerate(cells):
        x, y = cell % 20 * 50 + 3.0, cell // 20 * 50 + 3.0
        w, h = (float(v) for v in rng.uniform(5, 40, 2))
        labels.append(
            Annotation(
                f"{scene_id}-{i}",
                scene_id,
                "ship" if i % 3 else "aircraft",
                ((x, y), (x + w, y), (x + w, y + h), (x, y + h)),
                difficult=i == 1,
            )
        )
    return labels


def detection(scene: SceneRecord, name: str, box: NDArray[np.float64], score: float, number: int, accepted: bool) -> Detection:
    from ovd_platform.evaluate.georef import affine_lonlat, corners_scene_xy

    xyxy = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
    ring = tuple((float(a), float(b)) for a, b in affine_lonlat(scene, corners_scene_xy(xyxy))) if scene.crs else ()
    return Detection(
        f"{scene.scene_id}:{number}:{name}", f"{scene.scene_id}:{number}", f"tile-{number % 4}", scene.scene_id, scene.version,
        name, xyxy, min(1.0, score), score, score, score, accepted, ring, False, "p1", "e1", "voc1", "r1", scene.rendered,
    )  # fmt: skip


def make_input(scenes: int = 6, *, seed: int = 3, miss: float = 0.2, false: int = 12, jitter: float = 0.06) -> EvaluationInput:
    """Detections that miss a share of the objects, are off by a share of the size, and raise some false alarms a scene."""
    rng = np.random.default_rng(seed)
    truth_rng = np.random.default_rng(99)
    records = [make_scene(number) for number in range(scenes)]
    truth, detections, proposals = {}, {}, {}
    for record in records:
        truth[record.scene_id] = make_truth(record.scene_id, truth_rng)
        found = []
        for label in truth[record.scene_id]:
            box = np.asarray(label.box_scene_xyxy)
            size = np.tile(box[2:] - box[:2], 2)
            if rng.random() >= miss:
                score = float(rng.uniform(0.35, 0.99))
                found.append(
                    detection(record, label.class_name, box + rng.normal(0, jitter, 4) * size, score, len(found), score > 0.5)
                )
        for _ in range(false):
            corner = rng.uniform(0, 950, 2)
            score = float(rng.beta(2, 4))
            box = np.concatenate([corner, corner + rng.uniform(6, 30)])
            found.append(detection(record, str(rng.choice(["ship", "aircraft"])), box, score, len(found), score > 0.5))
        detections[record.scene_id] = found
        order = sorted(found, key=lambda item: -item.objectness)
        proposals[record.scene_id] = ProposalSet(
            record.scene_id,
            np.asarray([item.box_scene_xyxy for item in order], dtype=np.float32),
            np.asarray([item.objectness for item in order], dtype=np.float32),
            np.asarray([int(item.tile_id[-1]) for item in order], dtype=np.int32),
            "p1",
        )
    hits = sorted((item for rows in detections.values() for item in rows if item.class_name == "ship"), key=lambda i: -i.score)
    return EvaluationInput(
        scenes=tuple(records),
        truth=truth,
        detections=detections,
        proposals=proposals,
        queries=(
            RetrievalQuery(
                "q-ship", "a ship at a quay", "text", "ship", tuple(make_hit(n + 1, item) for n, item in enumerate(hits))
            ),
            RetrievalQuery(
                "q-air", "three example chips", "chip", "aircraft", tuple(make_hit(n + 1, i) for n, i in enumerate(hits[:30]))
            ),
        ),
        release="rel-7f3a",
        versions={"encoder": "clip-91ac02", "proposer": "light-55d1", "vocabulary": "voc1"},
        lineage={"dataset": "merged-0b1c", "split": "blocks-2"},
        valid_fraction={record.scene_id: 1.0 for record in records},
        tags={f"scene-{n}-{i}": "on land" for n in range(scenes) for i in range(5)},
        asked_precision={"ship": 0.9, "aircraft": 0.8},
        novel_classes=frozenset({"aircraft"}),
    )


def make_hit(rank: int, item: Detection) -> Hit:
    return Hit(
        rank, item.proposal_id, item.scene_id, item.scene_version, item.tile_id, item.box_scene_xyxy,
        item.score, item.similarity, item.objectness, None, "pan-1x12", "", "", "e1", item.rendered,
    )  # fmt: skip
