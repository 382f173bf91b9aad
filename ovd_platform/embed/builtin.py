"""The built-in encoder: own backbone with its visual head, and the language branch of a domain CLIP.

Belongs here: running the networks over crops. Does not belong here: the networks (models) and reading (crops).
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ovd_platform.embed.ahead import ahead, full_batches, pays
from ovd_platform.embed.crops import crop_squares, iterate_crops
from ovd_platform.embed.dense import iterate_regions
from ovd_platform.embed.encoder import FloatArray
from ovd_platform.embed.images import default_keys, fit_square, normalised_image
from ovd_platform.errors import InputError
from ovd_platform.models.clip import LanguageBranch
from ovd_platform.models.conditioning import metadata_vector
from ovd_platform.models.precision import fast_bfloat16
from ovd_platform.models.stems import BandKey, band_keys
from ovd_platform.models.text import tokenize
from ovd_platform.models.vit import RegionModel, state_version
from ovd_platform.raster.radiometry import InstrumentProfile
from ovd_platform.records.tile import TileRecord

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene

Precision = Literal["auto", "float32", "bfloat16"]
Regions = Literal["crop", "roi"]
_VISUAL = ("backbone.", "visual_head.")
_BATCH = 64


class BuiltinEncoder:
    """Crops to two unit vectors in one pass; the visual one does not depend on the domain CLIP."""

    def __init__(
        self,
        backbone_state: Mapping[str, Tensor],
        clip_state: Mapping[str, Tensor] | None = None,
        *,
        version: str | None = None,
        precision: Precision = "auto",
        regions: Regions = "crop",
        roi_scale: float = 0.5,
    ) -> None:
        """Load the networks.

        Args:
            backbone_state: State of a backbone with visual head.
            clip_state: State of a domain CLIP trained on that backbone, or None.
            version: Name of the pair; by default a hash of both.
            precision: ``auto`` computes in bfloat16 where the CPU does so natively (1.4 times as fast).
            regions: ``crop``: one forward a box; ``roi``: one dense pass, regions pooled from its tokens (`embed.dense`). Vectors of the
                two are never compared: they carry different versions.
            roi_scale: Scale of the dense pass, (0, 1].

        Raises:
            DataError: If the states are no models, or do not belong together.
        """
        self._model = RegionModel.from_state(backbone_state).eval()
        self._language = LanguageBranch.from_state(clip_state, self._model.backbone).eval() if clip_state is not None else None
        self.visual_version = state_version(backbone_state, _VISUAL)
        self.language_version = state_version(clip_state) if clip_state is not None else ""
        own = f"{self.visual_version}{'-' + self.language_version if self.language_version else ''}"
        self._regions, self._roi_scale = regions, roi_scale
        self._version = version or (own if regions == "crop" else f"{own}-roi{roi_scale:g}")
        self._bfloat16 = fast_bfloat16() if precision == "auto" else precision == "bfloat16"

    @property
    def version(self) -> str:
        """Version of everything the vectors depend on."""
        return self._version

    @property
    def dim(self) -> int:
        """Length of the visual vectors."""
        return self._model.backbone.size.dim

    @property
    def has_language(self) -> bool:
        """Whether a domain CLIP is loaded."""
        return self._language is not None

    def embed_boxes(
        self, scene: "Scene", boxes_n4: FloatArray, profile: InstrumentProfile
    ) -> tuple[FloatArray, FloatArray | None]:
        """Vectors of boxes; see `Encoder`."""
        return self._embed_squares(scene, crop_squares(np.asarray(boxes_n4).reshape(-1, 4)), profile)

    def embed_tiles(
        self, scene: "Scene", tiles: Sequence[TileRecord], profile: InstrumentProfile
    ) -> tuple[FloatArray, FloatArray | None]:
        """Vectors of tile cores: the mean over the core's four quarters, so that small things still count."""
        quarters = np.array([quarter for tile in tiles for quarter in _quarters(tile)], dtype=np.float32).reshape(-1, 4)
        visual, language = self._embed_squares(scene, quarters, profile)
        return _pool4(visual), None if language is None else _pool4(language)

    def embed_images(
        self,
        images: Sequence[tuple[NDArray[Any], NDArray[np.bool_] | None, InstrumentProfile | None, Sequence[BandKey] | None]],
    ) -> FloatArray:
        """Visual vectors of whole chips; see `Encoder`."""
        out = np.zeros((len(images), self.dim), dtype=np.float32)
        alike: dict[tuple[BandKey, ...], list[tuple[int, Tensor]]] = {}
        for row, (pixels_chw, valid_hw, profile, keys) in enumerate(images):
            planes = fit_square(normalised_image(pixels_chw, valid_hw, profile), self._model.backbone.size.img_px)
            alike.setdefault(default_keys(len(planes), keys), []).append((row, planes))
        for own_keys, members in alike.items():
            for start in range(0, len(members), _BATCH):
                rows, squares = zip(*members[start : start + _BATCH], strict=True)
                out[list(rows)] = self._forward(torch.stack(squares), own_keys)[0].numpy()
        return out

    def embed_image_language(self, image_chw: NDArray[np.float32], keys: Sequence[BandKey] | None = None) -> FloatArray:
        """Language vector of one normalised image, shape (E,); for measuring retrieval.

        Raises:
            InputError: If no domain CLIP is loaded.
        """
        planes = fit_square(image_chw, self._model.backbone.size.img_px)
        language = self._forward(planes[None], default_keys(len(planes), keys))[1]
        if language is None:
            raise InputError("Cannot embed an image for words: expected a domain CLIP, got none. Train one with `ovd train`.")
        vector: FloatArray = language.numpy()[0]
        return vector

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """Language vectors of words; see `Encoder`."""
        if self._language is None:
            raise InputError(
                "Cannot search by words: expected a domain CLIP, got none. Train one on document pairs, or search by example."
            )
        with torch.inference_mode():
            # One at a time: a vector never depends on what else was asked.
            vectors = [self._language.text(tokenize([text]))[0] for text in texts]
        return np.stack([vector.numpy() for vector in vectors]) if vectors else np.zeros((0, self.dim), dtype=np.float32)

    def _embed_squares(
        self, scene: "Scene", squares_n4: FloatArray, profile: InstrumentProfile
    ) -> tuple[FloatArray, FloatArray | None]:
        keys = band_keys(scene.record)
        known = torch.tensor([metadata_vector(scene.record)]) if self._model.backbone.film is not None else None
        visual_nd = np.zeros((len(squares_n4), self.dim), dtype=np.float32)
        language_nd = np.zeros_like(visual_nd) if self._language is not None else None
        for rows, visual, language in self._vectors(scene, squares_n4, profile, keys, known):
            visual_nd[rows] = visual.numpy()
            if language_nd is not None and language is not None:
                language_nd[rows] = language.numpy()
        return visual_nd, language_nd

    def _vectors(
        self,
        scene: "Scene",
        squares_n4: FloatArray,
        profile: InstrumentProfile,
        keys: Sequence[BandKey],
        metadata_bm: Tensor | None,
    ) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor | None]]:
        size = self._model.backbone.size
        if self._regions == "roi":
            grids = iterate_regions(
                scene, squares_n4, profile, lambda images: self._tokens(images, keys, metadata_bm),
                img_px=size.img_px, patch_px=size.patch_px, scale=self._roi_scale,
            )  # fmt: skip
            for rows, tokens_bpd, branch_bpd in grids:
                yield rows, *self._pooled(tokens_bpd, branch_bpd)
            return
        parts = full_batches(iterate_crops(scene, squares_n4, profile, size.img_px), _BATCH)
        for rows, crops in ahead(parts) if pays(scene.record.uri) else parts:
            yield rows, *self._forward(crops, keys, metadata_bm)

    @torch.inference_mode()
    def _tokens(self, images_bchw: Tensor, keys: Sequence[BandKey], metadata_bm: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Last tokens of the backbone and of the language branch, of any number of windows."""
        with self._autocast():
            parts = [
                self._model.backbone(part, keys, branch=self._branch, metadata_bm=metadata_bm)
                for part in torch.split(images_bchw, _BATCH)
            ]
            tokens_bpd = torch.cat([tokens for tokens, _ in parts])
            if self._language is None:
                return tokens_bpd, None
            branch = [self._language.tokens(tokens) for _, tokens in parts if tokens is not None]
        return tokens_bpd, torch.cat(branch)

    @torch.inference_mode()
    def _pooled(self, tokens_bpd: Tensor, branch_bpd: Tensor | None) -> tuple[Tensor, Tensor | None]:
        visual = F.normalize(self._model.visual_head(tokens_bpd).float(), dim=1)
        if self._language is None or branch_bpd is None:
            return visual, None
        return visual, F.normalize(self._language.head(branch_bpd).float(), dim=1)

    @property
    def _branch(self) -> int | None:
        return self._language.branch if self._language is not None else None

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast("cpu", torch.bfloat16) if self._bfloat16 else contextlib.nullcontext()

    @torch.inference_mode()
    def _forward(
        self, crops_bchw: Tensor, keys: Sequence[BandKey], metadata_bm: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        with self._autocast():
            tokens_bpd, branch_bpd = self._model.backbone(crops_bchw, keys, branch=self._branch, metadata_bm=metadata_bm)
            visual = self._model.visual_head(tokens_bpd)
            language = self._language(branch_bpd) if self._language is not None else None
        # Normalised again in float32: half-precision norms are off by up to 0.4 %.
        return F.normalize(visual.float(), dim=1), None if language is None else F.normalize(language.float(), dim=1)


def _quarters(tile: TileRecord) -> list[tuple[float, float, float, float]]:
    left, top, right, bottom = tile.core.xyxy
    x, y = (left + right) / 2, (top + bottom) / 2
    return [(left, top, x, y), (x, top, right, y), (left, y, x, bottom), (x, y, right, bottom)]


def _pool4(vectors_nd: FloatArray) -> FloatArray:
    mean = vectors_nd.reshape(-1, 4, vectors_nd.shape[1]).mean(axis=1)
    pooled: FloatArray = (mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return pooled
