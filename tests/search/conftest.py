"""A synthetic corpus: clusters of vectors around class directions inside a narrow cone, with a gap between words and looks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from ovd_platform.stores.tables import VectorTables
from ovd_platform.stores.vector_rows import conform_rows, units, utc_text, vector_array

CLASSES = ("ship", "aircraft", "tank", "nothing")
DIM = 24


@dataclass
class Corpus:
    """Stored vectors with what they truly are."""

    tables: VectorTables
    truth: dict[str, str]
    directions: dict[str, NDArray[np.float64]]
    cone: NDArray[np.float64]

    def embed_text(self, words: list[str]) -> NDArray[np.float32]:
        gap = np.random.default_rng(5).normal(size=DIM)
        vectors = []
        for word in words:
            seed = sum(map(ord, word))
            own = self.directions.get(word, 0.3 * np.random.default_rng(seed).normal(size=DIM) / np.sqrt(DIM))
            vectors.append(2.0 * gap / np.linalg.norm(gap) + own)
        return units(np.array(vectors))

    def chips(self, name: str, n: int, seed: int = 99) -> NDArray[np.float32]:
        return make_vectors(self, [name] * n, np.random.default_rng(seed))


def make_vectors(corpus: Corpus, names: list[str], rng: np.random.Generator) -> NDArray[np.float32]:
    """Unit vectors of named things: cone + class direction + noise."""
    noise = 0.7 * rng.normal(size=(len(names), DIM)) / np.sqrt(DIM)
    return units(3.0 * corpus.cone + np.array([corpus.directions[name] for name in names]) + noise)


def scene_rows(corpus: Corpus, scene_id: str, names: list[str], rng: np.random.Generator, **columns: object) -> pa.Table:
    """Rows of one scene on a grid 40 px apart, 4 tiles of one class each where names are sorted."""
    n = len(names)
    x0 = (np.arange(n) % 50) * 40.0
    y0 = (np.arange(n) // 50) * 40.0
    keys = [f"{scene_id}:p:{i}" for i in range(n)]
    vectors = vector_array(make_vectors(corpus, names, rng))
    values: dict[str, object] = {
        "key": keys,
        "proposal_id": keys,
        "scene_id": [scene_id] * n,
        "scene_version": ["v1"] * n,
        "tile_id": [f"{scene_id}/g/{CLASSES.index(name)}/{i % 3}" for i, name in enumerate(names)],
        "x0": x0,
        "y0": y0,
        "x1": x0 + 20,
        "y1": y0 + 20,
        "objectness": rng.random(n),
        "lon": 10 + x0 * 5e-6,
        "lat": 50 - y0 * 5e-6 - "abc".index(scene_id) * 0.01,
        "acquired_utc": [utc_text("2024-05-01")] * n,
        "instrument": ["pan"] * n,
        "gsd_m": np.full(n, 0.5),
        "uri": [f"/data/{scene_id}.tif"] * n,
        "model_version": ["enc1"] * n,
        "rendered": [True] * n,
        "visual": vectors,
        "language": vectors,
    }
    for name, value in columns.items():
        values[name] = value
    return conform_rows(pa.table({name: value for name, value in values.items() if value is not None}))


@pytest.fixture(scope="session")
def make_corpus(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Corpus]:
    def make() -> Corpus:
        rng = np.random.default_rng(0)
        directions = {name: vector for name, vector in zip(CLASSES, np.linalg.qr(rng.normal(size=(DIM, 4)))[0].T, strict=True)}
        directions["nothing"] = directions["nothing"] * 0.2
        cone = rng.normal(size=DIM)
        return Corpus(VectorTables(Path(tmp_path_factory.mktemp("corpus"))), {}, directions, cone / np.linalg.norm(cone))

    return make


@pytest.fixture(scope="session", name="scene_rows")
def scene_rows_fixture() -> Callable[..., pa.Table]:
    return scene_rows


@pytest.fixture(scope="session")
def corpus(make_corpus: Callable[[], Corpus]) -> Corpus:
    """Three scenes with 20 ships, 20 aircraft, 20 tanks and 340 of nothing each, and their tiles. Tests only read it."""
    made = make_corpus()
    rng = np.random.default_rng(1)
    for scene_id in ("a", "b", "c"):
        names = sorted(["ship"] * 20 + ["aircraft"] * 20 + ["tank"] * 20 + ["nothing"] * 340)
        rows = scene_rows(made, scene_id, names, rng)
        made.truth.update(zip(rows["key"].to_pylist(), names, strict=True))
        made.tables.replace_scene("proposal", "optical", "enc1", scene_id, rows)
        tiles = scene_rows(made, f"{scene_id}", [name for name in CLASSES for _ in range(3)], rng)
        tiles = tiles.set_column(0, tiles.schema.field("key"), tiles["tile_id"])
        made.tables.replace_scene("tile", "optical", "enc1", scene_id, tiles)
    return made
