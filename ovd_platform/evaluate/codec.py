"""What compression does to the answers: drift of vectors with its tail, and AP of the same proposals on archived pixels.

Belongs here: the figures by instrument. Does not belong here: fidelity of pixels (`archive.quality`), or decoding and embedding
(`flow.second_answers`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.evaluate.bootstrap import plain
from ovd_platform.evaluate.coco import evaluate_coco
from ovd_platform.evaluate.inputs import EvaluationInput
from ovd_platform.evaluate.prepared import Prepared
from ovd_platform.evaluate.scene_boxes import detection_boxes

FIGURES = ("ap", "ap50", "ap_small")


def cosine_drift(before_nd: NDArray[np.floating[Any]], after_nd: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """One minus the cosine of each pair of vectors, shape (N,), [0, 2]. New array; vectors need not be unit."""
    before, after = np.asarray(before_nd, dtype=np.float64), np.asarray(after_nd, dtype=np.float64)
    length = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosine_n = (before * after).sum(axis=1) / np.where(length > 0, length, 1.0)
    return np.asarray(np.clip(1.0 - cosine_n, 0.0, 2.0))


def codec_section(ready: Prepared) -> dict[str, Any] | None:
    """Drift, and AP on original and on archived pixels, by instrument; None where no archive was read.

    Few scenes are read twice, so no intervals are stated: a difference here is a reason to look, not a finding.
    """
    given = ready.given
    if not given.archived_detections:
        return None
    section: dict[str, Any] = {}
    for instrument in sorted({record.instrument for record in ready.records if record.scene_id in given.archived_detections}):
        wanted = [
            s
            for s, one in enumerate(ready.records)
            if one.instrument == instrument and one.scene_id in given.archived_detections
        ]
        drift_n = np.concatenate([given.archived_drift[ready.records[s].scene_id] for s in wanted])
        section[instrument] = {
            "scenes": len(wanted),
            "vectors": len(drift_n),
            "drift": {
                name: _quantile(drift_n, share) for name, share in (("median", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
            },
            "original": _figures(ready, wanted, given.detections),
            "archived": _figures(ready, wanted, given.archived_detections),
        }
    return section


def _quantile(values: NDArray[np.float64], share: float) -> float | None:
    return plain(float(np.quantile(values, share))) if len(values) else None


def _figures(ready: Prepared, wanted: list[int], found: Any) -> dict[str, float | None]:
    given: EvaluationInput = ready.given
    scenes = [
        detection_boxes(
            ready.records[s].scene_id,
            ready.labels[s],
            found.get(ready.records[s].scene_id, ()),
            ready.names,
            areas_px2=given.label_areas_px2 or None,
        )
        for s in wanted
    ]
    figures = evaluate_coco(scenes, ready.names).figures
    return {name: figures[name] for name in FIGURES}
