"""What turns chips, boxes and words into unit vectors. Belongs here: the protocol and the loading of the built-in encoder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ovd_platform.records.tile import TileRecord

if TYPE_CHECKING:
    from torch import Tensor

    from ovd_platform.raster.radiometry import InstrumentProfile
    from ovd_platform.raster.scene import Scene

FloatArray = NDArray[np.float32]
BandKeys = Sequence[float | str | None]


class Encoder(Protocol):
    """Two spaces: visual (looks alike) and language (words apply). Vectors of two versions are never compared."""

    @property
    def version(self) -> str:
        """Version of everything the vectors depend on."""
        ...

    @property
    def dim(self) -> int:
        """Length of the visual vectors."""
        ...

    @property
    def has_language(self) -> bool:
        """Whether there is a language space."""
        ...

    def embed_boxes(
        self, scene: "Scene", boxes_n4: FloatArray, profile: "InstrumentProfile"
    ) -> tuple[FloatArray, FloatArray | None]:
        """Vectors of boxes.

        Args:
            scene: Open scene.
            boxes_n4: Boxes in scene pixels, shape (N, 4).
            profile: Normalisation of the scene's instrument.

        Returns:
            Visual unit vectors (N, D) and language unit vectors (N, E), float32; None without a language space.
        """
        ...

    def embed_tiles(
        self, scene: "Scene", tiles: Sequence[TileRecord], profile: "InstrumentProfile"
    ) -> tuple[FloatArray, FloatArray | None]:
        """Vectors of the tiles' cores; like `embed_boxes`."""
        ...

    def embed_images(
        self,
        images: "Sequence[tuple[NDArray[Any], NDArray[np.bool_] | None, InstrumentProfile | None, BandKeys | None]]",
    ) -> FloatArray:
        """Visual vectors of whole example chips.

        Args:
            images: Source pixels (C, H, W), mask (H, W) or None, profile or None (uint8 and floats in [0, 1] only), what each
                band is or None (three bands are red, green, blue; others unknown).

        Returns:
            Unit vectors, shape (N, D), float32.
        """
        ...

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """Language unit vectors of words, shape (K, E), float32.

        Raises:
            InputError: If there is no language space.
        """
        ...


def load_encoder(
    backbone: "Path | Mapping[str, Tensor]",
    clip: "Path | Mapping[str, Tensor] | None" = None,
    *,
    version: str | None = None,
    regions: Literal["crop", "roi"] = "crop",
    roi_scale: float = 0.5,
) -> Encoder:
    """The built-in encoder of a backbone and, where there is one, a domain CLIP trained on it.

    Args:
        backbone: Folder of a saved model, or its state.
        clip: Likewise, or None: visual vectors only.
        version: Name of the pair; by default a hash of both.
        regions: See `builtin.BuiltinEncoder`.
        roi_scale: See `builtin.BuiltinEncoder`.

    Returns:
        The encoder, on the CPU.

    Raises:
        StaleError: If a folder holds no model.
        DataError: If the two do not belong together.
    """
    from ovd_platform.embed.builtin import BuiltinEncoder
    from ovd_platform.stores.models import load_model_dir

    states = [load_model_dir(part)[0] if isinstance(part, Path) else part for part in (backbone, clip)]
    assert states[0] is not None
    return BuiltinEncoder(states[0], states[1], version=version, regions=regions, roi_scale=roi_scale)
