"""Every awkward raster there is: read right, or refused under the right name, in a guarded worker."""

import itertools
import json
import tempfile
import time
from pathlib import Path

from benchmarks.outcome import Outcome, shared_data
from benchmarks.workspaces import save_result
from ovd_platform.errors import OvdError
from ovd_platform.guarded import GuardedWorker

MEMORY_BYTES, STALL_S = 3 << 30, 60.0

# What is really broken, or no raster: everything else has to be read. Checked by hand, file by file.
BROKEN = {
    "rgb.ntf": "DamagedRasterError",  # The last three bytes of the last line are missing.
    "crash-1152ec2d1a1a71395b6f2ce6721c38924d025bf3.tif": "DamagedRasterError",
    "crash-63b1dffefc8c075ddc606c0a2f5fdc15ece78863.tif": "DamagedRasterError",
    "oom-225817ca0f8c663be7ab4b9e717b02c661e66834.tif": "DamagedRasterError",
    "not_enough_data.jp2": "DamagedRasterError",
    "seek_too_large.tif": "DamagedRasterError",
    "corrupt.tif": "DamagedRasterError",
    "geotiff_labels.geojson": "NotARasterError",
}
# Facts a right reading has, where a look at the file tells them beyond doubt.
EXPECTED: dict[str, dict[str, object]] = {
    "img_01.tif": {"georeference": "rpc", "bits_observed": 11},
    "PHR1B_P_201709281038393_SEN_PRG_FC_178609-001.tif": {"georeference": "rpc", "bits": 12},
    "wv3_20.NTF": {"georeference": "rpc"},
    "test_rpcs.tif": {"georeference": "rpc"},
    "RGB.byte.rpc.vrt": {"georeference": "rpc"},
    "RGB.byte.gcp.vrt": {"georeference": "gcp"},
    "cog_gcps.tif": {"georeference": "gcp"},
    "s1_slc_cint16_gcps.tif": {"georeference": "gcp", "modality": "sar", "dtype": "complex64"},
    "rotated.tif": {"georeference": "none"},
    "float_nan.tif": {"georeference": "none"},
    "dataset_2d.nc": {"georeference": "none"},
    "file6_jp2.ntf": {"georeference": "none", "bits": 12},
    "066_389x298_s_11_3_rgb_jp2.ntf": {"bits": 11, "bands": 3},
    "i_3430a.ntf": {"bits": 12},
    "U_4002A.NTF": {"bits": 13},
    "cog_dateline.tif": {"footprint": "antimeridian"},
    "nt_20201024_f18_nrt_s.tif": {"footprint": "pole"},
    "goes.tif": {"footprint": "ring"},
    "cog_hirise_mars.tif": {"georeference": "affine", "footprint": "none"},
    "cog_nodata_nan.tif": {"modality": "sar"},
    "cog_cmap.tif": {"bands": 3, "bits": 8},
    "utm.tif": {"bands": 3},
    "RGBA.byte.tif": {"bands": 3},
    "RGBA.uint16.tif": {"bands": 3},
    "all-nodata.tif": {"valid": 0.0},
    "cog_scale.tif": {"scale": 0.0001},
    "sar_hh.tif": {"modality": "sar", "dtype": "complex64"},
}


