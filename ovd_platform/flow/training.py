"""Training stages: shards, backbone, domain CLIP, proposer. They run on request, never because one scene arrived."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.flow.document_examples import save_examples
from ovd_platform.flow.labels import load_split, make_split, training_annotations
from ovd_platform.flow.models import NO_MODEL, Starter
from ovd_platform.flow.pair_dataset import PAIR_DATASET
from ovd_platform.flow.radiometry import settings_of_models, takes_shipped_values
from ovd_platform.flow.scenes import instrument_profiles, load_profile, open_registered
from ovd_platform.flow.stage import Built, Inputs, Stage, Task, current, current_or_none, version_of
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import content_hash, write_json

if TYPE_CHECKING:
    from ovd_platform.raster.radiometry import InstrumentProfile
    from ovd_platform.raster.scene import Scene

_PAIRS_FOR_ALL_MINUTES = 150

__all__ = ["BACKBONE", "DOMAIN_CLIP", "PAIR_DATASET", "TRAINING_SHARDS", "numbers_of", "opened_scenes"]


def opened_scenes(
    ws: Workspace, modality: str, scene_ids: list[str], stack: ExitStack
) -> "list[tuple[Scene, InstrumentProfile]]":
    """Scenes with their profiles, open until the stack closes."""
    return [
        (stack.enter_context(open_registered(ws, modality, scene_id)), load_profile(ws, modality, scene_id))
        for scene_id in scene_ids
    ]


# --- shards ------------------------------------------------------------------------------------------------------------------


def _shards_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    learn = ws.config.learn
    return {
        "scene_manifest": version_of(ws, modality, "scene_manifest"),
        "config": content_hash(
            learn.chips_per_scene,
            learn.chip_px,
            ws.config.split.model_dump(),
            ws.config.seed,
            settings_of_models(ws, modality),
        ),
    }


def _build_shards(task: Task) -> Built:
    from ovd_platform.learn.chips import sample_chips

    ws, learn = task.ws, task.ws.config.learn
    split = make_split(ws, task.modality)
    write_json(task.folder / "split.json", split.to_dict())
    with ExitStack() as stack:
        scenes = opened_scenes(ws, task.modality, sorted(split.train), stack)
        shard = sample_chips(scenes, per_scene=learn.chips_per_scene, chip_px=learn.chip_px, seed=ws.config.seed)
    shard.save(task.folder / "chips.npz")
    return Built(
        {
            "chips": len(shard),
            "train_scenes": len(split.train),
            "calibration_scenes": len(split.calibration),
            "test_scenes": len(split.test),
            "notes": "; ".join(split.notes),
        }
    )


TRAINING_SHARDS = Stage("training_shards", "3", _shards_inputs, _build_shards)


# --- backbone ----------------------------------------------------------------------------------------------------------------


def _backbone_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    learn = ws.config.learn
    return {
        "training_shards": version_of(ws, modality, "training_shards"),
        "annotations": version_of(ws, modality, "annotations"),
        "config": content_hash(
            learn.backbone_minutes, learn.regions_minutes, learn.init, ws.config.seed, learn.bands, learn.metadata
        ),
    }


def _build_backbone(task: Task) -> Built:
    from ovd_platform.learn.chips import ChipShard
    from ovd_platform.learn.mae import train_backbone
    from ovd_platform.stores.models import save_model

    ws, learn = task.ws, task.ws.config.learn
    starter = Starter.of(f"{task.modality}-backbone").state() if learn.init == "starter" else None
    checkpoints = ws.home.stage(task.modality, "checkpoints") / f"backbone-{content_hash(dict(task.inputs))}"
    facts: dict[str, Any] = {"init": "starter" if starter is not None else "scratch"}
    state = starter
    as_shipped = learn.bands == "native" and not learn.metadata and takes_shipped_values(ws, task.modality)
    if learn.backbone_minutes > 0 or state is None or not as_shipped:
        shard = ChipShard.load(current(ws, task.modality, "training_shards").folder / "chips.npz")
        trained = train_backbone(
            shard,
            minutes=max(learn.backbone_minutes, 0.1),
            steps=None,
            seed=ws.config.seed,
            init_state=state,
            bands=learn.bands,
            metadata=learn.metadata,
            checkpoint_dir=checkpoints,
        )
        state, facts = trained.state, {**facts, **numbers_of(trained.card)}
    labelled = training_annotations(ws, task.modality)
    if learn.regions_minutes > 0 and labelled:
        from ovd_platform.learn.regions import train_regions

        with ExitStack() as stack:
            scenes = opened_scenes(ws, task.modality, sorted({one.scene_id for one in labelled}), stack)
            regions = train_regions(
                scenes,
                labelled,
                state,
                known=starter if as_shipped else None,
                minutes=learn.regions_minutes,
                steps=None,
                seed=ws.config.seed,
            )
        state, facts = (
            regions.state,
            {**facts, **{f"regions_{name}": value for name, value in numbers_of(regions.card).items()}},
        )
    reading = {"bands": learn.bands, "metadata": learn.metadata}
    card = {
        "recipe": {"init": facts["init"], **reading, "inputs": dict(task.inputs)},
        "scores": facts,
        "rendered": ws.config.rendered,
        "radiometry": settings_of_models(ws, task.modality),
        "profiles": instrument_profiles(ws, task.modality, load_split(ws, task.modality).train),
    }
    version = save_model(ws.home.models, f"{task.modality}-backbone", state, card)
    return Built(facts, version=version)


BACKBONE = Stage("backbone", "3", _backbone_inputs, _build_backbone)


# --- domain CLIP -------------------------------------------------------------------------------------------------------------


def _clip_inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    return {
        "backbone": version_of(ws, modality, "backbone"),
        "pair_dataset": version_of(ws, "shared", "pair_dataset"),
        "config": content_hash(ws.config.learn.clip_minutes, ws.config.seed),
    }


def _build_clip(task: Task) -> Built:
    from ovd_platform.learn.clip import train_clip
    from ovd_platform.stores.models import load_model, save_model

    ws = task.ws
    images, texts = _load_pairs(ws, task.modality)
    if len(images) < 8 or ws.config.learn.clip_minutes <= 0:
        return Built(
            {"pairs": len(images), "note": "too few pairs: search by text is off, search by example works"}, version=NO_MODEL
        )
    backbone, _ = load_model(ws.home.models, f"{task.modality}-backbone", task.inputs["backbone"])
    objects, said = _object_crops(images, texts, task.modality)
    minutes = ws.config.learn.clip_minutes * min(1.0, len(images) / _PAIRS_FOR_ALL_MINUTES)
    trained = train_clip(images + objects, texts + said, None, backbone, minutes=minutes, steps=None, seed=ws.config.seed)
    facts = {"pairs": len(images), "object_crops": len(objects), **numbers_of(trained.card)}
    card = {"recipe": {"inputs": dict(task.inputs)}, "scores": facts, "rendered": ws.config.rendered}
    version = save_model(ws.home.models, f"{task.modality}-domain_clip", trained.state, card)
    save_examples(ws, task.modality, version, backbone, objects or images, said or texts)
    return Built(facts, version=version)


def _object_crops(
    images: list[NDArray[np.float32]], texts: list[list[str]], modality: str
) -> tuple[list[NDArray[np.float32]], list[list[str]]]:
    """The object each picture is about, with the picture's words; empty where no proposer ships for the modality.

    The shipped proposer finds it, not the trained one: else every new proposer would call for a new domain CLIP and new vectors.
    """
    from ovd_platform.learn.clip import VIEW_SPAN
    from ovd_platform.learn.pair_crops import object_box, object_crop
    from ovd_platform.propose.light import LightProposer
    from ovd_platform.stores.models import load_model_dir

    folder = Starter.of(f"{modality}-proposer").folder
    if folder is None:
        return [], []
    proposer = LightProposer(*load_model_dir(folder), "starter")
    found = [(image, words, object_box(image, proposer)) for image, words in zip(images, texts, strict=True)]
    crops = [(object_crop(image, box, VIEW_SPAN), words) for image, words, box in found if box is not None]
    return [crop for crop, _ in crops], [words for _, words in crops]


DOMAIN_CLIP = Stage("domain_clip", "2", _clip_inputs, _build_clip)


def _load_pairs(ws: Workspace, modality: str) -> tuple[list[NDArray[np.float32]], list[list[str]]]:
    """Images in [0, 1] (C, H, W) and their texts, for the pairs of one modality."""
    import cv2
    import pyarrow.parquet as pq

    from ovd_platform.documents.pairs import pairs_from_table

    folder = current(ws, "shared", "pair_dataset").folder
    images, texts = [], []
    for pair in pairs_from_table(pq.read_table(folder / "pairs.parquet")):
        if pair.modality != modality:
            continue
        pixels = cv2.imread(str(folder / "images" / pair.image_path), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            continue
        top = float(np.iinfo(pixels.dtype).max)
        bands = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels[..., 2::-1], -1, 0)
        if len(bands) == 3 and np.array_equal(bands[0], bands[1]) and np.array_equal(bands[1], bands[2]):
            bands = bands[:1]
        images.append(np.ascontiguousarray(bands, dtype=np.float32) / top)
        texts.append([text for text in (pair.caption, *pair.callouts) if text])
    return images, texts


def numbers_of(card: dict[str, Any]) -> dict[str, Any]:
    """Numeric facts of a model card, for metadata plots."""
    flat = {**card, **card.get("scores", {})}
    return {name: value for name, value in flat.items() if isinstance(value, int | float | str | bool) and name != "recipe"}


def split_sides(ws: Workspace, modality: str) -> dict[str, list[str]]:
    """Scene ids by side of the split; empty before anything was sampled for training."""
    if current_or_none(ws, modality, "training_shards") is None:
        return {"train": [], "calibration": [], "test": []}
    split = load_split(ws, modality)
    return {"train": list(split.train), "calibration": list(split.calibration), "test": list(split.test)}
