"""Embedded images of a page at their native pixels. Belongs here: finding, decoding, turning upright; judging them is kind's.

PyMuPDF's own decoder always answers in 8 bits. Sixteen-bit samples and JPEG 2000 are therefore decoded from the stream.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import md5
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.opening import pdf_errors
from ovd_platform.documents.page_boxes import Box, gap_y, union_box
from ovd_platform.documents.placement import Placement
from ovd_platform.documents.tiled_images import join_tiles
from ovd_platform.errors import UnreadableDocumentError

_log = logging.getLogger(__name__)
_MAX_PIXELS = 100_000_000
_STRIP_ASPECT = 3.0


def find_placements(page: Any, textpage: Any | None = None) -> list[Placement]:
    """All images drawn on a page, strips of one image joined, in reading order.

    Args:
        page: An open PyMuPDF page without rotation.
        textpage: Its text page made with images, where the caller has one.

    Returns:
        New list, sorted by top, then left.
    """
    import pymupdf

    infos = (textpage or page.get_textpage(flags=pymupdf.TEXT_PRESERVE_IMAGES)).extractIMGINFO()
    if not infos:
        return []
    document = page.parent
    embedded = page.get_images(full=True)
    smasks = {int(entry[0]): int(entry[1]) for entry in embedded}
    found = []
    for info, xref, digest in _identified(page, infos, embedded):
        box = tuple(map(float, info["bbox"]))
        if box[2] - box[0] <= 0 or box[3] - box[1] <= 0:
            continue
        a, b, c, d = (float(value) for value in info["transform"][:4])
        stencil = int(info["colorspace"]) == 0 and int(info["bpc"]) <= 1
        found.append(
            Placement(
                (box[0], box[1], box[2], box[3]),
                xref,
                smasks.get(xref, 0),
                digest,
                int(info["width"]),
                int(info["height"]),
                int(info["bpc"]),
                (a, b, c, d),
                stencil,
            )
        )
    found.sort(key=lambda item: (round(item.box[1], 1), item.box[0], item.xref))
    joined = _join_strips(found)
    return join_tiles(joined, lambda item: _decode_row(document, page, item)) if len(joined) > 1 else joined


def _identified(
    page: Any, infos: Sequence[dict[str, Any]], embedded: Sequence[Any]
) -> Iterator[tuple[dict[str, Any], int, str]]:
    """Each drawn image with its object number (0 for an inlined one) and its digest.

    Sizes in pixels tell most images of a page apart; only where they do not are pixels decoded and compared, as PyMuPDF does.
    """
    document = page.parent
    by_size: dict[tuple[int, int], dict[bytes, int]] = {}
    for xref, size in {int(entry[0]): (int(entry[2]), int(entry[3])) for entry in embedded}.items():
        by_size.setdefault(size, {}).setdefault(document.xref_stream_raw(xref) or b"", xref)
    found: list[tuple[dict[str, Any], int, str]] = []
    for info in infos:
        alike = list(by_size.get((int(info["width"]), int(info["height"])), {}).items())
        if len(alike) != 1:
            break
        found.append((info, alike[0][1], _digest(alike[0][0])))
    else:
        yield from found
        return
    digests = {xref: _digest(stream) for streams in by_size.values() for stream, xref in streams.items()}
    for info in page.get_image_info(hashes=True, xrefs=True):
        xref = int(info["xref"])
        if xref and xref not in digests:
            digests[xref] = _digest(document.xref_stream_raw(xref) or b"")
        yield info, xref, digests[xref] if xref else info["digest"].hex()


def _digest(data: bytes) -> str:
    return md5(data, usedforsecurity=False).hexdigest()


def _join_strips(placements: list[Placement]) -> list[Placement]:
    """Images that a writer cut into horizontal strips become one placement again."""
    joined: list[Placement] = []
    by_left: dict[int, list[int]] = {}  # where strips that may go on stand, by their left edge
    for item in placements:
        left = round(item.box[0])
        places = [place for edge in (left - 1, left, left + 1) for place in by_left.get(edge, ())] if _flat(item) else []
        place = next((place for place in sorted(places) if _continues(joined[place], item)), None)
        if place is None:
            if _flat(item):
                by_left.setdefault(left, []).append(len(joined))
            joined.append(item)
            continue
        above = joined[place]
        joined[place] = replace(
            above,
            box=union_box([above.box, item.box]),
            digest=f"{above.digest}+{item.digest}",
            strips=(*above.strips, item),
        )
    return joined


def _flat(item: Placement) -> bool:
    return item.width_px >= _STRIP_ASPECT * item.height_px


def _continues(above: Placement, item: Placement) -> bool:
    same_columns = (
        abs(above.box[0] - item.box[0]) < 1 and abs(above.box[2] - item.box[2]) < 1 and above.width_px == item.width_px
    )
    return same_columns and item.box[1] > above.box[1] and -3.5 <= gap_y(above.box, item.box) <= 1.5


def decode_placement(document: Any, page: Any, placement: Placement) -> NDArray[Any]:
    """Native pixels of a placed image, upright as the page shows it.

    Args:
        document: The open PyMuPDF document.
        page: The page of the placement.
        placement: One result of `find_placements` of that page.

    Returns:
        New array, shape (H, W) or (H, W, 3), uint8, or uint16 where the document holds more than eight bits.

    Raises:
        UnreadableDocumentError: If the image cannot be decoded or is larger than 100 megapixels.
    """
    parts = (placement, *placement.strips)
    if sum(part.width_px * part.height_px for part in parts) > _MAX_PIXELS:
        raise UnreadableDocumentError(
            f"Cannot decode image {placement.xref}: expected at most {_MAX_PIXELS} pixels, got "
            f"{placement.width_px} x {placement.height_px}. Extract it by hand."
        )
    arrays = [_decode_row(document, page, part) for part in parts]
    if len(arrays) == 1:
        return arrays[0]
    if any(array.ndim != arrays[0].ndim or array.dtype != arrays[0].dtype for array in arrays):
        arrays = [_eight_bit_rgb(array) for array in arrays]
    return np.concatenate(arrays, axis=0)


def _decode_row(document: Any, page: Any, placement: Placement) -> NDArray[Any]:
    """A placement and what lies beside it, upright; not what lies below."""
    first = upright(_decode_one(document, page, placement), placement.transform)
    if not placement.beside:
        return first
    arrays = [first, *(upright(_decode_one(document, page, part), part.transform) for part in placement.beside)]
    if any(array.ndim != arrays[0].ndim or array.dtype != arrays[0].dtype for array in arrays):
        arrays = [_eight_bit_rgb(array) for array in arrays]
    return np.concatenate(arrays, axis=1)


def _decode_one(document: Any, page: Any, placement: Placement) -> NDArray[Any]:
    import pymupdf

    try:
        if placement.xref == 0:
            return _inline(page, placement)
        deep = _deep_samples(document, placement) if placement.smask == 0 else None
        if deep is not None:
            return deep
        pixmap = pymupdf.Pixmap(document, placement.xref)
        array = _pixmap_array(pixmap)
        if placement.smask:
            array = _over_white(array, _pixmap_array(pymupdf.Pixmap(document, placement.smask)))
    except pdf_errors() as error:
        raise UnreadableDocumentError(
            f"Cannot decode image {placement.xref} of page {page.number}: expected image data, got {error}. The rest goes on."
        ) from error
    return array


def _inline(page: Any, placement: Placement) -> NDArray[Any]:
    """An image without an object number: the display list still holds it."""
    import pymupdf

    for block in page.get_text("dict", flags=pymupdf.TEXT_PRESERVE_IMAGES)["blocks"]:
        near = block["type"] == 1 and max(abs(p - q) for p, q in zip(block["bbox"], placement.box, strict=True)) < 0.5
        if near and (block["width"], block["height"]) == (placement.width_px, placement.height_px):
            return _pixmap_array(pymupdf.Pixmap(block["image"]))
    scale = max(placement.width_px / max(placement.box[2] - placement.box[0], 1e-3), 0.5)
    return render_box(page, placement.box, scale=min(scale, 8.0))


def _deep_samples(document: Any, placement: Placement) -> NDArray[Any] | None:
    """Samples of more than eight bits as uint16, or None where the ordinary decoder loses nothing."""
    xref, shape = placement.xref, (placement.height_px, placement.width_px)
    if "JPXDecode" in document.xref_get_key(xref, "Filter")[1]:
        return _jpeg2000(document.xref_stream_raw(xref), shape)
    if document.xref_get_key(xref, "BitsPerComponent")[1] != "16":
        return None
    data = document.xref_stream(xref) or b""
    components, rest = divmod(len(data), 2 * shape[0] * shape[1])
    if rest or components not in (1, 3):
        return None
    samples = np.frombuffer(data, dtype=">u2").astype(np.uint16).reshape(*shape, components)
    return samples[..., 0] if components == 1 else samples


def _jpeg2000(data: bytes, shape: tuple[int, int]) -> NDArray[Any] | None:
    import imagecodecs

    try:
        array = np.asarray(imagecodecs.jpeg2k_decode(data))
    except (RuntimeError, ValueError) as error:
        _log.debug("JPEG 2000 stream left to the ordinary decoder: %s", error)
        return None
    deep = array.dtype == np.uint16 and array.shape[:2] == shape and (array.ndim == 2 or array.shape[2] == 3)
    return array if deep else None


def _pixmap_array(pixmap: Any) -> NDArray[np.uint8]:
    """Grey or RGB pixels of a pixmap in any colour space; transparency over white."""
    import pymupdf

    if pixmap.colorspace is None:  # only alpha: a stencil, inked where it is opaque
        return np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width).copy()
    if pixmap.colorspace.n not in (1, 3):
        pixmap = pymupdf.Pixmap(pymupdf.csRGB, pixmap)
    rows = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.stride)
    array = rows[:, : pixmap.width * pixmap.n].reshape(pixmap.height, pixmap.width, pixmap.n)
    if pixmap.alpha:
        return _over_white(array[..., :-1].squeeze(), array[..., -1])
    return array.squeeze(axis=2).copy() if pixmap.n == 1 else array.copy()


def _over_white(image: NDArray[np.uint8], alpha_hw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if alpha_hw.ndim != 2 or alpha_hw.shape != image.shape[:2]:
        return image
    alpha = alpha_hw.astype(np.float32)[..., None] / 255 if image.ndim == 3 else alpha_hw.astype(np.float32) / 255
    return np.rint(image * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _eight_bit_rgb(array: NDArray[Any]) -> NDArray[np.uint8]:
    eight = (array >> 8).astype(np.uint8) if array.dtype == np.uint16 else array.astype(np.uint8)
    return np.repeat(eight[..., None], 3, axis=2) if eight.ndim == 2 else eight


def upright(array: NDArray[Any], transform: tuple[float, float, float, float]) -> NDArray[Any]:
    """Turn stored pixels the way the page shows them, without resampling.

    Args:
        array: Shape (H, W) or (H, W, C).
        transform: (a, b, c, d) of unit square (right, down) -> page (right, down).

    Returns:
        A view or copy, mirrored and turned by multiples of 90 degrees; other angles are left as stored.
    """
    a, b, c, d = transform
    if abs(a) + abs(d) >= abs(b) + abs(c):
        array = array[:, ::-1] if a < 0 else array
        array = array[::-1] if d < 0 else array
    else:
        array = np.swapaxes(array, 0, 1)
        array = array[:, ::-1] if c < 0 else array
        array = array[::-1] if b < 0 else array
    return np.ascontiguousarray(array)


def render_box(page: Any, box: Box, *, scale: float = 2.5, max_side_px: int = 2000) -> NDArray[np.uint8]:
    """A part of a page as people see it.

    Args:
        page: An open PyMuPDF page.
        box: Page box in points.
        scale: Pixels per point (2.5 = 180 dpi).
        max_side_px: The longer side is kept below this.

    Returns:
        New array, shape (H, W, 3), uint8.
    """
    import pymupdf

    longest = max(box[2] - box[0], box[3] - box[1], 1.0)
    factor = min(scale, max_side_px / longest)
    return _pixmap_array(page.get_pixmap(matrix=pymupdf.Matrix(factor, factor), clip=pymupdf.Rect(box), alpha=False))
