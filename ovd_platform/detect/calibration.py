"""What was fitted on labelled scenes, as a stored artifact. Belongs here: the record, its files; fitting is `calibrate`'s."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ovd_platform.detect.probability import Kind, ProbabilityMap
from ovd_platform.detect.prototypes import FloatArray, PrototypeSpace
from ovd_platform.detect.reach import Reach
from ovd_platform.errors import StaleError

LAYOUT = 2
"""Of the head's columns and of what scores are made of; 1 had raw objectness among the columns."""


@dataclass(frozen=True, slots=True)
class ClassCalibration:
    """What was fitted for one class.

    Attributes:
        name: Class name.
        kind: What scores it: margins to prototypes, or a logistic head.
        positives: Proposals that match a label of the class.
        negatives: Proposals of labelled scenes that do not.
        visual_weight: Share of the visual margin in the similarity, [0, 1]; the rest is the text margin.
        objectness_weight: Weight of the log-odds of objectness in the score, beside the margin or the head.
        slope: Of probability = sigmoid(slope score + intercept); None abstains.
        intercept: Of the same.
        beta: Bends the logistic where there are some dozen examples; see `probability.ProbabilityMap`.
        curve: Replaces it where there are hundreds.
        threshold: Lowest accepted score; None accepts nothing.
        precision: Precision at the threshold on held-out folds, with its 95 % Wilson interval.
        precision_low: Lower end.
        precision_high: Upper end.
        recall: Share of matched proposals, duplicates removed, accepted at the threshold.
        average_precision: Of the held-out scores.
        context_range: Water fractions usual for the class (low, high), or None where not known.
        reason: Why it abstains or accepts nothing; "" if it does neither.
    """

    name: str
    kind: Literal["prototype", "head"]
    positives: int
    negatives: int
    visual_weight: float
    objectness_weight: float
    slope: float | None = None
    intercept: float | None = None
    threshold: float | None = None
    precision: float | None = None
    precision_low: float | None = None
    precision_high: float | None = None
    recall: float | None = None
    average_precision: float | None = None
    context_range: tuple[float, float] | None = None
    reason: str = ""
    beta: tuple[float, float, float] | None = None
    curve: tuple[tuple[float, float], ...] = ()

    def probability(self, score_n: NDArray[np.floating]) -> NDArray[np.float64] | None:
        """Calibrated probabilities of scores, or None where the class abstains."""
        if self.slope is None or self.intercept is None:
            return None
        kind: Kind = "isotonic" if self.curve else "beta" if self.beta else "platt"
        return ProbabilityMap(kind, self.slope, self.intercept, self.beta, self.curve)(score_n)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Everything detection needs besides the rows and the vocabulary.

    Attributes:
        classes: One entry a class of the vocabulary it was fitted with.
        space: Where vectors are compared.
        text_vectors_kd: Words of each class as embedded, shape (K, E); E is 0 without a language tower.
        prototypes: Visual prototypes of each class, centred unit, each (P, D).
        heads: Coefficients of the classes of kind ``head``: over [visual sqrt(D), text margin, visual margin, 1].
        encoder: Encoder version of the rows.
        proposer: Proposer version of the rows.
        vocabulary: Version of the vocabulary it was fitted with.
        target_precision: What thresholds aim at.
        scenes: Labelled scenes it rests on, sorted.
        reach: For which scenes the measured precision speaks.
    """

    classes: tuple[ClassCalibration, ...]
    space: PrototypeSpace
    text_vectors_kd: FloatArray
    prototypes: dict[str, FloatArray]
    heads: dict[str, FloatArray]
    encoder: str
    proposer: str
    vocabulary: str
    target_precision: float
    scenes: tuple[str, ...]
    reach: Reach = field(default_factory=Reach.anywhere)

    def entry(self, name: str) -> ClassCalibration | None:
        """What was fitted for a class, or None."""
        return next((entry for entry in self.classes if entry.name == name), None)

    @cached_property
    def version(self) -> str:
        """Hash of all facts and arrays, 16 hex digits."""
        digest = hashlib.sha256(json.dumps(self._facts(), sort_keys=True).encode())
        for name, array in sorted(self._arrays().items()):
            digest.update(f"{name}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array, dtype=np.float32).tobytes())
        return digest.hexdigest()[:16]

    def save(self, folder: Path) -> Path:
        """Write ``calibration.npz`` and, last, ``calibration.json``; returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = self._arrays()
        with (folder / "calibration.npz").open("wb") as stream:
            np.savez(stream, **arrays)
        pending = folder / ".calibration.json.part"
        pending.write_text(json.dumps({**self._facts(), "version": self.version, "layout": LAYOUT}, indent=2, sort_keys=True))
        pending.replace(folder / "calibration.json")
        return folder

    def _facts(self) -> dict[str, Any]:
        return {
            "classes": [asdict(entry) for entry in self.classes],
            "encoder": self.encoder,
            "proposer": self.proposer,
            "vocabulary": self.vocabulary,
            "target_precision": self.target_precision,
            "scenes": list(self.scenes),
            **(
                {"reach": {"instruments": list(self.reach.instruments), "spread": self.reach.spread}}
                if self.reach.instruments
                else {}
            ),
        }

    def _arrays(self) -> dict[str, FloatArray]:
        arrays = {f"space/{name}": getattr(self.space, name) for name in PrototypeSpace.__dataclass_fields__}
        arrays["text_vectors_kd"] = self.text_vectors_kd
        if self.reach.instruments:
            arrays |= {"reach/means_sd": self.reach.means_sd, "reach/rows_s": self.reach.rows_s}
        arrays.update({f"prototypes/{name}": array for name, array in self.prototypes.items()})
        arrays.update({f"heads/{name}": array for name, array in self.heads.items()})
        return arrays


