"""Writing an archive. Belongs here: one pass over a scene into one `.ovdx` directory, complete or not there at all."""

import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ovd_platform.archive.policy import CodecPolicy, full_scale, lossless_reasons, signal_bits
from ovd_platform.archive.quality import fidelity
from ovd_platform.errors import InputError
from ovd_platform.raster.archive_index import DATA_NAME, INDEX_NAME, ArchiveIndex, TileEntry, check_coverage
from ovd_platform.raster.codec import Codec, bits_needed, decode, encode, lossless_codec, same_bytes
from ovd_platform.raster.scene import ARCHIVE_SUFFIX, Scene
from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.tile import TileRecord
from ovd_platform.records.window import Window

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class ArchiveResult:
    """What was written.

    Attributes:
        path: The `.ovdx` directory.
        version: Content version of the archive.
        scene_id: The scene.
        tiles: Tiles in all.
        lossless_tiles: Tiles that decode exactly.
        lossy_tiles: Tiles that decode within the policy.
        fallback_tiles: Tiles meant to be lossy that the policy refused; stored lossless.
        raw_bytes: Bytes of the pixels uncompressed.
        archive_bytes: Bytes of the tiles in the archive.
    """

    path: Path
    version: str
    scene_id: str
    tiles: int
    lossless_tiles: int
    lossy_tiles: int
    fallback_tiles: int
    raw_bytes: int
    archive_bytes: int

    @property
    def ratio(self) -> float:
        """Uncompressed over archived bytes."""
        return self.raw_bytes / max(1, self.archive_bytes)


@dataclass(frozen=True, slots=True)
class _Coded:
    codec: Codec
    payload: bytes
    reason: str
    distance: float | None = None
    bits: int | None = None


def _code(chip: Chip, record: SceneRecord, reason: str, policy: CodecPolicy) -> _Coded:
    """Encode one core: constant where possible, lossy where allowed and good enough, else lossless."""
    pixels_chw = chip.pixels_chw
    if same_bytes(np.broadcast_to(pixels_chw[:, :1, :1], pixels_chw.shape), pixels_chw):
        return _Coded("constant", encode(pixels_chw, "constant"), reason or "constant")
    bits = signal_bits(record, policy)
    exact = lossless_codec(record.dtype)
    if not reason:
        payload = encode(pixels_chw, "jxl-lossy", bits=bits, distance=policy.distance, effort=policy.effort)
        decoded_chw = decode(payload, "jxl-lossy", record.dtype, (len(pixels_chw), *chip.valid_hw.shape))
        scale = full_scale(record, policy)
        if fidelity(pixels_chw, decoded_chw, chip.valid_hw, scale).within(policy, scale):
            declared = max(bits or 0, bits_needed(pixels_chw))
            return _Coded("jxl-lossy", payload, "background", policy.distance, declared)
        reason = "fidelity"
    payload = encode(pixels_chw, exact, bits=bits)
    declared_exact = max(bits or 0, bits_needed(pixels_chw)) if exact == "jxl-lossless" else None
    return _Coded(exact, payload, reason, None, declared_exact)


def _entry(tile: TileRecord, chip: Chip, coded: _Coded, offset: int) -> tuple[TileEntry, bytes]:
    """Index entry and bytes of a tile with its mask."""
    if chip.valid_hw.all():
        mask, mask_payload = "full", b""
    elif not chip.valid_hw.any():
        mask, mask_payload = "empty", b""
    else:
        mask, mask_payload = "packed", zlib.compress(np.packbits(chip.valid_hw).tobytes(), 6)
    payload = coded.payload + mask_payload
    core = tile.core
    entry = TileEntry(
        row=tile.row,
        col=tile.col,
        window_px=(core.col_px, core.row_px, core.width_px, core.height_px),
        codec=coded.codec,
        distance=coded.distance,
        bits=coded.bits,
        reason=coded.reason,
        mask=mask,
        offset=offset,
        pixel_bytes=len(coded.payload),
        mask_bytes=len(mask_payload),
        sha256=hashlib.sha256(payload).hexdigest(),
    )
    return entry, payload


