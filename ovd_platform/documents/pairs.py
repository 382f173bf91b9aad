"""The pair dataset: which image-text pairs are good enough to train on, and why the others are not.

Belongs here: filters, duplicates, version, report, tables. Does not belong here: extraction, training, splits.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.duplicates import difference_hash, near_pairs, thumbnail
from ovd_platform.documents.outcome import pair_from_dict
from ovd_platform.documents.pair_images import read_image
from ovd_platform.errors import DataError, StaleError, UnreadableDocumentError
from ovd_platform.records.pair import FigureKind, Pair
from ovd_platform.stores.home import atomic_path, content_hash, file_hash

if TYPE_CHECKING:
    import pyarrow as pa

MINIMUM_CONFIDENCE = 0.5
MINIMUM_SIDE_PX = 32
_SAME_BITS = 12
_SAME_CORRELATION = 0.97


@dataclass(frozen=True, slots=True)
class PairDataset:
    """Pairs to train on.

    Attributes:
        kept: Good pairs, sorted by id.
        rejected: Reason by pair id.
        version: Content hash of images and words of the kept pairs; equal content has an equal version.
        report: Counts by kind, modality, language, document and reason; plain JSON values.
    """

    kept: list[Pair]
    rejected: dict[str, str]
    version: str
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Looks:
    """What is kept of an image to compare it."""

    digest: str
    hash_b: NDArray[np.uint8]
    thumb: NDArray[np.float32]


def build_pair_dataset(
    pairs: Sequence[Pair],
    images_dir: Path,
    *,
    minimum_confidence: float = MINIMUM_CONFIDENCE,
    kinds: Sequence[FigureKind] = ("satellite",),
    minimum_side_px: int = MINIMUM_SIDE_PX,
    progress: Callable[[int, int, str], None] | None = None,
) -> PairDataset:
    """Filter pairs and remove duplicates.

    Of images that look the same (difference hash and correlation, per modality) the one with the most trusted words stays.

    Args:
        pairs: From any number of documents.
        images_dir: Root of the extracted images.
        minimum_confidence: Pairs below are rejected, [0, 1].
        kinds: Kinds to keep.
        minimum_side_px: Images with a shorter side are rejected.
        progress: Told (done, total, what) while images are read.

    Returns:
        A dataset that does not depend on the order of `pairs`.
    """
    ordered = sorted({pair.pair_id: pair for pair in pairs}.values(), key=lambda pair: pair.pair_id)
    rejected: dict[str, str] = {}
    candidates: list[tuple[Pair, _Looks]] = []
    for done, pair in enumerate(ordered, start=1):
        reason = _unfit(pair, minimum_confidence, kinds)
        looks = None if reason else _looks(images_dir / pair.image_path, minimum_side_px)
        if isinstance(looks, _Looks):
            candidates.append((pair, looks))
        else:
            rejected[pair.pair_id] = reason or str(looks)
        if progress is not None and (done % 100 == 0 or done == len(ordered)):
            progress(done, len(ordered), "pairs")
    rejected.update(_duplicates(candidates))
    good = [(pair, looks) for pair, looks in candidates if pair.pair_id not in rejected]
    version = content_hash(
        [[pair.pair_id, looks.digest, pair.caption, pair.label, pair.context, pair.modality] for pair, looks in good]
    )
    kept = [pair for pair, _ in good]
    return PairDataset(kept, rejected, version, _report(ordered, kept, rejected))


def _unfit(pair: Pair, minimum_confidence: float, kinds: Sequence[FigureKind]) -> str:
    if pair.kind not in kinds:
        return f"kind {pair.kind}"
    if not pair.caption.strip():
        return "no caption"
    if pair.confidence < minimum_confidence:
        return f"confidence below {minimum_confidence:g}"
    return ""


def _looks(path: Path, minimum_side_px: int) -> _Looks | str:
    """What an image looks like, or why it cannot be used."""
    try:
        array = read_image(path)
    except StaleError:
        return "image file is gone"
    except UnreadableDocumentError:
        return "image file is broken"
    if min(array.shape[:2]) < minimum_side_px:
        return f"shorter side below {minimum_side_px} px"
    return _Looks(file_hash(path), difference_hash(array), thumbnail(array))


def _duplicates(candidates: Sequence[tuple[Pair, _Looks]]) -> dict[str, str]:
    """Reasons for all but the most trusted of each group of equal images."""
    if len(candidates) < 2:
        return {}
    rejected: dict[str, str] = {}
    rank = {
        pair.pair_id: position
        for position, (pair, _) in enumerate(
            sorted(candidates, key=lambda item: (-item[0].confidence, -len(item[0].caption), item[0].pair_id))
        )
    }
    close = near_pairs(np.stack([looks.hash_b for _, looks in candidates]), _SAME_BITS)
    edges = []
    for i, j in close:
        (first, a), (second, b) = candidates[i], candidates[j]
        alike = a.digest == b.digest or float((a.thumb * b.thumb).sum()) >= _SAME_CORRELATION
        if alike and first.modality == second.modality:
            better, worse = sorted((first.pair_id, second.pair_id), key=lambda pair_id: rank[pair_id])
            edges.append((rank[better], rank[worse], better, worse))
    for _, _, better, worse in sorted(edges):
        if better not in rejected and worse not in rejected:
            rejected[worse] = f"duplicate of {better}"
    return rejected


def _report(pairs: Sequence[Pair], kept: Sequence[Pair], rejected: dict[str, str]) -> dict[str, Any]:
    reasons = Counter("duplicate" if reason.startswith("duplicate of") else reason for reason in rejected.values())
    return {
        "pairs": len(pairs),
        "kept": len(kept),
        "documents": len({pair.document_id for pair in pairs}),
        "documents_kept": len({pair.document_id for pair in kept}),
        "captioned": sum(bool(pair.caption) for pair in pairs),
        "by_kind": dict(sorted(Counter(pair.kind for pair in pairs).items())),
        "kept_by_modality": dict(sorted(Counter(pair.modality for pair in kept).items())),
        "kept_by_language": dict(sorted(Counter(pair.language for pair in kept).items())),
        "rejected_by_reason": dict(sorted(reasons.items())),
        "mean_confidence_kept": round(float(np.mean([pair.confidence for pair in kept])), 3) if kept else None,
    }


def pairs_to_table(pairs: Sequence[Pair]) -> "pa.Table":
    """Arrow table with one row a pair and one column a field; `pairs_from_table` is its inverse."""
    import pyarrow as pa

    return pa.Table.from_pylist([asdict(pair) for pair in pairs], schema=_schema())


def _schema() -> "pa.Schema":
    import pyarrow as pa

    types: dict[str, Any] = {
        "page": pa.int32(),
        "box_page_xyxy": pa.list_(pa.float64(), 4),
        "callouts": pa.list_(pa.string()),
        "confidence": pa.float64(),
    }
    return pa.schema([(field.name, types.get(field.name, pa.string())) for field in fields(Pair)])


def pairs_from_table(table: "pa.Table") -> list[Pair]:
    """Pairs of a table.

    Raises:
        DataError: If columns are missing.
    """
    missing = {field.name for field in fields(Pair)} - set(table.column_names)
    if missing:
        raise DataError(
            f"Cannot read pairs: expected one column a field, got none for {sorted(missing)}. Extract the documents again."
        )
    return [pair_from_dict(row) for row in table.select([field.name for field in fields(Pair)]).to_pylist()]


def write_pairs(path: Path, pairs: Sequence[Pair]) -> Path:
    """Write pairs as parquet, atomically."""
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        pq.write_table(pairs_to_table(pairs), temporary)
    return path


def read_pairs(path: Path) -> list[Pair]:
    """Read pairs from parquet.

    Raises:
        StaleError: If the file does not exist.
    """
    import pyarrow.parquet as pq

    if not path.is_file():
        raise StaleError(f"Cannot read pairs from {path}: expected a materialized table, found nothing. Run `ovd run`.")
    return pairs_from_table(pq.read_table(path))
