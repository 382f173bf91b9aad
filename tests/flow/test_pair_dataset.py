"""Documents to the pair dataset with its report, and what `ovd documents` shows of it."""

import json
from pathlib import Path

import pymupdf
import pytest
from typer.testing import CliRunner

from ovd_platform.cli.main import app
from ovd_platform.config import CaptionerConfig, OvdConfig
from ovd_platform.documents.buckets import document_bucket
from ovd_platform.documents.opening import document_slug
from ovd_platform.documents.pair_images import read_image
from ovd_platform.flow import figure_kinds
from ovd_platform.flow.documents import BUCKETS, PDF_PAIRS, bucket_name
from ovd_platform.flow.figure_kinds import FIGURE_KINDS
from ovd_platform.flow.pair_dataset import CAPTIONS_FILE, PAIR_DATASET
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import read_json
from tests.documents.conftest import chip, png

runner = CliRunner()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    home = tmp_path_factory.mktemp("home")
    folder = home / "documents"
    folder.mkdir()
    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    for number in range(2):
        page.insert_image(pymupdf.Rect(54, 100 + 300 * number, 254, 300 + 300 * number), stream=png(chip(number)))
        page.insert_text((54, 315 + 300 * number), f"Figure {number + 1}: Satellite view of ship {number}.", fontsize=9)
    document.save(folder / "report.pdf")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    captioner = CaptionerConfig(command=("sh", "-c", "cat > /dev/null; echo a ship at sea"), model="stub")
    OvdConfig(documents=(str(folder),), document_words="off", captioner=captioner).save(home)
    ws = Workspace.open(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure_kinds, "OF_EACH", 8)
        for path in folder.glob("*.pdf"):
            PDF_PAIRS.materialize(ws, "shared", bucket_name(document_bucket(document_slug(path), BUCKETS)))
        FIGURE_KINDS.materialize(ws, "shared", "all")
        PAIR_DATASET.materialize(ws, "shared", "all")
        yield ws


def test_the_dataset_comes_with_its_report(workspace: Workspace) -> None:
    output = PAIR_DATASET.materialize(workspace, "shared", "all")
    assert output.reused
    facts = read_json(output.folder / "report.json")
    assert facts["pairs"] == 2
    assert facts["kept"] + sum(facts["rejected_by_reason"].values()) == 2
    assert "pairs kept" in output.metadata["report"]
    assert set(read_json(output.folder / "kinds.json")) == {path.stem for path in pdf_images(workspace)}


def pdf_images(ws: Workspace) -> list[Path]:
    return sorted(ws.home.stage("shared", "pdf_pairs").glob("*/*/images/report/*.png"))


def test_machine_captions_stand_beside_the_documents_words(workspace: Workspace) -> None:
    output = PAIR_DATASET.materialize(workspace, "shared", "all")
    said = read_json(output.folder / CAPTIONS_FILE)
    assert len(said) == output.metadata["pairs"] == output.metadata["machine_captions"]
    assert {item["text"] for item in said} <= {"a ship at sea"}


def test_the_command_shows_documents_errors_and_remedies(workspace: Workspace, tmp_path: Path) -> None:
    shown = runner.invoke(app, ["documents", "-C", str(workspace.home.root), "--json", "--out", str(tmp_path)])
    assert shown.exit_code == 0
    facts = json.loads(shown.stdout)
    rows = {row["document"]: row for row in facts["documents"]}
    assert rows["report"]["pages"] == 1
    assert rows["report"]["figures"] == 2
    assert rows["report"]["captioned"] == 2
    assert sum(rows["report"]["kinds"].values()) == 2
    assert rows["broken"]["figures"] == 0
    assert "broken.pdf" in rows["broken"]["error"]
    assert facts["waiting"] == []
    assert read_image(tmp_path / "report.png").ndim == 3
    text = runner.invoke(app, ["documents", "report", "-C", str(workspace.home.root)])
    assert "report" in text.output
    assert "broken" not in text.output


def test_a_document_not_read_yet_is_named(workspace: Workspace) -> None:
    later = workspace.home.root / "documents" / "later.pdf"
    later.write_bytes(b"%PDF-1.4")
    try:
        shown = runner.invoke(app, ["documents", "-C", str(workspace.home.root), "--json"])
    finally:
        later.unlink()
    assert json.loads(shown.stdout)["waiting"] == [str(later)]
