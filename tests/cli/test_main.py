"""The command: exit codes, messages that name the thing and the remedy."""

import errno
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ovd_platform.cli.main import app, main

runner = CliRunner()


def test_help_names_every_command() -> None:
    text = runner.invoke(app, ["--help"]).output
    for name in (
        "init",
        "ingest",
        "train",
        "run",
        "up",
        "page",
        "search",
        "report",
        "eval",
        "documents",
        "status",
        "lineage",
        "age-off",
        "demo",
    ):
        assert name in text


def test_a_folder_without_configuration_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ovd", "status", "-C", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert "ovd init" in capsys.readouterr().err


def test_init_refuses_a_place_without_rasters_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(sys, "argv", ["ovd", "init", str(tmp_path / "work"), "--imagery", str(tmp_path / "empty")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert not (tmp_path / "work" / "ovd.yaml").exists()


def test_an_unknown_setting_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ovd.yaml").write_text("tiels: {core_px: 512}\n")
    monkeypatch.setattr(sys, "argv", ["ovd", "status", "-C", str(tmp_path)])
    with pytest.raises(SystemExit):
        main()
    assert "tiels" in capsys.readouterr().err


def test_a_bad_box_is_a_usage_error() -> None:
    assert runner.invoke(app, ["search", "--text", "ship", "--bbox", "1,2,3", "-C", "."]).exit_code != 0


def test_a_full_disk_is_named_with_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import assets.launch

    (tmp_path / "ovd.yaml").write_text("imagery: [nowhere]\n")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(assets.launch, "run_graph", full)
    monkeypatch.setattr(sys, "argv", ["ovd", "run", "-C", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr().err
    assert stopped.value.code == 1
    assert "disk is full" in said
    assert "finished is kept" in said


def test_ctrl_c_says_that_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import assets.launch

    (tmp_path / "ovd.yaml").write_text("imagery: [nowhere]\n")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(assets.launch, "run_graph", interrupted)
    monkeypatch.setattr(sys, "argv", ["ovd", "run", "-C", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert "What was finished is kept" in capsys.readouterr().err


def test_one_cause_of_many_failures_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    from assets.launch import Summary
    from ovd_platform.cli.main import print_summary

    failed = {f"optical/proposals[scene_{i}]": "the same cause" for i in range(60)} | {"sar/backbone": "another"}
    print_summary(Summary(failed=failed), 1.0)
    told = capsys.readouterr().err
    assert told.count("the same cause") == 1
    assert "optical/proposals[scene_0] and 59 more" in " ".join(told.split())
    assert "sar/backbone: another" in told
