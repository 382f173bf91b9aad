"""Vector tables: one commit a scene, no duplicates under a race, age-off, filters."""

import multiprocessing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ovd_platform.errors import InputError, ShapeError, StaleError, VersionMismatchError
from ovd_platform.records.proposal import ProposalSet
from ovd_platform.records.scene import Band, SceneRecord, View
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window
from ovd_platform.stores.tables import VectorTables, table_name
from ovd_platform.stores.vector_rows import boxes_of, conform_rows, proposal_rows, tile_rows, utc_text, vectors_of

DIM = 8


def make_scene(scene_id: str, **changes: object) -> SceneRecord:
    values: dict[str, object] = {
        "uri": f"/data/{scene_id}.tif",
        "version": f"v-{scene_id}",
        "modality": "optical",
        "instrument": "pan-1x12",
        "width_px": 1000,
        "height_px": 1000,
        "bands": (Band("pan"),),
        "dtype": "uint16",
        "gsd_m": 0.5,
        "georeference": "affine",
        "crs": "EPSG:4326",
        "transform": (5e-6, 0.0, 10.0, 0.0, -5e-6, 50.0),
        "view": View(acquired_utc="2024-05-01T12:00:00+02:00"),
    }
    return SceneRecord(scene_id=scene_id, **{**values, **changes})  # type: ignore[arg-type]


def make_rows(scene_id: str, n: int, seed: int = 0, model_version: str = "enc1", dim: int = DIM) -> pa.Table:
    rng = np.random.default_rng(seed)
    corners = rng.choice(900, (n, 2), replace=2 * n > 900).astype(np.float32)
    boxes = np.concatenate([corners, corners + 20], axis=1)
    proposals = ProposalSet(scene_id, boxes, rng.random(n).astype(np.float32), np.zeros(n, np.int32), "prop1")
    tile = TileRecord(f"{scene_id}/g/0/0", scene_id, 0, 0, Window(0, 0, 512, 512), 64, (), "", 1.0, 0.1, 0.5, True)
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return proposal_rows(make_scene(scene_id), proposals, [tile], vectors, vectors, model_version)


def keys(tables: VectorTables) -> list[str]:
    return sorted(tables.read("proposal", "optical", "enc1", columns=["key"])["key"].to_pylist())


@pytest.fixture
def tables(tmp_path: Path) -> VectorTables:
    return VectorTables(tmp_path / "tables")


def test_replacing_a_scene_leaves_exactly_its_new_rows_in_one_commit(tables: VectorTables) -> None:
    tables.replace_scene("proposal", "optical", "enc1", "a", make_rows("a", 30, seed=1))
    tables.replace_scene("proposal", "optical", "enc1", "b", make_rows("b", 7, seed=2))
    before = tables.versions("proposal", "optical", "enc1")
    new = make_rows("a", 12, seed=3)
    tables.replace_scene("proposal", "optical", "enc1", "a", new)
    assert tables.versions("proposal", "optical", "enc1") == before + 1
    assert keys(tables) == sorted(new["key"].to_pylist() + make_rows("b", 7, seed=2)["key"].to_pylist())


def test_replacing_with_the_same_rows_changes_no_row(tables: VectorTables) -> None:
    for _ in range(2):
        tables.replace_scene("proposal", "optical", "enc1", "a", make_rows("a", 30))
    stored = tables.read("proposal", "optical", "enc1").sort_by("key")
    expected = make_rows("a", 30).sort_by("key")
    assert stored.column_names == expected.column_names
    np.testing.assert_array_equal(vectors_of(stored, "visual"), vectors_of(expected, "visual"))
    np.testing.assert_array_equal(boxes_of(stored), boxes_of(expected))


def test_a_scene_without_proposals_deletes_its_old_rows(tables: VectorTables) -> None:
    assert tables.replace_scene("proposal", "optical", "enc1", "a", make_rows("a", 5).slice(0, 0)) == 0
    tables.replace_scene("proposal", "optical", "enc1", "a", make_rows("a", 5))
    tables.replace_scene("proposal", "optical", "enc1", "b", make_rows("b", 5))
    tables.replace_scene("proposal", "optical", "enc1", "a", make_rows("a", 5).slice(0, 0))
    assert tables.scene_versions("proposal", "optical", "enc1") == {"b": "v-b"}


