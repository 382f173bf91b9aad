"""Work prepared ahead in one thread: while the network computes, the next pixels are read and cut.

Belongs here: the hand-over and batches of full size. Does not belong here: reading, cutting (`crops`) and networks.
"""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ovd_platform.raster.identity import is_local

T = TypeVar("T")
_DEPTH = 2


def ahead(items: Iterator[T], depth: int = _DEPTH) -> Iterator[T]:
    """The same items, made in a thread of their own, at most ``depth`` of them waiting; an error of the maker is raised here."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as maker:
        waiting = deque(maker.submit(next, items, end) for _ in range(depth))
        try:
            while True:
                item = waiting.popleft().result()
                if item is end:
                    return
                waiting.append(maker.submit(next, items, end))
                yield item  # type: ignore[misc]
        finally:
            maker.shutdown(cancel_futures=True)


def pays(path: str) -> bool:
    """Whether cutting ahead pays: where a core is free for it, or where reading waits for a network.

    On a machine whose cores all compute, a thread that decodes and resamples only takes turns with them (0.93 of the bare forward
    without it, 0.88 with it, one band, two cores; `benchmarks embed-speed`).

    Args:
        path: Where the scene lies, as its record says.
    """
    return not is_local(path) or torch.get_num_threads() < (os.cpu_count() or 1)


def full_batches(parts: Iterator[tuple[NDArray[np.int64], Tensor]], size: int) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Parts of any length joined and cut into batches of ``size``, the last one shorter.

    Args:
        parts: Row numbers (M,) and images (M, C, H, W).
        size: Images a batch.
    """
    rows: list[NDArray[np.int64]] = []
    images: list[Tensor] = []
    waiting = 0
    for part_rows, part in parts:
        rows.append(part_rows)
        images.append(part)
        waiting += len(part_rows)
        if waiting >= size:
            joined_rows, joined = np.concatenate(rows), torch.cat(images)
            whole = waiting - waiting % size
            for start in range(0, whole, size):
                yield joined_rows[start : start + size], joined[start : start + size]
            rows, images, waiting = [joined_rows[whole:]], [joined[whole:]], waiting - whole
    if waiting:
        yield np.concatenate(rows), torch.cat(images)
