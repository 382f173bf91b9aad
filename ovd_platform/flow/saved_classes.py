"""Searches that are kept: a saved search is a class, and on a watchlist it is looked for in every new scene.

Belongs here: keeping marks, the stage that fits the kept classes, the per-scene stage that looks for them. Does not belong here: fitting
(`detect.marked`), search (`query`).

A class is one small file under ``saved/<modality>/``: its words, and boxes of scenes marked right and wrong. Everything else is made from
it, by stages: a class outlives encoders and is fitted again for a new one. Looking for kept classes is a stage of its own, so that keeping
one touches neither detections nor releases.
"""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ovd_platform.errors import InputError
from ovd_platform.flow import models
from ovd_platform.flow.query import CHIP_OF_SCENE, Question, chip_vectors
from ovd_platform.flow.scenes import load_rows
from ovd_platform.flow.serving import served_encoder
from ovd_platform.flow.stage import Built, Inputs, Stage, Task, current, current_or_none, partitions_of, version_of
from ovd_platform.flow.tables import vector_tables
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.prompt import Words
from ovd_platform.stores.home import content_hash, file_hash, read_json, write_json

if TYPE_CHECKING:
    from ovd_platform.detect.vocabulary import Vocabulary
    from ovd_platform.records.detection import Detection

CORPUS_SCENES = 12
_NAME = re.compile(r"[a-z0-9][a-z0-9 _.-]{0,63}")
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class SavedClass:
    """A search somebody kept.

    Attributes:
        name: Class name, singular, lower case.
        modality: ``optical`` or ``sar``.
        texts: Its words; none where it was asked by example only.
        right: (scene_id, box) of its objects.
        wrong: (scene_id, box) of what it is not.
        chips: Names of example pictures kept beside the file.
        corpus: Scenes whose other proposals stand for what is not meant.
        watch: Whether new scenes are searched for it.
        saved_utc: When.
    """

    name: str
    modality: str
    texts: tuple[Words, ...] = ()
    right: tuple[tuple[str, Box], ...] = ()
    wrong: tuple[tuple[str, Box], ...] = ()
    chips: tuple[str, ...] = ()
    corpus: tuple[str, ...] = ()
    watch: bool = False
    saved_utc: str = ""


