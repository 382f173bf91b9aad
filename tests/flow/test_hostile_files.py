"""What lies in a folder of imagery and is no good raster: a named, remedied refusal within seconds, shown by the status; the odd but good is read."""

import json
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from ovd_platform.errors import BitDepthError, UnreadableRasterError
from ovd_platform.flow.ingest import ingest
from ovd_platform.flow.scenes import TILES
from ovd_platform.flow.setup import make_workspace
from ovd_platform.flow.status import workspace_status
from ovd_platform.raster.identity import check_files, scene_version, source_files

GOOD = np.random.default_rng(0).integers(0, 4096, (1, 120, 150)).astype(np.uint16)
PLACE = {"crs": "EPSG:32631", "transform": Affine(0.5, 0, 593000, 0, -0.5, 5749000)}
VRT = (
    '<VRTDataset rasterXSize="150" rasterYSize="120"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
    '<SourceFilename relativeToVRT="1">{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>'
)


def write(path: Path, pixels_chw: np.ndarray = GOOD, **options: object) -> Path:
    count, height, width = pixels_chw.shape
    profile = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": pixels_chw.dtype,
        **PLACE,
        **options,
    }
    with rasterio.open(path, "w", **profile) as out:
        out.write(pixels_chw)
    return path


def cut(path: Path) -> None:
    content = write(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def lying(path: Path) -> None:
    """A header of 20,000 x 20,000 px over a strip of a few bytes."""
    tags = [(256, 20_000), (257, 20_000), (258, 16), (259, 1), (262, 1), (273, 200), (277, 1), (278, 20_000), (279, 64)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(200))


def huge(path: Path) -> None:
    options = {"tiled": True, "blockxsize": 16384, "blockysize": 16384, "sparse_ok": True, "bigtiff": "YES", "compress": "zstd"}
    with rasterio.open(path, "w", driver="GTiff", count=1, height=10**6, width=10**6, dtype="uint16", **options):
        pass


def many_bands(path: Path) -> None:
    options = {"count": 65535, "height": 2, "width": 2, "dtype": "uint8", "interleave": "pixel"}
    with rasterio.open(path, "w", driver="GTiff", **options):
        pass


def impossible_bits(path: Path) -> None:
    write(path).with_suffix(".ovd.json").write_text('{"bits_effective": 40}')


REFUSED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "empty.tif": (lambda path: path.write_bytes(b""), "DamagedRasterError", "Copy it again"),
    "cut.tif": (cut, "DamagedRasterError", "Replace the damaged file"),
    "lying.tif": (lying, "DamagedRasterError", "Replace the damaged file"),
    "huge.tif": (huge, "HostileRasterError", "guard.largest_mpx"),
    "bands.tif": (many_bands, "HostileRasterError", "VRT"),
    "words.tif": (lambda path: path.write_text("words " * 99), "NotARasterError", "Leave it out"),
    "self.vrt": (lambda path: path.write_text(VRT.format("self.vrt")), "DamagedRasterError", "Recursion"),
    "gone.vrt": (lambda path: path.write_text(VRT.format("nowhere.tif")), "DamagedRasterError", "nowhere.tif"),
    "folder.tif": (lambda path: path.mkdir(), "NotARasterError", "Leave it out"),
    "pipe.tif": (os.mkfifo, "NotARasterError", "Leave it out"),
    "device.tif": (lambda path: path.symlink_to("/dev/zero"), "NotARasterError", "Leave it out"),
    "dangling.tif": (lambda path: path.symlink_to("nowhere"), "UnreadableRasterError", "Check the path"),
    "loop.tif": (lambda path: path.symlink_to(path), "UnreadableRasterError", "Check the path"),
    "a|b.tif": (write, "UnreadableRasterError", "Rename"),
    "bits.tif": (impossible_bits, "UnreadableRasterError", "Correct bits_effective"),
}


def test_hostile_files_are_refused_by_name_and_the_odd_ones_are_read(tmp_path: Path) -> None:
    imagery = tmp_path / "imagery"
    imagery.mkdir()
    for name, (make, _, _) in REFUSED.items():
        make(imagery / name)
    write(imagery / "Straße mit Raum (1) 漢字.tif")
    write(imagery / "nan.tif", np.full((1, 70, 70), np.nan, np.float32))
    write(imagery / "constant.tif", np.full((1, 70, 70), 77, np.uint16))
    write(imagery / "one.tif", np.full((1, 1, 1), 7, np.uint16))
    write(imagery / "large_values.tif", (GOOD.astype(np.uint32) << 19))
    write(imagery / "nowhere_on_earth.tif", crs="EPSG:4326", transform=Affine(1e9, 0, 1e12, 0, -1e9, 1e12))
    deep = GOOD.copy()
    deep[0, 60, 70] = 5000
    write(imagery / "deep.tif", deep).with_suffix(".ovd.json").write_text('{"bits_effective": 12}')

    ws = make_workspace(tmp_path / "home", imagery=[str(imagery)], guard={"stall_s": 30})
    started = time.monotonic()
    ingest(ws)
    assert time.monotonic() - started < 25, "something was waited for"
    refused = {Path(uri).name: reason for uri, reason in workspace_status(ws)["refused"].items()}
    assert set(refused) == set(REFUSED)
    for name, (_, error, remedy) in REFUSED.items():
        assert refused[name].startswith(f"{error}: Cannot "), refused[name]
        assert remedy in refused[name]

    records = {record.scene_id: record for record in ws.scenes("optical")}
    assert set(records) == {
        "Stra-e-mit-Raum-1", "nan", "constant", "one", "large_values", "nowhere_on_earth", "deep"
    }  # fmt: skip
    assert (records["nowhere_on_earth"].georeference, records["nowhere_on_earth"].gsd_m) == ("none", None)
    why = {}
    for scene_id in set(records) - {"deep"}:
        facts = TILES.materialize(ws, "optical", scene_id).metadata
        why[scene_id] = (facts["tiles"], facts["tiles_kept"], *json.loads(facts["screened_why"]))
    assert why["Stra-e-mit-Raum-1"] == why["large_values"] == why["nowhere_on_earth"] == (1, 1)
    assert why["nan"] == (1, 0, "nodata")
    assert why["constant"] == why["one"] == (1, 0, "water")
    with pytest.raises(BitDepthError, match=r"4095 \(12 bits\), got 5000"):
        TILES.materialize(ws, "optical", "deep")
    assert "5000" in workspace_status(ws)["modalities"]["optical"]["assets"]["tiles"]["failed"]["deep"]


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "secret.tif")
    monkeypatch.setattr(os, "access", lambda *_: False)  # The tests may run as a user who may read everything.
    with pytest.raises(UnreadableRasterError, match="expected permission to read it"):
        check_files(str(path))


def test_a_virtual_raster_is_as_new_as_its_sources(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner.vrt", tmp_path / "outer.vrt"
    inner.write_text(VRT.format("pixels.tif"))
    outer.write_text(VRT.format("inner.vrt"))
    pixels = write(tmp_path / "pixels.tif")
    assert source_files(str(outer)) == [inner, pixels]
    before = scene_version(str(outer))
    write(pixels, GOOD + 1)
    assert scene_version(str(outer)) != before
    inner.write_text(VRT.format("outer.vrt"))
    assert source_files(str(outer)) == [inner], "a ring ends"
