"""The gate on a workspace that went through the graph: what it measures, on which scenes, and against what."""

from dataclasses import replace

import pytest

from ovd_platform.config import GateConfig, GateRuleConfig
from ovd_platform.flow import calibration, models, release
from ovd_platform.flow.labels import load_split
from ovd_platform.flow.stage import current
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import read_json


def gated(ws: Workspace, *rules: GateRuleConfig) -> Workspace:
    return Workspace(ws.home, ws.config.model_copy(update={"gate": GateConfig(rules=rules)}))


def components(ws: Workspace) -> dict[str, str]:
    return {name: version for name, version in models.released(ws, "optical").items() if name != "version"}


def test_detections_of_held_out_folds_are_measured_before_the_choice_and_no_test_scene_is_seen(ran: Workspace) -> None:
    stats = calibration.stats_of(ran, "optical", components(ran)["calibration"])
    scenes = {row["scene_id"] for row in stats["scenes"]}
    assert stats["detection"]["ap50"]["value"] is not None
    assert stats["froc"]
    assert stats["slices"]["size_px"]
    assert scenes == set(calibration.calibration_scenes(ran, "optical")[0])
    assert not scenes & set(load_split(ran, "optical").test)


def test_no_fold_is_judged_by_a_calibration_that_saw_its_scenes(ran: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    own = components(ran)
    evidence = calibration.gather(ran, "optical", own["proposer"], own["encoder"])
    fitted: list[set[str]] = []
    judged: list[tuple[str, int]] = []
    fit = calibration.Evidence.fit

    def seen_fit(self: calibration.Evidence, scene_ids: list[str], seed: int) -> object:
        fitted.append(set(scene_ids))
        return fit(self, scene_ids, seed)

    def seen_detect(rows: object, record: object, *_: object) -> list[object]:
        judged.append((record.scene_id, len(fitted) - 1))  # type: ignore[attr-defined]
        return []

    monkeypatch.setattr(calibration.Evidence, "fit", seen_fit)
    monkeypatch.setattr("ovd_platform.detect.detect.detect_scene", seen_detect)
    calibration.held_out_detections(ran, "optical", evidence)
    assert sorted(scene_id for scene_id, _ in judged) == sorted(evidence.judged)
    assert all(scene_id not in fitted[fold] for scene_id, fold in judged)
    units = load_split(ran, "optical").unit_of
    places = [{units[scene_id] for scene_id in fold} for fold in fitted]
    assert all(units[scene_id] not in places[fold] for scene_id, fold in judged)
    # Scenes of one place are never on both sides.
    wide = replace(evidence, judged=sorted(evidence.rows))
    assert len(calibration.scene_folds(wide, units)) == min(calibration.FOLDS, len({units[one] for one in wide.judged}))
    together = {scene_id: "one place" for scene_id in evidence.rows}
    assert calibration.scene_folds(wide, together) == [sorted(evidence.rows)]
    monkeypatch.setattr(calibration, "load_split", lambda *_: type("S", (), {"unit_of": together}))
    assert calibration.held_out_detections(ran, "optical", replace(wide, support=())) == {}


def test_rules_on_detections_hold_a_candidate_against_the_release_in_force(ran: Workspace) -> None:
    own = components(ran)
    equal = GateRuleConfig(metric="detection.ap50", max_loss=0.0)
    passed, reasons, against = release._gate(gated(ran, equal), "optical", own, own, "test")
    assert passed
    assert "within the allowed loss" in reasons[0]
    assert against is not None
    assert against["verdict"]["word"] in ("no difference shown", "not comparable")
    name = next(iter(calibration.stats_of(ran, "optical", own["calibration"])["detection"]["per_class"]))
    high = GateRuleConfig(metric="detection.ap50", slice=f"class:{name}", min=1.1)
    assert not release._gate(gated(ran, high), "optical", own, own, "test")[0]


def test_a_release_of_older_labels_answers_again_on_the_present_ones(ran: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    own = components(ran)
    kept = calibration.stats_of(ran, "optical", own["calibration"])
    older = {**kept, "header": {**kept["header"], "truth_hash": "other labels"}}
    monkeypatch.setattr(release, "stats_of", lambda ws, modality, version: kept if version == own["calibration"] else older)
    again = release._stats_in_force(ran, "optical", {**own, "calibration": "older"}, kept, "test")
    assert again["header"]["truth_hash"] == kept["header"]["truth_hash"]
    assert again["detection"] == kept["detection"]


def test_the_calibration_of_a_release_outlives_the_stage_outputs(ran: Workspace) -> None:
    own = components(ran)
    folder = models.calibration_folder(ran, "optical", own["calibration"])
    assert folder.is_relative_to(ran.home.models)
    assert models.calibration(ran, "optical", own["calibration"])[0] is not None
    gate = read_json(current(ran, "optical", "release").folder / "gate.json")
    assert gate["passed"]
    assert gate["candidate"] == own


def test_the_report_of_a_fresh_workspace_tells_costs_grid_shift_and_codec(ran: Workspace) -> None:
    folder = current(ran, "optical", "evaluation_report", current(ran, "optical", "release").version).folder
    stats = read_json(folder / "stats.json")
    assert stats["costs"]["seconds_total"] > 0
    assert stats["costs"]["eur_per_1000_km2"] > 0
    again = stats["stability"]["detections"]["found_again"]["value"]
    assert again is None or 0.0 <= again <= 1.0
    codec = next(iter(stats["codec"].values()))
    assert codec["vectors"] > 0
    assert 0.0 <= codec["drift"]["median"] <= codec["drift"]["max"] < 0.5
    assert codec["original"]["ap50"] == pytest.approx(codec["archived"]["ap50"], abs=0.3)
    page = (folder / "report.html").read_text()
    assert "Archived pixels" in page
    assert "per 1,000 km" in page
