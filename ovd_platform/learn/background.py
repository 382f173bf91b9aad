"""Background boxes: where no label is, of the sizes labels have, half of them where there is structure.

Belongs here: choosing negatives from pixels and labels. Does not belong here: cutting and training (regions).
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ovd_platform.learn.chips import choose_corners
from ovd_platform.raster.radiometry import InstrumentProfile, normalise
from ovd_platform.records.window import Window

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene

_BLOCK_PX = 640
_PER_BLOCK = 12


def sample_background(
    scene: "Scene",
    profile: InstrumentProfile,
    labelled_n4: NDArray[np.float32],
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Boxes without a labelled object.

    Args:
        scene: Open scene.
        profile: Its normalisation.
        labelled_n4: Boxes of every label in the scene, shape (N, 4); a background box touches none of them.
        count: Boxes wanted; fewer come back from a crowded or empty scene.
        rng: Source of chance.

    Returns:
        Shape (M, 4), float32, scene pixels.
    """
    record = scene.record
    sides = (labelled_n4[:, 2:] - labelled_n4[:, :2]).max(axis=1) if len(labelled_n4) else np.array([16.0, 24.0, 40.0, 64.0])
    block_px = min(_BLOCK_PX, max(record.width_px, record.height_px))
    found: list[tuple[float, float, float, float]] = []
    for _ in range(3 * -(-count // _PER_BLOCK)):
        if len(found) >= count:
            break
        col = int(rng.integers(0, max(1, record.width_px - block_px + 1)))
        row = int(rng.integers(0, max(1, record.height_px - block_px + 1)))
        chip = scene.read(Window(col, row, block_px, block_px))
        if not chip.valid_hw.any():
            continue
        planes_chw = normalise(chip.pixels_chw, chip.valid_hw, profile)
        for _ in range(_PER_BLOCK // 2):
            side = float(rng.choice(sides)) * float(np.exp(rng.uniform(-0.4, 0.4)))
            square = int(np.clip(1.5 * side, 8, block_px))
            for x, y in choose_corners(planes_chw, chip.valid_hw, 2, square, rng):
                margin = (square - min(side, square)) / 2
                box = (col + x + margin, row + y + margin, col + x + square - margin, row + y + square - margin)
                if not _touches(box, labelled_n4):
                    found.append(box)
    return np.array(found[:count], dtype=np.float32).reshape(-1, 4)


def _touches(box: tuple[float, float, float, float], boxes_n4: NDArray[np.float32]) -> bool:
    x0, y0, x1, y1 = box
    return bool(np.any((boxes_n4[:, 0] < x1) & (boxes_n4[:, 2] > x0) & (boxes_n4[:, 1] < y1) & (boxes_n4[:, 3] > y0)))
