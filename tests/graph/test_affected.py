"""Only what is affected: real automation ticks on a real instance, executing whatever they request."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance, evaluate_automation_conditions

from assets.launch import _job, open_instance, renew_manifests, run_graph
from assets.observe import register_and_observe
from definitions import defs
from ovd_platform.flow.ageoff import age_off_scene
from ovd_platform.flow.query import Question, search
from ovd_platform.flow.scenes import open_registered
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.window import Window
from tests.graph.conftest import write_scene

SCENE_STAGES = ("tiles", "proposals", "embeddings", "detections", "archive", "watch")
FAN_INS = {("scene_manifest", None), ("search_index", None)}


class Ticker:
    """Evaluates the conditions and runs what they request, until nothing is requested."""

    def __init__(self, instance: DagsterInstance) -> None:
        self.instance = instance
        self.cursor = None
        self.now = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)

    def settle(self, most: int = 12) -> set[tuple[str, str | None]]:
        done: set[tuple[str, str | None]] = set()
        for _ in range(most):
            self.now += datetime.timedelta(minutes=5)
            result = evaluate_automation_conditions(
                defs=defs, instance=self.instance, cursor=self.cursor, evaluation_time=self.now
            )
            self.cursor = result.cursor
            if result.total_requested == 0:
                return done
            wanted = self._requested(result)
            done |= {(key.path[-1], partition) for partition, keys in wanted.items() for key in keys}
            for partition, keys in wanted.items():
                outcome = _job().execute_in_process(
                    instance=self.instance,
                    asset_selection=keys,
                    partition_key=partition,
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                )
                assert outcome.success
        raise AssertionError(f"the conditions never came to rest: {sorted(map(str, done))}")

    def _requested(self, result: object) -> dict[str | None, list[AssetKey]]:
        wanted: dict[str | None, list[AssetKey]] = {}
        for key in defs.resolve_asset_graph().get_all_asset_keys():
            for partition in result.get_requested_partitions(key):  # type: ignore[attr-defined]
                wanted.setdefault(partition, []).append(key)
        return dict(sorted(wanted.items(), key=lambda item: item[0] is None))


@pytest.fixture
def ticker(ran: Workspace) -> Iterator[Ticker]:
    with open_instance(ran) as instance:
        found = Ticker(instance)
        found.settle()
        yield found


def of_scene(name: str) -> set[tuple[str, str | None]]:
    return {(stage, name) for stage in SCENE_STAGES}


def test_touching_nothing_materializes_nothing(ran: Workspace, ticker: Ticker) -> None:
    report = register_and_observe(ticker.instance, ran)
    assert not report.new
    assert not report.changed
    assert ticker.settle() == set()
    assert run_graph(ran, say=lambda line: None).materialized == []


def test_a_new_scene_materializes_itself_the_manifest_and_the_index(ran: Workspace, ticker: Ticker) -> None:
    write_scene(ran.home.root / "imagery", "scene_new", 50_100, 10)
    register_and_observe(ticker.instance, ran)
    assert ticker.settle() == of_scene("scene_new") | FAN_INS


def test_a_changed_file_rematerializes_that_scene_alone(ran: Workspace, ticker: Ticker) -> None:
    write_scene(ran.home.root / "imagery", "scene_5", 50_200, 5)
    register_and_observe(ticker.instance, ran)
    assert ticker.settle() == of_scene("scene_5") | FAN_INS


def test_age_off_moves_only_the_manifest_and_what_depends_on_it(ran: Workspace, ticker: Ticker) -> None:
    record = ran.scene("optical", "scene_4")
    with open_registered(ran, "optical", "scene_4") as scene:
        before = scene.read(Window(0, 0, 64, 64)).pixels_chw
    age_off_scene(ran, record, dry_run=False)
    assert not Path(record.uri).exists()
    summary = renew_manifests(ran, say=lambda line: None)
    assert {name.split("/")[1] for name in summary.materialized} <= {"scene_manifest", "search_index"}
    register_and_observe(ticker.instance, ran)
    assert {name for name, _ in ticker.settle()} <= {"scene_manifest", "search_index"}
    with open_registered(ran, "optical", "scene_4") as scene:
        after = scene.read(Window(0, 0, 64, 64)).pixels_chw
    assert after.shape == before.shape
    hits = search(ran, Question(chips=("scene_4:10,10,60,60",), top=500))
    assert "scene_4" in {hit.scene_id for hit in hits}
    assert next(hit.uri for hit in hits if hit.scene_id == "scene_4").endswith(".ovdx")