def save_class(ws: Workspace, name: str, question: Question, *, watch: bool = False) -> SavedClass:
    """Keep a question as a class: its words, its chips and its marks.

    Args:
        ws: The workspace.
        name: What the class is called; a class of that name is replaced.
        question: Words, chips and the proposal ids marked right (`Question.liked`) and wrong (`Question.disliked`).
        watch: Look for it in new scenes and report what is found.

    Returns:
        The class as it was kept. The stage `SAVED_CLASSES` fits it.

    Raises:
        InputError: If the name cannot be one, the vocabulary has it already, there is nothing to keep, or a mark cannot be found.
    """
    from ovd_platform.detect.vocabulary import singular

    name, modality = singular(name), question.modality
    if not _NAME.fullmatch(name):
        raise InputError(
            f"Cannot keep a class {name!r}: expected letters, digits, blanks, '_', '.', '-', at most 64. Rename it."
        )
    vocabulary = models.vocabulary(ws)
    if vocabulary.resolve(name) is not None:
        raise InputError(f"Cannot keep a class {name!r}: the vocabulary has it already. Choose another name.")
    texts = ((Words(question.text),) if question.text else ()) + question.texts
    boxed, files = _split_chips(question.chips)
    not_boxed, not_files = _split_chips(question.not_chips)
    if not_files:
        raise InputError(
            f"Cannot keep {not_files[0]} as what {name} is not: expected SCENE:x0,y0,x1,y1, got a file. Mark answers wrong."
        )
    right = (*boxed, *_boxes_of(ws, modality, question.liked))
    wrong = (*not_boxed, *_boxes_of(ws, modality, question.disliked))
    if not (any(words.weight > 0 for words in texts) or right or files):
        raise InputError(f"Cannot keep a class {name!r}: expected words, examples or answers marked right, got none.")
    folder = _folder(ws, modality)
    kept = SavedClass(
        name, modality, texts, right, wrong, tuple(_keep_chip(folder, name, i, path) for i, path in enumerate(files)),
        _corpus(ws, modality, {scene for scene, _ in (*right, *wrong)}), watch, datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip
    write_json(_path(ws, modality, name), asdict(kept))
    return kept


def saved_classes(ws: Workspace, modality: str) -> list[SavedClass]:
    """All kept classes of a modality, sorted by name."""
    return [_read(path) for path in sorted(_folder(ws, modality).glob("*.json"))]


def set_watch(ws: Workspace, modality: str, name: str, *, watch: bool) -> SavedClass:
    """Put a kept class on the watchlist, or take it off.

    Raises:
        InputError: If there is no such class.
    """
    path = _path(ws, modality, name)
    if not path.is_file():
        raise InputError(
            f"Cannot watch for {name!r}: expected one of {[one.name for one in saved_classes(ws, modality)]}. Save it first."
        )
    write_json(path, {**read_json(path), "watch": watch})
    return _read(path)


def remove_class(ws: Workspace, modality: str, name: str) -> None:
    """Forget a kept class.

    Raises:
        InputError: If there is no such class.
    """
    path = _path(ws, modality, name)
    if not path.is_file():
        raise InputError(f"Cannot forget {name!r}: expected one of {[one.name for one in saved_classes(ws, modality)]}.")
    for chip in _read(path).chips:
        (path.parent / chip).unlink(missing_ok=True)
    path.unlink()


# --- stage: fit --------------------------------------------------------------------------------------------------------------


def _fit_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    kept = saved_classes(ws, modality)
    scenes = sorted({scene for one in kept for scene in _scenes_of(one)})
    return {
        "classes": content_hash([{**asdict(one), "watch": False} for one in kept]),
        "chips": content_hash([file_hash(_folder(ws, modality) / chip) for one in kept for chip in one.chips]),
        "encoder": models.released(ws, modality)["encoder"],
        "embeddings": content_hash([(scene, version_of(ws, modality, "embeddings", scene, default="")) for scene in scenes]),
    }


def _build_fit(task: Task) -> Built:
    import pyarrow as pa

    from ovd_platform.detect.marked import Marks, fit_marked
    from ovd_platform.detect.prototypes import vocabulary_vectors
    from ovd_platform.detect.vocabulary import save_vocabulary

    ws, modality = task.ws, task.modality
    kept = saved_classes(ws, modality)
    if not kept:
        return Built({"saved_classes": 0}, version=models.NO_MODEL)
    vocabulary = vocabulary_of(ws, modality)
    scenes = sorted({scene for one in kept for scene in _scenes_of(one)})
    embedded = [current_or_none(ws, modality, "embeddings", scene) for scene in scenes]
    tables = [load_rows(output.folder) for output in embedded if output is not None]
    rows = pa.concat_tables(
        [table for table in tables if _encoders(table) <= {task.inputs["encoder"]}], promote_options="default"
    )
    encoder = models.encoder(ws, modality, task.inputs["encoder"])
    text = background = None
    if "language" in rows.column_names:
        text, background = vocabulary_vectors(vocabulary, encoder.embed_text)
        np.save(task.folder / "text_vectors.npy", text)
    folder = _folder(ws, modality)
    chips = {one.name: chip_vectors(ws, modality, encoder, tuple(str(folder / chip) for chip in one.chips)) for one in kept}
    calibration = fit_marked(
        rows, {one.name: Marks(one.right, one.wrong) for one in kept}, vocabulary, text, background,
        chips={name: vectors for name, vectors in chips.items() if vectors is not None},
        wordless=[one.name for one in kept if not one.texts], seed=ws.config.seed,
    )  # fmt: skip
    calibration.save(task.folder)
    save_vocabulary(vocabulary, task.folder / "vocabulary.yaml")
    facts = {
        entry.name: {"marks": entry.positives, "kind": entry.kind, "precision": entry.precision}
        for entry in calibration.classes
    }
    return Built({"saved_classes": len(kept), "fitted": json.dumps(facts, sort_keys=True)}, version=calibration.version)


SAVED_CLASSES = Stage("saved_classes", "1", _fit_inputs, _build_fit)


def vocabulary_of(ws: Workspace, modality: str) -> "Vocabulary":
    """Kept classes as a vocabulary: category ids go on where the workspace's own end."""
    from ovd_platform.detect.vocabulary import Vocabulary, VocabularyClass

    own = models.vocabulary(ws)
    first = max((entry.coco_id for entry in own.classes), default=0) + 1
    classes = tuple(
        VocabularyClass(one.name, tuple(words.text for words in one.texts if words.weight > 0) or (one.name,), (), first + i)
        for i, one in enumerate(saved_classes(ws, modality))
    )
    return Vocabulary(classes, own.background, own.target_precision)


# --- stage: look for them ----------------------------------------------------------------------------------------------------


def _watch_inputs(ws: Workspace, modality: str, scene_id: str) -> Inputs:
    return {
        "embeddings": version_of(ws, modality, "embeddings", scene_id),
        "saved_classes": version_of(ws, modality, "saved_classes", default=models.NO_MODEL),
        "watched": content_hash([one.name for one in saved_classes(ws, modality) if one.watch]),
        "release": models.released(ws, modality)["version"],
    }


def _build_watch(task: Task) -> Built:
    import pyarrow.parquet as pq

    from ovd_platform.detect.calibration import load_calibration
    from ovd_platform.detect.export import detections_to_table, write_geojson
    from ovd_platform.detect.marked import detect_saved
    from ovd_platform.detect.vocabulary import load_vocabulary

    ws, modality, scene_id = task.ws, task.modality, task.partition
    found: list[Detection] = []
    if task.inputs["saved_classes"] != models.NO_MODEL:
        fitted = current(ws, modality, "saved_classes").folder
        text = np.load(fitted / "text_vectors.npy") if (fitted / "text_vectors.npy").is_file() else None
        rows = load_rows(current(ws, modality, "embeddings", scene_id).folder)
        vocabulary = load_vocabulary(fitted / "vocabulary.yaml")
        found = detect_saved(
            rows, ws.scene(modality, scene_id), vocabulary, load_calibration(fitted), text, task.inputs["release"]
        )
    pq.write_table(detections_to_table(found), task.folder / "detections.parquet")
    watched = {one.name for one in saved_classes(ws, modality) if one.watch}
    alerts = [detection for detection in found if detection.accepted and detection.class_name in watched]
    write_geojson(task.folder / "alerts.geojson", alerts)
    counts = {name: sum(1 for detection in alerts if detection.class_name == name) for name in sorted(watched)}
    return Built({"detections": len(found), "alerts": len(alerts), "watched": json.dumps(counts, sort_keys=True)})


WATCH = Stage("watch", "1", _watch_inputs, _build_watch)


def alerts(ws: Workspace, modality: str, *, since_utc: str = "") -> list[tuple[str, "Detection"]]:
    """What was found of watched classes, newest look first, as (time of the look, detection).

    Args:
        ws: The workspace.
        modality: ``optical`` or ``sar``.
        since_utc: Only scenes that were looked at since then, ISO 8601; "" for all.
    """
    import pyarrow.parquet as pq

    from ovd_platform.detect.export import detections_from_table

    watched = {one.name for one in saved_classes(ws, modality) if one.watch}
    outputs = [current(ws, modality, "watch", scene_id) for scene_id in partitions_of(ws, modality, "watch")]
    found = []
    for output in sorted(outputs, key=lambda one: one.made_utc, reverse=True):
        if output.made_utc >= since_utc:
            detections = detections_from_table(pq.read_table(output.folder / "detections.parquet"))
            found += [(output.made_utc, one) for one in detections if one.accepted and one.class_name in watched]
    return found


# --- inside ------------------------------------------------------------------------------------------------------------------


def _folder(ws: Workspace, modality: str) -> Path:
    folder = ws.home.root / "saved" / modality
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _path(ws: Workspace, modality: str, name: str) -> Path:
    return _folder(ws, modality) / f"{name.replace(' ', '_')}.json"


def _read(path: Path) -> SavedClass:
    values: dict[str, Any] = read_json(path)
    for side in ("right", "wrong"):
        values[side] = tuple((scene, tuple(box)) for scene, box in values[side])
    values["texts"] = tuple(Words(**words) for words in values["texts"])
    return SavedClass(**{**values, "chips": tuple(values["chips"]), "corpus": tuple(values["corpus"])})


def _scenes_of(kept: SavedClass) -> set[str]:
    return {scene for scene, _ in (*kept.right, *kept.wrong)} | set(kept.corpus)


def _encoders(rows: Any) -> set[str]:
    return set(rows["model_version"].to_pylist())


def _split_chips(chips: Sequence[str]) -> tuple[tuple[tuple[str, Box], ...], tuple[Path, ...]]:
    boxed, files = [], []
    for chip in chips:
        match = CHIP_OF_SCENE.match(chip)
        if match and not Path(chip).exists():
            x0, y0, x1, y1 = (float(value) for value in match["box"].split(","))
            boxed.append((match["scene"], (x0, y0, x1, y1)))
        else:
            files.append(Path(chip))
    return tuple(boxed), tuple(files)


def _keep_chip(folder: Path, name: str, index: int, path: Path) -> str:
    if not path.is_file():
        raise InputError(f"Cannot keep the example {path}: expected an image file or SCENE:x0,y0,x1,y1, found neither.")
    kept = f"{name.replace(' ', '_')}-{index}{path.suffix.lower()}"
    shutil.copyfile(path, folder / kept)
    return kept


def _boxes_of(ws: Workspace, modality: str, proposal_ids: Sequence[str]) -> tuple[tuple[str, Box], ...]:
    from ovd_platform.stores.tables import sql_text

    if not proposal_ids:
        return ()
    version = served_encoder(ws, modality)
    among = f"key IN ({', '.join(sql_text(one) for one in proposal_ids)})"
    rows = vector_tables(ws).read("proposal", modality, version, among, ["key", "scene_id", "x0", "y0", "x1", "y1"])
    place = {row["key"]: (row["scene_id"], (row["x0"], row["y0"], row["x1"], row["y1"])) for row in rows.to_pylist()}
    lost = [one for one in proposal_ids if one not in place]
    if lost:
        raise InputError(
            f"Cannot keep the marks {lost[:3]}: expected answers of a search, got other ids. Search again and mark those."
        )
    return tuple(place[one] for one in proposal_ids)


def _corpus(ws: Workspace, modality: str, marked: set[str]) -> tuple[str, ...]:
    """Scenes that stand for the corpus: those with marks and others, evenly over the list."""
    embedded = [scene for scene in partitions_of(ws, modality, "embeddings") if scene not in marked]
    step = max(1, len(embedded) // CORPUS_SCENES)
    return tuple(sorted({*marked, *embedded[::step][:CORPUS_SCENES]}))
