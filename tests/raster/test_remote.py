"""Scenes on a web server: read by ranges, versions stable, refusals named; geolocation arrays become ground control."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

from ovd_platform.errors import ResourceError, UnreachableRasterError
from ovd_platform.flow.ingest import ingest, refused_files
from ovd_platform.flow.scenes import TILES, open_registered
from ovd_platform.flow.setup import make_workspace
from ovd_platform.geometry.footprint import pixel_to_lonlat
from ovd_platform.raster.identity import gdal_path
from ovd_platform.raster.scene import open_scene, read_scene_record
from ovd_platform.records.window import Window

# In a process of its own: GDAL holds Python's lock while it waits for an answer.
SERVER = """
import functools, http.server, os, re, sys

class Ranges(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        path = self.translate_path(self.path)
        if not os.path.isfile(path):
            return self.send_error(404)
        with open(path, "rb") as stream:
            body = stream.read()
        size, span = len(body), re.match(r"bytes=(\\d+)-(\\d*)", self.headers.get("Range") or "")
        if span:
            first, last = int(span[1]), min(int(span[2] or size - 1), size - 1)
            body = body[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *words):
        with open(sys.argv[2], "a") as log:
            log.write(" ".join([self.command, self.path, self.headers.get("Range") or "-"]) + "\\n")

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Ranges, directory=sys.argv[1]))
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path, Path]]:
    """Address of a server, the folder it serves, and its log."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder, log = tmp_path / "served", tmp_path / "log.txt"
    folder.mkdir()
    child = subprocess.Popen([sys.executable, "-c", SERVER, str(folder), str(log)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(child.stdout.readline())}", folder, log
    finally:
        child.kill()
        child.wait()


def test_urls_become_gdal_paths() -> None:
    assert gdal_path("https://a.b/c.tif") == "/vsicurl/https://a.b/c.tif"
    assert gdal_path("s3://bucket/key.tif") == "/vsis3/bucket/key.tif"
    assert gdal_path("/data/c.tif") == "/data/c.tif"
    assert gdal_path("/vsis3/bucket/key.tif") == "/vsis3/bucket/key.tif"


def test_a_workspace_reads_scenes_from_a_server_and_names_what_it_cannot_reach(
    served: tuple[str, Path, Path], tmp_path: Path
) -> None:
    address, folder, log = served
    values = np.random.default_rng(0).integers(0, 4096, (1, 2048, 2048)).astype(np.uint16)
    with rasterio.open(
        folder / "far.tif", "w", driver="GTiff", count=1, width=2048, height=2048, dtype="uint16", tiled=True, compress="zstd",
    ) as out:  # fmt: skip
        out.write(values)
    with open_scene(f"{address}/far.tif", version="") as scene:
        assert np.array_equal(scene.read(Window(300, 200, 50, 60)).pixels_chw, values[:, 200:260, 300:350])
    read = sum(
        int(last) - int(first) + 1
        for first, last in (line.split("bytes=")[1].split("-") for line in log.read_text().splitlines() if "bytes=" in line)
    )
    assert 0 < read < (folder / "far.tif").stat().st_size / 4, "a window costs ranges, not the whole file"
    assert read_scene_record(f"{address}/far.tif").version == read_scene_record(f"{address}/far.tif").version
    late = f"{address}/late.tif"
    ws = make_workspace(tmp_path / "home", imagery=[f"{address}/far.tif", late, "http://127.0.0.1:9/nobody.tif"])
    report = ingest(ws)
    assert report.new == (("optical", "far"),)
    assert refused_files(ws)[late].startswith("UnreachableRasterError: Cannot")
    assert "404" in refused_files(ws)[late]
    assert refused_files(ws)["http://127.0.0.1:9/nobody.tif"].startswith("UnreachableRasterError")
    assert TILES.materialize(ws, "optical", "far").metadata["valid_px"] == 2048 * 2048
    with open_registered(ws, "optical", "far") as scene:
        assert scene.read(Window(0, 0, 9, 9)).pixels_chw.shape == (1, 9, 9)
    (folder / "late.tif").write_bytes((folder / "far.tif").read_bytes())
    assert ("optical", "late") in ingest(ws).new, "what could not be reached is tried again"


def test_a_server_that_dies_is_an_error_with_a_name(served: tuple[str, Path, Path]) -> None:
    address, _, _ = served
    with pytest.raises(UnreachableRasterError, match="404") as caught:
        open_scene(f"{address}/nothing.tif", version="")
    assert isinstance(caught.value, ResourceError)


def test_geolocation_arrays_place_a_scene(tmp_path: Path) -> None:
    rows, cols = np.mgrid[0:401:10, 0:601:10].astype(float)

    def ground(col: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 10 + 1e-3 * col + 2e-4 * row + 1e-7 * col * row, 50 - 8e-4 * row + 1e-4 * col - 1e-7 * col**2

    def write(name: str, values: np.ndarray, dtype: str) -> None:
        with rasterio.open(
            tmp_path / name,
            "w",
            driver="GTiff",
            count=1,
            width=values.shape[1],
            height=values.shape[0],
            dtype=dtype,
            nodata=-999,
        ) as out:
            out.write(values.astype(dtype), 1)

    lon, lat = ground(cols, rows)
    lon[0, 0] = lat[0, 0] = -999
    write("lon.tif", lon, "float64")
    write("lat.tif", lat, "float64")
    write("swath.tif", np.random.default_rng(0).integers(0, 900, (400, 600)), "int16")
    (tmp_path / "swath.vrt").write_text(
        f"""<VRTDataset rasterXSize="600" rasterYSize="400"><Metadata domain="GEOLOCATION">
        <MDI key="X_DATASET">{tmp_path}/lon.tif</MDI><MDI key="X_BAND">1</MDI><MDI key="Y_DATASET">{tmp_path}/lat.tif</MDI>
        <MDI key="Y_BAND">1</MDI><MDI key="PIXEL_OFFSET">0</MDI><MDI key="LINE_OFFSET">0</MDI><MDI key="PIXEL_STEP">10</MDI>
        <MDI key="LINE_STEP">10</MDI><MDI key="SRS">EPSG:4326</MDI></Metadata><VRTRasterBand dataType="Int16" band="1">
        <SimpleSource><SourceFilename>{tmp_path}/swath.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>
        </VRTRasterBand></VRTDataset>"""
    )
    record = read_scene_record(str(tmp_path / "swath.vrt"))
    assert record.georeference == "gcp"
    points = np.array([[300.0, 200.0], [15.0, 390.0], [595.0, 7.0]])
    found = pixel_to_lonlat(record, points)
    expected = np.stack(ground(points[:, 0], points[:, 1]), axis=1)
    assert np.abs(found - expected).max() < 5e-5, "a twentieth of a pixel"
    assert record.position_error_m is not None
    (tmp_path / "lon.tif").unlink()
    assert read_scene_record(str(tmp_path / "swath.vrt")).georeference == "none"
