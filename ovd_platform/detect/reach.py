"""For which scenes a measured precision speaks: those that look like a judged one.

Belongs here: that one question. Does not belong here: thresholds (`thresholds`), drift of an index (`search`).

Vectors of another instrument can lie elsewhere as a whole. A scene of an instrument that was judged is within reach, and so is one whose
proposals lie where those of a judged scene do. Detections elsewhere are flagged, not dropped.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ovd_platform.stores.vector_rows import vectors_of

FAR = 0.4
"""Distance of scene means, in spreads of the vectors inside a scene, from which a scene is unlike a judged one."""


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """What judged scenes look like.

    Attributes:
        instruments: Instruments that were judged, sorted.
        means_sd: Mean visual vector of each judged scene, shape (S, D).
        rows_s: Proposals each rests on, shape (S,).
        spread: Root mean square distance of vectors to the mean of their scene.
    """

    instruments: tuple[str, ...]
    means_sd: NDArray[np.float32]
    rows_s: NDArray[np.float32]
    spread: float

    @classmethod
    def of(cls, rows: pa.Table) -> "Reach":
        """Look at the proposal rows of all judged scenes."""
        vectors_nd = vectors_of(rows, "visual")
        scene_n = np.array(rows["scene_id"].to_pylist(), dtype=str)
        _, place_n, rows_s = np.unique(scene_n, return_inverse=True, return_counts=True)
        means_sd = np.zeros((len(rows_s), vectors_nd.shape[1]), dtype=np.float64)
        np.add.at(means_sd, place_n, vectors_nd)
        means_sd /= rows_s[:, None]
        away_n = ((vectors_nd - means_sd[place_n]) ** 2).sum(axis=1)
        spread = float(np.sqrt(away_n.mean())) if len(away_n) else 0.0
        instruments = tuple(sorted(set(rows["instrument"].to_pylist())))
        return cls(instruments, means_sd.astype(np.float32), rows_s.astype(np.float32), spread)

    @classmethod
    def anywhere(cls) -> "Reach":
        """Of a calibration that rests on no scene, or was made before scenes were looked at: every scene is within reach."""
        return cls((), np.zeros((0, 0), np.float32), np.zeros(0, np.float32), 0.0)

    def holds_for(self, rows: pa.Table) -> bool:
        """Whether precision was measured on scenes like this one.

        Args:
            rows: Its proposal rows with vectors.

        Returns:
            True without rows and where no scene was judged: there is nothing to say.
        """
        if not len(rows) or not len(self.rows_s) or set(rows["instrument"].to_pylist()) <= set(self.instruments):
            return True
        mean_d = vectors_of(rows, "visual").mean(axis=0)
        chance_s = self.spread**2 * (1 / len(rows) + 1 / self.rows_s)  # means of few rows differ by chance
        away_s = ((self.means_sd - mean_d) ** 2).sum(axis=1) - chance_s
        return bool(away_s.min() <= (FAR * self.spread) ** 2)
