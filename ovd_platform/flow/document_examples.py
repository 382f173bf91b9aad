"""Vectors of the documents' pictures, kept beside the domain CLIP of the same pairs: what words stand for, as examples."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ovd_platform.flow.models import NO_MODEL
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import read_json, write_json

if TYPE_CHECKING:
    from torch import Tensor

_VECTORS = "examples.npy"
_WORDS = "examples.json"
_FEWEST = 3


def save_examples(
    ws: Workspace,
    modality: str,
    clip: str,
    backbone: "Mapping[str, Tensor]",
    images: Sequence[NDArray[np.float32]],
    texts: Sequence[Sequence[str]],
) -> None:
    """Embed pictures and keep their vectors and words beside a domain CLIP.

    Args:
        ws: The workspace.
        modality: ``optical`` or ``sar``.
        clip: Version of the domain CLIP.
        backbone: State of its backbone.
        images: Planes in [0, 1], each (C, H, W), float32.
        texts: For each image its texts, the caption first.
    """
    from ovd_platform.embed.builtin import BuiltinEncoder

    folder = ws.home.models / f"{modality}-domain_clip" / clip
    vectors_nd = BuiltinEncoder(backbone).embed_images([(image, None, None, None) for image in images])
    np.save(folder / _VECTORS, vectors_nd)
    write_json(folder / _WORDS, [words[0] for words in texts])


def examples_of(ws: Workspace, modality: str, encoder: str, words: str) -> NDArray[np.float32] | None:
    """Vectors of the pictures whose captions say the words, shape (N, D), or None where the documents hold too few.

    Args:
        ws: The workspace.
        modality: ``optical`` or ``sar``.
        encoder: Version of the encoder that is asked.
        words: The question.
    """
    from ovd_platform.search.document_examples import matching_captions

    clip = read_json(ws.home.models / f"{modality}-encoder" / f"{encoder}.json")["domain_clip"]
    folder = ws.home.models / f"{modality}-domain_clip" / clip
    if clip == NO_MODEL or not (folder / _WORDS).is_file():
        return None
    rows = matching_captions(read_json(folder / _WORDS), words)
    if len(rows) < _FEWEST:
        return None
    vectors: NDArray[np.float32] = np.load(folder / _VECTORS)[rows]
    return vectors