def _checked_destination(scene: Scene, destination: Path) -> Path:
    if destination.suffix != ARCHIVE_SUFFIX:
        raise InputError(f"Cannot archive to {destination}: expected a path ending in {ARCHIVE_SUFFIX}. Rename it.")
    if Path(scene.record.uri).resolve() == destination.resolve():
        raise InputError(
            f"Cannot archive {scene.record.scene_id} to {destination}: it is read from there. Choose another path."
        )
    return destination


def archive_scene(
    scene: Scene,
    tiles: Sequence[TileRecord],
    protected_windows: Sequence[Window],
    destination: Path,
    policy: CodecPolicy,
    progress: Progress | None = None,
) -> ArchiveResult:
    """Write a scene as one `.ovdx` archive; nothing is deleted and nothing half-written stays.

    Args:
        scene: Open scene.
        tiles: Every tile of its scan in reading order, kept or not: together they hold every pixel.
        protected_windows: Scene pixels that must stay exact (labels, proposals); tiles they touch are lossless.
        destination: Directory to make, ending in `.ovdx`; an archive already there is replaced once the new one is complete.
        policy: The policy.
        progress: Called with (done, total, what).

    Returns:
        What was written. Verify it (`verify.verify_archive`) before trusting it.

    Raises:
        InputError: If the tiles do not cover the scene, or the destination is unusable.
    """
    record = scene.record
    destination = _checked_destination(scene, destination)
    check_coverage(record, [tile.core for tile in tiles])
    reasons = lossless_reasons(record, tiles, protected_windows, policy)
    draft = destination.with_name(f".{destination.name}.{os.getpid()}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        entries = _write_tiles(scene, tiles, reasons, draft / DATA_NAME, policy, progress)
        data_bytes = entries[-1].offset + entries[-1].pixel_bytes + entries[-1].mask_bytes
        index = ArchiveIndex(record, tuple(entries), policy.to_dict(), data_bytes)
        with (draft / INDEX_NAME).open("w", encoding="utf-8") as stream:
            json.dump(index.to_dict(), stream, indent=None, separators=(",", ":"))
            stream.flush()
            os.fsync(stream.fileno())
        _replace_directory(draft, destination)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    lossless = sum(entry.lossless for entry in entries)
    raw_bytes = record.width_px * record.height_px * len(record.bands) * np.dtype(record.dtype).itemsize
    result = ArchiveResult(
        path=destination,
        version=index.version,
        scene_id=record.scene_id,
        tiles=len(entries),
        lossless_tiles=lossless,
        lossy_tiles=len(entries) - lossless,
        fallback_tiles=sum(entry.reason == "fidelity" for entry in entries),
        raw_bytes=raw_bytes,
        archive_bytes=data_bytes,
    )
    logger.info("%s: archived %d tiles, %d lossy, ratio %.2f", record.scene_id, len(entries), result.lossy_tiles, result.ratio)
    return result


def _write_tiles(
    scene: Scene,
    tiles: Sequence[TileRecord],
    reasons: Sequence[str],
    path: Path,
    policy: CodecPolicy,
    progress: Progress | None,
) -> list[TileEntry]:
    entries: list[TileEntry] = []
    offset = 0
    with path.open("wb") as stream:
        for tile, reason in zip(tiles, reasons, strict=True):
            chip = scene.read(tile.core)
            entry, payload = _entry(tile, chip, _code(chip, scene.record, reason, policy), offset)
            stream.write(payload)
            offset += len(payload)
            entries.append(entry)
            if progress is not None:
                progress(len(entries), len(tiles), f"archiving {scene.record.scene_id}")
        stream.flush()
        os.fsync(stream.fileno())
    return entries


def _replace_directory(draft: Path, destination: Path) -> None:
    """Put the finished draft in place; an older archive is only removed after the new one carries its name."""
    retired = destination.with_name(f".{destination.name}.{os.getpid()}.retired")
    if destination.exists():
        destination.rename(retired)
    draft.rename(destination)
    shutil.rmtree(retired, ignore_errors=True)
