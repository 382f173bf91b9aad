"""Reduced images of a scene: those its file holds, else a pyramid of our own made once in the workspace's cache.

Belongs here: where coarse pixels come from. Does not belong here: which window a tile is (`pictures`).

Up to `NATIVE_REDUCTION` pictures are reduced from native pixels; beyond that a window would decode too much, so a reduced image is needed.
Files without overviews, archives and arrays get one: a walk over the scene in constant memory, in a thread of its own.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import ResourceError
from ovd_platform.flow.workspace import Workspace
from ovd_platform.raster.archived import ArchivedScene
from ovd_platform.raster.radiometry import thumbnail
from ovd_platform.records.window import Window
from ovd_platform.serve.open_scenes import Shown
from ovd_platform.stores.home import atomic_path, content_hash

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene

NATIVE_REDUCTION = 8
NATIVE_PX = 4_000_000
"""A scene up to this size needs no reduced image: it is read whole."""
_WALK_PX = 2048
_WAIT_PX = 64_000_000
"""A scene up to this size is walked while the request waits."""
_WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Coarse:
    """A reduced image.

    Attributes:
        dataset: Open rasterio dataset at the reduced size.
        reduction: Scene pixels a pixel, about (sizes are rounded up).
        shown: Whether values are already 8-bit red, green, blue, alpha.
    """

    dataset: Any
    reduction: int
    shown: bool


class Pyramids:
    """Finds or makes reduced images; safe for threads."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._makers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pyramid")
        self._making: dict[Path, tuple[Future[None], list[float]]] = {}
        self._lock = threading.Lock()

    def best(self, shown: Shown, reduction: int) -> Coarse | None:
        """The coarsest image not coarser than asked; None if native pixels are near enough.

        Raises:
            ResourceError: If a pyramid is being made; ask again.
        """
        own = _own_reductions(shown)
        fitting = [one for one in own if one <= reduction]
        if fitting and max(fitting) > 1 and reduction // max(fitting) <= NATIVE_REDUCTION:
            factor = max(fitting)
            return Coarse(_opened(shown, factor, shown.scene.record.uri, own.index(factor)), factor, shown=False)
        if reduction <= NATIVE_REDUCTION or shown.record.width_px * shown.record.height_px <= NATIVE_PX:
            return None
        path = self._path(shown)
        if not path.is_file():
            self._make(shown, path)
        made = _made_reductions(shown.record.width_px, shown.record.height_px)
        factor = max(one for one in made if one <= reduction)
        level = made.index(factor) - 1
        return Coarse(_opened(shown, -factor, str(path), level if level >= 0 else None), factor, shown=True)

    def _path(self, shown: Shown) -> Path:
        name = content_hash(shown.record.version, shown.profile.to_dict(), shown.bands)
        return self._ws.home.root / "cache" / "overviews" / shown.record.modality / f"{shown.record.scene_id}-{name}.tif"

    def _make(self, shown: Shown, path: Path) -> None:
        with self._lock:
            if path not in self._making:
                share = [0.0]
                self._making[path] = (self._makers.submit(self._make_alone, shown.record.scene_id, shown, path, share), share)
            future, share = self._making[path]
        small = shown.record.width_px * shown.record.height_px <= _WAIT_PX
        try:
            future.result(timeout=_WAIT_S if small else 0.05)
        except TimeoutError:
            raise ResourceError(
                f"Cannot show all of {shown.record.scene_id} yet: expected overviews in its file, got none; they are being made "
                f"({share[0]:.0%}). Ask again in a second, or zoom in."
            ) from None
        finally:
            if future.done():
                with self._lock:
                    self._making.pop(path, None)

    def _make_alone(self, scene_id: str, shown: Shown, path: Path, share: list[float]) -> None:
        from ovd_platform.flow.scenes import open_registered

        with open_registered(self._ws, shown.record.modality, scene_id) as scene:
            write_pyramid(path, scene, shown, lambda done: share.__setitem__(0, done))

    def close(self) -> None:
        """Stop making; what is half made is left out."""
        self._makers.shutdown(wait=False, cancel_futures=True)


def _own_reductions(shown: Shown) -> list[int]:
    """Reductions the scene's own file holds and that can be shown: one file, plain bands, real values."""
    uri = shown.scene.record.uri
    if "|" in uri or isinstance(shown.scene, ArchivedScene) or uri.endswith(".npy"):
        return []
    known = shown.overviews.get(1)
    if known is None:
        import rasterio

        known = shown.overviews[1] = rasterio.open(uri)
    if np.dtype(shown.record.dtype).kind == "c" or known.count < len(shown.record.bands):
        return []
    return [int(factor) for factor in known.overviews(shown.bands[0] + 1)]