def run(arguments: list[str]) -> list[Outcome]:
    """Read all files and stacks; print a line each."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, GuardedWorker(MEMORY_BYTES, STALL_S) as worker:
        for name, uri in _uris(shared_data()):
            started = time.monotonic()
            row = _read(worker, name, uri, Path(folder))
            row["seconds"] = round(time.monotonic() - started, 2)
            row["right"] = _is_right(row)
            rows.append(row)
            print(_line(row), flush=True)
        peak_mb = worker.peak_bytes >> 20
    hostile = sum(row.get("error") == "HostileRasterError" for row in rows)
    listed = [row for row in rows if row["name"].startswith("rasters/")]
    save_result(
        "rasters",
        {
            "command": "uv run python -m benchmarks rasters",
            "files_of_rasters": len(listed),
            "read": sum("error" not in row for row in rows),
            "refused": {row["name"]: row["error"] for row in rows if "error" in row},
            "peak_rss_mb": peak_mb,
            "memory_limit_mb": MEMORY_BYTES >> 20,
            "rows": [row for row in rows if not row["name"].startswith("sar_slc_opensarship/")],
        },
    )
    return [
        Outcome("files of rasters/", len(listed), 53),
        Outcome("right outcomes", sum(row["right"] for row in rows) / len(rows), 1.0),
        Outcome("wrong refusals", sum("error" in row and not row["right"] for row in rows), 0, at_least=False),
        Outcome("crashes, hangs, memory over limit", hostile, 0, at_least=False),
        Outcome("peak RSS MB", peak_mb, MEMORY_BYTES >> 20, at_least=False),
    ]


def _uris(data: Path) -> list[tuple[str, str]]:
    folders = [data / "rasters", data / "sar_quadpol", data / "hrsid", data / "sar_slc_opensarship"]
    files = [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not (folder.name == "sar_slc_opensarship" and path.suffix != ".npy")
    ]
    named = [(str(path.relative_to(data)), str(path)) for path in files]
    for port in sorted(path for path in (data / "sen2ships").iterdir() if path.is_dir()):
        named.append((f"sen2ships/{port.name} (stack)", "|".join(str(path) for path in sorted(port.glob("*.tiff")))))
    quad = [str(path) for path in sorted((data / "sar_quadpol").glob("sar_*.tif"))]
    return [*named, ("sar_quadpol (stack)", "|".join(quad))]


def _read(worker: GuardedWorker, name: str, uri: str, folder: Path) -> dict[str, object]:
    """Describe and scan one scene: every pixel is decoded."""
    try:
        record = worker.call("ovd_platform.raster.admission:admit", about=name, uri=uri)
        facts = worker.call(
            "ovd_platform.tiles.scan_files:scan_to_folder", about=name, progress=lambda done, total, what: None, uri=uri,
            scene_id=record["scene_id"], version=record["version"], folder=str(folder), settings={},
        )  # fmt: skip
    except OvdError as error:
        return {"name": name, "error": type(error).__name__, "reason": str(error).replace(uri, name)}
    ring = record["footprint_lonlat"]
    return {
        "name": name,
        "driver": _driver(uri),
        "size_px": f"{record['width_px']}x{record['height_px']}",
        "bands": len(record["bands"]),
        "dtype": record["dtype"],
        "bits": facts["bits"],
        "bits_observed": facts["bits_observed"],
        "bits_from": facts["bits_from"],
        "modality": record["modality"],
        "georeference": record["georeference"],
        "error_m": record["position_error_m"],
        "gsd_m": record["gsd_m"],
        "footprint": _footprint(ring),
        "valid": round(facts["valid_px"] / (record["width_px"] * record["height_px"]), 4),
        "scale": record["bands"][0]["scale"],
        "acquired": record["view"]["acquired_utc"],
    }


def _driver(uri: str) -> str:
    if uri.endswith(".npy"):
        return "NPY"
    import rasterio

    with rasterio.open(uri.split("|")[0]) as dataset:
        return str(dataset.driver)


def _footprint(ring: list[list[float]]) -> str:
    if not ring:
        return "none"
    if any(abs(lat) == 90.0 for _, lat in ring) and {-180.0, 180.0} <= {lon for lon, _ in ring}:
        return "pole"
    jumps = any(abs(b[0] - a[0]) > 180 for a, b in itertools.pairwise(ring))
    return "antimeridian" if jumps else "ring"


def _is_right(row: dict[str, object]) -> bool:
    name = str(row["name"]).rsplit("/", 1)[-1]
    if name in BROKEN:
        return row.get("error") == BROKEN[name]
    if "error" in row:
        return False
    wanted = EXPECTED.get(name, {})
    wrong = {key: row[key] for key, value in wanted.items() if row[key] != value}
    if wrong:
        print(f"  expected {json.dumps(wanted)}, got {json.dumps(wrong)}")
    return not wrong


def _line(row: dict[str, object]) -> str:
    mark = "ok   " if row["right"] else "WRONG"
    if "error" in row:
        return f"{mark} {row['name']}: {row['error']}: {row['reason']}"
    shown = ("driver", "size_px", "bands", "dtype", "bits", "bits_from", "modality", "georeference", "error_m", "gsd_m", "footprint",
             "valid", "acquired", "seconds")  # fmt: skip
    values = [
        f"{row[key]:.4g}" if isinstance(row[key], float) else str(row[key]) for key in shown if row[key] not in (None, "")
    ]
    return f"{mark} {row['name']}: {' '.join(values)}"