def load_calibration(folder: Path) -> Calibration:
    """Read what `Calibration.save` wrote.

    Raises:
        StaleError: If it is not there, of an older layout, or the two files do not belong together.
    """
    path = folder / "calibration.json"
    if not path.exists():
        raise StaleError(
            f"Cannot load the calibration {folder}: expected calibration.json, got no such file. Calibrate the release."
        )
    facts = json.loads(path.read_text())
    if facts.pop("layout", 1) != LAYOUT:
        raise StaleError(
            f"Cannot load the calibration {folder}: expected one of this version of the platform, got an older one, whose scores "
            "mean something else. Fit it again with `ovd train`."
        )
    with np.load(folder / "calibration.npz", allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    version = facts.pop("version")
    for entry in facts["classes"]:
        entry["context_range"] = tuple(entry["context_range"]) if entry["context_range"] else None
        entry["beta"] = tuple(entry["beta"]) if entry.get("beta") else None
        entry["curve"] = tuple((score, value) for score, value in entry.get("curve", ()))
    named = {
        part: {name.split("/", 1)[1]: array for name, array in arrays.items() if name.startswith(f"{part}/")}
        for part in ("space", "prototypes", "heads", "reach")
    }
    reach = facts.pop("reach", None)
    calibration = Calibration(
        classes=tuple(ClassCalibration(**entry) for entry in facts.pop("classes")),
        space=PrototypeSpace(**named["space"]),
        text_vectors_kd=arrays["text_vectors_kd"],
        prototypes=named["prototypes"],
        heads=named["heads"],
        scenes=tuple(facts.pop("scenes")),
        reach=Reach(tuple(reach["instruments"]), **named["reach"], spread=reach["spread"]) if reach else Reach.anywhere(),
        **facts,
    )
    if calibration.version != version:
        raise StaleError(
            f"Cannot load the calibration {folder}: expected version {version}, got {calibration.version}. Calibrate again."
        )
    return calibration
