"""Synthetic scenes: proposals around labelled objects and on background, with clustered vectors and words in a gap."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from ovd_platform.detect.vocabulary import Vocabulary, vocabulary_from_dict
from ovd_platform.records.annotation import Annotation
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.scene import Band, SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window
from ovd_platform.stores.vector_rows import proposal_rows, units

DIM = 32


@dataclass
class World:
    """Scenes with truth; ``noise`` and ``word_noise`` say how hard they are."""

    noise: float = 1.0
    word_noise: float = 0.5
    directions: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        basis = np.linalg.qr(rng.normal(size=(DIM, 8)))[0].T
        self.directions = dict(zip(("ship", "aircraft", "tank", "water", "ground"), basis, strict=False))
        self.cone, self.gap = basis[6], basis[7]

    def vectors(self, names: list[str], rng: np.random.Generator) -> NDArray[np.float32]:
        noise = self.noise * rng.normal(size=(len(names), DIM)) / np.sqrt(DIM)
        return units(2.0 * self.cone + np.array([self.directions[name] for name in names]) + noise)

    def embed_text(self, phrases: list[str]) -> NDArray[np.float32]:
        rows = []
        for phrase in phrases:
            rng = np.random.default_rng(sum(map(ord, phrase)))
            own = self.directions.get(phrase, np.zeros(DIM))
            rows.append(2.0 * self.gap + own + self.word_noise * rng.normal(size=DIM) / np.sqrt(DIM))
        return units(np.array(rows))

    def scene(self, scene_id: str, *, georeferenced: bool = True) -> SceneRecord:
        place: dict[str, Any] = {"crs": "EPSG:4326", "transform": (5e-6, 0.0, 10.0, 0.0, -5e-6, 50.0), "georeference": "affine"}
        values = place if georeferenced else {}
        band = (Band("pan"),)
        return SceneRecord(
            scene_id, f"/{scene_id}.tif", "v1", "optical", "pan", 4000, 4000, band, "uint16", gsd_m=0.5, **values
        )

    def make(
        self, scene_id: str, counts: dict[str, int], seed: int, background: int = 150, *, georeferenced: bool = True
    ) -> tuple[pa.Table, list[Annotation], SceneRecord]:
        """Rows, labels and record of a scene; every third object is proposed twice."""
        rng = np.random.default_rng(seed)
        scene = self.scene(scene_id, georeferenced=georeferenced)
        objects = [name for name, n in counts.items() for _ in range(n)]
        places = [(i % 60, i // 60) for i in range(len(objects) + background)]
        names, boxes, labels = [], [], []
        for (column, row), name in zip(places, objects + list(rng.choice(["water", "ground"], background)), strict=True):
            box = np.array([column * 60, row * 60, column * 60 + 30, row * 60 + 24], float)
            jitter = rng.uniform(-1.5, 1.5, 4)
            names.append(name)
            boxes.append(box + jitter)
            if name in ("water", "ground"):
                continue
            corners = ((box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3]))
            labels.append(Annotation(f"{scene_id}-{len(labels)}", scene_id, name, corners, "rendered"))
            if len(labels) % 3 == 0:
                names.append(name)
                boxes.append(box + jitter + [2, 0, 2, 0])
        objectness = np.where(np.isin(names, ["water", "ground"]), rng.beta(2, 4, len(names)), rng.beta(4, 2, len(names)))
        order = np.argsort(-objectness)
        proposals = ProposalSet(
            scene_id,
            np.array(boxes, np.float32)[order],
            objectness[order].astype(np.float32),
            np.zeros(len(names), np.int32),
            "prop1",
        )
        ordered = [names[i] for i in order]
        tile = TileRecord(f"{scene_id}/g/0/0", scene_id, 0, 0, Window(0, 0, 4000, 4000), 64, (), "", 1.0, 0.1, 0.5, True)
        water = np.array([{"ship": 0.9, "water": 1.0}.get(name, 0.05) for name in ordered], np.float32)
        visual, language = self.vectors(ordered, rng), self.vectors(ordered, rng)
        return proposal_rows(scene, proposals, [tile], visual, language, "enc1", water), labels, scene


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return vocabulary_from_dict(
        {
            "classes": [
                {"name": "ship", "synonyms": ["vessels"], "coco_id": 7},
                {"name": "aircraft", "prompts": ["aircraft"]},
                "Tanks",
            ],
            "background": ["water", "ground", "shadow"],
            "target_precision": 0.8,
        }
    )


@pytest.fixture(scope="session")
def world() -> World:
    return World()
