"""Recipe of the starter weights: rendered scenes -> optical backbone (MAE, then metric head) and class-agnostic proposer.

Command: ``python -m ovd_platform.demo.starter FOLDER [backbone|proposer ...] --minutes M``, about half an hour for each part on two
cores; it goes on from weights that are in the folder already. The scenes use seeds of their own (never those of the demo or the
tests) and hold no dome building, so that the demo's unlabelled class stays unknown to the weights, but they hold examples of
invented structures (`inventions`). Half precision, so that both parts stay below 10 MB.
"""

import argparse
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from ovd_platform.demo.geotiff import GroundFrame, write_geotiff
from ovd_platform.demo.scene import SceneRecipe, render
from ovd_platform.records.annotation import Annotation

if TYPE_CHECKING:
    from ovd_platform.raster.radiometry import InstrumentProfile
    from ovd_platform.raster.scene import Scene

_FIRST_SEED = 900_000
_INSTRUMENTS = ("rgb-3x8", "pan-1x12", "rgb-3x8", "pan-1x12", "ms-4x12", "ms-8x12")
_THEMES = ("airfield", "port", "town", "industry", "port", "coast", "airfield", "country", "port", "coast", "town")
_SIZE_PX = 768
_SMALLEST_PX = 6.0
_INVENTIONS = 40
_MAE_SHARE = 0.15
_METRIC_RATE = 4e-4
_LOOK_SCALES = (1.5, 0.75, 0.375)
_ZOOM = (0.6, 2.0)

Prepared = tuple["list[tuple[Scene, InstrumentProfile]]", list[Annotation]]


@contextmanager
def rendered_scenes(count: int) -> Iterator[Prepared]:
    """Open scenes with profiles, and their exact labels by sub-type; instruments and themes take turns."""
    from ovd_platform.raster.scene import open_scene
    from ovd_platform.tiles.scan import scan_scene

    with TemporaryDirectory() as folder, ExitStack() as stack:
        scenes: list[tuple[Scene, InstrumentProfile]] = []
        labels: list[Annotation] = []
        for index in range(count):
            instrument, theme = _INSTRUMENTS[index % len(_INSTRUMENTS)], _THEMES[index % len(_THEMES)]
            seed = _FIRST_SEED + index
            recipe = SceneRecipe(seed, seed, instrument, _SIZE_PX, theme=theme, odd=2, inventions=_INVENTIONS)  # type: ignore[arg-type]
            rendered = render(recipe)
            path = Path(folder) / f"starter-{index:03d}.tif"
            frame = GroundFrame(32631, 400_000.0 + 20_000.0 * index, 5_600_000.0, float(rendered.meta["gsd_m"]))
            write_geotiff(path, rendered.pixels_chw, frame, rendered.meta)
            scene = stack.enter_context(open_scene(str(path), scene_id=path.stem))
            scan = scan_scene(scene, core_px=512, halo_px=0, min_valid_fraction=0.0, min_edge_density=0.0)
            scenes.append((scene, scan.profile))
            for number, item in enumerate(rendered.truth):
                name = f"{item.class_name}/{item.kind}"
                labels.append(Annotation(f"{path.stem}:{number}", path.stem, name, item.corners_scene_xy, source="rendered"))
        yield scenes, labels


def train_starter_backbone(folder: Path, minutes: float, scenes: int, seed: int) -> None:
    """MAE on mixed instruments, then the metric on the sub-types of the rendered world and the invented structures."""
    from ovd_platform.learn.chips import sample_chips
    from ovd_platform.learn.mae import train_backbone
    from ovd_platform.learn.regions import train_regions
    from ovd_platform.stores.models import load_model_dir, save_model_dir

    known = folder / "optical-backbone"
    state, earlier = load_model_dir(known) if (known / "card.json").is_file() else (None, {})
    with rendered_scenes(scenes) as (opened, labels):
        mae = earlier.get("mae", {})
        if state is None:
            shard = sample_chips(opened, per_scene=96, chip_px=64, seed=0)
            pretrained = train_backbone(shard, minutes=minutes * _MAE_SHARE, steps=None, seed=0)
            state, mae, minutes = pretrained.state, pretrained.card, minutes * (1 - _MAE_SHARE)
        large = [one for one in labels if _side_px(one) >= _SMALLEST_PX]
        regions = train_regions(opened, large, state, minutes=minutes, steps=None, seed=seed, rate=_METRIC_RATE)
    card = {
        "recipe": {"name": "ovd_platform.demo.starter", "minutes": minutes, "scenes": scenes, "first_seed": _FIRST_SEED},
        "mae": mae,
        "regions": regions.card,
        "rendered": True,
    }
    save_model_dir(folder / "optical-backbone", regions.state, card)


def train_starter_proposer(folder: Path, minutes: float, scenes: int) -> None:
    """Class-agnostic proposer on all labelled classes of the rendered world; goes on from weights already in the folder.

    Objects below `_SMALLEST_PX` are ignored, neither object nor background: hundreds of cars of 3 px would be all it learns.
    """
    from ovd_platform.learn.proposer import ProposerRecipe, train_proposer
    from ovd_platform.stores.models import load_model_dir, save_model_dir

    with rendered_scenes(scenes) as (opened, labels):
        boxes = {
            scene.record.scene_id: np.asarray(
                [one.box_scene_xyxy for one in labels if one.scene_id == scene.record.scene_id], dtype=np.float32
            ).reshape(-1, 4)
            for scene, _ in opened
        }
        tiny = {
            scene.record.scene_id: np.asarray(
                [_side_px(one) < _SMALLEST_PX for one in labels if one.scene_id == scene.record.scene_id], dtype=np.bool_
            )
            for scene, _ in opened
        }
        known = folder / "optical-proposer"
        trained = train_proposer(
            opened,
            boxes,
            minutes=minutes,
            seed=0,
            input_scale=1.0,
            look_scales=_LOOK_SCALES,
            recipe=ProposerRecipe(zoom=_ZOOM),
            difficult=tiny,
            init_state=load_model_dir(known)[0] if (known / "card.json").is_file() else None,
        )
    card = {
        **trained.card,
        "rendered": True,
        "starter": {"name": "ovd_platform.demo.starter", "scenes": scenes, "first_seed": _FIRST_SEED},
    }
    save_model_dir(folder / "optical-proposer", trained.state, card)


def _side_px(label: Annotation) -> float:
    x0, y0, x1, y1 = label.box_scene_xyxy
    return float(np.sqrt((x1 - x0) * (y1 - y0)))


def main() -> None:
    """Train the parts named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", nargs="*", default=["backbone", "proposer"])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--scenes", type=int, default=84)
    parser.add_argument("--seed", type=int, default=0, help="of batches; another one when going on from weights")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    if "backbone" in given.parts:
        train_starter_backbone(given.folder, given.minutes, given.scenes, given.seed)
    if "proposer" in given.parts:
        train_starter_proposer(given.folder, given.minutes, given.scenes)


if __name__ == "__main__":
    main()
