"""Any open_clip model as an encoder: by tag with public weights, from a local checkpoint, or with random weights.

Belongs here: the adapter to open_clip. Does not belong here: the built-in encoder.
`SensorAdapter` maps any bands to the three the image tower expects; both spaces are CLIP's own, so the visual vectors equal the
language vectors.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ovd_platform.embed.crops import crop_squares, iterate_crops
from ovd_platform.embed.encoder import FloatArray
from ovd_platform.embed.images import fit_square, normalised_image
from ovd_platform.errors import DataError, InputError
from ovd_platform.models.stems import BandKey, BandReading, SensorAdapter, inflated_kernel
from ovd_platform.models.vit import state_version
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.records.tile import TileRecord

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene

_BATCH = 32


class OpenClipEncoder:
    """An open_clip model behind the `Encoder` protocol."""

    def __init__(
        self,
        model_name: str,
        pretrained: str | None = None,
        *,
        adapter: BandReading = "first3",
        adapters: dict[int, SensorAdapter] | None = None,
        version: str | None = None,
    ) -> None:
        """Load the model.

        Args:
            model_name: open_clip architecture, for example ``ViT-B-32``, or ``hf-hub:...`` / ``local-dir:...``.
            pretrained: open_clip weight tag or path of a checkpoint; None: random weights.
            adapter: How a `SensorAdapter` for C != 3 bands starts, or ``native``: the first convolution inflated to C bands; three bands
                pass unchanged.
            adapters: Trained adapters by band count.
            version: By default a hash of weights and adapters.

        Raises:
            InputError: If open_clip knows no such architecture.
            DataError: If the weights cannot be loaded.
        """
        import open_clip

        try:
            self._model = open_clip.create_model(model_name, pretrained=pretrained, device="cpu").eval()
        except (OSError, FileNotFoundError, ConnectionError) as error:
            raise DataError(
                f"Cannot load open_clip weights {pretrained!r} of {model_name}: expected a checkpoint, got {error}. "
                "Without a network, give the path of a local file."
            ) from error
        except RuntimeError as error:
            raise InputError(f"Cannot make open_clip model {model_name!r} with {pretrained!r}: {error}") from error
        self._tokenizer = open_clip.get_tokenizer(model_name)
        settings = open_clip.get_model_preprocess_cfg(self._model)
        self._mean, self._std = (torch.tensor(settings[name]).reshape(3, 1, 1) for name in ("mean", "std"))
        self._px: int = np.asarray(settings["size"]).max().item()
        self._reading, self._adapters = adapter, dict(adapters or {})
        self._kernels: dict[int, Tensor] = {}
        weights = state_version({**self._model.state_dict(), **_adapter_state(self._adapters)})
        self._version = version or f"open_clip-{weights}-{adapter}"
        self._dim = self.embed_text(["a"]).shape[1]

    @property
    def version(self) -> str:
        """Version of weights and adapters."""
        return self._version

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self._dim)

    @property
    def has_language(self) -> bool:
        """Always true."""
        return True

    def embed_boxes(
        self, scene: "Scene", boxes_n4: FloatArray, profile: InstrumentProfile
    ) -> tuple[FloatArray, FloatArray | None]:
        """Vectors of boxes, the same array twice; see `Encoder`."""
        vectors = self._embed_squares(scene, crop_squares(np.asarray(boxes_n4).reshape(-1, 4)), profile)
        return vectors, vectors

    def embed_tiles(
        self, scene: "Scene", tiles: Sequence[TileRecord], profile: InstrumentProfile
    ) -> tuple[FloatArray, FloatArray | None]:
        """Vectors of whole tile cores, the same array twice."""
        cores = np.array([tile.core.xyxy for tile in tiles], dtype=np.float32).reshape(-1, 4)
        vectors = self._embed_squares(scene, crop_squares(cores, context=1.0), profile)
        return vectors, vectors

    def embed_images(
        self,
        images: Sequence[tuple[NDArray[Any], NDArray[np.bool_] | None, InstrumentProfile | None, Sequence[BandKey] | None]],
    ) -> FloatArray:
        """Vectors of whole chips; see `Encoder`."""
        planes = [fit_square(normalised_image(pixels, valid, profile), self._px) for pixels, valid, profile, _ in images]
        vectors = [self._forward(one[None]).numpy()[0] for one in planes]
        return np.stack(vectors) if vectors else np.zeros((0, self._dim), dtype=np.float32)

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of words; see `Encoder`."""
        if not texts:
            return np.zeros((0, self._dim), dtype=np.float32)
        vectors: FloatArray = F.normalize(self._model.encode_text(self._tokenizer(list(texts))).float(), dim=1).numpy()
        return vectors

    def _embed_squares(self, scene: "Scene", squares_n4: FloatArray, profile: InstrumentProfile) -> FloatArray:
        out = np.zeros((len(squares_n4), self._dim), dtype=np.float32)
        for rows, crops in iterate_crops(scene, squares_n4, profile, self._px):
            for start in range(0, len(rows), _BATCH):
                out[rows[start : start + _BATCH]] = self._forward(crops[start : start + _BATCH]).numpy()
        return out

    @torch.inference_mode()
    def _forward(self, crops_bchw: Tensor) -> Tensor:
        bands = crops_bchw.shape[1]
        if bands != 3 and self._reading == "native":
            return self._native(crops_bchw)
        if bands != 3 and self._reading != "native":
            crops_bchw = self._adapters.setdefault(bands, SensorAdapter(bands, 3, self._reading))(crops_bchw)
        return F.normalize(self._model.encode_image((crops_bchw - self._mean) / self._std).float(), dim=1)

    def _native(self, crops_bchw: Tensor) -> Tensor:
        """The image tower with its first convolution inflated to the bands at hand."""
        tower, bands = self._model.visual, crops_bchw.shape[1]
        name, first = next(
            (name, module)
            for name, module in tower.named_modules()
            if isinstance(module, torch.nn.Conv2d) and module.in_channels == 3
        )
        kernel = self._kernels.setdefault(bands, inflated_kernel(first.weight, bands))
        planes_bchw = (crops_bchw - self._mean.mean()) / self._std.mean()
        vectors: Tensor = torch.func.functional_call(tower, {f"{name}.weight": kernel}, (planes_bchw,))
        return F.normalize(vectors.float(), dim=1)


def _adapter_state(adapters: dict[int, SensorAdapter]) -> dict[str, Tensor]:
    return {
        f"adapter.{bands}.{name}": tensor
        for bands, module in sorted(adapters.items())
        for name, tensor in module.state_dict().items()
    }
