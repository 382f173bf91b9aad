"""The pair dataset: which image-text pairs are good enough to train on, and why the others are not.

Belongs here: filters, duplicates, balance, version, tables. Does not belong here: extraction, training, splits, the report (pair_report).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.duplicates import difference_hash, near_pairs, similar_pairs, thumbnail
from ovd_platform.documents.kind import Judgement
from ovd_platform.documents.outcome import pair_from_dict
from ovd_platform.documents.pair_images import read_image
from ovd_platform.documents.pair_report import report_of
from ovd_platform.errors import DataError, StaleError, UnreadableDocumentError
from ovd_platform.records.pair import FigureKind, Pair
from ovd_platform.stores.home import atomic_path, content_hash, file_hash

if TYPE_CHECKING:
    import pyarrow as pa

MINIMUM_CONFIDENCE = 0.5
MINIMUM_SIDE_PX = 32
MOST_OF_SAME_WORDS = 24
MOST_OF_ONE_DOCUMENT = 0.5
_FEWEST_TO_BALANCE = 64
_SAME_BITS = 12
_SAME_CORRELATION = 0.97
_SAME_COSINE = 0.97
_ALIKE_CORRELATION = 0.9

Embed = Callable[[Sequence[NDArray[Any]]], NDArray[np.float32]]
Judge = Callable[[Pair, NDArray[Any], NDArray[np.float32] | None], Judgement]


@dataclass(frozen=True, slots=True)
class PairDataset:
    """Pairs to train on.

    Attributes:
        kept: Good pairs, sorted by id.
        rejected: Reason by pair id.
        version: Content hash of images and words of the kept pairs; equal content has an equal version.
        report: Counts by kind, modality, language, document and reason; plain JSON values.
        judged: All pairs with their kind as judged here, sorted by id.
    """

    kept: list[Pair]
    rejected: dict[str, str]
    version: str
    report: dict[str, Any]
    judged: list[Pair]


@dataclass(frozen=True, slots=True)
class _Looks:
    """What is kept of an image to compare it."""

    digest: str
    hash_b: NDArray[np.uint8]
    thumb: NDArray[np.float32]
    embedding_d: NDArray[np.float32] | None


def build_pair_dataset(
    pairs: Sequence[Pair],
    images_dir: Path,
    *,
    minimum_confidence: float = MINIMUM_CONFIDENCE,
    kinds: Sequence[FigureKind] = ("satellite",),
    minimum_side_px: int = MINIMUM_SIDE_PX,
    embed: Embed | None = None,
    judge: Judge | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> PairDataset:
    """Filter pairs, remove duplicates, and keep one document or one sentence from drowning the others.

    Of images that look the same (difference hash and correlation, or embedding and correlation; per modality) the one with the most
    trusted words stays.

    Args:
        pairs: From any number of documents.
        images_dir: Root of the extracted images.
        minimum_confidence: Pairs below are rejected, [0, 1].
        kinds: Kinds to keep.
        minimum_side_px: Images with a shorter side are rejected.
        embed: Unit vectors of images, for duplicates that were scaled, cut or printed anew; None compares hashes alone.
        judge: Says anew what an image is (the trained classifier), given its pair, pixels and vector; None keeps the extractor's word.
        progress: Told (done, total, what) while images are read.

    Returns:
        A dataset that does not depend on the order of `pairs`.
    """
    ordered = sorted({pair.pair_id: pair for pair in pairs}.values(), key=lambda pair: pair.pair_id)
    rejected: dict[str, str] = {}
    judged: list[Pair] = []
    candidates: list[tuple[Pair, _Looks]] = []
    for done, given in enumerate(ordered, start=1):
        pair, looks = _seen(given, images_dir, minimum_side_px, embed, judge)
        judged.append(pair)
        reason = _unfit(pair, minimum_confidence, kinds)
        if isinstance(looks, _Looks) and not reason:
            candidates.append((pair, looks))
        else:
            rejected[pair.pair_id] = reason or str(looks)
        if progress is not None and (done % 100 == 0 or done == len(ordered)):
            progress(done, len(ordered), "pairs")
    rejected.update(_duplicates(candidates))
    rejected.update(_surplus([pair for pair, _ in candidates if pair.pair_id not in rejected]))
    good = [(pair, looks) for pair, looks in candidates if pair.pair_id not in rejected]
    version = content_hash(
        [[pair.pair_id, looks.digest, pair.caption, pair.label, pair.context, pair.modality] for pair, looks in good]
    )
    kept = [pair for pair, _ in good]
    return PairDataset(kept, rejected, version, report_of(judged, kept, rejected), judged)


def _seen(
    pair: Pair, images_dir: Path, minimum_side_px: int, embed: Embed | None, judge: Judge | None
) -> tuple[Pair, _Looks | str]:
    """The pair with its kind as judged, and what its image looks like or why it cannot be used."""
    path = images_dir / pair.image_path
    try:
        array = read_image(path)
    except StaleError:
        return pair, "image file is gone"
    except UnreadableDocumentError:
        return pair, "image file is broken"
    vector = embed([array])[0] if embed is not None else None
    if judge is not None:
        said = judge(pair, array, vector)
        pair = replace(pair, kind=said.kind, modality=said.modality, evidence=f"{pair.evidence}; {said.kind} ({said.reason})")
    if min(array.shape[:2]) < minimum_side_px:
        return pair, f"shorter side below {minimum_side_px} px"
    return pair, _Looks(file_hash(path), difference_hash(array), thumbnail(array), vector)


def _unfit(pair: Pair, minimum_confidence: float, kinds: Sequence[FigureKind]) -> str:
    if pair.kind not in kinds:
        return f"kind {pair.kind}"
    if not pair.caption.strip():
        return "no caption"
    if pair.confidence < minimum_confidence:
        return f"confidence below {minimum_confidence:g}"
    return ""


def _duplicates(candidates: Sequence[tuple[Pair, _Looks]]) -> dict[str, str]:
    """Reasons for all but the most trusted of each group of equal images."""
    if len(candidates) < 2:
        return {}
    rejected: dict[str, str] = {}
    order = sorted(candidates, key=lambda item: (-item[0].confidence, -len(item[0].caption), item[0].pair_id))
    rank = {pair.pair_id: position for position, (pair, _) in enumerate(order)}
    edges = []
    for i, j in _alike(candidates):
        (first, _), (second, _) = candidates[i], candidates[j]
        if first.modality == second.modality:
            better, worse = sorted((first.pair_id, second.pair_id), key=lambda pair_id: rank[pair_id])
            edges.append((rank[better], rank[worse], better, worse))
    for _, _, better, worse in sorted(edges):
        if better not in rejected and worse not in rejected:
            rejected[worse] = f"duplicate of {better}"
    return rejected


def _alike(candidates: Sequence[tuple[Pair, _Looks]]) -> set[tuple[int, int]]:
    """Index pairs of images that look the same, by hash or by embedding; the thumbnails must agree in both cases."""
    looks = [looks for _, looks in candidates]
    found = set()
    for i, j in near_pairs(np.stack([item.hash_b for item in looks]), _SAME_BITS):
        if looks[i].digest == looks[j].digest or float((looks[i].thumb * looks[j].thumb).sum()) >= _SAME_CORRELATION:
            found.add((i, j))
    vectors = [item.embedding_d for item in looks if item.embedding_d is not None]
    if len(vectors) == len(looks):
        for i, j in similar_pairs(np.stack(vectors), _SAME_COSINE):
            if float((looks[i].thumb * looks[j].thumb).sum()) >= _ALIKE_CORRELATION:
                found.add((i, j))
    return found


def _surplus(pairs: Sequence[Pair]) -> dict[str, str]:
    """Reasons for the least trusted pairs of a sentence that names many images, and of a document that gives most of all pairs."""
    rejected: dict[str, str] = {}
    trusted = sorted(pairs, key=lambda pair: (-pair.confidence, pair.pair_id))
    by_words: dict[str, int] = defaultdict(int)
    by_document: dict[str, int] = defaultdict(int)
    for pair in trusted:
        words = " ".join(pair.caption.casefold().split())
        by_words[words] += 1
        if by_words[words] > MOST_OF_SAME_WORDS:
            rejected[pair.pair_id] = f"balance: more than {MOST_OF_SAME_WORDS} images with the same words"
        else:
            by_document[pair.document_id] += 1
    if len(by_document) < 2:
        return rejected
    largest = max(by_document, key=lambda document: (by_document[document], document))
    rest = sum(by_document.values()) - by_document[largest]
    most = max(_FEWEST_TO_BALANCE, int(rest * MOST_OF_ONE_DOCUMENT / (1 - MOST_OF_ONE_DOCUMENT)))
    own = [pair for pair in trusted if pair.document_id == largest and pair.pair_id not in rejected]
    rejected.update({pair.pair_id: "balance: its document gives more than half of all pairs" for pair in own[most:]})
    return rejected


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
