"""A search is kept as a class, fitted from its marks, and found in a scene that comes later; a new encoder takes over without a gap."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ovd_platform.errors import InputError, StaleError
from ovd_platform.flow import models, serving
from ovd_platform.flow.query import Question, answer, search
from ovd_platform.flow.saved_classes import SAVED_CLASSES, WATCH, alerts, remove_class, save_class, saved_classes, set_watch
from ovd_platform.flow.scenes import load_rows
from ovd_platform.flow.stage import current
from ovd_platform.flow.tables import vector_tables
from ovd_platform.flow.workspace import Workspace
from tests.graph.conftest import write_scene


def _chip(ws: Workspace, scene_id: str) -> str:
    rows = load_rows(current(ws, "optical", "embeddings", scene_id).folder).slice(0, 1).to_pylist()[0]
    return f"{scene_id}:{rows['x0']:.1f},{rows['y0']:.1f},{rows['x1']:.1f},{rows['y1']:.1f}"


def test_marks_refine_a_search_and_stay_as_a_watched_class(ran: Workspace) -> None:
    from assets.launch import renew_saved_classes, run_graph

    first = answer(ran, Question(chips=(_chip(ran, "scene_0"),), top=30))
    right = tuple(hit.proposal_id for hit in first.hits[:12])
    wrong = tuple(hit.proposal_id for hit in first.hits[-12:])
    marked = answer(ran, Question(liked=right[:4], disliked=wrong[:4], top=30))
    assert marked.plan.feedback_share > 0
    ranks = {hit.proposal_id: hit.rank for hit in marked.hits}
    assert np.mean([ranks.get(one, 31) for one in right]) < np.mean([ranks.get(one, 31) for one in wrong])

    kept = save_class(ran, "Things I look for", Question(liked=right, disliked=wrong), watch=True)
    assert kept.name == "things i look for"
    assert saved_classes(ran, "optical") == [kept]
    summary = renew_saved_classes(ran, "optical", say=lambda line: None)
    assert not summary.failed
    fitted = current(ran, "optical", "saved_classes")
    assert fitted.inputs["encoder"] == models.released(ran, "optical")["encoder"]
    assert current(ran, "optical", "watch", "scene_0").inputs["saved_classes"] == fitted.version
    detections_before = current(ran, "optical", "detections", "scene_0").version
    found = alerts(ran, "optical")
    assert found
    assert {one.class_name for _, one in found} == {"things i look for"}
    assert all(one.accepted and one.rendered for _, one in found)
    assert len({one.proposal_id for _, one in found} & set(right)) > len({one.proposal_id for _, one in found} & set(wrong))
    assert SAVED_CLASSES.is_current(ran, "optical")
    assert WATCH.is_current(ran, "optical", "scene_0")

    write_scene(ran.home.root / "imagery", "scene_late", 50_050, 9)
    summary = run_graph(ran, say=lambda line: None)
    assert not summary.failed
    assert "optical/watch[scene_late]" in summary.materialized
    assert "optical/watch[scene_0]" not in summary.materialized
    assert current(ran, "optical", "detections", "scene_0").version == detections_before

    set_watch(ran, "optical", kept.name, watch=False)
    assert alerts(ran, "optical") == []
    with pytest.raises(InputError, match="the vocabulary has it"):
        save_class(ran, models.vocabulary(ran).names[0], Question(liked=right))
    with pytest.raises(InputError, match="answers of a search"):
        save_class(ran, "other", Question(liked=("nothing:1",)))
    with pytest.raises(InputError, match="got none"):
        save_class(ran, "other", Question())
    remove_class(ran, "optical", kept.name)
    renew_saved_classes(ran, "optical", say=lambda line: None)
    assert saved_classes(ran, "optical") == []


def test_the_old_encoder_answers_until_the_new_one_holds_every_scene(ran: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    old = models.released(ran, "optical")["encoder"]
    assert serving.served_encoder(ran, "optical") == old
    release = models.released(ran, "optical")
    new = "0123456789abcdef"
    tables = vector_tables(ran)
    question = Question(chips=(_chip(ran, "scene_0"),), top=5)
    before = [hit.proposal_id for hit in search(ran, question)]
    monkeypatch.setattr(models, "released", lambda ws, modality: {**release, "encoder": new})
    rows = tables.read("proposal", "optical", old)
    rows = rows.set_column(rows.schema.get_field_index("model_version"), "model_version", pa.array([new] * len(rows)))
    scenes = sorted(set(rows["scene_id"].to_pylist()))
    try:
        for scene_id in scenes:
            assert [hit.proposal_id for hit in search(ran, question)] == before
            assert serving.served_encoder(ran, "optical") == old
            with pytest.raises(StaleError, match="answers no search"):
                serving.retire_encoder(ran, "optical", old)
            mine = rows.filter(pa.array([one == scene_id for one in rows["scene_id"].to_pylist()]))
            tables.replace_scene("proposal", "optical", new, scene_id, mine)
        assert serving.served_encoder(ran, "optical") == new
        assert serving.retire_encoder(ran, "optical", "ffffffffffffffff") == 0
    finally:
        monkeypatch.undo()
        tables.drop("optical", new)
        (ran.home.root / "serving" / "optical.json").unlink()
    assert serving.served_encoder(ran, "optical") == old


def test_saved_classes_outlive_a_copy_of_the_workspace(ran: Workspace, tmp_path: Path) -> None:
    kept = save_class(ran, "by words and box", Question(chips=(_chip(ran, "scene_1"),)))
    path = ran.home.root / "saved" / "optical" / "by_words_and_box.json"
    assert path.is_file()
    assert kept.right[0][0] == "scene_1"
    assert "scene_1" in kept.corpus
    remove_class(ran, "optical", kept.name)
    assert not path.exists()
