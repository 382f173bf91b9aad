"""Scenes the reading benchmarks make for themselves: noisy 12-bit fields, and huge compressible ones."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK_PX = 512


def noisy_scene(path: Path, width_px: int, height_px: int, bands: int = 1, seed: int = 0) -> Path:
    """A tiled ZSTD GeoTIFF of smooth ground with 12-bit sensor noise, band by band; made once."""
    import rasterio
    from rasterio.transform import Affine
    from rasterio.windows import Window

    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    draft = path.with_suffix(".draft.tif")
    grain = rng.normal(0.0, 40.0, (BLOCK_PX, width_px + BLOCK_PX)).astype(np.float32)
    with rasterio.open(
        draft, "w", driver="GTiff", width=width_px, height=height_px, count=bands, dtype="uint16", tiled=True,
        blockxsize=BLOCK_PX, blockysize=BLOCK_PX, compress="zstd", zstd_level=1, NBITS=16, interleave="band", bigtiff="IF_SAFER",
        crs="EPSG:32631", transform=Affine(0.5, 0, 593000, 0, -0.5, 5749000),
    ) as out:  # fmt: skip
        columns = np.arange(width_px, dtype=np.float32)
        for band in range(bands):
            for top in range(0, height_px, BLOCK_PX):
                rows = min(BLOCK_PX, height_px - top)
                shift = int(rng.integers(0, BLOCK_PX))
                ground = 1200.0 + 700.0 * np.sin(columns / 900.0 + top / 700.0 + band)
                values = ground[None] + grain[:rows, shift : shift + width_px]
                out.write(np.clip(values, 0, 4095).astype(np.uint16), band + 1, window=Window(0, top, width_px, rows))
    draft.replace(path)
    return path


def huge_scene(path: Path, width_px: int, height_px: int, busy_rows: tuple[int, int], seed: int = 0) -> Path:
    """A BigTIFF of one repeated block of 12-bit noise that compresses well, with bright small objects in a band of rows."""
    import rasterio
    from rasterio.transform import Affine
    from rasterio.windows import Window

    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    # Four columns of noise repeated: the codec sees copies, the scan sees texture.
    quiet = np.tile(rng.integers(280, 330, (BLOCK_PX, 4), dtype=np.uint16), (1, BLOCK_PX // 4))
    draft = path.with_suffix(".draft.tif")
    with rasterio.open(
        draft, "w", driver="GTiff", width=width_px, height=height_px, count=1, dtype="uint16", tiled=True, blockxsize=BLOCK_PX,
        blockysize=BLOCK_PX, compress="zstd", zstd_level=1, bigtiff="YES", crs="EPSG:32631",
        transform=Affine(0.5, 0, 593000, 0, -0.5, 5749000),
    ) as out:  # fmt: skip
        line = np.tile(quiet, (1, -(-width_px // BLOCK_PX)))[:, :width_px]
        for top in range(0, height_px, BLOCK_PX):
            rows = min(BLOCK_PX, height_px - top)
            values = line[:rows]
            if busy_rows[0] <= top < busy_rows[1]:
                values = _with_objects(values.copy(), rng)
            out.write(values, 1, window=Window(0, top, width_px, rows))
    draft.replace(path)
    return path


def _with_objects(values_hw: NDArray[np.uint16], rng: np.random.Generator) -> NDArray[np.uint16]:
    """One bright rectangle of 6 x 16 px a thousand columns."""
    height, width = values_hw.shape
    for left in range(100, width - 40, 1000):
        top = int(rng.integers(0, max(1, height - 20)))
        values_hw[top : top + 6, left : left + 16] = 2500
    return values_hw
