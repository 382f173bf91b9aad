"""Which scenes without georeference show the same place: matching of thumbnails.

Belongs here: grouping by what is seen, so that splits do not leak. Does not belong here: the split itself. Measured on 60
airport images of 50 cm (640 px thumbnails): pairs of one place reach 10 to 470 consistent matches at unit scale, pairs of
different places at most 6.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.datasets.union_find import UnionFind
from ovd_platform.errors import ShapeError

_log = logging.getLogger(__name__)
FEATURES = 1500
RATIO = 0.85
REPROJECTION_PX = 3.0
SURE_INLIERS = 15
ALIGNED_INLIERS = 8
ALIGNED_SCALE = 0.02
ALIGNED_ROTATION_DEG = 1.0


@dataclass(frozen=True, slots=True)
class AppearanceMatch:
    """How well two thumbnails agree.

    Attributes:
        one: Scene id.
        other: Scene id.
        inliers: Matches that agree with one similarity transform.
        scale: Scale of that transform.
        rotation_deg: Its rotation, degrees.
    """

    one: str
    other: str
    inliers: int
    scale: float
    rotation_deg: float

    @property
    def same_place(self) -> bool:
        """Many consistent matches, or fewer that need neither scaling nor rotation (two dates of one north-up grid)."""
        if not 0.4 <= self.scale <= 2.5:
            return False
        aligned = abs(self.scale - 1) <= ALIGNED_SCALE and abs(self.rotation_deg) <= ALIGNED_ROTATION_DEG
        return self.inliers >= (ALIGNED_INLIERS if aligned else SURE_INLIERS)


def appearance_groups(
    thumbnails: Mapping[str, NDArray[np.uint8]], *, progress: Callable[[int, int, str], None] | None = None
) -> dict[str, str]:
    """Group scenes that show the same place, by SIFT matches consistent with one similarity transform.

    Args:
        thumbnails: Shape (H, W, 3), uint8, by scene id; about 640 px a side (a quarter of the size for 2,560 px scenes).
        progress: Called with (done, total, what) once a scene.

    Returns:
        A group name for each scene id: the smallest id of the group; a scene that matches no other is its own group.

    Raises:
        ShapeError: If a thumbnail is not (H, W, 3) uint8.
    """
    groups = UnionFind(thumbnails)
    for match in appearance_matches(thumbnails, progress=progress):
        if match.same_place:
            groups.join(match.one, match.other)
    return {name: groups.find(name) for name in sorted(thumbnails)}


def appearance_matches(
    thumbnails: Mapping[str, NDArray[np.uint8]], *, progress: Callable[[int, int, str], None] | None = None
) -> list[AppearanceMatch]:
    """Every pair with enough raw matches to ask, sorted by falling inliers; arguments as in `appearance_groups`."""
    names = sorted(thumbnails)
    features = {name: _features(name, thumbnails[name]) for name in names}
    matches = []
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            match = _match(one, features[one], other, features[other])
            if match is not None:
                matches.append(match)
        if progress is not None:
            progress(index + 1, len(names), "thumbnails matched")
    matches.sort(key=lambda match: (-match.inliers, match.one, match.other))
    return matches


def _features(name: str, thumbnail_hwc: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Key points (N, 2) and unit RootSIFT descriptors (N, 128)."""
    if thumbnail_hwc.ndim != 3 or thumbnail_hwc.shape[2] != 3 or thumbnail_hwc.dtype != np.uint8:
        raise ShapeError(
            f"Cannot compare the thumbnail of {name}: expected (H, W, 3) uint8, got {thumbnail_hwc.shape} "
            f"{thumbnail_hwc.dtype}. Make it again."
        )
    import cv2

    library: Any = cv2  # its type stubs lack SIFT
    grey_hw = library.createCLAHE(3.0, (8, 8)).apply(np.asarray(thumbnail_hwc.mean(axis=2), dtype=np.uint8))
    points, descriptors = library.SIFT_create(FEATURES).detectAndCompute(grey_hw, None)
    if descriptors is None or len(points) < 2:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    root = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return np.array([point.pt for point in points], dtype=np.float32), root


def _match(
    one: str,
    features_one: tuple[NDArray[np.float32], NDArray[np.float32]],
    other: str,
    features_other: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> AppearanceMatch | None:
    """Ratio test, mutual nearest neighbours, then a similarity transform by RANSAC; None if too little matches."""
    import cv2

    (points_one, descriptors_one), (points_other, descriptors_other) = features_one, features_other
    if len(points_one) < 2 or len(points_other) < 2:
        return None
    similarity_nm = descriptors_one @ descriptors_other.T
    best_n = similarity_nm.argmax(axis=1)
    rows_n = np.arange(len(best_n))
    first_n = similarity_nm[rows_n, best_n]
    mutual_n = similarity_nm.argmax(axis=0)[best_n] == rows_n
    similarity_nm[rows_n, best_n] = -1
    second_n = similarity_nm.max(axis=1)
    good_n = mutual_n & (np.maximum(2 - 2 * first_n, 0) < RATIO**2 * np.maximum(2 - 2 * second_n, 0))
    if good_n.sum() < ALIGNED_INLIERS:
        return None
    cv2.setRNGSeed(0)
    transform, inside = cv2.estimateAffinePartial2D(
        points_one[good_n], points_other[best_n[good_n]], method=cv2.RANSAC, ransacReprojThreshold=REPROJECTION_PX
    )
    if transform is None:
        return None
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    rotation = float(np.degrees(np.arctan2(transform[1, 0], transform[0, 0])))
    return AppearanceMatch(one, other, int(inside.sum()), scale, rotation)
