"""Chips for self-supervision: sampled from scenes, normalised, kept in one shard file.

Belongs here: sampling and the shard. Does not belong here: augmentation (augment) and training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import DataError, InputError
from ovd_platform.models.conditioning import metadata_vector
from ovd_platform.models.stems import BandKey, band_keys
from ovd_platform.raster.radiometry import InstrumentProfile, normalise
from ovd_platform.records.window import Window

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene

_BLOCK_PX = 512
_PER_BLOCK = 12
_MIN_VALID = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ChipGroup:
    """Chips of equal bands.

    Attributes:
        keys: What each band is.
        pixels_nchw: Normalised planes in [0, 1.25], shape (N, C, H, W), float16.
        scene_n: Index of each chip's scene in the shard's `scene_ids`, shape (N,), int32.
    """

    keys: tuple[BandKey, ...]
    pixels_nchw: NDArray[np.float16]
    scene_n: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class ChipShard:
    """Sampled chips of one modality, grouped by their bands.

    Attributes:
        groups: One entry for each combination of bands.
        scene_ids: The scenes they come from.
        metadata_sm: Acquisition metadata of each scene (`conditioning.metadata_vector`), shape (S, M), float32; None: unknown.
    """

    groups: tuple[ChipGroup, ...]
    scene_ids: tuple[str, ...]
    metadata_sm: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return sum(len(group.scene_n) for group in self.groups)

    def save(self, path: Path) -> None:
        """Write one npz file, atomically."""
        arrays: dict[str, Any] = {"scene_ids": np.array(self.scene_ids)}
        if self.metadata_sm is not None:
            arrays["metadata"] = self.metadata_sm
        for index, group in enumerate(self.groups):
            arrays[f"pixels_{index}"], arrays[f"scene_{index}"] = group.pixels_nchw, group.scene_n
            arrays[f"keys_{index}"] = np.array([_key_text(key) for key in group.keys])
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".writing")
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: If it is no shard.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                count = sum(name.startswith("pixels_") for name in stored.files)
                keys = [tuple(_text_key(str(text)) for text in stored[f"keys_{i}"]) for i in range(count)]
                groups = tuple(ChipGroup(keys[i], stored[f"pixels_{i}"], stored[f"scene_{i}"]) for i in range(count))
                metadata_sm = stored["metadata"] if "metadata" in stored.files else None
                return cls(groups, tuple(str(one) for one in stored["scene_ids"]), metadata_sm)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"Cannot read chips {path}: expected a shard written by this platform, got {error}. Sample again."
            ) from error

    def split(self, fraction: float = 0.1) -> tuple[Self, Self]:
        """Training and held-out chips; whole scenes where there are at least four, else every k-th chip.

        Args:
            fraction: Held-out share, (0, 0.5].
        """
        every = max(2, round(1 / fraction))
        by_scene = len(self.scene_ids) >= 4
        parts: tuple[list[ChipGroup], list[ChipGroup]] = ([], [])
        for group in self.groups:
            number_n = group.scene_n if by_scene else np.arange(len(group.scene_n))
            step = min(every, len(self.scene_ids)) if by_scene else every
            held_n = number_n % step == step - 1
            for part, chosen_n in zip(parts, (~held_n, held_n), strict=True):
                if chosen_n.any():
                    part.append(ChipGroup(group.keys, group.pixels_nchw[chosen_n], group.scene_n[chosen_n]))
        first, second = (type(self)(tuple(part), self.scene_ids, self.metadata_sm) for part in parts)
        return first, second


def sample_chips(
    scenes: "Sequence[tuple[Scene, InstrumentProfile]]", per_scene: int = 96, chip_px: int = 64, seed: int = 0
) -> ChipShard:
    """Sample chips: half of them anywhere, half where there are edges.

    Pixels are read in blocks of 512 px, a few chips each, so a scene of any size costs the same.

    Args:
        scenes: Open scenes of one modality with their profiles.
        per_scene: Chips wanted from each; a scene with little valid area gives fewer.
        chip_px: Side of a chip.
        seed: Of every choice.

    Returns:
        The shard.

    Raises:
        InputError: If no scene gave a chip.
    """
    gathered: dict[tuple[BandKey, ...], tuple[list[NDArray[np.float16]], list[int]]] = {}
    for number, (scene, profile) in enumerate(scenes):
        rng = np.random.default_rng([seed, number])
        pixels, owners = gathered.setdefault(band_keys(scene.record), ([], []))
        chips = _sample_scene(scene, profile, per_scene, chip_px, rng)
        pixels += chips
        owners += [number] * len(chips)
    groups = tuple(
        ChipGroup(keys, np.stack(pixels), np.array(owners, dtype=np.int32))
        for keys, (pixels, owners) in gathered.items()
        if pixels
    )
    if not groups:
        raise InputError(
            f"Cannot sample chips from {len(scenes)} scenes: expected valid pixels, found none. Check the nodata values."
        )
    metadata_sm = np.array([metadata_vector(scene.record) for scene, _ in scenes], dtype=np.float32)
    return ChipShard(groups, tuple(scene.record.scene_id for scene, _ in scenes), metadata_sm)


def _sample_scene(
    scene: "Scene", profile: InstrumentProfile, wanted: int, chip_px: int, rng: np.random.Generator
) -> list[NDArray[np.float16]]:
    record, chips = scene.record, list[NDArray[np.float16]]()
    block_px = max(chip_px, min(_BLOCK_PX, max(record.width_px, record.height_px)))
    for _ in range(4 * -(-wanted // _PER_BLOCK)):
        if len(chips) >= wanted:
            break
        col = int(rng.integers(0, max(1, record.width_px - block_px + 1)))
        row = int(rng.integers(0, max(1, record.height_px - block_px + 1)))
        chip = scene.read(Window(col, row, block_px, block_px))
        if chip.valid_hw.any():
            planes_chw = normalise(chip.pixels_chw, chip.valid_hw, profile)
            count = min(_PER_BLOCK, wanted - len(chips))
            corners = choose_corners(planes_chw, chip.valid_hw, count, chip_px, rng)
            chips += [planes_chw[:, y : y + chip_px, x : x + chip_px].astype(np.float16) for x, y in corners]
    return chips


def choose_corners(
    planes_chw: NDArray[np.float32], valid_hw: NDArray[np.bool_], count: int, side_px: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Top-left corners (x, y) of squares inside a block: alternately uniform and the most structured of several draws.

    Args:
        planes_chw: Normalised block.
        valid_hw: Its mask; squares less than half valid are not chosen.
        count: Corners wanted at most.
        side_px: Side of the squares.
        rng: Source of chance.
    """
    mean_hw = planes_chw.mean(0)
    height, width = mean_hw.shape
    corners: list[tuple[int, int]] = []
    for index in range(count):
        draws = []
        for _ in range(6 if index % 2 else 1):
            x, y = int(rng.integers(0, width - side_px + 1)), int(rng.integers(0, height - side_px + 1))
            square = (slice(y, y + side_px), slice(x, x + side_px))
            if valid_hw[square].mean() >= _MIN_VALID:
                # Structure in the central half, where the object of a region crop would lie.
                centre = mean_hw[square][side_px // 4 : -(side_px // 4), side_px // 4 : -(side_px // 4)]
                draws.append((float(np.abs(np.diff(centre, axis=0)).mean() + np.abs(np.diff(centre, axis=1)).mean()), x, y))
        if draws:
            _, x, y = max(draws)
            corners.append((x, y))
    return corners


def _key_text(key: BandKey) -> str:
    return "?" if key is None else key if isinstance(key, str) else f"{float(key)!r}"


def _text_key(text: str) -> BandKey:
    if text == "?":
        return None
    return float(text) if text[0].isdigit() else text
