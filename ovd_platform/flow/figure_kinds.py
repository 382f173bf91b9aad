"""The figure classifier as a stage: trained on made pictures of every kind, measured on pictures it has not seen.

The classifier (documents), the pictures (demo) and the embedding (embed) do not know each other; they meet here.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.flow.models import Starter
from ovd_platform.flow.stage import Built, Inputs, Stage, Task
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.pair import FigureKind
from ovd_platform.stores.home import content_hash, file_hash, read_json, write_json

OF_EACH = 160
_BATCH = 16
_LONGEST_PX = 256
MODEL_FILE = "figure_kinds.json"
Embed = Callable[[Sequence[NDArray[Any]]], NDArray[np.float32]]


def starter_version() -> str:
    """Version of the shipped backbone that embeds figures; "" where none is shipped."""
    folder = Starter.of("optical-backbone").folder
    return "" if folder is None else content_hash(file_hash(folder / "model.safetensors"))


@lru_cache(maxsize=1)
def starter_embedding() -> Embed | None:
    """Embeds pictures, shape (H, W) or (H, W, 3), uint8 or uint16, with the shipped backbone; None where none is shipped.

    The shipped one, not the workspace's own: a figure's kind must not change whenever a backbone is trained.
    """
    state = Starter.of("optical-backbone").state()
    if state is None:
        return None
    import cv2

    from ovd_platform.documents.image_statistics import unit_image
    from ovd_platform.embed.builtin import BuiltinEncoder

    encoder = BuiltinEncoder(state, precision="float32")

    def embed(pictures: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        planes = []
        for picture in pictures:
            image = unit_image(picture)
            scale = _LONGEST_PX / max(image.shape[:2])
            if scale < 1:  # the mean over areas first: the resampling kernel over a large picture takes longer than the network
                size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            planes.append(np.moveaxis(image, -1, 0))
        return encoder.embed_images([(np.ascontiguousarray(plane), None, None, None) for plane in planes])

    return embed


def picture_features(pictures: Sequence[NDArray[Any]], embed: Embed | None) -> NDArray[np.float64]:
    """Features of pictures, shape (N, F)."""
    from ovd_platform.documents.image_statistics import measure
    from ovd_platform.documents.kind_model import features

    looks: list[NDArray[np.float32] | None] = [None] * len(pictures)
    if embed is not None:
        for start in range(0, len(pictures), _BATCH):
            looks[start : start + _BATCH] = [*embed(pictures[start : start + _BATCH])]
    return np.stack([features(measure(picture), look) for picture, look in zip(pictures, looks, strict=True)])


def train_on_made_pictures(seed: int, of_each: int) -> Any:
    """Train the classifier and measure it on made pictures of another seed and on a real photograph it never saw.

    Args:
        seed: Decides the pictures.
        of_each: Pictures of each kind to train on; a quarter as many to measure on.
    """
    from ovd_platform.demo.figures import photographs, random_crop, training_pictures
    from ovd_platform.documents.kind_model import KINDS, logits, train_kind_model, with_facts

    embed = starter_embedding()
    made = list(training_pictures(seed, of_each))
    shown = picture_features([picture for _, picture in made], embed)
    model = train_kind_model(shown, [kind for kind, _ in made], embedding=starter_version())
    unseen: list[tuple[FigureKind, NDArray[Any]]] = list(training_pictures(seed + 7919, max(8, of_each // 4)))
    rng = np.random.default_rng([seed, 82])
    unseen += [("photograph", random_crop(picture, rng)) for picture in photographs(held_out=True) * max(8, of_each // 8)]
    best = logits(model, picture_features([picture for _, picture in unseen], embed)).argmax(axis=1)
    right = Counter(kind for (kind, _), index in zip(unseen, best, strict=True) if KINDS[int(index)] == kind)
    total = Counter(kind for kind, _ in unseen)
    recall = {kind: round(right[kind] / total[kind], 4) for kind in KINDS if total[kind]}
    return with_facts(
        model, {"trained_on": len(made), "measured_on": len(unseen), "recall": recall, "mean_recall": round(float(np.mean([*recall.values()])), 4), "seed": seed}
    )  # fmt: skip


def _inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    return {"embedding": starter_version() or "none", "of_each": str(OF_EACH), "seed": str(ws.config.seed)}


def _build(task: Task) -> Built:
    model = train_on_made_pictures(task.ws.config.seed, OF_EACH)
    write_json(task.folder / MODEL_FILE, model.to_dict())
    facts = model.facts
    recall = {f"recall_{kind}": value for kind, value in facts["recall"].items()}
    return Built(
        {"trained_on": facts["trained_on"], "measured_on": facts["measured_on"], "mean_recall": facts["mean_recall"], **recall}
    )


FIGURE_KINDS = Stage("figure_kinds", "2", _inputs, _build)


def load_kind_model(ws: Workspace) -> Any:
    """The current classifier.

    Raises:
        StaleError: If it was never trained.
    """
    from ovd_platform.documents.kind_model import KindModel
    from ovd_platform.flow.stage import current

    return KindModel.from_dict(read_json(current(ws, "shared", "figure_kinds").folder / MODEL_FILE))