def _write_often(root: Path, start: "multiprocessing.synchronize.Barrier", seed: int) -> None:  # type: ignore[name-defined]
    tables = VectorTables(root)
    rows = make_rows("a", 200, seed=0)
    tables.count("proposal", "optical", "enc1")
    start.wait(60)
    for turn in range(4):
        tables.replace_scene("proposal", "optical", "enc1", "a", rows)
        tables.replace_scene("proposal", "optical", "enc1", f"own{seed}", make_rows(f"own{seed}", 20 + turn, seed=turn))


def test_two_racing_processes_never_duplicate(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    workers = [context.Process(target=_write_often, args=(tmp_path / "tables", start, seed)) for seed in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)
    assert [worker.exitcode for worker in workers] == [0, 0]
    tables = VectorTables(tmp_path / "tables")
    found = keys(tables)
    assert len(found) == len(set(found))
    assert len(found) == len(make_rows("a", 200)) + 2 * len(make_rows("own0", 23, seed=3))


def test_a_handle_sees_what_another_handle_wrote(tables: VectorTables) -> None:
    tables.replace_scene("proposal", "optical", "enc1", "a", make_rows("a", 5))
    assert tables.count("proposal", "optical", "enc1") == 5
    VectorTables(tables.root).replace_scene("proposal", "optical", "enc1", "b", make_rows("b", 6))
    assert tables.count("proposal", "optical", "enc1") == 11
    tables.replace_scene("proposal", "optical", "enc1", "b", make_rows("b", 6))
    assert tables.count("proposal", "optical", "enc1") == 11


def test_versions_live_side_by_side_and_a_missing_one_is_an_error(tables: VectorTables) -> None:
    with pytest.raises(StaleError, match="Materialize the embeddings"):
        tables.read("proposal", "optical", "enc1")
    tables.replace_scene("proposal", "optical", "enc1", "a", make_rows("a", 5))
    tables.replace_scene("proposal", "optical", "enc2", "a", make_rows("a", 4, model_version="enc2"))
    assert tables.model_versions("proposal", "optical") == ["enc1", "enc2"]
    assert tables.model_versions("proposal", "sar") == []
    with pytest.raises(VersionMismatchError, match="enc3"):
        tables.read("proposal", "optical", "enc3")
    with pytest.raises(VersionMismatchError, match="enc2"):
        tables.replace_scene("proposal", "optical", "enc1", "a", make_rows("a", 4, model_version="enc2"))
    assert tables.delete_scene("a") == 9


def test_age_off_keeps_rows_searchable_with_the_uri_of_the_archive(tables: VectorTables) -> None:
    for scene in ("a", "b"):
        tables.replace_scene("proposal", "optical", "enc1", scene, make_rows(scene, 5))
    assert tables.mark_uri("a", "/archive/it's/a.ovdx") == 5
    assert tables.mark_uri("a", "/archive/it's/a.ovdx") == 0
    rows = tables.read("proposal", "optical", "enc1")
    assert set(zip(rows["scene_id"].to_pylist(), rows["uri"].to_pylist(), strict=True)) == {
        ("a", "/archive/it's/a.ovdx"),
        ("b", "/data/b.tif"),
    }
    query = vectors_of(make_rows("a", 5), "visual")[2]
    nearest = tables.nearest("proposal", "optical", "enc1", "visual", query, top=1, where="scene_id = 'a'")
    assert nearest["cosine"].to_pylist()[0] == pytest.approx(1.0, abs=1e-5)


def test_nearest_equals_an_exact_scan_and_filters_before_searching(tables: VectorTables) -> None:
    for i, scene in enumerate("abc"):
        tables.replace_scene("proposal", "optical", "enc1", scene, make_rows(scene, 60, seed=i))
    rows = tables.read("proposal", "optical", "enc1", where="scene_id = 'b'")
    query = np.ones(DIM, np.float32)
    cosine = vectors_of(rows, "visual") @ query / np.linalg.norm(query)
    found = tables.nearest("proposal", "optical", "enc1", "visual", query, top=10, where="scene_id = 'b'")
    expected = [rows["key"].to_pylist()[i] for i in np.argsort(-cosine)[:10]]
    assert found["key"].to_pylist() == expected
    with pytest.raises(ShapeError):
        tables.nearest("proposal", "optical", "enc1", "visual", np.ones(3, np.float32), top=1)


def test_wrong_rows_are_refused_before_anything_is_written(tables: VectorTables) -> None:
    rows = make_rows("a", 5)
    with pytest.raises(InputError, match="unique keys"):
        tables.replace_scene("proposal", "optical", "enc1", "a", pa.concat_tables([rows, rows]))
    with pytest.raises(InputError, match="its rows only"):
        tables.replace_scene("proposal", "optical", "enc1", "b", rows)
    with pytest.raises(InputError, match="plain version"):
        table_name("proposal", "optical", "en/c")
    tables.replace_scene("proposal", "optical", "enc1", "a", rows)
    with pytest.raises(ShapeError, match="vectors of length"):
        tables.replace_scene("proposal", "optical", "enc1", "a", make_rows("a", 5, dim=4))
    assert tables.count("proposal", "optical", "enc1") == 5


def test_rows_carry_place_and_time_in_fixed_width_utc() -> None:
    row = make_rows("a", 1).to_pylist()[0]
    assert row["acquired_utc"] == "2024-05-01T10:00:00.000000Z"
    centre_px = (row["x0"] + row["x1"]) / 2
    assert row["lon"] == pytest.approx(10.0 + 5e-6 * centre_px, abs=1e-9)
    assert len(row["geohash"]) == 9
    assert row["tile_id"] == "a/g/0/0"
    assert utc_text("2024-05-01", end_of_day=True) == "2024-05-01T23:59:59.999999Z"
    with pytest.raises(InputError):
        utc_text("yesterday")


def test_proposals_that_share_an_id_become_one_row_and_no_language_tower_means_no_column() -> None:
    boxes = np.array([[0, 0, 10, 10], [0.1, 0, 10.2, 10], [50, 50, 60, 60]], np.float32)
    proposals = ProposalSet("a", boxes, np.array([0.3, 0.8, 0.5], np.float32), np.zeros(3, np.int32), "p")
    tile = TileRecord("a/g/0/0", "a", 0, 0, Window(0, 0, 512, 512), 64, (), "", 1.0, 0.1, 0.5, True)
    scene = make_scene("a", crs=None, transform=None, georeference="none", gsd_m=None)
    rows = proposal_rows(scene, proposals, [tile], np.eye(3, dtype=np.float32), None, "enc1")
    assert rows["objectness"].to_pylist() == pytest.approx([0.8, 0.5])
    assert "language" not in rows.column_names
    assert rows["lon"].to_pylist() == [None, None]
    tiles = tile_rows(scene, [tile], np.eye(3, dtype=np.float32)[:1], None, "enc1")
    assert tiles["key"].to_pylist() == ["a/g/0/0"]
    with pytest.raises(InputError, match="unknown"):
        conform_rows(rows.append_column("colour", rows["key"]))


def test_background_is_remembered_until_the_table_changes(tables: VectorTables) -> None:
    tables.replace_scene("proposal", "optical", "enc1", "a", make_rows("a", 50))
    assert tables.background("proposal", "optical", "enc1", "visual", sample=20).shape == (20, DIM)
    tables.replace_scene("proposal", "optical", "enc1", "a", make_rows("a", 5))
    assert tables.background("proposal", "optical", "enc1", "visual").shape == (5, DIM)
    tables.replace_scene("proposal", "optical", "enc1", "a", make_rows("a", 5).slice(0, 0))
    assert tables.background("proposal", "optical", "enc1", "visual").shape == (0, DIM)
