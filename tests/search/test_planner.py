"""The planner's parts beyond one prompt: several phrases, weights, areas, marks, revisits, what is reported of the way."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ovd_platform.errors import InputError, ShapeError, StaleError
from ovd_platform.geometry.geohash import encode
from ovd_platform.records.prompt import Answer, Hit, Prompt, SearchFilter, Words
from ovd_platform.search.area import Area, box_cells
from ovd_platform.search.query import answer

Corpus = Any


def ask(corpus: Corpus, top: int = 20, **values: Any) -> Answer:
    options = {name: values.pop(name) for name in ("two_stage", "exact_rows", "collapse_revisits") if name in values}
    prompt = Prompt(model_version="enc1", **values)
    return answer(corpus.tables, prompt, corpus.embed_text, modality="optical", top=top, **options)


def share(corpus: Corpus, hits: tuple[Hit, ...], name: str) -> float:
    return float(np.mean([corpus.truth[hit.proposal_id] == name for hit in hits]))


def test_several_phrases_are_weighed_and_negative_ones_push_down(corpus: Corpus) -> None:
    both = ask(corpus, 60, texts=(Words("ship"), Words("tank")))
    assert 0.3 < share(corpus, both.hits, "ship") < 0.7
    mostly = ask(corpus, 30, texts=(Words("ship", 3.0), Words("tank", 0.3)))
    assert share(corpus, mostly.hits, "ship") > 0.8
    without = ask(corpus, 40, texts=(Words("ship"), Words("tank"), Words("tank", -1.0)))
    assert share(corpus, without.hits, "tank") < share(corpus, both.hits, "tank") - 0.2
    with pytest.raises(InputError, match="got neither"):
        Prompt(texts=(Words("ship", -1.0),))
    with pytest.raises(InputError, match="weight"):
        Words("ship", 0.0)


def test_weights_of_chips_decide_between_them(corpus: Corpus) -> None:
    chips = np.concatenate([corpus.chips("ship", 2), corpus.chips("tank", 2)])
    weights = np.array([1.0, 1.0, 0.05, 0.05], dtype=np.float32)
    assert share(corpus, ask(corpus, chip_vectors_nd=chips, chip_weights_n=weights).hits, "ship") > 0.9
    assert share(corpus, ask(corpus, chip_vectors_nd=chips, chip_weights_n=weights[::-1].copy()).hits, "tank") > 0.9
    with pytest.raises(ShapeError, match="expected 4 weights"):
        Prompt(chip_vectors_nd=chips, chip_weights_n=weights[:3])


def test_marks_turn_a_search_that_confuses_two_classes(corpus: Corpus) -> None:
    mixed = np.concatenate([corpus.chips("ship", 1), corpus.chips("tank", 1)])
    before = ask(corpus, 40, chip_vectors_nd=mixed)
    assert share(corpus, before.hits, "tank") > 0.3
    assert before.plan.feedback_share == 0.0
    after = ask(
        corpus, 40, chip_vectors_nd=mixed, liked_nd=corpus.chips("ship", 3, seed=1), disliked_nd=corpus.chips("tank", 3, seed=2)
    )
    assert share(corpus, after.hits, "ship") > share(corpus, before.hits, "ship") + 0.2
    assert share(corpus, after.hits, "tank") < 0.1
    assert 0.2 < after.plan.feedback_share < 0.8
    staged = ask(corpus, 20, exact_rows=10, liked_nd=corpus.chips("ship", 3), disliked_nd=corpus.chips("tank", 3))
    assert staged.plan.way == "tiles"
    assert share(corpus, staged.hits, "ship") > 0.9


def test_the_plan_says_what_was_done(corpus: Corpus) -> None:
    found = ask(corpus, text="ship", filter=SearchFilter(scene_ids=("a", "b")))
    assert (found.plan.way, found.plan.rows, found.plan.matching, found.plan.candidates) == ("exact", 1200, 800, 800)
    assert found.plan.text_share == 1.0
    assert ask(corpus, text="ship", exact_rows=10, two_stage=False).plan.way == "proposals"
    least = found.hits[9].score
    kept = ask(corpus, text="ship", filter=SearchFilter(scene_ids=("a", "b"), min_score=least))
    assert len(kept.hits) == 10


@pytest.fixture(scope="module")
def placed(make_corpus: Any, scene_rows: Any) -> Corpus:
    """One scene with geohashes, whose view is known."""
    made = make_corpus()
    rng = np.random.default_rng(3)
    names = ["ship"] * 200 + ["nothing"] * 200
    rows = scene_rows(made, "a", names, rng, off_nadir_deg=np.full(400, 25.0), orbit=["ascending"] * 400)
    hashes = [encode(lon, lat) for lon, lat in zip(rows["lon"].to_pylist(), rows["lat"].to_pylist(), strict=True)]
    rows = rows.set_column(rows.schema.get_field_index("geohash"), "geohash", pa.array(hashes))
    made.truth.update(zip(rows["key"].to_pylist(), names, strict=True))
    made.tables.replace_scene("proposal", "optical", "enc1", "a", rows)
    return made


@pytest.mark.parametrize("exact_rows", [10, 100_000])
def test_an_area_holds_exactly_the_hits_inside(placed: Corpus, exact_rows: int) -> None:
    triangle = ((10.0, 50.0), (10.005, 50.0), (10.0, 49.999))
    found = ask(placed, 200, text="ship", filter=SearchFilter(area_lonlat=((triangle,),)), exact_rows=exact_rows)
    area = Area(((triangle,),))
    places = placed.tables.read("proposal", "optical", "enc1", columns=["key", "lon", "lat"])
    inside = area.contains(places["lon"].to_numpy(), places["lat"].to_numpy())
    assert 20 < inside.sum() < 200
    wanted = {key for key, within in zip(places["key"].to_pylist(), inside, strict=True) if within}
    assert {hit.proposal_id for hit in found.hits} <= wanted
    if exact_rows > 10:
        assert {hit.proposal_id for hit in found.hits} == wanted


def test_views_are_filtered_and_old_tables_say_what_to_do(placed: Corpus, corpus: Corpus) -> None:
    fine = ask(placed, text="ship", filter=SearchFilter(off_nadir_deg=(0, 30), orbits=("ascending",)))
    assert len(fine.hits) == 20
    assert not ask(placed, text="ship", filter=SearchFilter(off_nadir_deg=(0, 20))).hits
    with pytest.raises(InputError, match="off_nadir_deg"):
        ask(placed, text="ship", filter=SearchFilter(off_nadir_deg=(20, 10)))


def test_areas_cross_the_antimeridian_and_hold_poles() -> None:
    across = Area(((((179.0, -1.0), (-179.0, -1.0), (-179.0, 1.0), (179.0, 1.0)),),))
    lon = np.array([179.5, -179.5, 180.0, 0.0, 178.5, np.nan])
    assert across.contains(lon, np.zeros(6)).tolist() == [True, True, True, False, False, False]
    assert len(across.bounds()) == 2
    pole = Area(((((0.0, 80.0), (90.0, 80.0), (180.0, 80.0), (-90.0, 80.0)),),))
    assert pole.contains(np.array([10.0, -170.0, 5.0]), np.array([85.0, 89.9, 70.0])).tolist() == [True, True, False]
    holed = Area(((((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)), ((4.0, 4.0), (6.0, 4.0), (6.0, 6.0), (4.0, 6.0))),))
    assert holed.contains(np.array([1.0, 5.0]), np.array([1.0, 5.0])).tolist() == [True, False]
    with pytest.raises(InputError, match="three or more"):
        Area(((((0.0, 0.0), (1.0, 1.0)),),))


def test_cells_cover_their_area_and_little_more() -> None:
    rng = np.random.default_rng(0)
    ring = ((177.0, 10.0), (-178.0, 12.0), (-176.0, 20.0), (178.0, 22.0))
    for area, cells in ((Area(((ring,),)), Area(((ring,),)).cells()), (None, box_cells((177.0, 10.0, -176.0, 22.0)))):
        assert 10 < len(cells) <= 128
        lon, lat = rng.uniform(-180, 180, 8_000), rng.uniform(-85, 85, 8_000)
        lon[:2_000], lat[:2_000] = (rng.uniform(175, 186, 2_000) + 180) % 360 - 180, rng.uniform(8, 24, 2_000)
        covered = np.array([encode(x, y).startswith(cells) for x, y in zip(lon, lat, strict=True)])
        inside = area.contains(lon, lat) if area else (lat >= 10) & (lat <= 22) & ((lon >= 177) | (lon <= -176))
        assert covered[inside].all()
        assert covered.sum() < 1.6 * inside.sum()


def test_tables_of_before_the_view_get_its_columns_with_the_next_write(make_corpus: Any, scene_rows: Any) -> None:
    made = make_corpus()
    rng = np.random.default_rng(4)
    old = scene_rows(made, "a", ["ship"] * 30, rng)
    old = old.drop_columns(["off_nadir_deg", "sun_elevation_deg", "incidence_deg", "orbit"])
    made.tables.root.mkdir(parents=True, exist_ok=True)
    made.tables._connect().create_table("proposal__optical__enc1", data=old)
    assert len(ask(made, 5, text="ship").hits) == 5
    with pytest.raises(StaleError, match="off_nadir_deg"):
        ask(made, text="ship", filter=SearchFilter(off_nadir_deg=(0, 30)))
    made.tables.replace_scene(
        "proposal", "optical", "enc1", "b", scene_rows(made, "b", ["ship"] * 30, rng, orbit=["descending"] * 30)
    )
    found = ask(made, text="ship", filter=SearchFilter(orbits=("descending",)))
    assert {hit.scene_id for hit in found.hits} == {"b"}


def test_revisits_are_collapsed_into_one_hit_that_lists_them(make_corpus: Any, scene_rows: Any) -> None:
    made = make_corpus()
    for scene_id, day in (("a", "2024-05-01"), ("b", "2024-06-01"), ("c", "2024-07-01")):
        rng = np.random.default_rng(8)
        lat = 50 - (np.arange(60) // 50) * 40.0 * 5e-6
        rows = scene_rows(made, scene_id, ["ship"] * 10 + ["nothing"] * 50, rng, acquired_utc=[day] * 60, lat=lat)
        made.tables.replace_scene("proposal", "optical", "enc1", scene_id, rows)
    listed = ask(made, 30, text="ship")
    assert len(listed.hits) == 30
    assert not any(hit.revisits for hit in listed.hits)
    hits = ask(made, 10, text="ship", collapse_revisits=True).hits
    assert {len(hit.revisits) for hit in hits} == {2}
    assert all({hit.scene_id, *(one.scene_id for one in hit.revisits)} == {"a", "b", "c"} for hit in hits)


def test_the_grid_finds_places_that_no_proposal_covers(make_corpus: Any, scene_rows: Any) -> None:
    made = make_corpus()
    rng = np.random.default_rng(9)
    made.tables.replace_scene("proposal", "optical", "enc1", "a", scene_rows(made, "a", ["tank"] * 40, rng))
    cells = scene_rows(made, "a", ["nothing"] * 30 + ["ship"] * 10, rng)
    made.tables.replace_scene("grid", "optical", "enc1", "a", cells)
    prompt = Prompt(text="ship", model_version="enc1")
    found = answer(made.tables, prompt, made.embed_text, modality="optical", top=10, level="grid")
    assert sorted(hit.proposal_id for hit in found.hits) == sorted(f"a:p:{i}" for i in range(30, 40))


@pytest.mark.parametrize("exact_rows", [10, 100_000])
def test_every_filter_at_once_keeps_what_passes_all(make_corpus: Any, scene_rows: Any, exact_rows: int) -> None:
    """Area, days, instrument, view and score together: each alone lets a row through that another one stops."""
    made = make_corpus()
    rng, n = np.random.default_rng(10), 240
    days = np.array(["2024-05-01", "2024-05-02"])[rng.integers(2, size=n)]
    eyes = np.array(["pan", "ms"])[rng.integers(2, size=n)]
    tilt = rng.uniform(0, 40, n)
    times = [f"{day}T23:59:59.500000Z" for day in days]
    rows = scene_rows(
        made,
        "a",
        ["ship"] * n,
        rng,
        acquired_utc=times,
        instrument=eyes.tolist(),
        off_nadir_deg=tilt,
        lon=np.linspace(179.9, 180.1, n),
    )
    lon = rows["lon"].to_numpy()
    rows = rows.set_column(rows.schema.get_field_index("lon"), "lon", pa.array((lon + 180) % 360 - 180))
    made.tables.replace_scene("proposal", "optical", "enc1", "a", rows)
    west = ((179.95, 49.0), (-179.95, 49.0), (-179.95, 51.0), (179.95, 51.0))
    limits = {"area_lonlat": ((west,),), "to_utc": "2024-05-01", "instruments": ("pan",), "off_nadir_deg": (0.0, 20.0)}
    passes = (lon >= 179.95) & (lon <= 180.05) & (days == "2024-05-01") & (eyes == "pan") & (tilt <= 20)
    found = ask(made, n, text="ship", filter=SearchFilter(**limits), exact_rows=exact_rows)
    wanted = {f"a:p:{i}" for i in np.flatnonzero(passes)}
    assert 5 < len(wanted) < 60
    assert {hit.proposal_id for hit in found.hits} == wanted
    for name in limits:
        looser = ask(
            made, n, text="ship", filter=SearchFilter(**{**limits, name: getattr(SearchFilter(), name)}), exact_rows=exact_rows
        )
        assert len(looser.hits) > len(wanted)
    least = found.hits[4].score
    assert len(ask(made, n, text="ship", filter=SearchFilter(**limits, min_score=least), exact_rows=exact_rows).hits) == 5
