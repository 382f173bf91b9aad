"""FAISS against the exact scan, index health, GeoJSON, rows, contact sheet."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ovd_platform.errors import ShapeError, StaleError
from ovd_platform.records.prompt import Hit, Prompt
from ovd_platform.search.answers import hits_to_geojson, hits_to_rows
from ovd_platform.search.contact_sheet import contact_sheet, write_contact_sheet
from ovd_platform.search.faiss_index import build_faiss, index_name, load_faiss
from ovd_platform.search.index import build_index, coarse_indexes, index_health
from ovd_platform.search.query import search_objects
from ovd_platform.stores.vector_rows import units, vectors_of

Corpus = Any


def test_lancedb_without_an_index_equals_flat_faiss(corpus: Corpus) -> None:
    index = build_faiss(corpus.tables, "proposal", "optical", "enc1", "visual")
    assert (index.health.kind, index.health.rows, index.health.unindexed) == ("flat", 1200, 0)
    assert index.health.recall_at_10 == 1.0
    query = corpus.chips("ship", 1)[0]
    rows = corpus.tables.nearest("proposal", "optical", "enc1", "visual", query, top=20)
    assert index.candidates(query, 20) == rows["key"].to_pylist()


def test_inverted_lists_report_a_recall_that_is_measured(corpus: Corpus) -> None:
    index = build_faiss(corpus.tables, "proposal", "optical", "enc1", "visual", flat_rows=100)
    assert index.health.kind == "ivf"
    assert 0.6 < index.health.recall_at_10 <= 1.0
    rows = corpus.tables.read("proposal", "optical", "enc1")
    vectors, keys = units(vectors_of(rows, "visual")), np.array(rows["key"].to_pylist())
    found = [set(keys[np.argsort(-vectors @ v)[:10]]) & set(index.candidates(v, 10)) for v in vectors[::50]]
    assert np.mean([len(each) / 10 for each in found]) == pytest.approx(index.health.recall_at_10, abs=0.15)
    with pytest.raises(ShapeError):
        index.search(np.ones((1, 3), np.float32), 5)


def test_the_built_index_round_trips_and_knows_when_it_is_stale(
    corpus: Corpus, make_corpus: Callable[[], Corpus], tmp_path: Path
) -> None:
    own = make_corpus()
    rows = corpus.tables.read("proposal", "optical", "enc1", "scene_id = 'a'")
    own.truth.update(corpus.truth)
    own.tables.replace_scene("proposal", "optical", "enc1", "a", rows)
    health = build_index(own.tables, "optical", "enc1", tmp_path, ann_min_rows=300)
    assert health["tables"]["proposal"]["rows"] == 400
    assert health["tables"]["proposal"]["indexes"]["visual"]["unindexed"] == 0
    assert health["faiss"]["language"]["rows"] == 400
    assert not index_health(own.tables, "optical", "enc1", tmp_path)["visual"]["stale"]
    name = index_name("proposal", "optical", "enc1", "visual")
    query = own.chips("tank", 1)
    fresh = build_faiss(own.tables, "proposal", "optical", "enc1", "visual")
    assert load_faiss(tmp_path, name).search(query, 5) == fresh.search(query, 5)

    coarse = coarse_indexes(own.tables, "optical", "enc1", tmp_path)
    assert len(coarse) == 2
    prompt = Prompt(text="tank", model_version="enc1")
    for indexes in (coarse, []):
        hits = search_objects(own.tables, prompt, own.embed_text, modality="optical", top=10, exact_rows=10, coarse=indexes)
        assert np.mean([own.truth[hit.proposal_id] == "tank" for hit in hits]) >= 0.9

    own.tables.replace_scene(
        "proposal", "optical", "enc1", "b", corpus.tables.read("proposal", "optical", "enc1", "scene_id = 'b'")
    )
    stale = index_health(own.tables, "optical", "enc1", tmp_path)["visual"]
    assert stale["stale"]
    assert stale["unindexed"] == 400
    assert coarse_indexes(own.tables, "optical", "enc1", tmp_path) == []
    (tmp_path / f"{name}.json").unlink()
    with pytest.raises(StaleError):
        load_faiss(tmp_path, name)


def hit(rank: int, *, placed: bool = True, rendered: bool = True) -> Hit:
    lonlat = (10.5, 50.25) if placed else None
    box = (1.0, 2.0, 11.0, 22.0)
    return Hit(rank, f"p{rank}", "scene-a", "v1", "t", box, 0.5, 0.4, 0.9, lonlat, "pan", "", "/x.tif", "enc1", rendered)


def test_geojson_is_lon_lat_and_null_without_a_place() -> None:
    features = hits_to_geojson([hit(1), hit(2, placed=False)])["features"]
    assert features[0]["geometry"] == {"type": "Point", "coordinates": [10.5, 50.25]}
    assert features[1]["geometry"] is None
    assert features[1]["properties"]["box_scene_xyxy"] == [1.0, 2.0, 11.0, 22.0]
    rows = hits_to_rows([hit(1), hit(2, rendered=False, placed=False)])
    assert (rows[0]["scene"], rows[1]["scene"]) == ("scene-a (RENDERED)", "scene-a")
    assert rows[0]["box px"] == "1,2 10x20"
    assert rows[1]["lon, lat"] == "-"


def test_contact_sheet_shows_each_crop_undistorted_and_says_rendered(tmp_path: Path) -> None:
    import cv2

    colours = {1: (255, 0, 0), 2: (0, 0, 255)}

    def crop_of(one: Hit) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return np.full((20, 40, 3), colours[one.rank], np.uint8)

    sheet = contact_sheet([hit(1), hit(2, rendered=False)], crop_of, cell_px=100)
    for colour in colours.values():
        assert int((sheet == colour).all(axis=2).sum()) == 100 * 50
    plain = contact_sheet([hit(1, rendered=False), hit(2, rendered=False)], crop_of, cell_px=100)
    reddish = (sheet[:, :, 0].astype(int) - sheet[:, :, 1] > 60) & ~(sheet == (255, 0, 0)).all(axis=2)
    assert reddish.sum() > 20
    assert (sheet != plain).any()
    path = write_contact_sheet(tmp_path / "deep" / "sheet.png", [hit(1), hit(2)], crop_of, title="ship")
    read = cv2.imread(str(path))
    assert read is not None
    assert read.shape[2] == 3
    assert contact_sheet([], crop_of).shape[0] > 0
    with pytest.raises(ShapeError):
        contact_sheet([hit(1)], lambda _: np.zeros((5, 5), np.uint8))
