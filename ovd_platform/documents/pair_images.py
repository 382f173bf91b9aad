"""Extracted images as files. Belongs here: writing and reading PNG at native depth; pixels of scenes are raster's."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import StaleError, UnreadableDocumentError
from ovd_platform.stores.home import atomic_path


def write_image(path: Path, array: NDArray[Any]) -> None:
    """Write a PNG, lossless, eight or sixteen bits as the array has.

    Args:
        path: File to make; its folder comes into being.
        array: Shape (H, W) or (H, W, 3), uint8 or uint16.
    """
    import imagecodecs

    data = imagecodecs.png_encode(np.ascontiguousarray(array), level=4)
    if path.is_file() and path.read_bytes() == data:
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def read_image(path: Path) -> NDArray[Any]:
    """Read a PNG of the pair store.

    Returns:
        New array, shape (H, W) or (H, W, 3), uint8 or uint16.

    Raises:
        StaleError: If the file is gone.
        UnreadableDocumentError: If it is no PNG.
    """
    import imagecodecs

    if not path.is_file():
        raise StaleError(f"Cannot read {path}: expected an extracted image, found nothing. Extract its document again.")
    try:
        return np.asarray(imagecodecs.png_decode(path.read_bytes()))
    except (RuntimeError, ValueError) as error:
        raise UnreadableDocumentError(
            f"Cannot read {path}: expected a PNG, got {error}. Extract its document again."
        ) from error
