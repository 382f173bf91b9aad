"""Rasters that are slow to read by windows, rewritten once as tiled COG. Belongs here: recognising them and the copy.

In a striped or single-block file a small window decodes whole rows or the whole scene. The copy keeps every value, mask, tag and
georeference; the original stays what it is and its version stays the scene's.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from ovd_platform.errors import DamagedRasterError, VerificationError
from ovd_platform.raster.identity import member_paths
from ovd_platform.records.scene import SceneRecord

Layout = Literal["tiled", "striped", "single_block"]

_SMALL_PX = 1 << 20
_SLOW_BLOCK_BYTES = 8 << 20
_CHECKS = 64


def layout_of(record: SceneRecord) -> Layout:
    """How a scene's pixels are stored: in blocks, in whole rows, or in one piece. Small scenes count as tiled."""
    if record.block_px is None or record.width_px * record.height_px <= _SMALL_PX:
        return "tiled"
    width, height = record.block_px
    if width >= record.width_px and height >= record.height_px:
        return "single_block"
    return "striped" if width >= record.width_px else "tiled"


def is_slow_by_windows(record: SceneRecord) -> bool:
    """Whether one window decodes far more than it needs: a single block, or rows of many megabytes a band of tiles."""
    if layout_of(record) == "tiled" or record.block_px is None:
        return False
    row_bytes = record.width_px * max(record.block_px[1], 512) * np.dtype(record.dtype).itemsize * len(record.bands)
    return layout_of(record) == "single_block" or row_bytes > _SLOW_BLOCK_BYTES


def rewrite_tiled(uri: str, target: str) -> str:
    """Copy a raster as COG with blocks of 512 px, lossless.

    Args:
        uri: One file; stacks are rewritten member by member by the caller.
        target: Path of the copy; it appears complete or not at all.

    Returns:
        ``target``.

    Raises:
        DamagedRasterError: If the source cannot be decoded.
        VerificationError: If sampled windows of the copy differ; the copy is removed.
    """
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.shutil import copy

    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    options: dict[str, Any] = {"compress": "ZSTD", "level": 1, "blocksize": 512, "overviews": "NONE", "bigtiff": "IF_SAFER"}
    try:
        copy(member_paths(uri)[0], draft, driver="COG", **options)
        with rasterio.open(uri) as source, rasterio.open(draft) as made:
            _check(source, made)
        draft.replace(path)
    except RasterioError as error:
        raise DamagedRasterError(f"Cannot rewrite {uri}: expected pixels, got {error}. Replace the damaged file.") from error
    finally:
        draft.unlink(missing_ok=True)
    return target


def _check(source: Any, made: Any) -> None:
    """Compare sampled windows of both, bands and validity."""
    from rasterio.windows import Window as RasterioWindow

    rng = np.random.default_rng(0)
    for _ in range(_CHECKS):
        width, height = min(64, source.width), min(64, source.height)
        col, row = int(rng.integers(0, source.width - width + 1)), int(rng.integers(0, source.height - height + 1))
        window = RasterioWindow(col, row, width, height)
        same = np.array_equal(source.read(window=window), made.read(window=window), equal_nan=True)
        if not same or not np.array_equal(source.dataset_mask(window=window), made.dataset_mask(window=window)):
            raise VerificationError(
                f"Cannot use the tiled copy of {source.name}: expected equal pixels at {col}, {row}, got others. Read the original."
            )
