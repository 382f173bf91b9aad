"""What evaluation holds answers against: the exact truth of the rendered world where there is one, else the labels."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ovd_platform.flow.labels import load_annotations_of
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.annotation import Annotation
from ovd_platform.stores.home import content_hash, file_hash, read_json

ODD, USUAL = "odd context", "usual context"
_LEAST_VISIBLE = 0.5


def _folder(ws: Workspace) -> Path | None:
    if ws.config.truth is None:
        return None
    path = Path(ws.config.truth)
    return path if path.is_absolute() else ws.home.root / path


def truth_version(ws: Workspace) -> str:
    """Content hash of the truth files; "none" where labels are the truth."""
    folder = _folder(ws)
    return "none" if folder is None else content_hash([file_hash(path) for path in sorted(folder.glob("*.json"))])


def load_truth(ws: Workspace, modality: str) -> dict[str, list[Annotation]]:
    """True objects by scene id; scenes nobody labelled are absent, those without any object hold an empty list."""
    folder = _folder(ws)
    if folder is None:
        found: dict[str, list[Annotation]] = {}
        for one in load_annotations_of(ws, modality):
            found.setdefault(one.scene_id, []).append(one)
        return {**{scene_id: [] for scene_id in negative_scenes(ws, modality)}, **found}
    ids = {record.scene_id for record in ws.scenes(modality)}
    return {
        path.stem: [_annotation(path.stem, i, row) for i, row in enumerate(_rows(path))]
        for path in sorted(folder.glob("*.json"))
        if path.stem in ids
    }


def negative_scenes(ws: Workspace, modality: str) -> list[str]:
    """Scenes that people looked through and found empty (`evaluation.negative_scenes`): labels cannot say so, they only lack."""
    patterns = ws.config.evaluation.negative_scenes
    return [one.scene_id for one in ws.scenes(modality) if any(fnmatchcase(one.scene_id, pattern) for pattern in patterns)]


def truth_contexts(ws: Workspace) -> dict[str, str]:
    """Whether the surroundings of each rendered object are odd for its class (a ship on land), by annotation id.

    Empty without such truth: nobody told the labels of real scenes apart.
    """
    folder = _folder(ws)
    if folder is None:
        return {}
    return {
        _identity(path.stem, i): ODD if row.get("odd") else USUAL
        for path in sorted(folder.glob("*.json"))
        for i, row in enumerate(_rows(path))
        if "odd" in row
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    values = read_json(path)
    return list(values.get("objects", [])) if isinstance(values, dict) else []


def _identity(scene_id: str, index: int) -> str:
    return f"truth:{scene_id}:{index}"


def _annotation(scene_id: str, index: int, row: dict[str, Any]) -> Annotation:
    corners = tuple((float(x), float(y)) for x, y in row["corners_scene_xy"])
    hidden = float(row.get("visible_fraction", 1.0)) < _LEAST_VISIBLE
    return Annotation(
        _identity(scene_id, index), scene_id, str(row["class_name"]), corners, source="rendered", difficult=hidden
    )
