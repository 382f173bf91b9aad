"""Input-addressed outputs: made once, found again, never half made."""

from pathlib import Path

import pytest

from ovd_platform.config import OvdConfig
from ovd_platform.errors import StaleError
from ovd_platform.flow.stage import Built, Stage, Task, current, version_of
from ovd_platform.flow.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    OvdConfig().save(tmp_path)
    return Workspace.open(tmp_path)


class Counter:
    """A stage whose input and behaviour the test sets."""

    def __init__(self) -> None:
        self.source, self.calls, self.fails = "a", 0, False
        self.stage = Stage("thing", "1", lambda ws, modality, partition: {"source": self.source}, self.build)

    def build(self, task: Task) -> Built:
        self.calls += 1
        (task.folder / "data.txt").write_text(self.source)
        if self.fails:
            raise RuntimeError("killed half-way")
        return Built({"length": len(self.source)})


def test_the_same_inputs_are_computed_once(ws: Workspace) -> None:
    counter = Counter()
    first = counter.stage.materialize(ws, "optical", run_id="one")
    second = counter.stage.materialize(ws, "optical", run_id="two")
    assert counter.calls == 1
    assert (first.reused, second.reused) == (False, True)
    assert second.run_id == "one"
    assert second.version == first.version


def test_changed_inputs_make_a_new_output_and_going_back_finds_the_old(ws: Workspace) -> None:
    counter = Counter()
    first = counter.stage.materialize(ws, "optical")
    counter.source = "b"
    assert not counter.stage.is_current(ws, "optical")
    counter.stage.materialize(ws, "optical")
    assert (current(ws, "optical", "thing").folder / "data.txt").read_text() == "b"
    counter.source = "a"
    assert counter.stage.materialize(ws, "optical").version == first.version
    assert counter.calls == 2


def test_a_failed_build_leaves_the_current_output_and_nothing_else(ws: Workspace) -> None:
    counter = Counter()
    before = counter.stage.materialize(ws, "optical")
    counter.source, counter.fails = "b", True
    with pytest.raises(RuntimeError):
        counter.stage.materialize(ws, "optical")
    assert version_of(ws, "optical", "thing") == before.version
    assert [path.name for path in before.folder.parent.iterdir()] == [before.key]


def test_a_candidate_is_not_published(ws: Workspace) -> None:
    counter = Counter()
    counter.stage.materialize(ws, "optical", publish=False)
    with pytest.raises(StaleError, match="ovd run"):
        current(ws, "optical", "thing")


def test_old_outputs_are_pruned_but_never_the_current_one(ws: Workspace) -> None:
    counter = Counter()
    for source in "abcde":
        counter.source = source
        counter.stage.materialize(ws, "optical")
    kept = [path for path in (ws.home.stage("optical", "thing") / "all").iterdir()]
    assert len(kept) == 2
    assert current(ws, "optical", "thing").folder in kept
