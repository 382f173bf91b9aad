"""May this file become a scene? Belongs here: describing a file and decoding a few of its blocks, in a process that may die.

Called through `guarded.GuardedWorker`, so arguments and results are JSON values.
"""

from typing import Any

from ovd_platform.errors import HostileRasterError
from ovd_platform.raster.identity import HashMode
from ovd_platform.raster.scene import open_record, read_scene_record
from ovd_platform.records.window import Window

DEFAULT_LARGEST_MPX = 100_000.0
_PROBE_PX = 256


def admit(
    uri: str,
    scene_id: str | None = None,
    mode: HashMode = "sampled",
    generation: int = 0,
    largest_mpx: float = DEFAULT_LARGEST_MPX,
) -> dict[str, Any]:
    """Record of a scene whose first, middle and last pixels decode.

    A file that was cut off while copied shows it in its last block; everything between is decoded by the tiling pass.

    Args:
        uri: As for `open_scene`.
        scene_id: Id; by default the slug of the stem.
        mode: How the version is made.
        generation: Ingest generation.
        largest_mpx: Scenes of more 10^6 px are refused: a few bytes of header can claim any size.

    Returns:
        `SceneRecord.to_dict` of the record.

    Raises:
        UnreadableRasterError: If the file cannot be opened or one of the probes not decoded.
        HostileRasterError: If it claims to be larger than a scene may be.
    """
    record = read_scene_record(uri, scene_id=scene_id, mode=mode, generation=generation)
    if record.area_mpx > largest_mpx:
        raise HostileRasterError(
            f"Cannot admit {uri}: expected at most {largest_mpx:g} Mpx, got {record.width_px} x {record.height_px} px. "
            "Cut it into scenes, or raise guard.largest_mpx."
        )
    width, height = min(_PROBE_PX, record.width_px), min(_PROBE_PX, record.height_px)
    last = (record.width_px - width, record.height_px - height)
    with open_record(record) as scene:
        for col, row in dict.fromkeys([(0, 0), (last[0] // 2, last[1] // 2), last]):
            scene.read(Window(col, row, width, height))
    return record.to_dict()
