"""Documents: PDF buckets -> pairs -> the pair dataset the domain CLIP is trained on."""

import shutil
from collections import defaultdict
from pathlib import Path

from ovd_platform.flow.stage import Built, Inputs, Stage, Task, current_or_none
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import content_hash, file_hash, read_json, write_json

BUCKETS = 64


def documents_by_bucket(ws: Workspace) -> dict[str, list[Path]]:
    """Documents of the workspace by bucket name (``00`` .. ``63``); empty buckets are left out."""
    from ovd_platform.documents.buckets import document_bucket
    from ovd_platform.documents.opening import document_slug

    found: dict[str, list[Path]] = defaultdict(list)
    for path in ws.document_files():
        found[bucket_name(document_bucket(document_slug(path), BUCKETS))].append(path)
    return dict(found)


def bucket_name(number: int) -> str:
    """Partition key of a bucket."""
    return f"{number:02d}"


def _pairs_inputs(ws: Workspace, modality: str, bucket: str) -> Inputs:
    config = ws.config
    settings = {"words in pixels": config.document_words, "passwords": content_hash(config.document_passwords)}
    # By hash: two folders may hold files of one name, and a renamed file has other ids.
    return settings | {f"{path.name} {file_hash(path)}": file_hash(path) for path in documents_by_bucket(ws).get(bucket, [])}


def _build_pairs(task: Task) -> Built:
    import pyarrow.parquet as pq

    from ovd_platform.documents.buckets import extract_bucket
    from ovd_platform.documents.outcome import DocumentOutcome
    from ovd_platform.documents.pairs import pairs_to_table
    from ovd_platform.flow.guard import document_worker

    images = task.folder / "images"
    before = current_or_none(task.ws, "shared", "pdf_pairs", task.partition)
    previous = []
    if before is not None and (before.folder / "images").is_dir():
        shutil.copytree(before.folder / "images", images)
        previous = [DocumentOutcome.from_dict(values) for values in read_json(before.folder / "documents.json")]
    images.mkdir(exist_ok=True)
    paths = documents_by_bucket(task.ws).get(task.partition, [])
    config = task.ws.config
    outcomes = extract_bucket(
        paths,
        images,
        previous,
        passwords=config.document_passwords,
        words=config.document_words,
        seconds=config.document_seconds,
        worker=document_worker(task.ws),
    )
    _drop_unused(images, {pair.image_path for outcome in outcomes for pair in outcome.pairs})
    pairs = [pair for outcome in outcomes for pair in outcome.pairs]
    pq.write_table(pairs_to_table(pairs), task.folder / "pairs.parquet")
    failed = {outcome.document_id: outcome.error for outcome in outcomes if outcome.error}
    write_json(task.folder / "documents.json", [outcome.to_dict() for outcome in outcomes])
    return Built(
        {"documents": len(outcomes), "pairs": len(pairs), "failed": len(failed), "errors": "; ".join(map(str, failed.values()))}
    )


def _drop_unused(images: Path, used: set[str]) -> None:
    """Remove images of documents that are gone or look different now."""
    for path in images.rglob("*.png"):
        if path.relative_to(images).as_posix() not in used:
            path.unlink()
    for folder in images.iterdir():
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


PDF_PAIRS = Stage("pdf_pairs", "3", _pairs_inputs, _build_pairs)
