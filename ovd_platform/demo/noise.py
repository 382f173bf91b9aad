"""Multi-octave noise fields.

Belongs here: textures as arrays; what they modulate is decided by `optical` and `ground`.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def octave_noise(rng: np.random.Generator, shape_hw: tuple[int, int], cells: tuple[tuple[float, float], ...]) -> FloatArray:
    """Sum of smoothly interpolated random lattices.

    Args:
        rng: Source of randomness.
        shape_hw: Size of the result.
        cells: (spacing of the lattice in samples, weight) per octave; a spacing of 1 is white noise.

    Returns:
        New array (H, W) float32 of about zero mean and unit variance.
    """
    height, width = shape_hw
    total = np.zeros(shape_hw, np.float32)
    power = 0.0
    for spacing, weight in cells:
        power += weight**2
        if spacing <= 1:
            total += rng.standard_normal(shape_hw, np.float32) * np.float32(weight)
            continue
        rows, cols = int(height / spacing) + 4, int(width / spacing) + 4
        lattice = rng.standard_normal((rows, cols), np.float32) * np.float32(weight * 1.3)
        view = np.array([[1 / spacing, 0, 1.0], [0, 1 / spacing, 1.0]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        if spacing < 12:
            total += cv2.warpAffine(lattice, view, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
            continue
        coarse_hw = (height // 4 + 2, width // 4 + 2)  # smooth at this spacing: interpolate twice, cheaply
        view = np.array([[4 / spacing, 0, 1.0], [0, 4 / spacing, 1.0]], np.float32)
        cubic = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        coarse = cv2.warpAffine(lattice, view, coarse_hw[::-1], flags=cubic, borderMode=cv2.BORDER_REFLECT)
        fine = np.array([[0.25, 0, 0.0], [0, 0.25, 0.0]], np.float32)
        total += cv2.warpAffine(coarse, fine, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
    return total / np.float32(max(power, 1e-9) ** 0.5)
