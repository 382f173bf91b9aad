"""Scenes: the protocol every stage reads pixels through, and opening one from a uri.

Belongs here: the protocol and the choice of reader. Readers: `rasters` (everything GDAL knows), `arrays` (`.npy`), `archived`
(the platform's own `.ovdx`). Pixels are read by windows only, never rescaled, never whole.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ovd_platform.raster.identity import HashMode, is_local, scene_slug, scene_version
from ovd_platform.records.chip import Chip
from ovd_platform.records.scene import SceneRecord
from ovd_platform.records.window import Window

ARCHIVE_SUFFIX = ".ovdx"


class Scene(Protocol):
    """An open scene. Not shared across processes or threads: open it again in each from its uri."""

    @property
    def record(self) -> SceneRecord:
        """What is known about the scene."""
        ...

    def read(self, window: Window, band_indices: Sequence[int] | None = None) -> Chip:
        """Pixels of a window at native depth.

        Args:
            window: May reach outside the scene: such pixels are 0 and invalid.
            band_indices: 0-based bands in the wanted order; all by default. Validity always rests on every band of the scene.

        Returns:
            New chip, pixels of shape (C, H, W) in the scene's dtype.

        Raises:
            UnreadableRasterError: If the pixels cannot be decoded.
            InputError: If a band does not exist.
        """
        ...

    def read_into(self, window: Window, out_chw: NDArray[Any]) -> NDArray[np.bool_]:
        """Pixels of a window inside the scene, all bands, into memory that exists.

        Args:
            window: Inside the scene.
            out_chw: Where pixels go, shape (C, H, W), the scene's dtype; may be a view.

        Returns:
            Validity, shape (H, W), bool; `chips.every_pixel_valid` where no pixel can be missing.

        Raises:
            UnreadableRasterError: If the pixels cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Release files; reading afterwards is an error."""
        ...

    def __enter__(self) -> Self:
        """The scene itself."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        ...


def open_scene(uri: str, *, scene_id: str | None = None, version: str | None = None) -> Scene:
    """Open a scene for windowed reading.

    Args:
        uri: Path, URL (http, https, s3, gs, az), GDAL /vsi path, `.npy` file, `.ovdx` archive, or a band stack: paths joined by ``|``.
        scene_id: Id; by default the slug of the stem (an archive keeps its scene's id).
        version: Version of the pixels; by default the sampled content version, which is quick (an archive keeps its scene's
            version). Give the version of `read_scene_record` where rows must agree with the catalogue.

    Returns:
        An open scene; close it, or use it as a context manager.

    Raises:
        UnreadableRasterError: If the file is missing, broken or unsupported.
    """
    if is_local(uri) and Path(uri).suffix == ARCHIVE_SUFFIX:
        from ovd_platform.raster.archived import ArchivedScene

        return ArchivedScene(Path(uri), scene_id=scene_id, version=version)
    identity = (scene_id or scene_slug(uri), version if version is not None else scene_version(uri, "sampled"))
    if is_local(uri) and Path(uri).suffix == ".npy":
        from ovd_platform.raster.arrays import ArrayScene

        return ArrayScene(uri, *identity)
    from ovd_platform.raster.rasters import RasterScene

    return RasterScene(uri, *identity)


def open_record(record: SceneRecord) -> Scene:
    """Open the scene of a record, under the record's own id and version."""
    return open_scene(record.uri, scene_id=record.scene_id, version=record.version)


def read_scene_record(uri: str, *, scene_id: str | None = None, mode: HashMode = "sha256", generation: int = 0) -> SceneRecord:
    """What is known of a scene, with its content version.

    Args:
        uri: As for `open_scene`.
        scene_id: Id; by default the slug of the stem.
        mode: ``sha256`` reads every byte once; ``sampled`` is for very large files.
        generation: Ingest generation.

    Returns:
        The record. An archive's record is that of the scene it holds, with the archive as uri.

    Raises:
        UnreadableRasterError: If the file is missing, broken or unsupported.
    """
    is_archive = is_local(uri) and Path(uri).suffix == ARCHIVE_SUFFIX
    version = None if is_archive else scene_version(uri, mode, generation)
    with open_scene(uri, scene_id=scene_id, version=version) as scene:
        return scene.record