def _opened(shown: Shown, key: int, path: str, level: int | None) -> Any:
    """The dataset of one reduction, kept with the scene."""
    import rasterio

    if key not in shown.overviews:
        shown.overviews[key] = rasterio.open(path) if level is None else rasterio.open(path, overview_level=level)
    return shown.overviews[key]


def _made_reductions(width_px: int, height_px: int) -> list[int]:
    made, factor = [NATIVE_REDUCTION], NATIVE_REDUCTION
    while max(width_px, height_px) / factor > 256:
        factor *= 2
        made.append(factor)
    return made


def write_pyramid(path: Path, scene: "Scene", shown: Shown, progress: Callable[[float], None] | None = None) -> Path:
    """Walk a scene once and write its reduced picture with overviews: 8-bit red, green, blue, alpha.

    Args:
        path: File to make; it appears complete or not at all.
        scene: Open scene.
        shown: Bands and normalisation.
        progress: Told the share that is done.
    """
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.transform import Affine
    from rasterio.windows import Window as RasterioWindow

    width, height = scene.record.width_px, scene.record.height_px
    size = (-(-width // NATIVE_REDUCTION), -(-height // NATIVE_REDUCTION))
    options: dict[str, Any] = {
        "compress": "zstd",
        "zstd_level": 1,
        "photometric": "RGB",
        "alpha": "unspecified",
        "bigtiff": "IF_SAFER",
        "transform": Affine.scale(NATIVE_REDUCTION),
    }
    with atomic_path(path) as draft:
        with rasterio.open(
            draft, "w", driver="GTiff", width=size[0], height=size[1], count=4, dtype="uint8", tiled=True, blockxsize=256,
            blockysize=256, **options,
        ) as out:  # fmt: skip
            for top in range(0, height, _WALK_PX):
                for left in range(0, width, _WALK_PX):
                    picture = reduced_native(scene, shown, Window(left, top, _WALK_PX, _WALK_PX), NATIVE_REDUCTION)
                    col, row = left // NATIVE_REDUCTION, top // NATIVE_REDUCTION
                    part = picture[: min(picture.shape[0], size[1] - row), : min(picture.shape[1], size[0] - col)]
                    out.write(np.moveaxis(part, -1, 0), window=RasterioWindow(col, row, part.shape[1], part.shape[0]))
                if progress is not None:
                    progress(min(1.0, (top + _WALK_PX) / height))
        with rasterio.open(draft, "r+") as out:
            factors = [one // NATIVE_REDUCTION for one in _made_reductions(width, height)[1:]]
            if factors:
                out.build_overviews(factors, Resampling.average)
    return path


def reduced_native(scene: "Scene", shown: Shown, window: Window, reduction: int) -> NDArray[np.uint8]:
    """A window of native pixels, shown with the instrument's stretch and reduced by area.

    Args:
        scene: Open scene.
        shown: Bands and normalisation.
        window: Scene pixels; may reach outside. Its sides are rounded up to whole reduced pixels.
        reduction: Scene pixels a pixel.

    Returns:
        New array, shape (H, W, 4), uint8: red, green, blue, alpha. What is missing has alpha 0.
    """
    width, height = -(-window.width_px // reduction), -(-window.height_px // reduction)
    chip = scene.read(Window(window.col_px, window.row_px, width * reduction, height * reduction), shown.bands)
    rgb = thumbnail(chip.pixels_chw, chip.valid_hw, shown.profile, tuple(range(len(shown.bands))))
    return with_alpha(rgb, chip.valid_hw, (width, height))


def with_alpha(rgb_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Picture and validity reduced together by area; colours of partly missing pixels are those of their valid part."""
    import cv2

    if (rgb_hwc.shape[1], rgb_hwc.shape[0]) == size_wh:
        return np.dstack([rgb_hwc, np.where(valid_hw, 255, 0).astype(np.uint8)])
    if valid_hw.all():
        small = np.asarray(cv2.resize(rgb_hwc, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        return np.dstack([small, np.full(small.shape[:2], 255, dtype=np.uint8)])
    share = np.asarray(cv2.resize(valid_hw.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA))
    light = np.asarray(cv2.resize(rgb_hwc * valid_hw[..., None].astype(np.float32), size_wh, interpolation=cv2.INTER_AREA))
    rgb = np.round(np.clip(light / np.maximum(share, 1e-6)[..., None], 0, 255)).astype(np.uint8)
    return np.dstack([rgb, np.round(share * 255).astype(np.uint8)])
