"""Images that look the same. Belongs here: difference hash, exact search within a radius; what to do is pairs'."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.image_statistics import brightness, shrunk, unit_image
from ovd_platform.errors import ShapeError

HASH_SIDE = 16
_CHUNKS = 16


def difference_hash(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Difference hash: whether each cell of a 16 x 17 grid is darker than its right neighbour.

    References: Krawetz 2013, "Kind of like that"; here with 256 bits instead of 64.

    Args:
        array: Shape (H, W) or (H, W, 3), uint8 or uint16.

    Returns:
        New array, shape (32,), uint8: 256 packed bits.
    """
    grid = shrunk(brightness(unit_image(array)), HASH_SIDE, HASH_SIDE + 1)
    return np.packbits(grid[:, 1:] > grid[:, :-1])


def thumbnail(array: NDArray[Any], side: int = 32) -> NDArray[np.float32]:
    """Standardised brightness on a grid, shape (side, side), zero mean and unit norm; zero for uniform images."""
    grid = shrunk(brightness(unit_image(array)), side, side)
    centred = grid - grid.mean()
    norm = float(np.linalg.norm(centred))
    return np.asarray(centred / norm if norm > 1e-4 else np.zeros_like(centred), dtype=np.float32)


def near_pairs(hashes_nb: NDArray[np.uint8], radius: int = 12) -> list[tuple[int, int]]:
    """All pairs of hashes that differ in at most `radius` bits.

    Hashes are indexed by their sixteen chunks of 16 bits: two within 15 bits agree in at least one chunk, so nothing is missed.

    Args:
        hashes_nb: Shape (N, 32), uint8.
        radius: Bits, at most 15.

    Returns:
        Sorted index pairs (i, j), i < j.

    Raises:
        ShapeError: If the hashes have another length or the radius is too large for the index.
    """
    if hashes_nb.ndim != 2 or hashes_nb.shape[1] != 2 * _CHUNKS or not 0 <= radius < _CHUNKS:
        raise ShapeError(
            f"Cannot compare hashes: expected shape (N, {2 * _CHUNKS}) and a radius below {_CHUNKS}, "
            f"got {hashes_nb.shape} and {radius}."
        )
    chunks_nc = np.ascontiguousarray(hashes_nb).view(np.uint16)
    found: set[tuple[int, int]] = set()
    for chunk_n in chunks_nc.T:
        order = np.argsort(chunk_n, kind="stable")
        starts = np.flatnonzero(np.r_[True, chunk_n[order][1:] != chunk_n[order][:-1]])
        for members in np.split(order, starts[1:]):
            if len(members) > 1:
                found.update(_close(members, hashes_nb, radius))
    return sorted(found)


def _close(members: NDArray[np.intp], hashes_nb: NDArray[np.uint8], radius: int) -> list[tuple[int, int]]:
    close: list[tuple[int, int]] = []
    for position, i in enumerate(members[:-1]):
        rest = members[position + 1 :]
        distance = np.bitwise_count(hashes_nb[rest] ^ hashes_nb[i]).sum(axis=1)
        close.extend((int(min(i, j)), int(max(i, j))) for j in rest[distance <= radius])
    return close


def similar_pairs(vectors_nd: NDArray[np.float32], least_cosine: float, block: int = 2048) -> list[tuple[int, int]]:
    """All pairs of unit vectors with at least this cosine, exactly, in blocks of bounded memory.

    Args:
        vectors_nd: Unit vectors, shape (N, D), float32.
        least_cosine: In [-1, 1].
        block: Rows compared at once.

    Returns:
        Sorted index pairs (i, j), i < j.

    Raises:
        ShapeError: If the vectors are not a matrix.
    """
    if vectors_nd.ndim != 2:
        raise ShapeError(f"Cannot compare vectors: expected shape (N, D), got {vectors_nd.shape}.")
    found: list[tuple[int, int]] = []
    for start in range(0, len(vectors_nd), block):
        for other in range(start, len(vectors_nd), block):
            close = np.argwhere(vectors_nd[start : start + block] @ vectors_nd[other : other + block].T >= least_cosine)
            found.extend((int(i) + start, int(j) + other) for i, j in close if int(i) + start < int(j) + other)
    return sorted(found)
