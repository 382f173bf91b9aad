"""Masks of ground that nobody judges (cloud, shadow, haze, unlabelled parts), as files beside the imagery.

Belongs here: finding a scene's mask and bringing it into scene pixels. Does not belong here: what not judging means
(`evaluate.unjudged`), or making masks.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovd_platform.errors import DataError, InputError
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.scene import SceneRecord
from ovd_platform.stores.home import content_hash, file_hash

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

POLYGONS, RASTERS = (".geojson", ".json"), (".tif", ".tiff", ".png")
MOST_SIDE_PX = 4096
_SAME_SHAPE = 0.02


def _folder(ws: Workspace) -> Path | None:
    if ws.config.evaluation.masks is None:
        return None
    path = Path(ws.config.evaluation.masks)
    path = path if path.is_absolute() else ws.home.root / path
    if not path.is_dir():
        raise InputError(f"Cannot read masks: expected a folder at {path}, found none. Correct `evaluation.masks` in ovd.yaml.")
    return path


def mask_files(ws: Workspace) -> dict[str, Path]:
    """Mask file by scene id; a file is named like its scene (``<scene id>.geojson`` or ``.tif`` or ``.png``)."""
    folder = _folder(ws)
    if folder is None:
        return {}
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in (*POLYGONS, *RASTERS)}


def masks_version(ws: Workspace) -> str:
    """Content hash of the masks; "none" where none are configured."""
    files = mask_files(ws)
    return content_hash({name: file_hash(path) for name, path in files.items()}) if files else "none"


def load_mask(path: Path, record: SceneRecord) -> "BaseGeometry":
    """Ground of one scene that nobody judges.

    Args:
        path: GeoJSON polygons (in degrees, in their ``crs``, or in pixels, as labels may be; holes are filled), or a raster over the
            same ground as the scene, of any size, whose pixels other than zero are masked.
        record: The scene.

    Returns:
        Shapely geometry in scene pixels, empty where the file masks nothing.

    Raises:
        DataError: If the file is no mask of this scene.
    """
    return _polygons(path, record) if path.suffix.lower() in POLYGONS else _raster(path, record)


def _polygons(path: Path, record: SceneRecord) -> "BaseGeometry":
    import shapely

    from ovd_platform.datasets.formats.load import load_annotations

    labels, problems = load_annotations(path, {record.scene_id: record}, default_class="mask")
    rings = [label.corners_scene_xy for label in labels if len(label.corners_scene_xy) >= 3]
    if not rings and problems:
        raise DataError(
            f"Cannot use {path} as the mask of {record.scene_id}: expected polygons inside of the scene, got none "
            f"({problems[0]}). Correct the file, or remove it."
        )
    return shapely.union_all([shapely.make_valid(shapely.Polygon(ring)) for ring in rings])


def _raster(path: Path, record: SceneRecord) -> "BaseGeometry":
    import rasterio
    import rasterio.features
    import shapely
    from rasterio.enums import Resampling
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path) as opened:
            shrink = max(1.0, max(opened.width, opened.height) / MOST_SIDE_PX)
            width, height = max(1, round(opened.width / shrink)), max(1, round(opened.height / shrink))
            size = (opened.width, opened.height)
            masked = opened.read(1, out_shape=(height, width), resampling=Resampling.nearest) != 0
    except RasterioError as error:
        raise DataError(
            f"Cannot use {path} as the mask of {record.scene_id}: expected a raster, got {error}. Write it again."
        ) from error
    wanted = record.width_px / record.height_px
    if abs(size[0] / size[1] / wanted - 1.0) > _SAME_SHAPE:
        raise DataError(
            f"Cannot use {path} as the mask of {record.scene_id}: expected the shape of its {record.width_px} x "
            f"{record.height_px} px, got {size[0]} x {size[1]}. Cut it to the scene."
        )
    scale_x, scale_y = record.width_px / width, record.height_px / height
    transform = rasterio.Affine(scale_x, 0.0, 0.0, 0.0, scale_y, 0.0)
    shapes: list[dict[str, Any]] = [
        shape for shape, value in rasterio.features.shapes(masked.astype("uint8"), mask=masked, transform=transform) if value
    ]
    return shapely.union_all([shapely.geometry.shape(shape) for shape in shapes])
