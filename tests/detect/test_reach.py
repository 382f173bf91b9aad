"""For which scenes measured precision speaks, and how scenes count where a threshold is chosen."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovd_platform.detect.calibrate import fit_calibration
from ovd_platform.detect.calibration import load_calibration
from ovd_platform.detect.prototypes import vocabulary_vectors
from ovd_platform.detect.reach import Reach
from ovd_platform.detect.thresholds import MIN_SCENES, threshold_at_precision
from ovd_platform.detect.worth import judge

COUNTS = {"ship": 16, "aircraft": 5, "tank": 1}


def shifted(rows, instrument, by):
    """The same rows as another instrument would give them: everything moved one way."""
    from ovd_platform.stores.vector_rows import units, vectors_of

    vectors = vectors_of(rows, "visual")
    away = np.zeros(vectors.shape[1], np.float32)
    away[0] = by
    flat = pa.array(units(vectors + away).reshape(-1), pa.float32())
    moved = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    rows = rows.set_column(rows.column_names.index("visual"), "visual", moved.cast(rows.schema.field("visual").type))
    return rows.set_column(rows.column_names.index("instrument"), "instrument", pa.array([instrument] * len(rows)))


@pytest.fixture(scope="module")
def fitted(world, vocabulary):
    made = [world.make(f"cal{i}", COUNTS, seed=i) for i in range(4)]
    rows, labels = pa.concat_tables([rows for rows, _, _ in made]), [label for _, found, _ in made for label in found]
    return fit_calibration(rows, labels, vocabulary, *vocabulary_vectors(vocabulary, world.embed_text))


def test_an_instrument_that_lies_elsewhere_is_out_of_reach_and_a_new_name_alone_is_not(world, fitted):
    rows, _, _ = world.make("new", COUNTS, seed=50)
    assert not fitted.reach.holds_for(shifted(rows, "ms", 1.5))
    assert fitted.reach.holds_for(shifted(rows, "pan2", 0.0))


def test_a_judged_instrument_is_within_reach_whatever_is_in_the_scene(world, fitted):
    ships, _, _ = world.make("ships", {"ship": 40}, seed=52, background=2)
    assert fitted.reach.holds_for(ships)
    assert fitted.reach.holds_for(shifted(ships, "pan", 1.5))
    assert not fitted.reach.holds_for(shifted(ships, "ms", 1.5))


def test_reach_is_kept_with_the_calibration(fitted, tmp_path):
    read = load_calibration(fitted.save(tmp_path))
    assert read.version == fitted.version
    assert read.reach.instruments == ("pan",)
    assert read.reach.spread == fitted.reach.spread
    assert np.array_equal(read.reach.means_sd, fitted.reach.means_sd)


def test_without_judged_scenes_nothing_is_out_of_reach(world):
    rows, _, _ = world.make("new", COUNTS, seed=53)
    assert Reach.anywhere().holds_for(rows)
    assert Reach.of(rows.slice(0, 0)).holds_for(rows)


# --- scenes count, not rows --------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_sums_over_scenes_are_those_of_the_definition(seed, scenes):
    rng = np.random.default_rng(seed)
    score, scene_n = rng.normal(size=60), rng.integers(0, scenes, 60)
    true = rng.random(60) < 0.5 + 0.4 * (scene_n == 0)
    cut = threshold_at_precision(score, true, 0.3, scene_n=scene_n)
    assert cut is not None
    taken = score >= cut.threshold
    share, accepted = true[taken].mean(), int(taken.sum())
    groups = np.unique(scene_n[taken])
    away = [(true[taken & (scene_n == g)].sum() - share * (taken & (scene_n == g)).sum()) ** 2 for g in groups]
    effect = sum(away) * len(groups) / max(len(groups) - 1, 1) / (share * (1 - share) * accepted) if 0 < share < 1 else 1.0
    assert (cut.right, cut.accepted) == (true[taken].sum(), accepted)
    assert cut.independent == pytest.approx(accepted / np.clip(effect, 1, accepted))


def test_answers_that_are_right_or_wrong_by_scene_count_as_few():
    """Five scenes of 40 answers: in four all are right, in one half of them; precision 0.9, but on five cases, not on 200."""
    scene_n = np.repeat(np.arange(5), 40)
    true = np.ones(200, bool)
    true[-20:] = False
    score = np.tile(np.linspace(1, 0, 40), 5)
    plain = threshold_at_precision(score, true, 0.85, assurance=1.28)
    grouped = threshold_at_precision(score, true, 0.85, assurance=1.28, scene_n=scene_n)
    assert plain is not None
    assert plain.accepted == plain.independent == 200
    assert grouped is None or grouped.accepted < 200


def test_one_scene_of_several_is_no_evidence_for_the_others():
    rng = np.random.default_rng(0)
    scene_n = np.repeat(np.arange(4), 100)
    true = (scene_n == 2) & (rng.random(400) < 0.5)
    score = true + 0.1 * rng.random(400)
    assert threshold_at_precision(score, true, 0.8) is not None
    assert threshold_at_precision(score, true, 0.8, scene_n=scene_n) is None
    true[:20] = True
    score[:20] += 1
    assert threshold_at_precision(score, true, 0.8, scene_n=scene_n) is not None
    assert MIN_SCENES == 2
    alone = threshold_at_precision(score, true, 0.8, scene_n=np.zeros(400, np.int64))
    assert alone == threshold_at_precision(score, true, 0.8), "one scene is all there is"


def test_promised_precision_is_kept_where_scenes_differ():
    """Scenes whose share of right answers differs: of many such worlds few break the promise by much."""
    kept_rows, kept_scenes = [], []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        scene_n = np.repeat(np.arange(12), 60)
        difficulty = rng.normal(0, 0.9, 24)
        true = rng.random(24 * 60) < 0.35
        score = 3 * true + rng.normal(size=24 * 60) + np.repeat(difficulty, 60) * ~true
        for store, scenes in ((kept_rows, None), (kept_scenes, scene_n)):
            worth = judge(score[:720], true[:720], 0.9, scene_n=scenes)
            if worth.threshold is not None:
                taken = score[720:] >= worth.threshold
                store.append(true[720:][taken].mean())
    assert len(kept_scenes) > 60
    assert np.mean(np.array(kept_scenes) < 0.88) < 0.75 * np.mean(np.array(kept_rows) < 0.88)
    assert np.mean(kept_scenes) >= 0.9
