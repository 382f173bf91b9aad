"""Decode every tile of an archive and compare it with the original. Belongs here: judging; deletion is `age_off`'s."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ovd_platform.archive.policy import CodecPolicy, full_scale
from ovd_platform.archive.quality import fidelity
from ovd_platform.errors import OvdError, VerificationError
from ovd_platform.raster.archive_index import TileEntry
from ovd_platform.raster.archived import ArchivedScene
from ovd_platform.raster.codec import same_bytes
from ovd_platform.raster.scene import Scene

Progress = Callable[[int, int, str], None]

_MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What decoding an archive showed.

    Attributes:
        path: The archive.
        scene_id: The scene.
        scene_version: Version of the pixels it was compared with.
        tiles: Tiles decoded.
        lossless_tiles: Tiles that had to be exact.
        lossy_tiles: Tiles that had to be within the policy.
        max_error: Largest error of a lossy tile, source units.
        worst_psnr_db: PSNR of the worst lossy tile; inf without any.
        problems: What is wrong, the first 20; empty if the archive may stand for the original.
    """

    path: Path
    scene_id: str
    scene_version: str
    tiles: int
    lossless_tiles: int
    lossy_tiles: int
    max_error: float
    worst_psnr_db: float
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the archive may stand for the original."""
        return not self.problems

    def raise_if_failed(self) -> None:
        """Stop here unless everything held.

        Raises:
            VerificationError: With the first problem.
        """
        if self.problems:
            raise VerificationError(
                f"Cannot trust archive {self.path}: expected it to decode to {self.scene_id}, got {len(self.problems)} faults: "
                f"{self.problems[0]}. Nothing was deleted; archive the scene again."
            )


def _describe_mismatch(scene: Scene, archived: ArchivedScene) -> list[str]:
    """Facts of the record that must agree; the uri may differ, because files move."""
    original, held = scene.record, archived.index.record
    facts = ("scene_id", "version", "width_px", "height_px", "bands", "dtype", "nodata", "crs", "transform", "view", "modality")
    return [
        f"{fact} is {getattr(original, fact)!r} in the original and {getattr(held, fact)!r} in the archive"
        for fact in facts
        if getattr(original, fact) != getattr(held, fact)
    ]


class _Comparison:
    """Running result of comparing tiles."""

    def __init__(self, scene: Scene, archived: ArchivedScene) -> None:
        self.scene, self.archived = scene, archived
        self.policy = CodecPolicy.from_dict(archived.index.policy)
        self.scale = full_scale(archived.index.record, self.policy)
        self.is_complex = np.dtype(archived.record.dtype).kind == "c"
        self.max_error, self.worst_psnr_db = 0.0, float("inf")

    def problem(self, entry: TileEntry) -> str:
        """What is wrong with a tile; "" if nothing."""
        name = f"tile {entry.row}/{entry.col}"
        try:
            decoded = self.archived.read(entry.window)
        except OvdError as error:
            return f"{name}: {error}"
        source = self.scene.read(entry.window)
        if not np.array_equal(source.valid_hw, decoded.valid_hw):
            return f"{name}: the validity mask differs in {int((source.valid_hw != decoded.valid_hw).sum())} pixels"
        if entry.lossless:
            exact = same_bytes(source.pixels_chw, decoded.pixels_chw)
            return "" if exact else f"{name}: {entry.codec} pixels differ from the original"
        if self.is_complex:
            return f"{name}: complex pixels are stored lossy"
        found = fidelity(source.pixels_chw, decoded.pixels_chw, source.valid_hw, self.scale)
        self.max_error = max(self.max_error, found.max_error)
        self.worst_psnr_db = min(self.worst_psnr_db, found.psnr_db)
        if found.within(self.policy, self.scale):
            return ""
        return f"{name}: PSNR {found.psnr_db:.1f} dB and error {found.max_error:.0f} are outside of the policy"


def verify_archive(scene: Scene, archive_path: Path, progress: Progress | None = None) -> VerifyReport:
    """Decode everything and compare: lossless tiles bit for bit, lossy tiles within the archive's policy, masks exactly.

    Args:
        scene: The original, open.
        archive_path: The `.ovdx` directory.
        progress: Called with (done, total, what).

    Returns:
        The report; look at `ok`, or call `raise_if_failed`.

    Raises:
        UnreadableRasterError: If the archive cannot be opened at all or the original cannot be read.
    """
    with ArchivedScene(archive_path, cache_bytes=0) as archived:
        problems = _describe_mismatch(scene, archived)
        comparison = _Comparison(scene, archived)
        entries = archived.index.tiles
        same_size = (scene.record.width_px, scene.record.height_px) == (archived.record.width_px, archived.record.height_px)
        for done, entry in enumerate(entries if same_size else ()):
            found = comparison.problem(entry)
            problems.extend([found] if found else [])
            if progress is not None:
                progress(done + 1, len(entries), f"verifying {scene.record.scene_id}")
            if len(problems) >= _MAX_PROBLEMS:
                break
        lossless = sum(entry.lossless for entry in entries)
    return VerifyReport(
        path=archive_path,
        scene_id=scene.record.scene_id,
        scene_version=scene.record.version,
        tiles=len(entries),
        lossless_tiles=lossless,
        lossy_tiles=len(entries) - lossless,
        max_error=comparison.max_error,
        worst_psnr_db=comparison.worst_psnr_db,
        problems=tuple(problems[:_MAX_PROBLEMS]),
    )
