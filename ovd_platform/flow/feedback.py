"""What people said of answers: one record a mark, appended, never changed.

Belongs here: keeping and reading marks. Does not belong here: learning from them (`search.feedback`), classes made of them
(`saved_classes`).

A mark names the object by scene, version and box, so that it outlives encoders; the question it answered stands beside it. Marking an
object again replaces what was said: the last record counts, and a withdrawn mark is a record as well.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.prompt import Hit

Verdict = Literal["right", "wrong", "none"]


@dataclass(frozen=True, slots=True)
class Mark:
    """One judgement of a person.

    Attributes:
        verdict: Whether the object is what was asked for; ``none`` withdraws an earlier mark.
        modality: ``optical`` or ``sar``.
        proposal_id: The object.
        scene_id: Its scene.
        scene_version: Version of the scene's pixels.
        box_scene_xyxy: Scene pixels.
        question: What was asked, as the API takes it.
        encoder: Encoder version that answered.
        score: Rank value of the answer.
        made_utc: When it was marked, ISO 8601.
    """

    verdict: Verdict
    modality: str
    proposal_id: str
    scene_id: str
    scene_version: str
    box_scene_xyxy: tuple[float, float, float, float]
    question: Mapping[str, Any]
    encoder: str
    score: float
    made_utc: str


def keep_mark(ws: Workspace, modality: str, hit: Hit, verdict: Verdict, question: Mapping[str, Any]) -> Mark:
    """Append a mark to the workspace's records; safe for several processes.

    Args:
        ws: The workspace.
        modality: ``optical`` or ``sar``.
        hit: The answer that was judged.
        verdict: What was said.
        question: JSON form of what was asked.
    """
    from filelock import FileLock

    made = datetime.now(UTC).isoformat(timespec="milliseconds")
    mark = Mark(
        verdict, modality, hit.proposal_id, hit.scene_id, hit.scene_version, hit.box_scene_xyxy, dict(question),
        hit.model_version, hit.score, made,
    )  # fmt: skip
    path = _path(ws, modality)
    with FileLock(str(path) + ".lock"), path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(mark), sort_keys=True) + "\n")
    return mark


def marks(ws: Workspace, modality: str) -> list[Mark]:
    """Every mark that was made, oldest first; a line that was cut off by a crash is skipped."""
    path = _path(ws, modality)
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        found.append(Mark(**{**values, "box_scene_xyxy": tuple(values["box_scene_xyxy"])}))
    return found


def last_verdicts(ws: Workspace, modality: str, text: str | None = None) -> dict[str, Verdict]:
    """What counts of each object: the last mark, by proposal id; withdrawn ones are left out.

    Args:
        ws: The workspace.
        modality: ``optical`` or ``sar``.
        text: Only marks of questions with these words; None takes all.
    """
    last: dict[str, Verdict] = {}
    for mark in marks(ws, modality):
        if text is None or mark.question.get("text", "") == text:
            last[mark.proposal_id] = mark.verdict
    return {name: verdict for name, verdict in last.items() if verdict != "none"}


def _path(ws: Workspace, modality: str) -> Path:
    folder = ws.home.root / "feedback"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{modality}.jsonl"
